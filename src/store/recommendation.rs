//! `indexpilot.recommendation` and `indexpilot.analysis`: what is advised, what became of it,
//! and what each run looked at. Rights are the caller's business: everything here reads and
//! writes as the owner of the tables.

use crate::pg::spi;
use indexpilot_advisor::lifecycle::State;
use indexpilot_advisor::plan::Recommendation;
use indexpilot_model::{Intent, IntentKind};
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Value, json};

/// A stored recommendation as people and jobs need it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Key.
    pub id: Uuid,
    /// Identity over runs.
    pub identity: u64,
    /// create, drop, reindex, analyze.
    pub action: String,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub state_reason: Option<String>,
    /// OID of the table.
    pub relation: pg_sys::Oid,
    /// The table, for people.
    pub table: String,
    /// The index, for people.
    pub definition: String,
    /// What to do.
    pub intent: Intent,
    /// The numbers and the evidence, as stored.
    pub figures: Recommendation,
    /// Times undone.
    pub reverts: u32,
    /// Times advised.
    pub times_seen: i32,
    /// Days since the state began.
    pub days_in_state: f64,
}

/// The kind of an action as it is stored.
pub fn action(kind: &IntentKind) -> &'static str {
    match kind {
        IntentKind::CreateIndex { .. } => "create",
        IntentKind::DropIndex { .. } => "drop",
        IntentKind::Reindex { .. } => "reindex",
        IntentKind::Analyze => "analyze",
        IntentKind::CreateStatistics(_) => "create statistics",
        IntentKind::DropStatistics(_) => "drop statistics",
    }
}

/// What people read as the definition.
pub fn definition(kind: &IntentKind) -> String {
    match kind {
        IntentKind::CreateIndex { definition, name } => definition.for_people(Some(name)),
        IntentKind::DropIndex { name, .. } => {
            format!(
                "DROP INDEX {}",
                indexpilot_model::expression::readable(&name.to_string())
            )
        }
        IntentKind::Reindex { name, .. } => {
            format!(
                "REINDEX INDEX {}",
                indexpilot_model::expression::readable(&name.to_string())
            )
        }
        IntentKind::Analyze => "ANALYZE".into(),
        IntentKind::CreateStatistics(statistics) => {
            let kinds: Vec<&str> = statistics.kinds.iter().map(|kind| kind.name()).collect();
            format!(
                "CREATE STATISTICS {} ({}) ON {}",
                indexpilot_model::expression::readable(&statistics.name.to_string()),
                kinds.join(", "),
                statistics.columns.join(", ")
            )
        }
        IntentKind::DropStatistics(statistics) => format!(
            "DROP STATISTICS {}",
            indexpilot_model::expression::readable(&statistics.name.to_string())
        ),
    }
}

