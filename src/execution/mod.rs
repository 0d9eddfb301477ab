//! Carrying out jobs: ask the safeguards, record the intent, run the DDL, record the
//! outcome, and clean what a failure left. The states are described in
//! `src/worker/README.md`.
//!
//! Every step that matters is committed before the next begins, so that a crash at any
//! point leaves rows from which [`recovery`] finds out what was going on.

mod build;
mod cancel;
mod catalog;
mod check;
mod observe;
mod pins;
mod record;
mod recovery;
mod rollback;
mod settle;
mod statistics;
mod verify;

pub use cancel::cancel;
pub use pins::{pin_index, unpin_index};
pub use rollback::{preview, rollback};

use crate::pg::ddl::{self, Step};
use crate::pg::transaction::{self, ServerError};
use crate::pg::worker_entry;
use crate::store::job::{self, Job};
use crate::store::verification;
use indexpilot_guard::{Permit, Refusal, Retry, decide};
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::{Intent, IntentKind};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Runs SPI code in a transaction of its own; its errors become the server's.
fn in_transaction<T>(work: impl FnOnce() -> SpiResult<T>) -> Result<T, ServerError> {
    transaction::run(|| work().unwrap_or_else(|error| error!("{error}")))
}

/// What a finished action is about.
#[derive(Clone, Debug)]
struct Done {
    /// The index, or 0.
    index: u32,
    /// What is worth keeping of it.
    evidence: serde_json::Value,
}

/// Takes one job and brings it to its next state, in the worker, outside a transaction.
/// True when there was one.
///
/// # Errors
/// What kept even the bookkeeping from working; the job is found again by the next call.
pub fn work() -> Result<bool, ServerError> {
    let mut busy = false;
    for job in in_transaction(job::interrupted)? {
        recovery::resume(&job)?;
        busy = true;
    }
    busy |= verify::look()?;
    let Some(job) = in_transaction(job::next_due)? else {
        return Ok(busy);
    };
    let situation = in_transaction(|| observe::situation(&job))?;
    match decide(&job.intent, job.purpose, &situation) {
        Ok(permit) => carry_out(job, &permit)?,
        Err(refusals) => in_transaction(|| refused(&job, &refusals))?,
    }
    Ok(true)
}

/// When the next job is due. In a transaction.
pub fn next_job() -> Option<indexpilot_model::ports::Timestamp> {
    let read = || -> SpiResult<_> {
        let moments = [job::next_moment()?, verification::next_moment()?];
        Ok(moments.into_iter().flatten().min())
    };
    read().unwrap_or_else(|error| error!("{error}"))
}

/// The safeguards said no: later, or for good.
fn refused(job: &Job, refusals: &[Refusal]) -> SpiResult<()> {
    job::count_refusals(refusals)?;
    let reasons: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.safeguard.name(), refusal.reason))
        .collect();
    let reasons = reasons.join("; ");
    let latest = refusals
        .iter()
        .map(|refusal| match refusal.retry {
            Retry::At(moment) => Some(moment),
            Retry::Never => None,
        })
        .collect::<Option<Vec<_>>>()
        .and_then(|moments| moments.into_iter().max());
    match latest {
        Some(moment) => job::postpone(job.id, &reasons, moment),
        None => job::finish(job.id, "refused", &reasons),
    }
}

fn carry_out(mut job: Job, permit: &Permit) -> Result<(), ServerError> {
    if let Some(obstacle) = in_transaction(|| catalog::obstacle(&job.intent))? {
        return in_transaction(|| job::finish(job.id, "failed", &obstacle));
    }
    // Intent, attempt and the list of what is not ours commit together, before any DDL.
    job.bystanders = in_transaction(|| catalog::invalid_indexes(job.intent.relation.oid))?;
    job.mutation = Some(in_transaction(|| {
        let mutation = record::intent(&job)?;
        job::start(
            job.id,
            mutation,
            crate::pg::process::id(),
            job.bystanders.clone(),
        )?;
        Ok(mutation)
    })?);
    job.attempts += 1;
    stop_point("intent recorded");
    let started = crate::pg::clock::now();
    let result = act(&job, permit);
    stop_point("ddl done");
    settle::settle(&job, result, started)
}

