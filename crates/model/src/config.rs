//! The configuration: one immutable value, made from the GUCs by `src/config` and handed
//! to whoever decides. Pure code never reads a setting from anywhere else.

use crate::goal::OrderedGoal;
use crate::identifier::QualifiedName;
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

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// In the first window of a week (Monday to Sunday, local time).
    Weekly,
    /// In the first window of a month.
    Monthly,
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

/// Schemas that are never touched, beside `pg_toast…` and `pg_temp…`.
const NEVER: [&str; 3] = ["pg_catalog", "information_schema", "indexpilot"];

/// The include and exclude lists. What is excluded counts more; where an include list is not
/// empty, a table has to be in one of them, by itself or with its schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// `indexpilot.include_schemas`.
    pub include_schemas: Vec<String>,
    /// `indexpilot.exclude_schemas`.
    pub exclude_schemas: Vec<String>,
    /// `indexpilot.include_tables`.
    pub include_tables: Vec<QualifiedName>,
    /// `indexpilot.exclude_tables`.
    pub exclude_tables: Vec<QualifiedName>,
}

impl Scope {
    /// Whether a schema is the system's or ours, which no list can include.
    pub fn is_system(schema: &str) -> bool {
        NEVER.contains(&schema) || schema.starts_with("pg_toast") || schema.starts_with("pg_temp")
    }

    /// Whether a table is looked after.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn admits(&self, schema: &str, table: &str) -> Result<(), String> {
        if Self::is_system(schema) {
            return Err(format!("schema \"{schema}\" is never touched"));
        }
        let listed = |tables: &[QualifiedName]| {
            tables
                .iter()
                .any(|name| name.schema == schema && name.name == table)
        };
        let schema_listed = |schemas: &[String]| schemas.iter().any(|name| name == schema);
        if schema_listed(&self.exclude_schemas) {
            return Err(format!(
                "schema \"{schema}\" is in \"indexpilot.exclude_schemas\""
            ));
        }
        if listed(&self.exclude_tables) {
            return Err(format!(
                "table \"{schema}\".\"{table}\" is in \"indexpilot.exclude_tables\""
            ));
        }
        if schema_listed(&self.include_schemas) || listed(&self.include_tables) {
            return Ok(());
        }
        match (
            self.include_schemas.is_empty(),
            self.include_tables.is_empty(),
        ) {
            (true, true) => Ok(()),
            (false, true) => Err(format!(
                "schema \"{schema}\" is not in \"indexpilot.include_schemas\""
            )),
            (true, false) => Err(format!(
                "table \"{schema}\".\"{table}\" is not in \"indexpilot.include_tables\""
            )),
            (false, false) => Err(format!(
                "table \"{schema}\".\"{table}\" is in neither \"indexpilot.include_schemas\" nor \"indexpilot.include_tables\""
            )),
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
    /// `indexpilot.bloat_threshold`, share 0… by which an index may be larger a row than it
    /// was at its best.
    pub bloat_threshold: f64,
    /// `indexpilot.reindex_min_size`, bytes below which no index is rebuilt.
    pub reindex_min_size: u64,
    /// `indexpilot.reindex_schedule`.
    pub reindex_schedule: Schedule,
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
    /// `indexpilot.protected_statements`: UUIDs of statements, in the server's spelling.
    pub protected_statements: Vec<String>,
    /// `indexpilot.max_write_overhead`, share 0…1 by which a table's writes may get dearer.
    pub max_write_overhead: f64,
    /// `indexpilot.goals`, in order; empty: the time that statements and writes take.
    pub goals: Vec<OrderedGoal>,
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
    /// Which tables are looked after.
    pub scope: Scope,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            off: ModuleSet::NONE,
            create_index: Stage::Advise,
            drop_index: Stage::Advise,
            reindex: Stage::Advise,
            bloat_threshold: 0.5,
            reindex_min_size: 16 << 20,
            reindex_schedule: Schedule::Weekly,
            storage_budget: None,
            max_indexes_per_table: 10,
            max_columns_per_index: 4,
            min_improvement: 0.20,
            max_regression: 0.10,
            max_write_overhead: 0.20,
            goals: Vec::new(),
            protected_statements: Vec::new(),
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
            scope: Scope::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_schemas_and_tables() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let tables = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(schema, name)| QualifiedName::new(*schema, *name))
                .collect()
        };
        let mut scope = Scope::default();
        assert!(scope.admits("crm", "contacts").is_ok());
        assert!(scope.admits("pg_toast", "x").is_err());
        assert!(scope.admits("indexpilot", "job").is_err());
        scope.include_tables = tables(&[("shop", "orders")]);
        assert!(scope.admits("crm", "contacts").is_err());
        assert!(scope.admits("shop", "orders").is_ok());
        assert!(scope.admits("shop", "items").is_err());
        scope.include_schemas = names(&["crm"]);
        assert!(scope.admits("crm", "contacts").is_ok());
        scope.exclude_tables = tables(&[("crm", "contacts")]);
        assert!(scope.admits("crm", "contacts").is_err());
        assert!(scope.admits("crm", "notes").is_ok());
        scope.exclude_schemas = names(&["shop"]);
        assert!(scope.admits("shop", "orders").is_err());
    }
}
