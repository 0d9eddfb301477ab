//! `what_if()` and `index_size_estimate()`: the planner's answer about indexes that do not
//! exist, for the caller's own text, in the caller's session.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::pg::whatif::{
    Failure, Format, Planner, Sample, StatementSource, caller_is_superuser, counters,
};
use crate::store::captured::captured;
use indexpilot_model::price::SizeEstimate;
use indexpilot_model::{CandidateId, Oid, StatementId};
use pgrx::JsonB;
use pgrx::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

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
    match compare(source(query, params), &definitions, &hidden) {
        Ok(found) => TableIterator::once(found.row()),
        Err(failure) => failure.raise(),
    }
}

/// See `sql/functions/what_if.sql`.
#[pg_extern(sql = false)]
fn what_if_statement(
    statement: pgrx::Uuid,
    indexes: Vec<Option<String>>,
    hide: Vec<Option<pg_sys::Oid>>,
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
    match stored(&statement.to_string()).and_then(|source| compare(source, &definitions, &hidden)) {
        Ok(found) => TableIterator::once(found.row()),
        Err(failure) => failure.raise(),
    }
}

/// A captured statement. It is planned as its own user, which only a superuser may ask for.
fn stored(key: &str) -> Result<StatementSource, Failure> {
    if !caller_is_superuser() {
        return Err(Failure::new(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "must be superuser to plan other users' statements",
        ));
    }
    let all = captured(0, i64::MAX)
        .map_err(|error| Failure::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string()))?;
    all.into_iter()
        .find(|statement| statement.key == key)
        .map(|statement| StatementSource::Stored(statement.stored))
        .ok_or_else(|| {
            Failure::new(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("statement {key} is not known, or cannot be planned again"),
            )
            .hint("See the view indexpilot.statements.")
        })
}

