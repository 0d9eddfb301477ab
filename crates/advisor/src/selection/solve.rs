//! Solving: the program, the search, and what it means.

use super::goals::{self, GoalReached};
use super::lower::{Lowered, lower};
use super::problem::{Problem, Status};
use super::why::{Decision, explain};
use indexpilot_algorithms::branch_and_bound::{self, Found, Goal};
use indexpilot_algorithms::effort::{Effort, Pulse, Stop};
use indexpilot_algorithms::lexicographic::{Reached, best_in_order, solve_in_order};
use indexpilot_algorithms::program::Malformed;

/// When the search stops.
#[derive(Clone, Copy, Debug)]
pub struct SearchLimits {
    /// Relative gap to be content with.
    pub gap: f64,
    /// Elementary steps (1–5 ns each): the repeatable limit. The time limit is the pulse's.
    pub steps: u64,
    /// Open nodes: the memory limit.
    pub nodes: usize,
}

impl Default for SearchLimits {
    fn default() -> Self {
        // Two seconds or so; what is not proven by then hardly ever is soon after.
        SearchLimits {
            gap: 0.005,
            steps: 400_000_000,
            nodes: 20_000,
        }
    }
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Solution {
    /// Which options should exist.
    pub chosen: Vec<bool>,
    /// Milliseconds a day (statements, upkeep, lost heap-only updates, one-off prices
    /// spread over the horizon) as things are.
    pub before: f64,
    /// The same for the choice.
    pub after: f64,
    /// No allowed choice is below this; with goals, none that they allow.
    pub bound: f64,
    /// (after − bound) / after; 0 means proven optimal, infinite that nothing is allowed.
    pub gap: f64,
    /// Why the search ended.
    pub stop: Stop,
    /// Branch and bound nodes.
    pub nodes: u64,
    /// Elementary steps.
    pub steps: u64,
    /// What was decided about each option, and why, in the order of the options.
    pub why: Vec<Decision>,
    /// What each goal came to, in their order; empty where there are none.
    pub goals: Vec<GoalReached>,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectionError {
    /// The problem has no meaning.
    Malformed(String),
    /// The caller's pulse said cancel.
    Cancelled,
    /// No choice keeps the rules (the present state breaks one that no drop can mend).
    NothingAllowed(String),
}

impl std::fmt::Display for SelectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SelectionError::Malformed(what) => write!(f, "selection problem is malformed: {what}"),
            SelectionError::Cancelled => f.write_str("cancelled"),
            SelectionError::NothingAllowed(what) => {
                write!(f, "no choice of indexes keeps the rules: {what}")
            }
        }
    }
}

impl std::error::Error for SelectionError {}

impl From<Malformed> for SelectionError {
    fn from(m: Malformed) -> Self {
        SelectionError::Malformed(m.0)
    }
}

