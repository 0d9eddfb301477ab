//! Every way in which the library and the extension can come together or not.

use indexpilot_tests::{Cluster, Session, Signal};

fn reason(session: &mut Session) -> String {
    session.text("SELECT coalesce(reason, '') FROM indexpilot.status() WHERE module = 'system'")
}

fn actual(session: &mut Session) -> String {
    session.text("SELECT actual FROM indexpilot.status() WHERE module = 'system'")
}

#[test]
fn every_major_says_when_it_is_not_preloaded() {
    let cluster = Cluster::builder().preload("").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    assert_eq!(actual(&mut session), "off");
    assert_eq!(
        reason(&mut session),
        "indexpilot is not in shared_preload_libraries"
    );
    // Switching is possible, and counts as soon as the library is preloaded.
    assert_eq!(session.text("SELECT indexpilot.disable('not yet')"), "t");
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.mutation_log WHERE kind = 'SYSTEM_DISABLE'"),
        "1"
    );
    // Prices what the session asks for all the same.
    session.run("CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 10000) AS g; ANALYZE t");
    assert!(
        session.number(WHAT_IF) > 50.0,
        "a hypothetical index is not seen"
    );
    session.run("DROP EXTENSION indexpilot");
}

/// The gain of an index that would be used.
const WHAT_IF: &str = "SELECT gain_percent FROM indexpilot.what_if(
    'SELECT * FROM t WHERE a = 5', ARRAY['CREATE INDEX ON t (a)'])";

#[test]
fn a_bypassed_server_says_so_instead_of_pricing_wrongly() {
    let cluster = Cluster::builder().conf("indexpilot.startup = off").start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot;
         CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 10000) AS g; ANALYZE t",
    );
    let error = session.error(WHAT_IF);
    assert_eq!(error.code, "55000", "{error}");
    assert!(error.hint.contains("status()"), "{error}");
}

#[test]
fn loading_in_a_session_changes_nothing() {
    let cluster = Cluster::builder()
        .preload("")
        .conf("session_preload_libraries = 'indexpilot'")
        .start();
    let mut session = cluster.session();
    session.run("LOAD 'indexpilot'; CREATE TABLE t AS SELECT 1 AS a; SELECT * FROM t");
    session.run("CREATE EXTENSION indexpilot");
    assert_eq!(
        reason(&mut session),
        "indexpilot is not in shared_preload_libraries"
    );
    // A setting that only the start can define is not there, and is no error in the file.
    assert_eq!(session.error("SHOW indexpilot.startup").code, "42704");
}

#[test]
fn a_standby_is_idle_and_awake_after_promotion() {
    let primary = Cluster::with_extension();
    primary
        .session()
        .run("SELECT indexpilot.disable('quiet', 'genome')");
    let standby = primary.standby();
    let mut session = standby.session();
    assert_eq!(actual(&mut session), "off");
    assert_eq!(reason(&mut session), "the server is a standby");
    assert_eq!(
        session.error("SELECT indexpilot.disable('no')").code,
        "25006"
    );
    assert!(standby.pids_of("indexpilot launcher").is_empty());
    standby.promote();
    standby.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'system'",
        "on",
    );
    // What was switched off on the primary stays off: it is the same database.
    assert_eq!(
        standby
            .session()
            .text("SELECT actual FROM indexpilot.status() WHERE module = 'genome'"),
        "off"
    );
}

#[test]
fn after_a_restart_or_a_crash_the_server_is_looked_after_again() {
    let mut cluster = Cluster::with_extension();
    let on = "SELECT actual FROM indexpilot.status() WHERE module = 'capture'";
    cluster.restart();
    cluster.wait(on, "on");
    let mut victim = cluster.session();
    let pid = victim.pid();
    cluster.crash(pid);
    cluster.wait(on, "on");
    cluster.stop(Signal::SIGQUIT);
    cluster.start();
    cluster.wait(on, "on");
}

#[test]
fn a_server_in_single_user_mode_is_left_alone() {
    let mut cluster = Cluster::with_extension();
    cluster.stop(Signal::SIGINT);
    let out = cluster.single_user(
        "postgres",
        "SELECT actual, reason FROM indexpilot.status() WHERE module = 'system'\n\
         CREATE TABLE made_alone (a int)\n",
    );
    assert!(out.ok, "{}{}", out.out, out.err);
    assert!(
        out.out.contains("the server runs in single-user mode"),
        "{}{}",
        out.out,
        out.err
    );
    assert!(out.err.contains("indexpilot stays idle"), "{}", out.err);
    cluster.start();
    assert_eq!(
        cluster.session().text("SELECT count(*) FROM made_alone"),
        "0"
    );
}

