//! Pricing: what statements cost under sets of indexes, with as few planner calls as
//! possible, and the loop from prices to a verified choice.
//!
//! Planner calls are nine tenths and more of an advisor's time (J. Kossmann, S. Halfpap,
//! M. Jankrift, R. Schlosser: "Magic mirror in my hand, which is the best in the land?",
//! PVLDB 13(12), 2020), so each call is made to tell as much as it can. Calls are made with
//! *many* indexes at once, and the plan says which of them it uses: the plan with set S
//! that uses U ⊆ S is the plan of every set between U and S. Taking the used ones away and
//! asking again lists the plans from the best downwards ([`explore`]); what is not used is
//! never asked about. The rest follows from bounds: a price lies between those of a larger
//! and of a smaller set (W. Wang et al.: "Wii: Dynamic Budget Reallocation In Index
//! Tuning", SIGMOD 2024). Whatever is chosen is priced for real in the end ([`verify`]).

pub mod advise;
pub mod caution;
pub mod explore;
pub mod lattice;
pub mod option_set;
pub mod verify;

pub use advise::{Advice, PricingLimits, StatementReport, advise};
pub use caution::{Caution, Observation};

use crate::selection::{IndexOption, Rules, TableState, UpdateGroup};
use indexpilot_model::{CandidateId, Oid, StatementId};

/// How much a statement weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Measured time under the present indexes, milliseconds a day: calibrates the
    /// statement's milliseconds for each cost unit.
    Measured {
        /// Milliseconds a day.
        ms_per_day: f64,
    },
    /// Not measured: calls a day and an assumed number of milliseconds a cost unit.
    Assumed {
        /// Calls a day.
        calls_per_day: f64,
        /// Milliseconds for each planner cost unit.
        ms_per_unit: f64,
    },
}

/// One statement of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadStatement {
    /// Identity for the planner port.
    pub id: StatementId,
    /// For people.
    pub label: String,
    /// How much it weighs.
    pub load: Load,
    /// Own `max_regression`, where it is protected.
    pub max_regression: Option<f64>,
    /// Options that could serve it at all, by number (those on its relations whose leading
    /// key, predicate or order the statement mentions; all on its relations is right too).
    pub relevant: Vec<usize>,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// A hypothetical index, registered with the port.
    Hypothetical(CandidateId),
    /// A real index, hidden where it is not chosen.
    Real(Oid),
}

/// An option of the problem and its handle.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedOption {
    /// What is known of it.
    pub option: IndexOption,
    /// How the planner port knows it.
    pub handle: Handle,
}

/// Everything that [`advise`] needs beside the port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Options by number.
    pub options: Vec<PricedOption>,
    /// Statements by number.
    pub statements: Vec<WorkloadStatement>,
    /// Update groups over the options.
    pub updates: Vec<UpdateGroup>,
    /// Tables with options.
    pub tables: Vec<TableState>,
    /// Limits.
    pub rules: Rules,
    /// What was advised last time, by option.
    pub previous: Option<Vec<bool>>,
}