/// Chooses. `pulse` is asked at least every millisecond or so whether to go on.
///
/// # Errors
/// A malformed problem, a cancel, or that no choice keeps the rules.
pub fn solve(
    problem: &Problem,
    limits: SearchLimits,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Solution, SelectionError> {
    solve_from(problem, &[], limits, pulse)
}

/// [`solve`], starting from choices that were good for much the same problem.
///
/// # Errors
/// As [`solve`].
pub fn solve_from(
    problem: &Problem,
    known: &[Vec<bool>],
    limits: SearchLimits,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Solution, SelectionError> {
    // Building the program and giving the reasons take tens of milliseconds on the largest
    // problems; the search asks by itself.
    if pulse() == Pulse::Cancel {
        return Err(SelectionError::Cancelled);
    }
    let lowered = lower(problem)?;
    let current = problem.current();
    let mut seeds = vec![current.clone()];
    seeds.extend(problem.previous.clone());
    seeds.extend_from_slice(known);
    let goal = Goal {
        gap: limits.gap,
        nodes: limits.nodes,
        ..Goal::default()
    };
    let (found, reached) = if problem.rules.goals.is_empty() {
        let mut effort = Effort::new(limits.steps, pulse);
        let found = branch_and_bound::solve(&lowered.program, &seeds, goal, &mut effort);
        (found, Vec::new())
    } else {
        let criteria = goals::criteria(problem);
        solve_in_order(
            &lowered.program,
            &criteria,
            &seeds,
            goal,
            limits.steps,
            pulse,
        )
    };
    if pulse() == Pulse::Cancel {
        return Err(SelectionError::Cancelled);
    }
    let solution = finish(problem, &lowered, found, &reached, &current);
    if pulse() == Pulse::Cancel {
        return Err(SelectionError::Cancelled);
    }
    solution
}

fn finish(
    problem: &Problem,
    lowered: &Lowered,
    found: Found,
    reached: &[Reached],
    current: &[bool],
) -> Result<Solution, SelectionError> {
    if found.stop == Stop::Cancelled {
        return Err(SelectionError::Cancelled);
    }
    if !found.score.feasible() {
        return Err(SelectionError::NothingAllowed(broken_rules(
            lowered,
            &found.chosen,
        )));
    }
    let gap = found.gap();
    let now = lowered.program.score(current);
    let (mut chosen, mut after) = (found.chosen, found.score.objective);
    // Not worth acting: stay as things are. (Goals say themselves what is worth it.)
    if problem.rules.goals.is_empty()
        && now.feasible()
        && now.objective - after < problem.rules.min_saving_ms
        && chosen != current
    {
        (chosen, after) = (current.to_vec(), now.objective);
    }
    let goals = goals::outcome(
        problem,
        lowered,
        &goals::criteria(problem),
        reached,
        &chosen,
    );
    let why = explain(problem, lowered, &chosen, &goals);
    Ok(Solution {
        chosen,
        before: now.objective,
        after,
        bound: found.bound,
        gap,
        stop: found.stop,
        nodes: found.nodes,
        steps: found.steps,
        why,
        goals,
    })
}

/// The best of `choices` (by the goals in their order where there are any), with the bounds of
/// another search; `None` where all of them break a rule.
///
/// # Errors
/// A malformed problem.
pub fn best_of(
    problem: &Problem,
    choices: Vec<Vec<bool>>,
    bounded: &Solution,
) -> Result<Option<Solution>, SelectionError> {
    let lowered = lower(problem)?;
    let allowed: Vec<Vec<bool>> = choices
        .into_iter()
        .filter(|chosen| lowered.program.score(chosen).feasible())
        .collect();
    // Without goals the price of everything is the only one.
    let criteria = goals::criteria(problem);
    let Some((best, mut reached)) = best_in_order(&lowered.program, &criteria, &allowed) else {
        return Ok(None);
    };
    // The choices are some of those that the search looked for, so its bounds hold as long as
    // no goal before allows more here than there.
    let mut wider = false;
    for (reached, bounded) in reached.iter_mut().zip(&bounded.goals) {
        if !wider {
            reached.bound = bounded.bound.min(reached.value);
        }
        wider |= reached.allowed > bounded.allowed * (1.0 + 1e-9);
    }
    let chosen = &allowed[best];
    let after = lowered.program.score(chosen).objective;
    let gap = ((after - bounded.bound) / after.abs().max(1e-9)).max(0.0);
    let goals = goals::outcome(problem, &lowered, &criteria, &reached, chosen);
    Ok(Some(Solution {
        chosen: chosen.clone(),
        after,
        gap,
        why: explain(problem, &lowered, chosen, &goals),
        goals,
        ..bounded.clone()
    }))
}

fn broken_rules(lowered: &Lowered, chosen: &[bool]) -> String {
    let mut broken = Vec::new();
    for (r, kind) in lowered.limits.iter().enumerate() {
        let limit = &lowered.program.limits[r];
        if lowered.program.limit_use(r, chosen) > limit.at_most * (1.0 + 1e-9) {
            broken.push(format!("{kind:?}"));
        }
    }
    for (q, query) in lowered.program.queries.iter().enumerate() {
        if lowered.program.atom_taken(q, chosen).cost > query.ceiling * (1.0 + 1e-9) {
            broken.push(format!("statement {q} would regress"));
        }
    }
    broken.join(", ")
}

/// True where the choice changes nothing.
pub fn changes_nothing(problem: &Problem, chosen: &[bool]) -> bool {
    problem
        .options
        .iter()
        .zip(chosen)
        .all(|(o, &c)| match o.status {
            Status::Candidate | Status::Banned { .. } => !c,
            Status::Droppable { .. } | Status::Stays { .. } => c,
        })
}
