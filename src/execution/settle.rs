//! How a job ends: what the server's error means, what is left to clean, and when it is
//! tried again.

use super::{Done, in_transaction, record, recovery, stop_point, verify};
use crate::pg::clock;
use crate::pg::ddl;
use crate::pg::transaction::ServerError;
use crate::pg::worker_entry::board::CancelReason;
use crate::store::job::{self, Job};
use crate::store::verification;
use indexpilot_guard::{Purpose, backoff};
use indexpilot_model::{IntentKind, Outcome};
use pgrx::spi::SpiResult;

/// Seconds until a leftover that could not be dropped is tried again.
const CLEAN_AGAIN: i64 = 30;
/// Seconds until a job is tried again that was interrupted for reasons not its own.
const INTERRUPTED: i64 = 5;

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt after so many seconds.
    Retry(i64),
    /// The end, with this state.
    End(&'static str),
}

impl Next {
    /// The phase of a job that is cleaning, from which the next step is read back.
    fn phase(&self) -> &'static str {
        match self {
            Next::Retry(_) => "retry",
            Next::End(state) => state,
        }
    }

    /// What follows the cleaning of a job in this phase.
    pub(super) fn after_cleaning(phase: &str) -> Self {
        match phase {
            "cancelled" => Next::End("cancelled"),
            "failed" => Next::End("failed"),
            _ => Next::Retry(INTERRUPTED),
        }
    }
}

/// What an error means for a job that has had `attempts` attempts: words and what follows.
fn judge(error: &ServerError, attempts: u32) -> (String, Next) {
    let again = |reason: String| match backoff(attempts) {
        Some(seconds) => (reason, Next::Retry(seconds)),
        None => (
            format!("given up after {attempts} attempts: {reason}"),
            Next::End("failed"),
        ),
    };
    match error.sqlstate.as_str() {
        "57014" => match ddl::cancelled_because() {
            CancelReason::ClientWaited => {
                again("gave way to a client that waited for a lock".into())
            }
            CancelReason::Operator => ("cancelled by cancel()".into(), Next::End("cancelled")),
            CancelReason::Disabled => (
                "interrupted: \"indexpilot.enabled\" was switched off".into(),
                Next::Retry(INTERRUPTED),
            ),
            CancelReason::DatabaseNeeded => (
                "interrupted: somebody needed the database without connections".into(),
                Next::Retry(INTERRUPTED),
            ),
            CancelReason::WatchdogGone => (
                "interrupted: the launcher ended".into(),
                Next::Retry(INTERRUPTED),
            ),
            CancelReason::None => again(format!("cancelled: {error}")),
        },
        // lock_not_available, deadlock_detected, serialization_failure
        "55P03" | "40P01" | "40001" => again(format!("gave way: {error}")),
        // insufficient_resources: disk full, out of memory, too many connections…
        state if state.starts_with("53") => again(format!("resources were short: {error}")),
        // operator_intervention other than a cancel
        state if state.starts_with("57P") => again(format!("interrupted: {error}")),
        _ => (error.to_string(), Next::End("failed")),
    }
}

/// Ends an attempt: records the outcome, or cleans up and says what follows.
pub(super) fn settle(
    job: &Job,
    result: Result<Done, ServerError>,
    started: i64,
) -> Result<(), ServerError> {
    match result {
        Ok(done) => {
            let milliseconds = (clock::now() - started) as f64 / 1_000.0;
            in_transaction(|| succeeded(job, &done, milliseconds, false))
        }
        Err(error) => {
            let (reason, next) = judge(&error, job.attempts);
            let outcome = match &next {
                Next::Retry(_) => Outcome::GaveWay {
                    reason: reason.clone(),
                },
                Next::End(_) => Outcome::Failed {
                    sqlstate: error.sqlstate.clone(),
                    message: error.message.clone(),
                },
            };
            // First what hurts (an invalid index costs every write), then the books.
            let clean = recovery::clean(job);
            stop_point("cleaned");
            // What failed may have been our books alone: the statement itself went through,
            // and another attempt would find its index in the way.
            if matches!(clean, Ok(true))
                && let Some(done) = recovery::finished_after_all(job)?
            {
                let milliseconds = (clock::now() - started) as f64 / 1_000.0;
                return in_transaction(|| succeeded(job, &done, milliseconds, true));
            }
            in_transaction(|| {
                record::outcome(job, &outcome, None, false, &reason)?;
                after_failure(job, &next, &reason, matches!(clean, Ok(true)))
            })
        }
    }
}

/// The books of a success.
pub(super) fn succeeded(
    job: &Job,
    done: &Done,
    milliseconds: f64,
    recovered: bool,
) -> SpiResult<()> {
    let bytes = done
        .evidence
        .get("bytes")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    let outcome = Outcome::Succeeded {
        index: done.index,
        bytes,
        milliseconds,
    };
    let reason = if recovered {
        "found finished after an interruption"
    } else {
        "done"
    };
    record::outcome(job, &outcome, Some(done), recovered, reason)?;
    job::set_index(job.id, done.index)?;
    let measured = matches!(
        job.intent.kind,
        IntentKind::CreateIndex { .. } | IntentKind::DropIndex { .. }
    );
    if measured
        && matches!(
            job.purpose,
            Purpose::Advice | Purpose::Operator | Purpose::Revert
        )
        && let Some(mutation) = job.mutation
    {
        let amcheck = done
            .evidence
            .get("amcheck")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("unchecked: nothing was built");
        let started = clock::now() - (milliseconds * 1_000.0) as i64;
        let kind = match job.purpose {
            Purpose::Revert => verify::REVERT.to_owned(),
            _ => indexpilot_advisor::verification::kind(&job.intent.kind),
        };
        verification::begin(mutation, &job.intent, &kind, done.index, amcheck, started)?;
    }
    if let (IntentKind::Reindex { .. }, Some(mutation)) = (&job.intent.kind, job.mutation) {
        verify::rebuilt(job, done, &mutation.to_string())?;
    }
    job::finish(job.id, "succeeded", "")
}

/// The next state of a job that failed.
pub(super) fn after_failure(job: &Job, next: &Next, reason: &str, clean: bool) -> SpiResult<()> {
    let at = |seconds: i64| clock::now() + seconds * 1_000_000;
    if !clean {
        job::clean_later(job.id, reason, at(CLEAN_AGAIN))?;
        return job::set_phase(job.id, next.phase());
    }
    match next {
        Next::Retry(seconds) => job::postpone(job.id, reason, at(*seconds)),
        Next::End(state) => job::finish(job.id, state, reason),
    }
}
