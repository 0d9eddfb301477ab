//! History that moves: pg_dump and restore, and an extension that comes and goes.

use indexpilot_tests::Cluster;

/// Something to remember, in database `postgres`.
fn make_history(cluster: &Cluster) {
    cluster.session().run(
        "CREATE TABLE orders (id int PRIMARY KEY, email text);
         INSERT INTO orders SELECT g, 'e' || g FROM generate_series(1, 100) AS g;
         SELECT indexpilot.disable('the reason before', 'advisor');
         SELECT indexpilot.enable('advisor', 'the reason after');
         SELECT indexpilot.disable('still off', 'genome')",
    );
}

fn dump(cluster: &Cluster) -> String {
    let out = cluster.output(cluster.program("pg_dump").arg("postgres"), "");
    assert!(out.ok, "{}", out.err);
    out.out
}

#[track_caller]
fn holds_the_history(cluster: &Cluster, database: &str) {
    let mut session = cluster.session_in(database);
    assert_eq!(
        session.column(
            "SELECT reason FROM indexpilot.mutation_log WHERE kind LIKE 'SYSTEM%' ORDER BY sequence"
        ),
        ["the reason before", "the reason after", "still off"]
    );
    assert_eq!(
        session.rows("SELECT * FROM indexpilot.verify_log()"),
        Vec::<Vec<Option<String>>>::new()
    );
    // Switched off was the other database. This one is on, and history goes on.
    cluster.wait_in(
        database,
        "SELECT actual FROM indexpilot.status() WHERE module = 'genome'",
        "on",
    );
    assert_eq!(
        session.text("SELECT indexpilot.disable('here too', 'genome')"),
        "t"
    );
    assert_eq!(
        session.text("SELECT actual FROM indexpilot.status() WHERE module = 'genome'"),
        "off"
    );
    assert_eq!(
        session.rows("SELECT * FROM indexpilot.verify_log()"),
        Vec::<Vec<Option<String>>>::new()
    );
    assert_eq!(session.text("SELECT count(*) FROM orders"), "100");
}

#[test]
fn every_major_restores_a_database_with_history_under_another_name() {
    let cluster = Cluster::with_extension();
    make_history(&cluster);
    let script = dump(&cluster);
    cluster.session().run("CREATE DATABASE elsewhere");
    let out = cluster.psql("elsewhere", &script);
    assert!(out.ok, "{}", out.err);
    holds_the_history(&cluster, "elsewhere");
}

#[test]
fn a_database_with_history_is_restored_into_another_server() {
    let cluster = Cluster::with_extension();
    make_history(&cluster);
    let script = dump(&cluster);
    let other = Cluster::builder().own_system_identifier().start();
    other.session().run("CREATE DATABASE elsewhere");
    let out = other.psql("elsewhere", &script);
    assert!(out.ok, "{}", out.err);
    holds_the_history(&other, "elsewhere");
}

#[test]
fn the_extension_comes_and_goes_while_the_worker_runs() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 1s\nindexpilot.analysis_interval = 10s")
        .start();
    let mut session = cluster.session();
    session.run("CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 1000) AS g");
    let mut other = cluster.session();
    for round in 0..25 {
        session.run("CREATE EXTENSION indexpilot");
        if round % 5 == 0 {
            cluster.wait(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'indexpilot worker'",
                "t",
            );
        }
        other.run("SELECT count(*) FROM t WHERE a = 5");
        assert_eq!(
            session.text("SELECT indexpilot.disable('round', 'genome')"),
            "t"
        );
        session.run("DROP EXTENSION indexpilot");
    }
    session.run("CREATE EXTENSION indexpilot");
    assert_eq!(
        session.text("SELECT actual FROM indexpilot.status() WHERE module = 'genome'"),
        "on"
    );
    let log = cluster.log();
    for word in [
        "PANIC",
        "FATAL",
        "ERROR",
        "terminated by signal",
        "cache lookup failed",
    ] {
        assert!(!log.contains(word), "{word} in the log:\n{log}");
    }
}
