//! The launcher: finds the databases that hold the extension, starts a worker where there is
//! work, and watches over builds.
//!
//! Which databases hold the extension only a process connected to them can see. A worker is
//! started once in each after the server started, after CREATE EXTENSION, and in databases
//! that are new; it looks, says so on the board, and ends.

use super::DUTIES;
use crate::config;
use crate::pg::clock;
use crate::pg::locks;
use crate::pg::switch;
use crate::pg::worker_entry::board::{Board, CancelReason, Presence, Request, Slot, board};
use crate::pg::worker_entry::{self, Started};
use indexpilot_model::ModuleSet;
use pgrx::pg_sys::Oid;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the launcher looks at the board.
const TICK: Duration = Duration::from_millis(1_000);
/// The same while a worker builds: the watchdog has to give way before a client's
/// `deadlock_timeout` (1 s by default) makes the client the victim.
const WATCH: Duration = Duration::from_millis(200);
/// Seconds between two looks at pg_database.
const DATABASES_EVERY: i64 = 10;
/// Longest pause after the server had no room for a worker, seconds.
const LONGEST_PAUSE: i64 = 60;
/// Seconds before a worker that failed at once is started again.
const AFTER_FAILURE: i64 = 5;

struct Launcher {
    board: &'static Board,
    /// Workers asked for, and when.
    started: BTreeMap<u32, (Started, i64)>,
    databases: Vec<Oid>,
    looked_at: i64,
    /// No worker is asked for before this moment: there was no room.
    not_before: i64,
    pause: i64,
    full_said: bool,
    slots_said: bool,
}

/// Runs until the server stops or the process is terminated.
pub(super) fn run() {
    let Some(board) = board() else { return };
    let mut launcher = Launcher {
        board,
        started: BTreeMap::new(),
        databases: Vec::new(),
        looked_at: 0,
        not_before: 0,
        pause: 1,
        full_said: false,
        slots_said: false,
    };
    // Workers that a launcher before this one had started may be running: they are on the
    // board, and none is started beside them.
    loop {
        let watching = launcher.tick();
        let _ = worker_entry::wait(if watching { WATCH } else { TICK });
    }
}

impl Launcher {
    /// One look at everything; true while a worker builds.
    fn tick(&mut self) -> bool {
        let now = clock::now();
        self.started.retain(|_, (worker, _)| !worker.ended());
        if !config::current().enabled {
            self.stop_all();
            return false;
        }
        if now - self.looked_at >= DATABASES_EVERY * 1_000_000 || now < self.looked_at {
            self.look_at_databases(now);
        }
        for database in self.databases.clone() {
            if let Some(slot) = self.board.find_or_take(database) {
                self.attend(slot, now);
            } else if !self.slots_said {
                self.slots_said = true;
                pgrx::log!(
                    "indexpilot attends to {} databases; further ones are left alone",
                    crate::pg::worker_entry::board::SLOTS
                );
            }
        }
        self.watch()
    }

    fn look_at_databases(&mut self, now: i64) {
        match worker_entry::databases() {
            Ok(databases) => {
                self.board.retain(&databases);
                self.databases = databases;
                self.looked_at = now;
            }
            Err(error) => pgrx::log!("indexpilot launcher could not read pg_database: {error}"),
        }
    }

    /// Starts a worker where there is work and none is running.
    fn attend(&mut self, slot: &Slot, now: i64) {
        let database = slot.database();
        // Unknown after a restart: a worker looks, and makes it known.
        if switch::off_in(database.to_u32()) == Some(ModuleSet::ALL) {
            if slot.worker() != 0 {
                stop(slot);
            }
            return;
        }
        if slot.worker() != 0
            || self.started.contains_key(&database.to_u32())
            || slot.not_before() > now
            || self.not_before > now
        {
            return;
        }
        let Some(duties) = DUTIES.get() else { return };
        // A request to stop was meant for a worker that has ended since.
        slot.take(Request::Stop);
        let wanted = match slot.presence() {
            Presence::Unknown => true,
            Presence::Absent => false,
            Presence::Present => {
                slot.asked_anything()
                    || slot.analysis_due() <= now
                    || slot.jobs_due().is_some_and(|moment| moment <= now)
                    || (duties.unsaved)(database.to_u32())
            }
        };
        if !wanted || self.started.len() >= config::max_workers() {
            return;
        }
        match worker_entry::start_worker(database) {
            Some(worker) => {
                self.started.insert(database.to_u32(), (worker, now));
                // Should it fail at once, the next one waits.
                slot.pause_until(now + AFTER_FAILURE * 1_000_000);
                self.pause = 1;
                self.full_said = false;
            }
            None => {
                if !self.full_said {
                    self.full_said = true;
                    pgrx::log!(
                        "indexpilot could not start a worker: all of \"max_worker_processes\" are in use"
                    );
                }
                self.not_before = now + self.pause * 1_000_000;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// `indexpilot.enabled` is off: whatever runs is cancelled and ends.
    fn stop_all(&self) {
        for slot in self.board.taken().filter(|slot| slot.worker() != 0) {
            stop(slot);
        }
    }

    /// Cancels builds that a client waits for.
    fn watch(&self) -> bool {
        let builders: Vec<&Slot> = self.board.taken().filter(|slot| slot.building()).collect();
        if builders.is_empty() {
            return false;
        }
        let pids: Vec<i32> = builders.iter().map(|slot| slot.worker()).collect();
        match locks::blocked_by(&pids) {
            Ok(blocked) => {
                for slot in &builders {
                    if slot.building() && blocked.contains(&slot.worker()) {
                        worker_entry::cancel(slot, CancelReason::ClientWaited);
                    }
                }
            }
            Err(error) => pgrx::log!("indexpilot launcher could not read the lock table: {error}"),
        }
        true
    }
}

/// Cancels a build, and asks the worker to end.
fn stop(slot: &Slot) {
    slot.request(Request::Stop);
    if slot.building() {
        worker_entry::cancel(slot, CancelReason::Disabled);
    } else {
        worker_entry::ask(slot.database(), Request::Stop);
    }
}
