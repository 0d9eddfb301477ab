//! The advisor: which indexes a workload should have, and why.
//!
//! Pure: everything that is known of the server comes in through the ports of
//! `indexpilot-model`. The rooms in the order of the flow:
//!
//! - [`selection`]: chooses the set, exactly or with a proven gap, and gives the reason
//!   for every index chosen or refused.

pub mod selection;
