//! What indexes cost while rows are written.
//!
//! Measured with PostgreSQL 15, a million rows, data cached: an insert costs 8–12 µs and 64
//! bytes of WAL for each b-tree; an update that is not heap-only 10–21 µs and 98 bytes for
//! *each* index of the table; a heap-only one nothing, however many indexes there are.

use indexpilot_model::price::SizeEstimate;
use indexpilot_model::{AccessMethod, IndexDefinition};

/// Milliseconds for single writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upkeep {
    /// Inserting into one b-tree.
    pub insert_ms: f64,
    /// One index in an update that is not heap-only.
    pub update_ms: f64,
    /// The heap's and WAL's own share of losing a heap-only update.
    pub lost_hot_ms: f64,
    /// Vacuum and cache: milliseconds a day for each page of an index on a written table.
    pub page_ms: f64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Upkeep {
            insert_ms: 0.010,
            update_ms: 0.015,
            lost_hot_ms: 0.010,
            // One pass a day over a page in memory.
            page_ms: 0.005,
        }
    }
}

impl Upkeep {
    /// How many times a b-tree's work an access method does for a row. A GIN has many entries
    /// a row; a BRIN touches a summary once a range.
    pub fn factor(definition: &IndexDefinition) -> f64 {
        match definition.method {
            AccessMethod::Gin => 6.0,
            AccessMethod::Gist | AccessMethod::Spgist => 2.0,
            AccessMethod::Brin => 0.1,
            AccessMethod::Btree | AccessMethod::Hash => {
                1.0 + 0.1
                    * (definition.keys.len() + definition.include.len()).saturating_sub(1) as f64
            }
        }
    }

    /// Milliseconds a day for inserts and upkeep of the pages; updates are charged by class.
    /// `share` is the part of the rows that the predicate keeps.
    pub fn of_inserts(
        &self,
        definition: &IndexDefinition,
        size: &SizeEstimate,
        share: f64,
        inserts: f64,
        written: bool,
    ) -> f64 {
        let pages = if written {
            size.pages as f64 * self.page_ms
        } else {
            0.0
        };
        inserts * share * self.insert_ms * Self::factor(definition) + pages
    }

    /// Milliseconds for the index's part of one update that is not heap-only.
    pub fn of_update(&self, definition: &IndexDefinition, share: f64) -> f64 {
        self.update_ms * Self::factor(definition) * share
    }
}
