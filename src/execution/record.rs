//! The entries of a job in the mutation log.

use super::{Done, index_name};
use crate::pg::spi;
use crate::store::job::{Job, purpose_name};
use crate::store::mutation_log;
use indexpilot_guard::Purpose;
use indexpilot_model::IntentKind;
use indexpilot_model::ids::Oid;
use indexpilot_model::mutation::{
    Cause, IndexName, Inverse, MutationKind, MutationPhase, MutationRecord,
};
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

fn cause(purpose: Purpose) -> Cause {
    match purpose {
        Purpose::Advice => Cause::Recommendation,
        Purpose::Operator => Cause::User,
        Purpose::Revert => Cause::Revert,
        Purpose::Schedule => Cause::Schedule,
    }
}

fn entry(
    job: &Job,
    phase: MutationPhase,
    cause: Cause,
    index: Oid,
    reason: &str,
) -> MutationRecord {
    let mut record = MutationRecord::new(
        MutationKind::from(&job.intent.kind),
        phase,
        cause,
        if reason.is_empty() { "done" } else { reason },
    )
    .on(job.intent.relation.clone());
    record.recommendation.clone_from(&job.intent.recommendation);
    record.index = index_name(&job.intent).map(|name| IndexName {
        oid: index,
        schema: name.schema,
        name: name.name,
    });
    record
}

/// The inverse of an action whose index has this OID.
pub(super) fn inverse(kind: &IntentKind, schema: &str, index: Oid) -> Option<Inverse> {
    let inverse = match kind {
        IntentKind::CreateIndex { definition, name } => IntentKind::DropIndex {
            index,
            name: indexpilot_model::identifier::QualifiedName::new(schema, name.clone()),
            definition: definition.clone(),
        },
        IntentKind::DropIndex {
            name, definition, ..
        } => IntentKind::CreateIndex {
            definition: definition.clone(),
            name: name.name.clone(),
        },
        IntentKind::CreateStatistics(statistics) => IntentKind::DropStatistics(statistics.clone()),
        IntentKind::DropStatistics(statistics) => IntentKind::CreateStatistics(statistics.clone()),
        IntentKind::Reindex { .. } | IntentKind::Analyze => return None,
    };
    Some(Inverse::Index(Box::new(inverse)))
}

/// What a drop would lose beside the definition: comment and statistics targets of keys.
fn attachments(index: Oid) -> SpiResult<serde_json::Value> {
    let text = Spi::get_one_with_args::<String>(
        "SELECT jsonb_build_object(
             'comment', obj_description($1::oid, 'pg_class'),
             'statistics', (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget)
                     ORDER BY a.attnum), '[]')
                 FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attstattarget >= 0))::text",
        &[pg_sys::Oid::from(index).into()],
    )?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(serde_json::Value::Null))
}

/// What a drop took away beside the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Attachments {
    /// The comment.
    pub comment: Option<String>,
    /// Keys (from 1) with their statistics targets.
    pub statistics: Vec<(u16, u16)>,
}

/// What the drop of this entry took away; `None` where the entry is of no drop.
pub(super) fn attachments_of(mutation: Uuid) -> SpiResult<Option<Attachments>> {
    let text = spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT (m.evidence -> 'attachments')::text FROM indexpilot.mutation_log AS m
                 WHERE m.kind = 'DROP_INDEX' AND m.phase = 'intent'
                   AND m.id IN ($1, (SELECT o.parent FROM indexpilot.mutation_log AS o
                       WHERE o.id = $1 AND o.phase = 'outcome'))",
                Some(1),
                &[mutation.into()],
            )?;
            match rows.into_iter().next() {
                Some(row) => row.get::<String>(1),
                None => Ok(None),
            }
        })
    })?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Writes what is about to be done, and gives the entry's identity.
pub(super) fn intent(job: &Job) -> SpiResult<Uuid> {
    let index = match job.intent.kind {
        IntentKind::DropIndex { index, .. } | IntentKind::Reindex { index, .. } => index,
        _ => 0,
    };
    let mut record = entry(
        job,
        MutationPhase::Intent,
        cause(job.purpose),
        index,
        &job.intent.reason,
    );
    record.parent = job.parent.map(|id| id.to_string());
    record.inverse = inverse(&job.intent.kind, &job.intent.relation.schema, index);
    record.evidence = serde_json::json!({
        "job": job.id.to_string(),
        "requested_by": job.requested_by,
        "purpose": purpose_name(job.purpose),
        "attempt": job.attempts + 1,
        "estimated_bytes": job.intent.bytes,
        "estimated_saving_ms_per_day": job.intent.saving_ms_per_day,
    });
    if matches!(job.intent.kind, IntentKind::DropIndex { .. })
        && let Some(object) = record.evidence.as_object_mut()
    {
        object.insert("attachments".into(), attachments(index)?);
    }
    mutation_log::append(&record)
}

/// Writes how it ended.
pub(super) fn outcome(
    job: &Job,
    outcome: &indexpilot_model::Outcome,
    done: Option<&Done>,
    recovered: bool,
    reason: &str,
) -> SpiResult<()> {
    let Some(parent) = job.mutation else {
        return Ok(());
    };
    let index = done.map_or(0, |done| done.index);
    let cause = if recovered {
        Cause::Recovery
    } else {
        cause(job.purpose)
    };
    let mut record =
        entry(job, MutationPhase::Outcome, cause, index, reason).after(parent.to_string());
    let mut evidence = serde_json::to_value(outcome).unwrap_or_default();
    if let (Some(all), Some(more)) = (
        evidence.as_object_mut(),
        done.and_then(|done| done.evidence.as_object()),
    ) {
        all.extend(more.clone());
    }
    record.evidence = evidence;
    if done.is_some() {
        record.inverse = inverse(&job.intent.kind, &job.intent.relation.schema, index);
    }
    mutation_log::append(&record)?;
    Ok(())
}
