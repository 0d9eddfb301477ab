//! What people read of advice: explain(), preview(), and the views of what is advised, refused
//! and left out.

use indexpilot_tests::{Cluster, PATIENCE, Session, advised, wait_for};

const DATA: &str = "
    CREATE SCHEMA crm;
    CREATE TABLE crm.orders (id int PRIMARY KEY, tenant_id int, customer int, secret text, placed timestamp);
    INSERT INTO crm.orders SELECT g, g % 3, g % 5000, 'secret ' || g,
        timestamp '2024-01-01' + g * interval '1 minute'
    FROM generate_series(1, 60000) AS g;
    CREATE TABLE crm.flags (id int PRIMARY KEY, done boolean, note text);
    INSERT INTO crm.flags SELECT g, g % 2 = 0, repeat('x', 100) FROM generate_series(1, 30000) AS g;
    CREATE ROLE shop; CREATE ROLE app LOGIN; CREATE ROLE stranger LOGIN;
    GRANT USAGE ON SCHEMA crm TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO app;
    ALTER TABLE crm.orders OWNER TO shop; ALTER TABLE crm.flags OWNER TO shop;
    CREATE ROLE owner LOGIN IN ROLE shop; CREATE ROLE auditor LOGIN IN ROLE pg_read_all_stats";

fn analysed(cluster: &Cluster) -> Session {
    let mut session = cluster.session();
    session.run(DATA);
    session.run("VACUUM ANALYZE crm.orders");
    session.run("VACUUM ANALYZE crm.flags");
    session.run("CREATE EXTENSION indexpilot");
    session.run("GRANT USAGE ON SCHEMA indexpilot TO PUBLIC");
    let mut app = cluster.session_as("app", "postgres");
    for call in 0..60 {
        app.run(&format!(
            "SELECT id FROM crm.orders WHERE tenant_id = {} AND customer = {} AND secret <> 'secret 5' AND placed::date = '2024-01-02'",
            call % 3,
            call * 7
        ));
        app.run("SELECT count(note) FROM crm.flags WHERE done");
    }
    advised(&mut session, "customer");
    session
}

#[test]
fn advice_explains_itself_to_those_who_may_know() {
    let cluster = Cluster::builder()
        .conf(
            "indexpilot.flush_interval = 1
             max_parallel_workers_per_gather = 0",
        )
        .start();
    let mut session = analysed(&cluster);
    let id = session.text(
        "SELECT id FROM indexpilot.recommendations WHERE definition LIKE '%customer%' LIMIT 1",
    );
    let explain = format!("SELECT indexpilot.explain('{id}')");
    let mut auditor = cluster.session_as("auditor", "postgres");
    let text = auditor.text(&explain);
    for part in [
        "Why: ",
        "Rule of thumb (queries × cost > build cost): ",
        " calls a day × ",
        "pays off above ",
        "confidence ",
        "    now:\n",
        "Seq Scan on orders",
        "    then:\n",
        "(hypothetical)",
        "(cost=",
        "wrapped_column (placed::DATE = ",
        "the same rows: (placed >= ",
        "It would run: CREATE INDEX CONCURRENTLY",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // Not a value of anybody's.
    assert!(
        !text.contains("secret 5") && !text.contains("2024-01-02"),
        "{text}"
    );
    // The table's owner sees the numbers, but not the statements of another role.
    let mut owner = cluster.session_as("owner", "postgres");
    let text = owner.text(&explain);
    assert!(
        text.contains("Why: ") && text.contains("<insufficient privilege>"),
        "{text}"
    );
    assert!(
        !text.contains("SELECT id") && !text.contains("Seq Scan"),
        "{text}"
    );
    for sql in ["analyze(0)", "recommendations"] {
        let reasons = owner.column(&format!("SELECT reason FROM indexpilot.{sql}"));
        assert!(
            !reasons.is_empty() && reasons.iter().all(|r| !r.contains("SELECT")),
            "{reasons:?}"
        );
    }
    let mut stranger = cluster.session_as("stranger", "postgres");
    assert_eq!(stranger.error(&explain).code, "42704");
    let preview = format!("SELECT indexpilot.preview('{id}')");
    assert!(
        session
            .text(&preview)
            .starts_with("CREATE INDEX CONCURRENTLY"),
        "{}",
        session.text(&preview)
    );
}

#[test]
fn views_show_what_is_advised_refused_and_left_out() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 1\nmax_parallel_workers_per_gather = 0")
        .start();
    let mut session = analysed(&cluster);
    let row = &session.rows(
        "SELECT state, action, table_name, saved_per_day > '0'::interval, size LIKE '%B',
             benefit_percent BETWEEN 1 AND 100, pays_above_calls_per_day > 0, statements
         FROM indexpilot.recommendations ORDER BY 1 LIMIT 1",
    )[0];
    let text = |n: usize| row[n].clone().unwrap_or_default();
    assert_eq!(
        (0..7).map(text).collect::<Vec<_>>(),
        ["proposed", "create", "crm.orders", "t", "t", "t", "t"]
    );
    // A flag alone is refused, and says so.
    let refused = session
        .rows("SELECT definition, reason FROM indexpilot.refused WHERE definition LIKE '%(done)%'");
    assert!(
        refused
            .iter()
            .any(|row| row[1].as_deref().is_some_and(|why| !why.is_empty())),
        "{refused:?}"
    );
    // What cannot be analysed is named.
    assert!(session.number("SELECT count(*) FROM indexpilot.not_analysed") >= 0.0);
    let count = "SELECT count(*) FROM indexpilot.";
    let mut stranger = cluster.session_as("stranger", "postgres");
    assert_eq!(stranger.number(&format!("{count}recommendations")), 0.0);
    assert_eq!(stranger.number(&format!("{count}refused")), 0.0);
    assert_eq!(
        stranger.error(&format!("{count}not_analysed")).code,
        "42501"
    );
    let mut owner = cluster.session_as("owner", "postgres");
    assert!(owner.number(&format!("{count}recommendations")) > 0.0);
    assert!(owner.number(&format!("{count}refused")) > 0.0);
}

