//! Captured statements as analysis reads them: what to plan, under which settings, with which
//! parameter values, and how often it ran.

use crate::pg::spi;
use crate::pg::whatif::{Sample, StoredStatement};
use indexpilot_advisor::pricing::PlanTime;
use indexpilot_model::StatementId;
use indexpilot_model::hash::StableHash;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::HashMap;

/// A statement of one user with its counters over a span of time.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Distinct for each row: identity, role and level.
    pub id: StatementId,
    /// Key of `indexpilot.statement` (UUID text).
    pub key: String,
    /// Normalised text.
    pub text: String,
    /// What it is: select, insert, update, delete, merge.
    pub kind: String,
    /// What `Planner::add_statement` takes.
    pub stored: StoredStatement,
    /// Parameters that the statement has itself; those behind stand for constants.
    pub own_parameters: usize,
    /// Start of the oldest bucket counted, microseconds since the Unix epoch.
    pub oldest_bucket: i64,
    /// Executions.
    pub calls: f64,
    /// Rows returned or changed.
    pub rows: f64,
    /// Time in the executor, milliseconds.
    pub total_ms: f64,
    /// The same by plan: executions, milliseconds, the planner's cost summed.
    pub plans: Vec<PlanTime>,
    /// Tenants with their calls, those with most time first; not all of them.
    pub tenants: Vec<(String, f64)>,
    /// Calls whose tenant is known.
    pub attributed: f64,
    /// Shared blocks found in the cache, and read into it.
    pub blocks: (f64, f64),
    /// WAL written, bytes.
    pub wal_bytes: f64,
}

/// Statements on more than our own and the system's relations that ran since `since` (microseconds since the Unix epoch) and can be planned,
/// those with most time first, at most `limit`.
///
/// # Errors
/// What SPI reports.
pub fn captured(since: i64, limit: i64) -> SpiResult<Vec<Captured>> {
    let arguments: [DatumWithOid; 4] = [
        spi::system_identifier().into(),
        spi::database().into(),
        (since as f64 / 1e6).into(),
        limit.into(),
    ];
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let table = client.select(
                "SELECT s.id::text, s.identity, s.role_name, s.top_level, s.kind, s.query,
                     r.oid, o.shape IS NOT NULL, o.tree, o.search_path, o.settings::text,
                     o.parameter_types, o.samples::text,
                     t.calls::double precision, t.rows::double precision, t.total_ms, t.plan_calls,
                     o.own_parameters, (extract(epoch FROM t.oldest) * 1000000)::bigint,
                     t.hit::double precision, t.read::double precision,
                     t.plan_ms, t.plan_cost, t.wal::double precision
                 FROM indexpilot.statement AS s
                 JOIN indexpilot.statement_source AS o ON o.statement = s.id
                 JOIN pg_roles AS r ON r.oid = s.role_oid
                 JOIN LATERAL (SELECT sum(p.calls) AS calls, sum(p.rows) AS rows,
                         sum(p.total_ms) AS total_ms, min(p.oldest) AS oldest,
                         sum(p.hit) AS hit, sum(p.read) AS read, sum(p.wal) AS wal,
                         array_agg(p.calls::double precision ORDER BY p.plan) AS plan_calls,
                         array_agg(p.total_ms ORDER BY p.plan) AS plan_ms,
                         array_agg(p.cost ORDER BY p.plan) AS plan_cost
                     FROM (SELECT b.plan, sum(b.calls) AS calls, sum(b.rows) AS rows,
                             sum(b.total_ms) AS total_ms, sum(b.cost) AS cost,
                             min(b.bucket) AS oldest, sum(b.shared_hit) AS hit,
                             sum(b.shared_read) AS read, sum(b.wal_bytes) AS wal
                         FROM indexpilot.statement_history AS b
                         WHERE b.statement = s.id
                           AND b.bucket >= to_timestamp($3) - interval '5 min'
                         GROUP BY b.plan) AS p) AS t
                     ON t.calls > 0
                 WHERE s.system_identifier = $1 AND s.database_oid = $2
                   AND s.kind <> 'utility'
                   AND o.server_version / 10000 = current_setting('server_version_num')::int / 10000
                   AND EXISTS (SELECT FROM unnest(s.relations) AS r(name)
                       WHERE split_part(r.name, chr(34), 2)
                           NOT IN ('pg_catalog', 'information_schema', 'indexpilot'))
                 ORDER BY t.total_ms DESC, s.id LIMIT $4",
                None,
                &arguments,
            )?;
            let mut found = Vec::new();
            for row in table {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let settings: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(&text(11)?).unwrap_or_default();
                let samples: Vec<Vec<Option<String>>> =
                    serde_json::from_str(&text(13)?).unwrap_or_default();
                let role = text(3)?;
                let top_level = row.get::<bool>(4)?.unwrap_or(true);
                let identity = row.get::<i64>(2)?.unwrap_or(0);
                let numbers = |column| row.get::<Vec<f64>>(column).map(Option::unwrap_or_default);
                let number = |column| row.get::<f64>(column).map(Option::unwrap_or_default);
                found.push(Captured {
                    id: StatementId(
                        StableHash::new()
                            .number(identity as u64)
                            .field(role.as_bytes())
                            .number(u64::from(top_level))
                            .finish(),
                    ),
                    key: text(1)?,
                    text: text(6)?,
                    kind: text(5)?,
                    stored: StoredStatement {
                        text: text(6)?,
                        tree: text(9)?,
                        rewritten: true,
                        search_path: Some(text(10)?),
                        user: row
                            .get::<pg_sys::Oid>(7)?
                            .unwrap_or(pg_sys::InvalidOid)
                            .to_u32(),
                        settings: settings
                            .into_iter()
                            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                            .collect(),
                        parameter_types: row
                            .get::<Vec<pg_sys::Oid>>(12)?
                            .unwrap_or_default()
                            .into_iter()
                            .map(pg_sys::Oid::to_u32)
                            .collect(),
                        samples: samples
                            .into_iter()
                            .map(|values| Sample {
                                weight: 1.0,
                                values,
                            })
                            .collect(),
                    },
                    own_parameters: row.get::<i32>(18)?.unwrap_or(0).max(0) as usize,
                    oldest_bucket: row.get::<i64>(19)?.unwrap_or(0),
                    calls: number(14)?,
                    rows: number(15)?,
                    total_ms: number(16)?,
                    plans: numbers(17)?
                        .into_iter()
                        .zip(numbers(22)?)
                        .zip(numbers(23)?)
                        .map(|((calls, ms), cost)| PlanTime { calls, ms, cost })
                        .collect(),
                    tenants: Vec::new(),
                    attributed: 0.0,
                    blocks: (number(20)?, number(21)?),
                    wal_bytes: number(24)?,
                });
            }
            Ok(found)
        })
    })
}

