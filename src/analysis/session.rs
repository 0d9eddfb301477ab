//! `advise()`: statements given by hand, priced in the caller's session with the caller's
//! rights. Nothing is captured, nothing is stored.

use super::{configuration, references, setup};
use crate::pg::catalog::{ServerCatalog, share_in_cache};
use crate::pg::clock;
use crate::pg::whatif::{Planner, StatementSource};
use indexpilot_advisor::plan::MS_PER_UNIT;
use indexpilot_advisor::pricing::Load;
use indexpilot_advisor::selection::{GoalReached, Pulse, SelectionError};
use indexpilot_advisor::workload::Statement;
use indexpilot_model::StatementId;
use indexpilot_model::goal::OrderedGoal;
use indexpilot_model::price::PriceError;
use indexpilot_pipeline::{Analysis, NotAnalysed, analyse};
use std::cell::RefCell;
use std::collections::HashMap;

/// What the caller asked for; `None` is the setting's value.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Statements.
    pub queries: Vec<String>,
    /// Their weights (calls), as many as statements, or none.
    pub weights: Vec<f64>,
    /// Bytes for all new indexes together.
    pub storage_budget: Option<u64>,
    /// Keys of an index.
    pub max_columns: Option<u32>,
    /// Indexes on one table.
    pub max_indexes_per_table: Option<u32>,
    /// Least share by which an index must improve some statement.
    pub min_improvement: Option<f64>,
    /// Share by which a statement may get worse.
    pub max_regression: Option<f64>,
    /// Goals in their order; empty weighs everything in time.
    pub goals: Option<Vec<OrderedGoal>>,
    /// Seconds after which the best answer found so far is given.
    pub time_limit: f64,
}

/// Least share of the time of all statements under the choice that an index saves: nothing is
/// known of calls a day, and half a per cent is what the planner's estimates err by anyway.
const MIN_SHARE: f64 = 5e-3;

/// Default of `advise()`'s time limit, seconds, which the bounds of the search are made for.
const USUAL_TIME_LIMIT: f64 = 30.0;

/// Statements up to which that time is plenty; longer lists need more to be looked at as closely.
const USUAL_STATEMENTS: f64 = 500.0;

/// Statements from which on one index is a small part of the whole, and the gap at which the
/// search is content then: what the planner's estimates err by.
const MANY: usize = 200;
const GAP_OF_MANY: f64 = 5e-3;
/// Rounds of solve and check for so many: each takes as long as the first, and a choice that has
/// not settled by then hardly ever does soon after.
const ROUNDS_OF_MANY: usize = 7;

/// Steps of the search for each statement of the list, and at least: a third of a second or so
/// for a few dozen statements, whose best set is mostly found in the first tenth of it.
const STEPS_PER_STATEMENT: u64 = 3_000_000;
const LEAST_STEPS: u64 = 60_000_000;

/// Planner calls for each statement that is looked at closely.
const CALLS_PER_STATEMENT: u64 = 36;

thread_local! {
    /// What the goals of this session's last `advise()` came to.
    static GOALS: RefCell<Vec<GoalReached>> = const { RefCell::new(Vec::new()) };
}

/// What the goals of this session's last `advise()` came to.
pub fn goals() -> Vec<GoalReached> {
    GOALS.with_borrow(Clone::clone)
}

/// Which statement of the list causes a statement that is not in it.
pub type Causes = HashMap<StatementId, StatementId>;

/// Length of a statement's label.
const LABEL: usize = 80;

