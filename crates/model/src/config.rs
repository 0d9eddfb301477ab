//! The configuration: one immutable value, made from the GUCs by `src/config` and handed
//! to whoever decides. Pure code never reads a setting from anywhere else.

use crate::module::ModuleSet;
use serde::{Deserialize, Serialize};

/// How far an action goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Not considered.
    Off,
    /// Recommended only.
    Advise,
    /// Done under the safeguards.
    Auto,
}

/// One daily span in which the worker may act, in minutes after midnight. An end before
/// the start spans midnight; equal ends mean the whole day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// First minute, 0…1439.
    pub start: u16,
    /// First minute after it, 0…1440.
    pub end: u16,
    /// Days on which it starts: bit 0 Monday … bit 6 Sunday.
    pub days: u8,
}

impl Default for MaintenanceWindow {
    fn default() -> Self {
        MaintenanceWindow {
            start: 120,
            end: 360,
            days: 0b111_1111,
        }
    }
}

/// All settings that decisions depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Whether anything at all is on here: false when `indexpilot.enabled` or `disable()` has
    /// switched everything off, or nothing is known of this database yet.
    pub enabled: bool,
    /// Modules and features that are off in this database, by `indexpilot.disabled_modules`
    /// or `indexpilot.disable()`; all of them where everything is off.
    pub off: ModuleSet,
    /// `indexpilot.create_index`.
    pub create_index: Stage,
    /// `indexpilot.drop_index`.
    pub drop_index: Stage,
    /// `indexpilot.reindex`.
    pub reindex: Stage,
    /// `indexpilot.storage_budget`, bytes for all indexes we build in this database;
    /// `None` is no limit.
    pub storage_budget: Option<u64>,
    /// `indexpilot.max_indexes_per_table`, existing ones included.
    pub max_indexes_per_table: u32,
    /// `indexpilot.max_columns_per_index`, keys.
    pub max_columns_per_index: u32,
    /// `indexpilot.min_improvement`, share 0…1 of the cost of the statements concerned.
    pub min_improvement: f64,
    /// `indexpilot.max_regression`, share 0…1 by which an important statement may get worse.
    pub max_regression: f64,
    /// `indexpilot.max_write_overhead`, share 0…1 by which a table's writes may get dearer.
    pub max_write_overhead: f64,
    /// `indexpilot.maintenance_window` and `maintenance_days`.
    pub maintenance_window: MaintenanceWindow,
    /// `indexpilot.cpu_limit`, share 0…1 of the host's CPU above which nothing is started.
    pub cpu_limit: f64,
    /// `indexpilot.cooldown`, seconds between two actions.
    pub cooldown: u32,
    /// `indexpilot.max_builds_per_hour`.
    pub max_builds_per_hour: u32,
    /// `indexpilot.max_builds_per_day`.
    pub max_builds_per_day: u32,
    /// `indexpilot.lock_timeout`, milliseconds.
    pub lock_timeout: u32,
    /// `indexpilot.build_timeout`, seconds.
    pub build_timeout: u32,
    /// `indexpilot.analysis_interval`, seconds.
    pub analysis_interval: u32,
    /// `indexpilot.flush_interval`, seconds.
    pub flush_interval: u32,
    /// `indexpilot.retention`, days of history.
    pub retention: u32,
    /// `indexpilot.include_schemas`; empty is every schema.
    pub include_schemas: Vec<String>,
    /// `indexpilot.exclude_schemas`; the system's are always excluded.
    pub exclude_schemas: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            off: ModuleSet::NONE,
            create_index: Stage::Advise,
            drop_index: Stage::Advise,
            reindex: Stage::Advise,
            storage_budget: None,
            max_indexes_per_table: 10,
            max_columns_per_index: 4,
            min_improvement: 0.20,
            max_regression: 0.10,
            max_write_overhead: 0.20,
            maintenance_window: MaintenanceWindow::default(),
            cpu_limit: 0.80,
            cooldown: 30,
            max_builds_per_hour: 4,
            max_builds_per_day: 20,
            lock_timeout: 1_000,
            build_timeout: 3_600,
            analysis_interval: 900,
            flush_interval: 5,
            retention: 31,
            include_schemas: Vec::new(),
            exclude_schemas: Vec::new(),
        }
    }
}
