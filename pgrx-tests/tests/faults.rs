//! The worker is killed, terminated and cancelled in every phase of a build, a rebuild and a
//! drop: at named stop points between its own steps, and inside the server's command, which
//! is held at each of its phases by a transaction that it has to wait for. Each round ends
//! with no invalid index, no orphan file, no lost row of the log and a working server.

mod jobs;

use indexpilot_tests::{Session, Signal};
use jobs::Ground;

/// Where the worker is struck.
#[derive(Clone, Copy, Debug)]
enum At {
    /// At a stop point of ours.
    Point(&'static str),
    /// While it cleans up after having been struck at a stop point already.
    Recovery(&'static str),
    /// In the server's command, which waits for a transaction that has written.
    Writers(&'static str),
    /// In the scan of the table.
    Scan,
    /// In the server's command, which waits for an old snapshot.
    Snapshots,
    /// In the server's command, which waits for a transaction that has only read.
    Readers(&'static str),
    /// In the second wait of DROP INDEX CONCURRENTLY.
    SecondReaders,
}

/// Every way to be struck. SIGINT is `pg_cancel_backend()`, SIGTERM `pg_terminate_backend()`.
const WAYS: [Signal; 3] = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT];

const DROP_WAITS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'indexpilot worker' AND wait_event_type = 'Lock'
      AND query LIKE 'DROP INDEX CONCURRENTLY%'";

/// Brings the worker to the place. What is given back holds it there.
fn bring(ground: &Ground, at: At, queue: impl FnOnce() -> String) -> (String, Vec<Session>) {
    let with = |statements: &str| {
        let mut session = ground.session();
        session.run(statements);
        session
    };
    let write = "BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1";
    let read = "BEGIN; SELECT FROM crm.contacts WHERE id = 1";
    match at {
        At::Point(point) => {
            ground.stop_at(point);
            let job = queue();
            ground.waits_at(point);
            (job, Vec::new())
        }
        At::Recovery(point) => {
            ground.stop_at(point);
            let job = queue();
            ground.waits_at(point);
            // Read by the next worker when it starts; this one has not been told.
            ground
                .session()
                .run("ALTER SYSTEM SET indexpilot.stop_at = 'recovering'");
            ground.strike(Signal::SIGTERM);
            ground.waits_at("recovering");
            (job, Vec::new())
        }
        At::Writers(phase) => {
            let held = with(write);
            let job = queue();
            ground.waits_in(phase);
            (job, vec![held])
        }
        At::Scan => {
            let held = ground.close();
            let job = queue();
            ground.waits_in_gate();
            (job, vec![held])
        }
        At::Snapshots => {
            let held = with("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM crm.contacts");
            let job = queue();
            ground.waits_in("waiting for old snapshots");
            (job, vec![held])
        }
        At::Readers("") => {
            let held = with(read);
            let job = queue();
            ground.cluster.wait(DROP_WAITS, "1");
            (job, vec![held])
        }
        At::Readers(phase) => {
            let held = with(read);
            let job = queue();
            ground.waits_in(phase);
            (job, vec![held])
        }
        At::SecondReaders => {
            let first = with(read);
            let job = queue();
            ground.cluster.wait(DROP_WAITS, "1");
            let second = with(read);
            drop(first);
            // Set dead by the second phase, which waits for the second reader.
            ground.cluster.wait(
                "SELECT i.indislive FROM pg_index AS i
                 WHERE i.indexrelid = 'crm.ip_gate'::regclass",
                "f",
            );
            ground.cluster.wait(DROP_WAITS, "1");
            (job, vec![second])
        }
    }
}

fn struck(action: &str, places: &[At]) {
    let ground = Ground::new();
    for at in places {
        for how in WAYS {
            eprintln!("{action} at {at:?} by {how}");
            let mut session = ground.session();
            session.run("DROP INDEX IF EXISTS crm.ip_gate");
            if action != "create" {
                session.run("CREATE INDEX ip_gate ON crm.contacts (crm.gate(email))");
            }
            drop(session);
            let (job, held) = bring(&ground, *at, || match action {
                "create" => ground.job("contacts", &ground.gated_intent("ip_gate", None)),
                "reindex" => ground.reindex("contacts", "ip_gate"),
                _ => ground.drop_index("contacts", &[(2, "email")], "ip_gate"),
            });
            ground.strike(how);
            drop(held);
            ground.stop_at("");
            ground.ends_soon(&job, "succeeded");
            let exists = ground
                .session()
                .value("SELECT to_regclass('crm.ip_gate')")
                .is_some();
            assert_eq!(exists, action != "drop", "{action} at {at:?} by {how}");
            ground.is_clean();
        }
    }
}

#[test]
fn a_build_struck_anywhere_leaves_nothing() {
    struck(
        "create",
        &[
            At::Point("intent recorded"),
            At::Writers("waiting for writers before build"),
            At::Scan,
            At::Snapshots,
            At::Point("commenting"),
            At::Point("ddl done"),
            At::Recovery("building"),
        ],
    );
}

#[test]
fn a_rebuild_struck_anywhere_leaves_nothing() {
    struck(
        "reindex",
        &[
            At::Point("intent recorded"),
            At::Writers("waiting for writers before build"),
            At::Scan,
            At::Snapshots,
            At::Readers("waiting for readers before marking dead"),
            At::Point("ddl done"),
        ],
    );
}

#[test]
fn a_drop_struck_anywhere_leaves_nothing() {
    struck(
        "drop",
        &[
            At::Point("intent recorded"),
            At::Point("dropping"),
            At::Readers(""),
            At::SecondReaders,
            At::Point("ddl done"),
        ],
    );
}