/// Writes one recommendation of an analysis: a new row, or the row it has had since the first
/// run that advised it. Gives its key and the state it is in now.
///
/// # Errors
/// What SPI reports.
pub fn save(recommendation: &Recommendation, intent: &Intent) -> SpiResult<(Uuid, State)> {
    let evidence = serde_json::to_string(recommendation).unwrap_or_else(|e| error!("{e}"));
    let intent_text = serde_json::to_string(intent).unwrap_or_else(|e| error!("{e}"));
    let anew: Vec<String> = State::ALL
        .iter()
        .filter(|state| state.proposed_anew())
        .map(|state| state.name().to_owned())
        .collect();
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let row = client
                .update(
                    "INSERT INTO indexpilot.recommendation AS r (id, system_identifier, database_oid,
                         identity, action, state, state_since, relation_oid, schema_name,
                         relation_name, definition, intent, benefit, saved_ms_per_day, bytes,
                         build_ms, write_ms_per_day, break_even_calls, confidence, reason, rule,
                         evidence, reverts, first_seen, last_seen, times_seen)
                     VALUES (gen_random_uuid(), $1, $2, $3, $4, 'proposed', clock_timestamp(), $5,
                         $6, $7, $8, $9::jsonb, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                         $19::jsonb, 0, clock_timestamp(), clock_timestamp(), 1)
                     ON CONFLICT (system_identifier, database_oid, identity) DO UPDATE
                     SET last_seen = clock_timestamp(), times_seen = r.times_seen + 1,
                         relation_oid = excluded.relation_oid, intent = excluded.intent,
                         benefit = excluded.benefit, saved_ms_per_day = excluded.saved_ms_per_day,
                         bytes = excluded.bytes, build_ms = excluded.build_ms,
                         write_ms_per_day = excluded.write_ms_per_day,
                         break_even_calls = excluded.break_even_calls,
                         confidence = excluded.confidence, reason = excluded.reason,
                         rule = excluded.rule, evidence = excluded.evidence,
                         state = CASE WHEN r.state = ANY ($20) THEN 'proposed' ELSE r.state END,
                         state_reason = CASE WHEN r.state = ANY ($20) THEN NULL ELSE r.state_reason END,
                         state_since = CASE WHEN r.state = ANY ($20) THEN clock_timestamp()
                             ELSE r.state_since END
                     RETURNING r.id, r.state",
                    None,
                    &[
                        spi::system_identifier().into(),
                        spi::database().into(),
                        (recommendation.identity as i64).into(),
                        action(&recommendation.kind).into(),
                        pg_sys::Oid::from(recommendation.relation.oid).into(),
                        recommendation.relation.schema.as_str().into(),
                        recommendation.relation.name.as_str().into(),
                        definition(&recommendation.kind).into(),
                        intent_text.into(),
                        recommendation.benefit.into(),
                        recommendation.saved_ms_per_day.into(),
                        i64::try_from(recommendation.bytes).unwrap_or(i64::MAX).into(),
                        recommendation.build_ms.into(),
                        recommendation.write_ms_per_day.into(),
                        recommendation.break_even_calls.into(),
                        recommendation.confidence.into(),
                        recommendation.reason.as_str().into(),
                        recommendation.rule.as_str().into(),
                        evidence.into(),
                        anew.into(),
                    ],
                )?
                .first();
            let id = row
                .get::<Uuid>(1)?
                .ok_or(pgrx::spi::SpiError::InvalidPosition)?;
            let state = row
                .get::<String>(2)?
                .and_then(|name| State::from_name(&name))
                .unwrap_or(State::Proposed);
            Ok((id, state))
        })
    })
}

/// Moves a recommendation from one state to another; false where it is no longer in the
/// first, or the way is not allowed.
///
/// # Errors
/// What SPI reports.
pub fn transition(id: Uuid, from: State, to: State, reason: Option<&str>) -> SpiResult<bool> {
    if !from.may_become(to) {
        return Ok(false);
    }
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            client
                .update(
                    "UPDATE indexpilot.recommendation
                     SET state = $3, state_reason = $4, state_since = clock_timestamp(),
                         reverts = reverts + ($3 = 'reverted')::int
                     WHERE id = $1 AND state = $2",
                    None,
                    &[
                        id.into(),
                        from.name().into(),
                        to.name().into(),
                        reason.into(),
                    ],
                )
                .map(|rows| rows.len() == 1)
        })
    })
}

