//! Errors that reach a session while our code runs in one of its hooks: they are the
//! statement's, as the server raised them; what fails of ours alone stays ours.

use indexpilot_tests::{Cluster, PATIENCE, Session, Signal, wait_for};

/// What our lookups read and the statements below do not: its name and OID.
type Catalog = (&'static str, u32);
/// A notice of DDL asks for the schema's name.
const PG_NAMESPACE: Catalog = ("pg_namespace", 2615);
/// The first sight of a statement asks for the tenant column.
const PG_ATTRIBUTE: Catalog = ("pg_attribute", 1249);

/// A session whose caches know the table, but neither the schema by its OID nor the
/// tenant column by its name. (What else the statements below need is warmed by the like of them
/// in another schema.)
fn half_warm(cluster: &Cluster) -> Session {
    let mut session = cluster.session();
    session.run("SELECT c FROM s.t");
    session.run("SELECT c FROM warm.t WHERE c = 1");
    session.run("ALTER TABLE warm.t ALTER COLUMN c SET STATISTICS 10");
    session
}

/// Waits until `pid` waits for a lock on the catalog. The watching session has asked before,
/// so that it needs no lookup under the lock.
fn wait_blocked(watcher: &mut Session, pid: i32, catalog: Catalog) {
    wait_for("the session to wait in our lookup", PATIENCE, || {
        let blocked = watcher.text(&blocked_by_us(pid, catalog));
        if blocked == "1" { Ok(()) } else { Err(blocked) }
    });
}

fn blocked_by_us(pid: i32, (_, relation): Catalog) -> String {
    format!(
        "SELECT count(*) FROM pg_catalog.pg_locks
         WHERE pid = {pid} AND NOT granted AND relation = {relation}"
    )
}

fn lock((name, _): Catalog) -> String {
    format!("BEGIN; LOCK TABLE pg_catalog.{name} IN ACCESS EXCLUSIVE MODE")
}

/// Runs statements (told apart by a number) while their lookups in our hook must wait, and
/// cancels them.
#[track_caller]
fn cancelled(cluster: &Cluster, catalog: Catalog, statement: impl Fn(usize) -> String) {
    let mut watcher = cluster.session();
    let mut locker = cluster.session();
    let mut session = half_warm(cluster);
    let pid = session.pid();
    watcher.text(&blocked_by_us(pid, catalog));
    watcher.text(&format!("SELECT pg_catalog.pg_cancel_backend({pid})"));
    // A cancel between statements is forgotten.
    session.run("BEGIN");
    locker.run(&lock(catalog));
    let text = statement(0);
    let running = std::thread::spawn(move || {
        let error = session.error(&text);
        (session, error)
    });
    wait_blocked(&mut watcher, pid, catalog);
    watcher.text(&format!("SELECT pg_catalog.pg_cancel_backend({pid})"));
    let (mut session, error) = running.join().expect("the session lives");
    assert_eq!(error.code, "57014", "{error}");
    assert_eq!(error.message, "canceling statement due to user request");
    // The transaction has failed, as by any error, and the session goes on.
    assert_eq!(session.error("SELECT 1").code, "25P02");
    session.run("ROLLBACK");
    // As often as the server's stack of errors is deep: nothing may be left on it.
    for round in 1..9 {
        session.run("BEGIN; SET LOCAL statement_timeout = '20ms'");
        let again = session.error(&statement(round));
        assert_eq!(again.code, "57014", "round {round}: {again}");
        assert_eq!(
            again.message,
            "canceling statement due to statement timeout"
        );
        session.run("ROLLBACK");
    }
    locker.run("ROLLBACK");
    session.run(&statement(0));
    assert_eq!(session.text("SELECT 7"), "7");
    assert_eq!(
        session.text(&format!(
            "SELECT count(*) FROM pg_catalog.pg_locks
             WHERE pid = pg_backend_pid() AND relation = {}",
            catalog.1
        )),
        "0"
    );
}

fn prepared() -> Cluster {
    let cluster = Cluster::with_extension();
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    cluster.session().run(
        "CREATE SCHEMA s; CREATE TABLE s.t (c int, tenant_id int); INSERT INTO s.t VALUES (1);
              CREATE SCHEMA warm; CREATE TABLE warm.t (c int, tenant_id int)",
    );
    cluster
}

#[test]
fn every_major_lets_a_cancel_in_a_notice_of_ddl_end_the_statement() {
    cancelled(&prepared(), PG_NAMESPACE, |round| {
        format!("ALTER TABLE s.t ALTER COLUMN c SET STATISTICS {round}")
    });
}

#[test]
fn every_major_lets_a_cancel_at_first_sight_end_the_statement() {
    let cluster = prepared();
    cancelled(&cluster, PG_ATTRIBUTE, |round| {
        format!(
            "SELECT c FROM s.t WHERE c = 1{}",
            " AND c = 1".repeat(round)
        )
    });
    // It was met, and is known with its field once it could be seen.
    let mut session = cluster.session();
    wait_for("the statement's field", PATIENCE, || {
        session.run("SELECT c FROM s.t WHERE c = 1");
        let roles = session.column(
            "SELECT role FROM indexpilot.query_stats
             WHERE field = 'c' AND relation = '\"s\".\"t\"' AND role = 'equality'",
        );
        if roles.is_empty() {
            Err(String::from("no role"))
        } else {
            Ok(())
        }
    });
}

/// Without us these statements do not wait: it is our lookup that the tests above cancel.
#[test]
fn switched_off_nothing_of_ours_waits() {
    let cluster = prepared();
    cluster.append_conf("indexpilot.disabled_modules = 'capture, lineage'");
    cluster.reload();
    cluster.wait(
        "SELECT string_agg(actual, ' ') FROM indexpilot.status() WHERE module IN ('capture', 'lineage')",
        "off off",
    );
    let mut locker = cluster.session();
    let mut session = half_warm(&cluster);
    session.run("SET statement_timeout = '20s'");
    locker.run(&lock(PG_ATTRIBUTE));
    session.run("SELECT c FROM s.t WHERE c = 1");
    locker.run("ROLLBACK");
    locker.run(&lock(PG_NAMESPACE));
    session.run("ALTER TABLE s.t ALTER COLUMN c SET STATISTICS 10");
}

/// A parameter whose output function fails: sampling is ours to lose, the statement is not.
#[test]
fn every_major_keeps_its_own_failures_to_itself() {
    let cluster = prepared();
    let mut session = cluster.session();
    session.run("SET allow_system_table_mods = on");
    session.run(
        "CREATE TYPE mood AS ENUM ('secret', 'other');
         CREATE TABLE m (id int, v mood); INSERT INTO m VALUES (1, 'secret'), (2, 'other');
         CREATE FUNCTION pick() RETURNS mood LANGUAGE sql AS 'SELECT v FROM m WHERE id = 1';
         DELETE FROM pg_catalog.pg_enum WHERE enumlabel = 'secret'",
    );
    let mut session = cluster.session();
    assert_eq!(
        session.error("SELECT pick()::text").message,
        session.error("SELECT v::text FROM m WHERE id = 1").message,
        "the value cannot be printed"
    );
    session.run("PREPARE p (mood) AS SELECT id FROM m WHERE v = $1");
    session.run("BEGIN; INSERT INTO m VALUES (3, 'other')");
    for _ in 0..12 {
        assert_eq!(session.text("EXECUTE p (pick())"), "1");
    }
    session.run("SAVEPOINT a; INSERT INTO m VALUES (4, 'other'); ROLLBACK TO a; COMMIT");
    assert_eq!(session.text("SELECT count(*) FROM m"), "3");
    cluster.wait(
        "SELECT sum(calls) FROM indexpilot.statements
         WHERE query LIKE 'PREPARE p (mood) AS SELECT id FROM m%' OR query = 'SELECT id FROM m WHERE v = $1'",
        "12",
    );
    let log = cluster.log();
    assert!(
        log.contains("could not record a statement"),
        "it is said in the log"
    );
    // Only the two statements above that asked for the value's text.
    assert_eq!(log.matches("invalid internal value").count(), 2, "{log}");
}

/// DROP DATABASE waits in our hook for the worker there; a cancel ends that wait too.
#[test]
fn a_cancel_while_a_worker_is_stopped_ends_the_statement() {
    let cluster = Cluster::with_extension();
    cluster.session().run("CREATE DATABASE other");
    cluster
        .session_in("other")
        .run("CREATE EXTENSION indexpilot");
    let worker = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'indexpilot worker' AND datname = 'other'";
    let mut session = cluster.session();
    let mut worker_pid = None;
    wait_for("a worker", PATIENCE, || {
        cluster.session_in("other").run("SELECT 1");
        worker_pid = session
            .column(worker)
            .first()
            .and_then(|pid| pid.parse().ok());
        worker_pid.map(|_| ()).ok_or(String::from("none"))
    });
    let worker_pid: i32 = worker_pid.expect("a worker");
    cluster.kill(worker_pid, Signal::SIGSTOP);
    let mut dropper = cluster.session();
    let pid = dropper.pid();
    let running = std::thread::spawn(move || {
        let error = dropper.error("DROP DATABASE other");
        (dropper, error)
    });
    cluster.wait(
        &format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND query LIKE 'DROP%' AND state = 'active'"),
        "1",
    );
    session.text(&format!("SELECT pg_cancel_backend({pid})"));
    let (mut dropper, error) = running.join().expect("the session lives");
    cluster.kill(worker_pid, Signal::SIGCONT);
    assert_eq!(error.code, "57014", "{error}");
    assert_eq!(dropper.text("SELECT 1"), "1");
    assert_eq!(
        dropper.text("SELECT count(*) FROM pg_database WHERE datname = 'other'"),
        "1"
    );
}
