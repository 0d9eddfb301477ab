//! Selection: the best set of indexes under the operator's limits, with a proven gap.
//!
//! [`Problem`] → [`solve`] → [`Solution`]: what to create, keep and drop, how far from the
//! best possible that is at most, and for each option the rule that decided.

pub mod goals;
pub mod lower;
pub mod problem;
pub mod solve;
pub mod why;

pub use goals::GoalReached;
pub use indexpilot_algorithms::effort::{Pulse, Stop};
pub use problem::{
    Atom, IndexOption, Problem, Rules, StatementCosts, Status, TableState, UpdateGroup,
};
pub use solve::{SearchLimits, SelectionError, Solution, changes_nothing, solve};
pub use why::{Action, Decision, Reason};
