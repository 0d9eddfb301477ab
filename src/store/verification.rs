//! Actions that are or were measured (`indexpilot.verification`), and the measurements.

use crate::pg::spi;
use indexpilot_advisor::verification::{Outcome, Sample};
use indexpilot_model::Intent;
use indexpilot_model::hash::StableHash;
use indexpilot_model::histogram;
use indexpilot_model::ids::StatementId;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// An action under measurement.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its intent in the log.
    pub mutation: Uuid,
    /// What was done.
    pub intent: Intent,
    /// Its kind.
    pub kind: String,
    /// The index.
    pub index: u32,
    /// What amcheck said.
    pub amcheck: String,
    /// Waiting ends now.
    pub expired: bool,
    /// Days since it was done.
    pub days: f64,
}

/// One statement's measurements.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Key of `indexpilot.statement`.
    pub key: Uuid,
    /// The statement.
    pub statement: StatementId,
    /// It writes.
    pub writes: bool,
    /// Its total time before, milliseconds.
    pub time: f64,
    /// Before the action.
    pub before: Vec<Sample>,
    /// After it.
    pub after: Vec<Sample>,
}

/// Hours before the action that count as before.
const BEFORE_HOURS: i32 = 24;
/// Hours after which an action without enough evidence expires.
const EXPIRES_HOURS: i32 = 72;

/// What counts as before action $1, and as after it ($2 are the hours before).
///
/// Before a revert is the time in which what it took back was there: a day of good plans would
/// hide the hour of bad ones that it ended.
const SIDES: &str = "sides AS (
    SELECT v.system_identifier, v.database_oid, v.intent, v.before_until, v.after_from,
        greatest(v.before_until - make_interval(hours => $2),
            (SELECT o.after_from FROM indexpilot.job AS j
             JOIN indexpilot.verification AS o ON o.mutation = j.parent
             WHERE j.mutation = v.mutation AND v.kind = 'revert')) AS before_from
    FROM indexpilot.verification AS v WHERE v.mutation = $1)";

/// From when on a statement `s` counts as after the action in `sides AS v`: not while there was
/// another index that its plans read too, or, as it writes, kept up, and that has been taken back
/// since. What it took then may be that one's doing; what comes now judges this one. (Which parts
/// a partitioned index had is not known any more; it counts for all statements on the table.)
const AFTER_FROM: &str = "greatest(v.after_from, (
    SELECT max(r.after_from) FROM indexpilot.verification AS r
    WHERE r.system_identifier = v.system_identifier AND r.database_oid = v.database_oid
      AND r.kind = 'revert' AND r.after_from > v.after_from
      AND (EXISTS (SELECT FROM indexpilot.statement_plan AS p
                   WHERE p.statement = s.id AND r.index_oid = ANY (p.indexes))
           OR r.intent #> '{relation,oid}' = v.intent #> '{relation,oid}'
              AND (s.kind <> 'select' OR EXISTS (
                  SELECT FROM pg_class AS c WHERE c.relkind = 'p'
                      AND c.oid = (r.intent #>> '{relation,oid}')::oid)))))";

/// Puts an action under measurement; it was begun at `started` (microseconds since the epoch).
///
/// # Errors
/// What SPI reports.
pub fn begin(
    mutation: Uuid,
    intent: &Intent,
    kind: &str,
    index: u32,
    amcheck: &str,
    started: i64,
) -> SpiResult<()> {
    let text = serde_json::to_string(intent).unwrap_or_else(|e| error!("{e}"));
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.verification (mutation, system_identifier, database_oid,
                 recommendation, kind, intent, index_oid, before_until, after_from, next_look,
                 expires_at, state, reason, looks, amcheck, predicted_ms_per_day)
             VALUES ($1, $2, $3, $4::uuid, $5, $6::jsonb, $7, to_timestamp($8 / 1000000.0),
                 clock_timestamp(), clock_timestamp(),
                 clock_timestamp() + make_interval(hours => $9), 'measuring',
                 'nothing measured yet', 0, $10, $11)
             ON CONFLICT (mutation) DO NOTHING",
            &[
                mutation.into(),
                spi::system_identifier().into(),
                spi::database().into(),
                intent.recommendation.as_deref().into(),
                kind.into(),
                text.into(),
                pg_sys::Oid::from(index).into(),
                started.into(),
                EXPIRES_HOURS.into(),
                amcheck.into(),
                intent.saving_ms_per_day.into(),
            ],
        )
    })
}

/// Actions that are due to be judged.
///
/// # Errors
/// What SPI reports.
pub fn due() -> SpiResult<Vec<Open>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.mutation, v.intent::text, v.index_oid, v.amcheck,
                     v.expires_at <= clock_timestamp(),
                     (EXTRACT(epoch FROM clock_timestamp() - v.after_from) / 86400)::float8, v.kind
                 FROM indexpilot.verification AS v
                 WHERE v.system_identifier = $1 AND v.database_oid = $2
                   AND v.state = 'measuring' AND v.next_look <= clock_timestamp()",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut open = Vec::with_capacity(rows.len());
            for row in rows {
                let text = row.get::<String>(2)?.unwrap_or_default();
                if let (Some(mutation), Ok(intent)) =
                    (row.get::<Uuid>(1)?, serde_json::from_str(&text))
                {
                    open.push(Open {
                        mutation,
                        intent,
                        kind: row.get(7)?.unwrap_or_default(),
                        index: row.get::<pg_sys::Oid>(3)?.map_or(0, |oid| oid.to_u32()),
                        amcheck: row.get(4)?.unwrap_or_default(),
                        expired: row.get::<bool>(5)?.unwrap_or(false),
                        days: row.get::<f64>(6)?.unwrap_or(0.0),
                    });
                }
            }
            Ok(open)
        })
    })
}

