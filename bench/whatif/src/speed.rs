//! Evaluations per CPU second, server and client together.

use indexpilot_tests::Session;
use std::fs;

/// Statements over one to six relations.
const STATEMENTS: &[(usize, &str)] = &[
    (1, "SELECT * FROM lineitem WHERE l_partkey = 4711"),
    (
        2,
        "SELECT count(*) FROM lineitem, orders WHERE o_orderkey = l_orderkey AND l_partkey = 4711",
    ),
    (
        3,
        "SELECT count(*) FROM lineitem, orders, customer WHERE o_orderkey = l_orderkey AND c_custkey = o_custkey AND l_partkey = 4711",
    ),
    (
        4,
        "SELECT count(*) FROM lineitem, orders, customer, part WHERE o_orderkey = l_orderkey AND c_custkey = o_custkey AND p_partkey = l_partkey AND l_partkey = 4711",
    ),
    (
        5,
        "SELECT count(*) FROM lineitem, orders, customer, part, supplier WHERE o_orderkey = l_orderkey AND c_custkey = o_custkey AND p_partkey = l_partkey AND s_suppkey = l_suppkey AND l_partkey = 4711",
    ),
    (
        6,
        "SELECT count(*) FROM lineitem, orders, customer, part, supplier, nation WHERE o_orderkey = l_orderkey AND c_custkey = o_custkey AND p_partkey = l_partkey AND s_suppkey = l_suppkey AND n_nationkey = c_nationkey AND l_partkey = 4711",
    ),
];

