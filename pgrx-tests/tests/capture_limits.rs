//! Capture at its limits: more statements than fit, from more clients than cores, and a crash.

use indexpilot_tests::{Cluster, PATIENCE, Session, wait_for};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

/// Waits until capture is on in the session's database.
fn watched(cluster: &Cluster) -> Session {
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    cluster.session()
}

/// What active clients wait for, by name, and how often somebody looked, until `done`.
fn waits(session: &mut Session, done: &AtomicBool) -> (BTreeMap<String, u64>, u64, f64) {
    let (mut found, mut looks, mut most) = (BTreeMap::new(), 0, 0.0f64);
    while !done.load(Ordering::Relaxed) {
        looks += 1;
        for row in session.column(
            "SELECT coalesce(wait_event_type || ' ' || wait_event, 'none') || ':' || count(*)
             FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active'
                 AND pid <> pg_backend_pid() GROUP BY wait_event_type, wait_event",
        ) {
            let (event, count) = row.rsplit_once(':').expect("event:count");
            *found.entry(event.to_owned()).or_default() += count.parse::<u64>().expect("a count");
        }
        most = most.max(session.number(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
                 AND query LIKE 'SELECT a FROM t%'",
        ));
    }
    (found, looks, most)
}

/// Waits that only code of ours would cause here: we have no tranche of our own, take one lock
/// of the server's at start-up and when switches change, and lock no relation for a client.
/// Extensions' own waits are "Extension" (tranches without a name are "extension").
fn is_ours(event: &str) -> bool {
    let event = event.to_ascii_lowercase();
    event.contains("extension")
        || event.contains("indexpilot")
        || event.contains("addinshmeminit")
        || event.starts_with("lock ")
}

/// 200 clients at once, 8,000 distinct statements, room for 100.
#[test]
fn more_statements_than_fit_are_dropped_and_counted() {
    const CLIENTS: u64 = 200;
    const EACH: u64 = 40;
    let cluster = Cluster::builder()
        .conf("indexpilot.max_statements = 100\nindexpilot.capture_text_memory = '256kB'\nmax_connections = 240")
        .start();
    cluster.session().run("CREATE EXTENSION indexpilot");
    watched(&cluster).run("CREATE TABLE t (a int)");
    // From a database that nobody watches: what the watcher runs is not counted.
    let mut watcher = cluster.session_in("template1");
    let (start, done) = (Barrier::new(CLIENTS as usize), AtomicBool::new(false));
    let errors = Mutex::new(Vec::new());
    let (events, looks, most) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| waits(&mut watcher, &done));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (cluster, start, errors) = (&cluster, &start, &errors);
                scope.spawn(move || {
                    let mut session = cluster.session();
                    start.wait();
                    for number in 0..EACH {
                        // Column names do not tell statements apart, operators do.
                        let statement = client * EACH + number;
                        let conditions: Vec<&str> = (0..13)
                            .map(|bit| match statement >> bit & 1 {
                                1 => "a < 1",
                                _ => "a > 1",
                            })
                            .collect();
                        let conditions = conditions.join(" OR ");
                        let text = format!("SELECT a FROM t WHERE {conditions}");
                        if let Err(error) = session.try_rows(&text) {
                            errors.lock().expect("no panic").push(error.to_string());
                        }
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("a client ends");
        }
        done.store(true, Ordering::Relaxed);
        watching.join().expect("the watcher ends")
    });
    let errors = errors.into_inner().expect("no panic");
    assert!(errors.is_empty(), "{errors:?}");
    // Somebody looked, while there was something to see.
    assert!(
        looks >= 10 && most >= 100.0,
        "{looks} looks, {most} clients"
    );
    let ours: Vec<_> = events.iter().filter(|(event, _)| is_ours(event)).collect();
    assert!(ours.is_empty(), "{ours:?} of {events:?}");
    // No execution is lost: it is saved, or dropped and counted. (What is asked here may be
    // dropped too, once a look.)
    let mut session = cluster.session();
    let mut asked = 0.0;
    wait_for("every execution", PATIENCE, || {
        asked += 3.0;
        let saved = session.number(
            "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
             JOIN indexpilot.statement_stats AS t ON t.statement = s.id
             WHERE s.kind = 'select' AND (s.query IS NULL OR s.query LIKE 'SELECT a FROM t WHERE%')",
        );
        let dropped = session.number("SELECT dropped_statements FROM indexpilot.capture_memory()");
        assert!(dropped > 0.0);
        assert!(session.number("SELECT statements FROM indexpilot.capture_memory()") <= 100.0);
        let total = (CLIENTS * EACH) as f64;
        if (total..=total + asked + 20.0).contains(&(saved + dropped)) {
            Ok(())
        } else {
            Err(format!("{saved} saved and {dropped} dropped of {total}"))
        }
    });
}

