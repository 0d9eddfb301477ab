//! What a worker does while it is connected: save counters, take jobs, analyse, tidy, and
//! leave when there has been nothing to do for a while.

use super::{DUTIES, Duties, Spent};
use crate::config;
use crate::health;
use crate::pg::spi;
use crate::pg::transaction::{self, ServerError};
use crate::pg::worker_entry::board::{Presence, Request, Slot};
use crate::pg::worker_entry::{self, own_slot, report_activity};
use crate::pg::{clock, load};
use indexpilot_model::Module;
use pgrx::prelude::*;
use std::time::Duration;

/// A worker that did nothing for this long leaves, so that an idle database has no
/// connection of ours. Starting one costs a few milliseconds of CPU.
const IDLE_EXIT_SECONDS: i64 = 30;
/// Seconds between two runs of the tidying.
const TIDY_EVERY: i64 = 3_600;
/// Microseconds between two writings of what the worker took.
const SPENT_EVERY: i64 = 60 * 1_000_000;
/// Longest pause after failures in a row, seconds.
const LONGEST_PAUSE: i64 = 300;

struct Cycle {
    slot: &'static Slot,
    duties: &'static Duties,
    /// pg_db_role_setting as it was when this process connected.
    settings: String,
    busy_at: i64,
    flushed_at: i64,
    tidied_at: i64,
    failures: u32,
    not_before: i64,
    /// What was taken and not written down yet, by duty.
    spent: Vec<Spent>,
    spent_at: i64,
}

/// Runs until there is nothing to do, the extension is gone, or somebody asks for the end.
pub(super) fn run() {
    // What we do ourselves is no work of the database.
    crate::pg::hooks::suspend();
    let (Some(slot), Some(duties)) = (own_slot(), DUTIES.get()) else {
        return;
    };
    // It was on its way when somebody said that the database is needed.
    if slot.is_needed(clock::now()) {
        slot.pause_until(0);
        return;
    }
    // Makes known what is switched off here; false also where the SQL objects are of another
    // version than the library.
    let look = || spi::our_relation(c"mutation_log").is_some() && health::attach().unwrap_or(false);
    match transaction::run(look) {
        Ok(true) => slot.set_presence(Presence::Present),
        Ok(false) => {
            slot.set_presence(Presence::Absent);
            slot.pause_until(0);
            return;
        }
        Err(error) => {
            pgrx::log!("indexpilot worker could not look for the extension: {error}");
            return;
        }
    }
    let Ok(settings) = transaction::run(database_settings) else {
        return;
    };
    let now = clock::now();
    let mut cycle = Cycle {
        slot,
        duties,
        settings,
        busy_at: now,
        flushed_at: 0,
        // A worker that comes and goes within the hour has to tidy too.
        tidied_at: 0,
        failures: 0,
        not_before: 0,
        spent: Vec::new(),
        spent_at: now,
    };
    while cycle.turn() {
        report_activity(None);
        let pause = config::current().flush_interval.clamp(1, 5);
        let _ = worker_entry::wait(Duration::from_secs(u64::from(pause)));
    }
    cycle.keep_spent(0);
    slot.pause_until(0);
}

/// Settings of this database for `indexpilot.*` and others, as text: ALTER DATABASE … SET
/// never reaches a connected process, so when this changes the worker ends and the next one
/// starts with the new values.
fn database_settings() -> String {
    Spi::get_one::<String>(
        "SELECT coalesce(string_agg(s.setdatabase::text || s.setconfig::text, ' '
             ORDER BY s.setdatabase), '')
         FROM pg_db_role_setting AS s, pg_database AS d
         WHERE d.datname = current_database()
           AND s.setdatabase IN (0, d.oid)
           AND s.setrole IN (0, 10)",
    )
    .ok()
    .flatten()
    .unwrap_or_default()
}

impl Cycle {
    /// One turn; false when the worker is to end.
    fn turn(&mut self) -> bool {
        let now = clock::now();
        if self.slot.take(Request::Stop) || self.slot.is_needed(now) || !config::current().enabled {
            return false;
        }
        if now < self.not_before {
            return true;
        }
        match transaction::run(|| {
            (
                spi::our_relation(c"mutation_log").is_some(),
                database_settings(),
            )
        }) {
            Ok((false, _)) => {
                self.slot.set_presence(Presence::Absent);
                return false;
            }
            Ok((true, settings)) if settings != self.settings => return false,
            Ok(_) => {}
            Err(error) => {
                self.failed("read its settings", &error);
                return true;
            }
        }
        match self.duties_in_order(now) {
            Ok(true) => {
                self.busy_at = clock::now();
                self.failures = 0;
            }
            Ok(false) => self.failures = 0,
            Err((what, error)) => self.failed(what, &error),
        }
        !self.slot.take(Request::Stop)
            && clock::now() - self.busy_at < IDLE_EXIT_SECONDS * 1_000_000
    }

