//! What we mean to do, what came of it, and how it is judged.

use crate::identifier::QualifiedName;
use crate::ids::Oid;
use crate::index::IndexDefinition;
use crate::query::RelationName;
use serde::{Deserialize, Serialize};

/// A change that somebody (the solver, an operator, the schedule) wants made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum IntentKind {
    /// Build an index concurrently.
    CreateIndex {
        /// The index.
        definition: IndexDefinition,
        /// Its name.
        name: String,
    },
    /// Drop an index concurrently; the definition makes it possible to undo.
    DropIndex {
        /// OID of the index.
        index: Oid,
        /// Schema and name.
        name: QualifiedName,
        /// Exact definition, for the inverse.
        definition: IndexDefinition,
    },
    /// Rebuild an index concurrently.
    Reindex {
        /// OID of the index.
        index: Oid,
        /// Schema and name.
        name: QualifiedName,
    },
    /// Collect statistics.
    Analyze,
}

/// An intent with its subject, its reason and its expectations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What to do.
    pub kind: IntentKind,
    /// The relation it is done to.
    pub relation: RelationName,
    /// One sentence a DBA would write.
    pub reason: String,
    /// The recommendation it comes from (UUID text), if any.
    pub recommendation: Option<String>,
    /// Expected size in bytes (estimate); 0 for what needs no space.
    pub bytes: u64,
    /// Expected saving, milliseconds of statement time a day (estimate).
    pub saving_ms_per_day: f64,
    /// An operator asked for it now: schedule safeguards (window, rate, cooldown) do not
    /// apply, those that protect clients do.
    pub urgent: bool,
}

/// What came of an intent that was permitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded {
        /// The index that exists now, or 0.
        index: Oid,
        /// Its measured size in bytes.
        bytes: u64,
        /// How long it took, milliseconds.
        milliseconds: f64,
    },
    /// Gave way: a client waited, a lock or time limit struck. Worth another attempt.
    GaveWay {
        /// Why.
        reason: String,
    },
    /// Failed for good.
    Failed {
        /// Five-character SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
}

/// The judgement after measuring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It pays.
    Kept {
        /// Measured saving, share of the statements' time, 0…1.
        gain: f64,
        /// Lower bound of its confidence interval.
        lower: f64,
    },
    /// It does not pay or harms: undone.
    Reverted {
        /// Why.
        reason: String,
    },
    /// Not enough evidence yet.
    Inconclusive {
        /// What is missing.
        reason: String,
    },
}
