//! Settings on what IndexPilot does by itself, how far it goes, and when.

use super::text;
use crate::pg::guc::{self, Checked};
use indexpilot_model::Config;
use indexpilot_model::config::{Schedule, Scope, Stage};
use indexpilot_model::setting::{
    Refusal, maintenance_window, parse_days, parse_names, parse_tables, parse_window,
};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::CString;

/// [`Stage`] as the values of an enum setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
enum StageSetting {
    /// Not considered.
    #[name = c"off"]
    Off,
    /// Recommended only.
    #[name = c"advise"]
    Advise,
    /// Done under the safeguards.
    #[name = c"auto"]
    Auto,
}

impl From<StageSetting> for Stage {
    fn from(setting: StageSetting) -> Self {
        match setting {
            StageSetting::Off => Stage::Off,
            StageSetting::Advise => Stage::Advise,
            StageSetting::Auto => Stage::Auto,
        }
    }
}

/// [`Schedule`] as the values of an enum setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
enum ScheduleSetting {
    /// Once a week.
    #[name = c"weekly"]
    Weekly,
    /// Once a month.
    #[name = c"monthly"]
    Monthly,
}

impl From<ScheduleSetting> for Schedule {
    fn from(setting: ScheduleSetting) -> Self {
        match setting {
            ScheduleSetting::Weekly => Schedule::Weekly,
            ScheduleSetting::Monthly => Schedule::Monthly,
        }
    }
}

static CREATE_INDEX: GucSetting<StageSetting> =
    GucSetting::<StageSetting>::new(StageSetting::Advise);
static DROP_INDEX: GucSetting<StageSetting> = GucSetting::<StageSetting>::new(StageSetting::Advise);
static REINDEX: GucSetting<StageSetting> = GucSetting::<StageSetting>::new(StageSetting::Advise);
static MAINTENANCE_WINDOW: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"02:00-06:00"));
static MAINTENANCE_DAYS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"all"));
static INCLUDE_SCHEMAS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static EXCLUDE_SCHEMAS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static INCLUDE_TABLES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static EXCLUDE_TABLES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static REINDEX_SCHEDULE: GucSetting<ScheduleSetting> =
    GucSetting::<ScheduleSetting>::new(ScheduleSetting::Weekly);
static BLOAT_THRESHOLD: GucSetting<f64> = GucSetting::<f64>::new(50.0);
static REINDEX_MIN_SIZE: GucSetting<i32> = GucSetting::<i32>::new(16);
static ANALYSIS_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(900);
static FLUSH_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(5);
static RETENTION: GucSetting<i32> = GucSetting::<i32>::new(31 * MINUTES_A_DAY);

const MINUTES_A_DAY: i32 = 24 * 60;

struct Window;

impl Checked<str> for Window {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_window(value).map(drop)
    }
}

struct Days;

impl Checked<str> for Days {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_days(value).map(drop)
    }
}

struct Names;

impl Checked<str> for Names {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_names(value).map(drop)
    }
}

struct Tables;

impl Checked<str> for Tables {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_tables(value).map(drop)
    }
}

/// Puts the settings of this file into the configuration. The texts have passed their checks.
pub(super) fn read(config: &mut Config) {
    config.create_index = CREATE_INDEX.get().into();
    config.drop_index = DROP_INDEX.get().into();
    config.reindex = REINDEX.get().into();
    config.maintenance_window =
        maintenance_window(&text(&MAINTENANCE_WINDOW), &text(&MAINTENANCE_DAYS))
            .unwrap_or_default();
    config.scope = Scope {
        include_schemas: parse_names(&text(&INCLUDE_SCHEMAS)).unwrap_or_default(),
        exclude_schemas: parse_names(&text(&EXCLUDE_SCHEMAS)).unwrap_or_default(),
        include_tables: parse_tables(&text(&INCLUDE_TABLES)).unwrap_or_default(),
        exclude_tables: parse_tables(&text(&EXCLUDE_TABLES)).unwrap_or_default(),
    };
    config.reindex_schedule = REINDEX_SCHEDULE.get().into();
    config.bloat_threshold = BLOAT_THRESHOLD.get() / 100.0;
    config.reindex_min_size = u64::from(REINDEX_MIN_SIZE.get().unsigned_abs()) << 20;
    config.analysis_interval = ANALYSIS_INTERVAL.get().unsigned_abs();
    config.flush_interval = FLUSH_INTERVAL.get().unsigned_abs();
    config.retention = RETENTION.get().div_euclid(MINUTES_A_DAY).unsigned_abs();
}

pub(super) fn define() {
    define_stages();
    define_schedule();
    define_reindex();
    define_scope();
}