/// The first characters of a text on one line.
pub fn label(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LABEL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Share of the time after which no new plans are looked for: what is left is for the choice
/// and its check.
const EXPLORING: f64 = 0.6;

/// A cancel becomes the server's own error here, outside the solver; the deadline ends the
/// search with the best found so far.
fn pulse(start: i64, seconds: f64) -> impl FnMut() -> Pulse {
    let after = |share: f64| start + (seconds * share * 1e6) as i64;
    let (hurry, deadline) = (after(EXPLORING), after(1.0));
    move || {
        pgrx::check_for_interrupts!();
        let now = clock::now();
        if now > deadline {
            Pulse::Deadline
        } else if now > hurry {
            Pulse::Hurry
        } else {
            Pulse::Continue
        }
    }
}

/// Analyses the caller's statements.
///
/// A statement's identity is its position in the list, from 1. What a foreign key has searched
/// for it is a statement of its own with a later identity; the second part of the result tells
/// by which statement of the list each is caused.
///
/// # Errors
/// What the solver reports; a cancel is raised.
pub fn advise(request: &Request) -> Result<(Analysis, Causes), SelectionError> {
    let mut config = configuration();
    if let Some(columns) = request.max_columns {
        config.max_columns_per_index = columns;
    }
    if let Some(most) = request.max_indexes_per_table {
        config.max_indexes_per_table = most;
    }
    if let Some(share) = request.min_improvement {
        config.min_improvement = share;
    }
    if let Some(share) = request.max_regression {
        config.max_regression = share;
    }
    if let Some(goals) = &request.goals {
        config.goals.clone_from(goals);
    }
    config.storage_budget = request.storage_budget;
    let mut setup = setup(&config);
    // Weights are relative: nothing is known of calls a day, so builds cost nothing, near-ties
    // are decided by size, and writes count only as far as they are in the list.
    setup.plan.free_builds = true;
    // With free builds nothing else speaks against an index for what hardly ever runs.
    setup.plan.rules.min_share = MIN_SHARE;
    setup.plan.believe_counters = false;
    setup.plan.may_drop = false;
    setup.plan.rules.max_write_overhead = None;
    // Without a yesterday there is nothing to stay close to.
    setup.plan.rules.switch_share = 0.0;
    // Who gives more time than usual gets a longer search, and all statements looked at closely.
    let long = (request.queries.len() as f64 / USUAL_STATEMENTS).max(1.0);
    let patience = (request.time_limit / (USUAL_TIME_LIMIT * long)).clamp(1.0, 10.0);
    if request.queries.len() > MANY {
        setup.limits.search.gap = setup.limits.search.gap.max(GAP_OF_MANY);
        setup.limits.rounds = setup.limits.rounds.min(ROUNDS_OF_MANY);
    }
    let steps = (STEPS_PER_STATEMENT * request.queries.len() as u64)
        .clamp(LEAST_STEPS, setup.limits.search.steps);
    setup.limits.search.steps = (steps as f64 * patience) as u64;
    setup.limits.few = (setup.limits.few as f64 * patience) as usize;
    // (Somebody waits for the answer; the automatic run asks for more, and so stays the same from
    // day to day.)
    setup.limits.calls_per_statement = CALLS_PER_STATEMENT;
    let start = clock::now();
    let mut planner = Planner::with_evaluated_rows(super::EVALUATED_ROWS);
    planner.set_warmth(share_in_cache());
    let mut catalog = ServerCatalog::default();
    let mut statements = Vec::new();
    let mut failed = Vec::new();
    let mut causes = Causes::new();
    let assumed = |id, label, shapes, calls| Statement {
        id,
        label,
        shapes,
        calls_per_day: calls,
        rows_per_call: 1.0,
        load: Load::Assumed {
            calls_per_day: calls,
            ms_per_unit: MS_PER_UNIT,
        },
        constants_fixed: false,
        max_regression: None,
        tenants: Vec::new(),
    };
    for (position, query) in request.queries.iter().enumerate() {
        // A thousand texts take a second to analyse, and nothing below asks.
        pgrx::check_for_interrupts!();
        let id = StatementId(position as u64 + 1);
        let source = StatementSource::Text {
            sql: query.clone(),
            samples: Vec::new(),
        };
        let shapes = match planner
            .add_statement(id, source)
            .and_then(|()| planner.shapes(id))
        {
            Ok(shapes) => shapes,
            Err(failure) => {
                if failure.error == PriceError::Cancelled {
                    failure.raise();
                }
                failed.push(NotAnalysed {
                    what: label(query),
                    why: failure.message,
                });
                continue;
            }
        };
        let calls = request.weights.get(position).copied().unwrap_or(1.0);
        // At least one row each time: how many is not known.
        for search in references::searches(&shapes, &mut catalog) {
            let caused = StatementId((request.queries.len() + causes.len()) as u64 + 1);
            causes.insert(caused, id);
            let source = StatementSource::Text {
                sql: search.query,
                samples: Vec::new(),
            };
            match planner
                .add_statement(caused, source)
                .and_then(|()| planner.shapes(caused))
            {
                Ok(shapes) => statements.push(assumed(caused, search.label, shapes, calls)),
                Err(failure) if failure.error == PriceError::Cancelled => failure.raise(),
                Err(failure) => failed.push(NotAnalysed {
                    what: search.label,
                    why: failure.message,
                }),
            }
        }
        statements.push(assumed(id, label(query), shapes, calls));
    }
    let mut analysis = analyse(
        &mut planner,
        &mut catalog,
        &statements,
        &setup,
        &mut pulse(start, request.time_limit),
    )?;
    analysis.not_analysed.splice(0..0, failed);
    GOALS.replace(analysis.advice.solution.goals.clone());
    Ok((analysis, causes))
}
