//! Ordered goals: from the advisor's words to criteria of the program, and what they came to.

use super::lower::Lowered;
use super::problem::{Problem, Status};
use indexpilot_algorithms::lexicographic::{Criterion, OrderedGoal as Goal, Reached};
use indexpilot_model::goal;

/// What one goal came to. Values are in [`goal::Goal::unit`], times a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalReached {
    /// The goal and its tolerance.
    pub goal: goal::OrderedGoal,
    /// Its value as things are.
    pub before: f64,
    /// Its best value that the goals before it leave room for, as far as the search came.
    pub best: f64,
    /// It could not be below this, proven; minus infinity where nothing is.
    pub bound: f64,
    /// What the goals after it had to keep.
    pub allowed: f64,
    /// Its value under the choice.
    pub reached: f64,
}

/// The goals of the rules, and last the price of everything, which decides among the choices
/// that they allow.
pub fn criteria(problem: &Problem) -> Vec<Goal> {
    let decided = |amount: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let options = problem.options.iter().enumerate();
        options
            .map(|(o, option)| match option.status {
                // What stays whatever is chosen would only dilute the tolerance.
                Status::Stays { .. } => 0.0,
                Status::Candidate | Status::Droppable { .. } | Status::Banned { .. } => amount(o),
            })
            .collect()
    };
    let option = |o: usize| &problem.options[o];
    let criterion = |goal: goal::Goal| match goal {
        goal::Goal::TotalCost => Criterion::TotalCost,
        goal::Goal::MaxCost => Criterion::MaximumCost { weighted: false },
        goal::Goal::IndexBytes => Criterion::PerIndex(decided(&|o| option(o).occupies as f64)),
        goal::Goal::IndexCount => Criterion::PerIndex(decided(&|_| 1.0)),
        goal::Goal::WriteCost => Criterion::WriteCost(decided(&|o| option(o).write_ms.max(0.0))),
    };
    let last = Goal {
        criterion: Criterion::Objective,
        tolerance: 0.0,
    };
    let goals = problem.rules.goals.iter().map(|ordered| Goal {
        criterion: criterion(ordered.goal),
        tolerance: ordered.tolerance,
    });
    goals.chain([last]).collect()
}

/// What the goals came to under `chosen`.
pub fn outcome(
    problem: &Problem,
    lowered: &Lowered,
    criteria: &[Goal],
    reached: &[Reached],
    chosen: &[bool],
) -> Vec<GoalReached> {
    let current = problem.current();
    let each = problem.rules.goals.iter().zip(criteria).zip(reached);
    each.map(|((&goal, of), reached)| GoalReached {
        goal,
        before: of.criterion.value(&lowered.program, &current),
        best: reached.value,
        bound: reached.bound,
        allowed: reached.allowed,
        reached: of.criterion.value(&lowered.program, chosen),
    })
    .collect()
}

/// A goal's value for people.
pub fn amount(goal: goal::Goal, value: f64) -> String {
    match goal {
        goal::Goal::TotalCost | goal::Goal::WriteCost => super::why::duration(value),
        goal::Goal::MaxCost => format!("{value:.0} cost units"),
        goal::Goal::IndexBytes => format!("{:.1} MB", value / f64::from(1 << 20)),
        goal::Goal::IndexCount => format!("{value:.0} index(es)"),
    }
}
