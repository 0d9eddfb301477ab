//! The launcher and the workers: where they run, where they do not, and how they end.

use indexpilot_tests::{Cluster, Signal};

const LAUNCHER: &str = "indexpilot launcher";
const WORKER: &str = "indexpilot worker";

fn count(kind: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE backend_type = '{kind}'")
}

#[test]
fn every_major_starts_a_worker_where_the_extension_is_and_nowhere_else() {
    let cluster = Cluster::started();
    cluster.wait(&count(LAUNCHER), "1");
    // The look at a database without the extension ends by itself.
    cluster.wait(&count(WORKER), "0");
    cluster.session().run("CREATE DATABASE other");
    cluster
        .session_in("other")
        .run("CREATE EXTENSION indexpilot");
    cluster.wait(
        "SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'indexpilot worker' AND datname = 'other'
           AND application_name = 'indexpilot'",
        "1",
    );
    cluster.wait(
        "SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'indexpilot worker' AND datname = 'postgres'",
        "0",
    );
}

#[test]
fn the_worker_stands_in_nobodys_way() {
    let cluster = Cluster::started();
    cluster.session().run("CREATE DATABASE busy");
    cluster
        .session_in("busy")
        .run("CREATE EXTENSION indexpilot");
    let there = "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type = 'indexpilot worker' AND datname = ";
    cluster.wait(&format!("{there}'busy'"), "1");
    let mut session = cluster.session();
    session.run("CREATE DATABASE copy TEMPLATE busy");
    cluster.wait(&format!("{there}'copy'"), "1");
    session.run("ALTER DATABASE copy RENAME TO renamed");
    session.run("DROP DATABASE renamed");
    session.run("DROP DATABASE busy");
    assert!(!cluster.log().contains("FATAL"), "{}", cluster.log());
}

/// A worker that has left for a statement stays away, also where there is work for it: it would
/// be in the statement's way.
#[test]
fn no_worker_comes_back_to_a_database_that_is_needed() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 60s")
        .start();
    let mut session = cluster.session();
    for name in ["busy", "other"] {
        session.run(&format!("CREATE DATABASE {name}"));
    }
    cluster
        .session_in("busy")
        .run("CREATE EXTENSION indexpilot");
    let there = "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type = 'indexpilot worker' AND datname = ";
    cluster.wait(&format!("{there}'busy'"), "1");
    // The launcher has to know of the other one, and what is counted here is not saved yet.
    cluster.wait(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'indexpilot worker'",
        "1",
    );
    cluster
        .session_in("busy")
        .run("SELECT count(*) FROM pg_class");
    let begin = std::time::Instant::now();
    session.run("CREATE DATABASE copy TEMPLATE busy");
    // Its worker comes: the launcher has looked at every database since.
    cluster
        .session_in("other")
        .run("CREATE EXTENSION indexpilot");
    cluster.wait(&format!("{there}'other'"), "1");
    let back = session.number(&format!("{there}'busy'"));
    // (On a machine that stood still the ten seconds may be over.)
    if begin.elapsed().as_secs() < 9 {
        assert_eq!(back, 0.0, "{}", cluster.log());
    }
}

#[test]
fn an_unprivileged_role_cannot_stop_the_worker() {
    let cluster = Cluster::with_extension();
    cluster.wait(&count(WORKER), "1");
    let pid = cluster.pids_of(WORKER)[0];
    cluster.session().run("CREATE ROLE nobody LOGIN");
    let mut nobody = cluster.session_as("nobody", "template1");
    assert_eq!(nobody.error("DROP DATABASE postgres").code, "42501");
    assert_eq!(cluster.pids_of(WORKER), vec![pid]);
}

#[test]
fn launcher_and_worker_come_back() {
    let cluster = Cluster::with_extension();
    cluster.wait(&count(WORKER), "1");
    let worker = cluster.pids_of(WORKER)[0];
    let launcher = cluster.pids_of(LAUNCHER)[0];
    cluster.kill(launcher, Signal::SIGTERM);
    cluster.kill(worker, Signal::SIGTERM);
    cluster.wait(
        &format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE backend_type = 'indexpilot launcher' AND pid <> {launcher}"
        ),
        "1",
    );
    // The new launcher starts workers again.
    cluster.session().run("CREATE DATABASE second");
    cluster
        .session_in("second")
        .run("CREATE EXTENSION indexpilot");
    cluster.wait(&count(WORKER), "1");
    let launcher = cluster.pids_of(LAUNCHER)[0];
    cluster.crash(launcher);
    cluster.wait(&count(LAUNCHER), "1");
    cluster.wait(&count(WORKER), "2");
}

#[test]
fn a_worker_with_outdated_settings_of_its_database_leaves() {
    let cluster = Cluster::with_extension();
    cluster.wait(&count(WORKER), "1");
    let worker = cluster.pids_of(WORKER)[0];
    cluster
        .session()
        .run("ALTER DATABASE postgres SET statement_timeout = '1min'");
    cluster.wait(
        &format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE backend_type = 'indexpilot worker' AND pid = {worker}"
        ),
        "0",
    );
}

#[test]
fn a_shortened_interval_counts_from_now() {
    let cluster = Cluster::with_extension();
    cluster.wait("SELECT count(*) FROM indexpilot.analysis", "1");
    // The next one was due in a quarter of an hour.
    cluster
        .session()
        .run("ALTER DATABASE postgres SET indexpilot.analysis_interval = '10s'");
    cluster.wait("SELECT count(*) > 1 FROM indexpilot.analysis", "t");
}

#[test]
fn switching_off_ends_the_worker_and_on_brings_it_back() {
    let cluster = Cluster::with_extension();
    cluster.wait(&count(WORKER), "1");
    let mut session = cluster.session();
    session.run("ALTER SYSTEM SET indexpilot.enabled = off");
    cluster.reload();
    cluster.wait(&count(WORKER), "0");
    session.run("ALTER SYSTEM RESET indexpilot.enabled");
    cluster.reload();
    cluster.wait(&count(LAUNCHER), "1");
}

#[test]
fn no_room_for_a_worker_is_said_once() {
    let cluster = Cluster::builder().conf("max_worker_processes = 2").start();
    // The launcher and the logical replication launcher take both.
    cluster.session().run("CREATE EXTENSION indexpilot");
    cluster.wait_log("could not start a worker");
    assert_eq!(cluster.log().matches("could not start a worker").count(), 1);
    cluster.wait(&count(LAUNCHER), "1");
}

#[test]
fn a_standby_is_left_alone_until_promotion() {
    let primary = Cluster::with_extension();
    let standby = primary.standby();
    assert!(standby.pids_of(LAUNCHER).is_empty());
    standby.promote();
    standby.wait(&count(LAUNCHER), "1");
    standby.wait(&count(WORKER), "1");
}

#[test]
fn a_fast_shutdown_is_not_held_up() {
    let mut cluster = Cluster::with_extension();
    cluster.wait(&count(WORKER), "1");
    cluster.stop(Signal::SIGINT);
    let log = cluster.log();
    assert!(log.contains("database system is shut down"), "{log}");
    cluster.start();
    cluster.wait(&count(LAUNCHER), "1");
}
