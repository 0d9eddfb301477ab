//! The workload: statements with their weights, and what writes do to which columns.

mod rare;
mod writes;

pub use rare::rare;
pub use writes::{UpdateClass, WriteLoad, update_classes, write_load};

use crate::pricing::Load;
use indexpilot_model::query::StatementKind;
use indexpilot_model::{Oid, QueryShape, StatementId};
use std::collections::BTreeSet;

/// One statement (pattern) as the advisor takes it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Identity, also for the planner port.
    pub id: StatementId,
    /// Short text for people.
    pub label: String,
    /// What it does; one shape for each query that rules made of it.
    pub shapes: Vec<QueryShape>,
    /// Calls a day.
    pub calls_per_day: f64,
    /// Rows written a call (1 where it is not known).
    pub rows_per_call: f64,
    /// How much it weighs.
    pub load: Load,
    /// Its constants are the same in nearly all calls.
    pub constants_fixed: bool,
    /// Own `max_regression` where it is protected.
    pub max_regression: Option<f64>,
    /// Tenants that run it, with their share of its calls, greatest first.
    pub tenants: Vec<(String, f64)>,
}

impl Statement {
    /// Whether it writes.
    pub fn writes(&self) -> bool {
        self.shapes.iter().any(|shape| {
            matches!(
                shape.kind,
                StatementKind::Insert
                    | StatementKind::Update
                    | StatementKind::Delete
                    | StatementKind::Merge
            )
        })
    }

    /// Relations it touches.
    pub fn relations(&self) -> BTreeSet<Oid> {
        self.shapes
            .iter()
            .flat_map(|shape| &shape.instances)
            .map(|instance| instance.relation.oid)
            .collect()
    }

    /// Milliseconds a day, as far as known before pricing: decides which candidates are
    /// thought of first.
    pub fn rough_weight(&self) -> f64 {
        match &self.load {
            Load::Assumed { calls_per_day, .. } => *calls_per_day,
            measured => measured.seen_ms().unwrap_or(0.0),
        }
    }
}
