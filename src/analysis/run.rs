//! The automatic run, in the worker: captured statements in, recommendations out.
//!
//! The worker plans other people's statements as those people (the planner port sees to
//! that). Each planner call has a transaction of its own, so that no snapshot and no lock is
//! held while the solver thinks.

use super::load::{
    WINDOW_DAYS, ms_per_unit, statement, switched_off, target, warmth, write_samples,
};
use super::{configuration, session, setup};
use crate::pg::catalog::ServerCatalog;
use crate::pg::clock;
use crate::pg::transaction::{self, ServerError};
use crate::pg::whatif::{Planner, StatementSource};
use crate::store::captured::{self, Captured};
use crate::store::expression::DisabledFields;
use crate::store::mutation_log::{self, Logged};
use crate::store::recommendation::{self, Run, Stored};
use crate::store::verification;
use indexpilot_advisor::lifecycle::{State, ban_days};
use indexpilot_advisor::selection::Pulse;
use indexpilot_advisor::verification::Outcome;
use indexpilot_advisor::workload::{self, Statement};
use indexpilot_model::config::Stage;
use indexpilot_model::price::{PriceError, SizeEstimate};
use indexpilot_model::{
    CandidateId, Catalog, Config, IndexDefinition, Intent, IntentKind, Oid, Price, RelationInfo,
    StatementId, WhatIf,
};
use indexpilot_pipeline::{Analysis, analyse};
use pgrx::spi::SpiResult;
use serde_json::json;
use std::collections::BTreeMap;

/// Statements read, those with most time first; the rest is noise by then.
const MOST_STATEMENTS: i64 = 5_000;
/// Longest run, seconds: after that the best found so far is taken.
const TIME_LIMIT: i64 = 120;
/// After this many no new plans are looked for: what is left is for the choice and its check.
const EXPLORING: i64 = 90;
/// Refusals kept of a run, those that would have saved most first.
const REFUSALS_KEPT: usize = 500;
/// The shortest span that is scaled up to a day, days (five minutes, the finest bucket).
const SHORTEST_SPAN: f64 = 5.0 / 1_440.0;

/// Both ports, each call in a transaction of its own.
struct Ports {
    planner: Planner,
    catalog: ServerCatalog,
}

fn failed(error: &ServerError) -> PriceError {
    if error.is("57014") {
        PriceError::Cancelled
    } else {
        PriceError::Other(error.to_string())
    }
}

struct PlannerPort<'a>(&'a mut Planner);

impl WhatIf for PlannerPort<'_> {
    fn register(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<(CandidateId, SizeEstimate), PriceError> {
        transaction::run(|| self.0.register(definition)).map_err(|e| failed(&e))?
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        transaction::run(|| self.0.price(statement, with, without)).map_err(|e| failed(&e))?
    }

    fn planner_calls(&self) -> u64 {
        self.0.planner_calls()
    }
}

/// The catalog, with what the log knows of it: which indexes are ours, and since when they are
/// there.
struct CatalogPort<'a> {
    catalog: &'a mut ServerCatalog,
    logged: &'a BTreeMap<Oid, Logged>,
}

impl Catalog for CatalogPort<'_> {
    fn relation(&mut self, oid: Oid) -> Option<RelationInfo> {
        let mut found = transaction::run(|| self.catalog.relation(oid))
            .ok()
            .flatten()?;
        for index in &mut found.indexes {
            if let Some(logged) = self.logged.get(&index.oid) {
                index.ours = logged.ours;
                index.counted_seconds = index.counted_seconds.min(logged.seconds);
            }
        }
        Some(found)
    }
}

/// Runs an analysis and leaves recommendations. In the worker, outside a transaction.
///
/// # Panics
/// Raises the server's error where reading or writing our tables fails.
pub fn run_analysis() {
    let started = clock::now();
    let config = configuration();
    if config.create_index == Stage::Off && config.drop_index == Stage::Off {
        return;
    }
    let since = started - (WINDOW_DAYS * 86_400e6) as i64;
    let read = || -> SpiResult<_> {
        super::follow();
        let mut captured = captured::captured(since, MOST_STATEMENTS)?;
        captured::add_tenants(&mut captured, since)?;
        let taught = Taught {
            known: recommendation::all()?,
            outcomes: verification::outcomes()?,
            disabled: DisabledFields::load()?,
            logged: mutation_log::indexes()?,
        };
        Ok((captured, taught))
    };
    let (captured, taught) = match transaction::run(read) {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => pgrx::error!("{error}"),
        Err(error) => pgrx::error!("{error}"),
    };
    let known = &taught.known;
    if captured.is_empty() {
        return finish(
            &config,
            started,
            known,
            0,
            Err("no statement that can be planned again was seen yet".into()),
        );
    }
    let outcome = analyse_captured(&config, &captured, &taught, started);
    finish(&config, started, known, captured.len(), outcome);
}