/// Measurements before and after an action: of the statements that use `relation` (qualified
/// and quoted), or of the busiest ones that do not, for the control.
///
/// # Errors
/// What SPI reports.
pub fn measured(mutation: Uuid, relation: &str, using: bool) -> SpiResult<Vec<Measured>> {
    let limit = if using { 50 } else { 20 };
    let condition = if using { "" } else { "NOT" };
    let sql = format!(
        "WITH {SIDES}, chosen AS (
             SELECT s.id, s.identity, s.kind, sum(t.total_ms) AS time
             FROM sides AS v
             JOIN indexpilot.statement AS s ON s.system_identifier = v.system_identifier
                 AND s.database_oid = v.database_oid
             JOIN indexpilot.statement_stats AS t ON t.statement = s.id
                 AND t.bucket >= v.before_from
             WHERE s.kind <> 'utility' AND {condition} $3 = ANY (s.relations)
             GROUP BY s.id, s.identity, s.kind ORDER BY time DESC LIMIT {limit}),
         bounds AS (
             SELECT s.*, v.before_from, v.before_until, {AFTER_FROM} AS after_from
             FROM sides AS v CROSS JOIN chosen AS s)
         SELECT b.id, b.identity, b.kind, b.time,
             (EXTRACT(epoch FROM t.bucket) / 300)::bigint, t.plan, t.histogram::text,
             (t.shared_hit + t.shared_read)::float8 / greatest(t.calls, 1),
             t.bucket >= b.after_from
         FROM bounds AS b
         JOIN indexpilot.statement_stats AS t ON t.statement = b.id
         WHERE t.calls > 0
           AND (t.bucket >= b.after_from
                OR t.bucket + interval '5 minutes' <= b.before_until AND t.bucket >= b.before_from)
         ORDER BY b.id, t.bucket"
    );
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                sql.as_str(),
                None,
                &[mutation.into(), BEFORE_HOURS.into(), relation.into()],
            )?;
            let mut list: Vec<(Uuid, Measured)> = Vec::new();
            for row in rows {
                let Some(id) = row.get::<Uuid>(1)? else {
                    continue;
                };
                if list.last().is_none_or(|(last, _)| *last != id) {
                    list.push((
                        id,
                        Measured {
                            key: id,
                            statement: StatementId(row.get::<i64>(2)?.unwrap_or(0) as u64),
                            writes: row.get::<String>(3)?.as_deref() != Some("select"),
                            time: row.get::<f64>(4)?.unwrap_or(0.0),
                            before: Vec::new(),
                            after: Vec::new(),
                        },
                    ));
                }
                let text = row.get::<String>(7)?.unwrap_or_default();
                let histogram = serde_json::from_str::<serde_json::Map<String, _>>(&text)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|(bucket, count)| {
                        let count: serde_json::Value = count;
                        let count = count
                            .as_u64()
                            .or_else(|| count.as_str().and_then(|text| text.parse().ok()))?;
                        Some((bucket.parse::<u32>().ok()?, count))
                    })
                    .collect();
                let sample = Sample {
                    block: row.get::<i64>(5)?.unwrap_or(0),
                    stratum: 0,
                    plan: row.get::<i64>(6)?.unwrap_or(0) as u64,
                    histogram,
                    buffers: row.get::<f64>(8)?.unwrap_or(0.0),
                };
                if let Some((_, measured)) = list.last_mut() {
                    if row.get::<bool>(9)? == Some(true) {
                        measured.after.push(sample);
                    } else {
                        measured.before.push(sample);
                    }
                }
            }
            Ok(list.into_iter().map(|(_, measured)| measured).collect())
        })
    })
}

