//! `advise()`: the best indexes for statements given by hand.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::analysis::session::{self, Request};
use indexpilot_advisor::selection::SelectionError;
use indexpilot_advisor::selection::{GoalReached, goals::amount};
use indexpilot_model::IntentKind;
use indexpilot_model::goal;
use pgrx::prelude::*;

/// Statements that are named as not analysed.
const MOST_NOTICES: usize = 100;

fn invalid(message: &str) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message.to_owned()
    );
}

/// The goals of a list, whose texts may not be NULL.
fn ordered(list: Vec<Option<String>>) -> Vec<goal::OrderedGoal> {
    let texts: Vec<&str> = list.iter().flatten().map(String::as_str).collect();
    if texts.len() != list.len() {
        let code = PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED;
        ereport!(ERROR, code, "goals must not be NULL");
    }
    goal::ordered(texts).unwrap_or_else(|refusal| {
        let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
        let message = "invalid goals of advise()";
        pgrx::pg_sys::panic::ErrorReport::new(code, message, "indexpilot")
            .set_detail(refusal.detail)
            .set_hint(refusal.hint)
            .report(PgLogLevel::ERROR);
        unreachable!("an ERROR was raised")
    })
}

/// Tells what a goal came to.
fn tell(place: usize, reached: &GoalReached) {
    let shown = |value: f64| amount(reached.goal.goal, value);
    let proven = if reached.bound.is_finite() {
        format!(", proven not to be below {}", shown(reached.bound))
    } else {
        String::new()
    };
    let code = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    let message = format!("goal {place}, {}: {}", reached.goal, shown(reached.reached));
    pgrx::pg_sys::panic::ErrorReport::new(code, message, "indexpilot")
        .set_detail(format!(
            "It is {} as things are and {} at best{proven}; later goals may worsen it to {}.",
            shown(reached.before),
            shown(reached.best),
            shown(reached.allowed)
        ))
        .report(PgLogLevel::NOTICE);
}

/// See `sql/functions/advise.sql`.
#[pg_extern(sql = false)]
fn advised_goals() -> TableIterator<
    'static,
    (
        name!(goal, String),
        name!(tolerance_percent, f64),
        name!(unit, String),
        name!(before, f64),
        name!(best, f64),
        name!(bound, Option<f64>),
        name!(allowed, f64),
        name!(reached, f64),
    ),
> {
    TableIterator::new(session::goals().into_iter().map(|g| {
        (
            g.goal.goal.name().to_owned(),
            100.0 * g.goal.tolerance,
            g.goal.goal.unit().to_owned(),
            g.before,
            g.best,
            g.bound.is_finite().then_some(g.bound),
            g.allowed,
            g.reached,
        )
    }))
}

/// See `sql/functions/advise.sql`.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a SQL function")]
fn advise(
    queries: Vec<Option<String>>,
    weights: Option<Vec<Option<f64>>>,
    storage_budget: Option<i64>,
    max_columns: Option<i32>,
    max_indexes_per_table: Option<i32>,
    min_improvement: Option<f64>,
    max_regression: Option<f64>,
    time_limit: f64,
    goals: Option<Vec<Option<String>>>,
) -> TableIterator<
    'static,
    (
        name!(definition, String),
        name!(table_name, String),
        name!(benefit_percent, f64),
        name!(cost_before, f64),
        name!(cost_after, f64),
        name!(bytes, i64),
        name!(build_cost, f64),
        name!(write_ms, f64),
        name!(statements, Vec<i32>),
        name!(reason, String),
    ),
> {
    let queries: Vec<String> = queries.into_iter().flatten().collect();
    let weights: Vec<f64> = weights.into_iter().flatten().flatten().collect();
    if queries.is_empty() {
        invalid("advise() needs at least one statement");
    }
    if !weights.is_empty() && weights.len() != queries.len() {
        invalid("advise() needs as many weights as statements, or none");
    }
    if weights.iter().any(|w| !w.is_finite() || *w < 0.0) {
        invalid("weights must be finite and not negative");
    }
    let request = Request {
        queries,
        weights,
        storage_budget: storage_budget.map(|bytes| bytes.max(0) as u64),
        max_columns: max_columns.map(|n| n.clamp(1, 32) as u32),
        max_indexes_per_table: max_indexes_per_table.map(|n| n.max(0) as u32),
        min_improvement,
        max_regression,
        goals: goals.map(ordered),
        time_limit,
    };
    let (analysis, causes) = match session::advise(&request) {
        Ok(found) => found,
        Err(SelectionError::Cancelled) => {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
                "canceling statement due to user request"
            );
        }
        Err(error) => invalid(&error.to_string()),
    };
    for left_out in analysis.not_analysed.iter().take(MOST_NOTICES) {
        notice!("not analysed: {}: {}", left_out.what, left_out.why);
    }
    if let Some(more @ 1..) = analysis.not_analysed.len().checked_sub(MOST_NOTICES) {
        notice!("not analysed: {more} more statement(s)");
    }
    for (place, reached) in analysis.advice.solution.goals.iter().enumerate() {
        tell(place + 1, reached);
    }
    pgrx::debug1!(
        "indexpilot: {} options, {} planner calls, gap {:.2} %, {} nodes, {} round(s), {:.1} % looked at, verified {}, ended by {:?}",
        analysis.options,
        analysis.planner_calls,
        100.0 * analysis.advice.solution.gap,
        analysis.advice.solution.nodes,
        analysis.advice.rounds,
        100.0 * analysis.advice.coverage,
        analysis.advice.verified,
        analysis.advice.solution.stop
    );
    for refusal in &analysis.refusals {
        pgrx::debug2!(
            "indexpilot refused {}: {}",
            refusal.definition.for_people(None),
            refusal.reason
        );
    }
    if analysis.recommendations.is_empty() {
        notice!(
            "no index pays: {} candidates were refused{}",
            analysis.refusals.len(),
            analysis
                .refusals
                .first()
                .map(|r| format!(", first {}: {}", r.definition.for_people(None), r.reason))
                .unwrap_or_default()
        );
    }
    let rows: Vec<_> = analysis
        .recommendations
        .into_iter()
        .map(|recommendation| {
            let (mut before, mut after) = (0.0, 0.0);
            let mut numbers = Vec::new();
            for gain in &recommendation.statements {
                let weight = gain.calls_per_day;
                before += weight * gain.cost_before.unwrap_or(0.0);
                after += weight * gain.cost_after.unwrap_or(0.0);
                let listed = causes.get(&gain.statement).unwrap_or(&gain.statement);
                let number = i32::try_from(listed.0).unwrap_or(i32::MAX);
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            let definition = match &recommendation.kind {
                IntentKind::CreateIndex { definition, name } => {
                    definition.create_statement(name, true, false)
                }
                other => format!("{other:?}"),
            };
            (
                definition,
                indexpilot_model::expression::readable(&recommendation.relation.qualified()),
                100.0 * recommendation.benefit,
                before,
                after,
                i64::try_from(recommendation.bytes).unwrap_or(i64::MAX),
                recommendation.build_ms / indexpilot_advisor::plan::MS_PER_UNIT,
                recommendation.write_ms_per_day,
                numbers,
                recommendation.reason,
            )
        })
        .collect();
    TableIterator::new(rows)
}
