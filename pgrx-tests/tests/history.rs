//! History from pg_stat_statements: imported once, without what was captured, for analyses.

use indexpilot_tests::{Cluster, PATIENCE, Session, advised, lacks_module, wait_for};

fn cluster() -> Cluster {
    Cluster::builder()
        .preload("pg_stat_statements, indexpilot")
        .conf(
            "indexpilot.flush_interval = 1
             indexpilot.create_index = 'off'
             indexpilot.drop_index = 'off'
             pg_stat_statements.track = 'all'
             max_parallel_workers_per_gather = 0",
        )
        .start()
}

const SHOP: &str = "
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, customer int, placed date, note text);
    INSERT INTO shop.orders SELECT g, g % 5000, date '2024-01-01' + g % 300, repeat('x', 50)
    FROM generate_series(1, 60000) AS g;
    ANALYZE shop.orders";

/// (outcome, reason, statements, calls).
fn import(session: &mut Session) -> Vec<(String, String, f64, f64)> {
    session
        .rows(
            "SELECT outcome, reason, statements, calls FROM indexpilot.import_pg_stat_statements()",
        )
        .into_iter()
        .map(|row| {
            let text = |n: usize| row[n].clone().unwrap_or_default();
            let number = |n: usize| text(n).parse().expect("a number");
            (text(0), text(1), number(2), number(3))
        })
        .collect()
}

fn imported(session: &mut Session, like: &str) -> f64 {
    session.number(&format!(
        "SELECT coalesce(sum(i.calls), 0) FROM indexpilot.imported_stats AS i
         JOIN indexpilot.statement AS s ON s.id = i.statement WHERE s.query LIKE '{like}'"
    ))
}

#[test]
fn history_makes_advice_and_is_counted_once() {
    if lacks_module("pg_stat_statements") {
        return;
    }
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_stat_statements");
    session.run(SHOP);
    session.run("CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA shop TO app; GRANT ALL ON shop.orders TO app; ALTER ROLE app SET search_path = shop");
    session.run("SELECT pg_stat_statements_reset()");
    // Before the extension is there nothing is captured.
    let mut app = cluster.session_as("app", "postgres");
    let traffic = |app: &mut Session, calls: usize| {
        for call in 0..calls {
            app.rows(&format!(
                "SELECT note FROM orders WHERE customer = {}",
                call * 7
            ));
        }
    };
    traffic(&mut app, 40);
    app.rows("SELECT count(*) FROM orders WHERE placed > date '2024-06-01' - interval '3 days'");
    app.rows("SELECT count(*) FROM pg_class");
    session.run("CREATE TABLE shop.gone (id int)");
    session.rows("SELECT * FROM shop.gone");
    session.run("DROP TABLE shop.gone");
    session.run("CREATE EXTENSION indexpilot");
    let outcome = import(&mut session);
    let reasons: Vec<&str> = outcome.iter().map(|row| row.1.as_str()).collect();
    let has = |what: &str| reasons.iter().any(|reason| reason.contains(what));
    assert!(has("system's relations"), "{outcome:?}");
    assert!(has("does not exist"), "{outcome:?}");
    assert!(has("no SELECT"), "{outcome:?}");
    assert!(
        outcome[0].0 == "imported" && outcome[0].2 >= 2.0,
        "{outcome:?}"
    );
    assert_eq!(imported(&mut session, "SELECT note FROM orders%"), 40.0);
    // Typed literals are read again.
    assert_eq!(imported(&mut session, "SELECT count(*) FROM orders%"), 1.0);
    // Once more is not twice as much.
    import(&mut session);
    assert_eq!(imported(&mut session, "SELECT note FROM orders%"), 40.0);
    // What is captured from now on is not imported, saved or not.
    traffic(&mut app, 15);
    import(&mut session);
    let captured = "SELECT coalesce(sum(b.calls), 0) FROM indexpilot.statement_stats AS b
         JOIN indexpilot.statement AS s ON s.id = b.statement WHERE s.query LIKE 'SELECT note FROM orders%'";
    wait_for("the traffic to be saved", PATIENCE, || {
        let calls = session.number(captured);
        if calls == 15.0 {
            Ok(())
        } else {
            Err(format!("{calls}"))
        }
    });
    assert_eq!(imported(&mut session, "SELECT note FROM orders%"), 40.0);
    import(&mut session);
    assert_eq!(imported(&mut session, "SELECT note FROM orders%"), 40.0);
    // One statement, whoever counted it.
    assert_eq!(
        session.number(
            "SELECT count(*) FROM indexpilot.statement WHERE query LIKE 'SELECT note FROM orders%'"
        ),
        1.0
    );
    assert_eq!(
        session.number(
            "SELECT sum(h.calls) FROM indexpilot.statement_history AS h
             JOIN indexpilot.statement AS s ON s.id = h.statement WHERE s.query LIKE 'SELECT note FROM orders%'"
        ),
        55.0
    );
}

#[test]
fn advice_rests_on_history_alone() {
    if lacks_module("pg_stat_statements") {
        return;
    }
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_stat_statements");
    session.run(SHOP);
    for call in 0..60 {
        session.rows(&format!(
            "SELECT note FROM shop.orders WHERE customer = {}",
            call * 7
        ));
    }
    session.run("CREATE EXTENSION indexpilot");
    import(&mut session);
    session.run("ALTER DATABASE postgres SET indexpilot.create_index = 'advise'");
    advised(&mut session, "customer");
}

#[test]
fn rights_and_a_missing_extension_are_said() {
    if lacks_module("pg_stat_statements") {
        return;
    }
    let cluster = cluster();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    let e = session.error("SELECT * FROM indexpilot.import_pg_stat_statements()");
    assert_eq!(e.code, "55000");
    assert!(e.message.contains("not installed in this database"), "{e}");
    session.run(
        "CREATE EXTENSION pg_stat_statements; CREATE ROLE app LOGIN;
         GRANT EXECUTE ON FUNCTION indexpilot.import_pg_stat_statements() TO app;
         GRANT USAGE ON SCHEMA indexpilot TO app",
    );
    let mut app = cluster.session_as("app", "postgres");
    let e = app.error("SELECT * FROM indexpilot.import_pg_stat_statements()");
    assert_eq!(e.code, "42501");
}
