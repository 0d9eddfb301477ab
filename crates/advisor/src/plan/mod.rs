//! From candidates to a priced problem, and from its solution to recommendations that people
//! can read.

mod options;
mod recommend;
pub mod rule;
mod writes;

pub use options::{Assembled, Known, assemble};
pub use recommend::{Gain, Recommendation, Refusal, recommend};

use crate::selection::Rules;
use crate::verification::Outcome;
use crate::wcost::WriteConstants;
use indexpilot_model::Config;
use std::collections::BTreeMap;

/// How a run is bounded, and what the host's numbers are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's limits.
    pub rules: Rules,
    /// Milliseconds for each planner cost unit where nothing was measured.
    pub ms_per_unit: f64,
    /// Price of writes.
    pub writes: WriteConstants,
    /// BRIN does not stand in the way of heap-only updates: PostgreSQL 16 and later.
    pub summarizing_is_hot: bool,
    /// What came of past predictions.
    pub outcomes: Vec<Outcome>,
    /// Existing indexes may be proposed to be dropped.
    pub may_drop: bool,
    /// An index that was not scanned is dropped only when statistics cover this many days.
    pub unused_days: f64,
    /// The relation's own counters tell how much it is written.
    pub believe_counters: bool,
    /// Building costs nothing (weights are relative, not calls a day).
    pub free_builds: bool,
    /// Definitions (identities) that must not be built again, with the reason.
    pub banned: BTreeMap<u64, String>,
    /// Definitions advised last time.
    pub previous: Option<Vec<u64>>,
}

impl Settings {
    /// For the automatic run under a configuration.
    pub fn automatic(config: &Config) -> Self {
        Settings {
            rules: Rules {
                storage_budget: config.storage_budget,
                max_indexes_per_table: Some(config.max_indexes_per_table),
                max_write_overhead: Some(config.max_write_overhead),
                max_regression: config.max_regression,
                min_improvement: config.min_improvement,
                min_share: MIN_SHARE,
                storage_share: match config.storage_budget {
                    Some(_) => 0.0,
                    None => STORAGE_SHARE,
                },
                goals: config.goals.clone(),
                ..Rules::default()
            },
            ms_per_unit: MS_PER_UNIT,
            writes: WriteConstants::default(),
            summarizing_is_hot: false,
            outcomes: Vec::new(),
            may_drop: config.drop_index != indexpilot_model::config::Stage::Off,
            unused_days: 35.0,
            believe_counters: true,
            free_builds: false,
            banned: BTreeMap::new(),
            previous: None,
        }
    }
}

/// Share of the time of all statements under the choice that an index has to save in the automatic run: what
/// saves less is no work for anybody, and each index is one more thing to look after.
pub const MIN_SHARE: f64 = 1e-5;

/// What room costs where no budget says so: indexes as large as all tables concerned have to
/// save a tenth of the time that is left. By the square-root rule of caches (misses grow with
/// the root of what competes for them; A. Hartstein et al., JILP 10, 2008), twice the data
/// make four tenths more misses, and a quarter of the time is what misses take where memory
/// is short; disk, WAL and vacuum's time come on top.
pub const STORAGE_SHARE: f64 = 0.1;

/// Milliseconds for a planner cost unit on a present-day host with data in memory: a page of
/// a sequential scan, some 5–20 µs. Replaced by what is measured as soon as something is.
pub const MS_PER_UNIT: f64 = 0.01;
