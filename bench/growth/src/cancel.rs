//! How soon a cancel ends `advise()`, at random moments of its run.

use crate::cpu_seconds;
use crate::workload::Dice;
use indexpilot_tests::{Cluster, Session};
use std::thread;
use std::time::{Duration, Instant};

/// Prints wall time and the backend's CPU time from `pg_cancel_backend()` to the error.
pub fn report(cluster: &Cluster, session: &mut Session, call: &str, times: u32, seed: u64) {
    // How long it takes here and now.
    let begun = Instant::now();
    cluster.session().rows(call);
    let whole = begun.elapsed();
    let mut dice = Dice(seed);
    let mut found: Vec<(f64, f64, f64)> = (0..times)
        .map(|_| {
            let after = whole.mul_f64(dice.below(900) as f64 / 1_000.0) + Duration::from_millis(20);
            latency(cluster, session, call, after)
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("\nmilliseconds from cancel to error, {times} times   median     max  (after s)");
    let last = found[found.len() - 1];
    println!(
        "wall time                                  {:>10.1} {:>7.1}  ({:.1})",
        found[found.len() / 2].0,
        last.0,
        last.2
    );
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    let last = found[found.len() - 1];
    println!(
        "CPU time of the backend                    {:>10.1} {:>7.1}  ({:.1})",
        found[found.len() / 2].1,
        last.1,
        last.2
    );
}

/// One cancel: milliseconds of wall time, of CPU time, and after how many seconds.
fn latency(
    cluster: &Cluster,
    session: &mut Session,
    call: &str,
    after: Duration,
) -> (f64, f64, f64) {
    let mut other = cluster.session();
    let pid = other.pid();
    let call = call.to_owned();
    let working = thread::spawn(move || {
        let error = other.error(&call);
        // The session lives on, and with it the process whose time is read.
        (Instant::now(), cpu_seconds(pid), error.code, other)
    });
    cluster.wait(
        &format!("SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}"),
        "t",
    );
    thread::sleep(after);
    let (cancelled, cpu) = (Instant::now(), cpu_seconds(pid));
    session.run(&format!("SELECT pg_cancel_backend({pid})"));
    let (ended, then, code, _other) = working.join().expect("the other session");
    assert_eq!(code, "57014");
    (
        ended.duration_since(cancelled).as_secs_f64() * 1000.0,
        (then - cpu) * 1000.0,
        after.as_secs_f64(),
    )
}
