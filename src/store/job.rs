//! Jobs: what the worker has to do, is doing and has done (`indexpilot.job`).
//!
//! Everything here writes as the owner of our tables; rights are checked by the callers.
//! Rows of another cluster or database (a restored dump) are never read.

use crate::pg::spi;
use indexpilot_guard::{Ending, PastAction, Purpose, Refusal, Retry};
use indexpilot_model::ports::Timestamp;
use indexpilot_model::{Intent, IntentKind};
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Something to be done.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// What.
    pub intent: &'a Intent,
    /// Who wants it.
    pub purpose: Purpose,
    /// The role that asked.
    pub requested_by: &'a str,
    /// The entry of the log that it takes back (UUID).
    pub parent: Option<String>,
}

/// A job as it is taken.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its identity.
    pub id: Uuid,
    /// What to do.
    pub intent: Intent,
    /// Who wants it.
    pub purpose: Purpose,
    /// The role that asked.
    pub requested_by: String,
    /// The entry that it takes back.
    pub parent: Option<Uuid>,
    /// Its state.
    pub state: String,
    /// How often it was started.
    pub attempts: u32,
    /// Its intent in the log, once started.
    pub mutation: Option<Uuid>,
    /// The index it made or works on, once known.
    #[expect(dead_code, reason = "read from the table by the views")]
    pub index: Option<pg_sys::Oid>,
    /// Invalid indexes of the table that were there before it.
    pub bystanders: Vec<pg_sys::Oid>,
}

/// The name of a purpose in the table.
pub fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Advice => "advice",
        Purpose::Operator => "operator",
        Purpose::Revert => "revert",
        Purpose::Schedule => "schedule",
    }
}

fn purpose_from(name: &str) -> Purpose {
    match name {
        "advice" => Purpose::Advice,
        "operator" => Purpose::Operator,
        "revert" => Purpose::Revert,
        _ => Purpose::Schedule,
    }
}

/// What makes two unfinished jobs the same: kind and index.
fn subject(intent: &Intent) -> String {
    match &intent.kind {
        IntentKind::CreateIndex { definition, .. } => {
            format!("create {:016x}", definition.identity())
        }
        IntentKind::DropIndex { index, .. } => format!("drop {index}"),
        IntentKind::Reindex { index, .. } => format!("reindex {index}"),
        IntentKind::Analyze => format!("analyze {}", intent.relation.oid),
        IntentKind::CreateStatistics(statistics) => format!("create {}", statistics.name),
        IntentKind::DropStatistics(statistics) => format!("drop {}", statistics.name),
    }
}

const COLUMNS: &str = "j.id, j.intent::text, j.purpose, j.requested_by, j.parent, j.state,
    j.attempts, j.mutation, j.index_oid, j.bystanders";
const OURS: &str = "j.system_identifier = $1 AND j.database_oid = $2";

fn select(condition: &str) -> SpiResult<Vec<Job>> {
    let sql = format!("SELECT {COLUMNS} FROM indexpilot.job AS j WHERE {OURS} AND {condition}");
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                sql.as_str(),
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut jobs = Vec::with_capacity(rows.len());
            for row in rows {
                let text: String = row.get(2)?.unwrap_or_default();
                // A row that an older or newer version wrote and we cannot read is left alone.
                let Ok(intent) = serde_json::from_str::<Intent>(&text) else {
                    continue;
                };
                let (Some(id), Some(purpose)) = (row.get::<Uuid>(1)?, row.get::<String>(3)?) else {
                    continue;
                };
                jobs.push(Job {
                    id,
                    intent,
                    purpose: purpose_from(&purpose),
                    requested_by: row.get(4)?.unwrap_or_default(),
                    parent: row.get(5)?,
                    state: row.get(6)?.unwrap_or_default(),
                    attempts: row.get::<i32>(7)?.unwrap_or(0).max(0) as u32,
                    mutation: row.get(8)?,
                    index: row.get(9)?,
                    bystanders: row.get(10)?.unwrap_or_default(),
                });
            }
            Ok(jobs)
        })
    })
}

