//! The simulator on a real server: what it loads, what it sends, what it refuses, what it leaves.

use std::time::Duration;

use indexpilot_sim::application::{Draw, Kind};
use indexpilot_sim::random::{Purpose, stream};
use indexpilot_sim::results::{BASELINE, EXPERT};
use indexpilot_sim::scenario::Scenario;
use indexpilot_sim::server::{Contents, Server};
use indexpilot_sim::session::{ProtocolChoice, Session};
use indexpilot_sim::traffic::{self, Pace, Plan};
use indexpilot_sim::{catalog, demo, report, seed, verify};
use indexpilot_tests::{Cluster, lacks_module};
use indicatif::ProgressBar;

fn plain() -> (Cluster, Server) {
    let cluster = Cluster::builder().preload("").start();
    let server = server(&cluster);
    (cluster, server)
}

fn server(cluster: &Cluster) -> Server {
    let place = format!(
        "host={} port={} user=postgres",
        cluster.sockets().display(),
        cluster.port()
    );
    Server::new(Some(&place)).expect("valid connection string")
}

fn contents(application: Kind, seed: u64) -> Contents {
    Contents {
        application,
        scenario: Scenario::Tiny,
        seed,
        complete: true,
    }
}

fn load(server: &Server, database: &str, contents: &Contents, connections: usize) {
    let application = contents.application.build(contents.scenario, contents.seed);
    seed::seed(
        server,
        database,
        &*application,
        contents,
        true,
        connections,
        true,
    )
    .expect("loaded");
}

/// A number that changes with any value of any row of a schema.
fn fingerprint(cluster: &Cluster, database: &str, schema: &str) -> Vec<String> {
    let mut session = cluster.session_in(database);
    let tables = session.column(&format!(
        "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = '{schema}' ORDER BY 1"
    ));
    assert!(!tables.is_empty());
    tables
        .iter()
        .map(|t| {
            session.text(&format!(
                "SELECT '{t} ' || count(*) || ' ' || sum(hashtextextended(r::text, 0)) FROM {schema}.{t} r"
            ))
        })
        .collect()
}

#[test]
fn every_major_gets_the_same_rows_from_the_same_seed() {
    let (cluster, server) = plain();
    for (kind, name) in [
        (Kind::Crm, "crm"),
        (Kind::Shop, "shop"),
        (Kind::Star, "star"),
    ] {
        load(&server, "sim_a", &contents(kind, 5), 1);
        load(&server, "sim_b", &contents(kind, 5), 3);
        load(&server, "sim_c", &contents(kind, 6), 2);
        let rows = fingerprint(&cluster, "sim_a", name);
        assert_eq!(rows, fingerprint(&cluster, "sim_b", name));
        assert_ne!(rows, fingerprint(&cluster, "sim_c", name));
        // Primary keys only, and every foreign key holds.
        let mut session = cluster.session_in("sim_a");
        assert_eq!(session.text("SELECT count(*) FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('crm', 'shop', 'star') AND NOT x.indisprimary"), "0");
        assert_ne!(
            session.text(
                "SELECT count(*) FROM pg_catalog.pg_constraint WHERE contype = 'f' AND convalidated"
            ),
            "0"
        );
        // ICU where the server is built with it: then the bootstrap imported its collations.
        assert_eq!(session.text("SELECT (datlocprovider = 'i') = EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'und-x-icu') FROM pg_catalog.pg_database WHERE datname = 'sim_a'"), "t");
    }
}

#[test]
fn every_major_runs_every_pattern_by_both_protocols_with_equal_results() {
    let (_cluster, server) = plain();
    for kind in [Kind::Crm, Kind::Shop, Kind::Star] {
        load(&server, "sim", &contents(kind, 5), 2);
        let application = kind.build(Scenario::Tiny, 5);
        let mut rows = Vec::new();
        for (protocol, expert) in [
            (ProtocolChoice::Prepared, false),
            (ProtocolChoice::Simple, false),
            (ProtocolChoice::Mixed, true),
        ] {
            let mut admin = server.connect().expect("connected");
            server
                .clone_database(&mut admin, "sim", "sim_copy")
                .expect("cloned");
            if expert {
                let mut client = server.connect_to("sim_copy").expect("connected");
                // Some builds of the server come without pg_trgm: there the expert does without.
                let trigrams: bool = client
                    .query_one("SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_trgm')", &[])
                    .expect("an answer")
                    .get(0);
                let expert_sql: String = application
                    .expert_sql()
                    .lines()
                    .filter(|line| trigrams || !line.contains("gin_trgm_ops"))
                    .map(|line| format!("{line}\n"))
                    .collect();
                client
                    .batch_execute(&expert_sql)
                    .expect("the expert's indexes can be built");
                let built = catalog::indexes(&mut client, application.name()).expect("listed");
                assert_eq!(built.len(), expert_sql.matches("CREATE INDEX").count());
                assert!(built.iter().all(|i| !i.columns.is_empty()), "{built:?}");
            }
            let mut session =
                Session::open(&server, "sim_copy", &*application, protocol).expect("connected");
            session.prepare_all().expect("every statement is valid");
            let mut rng = stream(5, Purpose::Traffic, 77);
            let mut counts = Vec::new();
            for (number, pattern) in application.patterns().iter().enumerate() {
                for tenant in 0..4 {
                    let mut draw = Draw {
                        rng: &mut rng,
                        tenant,
                        elapsed: 1,
                        serial: (number * 10 + tenant) as u64,
                    };
                    let values = application.values(number, &mut draw);
                    let took = session
                        .run(number, &values)
                        .unwrap_or_else(|e| panic!("{}: {e:?}", pattern.name));
                    counts.push((pattern.name, took.rows));
                }
            }
            rows.push(counts);
        }
        // Neither the protocol nor an index changes a result.
        assert_eq!(rows[0], rows[1]);
        assert_eq!(rows[0], rows[2]);
        // Parameters are of rows that exist: most reads find something.
        let found = rows[0].iter().filter(|(_, n)| *n > 0).count();
        assert!(found * 2 > rows[0].len(), "{found} of {}", rows[0].len());
    }
}

