//! Looking at what actions did: verdicts, and taking back what hurt.

use super::{Done, in_transaction, record};
use crate::config;
use crate::pg::transaction::ServerError;
use crate::store::job::{self, Job, NewJob};
use crate::store::mutation_log;
use crate::store::verification::{self, Figures, Measured, Open};
use indexpilot_advisor::verification::{
    Cell, Rules, Sample, StatementEvidence, cells, control, judge,
};
use indexpilot_guard::Purpose;
use indexpilot_model::mutation::{Cause, Inverse, MutationKind, MutationPhase, MutationRecord};
use indexpilot_model::{Intent, IntentKind, Verdict};
use pgrx::datum::Uuid;
use pgrx::spi::SpiResult;

/// Seconds between two looks: blocks of five minutes bring nothing new more often.
const LOOK_EVERY: f64 = 60.0;
/// Share of the statements' time from which on one is important.
const IMPORTANT: f64 = 0.01;

/// The kind of an action that takes another back.
pub(super) const REVERT: &str = "revert";

/// The verdict on a rebuild is there at once: it changes no plan, only a size.
pub(super) fn rebuilt(job: &Job, done: &Done, mutation: &str) -> SpiResult<()> {
    let bytes = |name: &str| done.evidence.get(name).and_then(serde_json::Value::as_f64);
    let (Some(before), Some(after)) = (bytes("bytes_before"), bytes("bytes")) else {
        return Ok(());
    };
    let gain = 1.0 - after / before.max(1.0);
    let checked = done
        .evidence
        .get("amcheck")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unchecked");
    let reason = format!(
        "{:.1} MB became {:.1} MB; amcheck {checked}",
        before / 1_048_576.0,
        after / 1_048_576.0
    );
    let mut entry = MutationRecord::new(
        MutationKind::Reindex,
        MutationPhase::Verdict,
        Cause::Schedule,
        reason,
    )
    .on(job.intent.relation.clone())
    .after(mutation);
    entry.recommendation.clone_from(&job.intent.recommendation);
    entry.evidence = serde_json::to_value(Verdict::Kept { gain, lower: gain }).unwrap_or_default();
    mutation_log::append(&entry).map(drop)
}

/// Judges what is due. True when there was something.
pub(super) fn look() -> Result<bool, ServerError> {
    let due = in_transaction(verification::due)?;
    for open in &due {
        in_transaction(|| look_at(open))?;
    }
    Ok(!due.is_empty())
}

/// Share of a statement's executions that have to be counted by tenant for the comparison to
/// be made by tenant.
const COVERED: f64 = 0.9;

/// Adds what is known of the plans' indexes and of the tenants.
fn evidence(open: &Open, measured: &[Measured]) -> SpiResult<Vec<StatementEvidence>> {
    let keys: Vec<Uuid> = measured.iter().map(|statement| statement.key).collect();
    let plans = verification::plans_reading(keys.clone(), open.index)?;
    let tenants = verification::by_tenant(open.mutation, keys)?;
    let mut evidence = plain(measured);
    let protected = config::current().protected_statements;
    for (found, statement) in evidence.iter_mut().zip(measured) {
        found.important |= protected.contains(&statement.key.to_string());
        found.reads_index = plans
            .iter()
            .filter(|(key, ..)| *key == statement.key)
            .map(|(_, plan, reads)| (*plan, *reads))
            .collect();
        let side = |after: bool| -> Vec<Sample> {
            tenants
                .iter()
                .filter(|(key, _, of_after)| *key == statement.key && *of_after == after)
                .map(|(_, sample, _)| sample.clone())
                .collect()
        };
        let (before, after) = cells(&side(false), &side(true));
        let calls = |cells: &[Cell]| cells.iter().map(|cell| cell.calls).sum::<f64>();
        let covered = calls(&before) >= COVERED * calls(&found.before)
            && calls(&after) >= COVERED * calls(&found.after);
        let several = before.iter().any(|cell| cell.stratum != before[0].stratum);
        if covered && several {
            found.by_tenant = Some((before, after));
        }
    }
    Ok(evidence)
}

fn plain(measured: &[Measured]) -> Vec<StatementEvidence> {
    let all: f64 = measured.iter().map(|statement| statement.time).sum();
    measured
        .iter()
        .map(|statement| {
            let (before, after) = cells(&statement.before, &statement.after);
            StatementEvidence {
                statement: statement.statement,
                writes: statement.writes,
                important: statement.time >= IMPORTANT * all,
                before,
                after,
                by_tenant: None,
                reads_index: std::collections::BTreeMap::new(),
            }
        })
        .collect()
}

