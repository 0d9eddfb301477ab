//! `make bench-growth`: what `advise()` takes as the list of statements grows, on a server with a
//! hundred tables. See `bench/growth/run` for its settings.

mod cancel;
mod plot;
mod workload;

use indexpilot_tests::{Cluster, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One measured call.
pub struct Row {
    /// Statements in the list.
    pub statements: usize,
    /// CPU seconds of the backend.
    pub seconds: f64,
    /// Greatest memory of its own, MB.
    pub megabytes: f64,
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// CPU seconds that a process has used.
pub fn cpu_seconds(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    let first = text.split_ascii_whitespace().next().expect("a number");
    first.parse::<f64>().expect("nanoseconds") / 1e9
}

/// Memory of a process that is nobody else's, kB; 0 once it has ended.
fn own_kilobytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The call of `advise()` for a list.
pub fn call(list: &[(String, u64)], seconds: f64) -> String {
    let texts: Vec<String> = list
        .iter()
        .map(|(text, _)| format!("$q${text}$q$"))
        .collect();
    let weights: Vec<String> = list.iter().map(|(_, weight)| weight.to_string()).collect();
    format!(
        "SELECT count(*), coalesce(sum(bytes), 0)::bigint / 1048576 FROM indexpilot.advise(
             ARRAY[{}]::text[], weights => ARRAY[{}]::float8[], time_limit => {seconds})",
        texts.join(", "),
        weights.join(", ")
    )
}

/// Runs one list in a session of its own; gives the row and the line that is printed.
fn measured(cluster: &Cluster, list: &[(String, u64)], seconds: f64) -> (Row, String) {
    let mut session: Session = cluster.session();
    session.run("SET client_min_messages = debug1");
    let pid = session.pid();
    let (done, most) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let watcher = std::thread::spawn({
        let (done, most) = (Arc::clone(&done), Arc::clone(&most));
        move || {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(own_kilobytes(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let before = cpu_seconds(pid);
    let rows = session.rows(&call(list, seconds));
    let used = cpu_seconds(pid) - before;
    done.store(true, Ordering::Relaxed);
    watcher.join().expect("the watcher");
    let notices = session.notices();
    let told = notices
        .iter()
        .find_map(|notice| notice.message.strip_prefix("indexpilot: "))
        .unwrap_or("nothing told");
    let left_out = notices
        .iter()
        .filter(|notice| notice.message.starts_with("not analysed"))
        .count();
    let value = |k: usize| rows[0][k].clone().unwrap_or_default();
    let row = Row {
        statements: list.len(),
        seconds: used,
        megabytes: most.load(Ordering::Relaxed) as f64 / 1024.0,
    };
    let line = format!(
        "{:>10} {:>8.2} {:>8.0} {:>8} {:>8}  {told}{}",
        row.statements,
        row.seconds,
        row.megabytes,
        value(0),
        value(1),
        if left_out > 0 {
            format!(", {left_out} not analysed")
        } else {
            String::new()
        }
    );
    (row, line)
}

fn main() {
    let seed = setting("SEED", 42u64);
    let rows = setting("ROWS", 20_000u64);
    // A list of thousands needs more than the default to be looked at at all.
    let least = setting("TIME_LIMIT", 30.0f64);
    let per_thousand = setting("PER_1000", 24.0f64);
    let limit = |statements: usize| least.max(per_thousand * statements as f64 / 1000.0);
    let sizes = setting("STATEMENTS", "100 250 500 1000 2500 5000".to_owned());
    let cluster = Cluster::builder()
        .conf(
            "shared_buffers = '1GB'\nautovacuum = off\nfsync = off\nmax_wal_size = '4GB'\n\
             indexpilot.disabled_modules = 'capture'",
        )
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    workload::load(&mut session, rows);
    println!(
        "seed {seed}, {} tables of {rows} rows on average, time_limit {least} s, {per_thousand} for each 1,000 where that is more\n",
        workload::TABLES
    );
    println!("statements    CPU s  own MB  indexes   index MB");
    let mut measurements = Vec::new();
    for size in sizes.split_whitespace().filter_map(|s| s.parse().ok()) {
        let list = workload::statements(seed, size);
        let (row, line) = measured(&cluster, &list, limit(size));
        println!("{line}");
        measurements.push(row);
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(&path, plot::svg(&measurements)).expect("the plot can be written");
        println!("\nplot: {path}");
    }
    let cancels = setting("CANCELS", 20u32);
    if cancels > 0 {
        let list = workload::statements(seed, 1_000);
        cancel::report(
            &cluster,
            &mut session,
            &call(&list, limit(list.len())),
            cancels,
            seed,
        );
    }
}