/// The DDL of a job.
fn act(job: &Job, permit: &Permit) -> Result<Done, ServerError> {
    let intent: &Intent = &job.intent;
    let table = intent.relation.oid;
    match &intent.kind {
        IntentKind::CreateIndex { definition, name } => {
            build::create(job, permit, definition, name)
        }
        IntentKind::DropIndex { index, name, .. } => {
            phase(job, "dropping");
            let step = if in_transaction(|| catalog::is_partitioned(*index))? {
                return strong(permit, &Step::DropPartitioned { name }).map(|()| Done {
                    index: *index,
                    evidence: serde_json::json!({}),
                });
            } else {
                Step::Drop { name }
            };
            ddl::execute_locked(permit, table, &step)?;
            Ok(Done {
                index: *index,
                evidence: serde_json::json!({}),
            })
        }
        IntentKind::Reindex { index, name } => {
            phase(job, "rebuilding");
            let before = in_transaction(|| catalog::bytes(*index))?;
            ddl::execute_locked(permit, table, &Step::Reindex { name })?;
            // The index has a new file and, concurrently rebuilt, a new OID.
            let after = in_transaction(|| catalog::index_named(name))?;
            let index = after.as_ref().map_or(*index, |found| found.oid);
            let checked = check::index(index);
            Ok(Done {
                index,
                evidence: serde_json::json!({
                    "bytes_before": before,
                    "bytes": in_transaction(|| catalog::bytes(index))?,
                    "amcheck": checked,
                }),
            })
        }
        IntentKind::Analyze => {
            phase(job, "analysing");
            ddl::execute(
                permit,
                &Step::Analyze {
                    relation: &intent.relation,
                },
            )?;
            Ok(Done {
                index: 0,
                evidence: serde_json::json!({}),
            })
        }
        IntentKind::CreateStatistics(wanted) => statistics::create(job, permit, wanted),
        IntentKind::DropStatistics(unwanted) => statistics::drop(job, permit, unwanted),
    }
}

/// Attempts at a lock that others would queue behind.
const STRONG_ATTEMPTS: u32 = 100;

/// Runs a step that needs a strong lock: each attempt waits 100 ms at most, then lets the
/// others pass.
fn strong(permit: &Permit, step: &Step<'_>) -> Result<(), ServerError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match ddl::execute(permit, step) {
            Err(error) if error.is("55P03") && attempt < STRONG_ATTEMPTS => {
                worker_entry::wait(std::time::Duration::from_millis(200))?;
            }
            result => return result,
        }
    }
}

/// Shows what is being done. Not worth failing for.
fn phase(job: &Job, what: &str) {
    let _ = in_transaction(|| job::set_phase(job.id, what));
    stop_point(what);
}

/// The index that an intent makes or works on, as far as it has a name.
fn index_name(intent: &Intent) -> Option<QualifiedName> {
    match &intent.kind {
        IntentKind::CreateIndex { name, .. } => Some(QualifiedName::new(
            intent.relation.schema.clone(),
            name.clone(),
        )),
        IntentKind::DropIndex { name, .. } | IntentKind::Reindex { name, .. } => Some(name.clone()),
        IntentKind::Analyze | IntentKind::CreateStatistics(_) | IntentKind::DropStatistics(_) => {
            None
        }
    }
}

/// A place where tests stop the worker, by name. Does nothing in a library that is built
/// without the feature `stop-points`.
fn stop_point(name: &str) {
    #[cfg(feature = "stop-points")]
    crate::config::stop_at(name);
    #[cfg(not(feature = "stop-points"))]
    let _ = name;
}
