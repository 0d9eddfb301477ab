//! Faults of the site around the worker: disks that fill up, servers that stop, standbys,
//! scarce locks and processes, hostile settings. Each ends with no invalid index, no orphan
//! file, no lost row of the log and a working server.

mod jobs;

use indexpilot_tests::{Cluster, PATIENCE, Signal, skip, wait_for};
use jobs::Ground;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command on a path as root, by sudo where this account is another one and sudo asks
/// for no password. Whether it succeeded.
fn as_root(command: &str, options: &[&str], path: &Path) -> bool {
    let direct = Command::new(command).args(options).arg(path).output();
    direct.is_ok_and(|output| output.status.success())
        || Command::new("sudo")
            .args(["-n", command])
            .args(options)
            .arg(path)
            .output()
            .is_ok_and(|output| output.status.success())
}

/// A file system of its own in memory, unmounted when the value is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts `megabytes` at a directory that the server's account owns. `None`, with the test
    /// counted as skipped, where this process may not mount, which needs root or sudo.
    fn mount(cluster: &Cluster, megabytes: u32) -> Option<Self> {
        let path = cluster.scratch("small-disk");
        let owner = fs::metadata(&path).expect("the mount point");
        let options = format!(
            "size={megabytes}m,uid={},gid={},mode=0700",
            owner.uid(),
            owner.gid()
        );
        if !as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], &path) {
            skip("a full disk needs one that may be mounted, and this account may not mount");
            return None;
        }
        Some(SmallDisk(path))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves `kilobytes` free.
    fn fill(&self, kilobytes: u64) {
        use std::io::Write;
        let mut file = fs::File::create(self.filler()).expect("a file on the disk");
        let chunk = vec![1_u8; 64 << 10];
        while file.write_all(&chunk).is_ok() {}
        let length = file.metadata().expect("its size").len();
        file.set_len(length.saturating_sub(kilobytes << 10))
            .expect("a shorter file");
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("the filler");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still hold files open.
        as_root("umount", &["-l"], &self.0);
    }
}

/// Names of files below a directory, those of the filler aside.
fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_full_disk_under_the_tablespace_is_survived() {
    let ground = Ground::new();
    // The safeguard wants a quarter of a gigabyte free; it fills up only afterwards.
    let Some(disk) = SmallDisk::mount(&ground.cluster, 280) else {
        return;
    };
    ground.session().run(&format!(
        "CREATE TABLESPACE small LOCATION '{}'",
        disk.0.display()
    ));
    let gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_small", Some("small")));
    ground.waits_in_gate();
    disk.fill(16);
    drop(gate);
    ground.says(&job, "resources were short");
    ground.invalid_indexes_go();
    // With a full disk it is not even begun.
    ground.hurry(&job);
    ground.says(&job, "space:");
    disk.empty();
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
    let path = ground
        .session()
        .text("SELECT pg_relation_filepath('crm.ip_small')");
    let node = path.rsplit('/').next().expect("a file name").to_owned();
    let mut strangers = files_below(&disk.0);
    strangers.retain(|name| !name.starts_with(&node));
    assert_eq!(strangers, Vec::<String>::new(), "orphan files");
    let mut session = ground.session();
    session.run("DROP INDEX crm.ip_small");
    session.run("DROP TABLESPACE small");
}

#[test]
fn a_full_disk_under_the_sort_is_survived() {
    let ground = Ground::new();
    let Some(disk) = SmallDisk::mount(&ground.cluster, 4) else {
        return;
    };
    let mut session = ground.session();
    session.run(&format!(
        "CREATE TABLESPACE sorting LOCATION '{}'",
        disk.0.display()
    ));
    session.run(
        "INSERT INTO crm.contacts SELECT g, md5(g::text) || repeat('x', 60), 'n'
         FROM generate_series(10001, 50000) AS g",
    );
    session.run("ALTER SYSTEM SET temp_tablespaces = 'sorting'");
    session.run("ALTER SYSTEM SET maintenance_work_mem = '1MB'");
    session.run("ALTER SYSTEM SET max_parallel_maintenance_workers = 0");
    ground.cluster.reload();
    let gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_sorted", None));
    ground.waits_in_gate();
    disk.fill(0);
    drop(gate);
    ground.says(&job, "resources were short");
    ground.invalid_indexes_go();
    assert!(
        ground.reason(&job).contains("53100"),
        "{}",
        ground.reason(&job)
    );
    disk.empty();
    // With the whole disk to sort on it is still too small: only more memory helps.
    session.run("ALTER SYSTEM SET maintenance_work_mem = '64MB'");
    ground.cluster.reload();
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
    assert_eq!(files_below(&disk.0), Vec::<String>::new(), "orphan files");
}