/// For the plans of these statements whose indexes are known: whether `index`, or a part of
/// it in a partition, is among them.
///
/// # Errors
/// What SPI reports.
pub fn plans_reading(statements: Vec<Uuid>, index: u32) -> SpiResult<Vec<(Uuid, u64, bool)>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT p.statement, p.plan, p.indexes && (
                     SELECT array_agg(t.relid::oid) || $2::oid FROM pg_partition_tree($2::oid) AS t)
                 FROM indexpilot.statement_plan AS p WHERE p.statement = ANY ($1)",
                None,
                &[statements.into(), pg_sys::Oid::from(index).into()],
            )?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                if let (Some(statement), Some(plan), Some(reads)) =
                    (row.get::<Uuid>(1)?, row.get::<i64>(2)?, row.get::<bool>(3)?)
                {
                    found.push((statement, plan as u64, reads));
                }
            }
            Ok(found)
        })
    })
}

/// Measurements of these statements by tenant, with whether each is from after the action.
/// Tenants with less than a hundredth of a statement's executions are one stratum together,
/// and so is what has no tenant.
///
/// # Errors
/// What SPI reports.
pub fn by_tenant(mutation: Uuid, statements: Vec<Uuid>) -> SpiResult<Vec<(Uuid, Sample, bool)>> {
    let sql = format!(
        "WITH {SIDES}, bounds AS (
             SELECT s.id, v.before_from, v.before_until, {AFTER_FROM} AS after_from
             FROM sides AS v JOIN indexpilot.statement AS s ON s.id = ANY ($3)),
         part AS (
             SELECT t.statement, t.bucket, t.tenant, t.calls, t.total_ms,
                 sum(t.calls) OVER (PARTITION BY t.statement, t.tenant)
                     >= 0.01 * sum(t.calls) OVER (PARTITION BY t.statement) AS large,
                 t.bucket >= b.after_from AS after
             FROM bounds AS b
             JOIN indexpilot.tenant_stats AS t ON t.statement = b.id
             WHERE t.calls > 0
               AND (t.bucket >= b.after_from
                    OR t.bucket + interval '5 minutes' <= b.before_until
                       AND t.bucket >= b.before_from))
         SELECT p.statement, (EXTRACT(epoch FROM p.bucket) / 300)::bigint,
             CASE WHEN p.large THEN p.tenant END, sum(p.calls)::bigint,
             sum(p.total_ms), p.after
         FROM part AS p
         GROUP BY p.statement, p.bucket, CASE WHEN p.large THEN p.tenant END, p.after
         ORDER BY p.statement, p.bucket"
    );
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                sql.as_str(),
                None,
                &[mutation.into(), BEFORE_HOURS.into(), statements.into()],
            )?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                let Some(statement) = row.get::<Uuid>(1)? else {
                    continue;
                };
                let tenant = row.get::<String>(3)?;
                let calls = row.get::<i64>(4)?.unwrap_or(0).max(1) as u64;
                let mean = row.get::<f64>(5)?.unwrap_or(0.0) / calls as f64;
                found.push((
                    statement,
                    Sample {
                        block: row.get::<i64>(2)?.unwrap_or(0),
                        stratum: tenant.map_or(0, |tenant| {
                            StableHash::new().field(tenant.as_bytes()).finish().max(1)
                        }),
                        plan: 0,
                        histogram: vec![(histogram::bucket((mean * 1e6) as u64) as u32, calls)],
                        buffers: 0.0,
                    },
                    row.get::<bool>(6)?.unwrap_or(false),
                ));
            }
            Ok(found)
        })
    })
}

