//! Cleaning what an interrupted build left, and going on with interrupted jobs.
//!
//! Dropped is only what the log says we were making: the index of that name on that table,
//! or, for a rebuild, `…_ccnew` and `…_ccold` indexes of it that were not there before. It
//! has to be invalid and nobody may be building on its table: a person's own build looks
//! the same but for that.

use super::settle::{Next, after_failure, succeeded};
use super::{Done, build, catalog, check, in_transaction, index_name, record, stop_point};
use crate::config;
use crate::pg::ddl::{self, Step};
use crate::pg::transaction::ServerError;
use crate::store::job::Job;
use catalog::Found;
use indexpilot_guard::{Leftover, backoff, permit_cleanup};
use indexpilot_model::identifier::{MAX_IDENTIFIER_BYTES, clip};
use indexpilot_model::{IntentKind, Outcome};

/// Milliseconds that dropping a leftover may take before it is left for later: it waits for
/// the same old transactions that the build may have failed by.
const CLEAN_WITHIN: u32 = 10_000;

/// Whether `name` is what REINDEX CONCURRENTLY calls the new or the old index of `index`
/// (index.c, index_concurrently_create_copy; indexcmds.c, ChooseRelationName).
fn is_shadow(name: &str, index: &str) -> bool {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(stem) = digits
        .strip_suffix("_ccnew")
        .or_else(|| digits.strip_suffix("_ccold"))
    else {
        return false;
    };
    // The server cuts the stem so that the whole fits; the shortest cut it can make leaves
    // room for the suffix and its number.
    stem == index
        || (index.starts_with(stem) && stem.len() + 6 >= MAX_IDENTIFIER_BYTES - 6)
        || stem == clip(index, MAX_IDENTIFIER_BYTES - (name.len() - stem.len()))
}

/// What a job left that has to go.
fn leftovers(job: &Job) -> Result<Vec<Leftover>, ServerError> {
    let relation = &job.intent.relation;
    let Some(name) = index_name(&job.intent) else {
        return Ok(Vec::new());
    };
    in_transaction(|| {
        let mut found: Vec<(Found, bool)> = Vec::new();
        for index in catalog::indexes_of(relation.oid)? {
            if job.bystanders.iter().any(|oid| oid.to_u32() == index.oid) {
                continue;
            }
            let (ours, part) = match &job.intent.kind {
                IntentKind::CreateIndex { definition, .. } => {
                    let own = index.relation.oid == relation.oid && index.name == name;
                    let leaf = index.relation.oid != relation.oid
                        && index.name.name
                            == build::on_relation(definition, &index.relation)
                                .canonical_name(build::PREFIX);
                    (own || leaf, leaf)
                }
                // A drop that was begun is finished: its index is invalid for good.
                IntentKind::DropIndex { index: oid, .. } => (index.oid == *oid, false),
                IntentKind::Reindex { .. } => (is_shadow(&index.name.name, &name.name), false),
                IntentKind::Analyze
                | IntentKind::CreateStatistics(_)
                | IntentKind::DropStatistics(_) => (false, false),
            };
            if ours && (part || !index.valid) {
                found.push((index, part));
            }
        }
        // Parents first: attached children go with them.
        found.sort_by_key(|(index, _)| index.relation.oid != relation.oid);
        let mut list = Vec::new();
        for (index, part) in found {
            list.push(Leftover {
                in_progress: catalog::is_being_built(index.relation.oid)?,
                index: index.oid,
                name: index.name,
                relation: index.relation,
                recorded: job.mutation.is_some(),
                valid: index.valid,
                part,
            });
        }
        Ok(list)
    })
}

/// Drops what a job left; true when nothing is left.
///
/// # Errors
/// The server's; what is left then is tried again later.
pub(super) fn clean(job: &Job) -> Result<bool, ServerError> {
    let mut clean = true;
    for leftover in leftovers(job)? {
        match drop_one(&leftover) {
            Ok(()) => {}
            Err(reason) => {
                pgrx::log!("indexpilot will clean {} later: {reason}", leftover.name);
                clean = false;
            }
        }
    }
    Ok(clean)
}

