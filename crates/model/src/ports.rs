//! The ports through which pure code reaches the world. Rooms that face PostgreSQL
//! implement them; tests implement them with plain values.

use crate::catalog::RelationInfo;
use crate::ids::{Oid, StatementId};
use crate::index::IndexDefinition;
use crate::price::{CandidateId, Price, PriceError, SizeEstimate};

/// A moment, in microseconds since the Unix epoch (UTC).
pub type Timestamp = i64;

/// Prices statements under hypothetical and hidden indexes.
pub trait WhatIf {
    /// Makes a hypothetical index known and estimates its size. The same definition gives
    /// the same id. Nothing becomes visible outside our own planner calls.
    fn register(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<(CandidateId, SizeEstimate), PriceError>;

    /// Plans `statement` as if the indexes in `with` were there and the real ones in
    /// `without` were not.
    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError>;

    /// Planner calls made so far, for accounting.
    fn planner_calls(&self) -> u64;
}

/// Reads relations.
pub trait Catalog {
    /// The relation, or `None` when it is gone or of a kind that has no indexes.
    fn relation(&mut self, oid: Oid) -> Option<RelationInfo>;
}

/// Tells the time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Asked between steps of long pure work: true means stop as soon as possible.
pub trait Interrupt {
    /// Whether the work has to stop (cancel, shutdown, deadline).
    fn requested(&mut self) -> bool;
}

impl<F: FnMut() -> bool> Interrupt for F {
    fn requested(&mut self) -> bool {
        self()
    }
}