fn define_stages() {
    // The three defaults are advise: nothing is changed on a server before somebody has read
    // what would be, and has said so for each kind of action.
    GucRegistry::define_enum_guc(
        c"indexpilot.create_index",
        c"How far IndexPilot goes with building indexes.",
        c"off: not considered. advise: recommended only. auto: built under the safeguards, measured, and undone where it did not pay.",
        &CREATE_INDEX,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"indexpilot.drop_index",
        c"How far IndexPilot goes with dropping indexes.",
        c"off: not considered. advise: recommended only. auto: dropped under the safeguards; the definition is kept, and the drop is undone where it hurt.",
        &DROP_INDEX,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"indexpilot.reindex",
        c"How far IndexPilot goes with rebuilding bloated indexes.",
        c"off: not considered. advise: recommended only. auto: rebuilt concurrently, in the maintenance window.",
        &REINDEX,
        GucContext::Suset,
        GucFlags::default(),
    );
}

fn define_schedule() {
    // Default 02:00-06:00: the hours in which most databases of one time zone are idle.
    guc::define_text::<Window>(
        c"indexpilot.maintenance_window",
        c"Span of the day in which the worker may act by itself, in the server's time zone.",
        c"Two times, as '02:00-06:00'; across midnight, as '22:30-05:00'; or 'always'.",
        &MAINTENANCE_WINDOW,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default all: a window that does not come for days makes recommendations grow stale.
    guc::define_text::<Days>(
        c"indexpilot.maintenance_days",
        c"Days of the week on which the maintenance window opens.",
        c"Days or spans of days, as 'mon-fri' or 'sat,sun'; or 'all'. A window across midnight belongs to the day it opens on.",
        &MAINTENANCE_DAYS,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 15 minutes: workloads change with the hour, and an analysis of thousands of
    // statements costs seconds of CPU.
    GucRegistry::define_int_guc(
        c"indexpilot.analysis_interval",
        c"Time between two analyses of the workload by the worker.",
        c"analyze() asks for one at once.",
        &ANALYSIS_INTERVAL,
        10,
        7 * 24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    // Default 5 s: that much is lost in a crash, and one write for each statement and field
    // seen in 5 s is cheap.
    GucRegistry::define_int_guc(
        c"indexpilot.flush_interval",
        c"Time between two writings of the counters from shared memory into tables.",
        c"A crash of the server loses at most what was counted in this time.",
        &FLUSH_INTERVAL,
        1,
        3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    // Default 31 days: a month's end comes into view once before its numbers go.
    GucRegistry::define_int_guc(
        c"indexpilot.retention",
        c"How long statistics of statements and fields are kept.",
        c"The mutation log is not pruned by it.",
        &RETENTION,
        MINUTES_A_DAY,
        3650 * MINUTES_A_DAY,
        GucContext::Suset,
        GucFlags::UNIT_MIN,
    );
}

fn define_reindex() {
    // Default weekly: an index swells over weeks, and the window comes around often enough to
    // rebuild a few each time.
    GucRegistry::define_enum_guc(
        c"indexpilot.reindex_schedule",
        c"How often bloated indexes are looked for.",
        c"In the first maintenance window of a week (from Monday) or of a month.",
        &REINDEX_SCHEDULE,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 50 %: leaves that split are a third empty in the long run, which is no bloat.
    GucRegistry::define_float_guc(
        c"indexpilot.bloat_threshold",
        c"How much larger a row an index may be than at its best before it is rebuilt, in percent.",
        c"At its best is the smallest size per live row that was seen since it was last built.",
        &BLOAT_THRESHOLD,
        5.0,
        10_000.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 16 MB: what is smaller fits into any cache, bloated or not.
    GucRegistry::define_int_guc(
        c"indexpilot.reindex_min_size",
        c"Size below which no index is rebuilt.",
        c"0 looks at every index.",
        &REINDEX_MIN_SIZE,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MB,
    );
}

fn define_scope() {
    // Default empty: every schema of users is looked after.
    guc::define_text::<Names>(
        c"indexpilot.include_schemas",
        c"Schemas to look after, separated by commas; empty is every schema.",
        c"Those of the system, of extensions and of IndexPilot itself are never looked after.",
        &INCLUDE_SCHEMAS,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty: leaving a schema out is a decision of the operator.
    guc::define_text::<Names>(
        c"indexpilot.exclude_schemas",
        c"Schemas to leave alone, separated by commas.",
        c"Counts more than include_schemas.",
        &EXCLUDE_SCHEMAS,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty: every table of the schemas looked after.
    guc::define_text::<Tables>(
        c"indexpilot.include_tables",
        c"Tables to look after beside those of include_schemas, as schema.table, separated by commas.",
        c"Where both lists are empty, all tables are looked after.",
        &INCLUDE_TABLES,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty: leaving a table out is a decision of the operator.
    guc::define_text::<Tables>(
        c"indexpilot.exclude_tables",
        c"Tables to leave alone, as schema.table, separated by commas.",
        c"Counts more than the lists of what to include.",
        &EXCLUDE_TABLES,
        GucContext::Suset,
        GucFlags::default(),
    );
}
