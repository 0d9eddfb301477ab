//! What-if stops when it is told to, and counts what it does.

use indexpilot_tests::{Cluster, Session};
use std::thread;
use std::time::{Duration, Instant};

fn table(session: &mut Session) {
    session.run(
        "CREATE TABLE t AS SELECT g AS a, g % 100 AS b, 'v' || g % 1000 AS c, g % 7 AS d, g % 13 AS e
             FROM generate_series(1, 20000) AS g",
    );
    session.run("VACUUM ANALYZE t");
}

/// The bound is wide because the machine may be busy; uncancelled, each of these takes minutes.
/// `make bench-whatif` measures how long a cancel takes.
#[test]
fn every_major_honours_a_cancel() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    session.run(
        "CREATE FUNCTION endless(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             'BEGIN LOOP NULL; END LOOP; END'",
    );
    let relations = (1..=11)
        .map(|i| format!("t AS t{i}"))
        .collect::<Vec<_>>()
        .join(", ");
    let joins = (2..=11)
        // One class of equal values: every order of joins is possible.
        .map(|i| format!("t{i}.a = t1.a"))
        .collect::<Vec<_>>()
        .join(" AND ");
    for work in [
        format!(
            "SELECT count(*) FROM indexpilot.what_if_subsets('SELECT count(*) FROM {relations} WHERE {joins}',
             ARRAY['CREATE INDEX ON t (a)', 'CREATE INDEX ON t (b)', 'CREATE INDEX ON t (a, b)', 'CREATE INDEX ON t (b, a)', 'CREATE INDEX ON t (a, c)', 'CREATE INDEX ON t (a, d)'], 6, reuse => false)"
        ),
        "SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = endless(1)')".into(),
        "SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON t (endless(a))')".into(),
    ] {
        let mut other = cluster.session();
        other.run("SET geqo = off; SET join_collapse_limit = 12; SET from_collapse_limit = 12");
        let pid = other.pid();
        let working = thread::spawn(move || {
            let error = other.error(&work);
            (error.code, other)
        });
        cluster.wait(
            &format!("SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}"),
            "t",
        );
        // Somewhere in the middle; wherever it strikes, it must be honoured.
        thread::sleep(Duration::from_millis(300));
        let cancelled = Instant::now();
        session.run(&format!("SELECT pg_cancel_backend({pid})"));
        let (code, mut other) = working.join().expect("the other session");
        assert_eq!(code, "57014");
        assert!(cancelled.elapsed() < Duration::from_secs(20));
        // The session goes on, and holds nothing.
        assert_eq!(
            other.number(
                "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 't'::regclass"
            ),
            0.0
        );
        other.run("SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = 1')");
    }
}

#[test]
fn counters_tell_what_happened() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    session.run("CREATE ROLE reader LOGIN");
    let mut reader = cluster.session_as("reader", "postgres");
    let columns = [
        "requests",
        "cache_hits",
        "planner_calls",
        "retries",
        "not_plannable",
        "lock_timeout",
        "cancelled",
        "invalid_index",
        "insufficient_privilege",
        "other",
    ];
    let read = |session: &mut Session| -> Vec<i64> {
        session.rows(&format!(
            "SELECT {} FROM indexpilot.what_if_activity",
            columns.join(", ")
        ))[0]
            .iter()
            .map(|value| {
                value
                    .as_deref()
                    .expect("a value")
                    .parse()
                    .expect("a number")
            })
            .collect()
    };
    let expect = |session: &mut Session,
                  what: &str,
                  wanted: &[(&str, i64)],
                  work: &mut dyn FnMut(&mut Session)| {
        let before = read(session);
        work(session);
        let after = read(session);
        for (position, column) in columns.iter().enumerate() {
            let grown = after[position] - before[position];
            let due = wanted
                .iter()
                .find(|(name, _)| name == column)
                .map_or(0, |(_, number)| *number);
            assert_eq!(grown, due, "{what}: {column}");
        }
    };
    expect(
        &mut session,
        "a comparison",
        &[("requests", 2), ("planner_calls", 2)],
        &mut |s| {
            s.run("SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = 1', '{CREATE INDEX ON t (a)}')")
        },
    );
    // Without, with one, with the other, with both: the second index cannot matter.
    expect(
        &mut session,
        "subsets",
        &[("requests", 4), ("planner_calls", 2), ("cache_hits", 2)],
        &mut |s| {
            s.run("SELECT * FROM indexpilot.what_if_subsets('SELECT * FROM t WHERE a = 1', '{CREATE INDEX ON t (a),CREATE INDEX ON t (e)}')")
        },
    );
    expect(
        &mut session,
        "syntax",
        &[("requests", 1), ("not_plannable", 1)],
        &mut |s| {
            s.error("SELECT * FROM indexpilot.what_if('SELEC')");
        },
    );
    expect(
        &mut session,
        "an index that cannot be",
        &[("requests", 1), ("invalid_index", 1)],
        &mut |s| {
            s.error("SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON t (nothing)')");
        },
    );
    expect(
        &mut session,
        "rights",
        &[
            ("requests", 1),
            ("insufficient_privilege", 1),
            ("planner_calls", 1),
        ],
        &mut |_| {
            reader.error("SELECT * FROM indexpilot.what_if('SELECT * FROM t')");
        },
    );
    expect(
        &mut session,
        "a lock",
        &[("requests", 1), ("lock_timeout", 1), ("retries", 3)],
        &mut |s| {
            let mut other = cluster.session();
            other.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
            s.error("SELECT * FROM indexpilot.what_if('SELECT * FROM t')");
        },
    );
    expect(
        &mut session,
        "a cancel",
        &[("requests", 1), ("cancelled", 1), ("planner_calls", 1)],
        &mut |s| {
            s.run(
                "CREATE FUNCTION sleepy() RETURNS int LANGUAGE plpgsql IMMUTABLE AS
                 'BEGIN PERFORM pg_sleep(600); RETURN 1; END';
                 SET statement_timeout = '200ms'",
            );
            s.error("SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = sleepy()')");
            s.run("RESET statement_timeout");
        },
    );
    // Time is measured for one round in sixteen.
    for _ in 0..20 {
        session.run("SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = 1')");
    }
    let row = session.rows(
        "SELECT success_rate BETWEEN 0.01 AND 0.99, mean_cpu_us > 0, mean_planner_cpu_us > 0,
                mean_cpu_us >= mean_planner_cpu_us, decisions, planner_share IS NULL
         FROM indexpilot.what_if_activity",
    );
    let values: Vec<&str> = row[0]
        .iter()
        .map(|v| v.as_deref().expect("a value"))
        .collect();
    assert_eq!(values, ["t", "t", "t", "t", "0", "t"]);
    // Three analyses that advised something, two of them verified by the planner; one that
    // advised nothing does not count.
    session.run(
        "INSERT INTO indexpilot.analysis
         SELECT gen_random_uuid(), 1, d.oid, now(), now(), 1, 1, 1, 1, 1, 0, n < 3,
                CASE n WHEN 4 THEN 'nothing to do' END, '[]', '[]'
         FROM generate_series(1, 4) AS n, pg_database AS d WHERE d.datname = current_database()",
    );
    assert_eq!(
        session.text("SELECT decisions || ' ' || round(planner_share::numeric, 3) FROM indexpilot.what_if_activity"),
        "3 0.667"
    );
}