fn source(query: &str, params: Option<Vec<Option<String>>>) -> StatementSource {
    StatementSource::Text {
        sql: query.to_owned(),
        samples: params
            .map(|values| Sample {
                weight: 1.0,
                values,
            })
            .into_iter()
            .collect(),
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

type ComparisonRow = (f64, f64, f64, Vec<i64>, Vec<String>, JsonB, JsonB);

impl Comparison {
    fn row(self) -> ComparisonRow {
        let gain = if self.before > 0.0 {
            100.0 * (1.0 - self.after / self.before)
        } else {
            0.0
        };
        (
            self.before,
            self.after,
            gain,
            self.bytes,
            self.used,
            JsonB(self.plan_before),
            JsonB(self.plan_after),
        )
    }
}

fn compare(
    source: StatementSource,
    definitions: &[String],
    hidden: &[Oid],
) -> Result<Comparison, Failure> {
    let mut planner = Planner::new();
    planner.add_statement_unplanned(THE_STATEMENT, source)?;
    let mut with = Vec::with_capacity(definitions.len());
    let mut bytes = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let (id, size) = planner.register_text(definition)?;
        with.push(id);
        bytes.push(i64::try_from(size.bytes).unwrap_or(i64::MAX));
    }
    let before = planner.evaluate(THE_STATEMENT, &[], &[], Some(Format::Json))?;
    let after = planner.evaluate(THE_STATEMENT, &with, hidden, Some(Format::Json))?;
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

/// See `sql/functions/what_if.sql`.
#[pg_extern(sql = false)]
fn what_if_subsets(
    query: &str,
    indexes: Vec<Option<String>>,
    max_size: i32,
    params: Option<Vec<Option<String>>>,
    reuse: bool,
) -> TableIterator<
    'static,
    (
        name!(subset, Vec<i32>),
        name!(cost, f64),
        name!(used, Vec<i32>),
    ),
> {
    let definitions: Vec<String> = indexes.into_iter().flatten().collect();
    match price_subsets(query, &definitions, max_size.max(0) as usize, params, reuse) {
        Ok(rows) => TableIterator::new(rows),
        Err(failure) => failure.raise(),
    }
}

/// More subsets than anybody reads.
const MOST_SUBSETS: usize = 100_000;
/// Prices are held for so many at a time.
const SUBSETS_AT_A_TIME: usize = 1_000;

type SubsetRow = (Vec<i32>, f64, Vec<i32>);

fn price_subsets(
    query: &str,
    definitions: &[String],
    max_size: usize,
    params: Option<Vec<Option<String>>>,
    reuse: bool,
) -> Result<Vec<SubsetRow>, Failure> {
    let mut planner = Planner::new();
    planner.add_statement_unplanned(THE_STATEMENT, source(query, params))?;
    let mut ids = Vec::with_capacity(definitions.len());
    for definition in definitions {
        ids.push(planner.register_text(definition)?.0);
    }
    let mut rows = Vec::new();
    let mut subset: Vec<usize> = Vec::new();
    let mut subsets: Vec<Vec<usize>> = Vec::new();
    let mut more = true;
    while more {
        subsets.push(subset.clone());
        more = next_subset(&mut subset, ids.len(), max_size);
        if more && subsets.len() < SUBSETS_AT_A_TIME {
            continue;
        }
        if rows.len() + subsets.len() > MOST_SUBSETS {
            return Err(Failure::new(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!("there are more than {MOST_SUBSETS} subsets to price"),
            )
            .hint("Give fewer indexes or a smaller max_size."));
        }
        let sets: Vec<Vec<CandidateId>> = subsets
            .iter()
            .map(|subset| subset.iter().map(|position| ids[*position]).collect())
            .collect();
        let sets: Vec<&[CandidateId]> = sets.iter().map(Vec::as_slice).collect();
        let prices = planner.price_sets(THE_STATEMENT, &sets, &[], reuse)?;
        let number = |position: usize| position as i32 + 1;
        for (subset, price) in subsets.drain(..).zip(prices) {
            let used = ids
                .iter()
                .enumerate()
                .filter(|(_, id)| price.used.contains(id))
                .map(|(position, _)| number(position))
                .collect();
            rows.push((subset.into_iter().map(number).collect(), price.cost, used));
        }
    }
    Ok(rows)
}

/// The next subset of `0..count` with at most `largest` members: by size, then by content.
fn next_subset(subset: &mut Vec<usize>, count: usize, largest: usize) -> bool {
    let size = subset.len();
    for position in (0..size).rev() {
        if subset[position] < count - (size - position) {
            subset[position] += 1;
            for later in position + 1..size {
                subset[later] = subset[later - 1] + 1;
            }
            return true;
        }
    }
    if size + 1 > largest.min(count) {
        return false;
    }
    *subset = (0..=size).collect();
    true
}

/// See `sql/functions/what_if.sql`.
#[pg_extern(sql = false)]
fn what_if_counters() -> TableIterator<
    'static,
    (
        name!(requests, i64),
        name!(cache_hits, i64),
        name!(planner_calls, i64),
        name!(retries, i64),
        name!(not_plannable, i64),
        name!(lock_timeout, i64),
        name!(cancelled, i64),
        name!(invalid_index, i64),
        name!(insufficient_privilege, i64),
        name!(other, i64),
        name!(mean_cpu_us, Option<f64>),
        name!(mean_planner_cpu_us, Option<f64>),
        name!(whole_cluster, bool),
    ),
> {
    let (all, whole_cluster) = counters();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as i64;
    let timed = read(&all.timed);
    let mean = |nanoseconds: &AtomicU64| {
        (timed > 0).then(|| read(nanoseconds) as f64 / timed as f64 / 1000.0)
    };
    TableIterator::once((
        read(&all.requests),
        read(&all.cache_hits),
        read(&all.planner_calls),
        read(&all.retries),
        read(&all.not_plannable),
        read(&all.lock_timeout),
        read(&all.cancelled),
        read(&all.invalid_index),
        read(&all.insufficient_privilege),
        read(&all.other),
        mean(&all.timed_ns),
        mean(&all.timed_planner_ns),
        whole_cluster,
    ))
}