/// The numbers of a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Saved milliseconds a day.
    pub ms_per_day: f64,
    /// Saved share.
    pub gain: f64,
    /// Its bounds.
    pub bounds: (f64, f64),
    /// Share of executions with a plan known to use the index.
    pub used: f64,
}

/// Writes what a look found; the next one comes after `seconds`.
///
/// # Errors
/// What SPI reports.
pub fn looked(
    mutation: Uuid,
    state: &str,
    reason: &str,
    figures: Option<Figures>,
    seconds: f64,
) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "UPDATE indexpilot.verification AS v
             SET state = $2, reason = $3, looks = v.looks + 1,
                 next_look = clock_timestamp() + make_interval(secs => $4),
                 measured_ms_per_day = coalesce($5, v.measured_ms_per_day),
                 gain = coalesce($6, v.gain), gain_lower = coalesce($7, v.gain_lower),
                 gain_upper = coalesce($8, v.gain_upper), used = coalesce($9, v.used)
             WHERE v.mutation = $1",
            &[
                mutation.into(),
                state.into(),
                reason.into(),
                seconds.into(),
                figures.map(|f| f.ms_per_day).into(),
                figures.map(|f| f.gain).into(),
                figures.map(|f| f.bounds.0).into(),
                figures.map(|f| f.bounds.1).into(),
                figures.map(|f| f.used).into(),
            ],
        )
    })
}

/// When the next action is due to be judged (microseconds since the epoch).
///
/// # Errors
/// What SPI reports.
pub fn next_moment() -> SpiResult<Option<i64>> {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<i64>(
            "SELECT (EXTRACT(epoch FROM min(v.next_look)) * 1000000)::bigint
             FROM indexpilot.verification AS v
             WHERE v.system_identifier = $1 AND v.database_oid = $2 AND v.state = 'measuring'",
            &[spi::system_identifier().into(), spi::database().into()],
        )
    })
}

/// Predicted and measured savings of past actions, for `indexpilot_advisor::verification::gamma`.
///
/// # Errors
/// What SPI reports.
pub fn outcomes() -> SpiResult<Vec<Outcome>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.kind, v.predicted_ms_per_day, v.measured_ms_per_day
                 FROM indexpilot.verification AS v
                 WHERE v.system_identifier = $1 AND v.database_oid = $2
                   AND v.state IN ('kept', 'reverted') AND v.measured_ms_per_day IS NOT NULL",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut list = Vec::with_capacity(rows.len());
            for row in rows {
                list.push(Outcome {
                    kind: row.get(1)?.unwrap_or_default(),
                    predicted: row.get(2)?.unwrap_or(0.0),
                    measured: row.get(3)?.unwrap_or(0.0),
                });
            }
            Ok(list)
        })
    })
}
