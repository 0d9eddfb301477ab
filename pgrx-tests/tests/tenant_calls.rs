//! Every execution has its tenant, from the first on.

use indexpilot_tests::{Cluster, PATIENCE, Session, wait_for};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Waits until all calls of a statement are saved, and gives those without a tenant.
fn without_tenant(session: &mut Session, text: &str, calls: u64) -> u64 {
    let count = |table: &str, session: &mut Session| {
        session.number(&format!(
            "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
             JOIN indexpilot.{table} AS t ON t.statement = s.id WHERE s.query LIKE '{text}'"
        ))
    };
    wait_for("the calls to be saved", PATIENCE, || {
        match count("statement_stats", session) {
            all if all >= calls as f64 => Ok(()),
            all => Err(format!("{all} of {calls}")),
        }
    });
    (count("statement_stats", session) - count("tenant_stats", session)) as u64
}

fn cluster() -> Cluster {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = '1s'\nmax_connections = 60")
        .start();
    cluster.session().run(
        "CREATE TABLE t (id int, tenant_id int, email text);
         INSERT INTO t SELECT g, g % 50, 'u' || g FROM generate_series(1, 1000) AS g",
    );
    cluster
}

#[test]
fn right_after_create_extension() {
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    for call in 0..40 {
        session.run(&format!(
            "SELECT email FROM t WHERE tenant_id = 42 AND email = 'u{call}42'"
        ));
    }
    let lost = without_tenant(&mut session, "SELECT email FROM t%", 40);
    assert_eq!(lost, 0);
}

#[test]
fn many_clients_at_first_sight() {
    let cluster = cluster();
    cluster.session().run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    let start = Barrier::new(20);
    std::thread::scope(|scope| {
        for client in 0..20i32 {
            let (cluster, start) = (&cluster, &start);
            scope.spawn(move || {
                let mut session = cluster.session();
                start.wait();
                for _ in 0..3 {
                    session.run("SELECT email FROM t WHERE tenant_id = 42 AND id = 7");
                    session
                        .query("SELECT id FROM t WHERE tenant_id = $1", &[&client])
                        .expect("a prepared statement runs");
                }
            });
        }
    });
    let mut session = cluster.session();
    let constant = without_tenant(&mut session, "SELECT email FROM t%", 60);
    let parameter = without_tenant(&mut session, "SELECT id FROM t%", 60);
    assert_eq!((constant, parameter), (0, 0));
}

#[test]
fn prepared_with_the_constant_long_ago() {
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    for number in 1..=200 {
        session.run(&format!(
            "PREPARE p{number} AS SELECT {} FROM t WHERE tenant_id = 5",
            vec!["id"; number].join(", ")
        ));
    }
    for _ in 0..2 {
        for number in 1..=200 {
            session.run(&format!("EXECUTE p{number}"));
        }
    }
    let lost = without_tenant(&mut session, "PREPARE p%FROM t%", 400);
    assert_eq!(lost, 0);
}

/// Statements that differ in the tenant only are one; each keeps its own.
#[test]
fn every_major_tells_the_tenants_of_kept_plans_apart() {
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    session.run("PREPARE five AS SELECT id FROM t WHERE tenant_id = 5");
    session.run("PREPARE six AS SELECT id FROM t WHERE tenant_id = 6");
    session.run(
        "CREATE FUNCTION seven() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN
             SELECT count(*) INTO n FROM t WHERE tenant_id = 7;
             SELECT count(*) INTO n FROM t WHERE tenant_id = 8;
             RETURN n; END $$",
    );
    session.run("EXECUTE five; EXECUTE six");
    for _ in 0..3 {
        session.run("EXECUTE five");
        session.run("SELECT seven()");
    }
    // Two statements of one string.
    session
        .run("SELECT email FROM t WHERE tenant_id = 9; SELECT email FROM t WHERE tenant_id = 10");
    for (tenant, calls) in [
        ("5", "4"),
        ("6", "1"),
        ("7", "3"),
        ("8", "3"),
        ("9", "1"),
        ("10", "1"),
    ] {
        cluster.wait(
            &format!("SELECT coalesce(sum(calls), 0) FROM indexpilot.tenant_stats WHERE tenant = '{tenant}'"),
            calls,
        );
    }
}