/// Queues a job and gives its identity; the identity of the unfinished job for the same
/// thing where there is one. Wake the worker with `worker::ask_at_commit(Request::Jobs)`.
///
/// # Errors
/// What SPI reports.
pub fn enqueue(new: &NewJob<'_>) -> SpiResult<Uuid> {
    let wanted = subject(new.intent);
    let open = select("j.state IN ('queued', 'waiting', 'running', 'cleaning')")?;
    if let Some(same) = open.iter().find(|job| subject(&job.intent) == wanted) {
        return Ok(same.id);
    }
    let intent = serde_json::to_string(new.intent).unwrap_or_else(|e| error!("{e}"));
    let relation = &new.intent.relation;
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<Uuid>(
            "INSERT INTO indexpilot.job (id, system_identifier, database_oid, requested_at,
                 requested_by, purpose, recommendation, parent, intent, relation_oid,
                 schema_name, relation_name, state, phase, attempts, not_before, bystanders)
             VALUES (gen_random_uuid(), $1, $2, clock_timestamp(), $3, $4, $5::uuid, $6::uuid,
                 $7::jsonb, $8, $9, $10, 'queued', 'queued', 0, clock_timestamp(), '{}')
             RETURNING id",
            &[
                spi::system_identifier().into(),
                spi::database().into(),
                new.requested_by.into(),
                purpose_name(new.purpose).into(),
                new.intent.recommendation.as_deref().into(),
                new.parent.as_deref().into(),
                intent.into(),
                pg_sys::Oid::from(relation.oid).into(),
                relation.schema.as_str().into(),
                relation.name.as_str().into(),
            ],
        )
    })?
    .ok_or(pgrx::spi::SpiError::InvalidPosition)
}

/// The next job that is due: what takes back harm first, then what a person asked for, then
/// the oldest.
///
/// # Errors
/// What SPI reports.
pub fn next_due() -> SpiResult<Option<Job>> {
    let due = select(
        "j.state IN ('queued', 'waiting') AND j.not_before <= clock_timestamp()
         ORDER BY j.purpose <> 'revert', j.purpose <> 'operator', j.requested_at LIMIT 1",
    )?;
    Ok(due.into_iter().next())
}

/// Whether any job waits to be done, now or later: the earliest moment.
///
/// # Errors
/// What SPI reports.
pub fn next_moment() -> SpiResult<Option<Timestamp>> {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<i64>(
            "SELECT (EXTRACT(epoch FROM min(j.not_before)) * 1000000)::bigint
             FROM indexpilot.job AS j
             WHERE j.system_identifier = $1 AND j.database_oid = $2
               AND j.state IN ('queued', 'waiting', 'cleaning')",
            &[spi::system_identifier().into(), spi::database().into()],
        )
    })
}

/// Jobs that a worker which is gone left running, and those whose leftover has to go.
///
/// # Errors
/// What SPI reports.
pub fn interrupted() -> SpiResult<Vec<Job>> {
    select(
        "(j.state = 'running'
          OR j.state = 'cleaning' AND j.not_before <= clock_timestamp())
         ORDER BY j.requested_at",
    )
}

fn change(id: Uuid, assignments: &str, first: &str, second: Option<i64>) -> SpiResult<()> {
    let sql = format!("UPDATE indexpilot.job AS j SET {assignments} WHERE j.id = $1");
    spi::as_extension_owner(|| Spi::run_with_args(&sql, &[id.into(), first.into(), second.into()]))
}

/// It starts: attempt, worker, its entry in the log, and what of the table's invalid indexes
/// is not ours.
///
/// # Errors
/// What SPI reports.
pub fn start(id: Uuid, mutation: Uuid, worker: i32, bystanders: Vec<pg_sys::Oid>) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "UPDATE indexpilot.job AS j SET state = 'running', phase = 'starting',
                 attempts = j.attempts + 1, started_at = clock_timestamp(), reason = NULL,
                 worker = $2, mutation = $3, bystanders = $4
             WHERE j.id = $1",
            &[id.into(), worker.into(), mutation.into(), bystanders.into()],
        )
    })
}

/// What exactly it does now.
///
/// # Errors
/// What SPI reports.
pub fn set_phase(id: Uuid, phase: &str) -> SpiResult<()> {
    change(id, "phase = $2 || left($3::text, 0)", phase, Some(0))
}

/// The index it works on is known.
///
/// # Errors
/// What SPI reports.
pub fn set_index(id: Uuid, index: u32) -> SpiResult<()> {
    change(
        id,
        "index_oid = $3::oid, phase = j.phase || left($2, 0)",
        "",
        Some(i64::from(index)),
    )
}

/// It waits until `moment`.
///
/// # Errors
/// What SPI reports.
pub fn postpone(id: Uuid, reason: &str, moment: Timestamp) -> SpiResult<()> {
    change(
        id,
        "state = 'waiting', phase = 'waiting', reason = $2, worker = NULL,
         not_before = to_timestamp($3 / 1000000.0)",
        reason,
        Some(moment),
    )
}