    /// Whatever is due. True when something was done.
    fn duties_in_order(&mut self, now: i64) -> Result<bool, (&'static str, ServerError)> {
        let config = config::current();
        let mut busy = false;
        // An interval that was shortened counts from now, not after the pause that was set
        // under the longer one.
        let latest = now + i64::from(config.analysis_interval) * 1_000_000;
        if self.slot.analysis_due() > latest {
            self.slot.set_analysis_due(latest);
        }
        let flush_due = now - self.flushed_at >= i64::from(config.flush_interval) * 1_000_000;
        let analysis_due = !config.off.contains(Module::Advisor)
            && (self.slot.asked(Request::Analyze) || self.slot.analysis_due() <= now);
        if self.slot.take(Request::Flush)
            || ((flush_due || analysis_due) && (self.duties.unsaved)(spi::database().to_u32()))
        {
            report_activity(Some("indexpilot: saving statistics"));
            self.timed("saving", |duties| transaction::run(duties.flush))
                .map_err(|error| ("save statistics", error))?;
            self.flushed_at = clock::now();
            busy = true;
        }
        if analysis_due {
            // In this order: a request that comes between the two is answered by this analysis,
            // or by the next as well, but never by none.
            self.slot.begin_analysis();
            self.slot.take(Request::Analyze);
            report_activity(Some("indexpilot: analysing"));
            let result = self.timed("analysing", |duties| transaction::attempt(duties.analyze));
            // Also after a failure: whoever waits for the analysis must not wait for ever,
            // and a failing one must not run all the time.
            self.slot
                .set_analysis_due(clock::now() + i64::from(config.analysis_interval) * 1_000_000);
            self.slot.finish_analysis();
            result.map_err(|error| ("analyse", error))?;
            busy = true;
        }
        if config.off.contains(Module::Advisor) && self.slot.analysis_due() <= now {
            self.slot
                .set_analysis_due(now + i64::from(config.analysis_interval) * 1_000_000);
        }
        self.slot.take(Request::Jobs);
        // A job obeys the settings of this moment, not those of when the turn began.
        worker_entry::reread_configuration();
        while !self.slot.asked(Request::Stop)
            && !config::current().off.contains(Module::Worker)
            && self
                .timed("acting", |duties| {
                    transaction::attempt(duties.work).and_then(|result| result)
                })
                .map_err(|error| ("run a job", error))?
        {
            busy = true;
            worker_entry::reread_configuration();
        }
        let due =
            transaction::run(self.duties.next_job).map_err(|error| ("look for jobs", error))?;
        self.slot.set_jobs_due(due);
        if now - self.tidied_at >= TIDY_EVERY * 1_000_000 {
            report_activity(Some("indexpilot: tidying up"));
            self.tidied_at = now;
            self.timed("tidying", |duties| transaction::run(duties.tidy))
                .map_err(|error| ("tidy up", error))?;
        }
        self.keep_spent(SPENT_EVERY);
        Ok(busy)
    }

    /// Does a duty and counts what it takes.
    fn timed<T>(&mut self, duty: &'static str, work: impl FnOnce(&Duties) -> T) -> T {
        let (start, cpu) = (std::time::Instant::now(), load::own_cpu());
        let result = work(self.duties);
        let elapsed = start.elapsed().as_secs_f64() * 1_000.0;
        let cpu = load::own_cpu()
            .zip(cpu)
            .map(|(after, before)| (after - before) * 1_000.0);
        match self.spent.iter_mut().find(|spent| spent.duty == duty) {
            Some(spent) => {
                spent.elapsed += elapsed;
                spent.cpu = spent.cpu.zip(cpu).map(|(sum, more)| sum + more);
            }
            None => self.spent.push(Spent { duty, elapsed, cpu }),
        }
        result
    }

    /// Writes down what was taken, unless that was done within the last microseconds. A
    /// failure loses a minute's sum and nothing else.
    fn keep_spent(&mut self, every: i64) {
        let now = clock::now();
        if self.spent.is_empty() || now - self.spent_at < every {
            return;
        }
        self.spent_at = now;
        let spent = std::mem::take(&mut self.spent);
        if let Err(error) = transaction::run(|| (self.duties.spent)(&spent)) {
            pgrx::debug1!("indexpilot worker could not keep its times: {error}");
        }
    }

    /// Says it once, and pauses longer after each failure in a row.
    fn failed(&mut self, what: &str, error: &ServerError) {
        self.failures += 1;
        if self.failures.is_power_of_two() {
            pgrx::warning!("indexpilot worker could not {what}: {error}");
        }
        let pause = (5_i64 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.not_before = clock::now() + pause * 1_000_000;
    }
}