fn drop_one(leftover: &Leftover) -> Result<(), String> {
    let permit = permit_cleanup(leftover, &config::current()).map_err(|refusal| refusal.reason)?;
    let name = &leftover.name;
    // It may have gone with its parent.
    match in_transaction(|| catalog::index_named(name)) {
        Ok(Some(found)) if found.oid == leftover.index => {}
        Ok(_) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    }
    let partitioned = in_transaction(|| catalog::is_partitioned(leftover.index))
        .map_err(|error| error.to_string())?;
    let result = if partitioned {
        super::strong(&permit, &Step::DropPartitioned { name })
    } else {
        // Under our lock nobody can begin a build on the table.
        ddl::execute_locked_within(
            &permit,
            leftover.relation.oid,
            &Step::Drop { name },
            CLEAN_WITHIN,
        )
    };
    result.map_err(|error| error.to_string())
}

/// Goes on with a job that a dead worker left running, or whose leftover had to wait.
pub(super) fn resume(job: &Job) -> Result<(), ServerError> {
    stop_point("recovering");
    if job.state == "cleaning" {
        let clean = matches!(clean(job), Ok(true));
        if clean && let Some(done) = drop_finished(job)? {
            return in_transaction(|| succeeded(job, &done, 0.0, true));
        }
        let phase = in_transaction(|| crate::store::job::phase(job.id))?;
        let next = Next::after_cleaning(&phase);
        return in_transaction(|| after_failure(job, &next, "cleaned", clean));
    }
    if let Some(done) = finished_after_all(job)? {
        return in_transaction(|| succeeded(job, &done, 0.0, true));
    }
    let clean = matches!(clean(job), Ok(true));
    if clean && let Some(done) = drop_finished(job)? {
        return in_transaction(|| succeeded(job, &done, 0.0, true));
    }
    let reason = "interrupted: the worker or the server ended while it ran";
    let next = match backoff(job.attempts) {
        Some(seconds) => Next::Retry(seconds),
        None => Next::End("failed"),
    };
    in_transaction(|| {
        let outcome = Outcome::GaveWay {
            reason: reason.into(),
        };
        record::outcome(job, &outcome, None, true, reason)?;
        after_failure(job, &next, reason, clean)
    })
}

/// Whether the job is a drop whose index is gone by now. A drop that was begun cannot be
/// taken back: its index is invalid from the first phase on, so cleaning finishes it, and
/// trying again would find nothing to drop.
pub(super) fn drop_finished(job: &Job) -> Result<Option<Done>, ServerError> {
    match job.intent.kind {
        IntentKind::DropIndex { .. } => finished_after_all(job),
        _ => Ok(None),
    }
}

/// Whether the job had reached its end in the catalog and only the books were missing. A
/// build's name was free when it began, so a valid index of that name is the one it made.
pub(super) fn finished_after_all(job: &Job) -> Result<Option<Done>, ServerError> {
    let mut done = in_catalog(job)?;
    if let (IntentKind::CreateIndex { .. }, Some(done)) = (&job.intent.kind, &mut done)
        && let Some(evidence) = done.evidence.as_object_mut()
    {
        evidence.insert("amcheck".into(), check::index(done.index).into());
    }
    Ok(done)
}

fn in_catalog(job: &Job) -> Result<Option<Done>, ServerError> {
    let Some(name) = index_name(&job.intent) else {
        return Ok(None);
    };
    in_transaction(|| {
        let found = catalog::index_named(&name)?;
        Ok(match &job.intent.kind {
            IntentKind::CreateIndex { .. } => match found {
                Some(index) if index.valid && index.relation.oid == job.intent.relation.oid => {
                    Some(Done {
                        index: index.oid,
                        evidence: serde_json::json!({ "bytes": catalog::bytes(index.oid)? }),
                    })
                }
                _ => None,
            },
            IntentKind::DropIndex { index, .. } => match found {
                Some(present) if present.oid == *index => None,
                _ => Some(Done {
                    index: *index,
                    evidence: serde_json::json!({}),
                }),
            },
            IntentKind::Reindex { .. }
            | IntentKind::Analyze
            | IntentKind::CreateStatistics(_)
            | IntentKind::DropStatistics(_) => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::is_shadow;

    #[test]
    fn shadows_are_told_by_name() {
        assert!(is_shadow("a_ccnew", "a"));
        assert!(is_shadow("a_ccold12", "a"));
        assert!(!is_shadow("b_ccnew", "a"));
        assert!(!is_shadow("a_cc", "a"));
        assert!(!is_shadow("ab_ccnew", "a"));
        assert!(!is_shadow("a_ccnew", "ab"));
        let long = "x".repeat(63);
        assert!(is_shadow(&format!("{}_ccnew", "x".repeat(57)), &long));
        assert!(is_shadow(&format!("{}_ccnew1", "x".repeat(56)), &long));
    }
}