#[test]
fn the_demonstration_compares_reports_and_leaves_nothing() {
    if lacks_module("pg_trgm") {
        return;
    }
    let (cluster, server) = plain();
    let databases = || {
        cluster
            .session()
            .column("SELECT datname FROM pg_catalog.pg_database ORDER BY 1")
    };
    let before = databases();
    let options = demo::Options {
        database: "sim".into(),
        contents: contents(Kind::Crm, 5),
        variants: vec![EXPERT.into()],
        clients: 2,
        rounds: 2,
        operations: 100,
        load: Duration::from_secs(1),
        learning: Duration::from_secs(1),
        think: Duration::ZERO,
        reload: false,
        drop: true,
        quiet: true,
    };
    let r = demo::run(&server, &options).expect("demonstrated");
    assert_eq!(databases(), before);
    let (baseline, expert) = (
        r.variant(BASELINE).expect("there"),
        r.variant(EXPERT).expect("there"),
    );
    assert_eq!(baseline.samples.pattern, expert.samples.pattern);
    assert!(baseline.indexes.is_empty() && expert.indexes.len() > 30);
    for v in [baseline, expert] {
        let load = v.load.as_ref().expect("loaded");
        assert!(load.operations > 0);
        assert_eq!(load.errors, 0, "{:?}", load.error_kinds);
    }
    // The results survive their file, and make a page.
    let text = serde_json::to_string(&r).expect("serialised");
    let again = serde_json::from_str(&text).expect("read back");
    assert!(
        report::html::page(&again, &verify::checks(&again))
            .expect("rendered")
            .contains("contact_by_email_any_case")
    );
    assert!(!verify::passed(&verify::checks(&again)));
}

#[test]
fn an_open_loop_and_a_closed_one_with_thinking_run_without_errors() {
    let (_cluster, server) = plain();
    load(&server, "sim", &contents(Kind::Shop, 5), 2);
    let application = Kind::Shop.build(Scenario::Tiny, 5);
    for pace in [
        Pace::Open { rate: 200.0 },
        Pace::Closed {
            think: Duration::from_millis(2),
        },
    ] {
        let plan = Plan {
            clients: 3,
            duration: Duration::from_secs(1),
            pace,
            protocol: ProtocolChoice::Mixed,
            seed: 5,
            run: 1,
            day: Duration::from_secs(1),
        };
        let load = traffic::run(
            &server,
            "sim",
            &*application,
            &plan,
            &ProgressBar::hidden(),
            |_| true,
        )
        .expect("ran");
        assert!(load.operations > 0);
        assert_eq!(load.errors, 0, "{:?}", load.error_kinds);
        assert_eq!(
            load.patterns.iter().map(|p| p.latency.count).sum::<u64>(),
            load.operations
        );
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (cluster, server) = plain();
    let mut session = cluster.session();
    session.run("CREATE DATABASE precious");
    cluster
        .session_in("precious")
        .run("CREATE TABLE t AS SELECT 1 AS kept");
    let c = contents(Kind::Crm, 5);
    let application = c.application.build(c.scenario, c.seed);
    let refused = |database: &str, replace: bool| {
        seed::seed(&server, database, &*application, &c, replace, 1, true)
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    };
    let e = refused("precious", true);
    assert!(e.contains("was not made by indexpilot-sim"), "{e}");
    let mut admin = server.connect().expect("connected");
    assert!(server.drop(&mut admin, "precious").is_err());
    assert_eq!(
        cluster.session_in("precious").text("SELECT kept FROM t"),
        "1"
    );

    // Ours, but there already, or in use.
    drop(admin);
    load(&server, "sim", &c, 1);
    let e = refused("sim", false);
    assert!(
        e.contains("exists already") && e.contains("--replace"),
        "{e}"
    );
    let mut other = cluster.session_in("sim");
    let e = refused("sim", true);
    assert!(e.contains("in use"), "{e}");
    assert_eq!(other.text("SELECT 1"), "1");

    // Two simulators at once.
    drop(other);
    let mut first = server.connect().expect("connected");
    server.lock(&mut first).expect("free");
    let e = refused("sim", true);
    assert!(e.contains("another indexpilot-sim"), "{e}");
}

#[test]
fn a_missing_server_database_or_extension_is_said_clearly() {
    let (cluster, server) = plain();
    let e = server
        .connect_to("nowhere")
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(e.contains("does not exist") && e.contains("HINT"), "{e}");

    let nobody = Server::new(Some("host=/nonexistent port=1 user=postgres")).expect("valid");
    let e = nobody
        .connect()
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(e.contains("could not reach a server"), "{e}");

    let e = indexpilot_sim::pilot::check(&mut server.connect().expect("connected"))
        .expect_err("refused")
        .to_string();
    assert!(e.contains("shared_preload_libraries"), "{e}");
    drop(cluster);
}