/// A leftover of it has to go first; tried at `moment`.
///
/// # Errors
/// What SPI reports.
pub fn clean_later(id: Uuid, reason: &str, moment: Timestamp) -> SpiResult<()> {
    change(
        id,
        "state = 'cleaning', phase = 'cleaning', reason = $2, worker = NULL,
         not_before = to_timestamp($3 / 1000000.0)",
        reason,
        Some(moment),
    )
}

/// It ends: `succeeded`, `failed`, `refused` or `cancelled`.
///
/// # Errors
/// What SPI reports.
pub fn finish(id: Uuid, state: &str, reason: &str) -> SpiResult<()> {
    let sql = "UPDATE indexpilot.job AS j SET state = $2, phase = 'done', reason = nullif($3, ''),
                   worker = NULL, finished_at = clock_timestamp()
               WHERE j.id = $1";
    spi::as_extension_owner(|| Spi::run_with_args(sql, &[id.into(), state.into(), reason.into()]))
}

/// The job with this identity.
///
/// # Errors
/// What SPI reports.
pub fn find(id: Uuid) -> SpiResult<Option<Job>> {
    // The identity is written out: `Uuid` shows itself as hexadecimal digits only.
    Ok(select(&format!("j.id = '{id}'::uuid"))?.into_iter().next())
}

/// Actions that ended within the last days, for the limits that are replayed.
///
/// # Errors
/// What SPI reports.
pub fn past_actions() -> SpiResult<Vec<PastAction>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT (EXTRACT(epoch FROM coalesce(j.finished_at, j.started_at)) * 1000000)::bigint,
                     j.relation_oid, j.state, j.purpose
                 FROM indexpilot.job AS j
                 WHERE j.system_identifier = $1 AND j.database_oid = $2
                   AND j.started_at > clock_timestamp() - interval '8 days'",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut past = Vec::with_capacity(rows.len());
            for row in rows {
                let (Some(at), Some(relation), Some(state), Some(purpose)) = (
                    row.get::<i64>(1)?,
                    row.get::<pg_sys::Oid>(2)?,
                    row.get::<String>(3)?,
                    row.get::<String>(4)?,
                ) else {
                    continue;
                };
                past.push(PastAction {
                    at,
                    relation: relation.to_u32(),
                    ending: match (state.as_str(), purpose.as_str()) {
                        ("succeeded", "revert") => Ending::Reverted,
                        ("succeeded", _) => Ending::Succeeded,
                        ("failed", _) => Ending::Failed,
                        _ => Ending::GaveWay,
                    },
                });
            }
            Ok(past)
        })
    })
}

/// Intents that succeeded, with when, oldest first: for the dwell time.
///
/// # Errors
/// What SPI reports.
pub fn succeeded() -> SpiResult<Vec<(Timestamp, Intent)>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT (EXTRACT(epoch FROM j.finished_at) * 1000000)::bigint, j.intent::text
                 FROM indexpilot.job AS j
                 WHERE j.system_identifier = $1 AND j.database_oid = $2
                   AND j.state = 'succeeded' AND j.finished_at IS NOT NULL
                 ORDER BY j.finished_at",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                if let (Some(at), Some(text)) = (row.get::<i64>(1)?, row.get::<String>(2)?)
                    && let Ok(intent) = serde_json::from_str(&text)
                {
                    found.push((at, intent));
                }
            }
            Ok(found)
        })
    })
}

/// Counts what the safeguards said.
///
/// # Errors
/// What SPI reports.
pub fn count_refusals(refusals: &[Refusal]) -> SpiResult<()> {
    for refusal in refusals {
        let (refused, delayed) = match refusal.retry {
            Retry::Never => (1_i64, 0_i64),
            Retry::At(_) => (0, 1),
        };
        spi::as_extension_owner(|| {
            Spi::run_with_args(
                "INSERT INTO indexpilot.safeguard AS s (system_identifier, database_oid, name,
                     refused, delayed, last_at, last_reason)
                 VALUES ($1, $2, $3, $4, $5, clock_timestamp(), $6)
                 ON CONFLICT (system_identifier, database_oid, name) DO UPDATE
                 SET refused = s.refused + $4, delayed = s.delayed + $5,
                     last_at = clock_timestamp(), last_reason = $6",
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    refusal.safeguard.name().into(),
                    refused.into(),
                    delayed.into(),
                    refusal.reason.as_str().into(),
                ],
            )
        })?;
    }
    Ok(())
}

/// The phase of a job.
///
/// # Errors
/// What SPI reports.
pub fn phase(id: Uuid) -> SpiResult<String> {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<String>(
            "SELECT j.phase FROM indexpilot.job AS j WHERE j.id = $1",
            &[id.into()],
        )
    })
    .map(Option::unwrap_or_default)
}
