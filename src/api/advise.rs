//! `advise()`: the best indexes for statements given by hand.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::analysis::session::{self, Request};
use indexpilot_advisor::selection::SelectionError;
use indexpilot_model::IntentKind;
use pgrx::prelude::*;

fn invalid(message: &str) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message.to_owned()
    );
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
    for left_out in &analysis.not_analysed {
        notice!("not analysed: {}: {}", left_out.what, left_out.why);
    }
    pgrx::debug1!(
        "indexpilot: {} options, {} planner calls, gap {:.2} %, {} nodes",
        analysis.options,
        analysis.planner_calls,
        100.0 * analysis.advice.solution.gap,
        analysis.advice.solution.nodes
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
