//! Prices: what the planner says a statement would cost under a set of indexes.
//! All costs are planner cost units (manual: Planner Cost Constants), estimates by nature.

use crate::ids::Oid;
use serde::{Deserialize, Serialize};

/// A hypothetical index registered with a [`crate::WhatIf`] port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CandidateId(pub u32);

/// Traits of a plan that tell where derived prices fail and where the cost model is known
/// to be too optimistic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanTraits {
    /// A Limit node.
    pub limit: bool,
    /// A semi- or anti-join.
    pub semi_join: bool,
    /// SubPlans or InitPlans.
    pub subplan: bool,
    /// Gather or Gather Merge.
    pub parallel: bool,
    /// An explicit Sort somewhere.
    pub sort: bool,
    /// The inner index scans of nested loops.
    pub inner_scans: Vec<InnerScan>,
    /// Scans that a LIMIT ends early although the rows it waits for lie together.
    pub early_stops: Vec<EarlyStop>,
}

/// Where in a scan the rows lie that pass a filter on what the scan is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lies {
    /// It begins with them.
    First,
    /// In one piece, anywhere.
    Anywhere,
    /// It ends with them.
    Last,
}

/// A scan of which a LIMIT wants a share, with a filter on what the scan is ordered by. The
/// planner takes the rows that pass to be spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// Share of the rows that is wanted, which is the share of `run` in the plan's cost, 0…1.
    pub share: f64,
    /// Least share of what is read that passes, 0…1.
    pub passing: f64,
    /// Where it lies.
    pub lies: Lies,
    /// How far the order of the scan is the order of what is filtered, 0…1; 1 where it is the
    /// same column, else the square of their correlation.
    pub together: f64,
    /// What the scan costs behind its start when nothing ends it, cost units of
    /// [`Price::warm`].
    pub run: f64,
}

impl EarlyStop {
    /// Share of the scan that is read beyond what the planner expects, 0…1. The rows that pass
    /// are one stretch of the scan; what lies before it is read for nothing.
    pub fn skipped(&self) -> f64 {
        let before = match self.lies {
            Lies::First => 0.0,
            // Nothing is known of the value: as likely here as there.
            Lies::Anywhere => (1.0 - self.passing) / 2.0,
            Lies::Last => 1.0 - self.passing,
        };
        self.together * (before + self.share * self.passing - self.share).max(0.0)
    }
}

/// An index scan repeated by a nested loop: where the cost model misjudges most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InnerScan {
    /// The index if it is real, else 0.
    pub index: Oid,
    /// The candidate if it is hypothetical.
    pub candidate: Option<CandidateId>,
    /// Estimated number of times it is run.
    pub loops: f64,
    /// Estimated rows that a loop fetches, before filters where that can be told.
    pub rows: f64,
    /// Physical correlation of the leading key with the heap, −1…1 (pg_stats.correlation);
    /// `None` where unknown.
    pub correlation: Option<f64>,
    /// True if the scan reads no heap (index-only).
    pub index_only: bool,
    /// True if the outer side comes in an order that has nothing to do with the rows' own, so
    /// that each run starts on pages far from the last one's.
    pub scattered: bool,
}

/// The price of one statement under one configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Mean total cost over the statement's parameter samples (the generic plan where it
    /// has none).
    pub cost: f64,
    /// The same with as many pages in memory as the port was told of: what is believed of
    /// the plan, while `cost` decides which plan is taken. Equal to `cost` where nothing was
    /// told.
    pub warm: f64,
    /// Lowest and highest cost over the samples.
    pub spread: (f64, f64),
    /// Registered hypothetical indexes that the plans use.
    pub used: Vec<CandidateId>,
    /// Real indexes that the plans use.
    pub used_existing: Vec<Oid>,
    /// Estimated rows returned.
    pub rows: f64,
    /// Plan traits, over all samples.
    pub traits: PlanTraits,
    /// Fingerprint of the plan shape (first sample).
    pub fingerprint: u64,
}

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceError {
    /// The statement cannot be planned any more (relation dropped, column gone…), with the
    /// server's message.
    NotPlannable(String),
    /// A lock could not be had in time; worth trying again.
    LockTimeout,
    /// The user or the server asked us to stop.
    Cancelled,
    /// The definition cannot be an index here, with the reason.
    InvalidIndex(String),
    /// The statement's owner may not do this.
    InsufficientPrivilege(String),
    /// Anything else, with the server's message.
    Other(String),
}

impl std::fmt::Display for PriceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PriceError::NotPlannable(reason) => write!(f, "cannot be planned: {reason}"),
            PriceError::LockTimeout => f.write_str("lock not available in time"),
            PriceError::Cancelled => f.write_str("cancelled"),
            PriceError::InvalidIndex(reason) => write!(f, "not a valid index: {reason}"),
            PriceError::InsufficientPrivilege(reason) => write!(f, "not permitted: {reason}"),
            PriceError::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for PriceError {}

/// The estimated physical shape of an index that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeEstimate {
    /// Pages of BLCKSZ bytes, all of them.
    pub pages: u64,
    /// Bytes (pages × BLCKSZ).
    pub bytes: u64,
    /// Index tuples.
    pub tuples: f64,
    /// Height above the leaves (b-tree; 0 for others).
    pub height: u32,
    /// Estimated cost of the build, planner cost units (scan, sort, write).
    pub build_cost: f64,
    /// True where the formula is a rough one (GIN, GiST, SP-GiST).
    pub rough: bool,
}
