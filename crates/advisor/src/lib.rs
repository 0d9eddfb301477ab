//! The advisor: which indexes a workload should have, and why.
//!
//! Pure: everything that is known of the server comes in through the ports of
//! `indexpilot-model`. The rooms in the order of the flow:
//!
//! - [`workload`]: statements with their weights, and what they write;
//! - [`candidates`]: which indexes could serve the workload at all;
//! - [`wcost`]: what an index costs on every write, lost heap-only updates above all;
//! - [`pricing`]: asks the planner as seldom as possible what statements cost under sets
//!   of indexes, and has the choice checked by it;
//! - [`selection`]: chooses the set, exactly or with a proven gap, and gives the reason
//!   for every index chosen or refused;
//! - [`plan`]: makes the problem of candidates, and recommendations of its solution;
//! - [`dependence`]: columns that the planner takes to be independent and that are not;
//! - [`lifecycle`]: the states of a recommendation;
//! - [`bloat`]: tells indexes that have swollen from what was measured of them;
//! - [`verification`]: judges what an action did from what was measured before and after.

pub mod bloat;
pub mod candidates;
pub mod dependence;
pub mod lifecycle;
pub mod plan;
pub mod pricing;
pub mod selection;
pub mod verification;
pub mod wcost;
pub mod workload;
