//! What analyses make of indexes that are there, ours above all.

mod jobs;

use indexpilot_tests::{Cluster, PATIENCE, Session, past_traffic, wait_for};
use jobs::Ground;

/// Traffic of one statement, filed under minutes that have passed.
fn traffic(ground: &Ground, statement: &str, pattern: &str, minutes: i32) {
    past_traffic(
        &mut ground.session(),
        &mut ground.session(),
        &vec![statement.to_owned(); 20],
        pattern,
        minutes,
    );
}

/// Asks for analyses until the last one answers `sql` with `wanted`.
fn analysed(session: &mut Session, sql: &str, wanted: &str) {
    wait_for(wanted, PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        let found = session.column(sql);
        if found == [wanted] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
}

/// The budget is for all that we build, not for each analysis anew.
#[test]
fn what_we_built_has_its_part_of_the_budget() {
    let ground = Ground::with("max_parallel_workers_per_gather = 0");
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.orders (id int PRIMARY KEY, customer int, product int, note text);
         INSERT INTO crm.orders SELECT g, g, g * 7919 % 100000, repeat('x', 50) FROM generate_series(1, 100000) AS g;
         ANALYZE crm.orders",
    );
    // Two megabytes each.
    let job = ground.create_index("orders", &[(2, "customer")], "ip_orders_customer");
    ground.ends(&job, "succeeded");
    session.run("ALTER DATABASE postgres SET indexpilot.storage_budget = '4MB'");
    traffic(
        &ground,
        "SELECT note FROM crm.orders WHERE product = 77",
        "%product%",
        100,
    );
    analysed(
        &mut session,
        "SELECT count(*) FROM indexpilot.refused WHERE definition LIKE '%(product)'
             AND rule = 'no room' AND reason LIKE '%storage_budget%'",
        "1",
    );
    session.run("ALTER DATABASE postgres SET indexpilot.storage_budget = '8MB'");
    wait_for("the second index", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        let found = session.column(
            "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index AS i
             WHERE i.indrelid = 'crm.orders'::regclass AND i.indisvalid",
        );
        if found.iter().any(|index| index.ends_with("(product)")) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
}

/// A statement that ran in a hash join before our build and runs in a nested loop since tells
/// what its inner scans really take; one with an index of somebody else's does not.
#[test]
fn our_builds_calibrate_what_nested_loops_are_believed_to_cost() {
    for (ours, pairs) in [(true, "1"), (false, "0")] {
        // Nothing else is built, or there would be yet another plan.
        let ground = Ground::with(
            "indexpilot.create_index = 'advise'
             max_parallel_workers_per_gather = 0
             enable_bitmapscan = off",
        );
        let mut session = ground.session();
        // Far enough apart that no measured plan could be taken for the other.
        session.run(
            "CREATE TABLE crm.orders (id int PRIMARY KEY, customer int);
             INSERT INTO crm.orders SELECT g, g % 1000 FROM generate_series(1, 5000) AS g;
             CREATE TABLE crm.lines (parent int, amount int, note text);
             INSERT INTO crm.lines SELECT 1 + g % 20000, g, repeat('x', 50)
             FROM generate_series(1, 100000) AS g",
        );
        session.run("VACUUM ANALYZE crm.orders");
        session.run("VACUUM ANALYZE crm.lines");
        let statement = "SELECT sum(l.amount) FROM crm.orders AS o
             JOIN crm.lines AS l ON l.parent = o.id WHERE o.customer = 7";
        let plan = |session: &mut Session| {
            let lines = session.column(&format!("EXPLAIN {statement}"));
            lines.join("\n")
        };
        assert!(plan(&mut session).contains("Hash Join"));
        traffic(&ground, statement, "%sum(l.amount)%", 600);
        if ours {
            let intent = ground.create_intent("lines", &[(1, "parent")], "ip_lines_parent", false);
            let job = ground.queued("lines", &intent, "operator");
            ground.ends(&job, "succeeded");
        } else {
            session.run("CREATE INDEX ip_lines_parent ON crm.lines (parent)");
        }
        assert!(plan(&mut session).contains("Index Scan using ip_lines_parent"));
        traffic(&ground, statement, "%sum(l.amount)%", 300);
        analysed(
            &mut session,
            "SELECT (a.caution ->> 'pairs') FROM indexpilot.analysis AS a
             ORDER BY a.started_at DESC LIMIT 1",
            pairs,
        );
        let usual = session.text(
            "SELECT a.caution ->> 'scattered_fetch' = '0.2' FROM indexpilot.analysis AS a
             ORDER BY a.started_at DESC LIMIT 1",
        );
        assert_eq!(usual, if ours { "f" } else { "t" });
    }
}

/// How long an index went unused, and how much is written a day, are told from counters that a
/// clean restart keeps, a crash loses, and anybody may reset.
#[test]
fn every_major_counters_count_since_they_were_lost_or_reset() {
    let mut cluster = Cluster::with_extension();
    let since = |cluster: &Cluster| {
        let sql = "SELECT extract(epoch FROM indexpilot.counters_since())";
        cluster.session().number(sql)
    };
    let first = since(&cluster);
    cluster.restart();
    assert_eq!(since(&cluster), first);
    cluster.session().run("SELECT pg_stat_reset()");
    let reset = since(&cluster);
    assert!(reset > first, "{reset} after {first}");
    cluster.restart();
    assert_eq!(since(&cluster), reset);
    let mut victim = cluster.session();
    let pid = victim.number("SELECT pg_backend_pid()") as i32;
    // The postmaster goes on: its start tells nothing.
    cluster.crash(pid);
    let lost = since(&cluster);
    assert!(lost > reset, "{lost} after {reset}");
}

/// What nobody needs on this server may be what queries on a standby need.
#[test]
fn with_standbys_no_index_is_dropped_without_an_operator() {
    let ground = Ground::new();
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.orders (a int, b int, note text);
         INSERT INTO crm.orders SELECT g % 500, g, repeat('x', 50) FROM generate_series(1, 20000) AS g;
         CREATE INDEX orders_narrow ON crm.orders (a);
         CREATE INDEX orders_wide ON crm.orders (a, b);
         ANALYZE crm.orders;
         SELECT pg_create_physical_replication_slot('a_standby')",
    );
    traffic(
        &ground,
        "SELECT note FROM crm.orders WHERE a = 7 AND b = 7",
        "%note%",
        20,
    );
    // Upkeep is what an index that is there costs.
    traffic(
        &ground,
        "INSERT INTO crm.orders SELECT g % 500, g, 'new' FROM generate_series(1, 900) AS g",
        "INSERT INTO crm.orders%",
        10,
    );
    analysed(
        &mut session,
        "SELECT state || ': ' || (reason LIKE '%orders_wide%standbys%')::text
         FROM indexpilot.recommendation WHERE action = 'drop'",
        "proposed: true",
    );
    assert_eq!(
        session.number("SELECT count(*) FROM indexpilot.job"),
        0.0,
        "{:?}",
        session.rows("SELECT intent FROM indexpilot.job")
    );
    session.run("SELECT pg_drop_replication_slot('a_standby')");
    wait_for("the drop", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        if session.text("SELECT to_regclass('crm.orders_narrow') IS NULL") == "t" {
            Ok(())
        } else {
            Err(format!(
                "{:?}",
                session.rows("SELECT state, state_reason, reason FROM indexpilot.recommendation")
            ))
        }
    });
}
