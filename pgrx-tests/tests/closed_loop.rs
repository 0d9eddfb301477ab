//! The whole loop on one cluster: traffic, capture, analysis, recommendation, safeguards,
//! build, log, measurement, verdict.

use indexpilot_tests::{Cluster, PATIENCE, Session, past_traffic, wait_for};

const BLOCKS: usize = 6;
const STATS: &str =
    "SELECT v.after_from, s.kind, t.bucket, t.plan, t.calls, t.total_ms, s.relations
    FROM indexpilot.statement_stats AS t JOIN indexpilot.statement AS s ON s.id = t.statement,
    indexpilot.verification AS v WHERE s.query LIKE '%crm.orders%customer%' ORDER BY t.bucket";

/// A block of traffic on the customer column, filed under an hour that has passed.
fn block(cluster: &Cluster, session: &mut Session, minutes: i32) {
    let statements: Vec<String> = (0..40)
        .map(|call| {
            let customer = call * 7 % 5000;
            format!("SELECT count(*) FROM crm.orders WHERE customer = {customer}")
        })
        .collect();
    past_traffic(
        session,
        &mut cluster.session(),
        &statements,
        "%crm.orders%customer%",
        minutes,
    );
}

#[test]
fn from_traffic_to_a_kept_index() {
    let cluster = Cluster::builder()
        .conf(
            "indexpilot.create_index = 'advise'
             indexpilot.maintenance_window = '00:00-24:00'
             indexpilot.cpu_limit = 100
             indexpilot.cooldown = 0
             indexpilot.flush_interval = 1
             max_parallel_workers_per_gather = 0",
        )
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm;
         CREATE TABLE crm.orders (id int PRIMARY KEY, customer int, note text);
         INSERT INTO crm.orders SELECT g, g % 5000, repeat('x', 50)
         FROM generate_series(1, 60000) AS g",
    );
    session.run("VACUUM ANALYZE crm.orders");
    session.run("CREATE EXTENSION indexpilot");
    for number in 0..BLOCKS {
        block(&cluster, &mut session, 600 - 10 * number as i32);
    }
    // Asks the worker, waits, and shows what it found: a proposal, under `advise`.
    session.run("SELECT * FROM indexpilot.analyze()");
    assert_eq!(
        session.rows("SELECT DISTINCT state FROM indexpilot.recommendation"),
        [[Some("proposed".to_owned())]]
    );
    // Now that there is a day to compare with: by itself. What stands proposed is carried out
    // without another analysis (the next one is a quarter of an hour away).
    session.run("ALTER DATABASE postgres SET indexpilot.create_index = 'auto'");
    let built = "SELECT i.indexrelid::regclass::text FROM pg_index AS i
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                 WHERE i.indrelid = 'crm.orders'::regclass AND a.attname = 'customer'
                   AND i.indisvalid";
    wait_for("the index", PATIENCE, || {
        let rows = session.rows(built);
        if rows.len() == 1 {
            return Ok(());
        }
        Err(format!(
            "{:?}\n{:?}",
            session.rows("SELECT state, state_reason, definition FROM indexpilot.recommendation"),
            session.rows("SELECT state, phase, reason FROM indexpilot.job")
        ))
    });
    cluster.wait("SELECT state FROM indexpilot.verification", "measuring");
    session.run(
        "UPDATE indexpilot.verification SET before_until = before_until - interval '5 hours',
             after_from = after_from - interval '5 hours'",
    );
    for number in 0..BLOCKS {
        block(&cluster, &mut session, 200 - 10 * number as i32);
    }
    wait_for("the verdict", PATIENCE, || {
        session
            .run("UPDATE indexpilot.verification SET next_look = now() WHERE state = 'measuring'");
        let found = session.rows("SELECT state, reason, gain FROM indexpilot.verification");
        if found[0][0].as_deref() == Some("kept") {
            Ok(())
        } else {
            Err(format!("{found:?}\n{:?}", session.rows(STATS)))
        }
    });
    assert!(session.number("SELECT gain FROM indexpilot.verifications") > 0.3);
    cluster.wait(
        "SELECT state FROM indexpilot.recommendation WHERE action = 'create'",
        "kept",
    );
    // One chain from the recommendation to the verdict.
    assert_eq!(
        session.column(
            "SELECT m.phase FROM indexpilot.mutation_log AS m
             WHERE m.kind = 'CREATE_INDEX' AND m.recommendation IS NOT NULL ORDER BY m.sequence"
        ),
        ["intent", "outcome", "verdict"]
    );
    assert_eq!(
        session.number("SELECT count(*) FROM indexpilot.verify_log()"),
        0.0
    );
    // The report's before and after, once the day after lies behind the build.
    session.run(
        "UPDATE indexpilot.statement_stats SET bucket = bucket + interval '4 hours'
         WHERE bucket > now() - interval '5 hours'",
    );
    let latency = "FROM jsonb_array_elements(indexpilot.report('json')::jsonb -> 'sections') AS s,
             jsonb_array_elements(s -> 'rows') AS r
         WHERE s ->> 'id' = 'latency' AND r ->> 1 ~ 'customer'";
    assert_eq!(
        session.column(&format!(
            "SELECT (r ->> 4)::float8 > 2 * (r ->> 5)::float8 AND (r ->> 6)::float8 > (r ->> 7)::float8
                 AND (r ->> 8)::float8 > (r ->> 9)::float8 AND (r ->> 6)::float8 >= (r ->> 4)::float8 / 2
             {latency}"
        )),
        ["t"],
        "{:?}",
        session.rows(&format!("SELECT r {latency}"))
    );
    let by_hand = "SELECT sum(b.calls) || ' ' || round((sum(b.total_ms) / sum(b.calls))::numeric, 6)
         FROM indexpilot.statement_stats AS b JOIN indexpilot.statement AS s ON s.id = b.statement
         WHERE s.query ~ 'customer' AND s.kind = 'select' AND '\"crm\".\"orders\"' = ANY (s.relations)
           AND b.bucket";
    for (place, when) in [(2, "<"), (3, ">")] {
        assert_eq!(
            session.text(&format!(
                "SELECT (r ->> {place}) || ' ' || round((r ->> {})::numeric, 6) {latency}",
                place + 2
            )),
            session.text(&format!("{by_hand} {when} now() - interval '5 hours'"))
        );
    }
}

