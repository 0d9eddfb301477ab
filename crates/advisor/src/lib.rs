//! The advisor: which indexes a workload should have, and why.
//!
//! Pure: everything that is known of the server comes in through the ports of
//! `indexpilot-model`. The rooms in the order of the flow:
//!
//! - [`candidates`]: which indexes could serve the workload at all;
//! - [`pricing`]: asks the planner as seldom as possible what statements cost under sets
//!   of indexes, and has the choice checked by it;
//! - [`selection`]: chooses the set, exactly or with a proven gap, and gives the reason
//!   for every index chosen or refused.

pub mod candidates;
pub mod pricing;
pub mod selection;