/// Backends in the middle of statements, one of them inside a function's; one is killed.
#[test]
fn a_crash_in_mid_flight_loses_an_interval_at_most_and_keeps_the_history() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = '1s'")
        .start();
    cluster.session().run("CREATE EXTENSION indexpilot");
    let mut session = watched(&cluster);
    session.run(
        "CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000);
         CREATE FUNCTION slowly() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
             FOR turn IN 1..100000 LOOP PERFORM count(*) FROM t WHERE id > turn; END LOOP;
             RETURN 1; END $$",
    );
    for number in 0..60 {
        session.run(&format!(
            "SELECT {} FROM t WHERE id = {number}",
            vec!["id"; number + 1].join(", ")
        ));
    }
    let ours = "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
        JOIN indexpilot.statement_stats AS t ON t.statement = s.id
        WHERE s.query = 'SELECT id FROM t WHERE id = $1 OR id < $2'";
    let done = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let before = std::thread::scope(|scope| {
        let mut victim = cluster.session();
        let pid = victim.pid();
        scope.spawn(move || {
            let _ = victim.try_rows("SELECT slowly()");
        });
        for _ in 0..4 {
            let mut client = cluster.session();
            let (done, answered) = (&done, &answered);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed)
                    && client
                        .try_rows("SELECT id FROM t WHERE id = 1 OR id < 2")
                        .is_ok()
                {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Some of it is saved, more is on its way, and the victim is at work.
        wait_for("traffic", PATIENCE, || match session.number(ours) {
            1.0.. => Ok(()),
            calls => Err(calls.to_string()),
        });
        assert_eq!(
            session.text(&format!(
                "SELECT state || ' ' || query FROM pg_stat_activity WHERE pid = {pid}"
            )),
            "active SELECT slowly()"
        );
        let memory = session.number("SELECT statements FROM indexpilot.capture_memory()");
        assert!(memory > 60.0, "{memory} statements in memory");
        cluster.wait(HISTORY, "60");
        let before = session.number(ours);
        cluster.crash(pid);
        done.store(true, Ordering::Relaxed);
        before
    });
    let mut session = watched(&cluster);
    // Counters start anew.
    let memory = session.number("SELECT statements FROM indexpilot.capture_memory()");
    assert!(memory < 60.0, "{memory} statements in memory");
    // What was saved is whole, and nothing is there that no client asked for; the statements
    // under way (one a client) may have been counted.
    let after = session.number(ours);
    let answered = answered.into_inner() as f64;
    assert!(
        before <= after && after <= answered + 4.0,
        "{before} saved before, {after} after, {answered} answered"
    );
    assert_eq!(session.text(HISTORY), "60");
    assert_eq!(
        session.text(
            "SELECT count(*) FROM indexpilot.statement AS s
             WHERE s.query LIKE '%slowly%' AND s.kind = 'select' AND EXISTS (
                 SELECT FROM indexpilot.statement_stats AS t WHERE t.statement = s.id AND t.calls > 0)"
        ),
        "0",
        "the statement that was killed never ended"
    );
    // And goes on where it stood.
    for _ in 0..3 {
        session.run("SELECT id FROM t WHERE id = 1 OR id < 2");
    }
    cluster.wait(ours, &format!("{}", after + 3.0));
}

/// All calls of the sixty statements.
const HISTORY: &str = "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
    JOIN indexpilot.statement_stats AS t ON t.statement = s.id
    WHERE s.query LIKE 'SELECT id%FROM t WHERE id = $1'";