#[test]
fn an_immediate_stop_during_a_build_is_survived() {
    let mut ground = Ground::new();
    let gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_stopped", None));
    ground.waits_in_gate();
    ground.cluster.stop(Signal::SIGQUIT);
    drop(gate);
    ground.cluster.start();
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn a_fast_stop_during_a_build_is_not_held_up() {
    let mut ground = Ground::new();
    let gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_stopped", None));
    ground.waits_in_gate();
    ground.cluster.stop(Signal::SIGINT);
    drop(gate);
    ground.cluster.start();
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn a_crash_of_somebody_else_during_a_build_is_survived() {
    let ground = Ground::new();
    let _gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_crashed", None));
    ground.waits_in_gate();
    let mut bystander = ground.session();
    ground.cluster.crash(bystander.pid());
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn a_standby_that_is_promoted_during_a_build_finishes_it() {
    let ground = Ground::new();
    let _gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_promoted", None));
    ground.waits_in_gate();
    let standby = ground.of(ground.cluster.standby());
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    standby.cluster.wait(invalid, "1");
    assert!(standby.cluster.pids_of("indexpilot launcher").is_empty());
    standby.cluster.promote();
    standby.ends_soon(&job, "succeeded");
    standby.is_clean();
    // And what comes later is built there too.
    let later = standby.create_index("contacts", &[(3, "name")], "ip_later");
    standby.ends_soon(&later, "succeeded");
    standby.is_clean();
}

#[test]
fn a_shortage_of_workers_is_waited_out() {
    let mut ground = Ground::with("max_worker_processes = 2");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.cluster.wait_log("could not start a worker");
    assert_eq!(
        ground
            .cluster
            .log()
            .matches("could not start a worker")
            .count(),
        1,
        "said once"
    );
    ground.cluster.append_conf("max_worker_processes = 8");
    ground.cluster.restart();
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn a_shortage_of_locks_is_waited_out() {
    let ground = Ground::with(
        "max_locks_per_transaction = 10
         max_connections = 20",
    );
    let gate = ground.close();
    let job = ground.job("contacts", &ground.gated_intent("ip_locks", None));
    ground.waits_in_gate();
    let mut hoarder = ground.session();
    // Session locks outlive the error that ends the hoarding.
    let mut taken = 0;
    while hoarder
        .try_rows(&format!("SELECT pg_advisory_lock({})", 1_000 + taken))
        .is_ok()
    {
        taken += 1;
        assert!(taken < 1_000_000, "locks never ran out");
    }
    drop(gate);
    ground.cluster.wait_log("indexpilot");
    wait_for("the worker to run out of locks", PATIENCE, || {
        let log = ground.cluster.log();
        let ours = log.lines().any(|line| {
            line.contains("indexpilot worker") && line.contains("out of shared memory")
        });
        if ours {
            Ok(())
        } else {
            Err(format!("{taken} locks taken"))
        }
    });
    drop(hoarder);
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

/// Settings that a site may well have, each of which would break a careless worker.
const HOSTILE: [(&str, &str); 12] = [
    ("statement_timeout", "200ms"),
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("search_path", "hostile"),
    ("default_tablespace", "nowhere"),
    ("session_replication_role", "replica"),
    ("enable_indexscan", "off"),
    ("standard_conforming_strings", "off"),
    ("quote_all_identifiers", "on"),
];

/// Options of sessions that want none of it.
fn peaceful() -> String {
    HOSTILE
        .iter()
        .map(|(name, _)| {
            let value = match *name {
                "default_transaction_isolation" => "read\\ committed",
                "search_path" => "public",
                "session_replication_role" => "origin",
                "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => "0",
                "enable_indexscan" | "standard_conforming_strings" => "on",
                "default_tablespace" => "pg_default",
                _ => "off",
            };
            format!("-c {name}={value} ")
        })
        .collect()
}

/// Functions and operators that a hostile search_path would find first.
const TRAPS: &str = "CREATE SCHEMA hostile;
    CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
    CREATE FUNCTION hostile.count(anyelement) RETURNS bigint LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
    CREATE TABLE hostile.pg_index (trapped int);
    CREATE TABLE hostile.pg_class (trapped int)";

fn under_hostile_settings(ground: &Ground) {
    // Longer than every timeout: the build waits for this transaction for a second.
    let mut writer = ground.session();
    writer.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in("waiting for writers before build");
    writer.run("SELECT pg_sleep(1)");
    writer.run("COMMIT");
    ground.ends(&job, "succeeded");
    assert_eq!(
        ground.session().text(&format!(
            "SELECT attempts FROM indexpilot.job WHERE id = '{job}'"
        )),
        "1",
        "no setting cost an attempt"
    );
    let job = ground.reindex("contacts", "ip_contacts_email");
    ground.ends(&job, "succeeded");
    let job = ground.drop_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    ground.is_clean();
    assert!(!ground.cluster.log().contains("trapped"));
}

#[test]
fn hostile_settings_of_the_server_do_not_reach_the_worker() {
    let conf: String = HOSTILE
        .iter()
        .map(|(name, value)| format!("{name} = '{value}'\n"))
        .collect();
    let ground = Ground::built(Cluster::builder().session_options(&peaceful()), "postgres");
    ground.session().run(TRAPS);
    ground.cluster.append_conf(&conf);
    ground.cluster.reload();
    under_hostile_settings(&ground);
}

#[test]
fn hostile_settings_of_database_and_role_do_not_reach_the_worker() {
    for owner in ["DATABASE postgres", "ROLE postgres", "ROLE ALL"] {
        let ground = Ground::built(Cluster::builder().session_options(&peaceful()), "postgres");
        let mut session = ground.session();
        session.run(TRAPS);
        for (name, value) in HOSTILE {
            // Refused where it is checked against the catalog; the file is not.
            if name != "default_tablespace" {
                session.run(&format!("ALTER {owner} SET {name} = '{value}'"));
            }
        }
        drop(session);
        under_hostile_settings(&ground);
    }
}
