//! Ordered goals with tolerances: what `advise()` and the automatic run choose by them, what is
//! told of them, and what is refused.

use indexpilot_tests::{Cluster, Session};

/// A table of which statements read four ways: one way is most of the work, and an index that
/// carries another column along makes the others cheaper by little for its size.
fn readings(session: &mut Session) {
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE TABLE readings (
             id int PRIMARY KEY, sensor int NOT NULL, room int NOT NULL, kind int NOT NULL,
             taken timestamptz NOT NULL, value numeric NOT NULL, note text);
         INSERT INTO readings
             SELECT g, g * 7919 % 2000, g * 7907 % 3000, g * 7901 % 5000,
                 timestamptz '2024-01-01' + (g * 7907 % 200000) * interval '1 minute',
                 g % 977, repeat('x', 120)
             FROM generate_series(1, 120000) AS g",
    );
    session.run("VACUUM ANALYZE readings");
}

const QUERIES: [&str; 4] = [
    "SELECT * FROM readings WHERE sensor = 7",
    "SELECT sum(value) FROM readings WHERE sensor BETWEEN 100 AND 400",
    "SELECT count(note) FROM readings WHERE room = 9",
    "SELECT count(note) FROM readings WHERE kind = 9",
];
const WEIGHTS: &str = "'{50, 50, 0.5, 0.4}'";

fn call(goals: &str) -> String {
    let list: Vec<String> = QUERIES.iter().map(|q| format!("$q${q}$q$")).collect();
    format!(
        "indexpilot.advise(ARRAY[{}], weights => {WEIGHTS}, goals => {goals})",
        list.join(", ")
    )
}

/// Definitions and bytes.
fn advised(session: &mut Session, goals: &str) -> (Vec<String>, i64) {
    let rows = session.rows(&format!("SELECT definition, bytes FROM {}", call(goals)));
    let text = |row: &[Option<String>], k: usize| row[k].clone().expect("a value");
    let bytes = rows
        .iter()
        .map(|row| text(row, 1).parse::<i64>().expect("bytes"));
    let bytes = bytes.sum();
    (rows.iter().map(|row| text(row, 0)).collect(), bytes)
}

/// What the list costs with these indexes, by the planner alone.
fn priced(session: &mut Session, definitions: &[String]) -> f64 {
    let indexes: Vec<String> = definitions
        .iter()
        .map(|d| format!("$q${}$q$", d.replace("CONCURRENTLY ", "")))
        .collect();
    let weights = [50.0, 50.0, 0.5, 0.4];
    let costs = QUERIES.iter().zip(weights).map(|(query, weight)| {
        let cost: f64 = session
            .text(&format!(
                "SELECT cost_after FROM indexpilot.what_if($q${query}$q$, ARRAY[{}]::text[])",
                indexes.join(", ")
            ))
            .parse()
            .expect("a cost");
        weight * cost
    });
    costs.sum()
}

#[test]
fn size_second_gives_a_smaller_set_within_the_tolerance_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    readings(&mut session);
    let (fast, fast_bytes) = advised(&mut session, "'{total_cost}'");
    let (small, small_bytes) = advised(&mut session, "'{total_cost 10%, index_bytes}'");
    println!("{fast:#?} {fast_bytes}\n{small:#?} {small_bytes}");
    assert!(small_bytes < fast_bytes, "{small:#?} against {fast:#?}");
    let goals = session.rows(
        "SELECT goal, tolerance_percent, unit, before, best, bound, allowed, reached,
             reached <= allowed * 1.000001, best <= before, bound <= best
         FROM indexpilot.advised_goals()",
    );
    println!("{goals:?}");
    let text = |row: usize, k: usize| goals[row][k].clone().expect("a value");
    let number = |row: usize, k: usize| text(row, k).parse::<f64>().expect("a number");
    assert_eq!(goals.len(), 2);
    assert_eq!(
        [text(0, 0), text(0, 1), text(0, 2)],
        ["total_cost", "10", "ms"]
    );
    assert_eq!([text(1, 0), text(1, 2)], ["index_bytes", "bytes"]);
    for row in 0..2 {
        assert_eq!([text(row, 8), text(row, 10)], ["t", "t"], "{goals:?}");
    }
    // The tolerance was used, and what is told is what the rows add up to.
    assert!(number(0, 7) > number(0, 4) * 1.000001, "{goals:?}");
    assert!((number(1, 7) - small_bytes as f64).abs() < 1.0, "{goals:?}");
    assert!((number(0, 6) - 1.1 * number(0, 4)).abs() < 1e-6 * number(0, 6));
    // The planner, asked from outside, agrees that the time stays within it. (Advice counts
    // pages that lie in memory as such, so the two differ by a few per cent.)
    let (fastest, slower) = (priced(&mut session, &fast), priced(&mut session, &small));
    assert!(slower <= 1.15 * fastest, "{slower} against {fastest}");
    // The other way round nothing is the smallest set, and a count of one allows one.
    let (none, _) = advised(&mut session, "'{index_bytes, total_cost}'");
    assert_eq!(none, Vec::<String>::new());
    let (few, _) = advised(
        &mut session,
        "'{total_cost 400%, index_count, index_bytes}'",
    );
    assert!(few.len() < fast.len() && !few.is_empty(), "{few:?}");
}