/// Statements go on while they are saved: what ends between the saving of a statement's
/// counters and of its tenants' keeps its tenant.
#[test]
fn no_call_loses_its_tenant_while_counters_are_saved() {
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    let (done, ran) = (AtomicBool::new(false), AtomicU64::new(0));
    let calls = |table: &str| {
        format!(
            "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
             JOIN indexpilot.{table} AS t ON t.statement = s.id
             WHERE s.query LIKE 'SELECT id%FROM t WHERE tenant_id = $1'"
        )
    };
    std::thread::scope(|scope| {
        for client in 0..2i32 {
            let (cluster, done, ran) = (&cluster, &done, &ran);
            scope.spawn(move || {
                let mut session = cluster.session();
                // Many statements: the longer they take to be saved, the more end meanwhile.
                let statements: Vec<_> = (1..=60)
                    .map(|columns| {
                        let columns = vec!["id"; columns].join(", ");
                        let text = format!("SELECT {columns} FROM t WHERE tenant_id = $1");
                        session.prepare(&text).expect("a statement is prepared")
                    })
                    .collect();
                while !done.load(Ordering::Relaxed) {
                    for statement in &statements {
                        session.query(statement, &[&client]).expect("it runs");
                        ran.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // Until it was saved five times at work.
        let mut saved = Vec::new();
        wait_for("five savings", PATIENCE, || {
            let now = session.number(&calls("statement_stats"));
            if saved.last() != Some(&now) {
                saved.push(now);
            }
            if saved.len() > 5 {
                Ok(())
            } else {
                Err(format!("{saved:?}"))
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let ran = ran.into_inner().to_string();
    cluster.wait(&calls("statement_stats"), &ran);
    cluster.wait(&calls("tenant_stats"), &ran);
    assert_eq!(
        session.text(
            "SELECT coalesce(sum(calls), 0) FROM indexpilot.query_stats
             WHERE field = 'tenant_id' AND role = 'equality'"
        ),
        ran,
        "by field, with and without tenant"
    );
}

/// A session stands still at the first sight of a statement, in a lookup of ours; another one
/// runs the same statement meanwhile, and does not wait for it.
#[test]
fn a_session_does_not_need_the_first_sight_of_another() {
    let cluster = cluster();
    let mut other = cluster.session();
    other.run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    other.run(
        "CREATE SCHEMA s; CREATE TABLE s.t (c int, tenant_id int);
         CREATE SCHEMA warm; CREATE TABLE warm.t (c int, tenant_id int)",
    );
    // Knows the table, but has not asked for its tenant column, which is what our lookup
    // does; what else it needs is warmed by the like of it.
    let mut first = cluster.session();
    first.run("SELECT c FROM s.t");
    first.run("SELECT c FROM warm.t WHERE tenant_id = 1");
    first.run("ALTER TABLE warm.t ALTER COLUMN c SET STATISTICS 10");
    let pid = first.pid();
    // Knows everything, by another statement.
    other.run("SELECT c FROM s.t WHERE c = 1 AND tenant_id = 1");
    let mut watcher = cluster.session();
    let waiting = format!(
        "SELECT count(*) FROM pg_catalog.pg_locks
         WHERE pid = {pid} AND NOT granted AND relation = 1249"
    );
    watcher.text(&waiting);
    let mut locker = cluster.session();
    locker.run("BEGIN; LOCK TABLE pg_catalog.pg_attribute IN ACCESS EXCLUSIVE MODE");
    let text = "SELECT c FROM s.t WHERE tenant_id = 3";
    let running = std::thread::spawn(move || {
        first.run(text);
    });
    wait_for("the first session to wait", PATIENCE, || {
        match watcher.text(&waiting).as_str() {
            "1" => Ok(()),
            count => Err(count.to_owned()),
        }
    });
    for _ in 0..3 {
        other.run(text);
    }
    assert_eq!(watcher.text(&waiting), "1", "still there");
    locker.run("ROLLBACK");
    running.join().expect("the first session ends");
    cluster.wait(
        "SELECT coalesce(sum(calls), 0) FROM indexpilot.tenant_stats WHERE tenant = '3'",
        "4",
    );
}

/// Wherever the condition on the tenant column stands, as long as it must hold.
#[test]
fn every_major_finds_the_tenant_wherever_its_condition_stands() {
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    session.run(
        "CREATE VIEW v AS SELECT id AS n, tenant_id AS owner FROM t;
         CREATE TABLE named (id int, tenant_id text)",
    );
    let named = [
        "SELECT email FROM t WHERE tenant_id <> 1 AND tenant_id = {}",
        "SELECT email FROM t WHERE {} = tenant_id AND id = 1",
        "SELECT email FROM t WHERE (id = 1 AND (tenant_id = {} AND email = 'a'))",
        "SELECT n FROM v WHERE owner = {}",
        "WITH x AS (SELECT * FROM t) SELECT id FROM x WHERE tenant_id = {}",
        "WITH x AS MATERIALIZED (SELECT id FROM t WHERE tenant_id = {}) SELECT count(*) FROM x",
        "WITH x AS (DELETE FROM t WHERE id = -1 RETURNING tenant_id AS who)
             SELECT count(*) FROM x WHERE who = {}",
        "SELECT count(*) FROM (SELECT id FROM t WHERE tenant_id = {} OFFSET 0) AS s",
        "SELECT a.id FROM t AS a JOIN t AS b USING (tenant_id, id) WHERE tenant_id = {}",
        "SELECT a.id FROM t AS a JOIN t AS b ON b.id = a.id AND b.tenant_id = {}",
        "SELECT a.id FROM t AS a LEFT JOIN v AS b ON b.n = a.id WHERE a.tenant_id = {}",
        "SELECT 1 WHERE EXISTS (SELECT FROM t WHERE tenant_id = {})",
        "SELECT (SELECT count(*) FROM t WHERE tenant_id = {}) AS n",
        "SELECT count(*) FROM t AS a WHERE EXISTS (
             SELECT FROM named AS n WHERE n.id = a.id AND a.tenant_id = {})",
        "SELECT id FROM t WHERE tenant_id = {} UNION ALL SELECT id FROM named",
        "SELECT count(*) FROM (SELECT tenant_id AS who FROM t UNION ALL
             SELECT tenant_id FROM t) AS u WHERE who = {}",
        "SELECT tenant_id FROM t GROUP BY tenant_id HAVING tenant_id = {}",
        "UPDATE t SET email = email WHERE tenant_id = {}",
        "DELETE FROM t WHERE tenant_id = {} AND id = -1",
        "SELECT email FROM t WHERE tenant_id = {}::bigint",
        "SELECT count(*) FROM (VALUES ({})) AS w (k) JOIN t ON t.tenant_id = w.k",
        "SELECT id FROM named WHERE tenant_id = '{}'",
        "SELECT id FROM named WHERE tenant_id = '{}'::varchar",
    ];
    let unnamed = [
        "SELECT email FROM t WHERE tenant_id = {} OR id = 1",
        "SELECT email FROM t WHERE tenant_id > {}",
        "SELECT email FROM t WHERE tenant_id IN ({}, 7)",
        "SELECT email FROM t WHERE NOT tenant_id = {}",
        "SELECT email FROM t WHERE id = {}",
        "SELECT n FROM v WHERE n = {}",
        "SELECT tenant_id FROM t GROUP BY tenant_id HAVING count(tenant_id) = {}",
        "SELECT email FROM t WHERE tenant_id + 1 = {}",
        "SELECT count(*) FROM named WHERE tenant_id LIKE '{}'",
    ];
    for (place, text) in named.iter().chain(&unnamed).enumerate() {
        let text = text.replace("{}", &(1_000 + place).to_string());
        // The first sight, a plan that is kept, and the same statement of another tenant.
        session.run(&text);
        session.run(&format!("PREPARE p{place} AS {text}"));
        session.run(&format!("EXECUTE p{place}"));
        let other = text.replace(&(1_000 + place).to_string(), &(2_000 + place).to_string());
        session.run(&other);
    }
    let calls = |tenant: usize| {
        format!(
            "SELECT coalesce(sum(calls), 0) FROM indexpilot.tenant_stats WHERE tenant = '{tenant}'"
        )
    };
    for place in 0..named.len() {
        cluster.wait(&calls(1_000 + place), "2");
        cluster.wait(&calls(2_000 + place), "1");
    }
    let places = named.len()..named.len() + unnamed.len();
    for place in places {
        assert_eq!(
            (
                session.text(&calls(1_000 + place)).as_str(),
                session.text(&calls(2_000 + place)).as_str()
            ),
            ("0", "0"),
            "{}",
            unnamed[place - named.len()]
        );
    }
}

#[test]
fn the_schema_names_the_tenant_where_it_is_only_one() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = '1s'\nindexpilot.tenant_source = schema")
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot;
         CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA shared;
         CREATE TABLE one.t (id int, n int); CREATE TABLE two.t (id int, n int);
         CREATE VIEW shared.v AS SELECT id FROM one.t",
    );
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    session.run("SELECT id FROM one.t WHERE id = 1");
    session.run("SELECT id FROM two.t WHERE id = 1");
    session.run("UPDATE two.t SET n = 1 WHERE id = 2");
    session.run("INSERT INTO two.t SELECT id FROM two.t WHERE id = 3");
    // Of the view's schema nothing is read.
    session.run("SELECT id FROM shared.v WHERE id = 1");
    session.run("SELECT o.id FROM one.t AS o JOIN two.t USING (id)");
    session.run("SELECT id FROM one.t WHERE id IN (SELECT id FROM two.t)");
    let calls = "SELECT string_agg(tenant || ' ' || calls, ', ' ORDER BY tenant) FROM (
        SELECT tenant, sum(calls) AS calls FROM indexpilot.tenant_stats
        WHERE tenant IN ('one', 'two', 'shared') GROUP BY 1) AS t";
    cluster.wait(calls, "one 2, two 3");
}
