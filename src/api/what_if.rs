//! `what_if()` and `index_size_estimate()`: the planner's answer about indexes that do not
//! exist, for the caller's own text, in the caller's session.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::pg::whatif::{Failure, Planner, Sample, StatementSource};
use indexpilot_model::price::SizeEstimate;
use indexpilot_model::{CandidateId, Oid, StatementId};
use pgrx::JsonB;
use pgrx::prelude::*;

/// One call prices one statement.
const THE_STATEMENT: StatementId = StatementId(0);

/// See `sql/functions/what_if.sql`.
#[pg_extern(sql = false)]
fn what_if(
    query: &str,
    indexes: Vec<Option<String>>,
    hide: Vec<Option<pg_sys::Oid>>,
    params: Option<Vec<Option<String>>>,
) -> TableIterator<
    'static,
    (
        name!(cost_before, f64),
        name!(cost_after, f64),
        name!(gain_percent, f64),
        name!(index_bytes, Vec<i64>),
        name!(indexes_used, Vec<String>),
        name!(plan_before, JsonB),
        name!(plan_after, JsonB),
    ),
> {
    let definitions: Vec<String> = indexes.into_iter().flatten().collect();
    let hidden: Vec<Oid> = hide.into_iter().flatten().map(|oid| oid.to_u32()).collect();
    match compare(query, &definitions, &hidden, params) {
        Ok(found) => TableIterator::once((
            found.before,
            found.after,
            if found.before > 0.0 {
                100.0 * (1.0 - found.after / found.before)
            } else {
                0.0
            },
            found.bytes,
            found.used,
            JsonB(found.plan_before),
            JsonB(found.plan_after),
        )),
        Err(failure) => failure.raise(),
    }
}

struct Comparison {
    before: f64,
    after: f64,
    bytes: Vec<i64>,
    used: Vec<String>,
    plan_before: serde_json::Value,
    plan_after: serde_json::Value,
}

fn compare(
    query: &str,
    definitions: &[String],
    hidden: &[Oid],
    params: Option<Vec<Option<String>>>,
) -> Result<Comparison, Failure> {
    let mut planner = Planner::new();
    planner.add_statement(
        THE_STATEMENT,
        StatementSource::Text {
            sql: query.to_owned(),
            samples: params
                .map(|values| Sample {
                    weight: 1.0,
                    values,
                })
                .into_iter()
                .collect(),
        },
    )?;
    let mut with = Vec::with_capacity(definitions.len());
    let mut bytes = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let (id, size) = planner.register_text(definition)?;
        with.push(id);
        bytes.push(i64::try_from(size.bytes).unwrap_or(i64::MAX));
    }
    let before = planner.evaluate(THE_STATEMENT, &[], &[], true)?;
    let after = planner.evaluate(THE_STATEMENT, &with, hidden, true)?;
    let text_of = |used: &CandidateId| {
        with.iter()
            .position(|id| id == used)
            .map(|position| definitions[position].clone())
    };
    let mut used: Vec<String> = after.price.used.iter().filter_map(text_of).collect();
    used.extend(planner.index_names(&after.price.used_existing)?);
    Ok(Comparison {
        before: before.price.cost,
        after: after.price.cost,
        bytes,
        used,
        plan_before: json(&before.plans)?,
        plan_after: json(&after.plans)?,
    })
}

/// The plans of a statement's queries as one array, as EXPLAIN gives them.
fn json(plans: &[String]) -> Result<serde_json::Value, Failure> {
    let mut all = Vec::with_capacity(plans.len());
    for plan in plans {
        match serde_json::from_str(plan) {
            Ok(serde_json::Value::Array(entries)) => all.extend(entries),
            Ok(other) => all.push(other),
            Err(error) => {
                return Err(Failure::new(
                    PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                    format!("EXPLAIN gave a plan that is not JSON: {error}"),
                ));
            }
        }
    }
    Ok(serde_json::Value::Array(all))
}

/// See `sql/functions/what_if.sql`.
#[pg_extern(sql = false)]
fn index_size_estimate(
    definition: &str,
) -> TableIterator<
    'static,
    (
        name!(bytes, i64),
        name!(pages, i64),
        name!(tuples, f64),
        name!(height, i32),
        name!(build_cost, f64),
        name!(rough, bool),
    ),
> {
    match Planner::new().register_text(definition) {
        Ok((_, size)) => {
            let SizeEstimate {
                pages,
                bytes,
                tuples,
                height,
                build_cost,
                rough,
            } = size;
            TableIterator::once((
                i64::try_from(bytes).unwrap_or(i64::MAX),
                i64::try_from(pages).unwrap_or(i64::MAX),
                tuples,
                i32::try_from(height).unwrap_or(i32::MAX),
                build_cost,
                rough,
            ))
        }
        Err(failure) => failure.raise(),
    }
}