/// What earlier runs and the operator have taught.
struct Taught {
    known: Vec<Stored>,
    outcomes: Vec<Outcome>,
    disabled: DisabledFields,
    /// What the log knows of indexes, by OID.
    logged: BTreeMap<Oid, Logged>,
}

fn analyse_captured(
    config: &Config,
    captured: &[Captured],
    taught: &Taught,
    started: i64,
) -> Result<Analysis, String> {
    let Taught {
        known,
        outcomes,
        disabled,
        logged,
    } = taught;
    let oldest = captured
        .iter()
        .map(|c| c.oldest_bucket)
        .min()
        .unwrap_or(started);
    let span_days = ((started - oldest) as f64 / 86_400e6).clamp(SHORTEST_SPAN, WINDOW_DAYS);
    let mut ports = Ports {
        planner: Planner::with_evaluated_rows(super::EVALUATED_ROWS),
        catalog: ServerCatalog::default(),
    };
    let warmth = warmth(captured);
    ports.planner.set_warmth(warmth);
    let amounts: Vec<_> = captured.iter().map(|c| (c.calls, c.total_ms)).collect();
    let mut statements = Vec::new();
    let mut left_out = Vec::new();
    let mut written = Vec::new();
    for (captured, rare) in captured.iter().zip(workload::rare(&amounts)) {
        // What it writes counts however rare it is.
        // So does what must not get slower.
        let protected = config.protected_statements.contains(&captured.key);
        if let (Some(why), "select", false) = (rare, captured.kind.as_str(), protected) {
            left_out.push((session::label(&captured.text), why));
            continue;
        }
        let source = StatementSource::Stored(captured.stored.clone());
        let planner = &mut ports.planner;
        let loaded = transaction::run(|| {
            planner
                .add_statement(captured.id, source)
                .and_then(|()| planner.shapes(captured.id))
        });
        match loaded {
            Ok(Ok(shapes)) => {
                written.extend(
                    shapes
                        .iter()
                        .filter_map(|shape| Some((captured, target(shape)?))),
                );
                let mut demand = 1.0;
                if let Some((share, field)) = switched_off(captured, &shapes, disabled) {
                    demand -= share;
                    left_out.push((
                        session::label(&captured.text),
                        format!(
                            "{field} is switched off for tenants that make {:.0} % of its calls: their demand weighs nothing",
                            share * 100.0
                        ),
                    ));
                }
                statements.push(Statement {
                    max_regression: protected.then_some(0.0),
                    ..statement(captured, shapes, span_days, demand)
                });
            }
            Ok(Err(failure)) if failure.error == PriceError::Cancelled => failure.raise(),
            Ok(Err(failure)) => left_out.push((session::label(&captured.text), failure.message)),
            Err(error) => left_out.push((session::label(&captured.text), error.to_string())),
        }
    }
    let mut setup = match transaction::run(|| setup(config)) {
        Ok(setup) => setup,
        Err(error) => return Err(error.to_string()),
    };
    setup.plan.ms_per_unit = ms_per_unit(captured);
    setup.plan.outcomes.clone_from(outcomes);
    let samples = write_samples(&written, &mut ports.catalog, known);
    setup.plan.writes = setup.plan.writes.calibrate(&samples);
    setup.plan.previous = Some(
        known
            .iter()
            .filter(|stored| stored.state.is_open())
            .filter_map(definition_identity)
            .collect(),
    );
    for stored in known {
        let (Some(identity), Some(why)) = (definition_identity(stored), banned(stored)) else {
            continue;
        };
        setup.plan.banned.insert(identity, why);
    }
    // The budget is for all that we build; what stands has its part of it. (Room that a drop
    // would make is there once it is made: safeguards look at each build by itself.)
    let rules = &mut setup.plan.rules;
    rules.storage_budget = match config.create_index {
        Stage::Off => Some(0),
        _ => rules
            .storage_budget
            .map(|budget| budget.saturating_sub(mutation_log::our_bytes(logged))),
    };
    let deadline = started + TIME_LIMIT * 1_000_000;
    let hurry = started + EXPLORING * 1_000_000;
    let mut pulse = || {
        pgrx::check_for_interrupts!();
        let now = clock::now();
        if now > deadline {
            Pulse::Deadline
        } else if now > hurry {
            Pulse::Hurry
        } else {
            Pulse::Continue
        }
    };
    let mut analysis = analyse(
        &mut PlannerPort(&mut ports.planner),
        &mut CatalogPort {
            catalog: &mut ports.catalog,
            logged,
        },
        &statements,
        &setup,
        &mut pulse,
    )
    .map_err(|error| error.to_string())?;
    match transaction::run(|| super::statistics::behind(&statements)) {
        Ok(Ok(found)) => analysis.recommendations.extend(found),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(error) => return Err(error.to_string()),
    }
    match super::dependence::dependent(&mut ports.planner, &statements, &mut pulse) {
        Ok(found) => analysis.recommendations.extend(found),
        Err(error) => return Err(error.to_string()),
    }
    super::evidence::add(&mut ports.planner, &mut analysis, captured);
    if matches!(transaction::run(super::has_standbys), Ok(Ok(true))) {
        for found in &mut analysis.recommendations {
            if let IntentKind::DropIndex { .. } = found.kind {
                found.reason.push_str(
                    "; not done without an operator: there are standbys, whose scans are not counted here",
                );
            }
        }
    }
    analysis.not_analysed.extend(
        left_out
            .into_iter()
            .map(|(what, why)| indexpilot_pipeline::NotAnalysed { what, why }),
    );
    Ok(analysis)
}