/// Recommendations of this cluster and database, most saving first.
///
/// # Errors
/// What SPI reports.
pub fn all() -> SpiResult<Vec<Stored>> {
    spi::as_extension_owner(|| {
        // Not read-only: what the worker committed a moment ago has to be seen.
        Spi::connect_mut(|client| {
            let rows = client.update(
                "SELECT r.id, r.identity, r.action, r.state, r.state_reason, r.relation_oid,
                     r.definition, r.intent::text, r.evidence::text, r.reverts, r.times_seen,
                     (extract(epoch FROM clock_timestamp() - r.state_since) / 86400)::float8,
                     format('%I.%I', r.schema_name, r.relation_name)
                 FROM indexpilot.recommendation AS r
                 WHERE r.system_identifier = $1 AND r.database_oid = $2
                 ORDER BY r.saved_ms_per_day DESC, r.id",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut found = Vec::new();
            for row in rows {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let (Ok(intent), Ok(figures)) = (
                    serde_json::from_str::<Intent>(&text(8)?),
                    serde_json::from_str::<Recommendation>(&text(9)?),
                ) else {
                    // Written by another version of ours: shown nowhere, acted on never.
                    continue;
                };
                found.push(Stored {
                    id: row.get(1)?.ok_or(pgrx::spi::SpiError::InvalidPosition)?,
                    identity: row.get::<i64>(2)?.unwrap_or(0) as u64,
                    action: text(3)?,
                    state: State::from_name(&text(4)?).unwrap_or(State::Proposed),
                    state_reason: row.get(5)?,
                    relation: row.get(6)?.unwrap_or(pg_sys::InvalidOid),
                    table: text(13)?,
                    definition: text(7)?,
                    intent,
                    figures,
                    reverts: row.get::<i32>(10)?.unwrap_or(0).max(0) as u32,
                    times_seen: row.get::<i32>(11)?.unwrap_or(0),
                    days_in_state: row.get::<f64>(12)?.unwrap_or(0.0),
                });
            }
            Ok(found)
        })
    })
}

/// A recommendation, its state, its job's state, its verdict and the verdict's reason.
type Move = (Uuid, State, String, Option<String>, Option<String>);

/// Moves recommendations along with the jobs that carry them out, and with the verdicts on
/// what was done. To be called by the worker after it has worked.
///
/// # Errors
/// What SPI reports.
pub fn follow() -> SpiResult<()> {
    let moves: Vec<Move> = spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let rows = client.update(
                    "SELECT r.id, r.state, j.state, j.reason,
                         -- Nothing is measured of what the planner knows: done is kept.
                         coalesce(m.evidence->>'verdict',
                             CASE WHEN r.action IN ('analyze', 'create statistics') AND j.state = 'succeeded' THEN 'kept' END),
                         m.reason
                     FROM indexpilot.recommendation AS r
                     CROSS JOIN LATERAL (SELECT b.state, b.reason FROM indexpilot.job AS b
                         WHERE b.recommendation = r.id
                         ORDER BY b.requested_at DESC LIMIT 1) AS j
                     LEFT JOIN LATERAL (SELECT l.evidence, l.reason FROM indexpilot.mutation_log AS l
                         WHERE l.recommendation = r.id AND l.phase = 'verdict'
                           AND l.at >= r.state_since
                         ORDER BY l.at DESC LIMIT 1) AS m ON true
                     WHERE r.state IN ('approved', 'building', 'validating')
                       AND r.system_identifier = $1 AND r.database_oid = $2",
                    None,
                    &[spi::system_identifier().into(), spi::database().into()],
                )?;
            let mut moves = Vec::new();
            for row in rows {
                let id = row
                    .get::<Uuid>(1)?
                    .ok_or(pgrx::spi::SpiError::InvalidPosition)?;
                let Some(state) = row.get::<String>(2)?.and_then(|n| State::from_name(&n)) else {
                    continue;
                };
                let job = row.get::<String>(3)?.unwrap_or_default();
                let verdict = row.get::<String>(5)?;
                let reason = match verdict {
                    Some(_) => row.get::<String>(6)?,
                    None => row.get::<String>(4)?,
                };
                moves.push((id, state, job, verdict, reason));
            }
            Ok::<_, pgrx::spi::SpiError>(moves)
        })
    })?;
    for (id, state, job, verdict, reason) in moves {
        let reason = reason.as_deref();
        let step = |from, to| transition(id, from, to, reason);
        let judged = || match verdict.as_deref() {
            Some("kept") => step(State::Validating, State::Kept),
            Some("reverted") => step(State::Validating, State::Reverted),
            _ => Ok(false),
        };
        match (state, job.as_str()) {
            (State::Approved, "running" | "cleaning") => {
                step(State::Approved, State::Building)?;
            }
            (State::Approved, "succeeded") => {
                step(State::Approved, State::Building)?;
                step(State::Building, State::Validating)?;
                // The verdict on a rebuild comes with its end.
                judged()?;
            }
            (State::Building, "succeeded") => {
                step(State::Building, State::Validating)?;
                judged()?;
            }
            (State::Building, "queued" | "waiting") => {
                step(State::Building, State::Approved)?;
            }
            (from @ (State::Approved | State::Building), "failed" | "refused") => {
                step(from, State::Failed)?;
            }
            (State::Approved, "cancelled") => {
                step(State::Approved, State::Proposed)?;
            }
            (State::Building, "cancelled") => {
                step(State::Building, State::Approved)?;
                step(State::Approved, State::Proposed)?;
            }
            (State::Validating, _) => {
                judged()?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is written of one analysis.
pub struct Run {
    /// Microseconds since the epoch.
    pub started: i64,
    /// Statements looked at.
    pub statements: usize,
    /// Options of the problem.
    pub options: usize,
    /// Planner calls.
    pub planner_calls: u64,
    /// Milliseconds a day.
    pub before: f64,
    /// Milliseconds a day.
    pub after: f64,
    /// Proven gap.
    pub gap: f64,
    /// The planner agreed on all.
    pub verified: bool,
    /// Why nothing is advised.
    pub empty_because: Option<String>,
    /// Refusals as JSON.
    pub refused: Value,
    /// (what, why).
    pub not_analysed: Vec<(String, String)>,
    /// What the goals came to, as JSON.
    pub goals: Value,
    /// How far the planner was believed of nested loops, as JSON.
    pub caution: Value,
}

/// Writes down a run.
///
/// # Errors
/// What SPI reports.
pub fn save_run(run: &Run) -> SpiResult<()> {
    let not_analysed: Vec<Value> = run
        .not_analysed
        .iter()
        .map(|(what, why)| json!({"what": what, "why": why}))
        .collect();
    let gap = if run.gap.is_finite() { run.gap } else { 1.0 };
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.analysis (id, system_identifier, database_oid, started_at,
                 finished_at, statements, options, planner_calls, before_ms_per_day,
                 after_ms_per_day, gap, verified, empty_because, refused, not_analysed,
                 goals, caution)
             VALUES (gen_random_uuid(), $1, $2, to_timestamp($3), clock_timestamp(), $4, $5, $6, $7,
                 $8, $9, $10, $11, $12::jsonb, $13::jsonb, $14::jsonb,
                 $15::jsonb)",
            &[
                spi::system_identifier().into(),
                spi::database().into(),
                (run.started as f64 / 1e6).into(),
                i32::try_from(run.statements).unwrap_or(i32::MAX).into(),
                i32::try_from(run.options).unwrap_or(i32::MAX).into(),
                i64::try_from(run.planner_calls).unwrap_or(i64::MAX).into(),
                run.before.into(),
                run.after.into(),
                gap.into(),
                run.verified.into(),
                run.empty_because.as_deref().into(),
                run.refused.to_string().into(),
                Value::from(not_analysed).to_string().into(),
                run.goals.to_string().into(),
                run.caution.to_string().into(),
            ],
        )
    })
}

/// Why the last analysis advised nothing; `None` where it did, or where there was none.
///
/// # Errors
/// What SPI reports.
pub fn last_empty_because() -> SpiResult<Option<String>> {
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let rows = client.update(
                "SELECT a.empty_because FROM indexpilot.analysis AS a
                 WHERE a.system_identifier = $1 AND a.database_oid = $2
                 ORDER BY a.started_at DESC LIMIT 1",
                Some(1),
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            if rows.is_empty() {
                return Ok(Some("no analysis has run yet".to_owned()));
            }
            rows.first().get::<String>(1)
        })
    })
}

/// Removes runs older than `days`, and what they left behind of closed recommendations.
///
/// # Errors
/// What SPI reports.
pub fn tidy(days: u32) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "DELETE FROM indexpilot.analysis
             WHERE finished_at < clock_timestamp() - make_interval(days => $1)",
            &[i32::try_from(days).unwrap_or(i32::MAX).into()],
        )?;
        Spi::run_with_args(
            "DELETE FROM indexpilot.recommendation
             WHERE state IN ('expired', 'superseded')
               AND state_since < clock_timestamp() - make_interval(days => $1)",
            &[i32::try_from(days).unwrap_or(i32::MAX).into()],
        )
    })
}
