//! Reading plans from the tree that the planner made, never from EXPLAIN's text.
//!
//! Unknown nodes (custom scans, what later versions add) are opaque but counted: reading
//! never fails and never follows a pointer it does not know.

mod early_stop;
mod fingerprint;
mod reading;

pub use early_stop::{Column, EarlyStop, Stretch};
pub use fingerprint::{MOST_INDEXES, PlanIndexes, fingerprint};
pub use reading::{NestedScan, Reading, read};
