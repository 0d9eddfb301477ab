//! Rebuilding bloated indexes on a schedule.

mod jobs;

use indexpilot_tests::{PATIENCE, Session, wait_for};
use jobs::Ground;

/// A table whose index has swollen: nine of ten rows are gone, and the pages are still there.
/// Its best was seen before, as the worker sees it every hour.
fn swollen(ground: &Ground) {
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.events (id int PRIMARY KEY, at int) WITH (autovacuum_enabled = off);
         INSERT INTO crm.events SELECT g, g FROM generate_series(1, 40000) AS g;
         CREATE INDEX events_at ON crm.events (at);
         CREATE INDEX events_brin ON crm.events USING brin (at)",
    );
    counted(&mut session);
    session.run("VACUUM ANALYZE crm.events");
    seen(ground, "events_at", "measured");
    session.run("DELETE FROM crm.events WHERE id % 10 <> 0");
    counted(&mut session);
    session.run("VACUUM ANALYZE crm.events");
}

/// Sends the counters of what this session changed now: those that come after an ANALYZE would
/// make its row count look outdated. In a transaction of its own, which sends them at its end.
fn counted(session: &mut Session) {
    session.run("SELECT pg_stat_force_next_flush()");
}

/// Has the worker look for bloated indexes anew, as if no week had gone by without.
fn look_again(ground: &Ground) -> Session {
    let mut session = ground.session();
    session.run("UPDATE indexpilot.schedule SET done_at = now() - interval '40 days'");
    // A worker that begins asks at once; this one asks once a minute.
    session.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'indexpilot worker'
           AND NOT EXISTS (SELECT FROM indexpilot.job WHERE state = 'running')",
    );
    session
}

fn seen(ground: &Ground, index: &str, state: &str) {
    wait_for("the index to be measured", PATIENCE, || {
        let mut session = look_again(ground);
        let found = session.column(&format!(
            "SELECT state FROM indexpilot.index_sizes WHERE index = '{index}'"
        ));
        if found == [state] {
            Ok(())
        } else {
            std::thread::sleep(std::time::Duration::from_millis(500));
            Err(format!("{found:?}"))
        }
    });
}

const SETTINGS: &str = "indexpilot.reindex_min_size = 0\nindexpilot.create_index = 'off'";

#[test]
fn a_bloated_index_is_rebuilt_and_then_left_alone() {
    let ground = Ground::with(SETTINGS);
    swollen(&ground);
    let mut session = ground.session();
    let before = session.number("SELECT pg_relation_size('crm.events_at')");
    let job = wait_for("a job", PATIENCE, || {
        look_again(&ground);
        std::thread::sleep(std::time::Duration::from_millis(500));
        let jobs = session.column(
            "SELECT id FROM indexpilot.jobs WHERE action = 'reindex' AND index = 'events_at'",
        );
        jobs.first().cloned().ok_or_else(|| format!("{jobs:?}"))
    });
    ground.ends(&job, "succeeded");
    assert!(session.number("SELECT pg_relation_size('crm.events_at')") < before / 4.0);
    // Recommendation, job and log are one story.
    ground.cluster.wait(
        "SELECT r.state || ' ' || r.action FROM indexpilot.recommendation AS r
         JOIN indexpilot.job AS j ON j.recommendation = r.id AND j.purpose = 'schedule'
         WHERE r.definition LIKE '%events_at%'",
        "kept reindex",
    );
    // An attempt that the restart of the worker above interrupted may come before.
    let story = session.column(&format!(
        "SELECT m.phase || ' ' || m.cause FROM indexpilot.mutation_log AS m
             JOIN indexpilot.job AS j ON m.recommendation = j.recommendation
             WHERE j.id = '{job}' ORDER BY m.sequence"
    ));
    assert!(
        story.ends_with(
            &["intent schedule", "outcome schedule", "verdict schedule"].map(str::to_owned)
        ),
        "{story:?}"
    );
    // What was rebuilt is its own best now: nothing more is found.
    seen(&ground, "events_at", "measured");
    assert_eq!(
        session.number(
            "SELECT count(*) FROM indexpilot.job WHERE schema_name = 'crm'
               AND state IN ('queued', 'waiting', 'running')"
        ),
        0.0
    );
    ground.is_clean();
}

#[test]
fn under_advise_it_is_only_recommended() {
    let ground = Ground::with(&format!("{SETTINGS}\nindexpilot.reindex = 'advise'"));
    swollen(&ground);
    let mut session = ground.session();
    wait_for("the recommendation", PATIENCE, || {
        look_again(&ground);
        std::thread::sleep(std::time::Duration::from_millis(500));
        let found = session.column(
            "SELECT state || ': ' || reason FROM indexpilot.recommendation
             WHERE action = 'reindex' AND definition LIKE '%events_at%'",
        );
        match found.first() {
            Some(text) if text.starts_with("proposed: takes ") => Ok(()),
            _ => Err(format!("{found:?}")),
        }
    });
    assert_eq!(session.number("SELECT count(*) FROM indexpilot.job"), 0.0);
    // BRIN does not swell, and is not even measured.
    assert_eq!(
        session.number("SELECT count(*) FROM indexpilot.index_sizes WHERE index = 'events_brin'"),
        0.0
    );
}

#[test]
fn an_outdated_row_count_is_unknown_and_not_bloat() {
    let ground = Ground::with(SETTINGS);
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.events (id int PRIMARY KEY, at int) WITH (autovacuum_enabled = off);
         INSERT INTO crm.events SELECT g, g FROM generate_series(1, 4000) AS g;
         CREATE INDEX events_at ON crm.events (at)",
    );
    counted(&mut session);
    session.run("ANALYZE crm.events");
    seen(&ground, "events_at", "measured");
    session.run("INSERT INTO crm.events SELECT g, g FROM generate_series(4001, 40000) AS g");
    seen(
        &ground,
        "events_at",
        "unknown: the row count is outdated until the table is analysed",
    );
    assert_eq!(session.number("SELECT count(*) FROM indexpilot.job"), 0.0);
}