fn look_at(open: &Open) -> SpiResult<()> {
    if open.amcheck.starts_with("failed") && open.kind != REVERT {
        let verdict = Verdict::Reverted {
            reason: format!("amcheck {}", open.amcheck),
        };
        return conclude(open, &verdict, None);
    }
    let relation = open.intent.relation.qualified();
    let measured = verification::measured(open.mutation, &relation, true)?;
    let statements = evidence(open, &measured)?;
    let (old, new): (Vec<Vec<Cell>>, Vec<Vec<Cell>>) =
        plain(&verification::measured(open.mutation, &relation, false)?)
            .into_iter()
            .map(|statement| (statement.before, statement.after))
            .unzip();
    let config = config::current();
    let rules = Rules {
        max_regression: config.max_regression,
        max_write_overhead: config.max_write_overhead,
        last: open.expired,
        dropped: matches!(open.intent.kind, IntentKind::DropIndex { .. }),
        ..Rules::default()
    };
    let judgement = judge(&statements, &control(&old, &new), &rules);
    let figures = (!judgement.effects.is_empty()).then(|| {
        // What the executions since would have taken before, less what they took.
        let would: f64 = statements
            .iter()
            .map(|statement| {
                let calls: f64 = statement.after.iter().map(|cell| cell.calls).sum();
                let (time, number) = statement.before.iter().fold((0.0, 0.0), |(t, n), cell| {
                    (t + cell.calls * cell.mean, n + cell.calls)
                });
                calls * time / f64::max(number, 1.0)
            })
            .sum();
        Figures {
            ms_per_day: judgement.gain * would / open.days.max(1.0 / 1_440.0),
            gain: judgement.gain,
            bounds: judgement.bounds,
            used: judgement.used,
        }
    });
    if open.kind == REVERT {
        let judged = !judgement.effects.is_empty();
        return look_at_revert(open, figures.filter(|_| judged));
    }
    match &judgement.verdict {
        Verdict::Inconclusive { reason } if !open.expired => {
            verification::looked(open.mutation, "measuring", reason, figures, LOOK_EVERY)
        }
        verdict => conclude(open, verdict, figures),
    }
}

/// Whether a revert brought the latency back. If it did not, what was taken for the action's
/// doing was noise: a false positive, which is counted and never acted on.
fn look_at_revert(open: &Open, figures: Option<Figures>) -> SpiResult<()> {
    let (state, reason, verdict) = match figures {
        Some(Figures { gain, bounds, .. }) if bounds.0 > 0.0 => (
            "confirmed",
            format!("taking it back saved {:.1} %", gain * 100.0),
            Verdict::Kept {
                gain,
                lower: bounds.0,
            },
        ),
        _ if !open.expired => {
            let reason = "it is not seen yet whether taking it back helped";
            return verification::looked(open.mutation, "measuring", reason, figures, LOOK_EVERY);
        }
        Some(_) => {
            let reason = "taking it back changed nothing: what was measured was noise";
            (
                "refuted",
                reason.to_owned(),
                Verdict::Inconclusive {
                    reason: reason.into(),
                },
            )
        }
        None => {
            let reason = "too few executions since it was taken back";
            (
                "expired",
                reason.to_owned(),
                Verdict::Inconclusive {
                    reason: reason.into(),
                },
            )
        }
    };
    let mut entry = MutationRecord::new(
        MutationKind::from(&open.intent.kind),
        MutationPhase::Verdict,
        Cause::Schedule,
        reason.clone(),
    )
    .on(open.intent.relation.clone())
    .after(open.mutation.to_string());
    entry.evidence = serde_json::to_value(verdict).unwrap_or_default();
    mutation_log::append(&entry)?;
    verification::looked(open.mutation, state, &reason, figures, 0.0)
}

/// Writes a verdict and, where it is to revert, queues the inverse.
fn conclude(open: &Open, verdict: &Verdict, figures: Option<Figures>) -> SpiResult<()> {
    let (state, reason) = match verdict {
        Verdict::Kept { gain, lower } => (
            "kept",
            format!(
                "saves {:.1} % (at least {:.1} %)",
                gain * 100.0,
                lower * 100.0
            ),
        ),
        Verdict::Reverted { reason } => ("reverted", reason.clone()),
        Verdict::Inconclusive { reason } => ("expired", reason.clone()),
    };
    let kind = &open.intent.kind;
    let mut entry = MutationRecord::new(
        MutationKind::from(kind),
        MutationPhase::Verdict,
        Cause::Schedule,
        reason.clone(),
    )
    .on(open.intent.relation.clone())
    .after(open.mutation.to_string());
    entry.recommendation.clone_from(&open.intent.recommendation);
    let mut evidence = serde_json::to_value(verdict).unwrap_or_default();
    if let (Some(object), Some(figures)) = (evidence.as_object_mut(), figures) {
        object.insert("measured_ms_per_day".into(), figures.ms_per_day.into());
        object.insert(
            "predicted_ms_per_day".into(),
            open.intent.saving_ms_per_day.into(),
        );
        object.insert("gain".into(), figures.gain.into());
        object.insert("gain_lower".into(), figures.bounds.0.into());
        object.insert("gain_upper".into(), figures.bounds.1.into());
    }
    entry.evidence = evidence;
    mutation_log::append(&entry)?;
    verification::looked(open.mutation, state, &reason, figures, 0.0)?;
    if state == "reverted"
        && let Some(Inverse::Index(inverse)) =
            record::inverse(kind, &open.intent.relation.schema, open.index)
    {
        let intent = Intent {
            kind: *inverse,
            relation: open.intent.relation.clone(),
            reason: format!("taken back: {reason}"),
            recommendation: None,
            bytes: 0,
            saving_ms_per_day: 0.0,
            urgent: true,
        };
        job::enqueue(&NewJob {
            intent: &intent,
            purpose: Purpose::Revert,
            requested_by: "indexpilot",
            parent: Some(open.mutation.to_string()),
        })?;
    }
    Ok(())
}