#[test]
fn pg_upgrade_takes_the_history_along() {
    let mut old = Cluster::with_extension();
    let mut session = old.session();
    session.run(
        "SELECT indexpilot.disable('before the upgrade', 'advisor');
         CREATE TABLE t (a int); CREATE INDEX t_a ON t (a)",
    );
    let rows = session.number("SELECT count(*) FROM indexpilot.mutation_log");
    drop(session);
    old.stop(Signal::SIGINT);
    let mut new = Cluster::builder().own_system_identifier().make();
    let scratch = new.scratch("upgrade");
    let mut pg_upgrade = new.program("pg_upgrade");
    pg_upgrade.current_dir(&scratch);
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE"] {
        pg_upgrade.env_remove(variable);
    }
    let bin = &new.server().bin;
    pg_upgrade
        .args(["-U", "postgres", "-b"])
        .arg(bin)
        .arg("-B")
        .arg(bin)
        .arg("-d")
        .arg(old.data())
        .arg("-D")
        .arg(new.data())
        .arg("-s")
        .arg(new.sockets());
    let out = new.output(&mut pg_upgrade, "");
    assert!(out.ok, "{}{}", out.out, out.err);
    new.start();
    let mut session = new.session();
    assert_eq!(
        session.number("SELECT count(*) FROM indexpilot.mutation_log"),
        rows
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
    new.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'system'",
        "on",
    );
}

#[test]
fn a_database_without_the_extension_is_none_of_our_business() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 100) AS g;
         CREATE INDEX ON t (a); SELECT * FROM t WHERE a = 5; DROP TABLE t",
    );
    assert_eq!(
        session.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'indexpilot'"),
        "0"
    );
    for word in ["WARNING", "ERROR", "FATAL", "PANIC"] {
        assert!(
            !cluster.log().contains(&format!(" {word}: ")),
            "{}",
            cluster.log()
        );
    }
}

#[test]
fn sql_objects_of_another_version_are_left_alone_and_the_user_told() {
    let mut cluster = Cluster::with_extension();
    cluster
        .session()
        .run("UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'indexpilot'");
    cluster.restart();
    let mut session = cluster.session();
    assert_eq!(actual(&mut session), "off");
    let reason = reason(&mut session);
    assert!(
        reason.contains("SQL objects are of version 0.0.9")
            && reason.contains("ALTER EXTENSION indexpilot UPDATE"),
        "{reason}"
    );
    assert_eq!(session.text("SELECT indexpilot.attach()"), "f");
    // As the update would leave it.
    session.run("UPDATE pg_extension SET extversion = '0.1.0' WHERE extname = 'indexpilot'");
    assert_eq!(session.text("SELECT indexpilot.attach()"), "t");
    assert_eq!(actual(&mut session), "on");
}

#[test]
fn a_schema_of_that_name_is_only_taken_when_it_is_empty_and_a_superusers() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    session.run("CREATE SCHEMA indexpilot; CREATE TABLE indexpilot.mutation_log (mine int)");
    let error = session.error("CREATE EXTENSION indexpilot");
    assert_eq!(error.code, "42P06", "{error}");
    assert!(
        error.detail.contains("mutation_log") && !error.hint.is_empty(),
        "{error}"
    );
    session.run(
        "DROP SCHEMA indexpilot CASCADE; CREATE ROLE mallory; CREATE SCHEMA indexpilot AUTHORIZATION mallory",
    );
    let error = session.error("CREATE EXTENSION indexpilot");
    assert!(error.detail.contains("mallory"), "{error}");
    session.run("DROP SCHEMA indexpilot; CREATE SCHEMA indexpilot; CREATE EXTENSION indexpilot");
    session.run("DROP EXTENSION indexpilot; CREATE EXTENSION indexpilot");
    let error = session.error("ALTER EXTENSION indexpilot SET SCHEMA public");
    assert_eq!(error.code, "0A000", "{error}");
}

#[test]
fn only_superusers_create_it() {
    let cluster = Cluster::started();
    cluster
        .session()
        .run("CREATE ROLE olga LOGIN; ALTER DATABASE postgres OWNER TO olga");
    let mut olga = cluster.session_as("olga", "postgres");
    assert_eq!(olga.error("CREATE EXTENSION indexpilot").code, "42501");
}