/// CPU nanoseconds of a process so far (schedstat holds its first thread, which is all that
/// a backend and this program have busy).
fn cpu(pid: i32) -> f64 {
    fs::read_to_string(format!("/proc/{pid}/schedstat"))
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Evaluations per CPU second of `work`, which says how many it made.
fn rate(session: &mut Session, mut work: impl FnMut(&mut Session) -> usize) -> f64 {
    let (server, client) = (session.pid(), std::process::id() as i32);
    // Caches first, then three runs, of which the best counts: noise only slows.
    work(session);
    let mut best = 0.0f64;
    for _ in 0..3 {
        let before = cpu(server) + cpu(client);
        let made = work(session);
        best = best.max(made as f64 / ((cpu(server) + cpu(client) - before) / 1e9));
    }
    best
}

/// What both sides do, printed with the figures.
const METHOD: &str = "\
evaluations per CPU second, client and server together; best of three runs after a warm-up
  planned:    one call of what_if_subsets(..., reuse => false) over the connection; every one of its 466
              sets is planned, costs and used indexes come back, no plan in JSON
  answered:   the same call as users make it: sets that differ in indexes which cannot change the plan
              are planned once
  one by one: what_if_subsets() for a single index over the connection, parsed, analysed and planned
              twice (without and with the index) each time; counted as one evaluation
  connection: hypopg_create_index(), EXPLAIN (FORMAT JSON), hypopg_reset(), three messages; of one index, and
              of two, which is what all but 31 of our 466 sets hold
  PL/pgSQL:   the same of two indexes within one DO block";

/// The rates of one statement.
struct Rates {
    planned: f64,
    answered: f64,
    one_by_one: f64,
    /// HypoPG, of one and of two indexes at a time.
    connection: [f64; 2],
    inside: f64,
    /// CPU time of an evaluation above copying the query and planner(), as a share of those.
    above: f64,
}

pub fn report(session: &mut Session) {
    println!("\n{METHOD}\n");
    println!(
        "            IndexPilot                     | HypoPG: connection             | planned     answered    one by one  planned\n\
         relations   planned  answered  one by one |     one     two  PL/pgSQL | /one  /two  /one   /two  /one        /PL/pgSQL  above planner()"
    );
    session.run("SET max_parallel_workers_per_gather = 0");
    for (relations, statement) in STATEMENTS {
        let found = rates(session, statement);
        let [one, two] = found.connection;
        println!(
            "{relations:>9} {:>9.0} {:>9.0} {:>11.0} | {one:>7.0} {two:>7.0} {:>9.0} | {:>4.1} {:>5.1} {:>5.1} {:>6.1} {:>5.1} {:>16.1} {:>15.0}%",
            found.planned,
            found.answered,
            found.one_by_one,
            found.inside,
            found.planned / one,
            found.planned / two,
            found.answered / one,
            found.answered / two,
            found.one_by_one / one,
            found.planned / found.inside,
            100.0 * found.above
        );
    }
}

fn rates(session: &mut Session, statement: &str) -> Rates {
    let columns = [
        "l_partkey",
        "l_suppkey",
        "l_shipdate",
        "l_quantity",
        "l_discount",
        "l_tax",
    ];
    // All subsets of up to two: nearly all evaluations hold two.
    let mut definitions = Vec::new();
    for first in columns {
        for second in columns {
            if first != second {
                definitions.push(format!(
                    "'CREATE INDEX ON lineitem ({first}, {second}) INCLUDE (l_linenumber)'"
                ));
            }
        }
    }
    let array = definitions.join(", ");
    let subsets = |reuse: bool| {
        format!(
            "SELECT count(*) FROM indexpilot.what_if_subsets($q${statement}$q$, ARRAY[{array}], 2, reuse => {reuse})"
        )
    };
    let counters = |session: &mut Session| {
        let rows = session.rows(
            "SELECT planner_calls, mean_cpu_us, mean_planner_cpu_us FROM indexpilot.what_if_activity",
        );
        let number = |i: usize| {
            rows[0][i]
                .as_deref()
                .and_then(|t| t.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (number(0) / 16.0, number(1), number(2))
    };
    let before = counters(session);
    let planned_sql = subsets(false);
    let planned = rate(session, |session| {
        (0..4).map(|_| session.number(&planned_sql) as usize).sum()
    });
    let after = counters(session);
    // Means weighted back to the runs of this statement.
    let part = |i: fn(&(f64, f64, f64)) -> f64| i(&after) * after.0 - i(&before) * before.0;
    let above = part(|c| c.1) / part(|c| c.2) - 1.0;
    let answered_sql = subsets(true);
    let answered = rate(session, |session| {
        (0..4).map(|_| session.number(&answered_sql) as usize).sum()
    });
    let one_by_one = rate(session, |session| {
        for i in 0..200 {
            let definition = &definitions[i % definitions.len()];
            session.rows(&format!(
                "SELECT cost, used FROM indexpilot.what_if_subsets($q${statement}$q$, ARRAY[{definition}], 1, reuse => false)"
            ));
        }
        200
    });
    let connection = [1, 2].map(|size| {
        rate(session, |session| {
            for i in 0..200 {
                let created = [i, i * 7 + 11][..size]
                    .iter()
                    .map(|i| {
                        format!(
                            "hypopg_create_index({})",
                            definitions[i % definitions.len()]
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                session.rows(&format!("SELECT {created}"));
                session.run(&format!("EXPLAIN (FORMAT JSON) {statement}"));
                session.run("SELECT hypopg_reset()");
            }
            200
        })
    });
    let inside = rate(session, |session| {
        session.run(&format!(
            "DO $do$ DECLARE plan json; all_of text[] := ARRAY[{array}]; BEGIN
                 FOR i IN 0..449 LOOP
                     PERFORM hypopg_create_index(all_of[1 + i % 30]), hypopg_create_index(all_of[1 + (i * 7 + 11) % 30]);
                     EXECUTE 'EXPLAIN (FORMAT JSON) {statement}' INTO plan;
                     PERFORM hypopg_reset();
                 END LOOP; END $do$"
        ));
        450
    });
    Rates {
        planned,
        answered,
        one_by_one,
        connection,
        inside,
        above,
    }
}