#[test]
fn what_goals_came_to_is_told() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    readings(&mut session);
    let out = cluster.psql(
        "postgres",
        &format!(
            "SELECT count(*) FROM {}",
            call("'{total_cost 10%, index_bytes, write_cost, max_cost}'")
        ),
    );
    for part in [
        "goal 1, total_cost 10%: ",
        "goal 2, index_bytes: ",
        "goal 3, write_cost: ",
        "goal 4, max_cost: ",
        "as things are and",
        "at best, proven not to be below",
        "later goals may worsen it to",
    ] {
        assert!(out.err.contains(part), "no {part:?} in {}", out.err);
    }
    // A session sees its own.
    let none = session.text("SELECT count(*) FROM indexpilot.advised_goals()");
    assert_eq!(none, "0");
}

#[test]
fn goals_that_make_no_sense_are_refused() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    for (goals, code, part) in [
        (
            "'{total_cst 5%}'",
            "22023",
            "There is no goal \"total_cst\".",
        ),
        ("'{total_cost -5%}'", "22023", "negative"),
        ("'{total_cost 5000%}'", "22023", "nearly anything"),
        ("'{total_cost, total_cost 5%}'", "22023", "twice"),
        ("'{total_cost 5}'", "22023", "not in percent"),
        ("'{total_cost, NULL}'", "22004", ""),
    ] {
        let e = session.error(&format!(
            "SELECT * FROM indexpilot.advise('{{SELECT 1}}', goals => {goals})"
        ));
        assert_eq!(e.code, code, "{goals}");
        assert!(e.detail.contains(part), "{goals}: {e:?}");
        assert!(part.is_empty() || !e.hint.is_empty(), "{goals}: {e:?}");
    }
    let e = session.error("SET indexpilot.goals = 'total_cost 10%, index_size'");
    assert_eq!(e.code, "22023");
    assert!(
        e.detail.contains("\"index_size\"") && e.hint.contains("index_bytes"),
        "{e:?}"
    );
}

/// The setting counts for `advise()` too, unless the call says otherwise; the worker goes by it
/// and keeps what came of it.
#[test]
fn the_setting_is_for_the_worker_and_for_calls_without_goals() {
    let cluster = Cluster::builder()
        .conf(
            "indexpilot.flush_interval = 1
             indexpilot.cpu_limit = 100
             max_parallel_workers_per_gather = 0",
        )
        .start();
    let mut session = cluster.session();
    readings(&mut session);
    session.run("SET indexpilot.goals = 'total_cost 10%, index_bytes'");
    let (set, bytes) = advised(&mut session, "NULL");
    let (given, _) = advised(&mut session, "'{total_cost 10%, index_bytes}'");
    assert_eq!(set, given);
    let (priced, priced_bytes) = advised(&mut session, "'{}'");
    assert!(bytes <= priced_bytes, "{set:?} against {priced:?}");
    let none = session.text("SELECT count(*) FROM indexpilot.advised_goals()");
    assert_eq!(none, "0");
    session.run("ALTER DATABASE postgres SET indexpilot.goals = 'total_cost 10%, index_bytes'");
    for _ in 0..20 {
        for query in QUERIES {
            session.run(query);
        }
    }
    cluster.wait(
        "SELECT count(*) FROM indexpilot.statements WHERE query LIKE '%FROM readings WHERE%'",
        "4",
    );
    session.run("SELECT * FROM indexpilot.analyze()");
    let goals = session.rows(
        "SELECT goal, reached <= allowed * 1.000001, reached < before, reached > 0
         FROM indexpilot.goals ORDER BY place",
    );
    let row = |k: usize| -> Vec<String> { goals[k].iter().flatten().cloned().collect() };
    assert_eq!(goals.len(), 2, "{goals:?}");
    assert_eq!(row(0), ["total_cost", "t", "t", "t"]);
    assert_eq!(row(1), ["index_bytes", "t", "f", "t"]);
}