fn definition_identity(stored: &Stored) -> Option<u64> {
    match &stored.intent.kind {
        IntentKind::CreateIndex { definition, .. } => Some(definition.identity()),
        _ => None,
    }
}

/// Why a definition must not be advised again now.
fn banned(stored: &Stored) -> Option<String> {
    match stored.state {
        State::Dismissed => Some(format!(
            "dismissed{}",
            stored
                .state_reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default()
        )),
        State::Reverted | State::Failed => {
            let days = ban_days(stored.reverts.max(1));
            (stored.days_in_state < days).then(|| {
                format!(
                    "{} {:.0} days ago; not tried again before {days:.0} days have passed",
                    stored.state.name(),
                    stored.days_in_state
                )
            })
        }
        _ => None,
    }
}

/// Writes down what came out.
fn finish(
    config: &Config,
    started: i64,
    known: &[Stored],
    statements: usize,
    outcome: Result<Analysis, String>,
) {
    let result = transaction::run(|| -> pgrx::spi::SpiResult<()> {
        let analysis = match &outcome {
            Ok(analysis) => analysis,
            Err(why) => {
                return recommendation::save_run(&Run {
                    started,
                    statements,
                    options: 0,
                    planner_calls: 0,
                    before: 0.0,
                    after: 0.0,
                    gap: 0.0,
                    verified: false,
                    empty_because: Some(why.clone()),
                    refused: json!([]),
                    not_analysed: Vec::new(),
                    goals: json!([]),
                    caution: json!({}),
                });
            }
        };
        let mut seen = Vec::new();
        for found in &analysis.recommendations {
            let stage = match found.kind {
                IntentKind::DropIndex { .. } => config.drop_index,
                // Advised only: no setting lets us change by ourselves what the planner knows.
                IntentKind::Analyze | IntentKind::CreateStatistics(_) => Stage::Advise,
                _ => config.create_index,
            };
            if stage == Stage::Off {
                continue;
            }
            seen.push(found.identity);
            let mut intent = Intent {
                kind: found.kind.clone(),
                relation: found.relation.clone(),
                reason: found.reason.clone(),
                recommendation: None,
                bytes: found.bytes,
                saving_ms_per_day: found.saved_ms_per_day,
                urgent: false,
            };
            let (id, state) = recommendation::save(found, &intent)?;
            intent.recommendation = Some(id.to_string());
            if stage == Stage::Auto && state == State::Proposed {
                super::carry_out(id, State::Proposed, intent, None)?;
            }
        }
        for stored in known {
            // Rebuilds have a schedule of their own.
            let ours = !matches!(stored.intent.kind, IntentKind::Reindex { .. });
            if ours && stored.state == State::Proposed && !seen.contains(&stored.identity) {
                let replaced = analysis
                    .recommendations
                    .iter()
                    .any(|r| r.relation.oid == stored.relation.to_u32());
                let of_index = matches!(
                    stored.intent.kind,
                    IntentKind::CreateIndex { .. } | IntentKind::DropIndex { .. }
                );
                let (to, why) = if !of_index {
                    (
                        State::Expired,
                        "no longer needed: the planner knows it by now, or nobody asks for it",
                    )
                } else if replaced {
                    (
                        State::Superseded,
                        "other advice for the table took its place",
                    )
                } else {
                    (
                        State::Expired,
                        "no longer advised: it does not pay any more",
                    )
                };
                recommendation::transition(stored.id, State::Proposed, to, Some(why))?;
            }
        }
        recommendation::save_run(&Run {
            started,
            statements,
            options: analysis.options,
            planner_calls: analysis.planner_calls,
            before: analysis.advice.solution.before,
            after: analysis.advice.solution.after,
            gap: analysis.advice.solution.gap,
            verified: analysis.advice.verified,
            empty_because: analysis.recommendations.is_empty().then(|| empty(analysis)),
            refused: refused(analysis),
            not_analysed: analysis
                .not_analysed
                .iter()
                .map(|left| (left.what.clone(), left.why.clone()))
                .collect(),
            goals: goals(analysis),
            caution: caution(analysis),
        })
    });
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => pgrx::error!("{error}"),
        Err(error) => pgrx::error!("{error}"),
    }
}