#[test]
fn missing_and_stale_statistics_are_advised_and_carried_out() {
    let cluster = Cluster::builder()
        .conf(
            "indexpilot.flush_interval = 1
             indexpilot.create_index = 'auto'
             indexpilot.maintenance_window = 'always'
             indexpilot.cooldown = 0
             indexpilot.cpu_limit = 100
             autovacuum = off
             max_parallel_workers_per_gather = 0",
        )
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    // Each in a transaction of its own, as statistics count changes at commit.
    for sql in [
        "CREATE TABLE blind (id int PRIMARY KEY, note text)",
        "INSERT INTO blind SELECT g, repeat('x', 100) FROM generate_series(1, 30000) AS g",
        "CREATE TABLE behind (id int PRIMARY KEY, note text)",
        "INSERT INTO behind SELECT g, repeat('x', 100) FROM generate_series(1, 10000) AS g",
        "ANALYZE behind",
        "INSERT INTO behind SELECT g, repeat('x', 100) FROM generate_series(10001, 20000) AS g",
        "CREATE TABLE known (id int PRIMARY KEY, note text)",
        "INSERT INTO known SELECT g, repeat('x', 100) FROM generate_series(1, 30000) AS g",
        "ANALYZE known",
    ] {
        session.run(sql);
        // Counters wait for up to a second in the session otherwise.
        session.run("SELECT pg_stat_force_next_flush()");
    }
    for _ in 0..5 {
        session.rows(
            "SELECT count(*) FROM blind, behind, known WHERE blind.id = behind.id AND known.id = 5",
        );
    }
    let advised = "SELECT table_name || ': ' || reason FROM indexpilot.recommendations
                   WHERE action = 'analyze' ORDER BY 1";
    wait_for("advice", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        let found = session.column(advised);
        if found.len() == 2 {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    let found = session.column(advised);
    assert!(
        found[0].contains("behind: 10000 rows of public.behind changed"),
        "{found:?}"
    );
    assert!(
        found[1].contains("blind: public.blind has no statistics"),
        "{found:?}"
    );
    // Not by itself, whatever the stage of indexes.
    assert_eq!(
        session.column(
            "SELECT DISTINCT state FROM indexpilot.recommendations WHERE action = 'analyze'"
        ),
        ["proposed"]
    );
    session.run(
        "SELECT indexpilot.apply(id) FROM indexpilot.recommendations WHERE action = 'analyze'",
    );
    wait_for("the statistics", PATIENCE, || {
        let count =
            session.number("SELECT count(*) FROM pg_statistic WHERE starelid = 'blind'::regclass");
        if count > 0.0 {
            Ok(())
        } else {
            Err(format!(
                "{:?}",
                session.rows("SELECT state, reason FROM indexpilot.job")
            ))
        }
    });
    wait_for("the end", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        let states = session.column(
            "SELECT DISTINCT state FROM indexpilot.recommendations WHERE action = 'analyze'",
        );
        if states == ["kept"] {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    });
}
