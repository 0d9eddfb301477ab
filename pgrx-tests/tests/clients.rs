//! Clients under load while indexes are built, rebuilt and dropped: no error, and no wait for
//! a lock of ours. And what all of it takes is shown.

mod jobs;

use indexpilot_tests::{Cluster, Output, Session, wait_for};
use jobs::Ground;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Starts pgbench with five clients for `seconds`.
fn pgbench(cluster: &Cluster, seconds: u32) -> Output {
    let mut command = cluster.program("pgbench");
    command.args(["-n", "-c", "5", "-j", "2", "-T", &seconds.to_string()]);
    cluster.output(&mut command, "")
}

/// Processes that wait for a lock which a process of ours holds or queues for, as often as it
/// can be asked until `done`.
fn blocked_by_us(session: &mut Session, done: &AtomicBool) -> (u32, Vec<String>) {
    let (mut looks, mut found) = (0, Vec::new());
    while !done.load(Ordering::Relaxed) {
        looks += 1;
        found.extend(session.column(
            "SELECT a.pid || ' ' || a.query FROM pg_stat_activity AS a
             JOIN pg_stat_activity AS w ON w.backend_type LIKE 'indexpilot %'
                 AND w.pid = ANY (pg_blocking_pids(a.pid))
             WHERE a.wait_event_type = 'Lock' AND a.backend_type = 'client backend'",
        ));
    }
    (looks, found)
}

#[test]
fn pgbench_sees_no_error_and_no_wait() {
    // Whatever waits for 20 ms is logged by the server itself, between two looks too.
    let ground = Ground::with("deadlock_timeout = '20ms'\nshared_buffers = '128MB'");
    let init = ground.cluster.output(
        ground
            .cluster
            .program("pgbench")
            .args(["-i", "-s", "4", "-q"]),
        "",
    );
    assert!(init.ok, "{}", init.err);
    let mut session = ground.session();
    session.run("ALTER TABLE pgbench_accounts SET SCHEMA crm");
    session.run("ALTER DATABASE postgres SET search_path = public, crm");
    let done = AtomicBool::new(false);
    let (bench, looks, blocked, builders) = std::thread::scope(|scope| {
        let bench = scope.spawn(|| pgbench(&ground.cluster, 12));
        let mut watcher = ground.session();
        let done = &done;
        let watched = scope.spawn(move || blocked_by_us(&mut watcher, done));
        wait_for("pgbench", Duration::from_secs(30), || {
            match ground
                .session()
                .number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")
            {
                count if count >= 5.0 => Ok(()),
                count => Err(count.to_string()),
            }
        });
        let before = session
            .text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'");
        let keys = [(2, "bid"), (3, "abalance")];
        let job = ground.create_index("pgbench_accounts", &keys, "ip_accounts");
        ground.ends(&job, "succeeded");
        let job = ground.reindex("pgbench_accounts", "ip_accounts");
        ground.ends(&job, "succeeded");
        let job = ground.drop_index("pgbench_accounts", &keys, "ip_accounts");
        ground.ends(&job, "succeeded");
        let after = session
            .text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'");
        assert_eq!(
            (before.as_str(), after.as_str()),
            ("5", "5"),
            "all under load"
        );
        let builders = ground.cluster.pids_of("indexpilot worker");
        let bench = bench.join().expect("pgbench");
        done.store(true, Ordering::Relaxed);
        let (looks, blocked) = watched.join().expect("the watcher");
        (bench, looks, blocked, builders)
    });
    assert!(bench.ok, "{}\n{}", bench.out, bench.err);
    assert!(
        bench.out.contains("number of failed transactions: 0 "),
        "{}",
        bench.out
    );
    assert!(!bench.err.contains("ERROR"), "{}", bench.err);
    assert!(looks > 100, "{looks} looks");
    assert_eq!(blocked, Vec::<String>::new(), "waited for us");
    let log = ground.cluster.log();
    for worker in builders {
        let waited: Vec<&str> = log
            .lines()
            .filter(|line| {
                line.contains("client backend")
                    && line.contains("Process holding the lock")
                    && line.contains(&worker.to_string())
            })
            .collect();
        assert_eq!(waited, Vec::<&str>::new(), "waited for {worker}");
    }
    // The sums are written within a minute, and when the worker leaves.
    ground
        .session()
        .run("SELECT indexpilot.disable('a test', 'worker')");
    wait_for("the share", Duration::from_secs(90), || {
        let rows = ground.session().rows(
            "SELECT statements_ms, maintenance_ms, acting_ms, saving_ms, share_percent, cpu_ms
             FROM indexpilot.maintenance_share",
        );
        let number = |place: usize| -> f64 {
            rows.first()
                .and_then(|row| row[place].as_ref())
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0)
        };
        if number(0) > 0.0 && number(2) > 0.0 && number(3) > 0.0 && number(4) > 0.0 {
            eprintln!("maintenance share, ms and percent: {rows:?}");
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        }
    });
    ground.session().run("SELECT indexpilot.enable('worker')");
    ground.is_clean();
}