fn empty(analysis: &Analysis) -> String {
    let mut refusals: Vec<_> = analysis.refusals.iter().collect();
    refusals.sort_by(|a, b| b.saved_ms_per_day.total_cmp(&a.saved_ms_per_day));
    match refusals.first() {
        Some(first) => format!(
            "no change pays: {} indexes were thought of and refused, the most promising {}: {}",
            refusals.len(),
            first.definition.for_people(None),
            first.reason
        ),
        None => format!(
            "no statement seen could use another index ({} left out)",
            analysis.not_analysed.len()
        ),
    }
}

/// What the goals came to, as the view `goals` reads it.
fn goals(analysis: &Analysis) -> serde_json::Value {
    let goals = analysis.advice.solution.goals.iter();
    goals
        .map(|g| {
            json!({
                "goal": g.goal.goal.name(),
                "tolerance": g.goal.tolerance,
                "unit": g.goal.goal.unit(),
                "before": g.before,
                "best": g.best,
                // Not a number of JSON where nothing is proven; then it is null.
                "bound": g.bound,
                "allowed": g.allowed,
                "reached": g.reached,
            })
        })
        .collect::<Vec<_>>()
        .into()
}

/// By how much nested loops are believed to cost more than the planner says, and how many
/// measured pairs say so.
fn caution(analysis: &Analysis) -> serde_json::Value {
    let found = &analysis.calibrated;
    json!({
        "pairs": found.pairs,
        "descent": found.caution.descent,
        "scattered_fetch": found.caution.scattered_fetch,
        "ordered_fetch": found.caution.ordered_fetch,
    })
}

fn refused(analysis: &Analysis) -> serde_json::Value {
    let mut refusals: Vec<_> = analysis.refusals.iter().collect();
    refusals.sort_by(|a, b| b.saved_ms_per_day.total_cmp(&a.saved_ms_per_day));
    refusals.truncate(REFUSALS_KEPT);
    refusals
        .iter()
        .map(|refusal| {
            json!({
                "relation": refusal.definition.relation.oid,
                "definition": refusal.definition.for_people(None),
                "relation": refusal.definition.relation.oid,
                "keys": refusal.definition.keys.iter().flat_map(|key| key.element.attributes()).collect::<Vec<_>>(),
                "reason": refusal.reason,
                "rule": refusal.rule,
                "saved_ms_per_day": refusal.saved_ms_per_day,
                "statements": refusal.statements.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect::<Vec<_>>()
        .into()
}