/// Tenants kept of a statement beside those with a declared profile.
const TENANTS: i32 = 20;

/// Fills in the tenants of statements that ran since `since`.
///
/// # Errors
/// What SPI reports.
pub fn add_tenants(captured: &mut [Captured], since: i64) -> SpiResult<()> {
    let mut tenants: HashMap<String, (Vec<(String, f64)>, f64)> = HashMap::new();
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let table = client.select(
                "SELECT t.statement::text, t.tenant, t.calls::double precision,
                     t.attributed::double precision
                 FROM (SELECT b.statement, b.tenant, sum(b.calls) AS calls,
                         sum(sum(b.calls)) OVER (PARTITION BY b.statement) AS attributed,
                         row_number() OVER (PARTITION BY b.statement
                             ORDER BY sum(b.total_ms) DESC, b.tenant) AS place
                     FROM indexpilot.tenant_stats AS b
                     WHERE b.system_identifier = $1 AND b.database_oid = $2
                       AND b.bucket >= to_timestamp($3) - interval '5 min'
                     GROUP BY b.statement, b.tenant) AS t
                 WHERE t.place <= $4
                    OR t.tenant IN (SELECT e.tenant FROM indexpilot.expression_tenant AS e)
                 ORDER BY t.statement, t.place",
                None,
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    (since as f64 / 1e6).into(),
                    TENANTS.into(),
                ],
            )?;
            for row in table {
                let of = tenants
                    .entry(row.get::<String>(1)?.unwrap_or_default())
                    .or_default();
                of.1 = row.get::<f64>(4)?.unwrap_or_default();
                of.0.push((
                    row.get::<String>(2)?.unwrap_or_default(),
                    row.get::<f64>(3)?.unwrap_or_default(),
                ));
            }
            Ok::<(), pgrx::spi::SpiError>(())
        })
    })?;
    for statement in captured {
        (statement.tenants, statement.attributed) =
            tenants.remove(&statement.key).unwrap_or_default();
    }
    Ok(())
}
