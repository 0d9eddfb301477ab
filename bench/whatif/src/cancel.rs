//! How soon a cancel is honoured, in the places where an evaluation spends its time.

use indexpilot_tests::{Cluster, Session};
use std::thread;
use std::time::{Duration, Instant};

/// Cancels of each work.
const TIMES: u64 = 12;

pub fn report(cluster: &Cluster, session: &mut Session) {
    session.run(
        "CREATE FUNCTION endless(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             'BEGIN LOOP NULL; END LOOP; END'",
    );
    let relations = (1..=11)
        .map(|i| format!("orders AS o{i}"))
        .collect::<Vec<_>>()
        .join(", ");
    let joins = (2..=11)
        // One class of equal values: every order of joins is possible.
        .map(|i| format!("o{i}.o_orderkey = o1.o_orderkey"))
        .collect::<Vec<_>>()
        .join(" AND ");
    println!("\nmilliseconds from cancel to error, wall time, {TIMES} times      median     max");
    for (name, work) in [
        (
            "planning a join of eleven relations",
            format!("SELECT count(*) FROM indexpilot.what_if_subsets('SELECT count(*) FROM {relations} WHERE {joins}', ARRAY['CREATE INDEX ON orders (o_custkey)', 'CREATE INDEX ON orders (o_orderkey, o_custkey)', 'CREATE INDEX ON orders (o_custkey, o_orderkey)'], 3, reuse => false)"),
        ),
        (
            "folding an endless function",
            "SELECT * FROM indexpilot.what_if('SELECT * FROM orders WHERE o_orderkey = endless(1)')".into(),
        ),
        (
            "sampling and computing keys",
            "DO $$ BEGIN LOOP PERFORM indexpilot.index_size_estimate('CREATE INDEX ON lineitem (lower(l_comment), upper(l_comment))'); END LOOP; END $$".into(),
        ),
    ] {
        let mut latencies: Vec<f64> = (0..TIMES)
            .map(|round| latency(cluster, session, &work, 150 + 37 * round))
            .collect();
        latencies.sort_by(f64::total_cmp);
        println!(
            "{name:<52} {:>10.1} {:>7.1}",
            latencies[latencies.len() / 2],
            latencies[latencies.len() - 1]
        );
    }
}

/// One cancel, so many milliseconds after the work began.
fn latency(cluster: &Cluster, session: &mut Session, work: &str, after: u64) -> f64 {
    let mut other = cluster.session();
    other.run("SET geqo = off; SET join_collapse_limit = 12; SET from_collapse_limit = 12");
    let pid = other.pid();
    let work = work.to_owned();
    let working = thread::spawn(move || {
        let error = other.error(&work);
        (Instant::now(), error.code)
    });
    cluster.wait(
        &format!("SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}"),
        "t",
    );
    thread::sleep(Duration::from_millis(after));
    let cancelled = Instant::now();
    session.run(&format!("SELECT pg_cancel_backend({pid})"));
    let (ended, code) = working.join().expect("the other session");
    assert_eq!(code, "57014");
    ended.duration_since(cancelled).as_secs_f64() * 1000.0
}
