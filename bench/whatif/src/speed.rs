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

pub fn report(session: &mut Session) {
    println!("\nevaluations per CPU second, client and server together");
    println!(
        "relations  IndexPilot  HypoPG, connection  ratio  HypoPG, PL/pgSQL  ratio  above planner()"
    );
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
    session.run("SET max_parallel_workers_per_gather = 0");
    for (relations, statement) in STATEMENTS {
        let ours_sql = format!(
            "SELECT count(*) FROM indexpilot.what_if_subsets($q${statement}$q$, ARRAY[{array}], 2)"
        );
        let counters = |session: &mut Session| {
            let rows = session.rows("SELECT requests, mean_cpu_us, mean_planner_cpu_us FROM indexpilot.what_if_activity");
            let number = |i: usize| {
                rows[0][i]
                    .as_deref()
                    .and_then(|t| t.parse::<f64>().ok())
                    .unwrap_or(0.0)
            };
            (number(0) / 16.0, number(1), number(2))
        };
        let before = counters(session);
        let ours = rate(session, |session| {
            (0..4).map(|_| session.number(&ours_sql) as usize).sum()
        });
        let after = counters(session);
        // Means weighted back to the runs of this statement.
        let part = |i: fn(&(f64, f64, f64)) -> f64| i(&after) * after.0 - i(&before) * before.0;
        let share = part(|c| c.1) / part(|c| c.2) - 1.0;
        let connection = rate(session, |session| {
            for i in 0..200 {
                let definition = &definitions[i % definitions.len()];
                let _oid = session.text(&format!(
                    "SELECT indexrelid FROM hypopg_create_index({definition})"
                ));
                session.run(&format!("EXPLAIN (FORMAT JSON) {statement}"));
                session.run("SELECT hypopg_reset()");
            }
            200
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
        println!(
            "{relations:>9} {ours:>11.0} {connection:>19.0} {:>6.1} {inside:>17.0} {:>6.1} {:>15.0}%",
            ours / connection,
            ours / inside,
            100.0 * share
        );
    }
}
