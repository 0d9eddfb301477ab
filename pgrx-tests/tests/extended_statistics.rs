//! Extended statistics: advised where columns depend on each other and statements ask for both,
//! made and analysed when applied, undone exactly, and not advised where they are there.

use indexpilot_tests::{Cluster, PATIENCE, Session, wait_for};

const SEARCH: &str = "SELECT count(*) FROM addresses WHERE city = 7 AND zip = 70";
const OTHER: &str = "SELECT count(*) FROM addresses WHERE colour = 3 AND size = 4";
const GROUPS: &str =
    "SELECT count(*) FROM (SELECT city, zip FROM addresses GROUP BY city, zip) AS g";

const ADVISED: &str =
    "SELECT state FROM indexpilot.recommendations WHERE action = 'create statistics'";

/// A zip code lies in one city; a colour says nothing of a size.
fn addresses(cluster: &Cluster) -> Session {
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE ROLE clerk;
         CREATE TABLE addresses (id int, city int, zip int, colour int, size int);
         ALTER TABLE addresses OWNER TO clerk;
         INSERT INTO addresses
             SELECT g, (hashint4(g) & 65535) % 1000 / 10, (hashint4(g) & 65535) % 1000,
                 (hashint4(g + 1000000) & 65535) % 20, (hashint4(g + 2000000) & 65535) % 30
             FROM generate_series(1, 200000) AS g",
    );
    session.run("VACUUM ANALYZE addresses");
    session
}

fn traffic(cluster: &Cluster, session: &mut Session, statements: &[&str]) {
    for _ in 0..10 {
        for statement in statements {
            session.run(statement);
        }
    }
    cluster.wait(
        "SELECT count(*) FROM indexpilot.statements WHERE query LIKE '%FROM addresses%'",
        &statements.len().to_string(),
    );
}

/// Rows that the planner expects at the top of a plan.
fn expected(session: &mut Session, statement: &str) -> f64 {
    let inner = statement.replace("count(*)", "*");
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {inner}"));
    let (_, rows) = plan.split_once("\"Plan Rows\": ").expect("rows");
    let rows = rows.split([',', '\n']).next().unwrap_or_default();
    rows.trim().parse().expect("a number")
}

fn advised(session: &mut Session, wanted: &[&str]) {
    wait_for("advice", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        let found = session.column(ADVISED);
        if found == wanted {
            return Ok(());
        }
        Err(format!(
            "{found:?} {:?}",
            session.rows("SELECT action, state, reason FROM indexpilot.recommendations")
        ))
    });
}

fn cluster() -> Cluster {
    Cluster::builder()
        .conf(
            "indexpilot.flush_interval = 1
             indexpilot.cpu_limit = 100
             indexpilot.cooldown = 0
             indexpilot.maintenance_window = 'always'
             indexpilot.max_builds_per_day = 0
             max_parallel_workers_per_gather = 0",
        )
        .start()
}

#[test]
fn dependent_columns_are_advised_and_mended_and_it_is_undone_every_major() {
    let cluster = cluster();
    let mut session = addresses(&cluster);
    traffic(&cluster, &mut session, &[SEARCH, OTHER, GROUPS]);
    let (search, groups) = (
        expected(&mut session, SEARCH),
        expected(&mut session, GROUPS),
    );
    assert!(
        search < 10.0 && groups > 4_000.0,
        "{search} {groups}: the trap is not set"
    );
    advised(&mut session, &["proposed"]);
    let row = &session.rows(
        "SELECT definition, reason, table_name, indexpilot.preview(id)
         FROM indexpilot.recommendations WHERE action = 'create statistics'",
    )[0];
    let text = |k: usize| row[k].clone().expect("a value");
    println!("{row:?}");
    assert!(
        text(0).contains("(ndistinct, dependencies) ON city, zip"),
        "{row:?}"
    );
    assert!(
        text(1).contains("times too few") && text(1).contains("groups"),
        "{row:?}"
    );
    assert!(
        text(3).starts_with("CREATE STATISTICS") && text(3).contains("ANALYZE"),
        "{row:?}"
    );
    // Not by itself, whatever the stage of indexes (of which none may be built here).
    session.run("ALTER DATABASE postgres SET indexpilot.create_index = 'auto'");
    session.run("SELECT * FROM indexpilot.analyze()");
    session.run("ALTER DATABASE postgres RESET indexpilot.create_index");
    assert_eq!(session.column(ADVISED), ["proposed"]);
    session.run(
        "SELECT indexpilot.apply(id) FROM indexpilot.recommendations
         WHERE action = 'create statistics'",
    );
    advised(&mut session, &["kept"]);
    assert_eq!(
        session.rows(
            "SELECT pg_get_userbyid(stxowner), stxrelid::regclass, stxkeys
             FROM pg_statistic_ext"
        ),
        [[
            Some("clerk".into()),
            Some("addresses".into()),
            Some("2 3".into())
        ]]
    );
    // Two hundred rows have it, in a thousand groups.
    let better = (
        expected(&mut session, SEARCH),
        expected(&mut session, GROUPS),
    );
    assert!((100.0..400.0).contains(&better.0), "{better:?}");
    assert!((500.0..2_000.0).contains(&better.1), "{better:?}");
    // Known now: not advised again.
    let seen =
        "SELECT times_seen FROM indexpilot.recommendations WHERE action = 'create statistics'";
    let before = session.text(seen);
    session.run("SELECT * FROM indexpilot.analyze()");
    assert_eq!(
        (session.text(seen), session.column(ADVISED)),
        (before, vec!["kept".to_owned()])
    );
    let mutation = session.text(
        "SELECT id FROM indexpilot.mutation_log
         WHERE kind = 'CREATE_STATISTICS' AND phase = 'intent' AND recommendation IS NOT NULL",
    );
    let preview = session.text(&format!("SELECT indexpilot.rollback_preview('{mutation}')"));
    assert!(preview.starts_with("DROP STATISTICS"), "{preview}");
    session.run(&format!("SELECT indexpilot.rollback('{mutation}')"));
    cluster.wait("SELECT count(*) FROM pg_statistic_ext", "0");
    cluster.wait(
        "SELECT string_agg(phase || ' ' || (inverse ->> 'action'), ', ' ORDER BY sequence)
         FROM indexpilot.mutation_log WHERE kind = 'DROP_STATISTICS'",
        "intent create_statistics, outcome create_statistics",
    );
    assert_eq!(
        session.number("SELECT count(*) FROM indexpilot.verify_log()"),
        0.0
    );
    // Needed again, until somebody makes them by hand.
    advised(&mut session, &["proposed"]);
    session.run("CREATE STATISTICS mine ON zip, city FROM addresses");
    session.run("ANALYZE addresses");
    advised(&mut session, &["expired"]);
}

#[test]
fn columns_that_are_independent_are_left_alone() {
    let cluster = cluster();
    let mut session = addresses(&cluster);
    traffic(&cluster, &mut session, &[OTHER]);
    session.run("SELECT * FROM indexpilot.analyze()");
    assert_eq!(
        session.column(
            "SELECT DISTINCT statements > 0 FROM indexpilot.analysis ORDER BY 1 DESC LIMIT 1"
        ),
        ["t"]
    );
    assert_eq!(session.column(ADVISED), Vec::<String>::new());
}
