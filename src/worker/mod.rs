//! The launcher and the per-database workers: when which of them runs, and what a worker
//! does in which order. See `README.md` beside this file for the state machines.
//!
//! What a worker does for other rooms comes as [`Duties`], so that this room knows neither
//! capture nor the advisor.

mod cycle;
mod launcher;

use crate::pg::spi;
use crate::pg::transaction::ServerError;
use crate::pg::worker_entry::{self, Bodies, board};
use indexpilot_model::ports::Timestamp;
use std::sync::OnceLock;

pub use board::Request;

/// What the worker took for one duty, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// saving, analysing, acting or tidying.
    pub duty: &'static str,
    /// Elapsed, waits included.
    pub elapsed: f64,
    /// CPU; `None` where the kernel does not count it.
    pub cpu: Option<f64>,
}

/// What other rooms want done in the worker. All callbacks run as the bootstrap superuser
/// with `search_path = pg_catalog, pg_temp`.
#[derive(Clone, Copy)]
pub struct Duties {
    /// Whether shared memory holds counters of this database that are not saved yet.
    /// Asked in the launcher too, which has no database: shared memory only.
    pub unsaved: fn(database: u32) -> bool,
    /// Saves the counters. Called in a transaction of its own.
    pub flush: fn(),
    /// Runs an analysis and leaves recommendations. Called outside a transaction: it opens
    /// short ones with `pg::transaction::run`, because planning keeps locks until commit.
    pub analyze: fn(),
    /// Takes one job and runs it to its next state, outside a transaction. True when there
    /// was one; an error is said in the log and tried again later.
    pub work: fn() -> Result<bool, ServerError>,
    /// When the next job is due, so that the launcher knows while no worker is there. Called
    /// in a transaction of its own.
    pub next_job: fn() -> Option<Timestamp>,
    /// Keeps what the worker took. Called in a transaction of its own.
    pub spent: fn(&[Spent]),
    /// Removes what is older than the retention, and other rare tidying. Called in a
    /// transaction of its own, about once an hour.
    pub tidy: fn(),
}

static DUTIES: OnceLock<Duties> = OnceLock::new();

/// Registers launcher and workers. From `_PG_init`, after the settings were defined.
pub fn register(duties: Duties) {
    if DUTIES.set(duties).is_ok() {
        worker_entry::register(Bodies {
            launcher: launcher::run,
            worker: cycle::run,
        });
    }
}

/// Asks the worker of this database for something once the present transaction commits.
pub fn ask_at_commit(request: Request) {
    worker_entry::ask_at_commit(request);
}

/// Asks the worker of this database for something now. False where the library is not
/// preloaded.
pub fn ask(request: Request) -> bool {
    worker_entry::ask(spi::database(), request)
}

/// Number of the next analysis that the worker of this database begins: the first one that
/// sees all that is committed now. One that runs already may have read before.
pub fn next_analysis() -> u64 {
    worker_entry::own_slot().map_or(0, board::Slot::analyses_begun) + 1
}

/// Number of the last analysis that the worker of this database has finished.
pub fn analyses_finished() -> u64 {
    worker_entry::own_slot().map_or(0, board::Slot::analyses_finished)
}

/// Whether a launcher is there.
pub fn launcher_is_running() -> bool {
    board::board().is_some_and(|board| board.launcher() != 0)
}