#[test]
fn a_field_that_its_tenant_has_switched_off_asks_for_no_index() {
    let cluster = Cluster::builder()
        .conf(
            "indexpilot.flush_interval = 1
             max_parallel_workers_per_gather = 0",
        )
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm;
         CREATE TABLE crm.contacts (id int PRIMARY KEY, tenant_id int, email text, note text);
         INSERT INTO crm.contacts SELECT g, g % 50, 'u' || g, repeat('x', 50)
         FROM generate_series(1, 60000) AS g",
    );
    session.run("VACUUM ANALYZE crm.contacts");
    session.run("CREATE EXTENSION indexpilot");
    for call in 0..40 {
        session.run(&format!(
            "SELECT note FROM crm.contacts WHERE tenant_id = 42 AND email = 'u{call}42'"
        ));
    }
    let open = "SELECT count(*) FROM indexpilot.recommendation
                WHERE state = 'proposed' AND definition LIKE '%email%'";
    wait_for("a proposal", PATIENCE, || {
        session.run("SELECT * FROM indexpilot.analyze()");
        match session.number(open) {
            1.0.. => Ok(()),
            _ => Err(format!(
                "{:?}",
                session.rows("SELECT statements, empty_because FROM indexpilot.analysis")
            )),
        }
    });
    session.run("SELECT * FROM indexpilot.genome_bootstrap('{crm}')");
    session.run("SELECT indexpilot.initialize_tenant('42')");
    session.run("SELECT indexpilot.disable_field('42', 'crm.contacts', 'email', 'no mail there')");
    // Whose calls they were is saved a little later than that they were.
    cluster.wait(
        "SELECT sum(t.calls) FROM indexpilot.tenant_stats AS t
         JOIN indexpilot.statement AS s ON s.id = t.statement WHERE s.query LIKE '%crm.contacts WHERE%'",
        "40",
    );
    session.run("SELECT * FROM indexpilot.analyze()");
    // And it says so.
    let said = session.text(
        "SELECT not_analysed::text FROM indexpilot.analysis ORDER BY started_at DESC LIMIT 1",
    );
    assert!(
        said.contains("crm.contacts.email is switched off for tenants that make 100 %"),
        "{said}\n{:?}",
        session.rows(
            "SELECT s.query, t.tenant, t.calls, b.calls FROM indexpilot.tenant_stats AS t
            JOIN indexpilot.statement AS s ON s.id = t.statement
            JOIN indexpilot.statement_stats AS b ON b.statement = s.id"
        )
    );
    assert_eq!(session.number(open), 0.0);
}

/// An analysis that runs when another is asked for has read before: its end is not the answer.
#[test]
fn who_asks_gets_an_analysis_that_begins_after() {
    let cluster = Cluster::builder().start();
    let (mut holder, mut watcher) = (cluster.session(), cluster.session());
    watcher.run("CREATE EXTENSION indexpilot");
    watcher.run("SELECT * FROM indexpilot.analyze()");
    holder.run("BEGIN; LOCK TABLE indexpilot.analysis IN ACCESS EXCLUSIVE MODE");
    let analysing = "SELECT count(*) FROM pg_stat_activity
        WHERE backend_type LIKE 'indexpilot%' AND wait_event_type = 'Lock'";
    let asking = "SELECT count(*) FROM pg_stat_activity
        WHERE query LIKE '%indexpilot.analyze()%' AND state = 'active' AND pid <> pg_backend_pid()";
    let mut sessions = [cluster.session(), cluster.session()];
    let begun_after = std::thread::scope(|scope| {
        let mut answers = Vec::new();
        for (earlier, session) in sessions.iter_mut().enumerate() {
            answers.push(scope.spawn(move || {
                let asked_at = session.text("SELECT clock_timestamp()");
                session.run("SELECT * FROM indexpilot.analyze()");
                session.number(&format!(
                    "SELECT count(*) FROM indexpilot.analysis WHERE started_at > '{asked_at}'"
                ))
            }));
            wait_for("a question while an analysis runs", PATIENCE, || {
                let (asks, waits) = (watcher.number(asking), watcher.number(analysing));
                if asks > earlier as f64 && waits == 1.0 {
                    Ok(())
                } else {
                    Err(format!("{asks} ask, {waits} wait"))
                }
            });
        }
        holder.run("COMMIT");
        answers
            .into_iter()
            .map(|answer| answer.join().expect("an answer"))
            .collect::<Vec<_>>()
    });
    assert!(begun_after.iter().all(|n| *n >= 1.0), "{begun_after:?}");
}
