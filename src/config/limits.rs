//! Settings that limit what is recommended and what the worker does.

use super::text;
use crate::pg::guc::{self, Checked};
use indexpilot_model::Config;
use indexpilot_model::goal::parse_goals;
use indexpilot_model::setting::{Refusal, check_budget, parse_statements};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

static STORAGE_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(-1);
static MAX_INDEXES_PER_TABLE: GucSetting<i32> = GucSetting::<i32>::new(10);
static MAX_COLUMNS_PER_INDEX: GucSetting<i32> = GucSetting::<i32>::new(4);
static MIN_IMPROVEMENT: GucSetting<f64> = GucSetting::<f64>::new(20.0);
static MAX_REGRESSION: GucSetting<f64> = GucSetting::<f64>::new(10.0);
static MAX_WRITE_OVERHEAD: GucSetting<f64> = GucSetting::<f64>::new(20.0);
static GOALS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static PROTECTED_STATEMENTS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
static CPU_LIMIT: GucSetting<f64> = GucSetting::<f64>::new(80.0);
static COOLDOWN: GucSetting<i32> = GucSetting::<i32>::new(30);
static MAX_BUILDS_PER_HOUR: GucSetting<i32> = GucSetting::<i32>::new(4);
static MAX_BUILDS_PER_DAY: GucSetting<i32> = GucSetting::<i32>::new(20);
static LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(1_000);
static BUILD_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(3_600);

static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);

/// `indexpilot.max_workers`.
pub fn max_workers() -> usize {
    usize::try_from(MAX_WORKERS.get()).unwrap_or(1)
}

struct Budget;

impl Checked<i32> for Budget {
    fn check(value: &i32) -> Result<(), Refusal> {
        check_budget(*value).map(drop)
    }
}

struct Goals;

impl Checked<str> for Goals {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_goals(value).map(drop)
    }
}

struct Statements;

impl Checked<str> for Statements {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_statements(value).map(drop)
    }
}

/// Puts the settings of this file into the configuration; percentages become shares.
pub(super) fn read(config: &mut Config) {
    config.storage_budget = check_budget(STORAGE_BUDGET.get()).unwrap_or_default();
    config.max_indexes_per_table = MAX_INDEXES_PER_TABLE.get().unsigned_abs();
    config.max_columns_per_index = MAX_COLUMNS_PER_INDEX.get().unsigned_abs();
    config.min_improvement = MIN_IMPROVEMENT.get() / 100.0;
    config.max_regression = MAX_REGRESSION.get() / 100.0;
    config.max_write_overhead = MAX_WRITE_OVERHEAD.get() / 100.0;
    config.goals = parse_goals(&text(&GOALS)).unwrap_or_default();
    config.protected_statements =
        parse_statements(&text(&PROTECTED_STATEMENTS)).unwrap_or_default();
    config.cpu_limit = CPU_LIMIT.get() / 100.0;
    config.cooldown = COOLDOWN.get().unsigned_abs();
    config.max_builds_per_hour = MAX_BUILDS_PER_HOUR.get().unsigned_abs();
    config.max_builds_per_day = MAX_BUILDS_PER_DAY.get().unsigned_abs();
    config.lock_timeout = LOCK_TIMEOUT.get().unsigned_abs();
    config.build_timeout = BUILD_TIMEOUT.get().unsigned_abs();
}

pub(super) fn define() {
    define_selection();
    define_worker();
}

fn define_selection() {
    // Default no limit: we do not know the disk; the worker looks at the space that is free.
    // The range is the type's so that a negative amount is refused with a reason, not a range.
    guc::define_int::<Budget>(
        c"indexpilot.storage_budget",
        c"Disk space for all indexes that IndexPilot builds in a database; -1 is no limit.",
        c"Recommendations are chosen to fit, and nothing is built beyond it.",
        &STORAGE_BUDGET,
        (i32::MIN, i32::MAX),
        GucContext::Suset,
        GucFlags::UNIT_MB,
    );
    // Default 10: beyond it each write touches more index pages than table pages in common
    // schemas; tables that have more keep them, and get no further one from us.
    GucRegistry::define_int_guc(
        c"indexpilot.max_indexes_per_table",
        c"Most indexes a table may have, existing ones included, for another to be proposed.",
        c"Existing indexes beyond it are left alone.",
        &MAX_INDEXES_PER_TABLE,
        0,
        1000,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 4: wider keys seldom serve a second statement and deduplicate badly. 32 is the
    // server's own limit (INDEX_MAX_KEYS).
    GucRegistry::define_int_guc(
        c"indexpilot.max_columns_per_index",
        c"Most key columns of a proposed index.",
        c"Columns that are only included do not count.",
        &MAX_COLUMNS_PER_INDEX,
        1,
        32,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 20 %: the planner's costs are estimates, and smaller gains are often not there
    // when they are measured.
    GucRegistry::define_float_guc(
        c"indexpilot.min_improvement",
        c"Least improvement of the statements concerned for an index to be proposed, in percent.",
        c"Of their estimated time with the indexes there are.",
        &MIN_IMPROVEMENT,
        0.0,
        100.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 10 %: less is within what the same statement varies by from day to day.
    GucRegistry::define_float_guc(
        c"indexpilot.max_regression",
        c"Most that a statement may get slower by an action, in percent.",
        c"Estimated before, measured after: an action that slows a statement by more is undone.",
        &MAX_REGRESSION,
        0.0,
        1000.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty: which statements somebody waits for only the operator knows.
    guc::define_text::<Statements>(
        c"indexpilot.protected_statements",
        c"Statements that no action may make slower, by their ids in the view statements, separated by commas.",
        c"However seldom they run: nothing is chosen with which the planner would take longer, and what slows them measurably by more than max_regression is undone.",
        &PROTECTED_STATEMENTS,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 20 %: about what one more B-tree costs an INSERT into a table that has a few.
    GucRegistry::define_float_guc(
        c"indexpilot.max_write_overhead",
        c"Most that the writes of a table may get dearer by an action, in percent.",
        c"Estimated before, measured after.",
        &MAX_WRITE_OVERHEAD,
        0.0,
        1000.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty, which weighs statements, upkeep, room and builds in milliseconds a day: who
    // has no other order in mind is served best by the price of everything.
    guc::define_text::<Goals>(
        c"indexpilot.goals",
        c"Ordered goals of the choice of indexes with tolerances, separated by commas; empty weighs everything in time.",
        c"For example 'total_cost 10%, index_bytes': the least room at which statements take at most a tenth more time than they could. The goals are total_cost, max_cost, index_bytes, index_count and write_cost.",
        &GOALS,
        GucContext::Suset,
        GucFlags::default(),
    );
}

fn define_worker() {
    // Default 2: workers come out of max_worker_processes (8 by default), which parallel
    // queries need too, and one database seldom has work for longer than seconds.
    GucRegistry::define_int_guc(
        c"indexpilot.max_workers",
        c"Sets how many databases IndexPilot works in at the same time.",
        c"Each takes one of max_worker_processes while there is work, and the launcher one more.",
        &MAX_WORKERS,
        1,
        64,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // Default 80 %: a build adds up to one core of load for each of its workers.
    GucRegistry::define_float_guc(
        c"indexpilot.cpu_limit",
        c"Share of the host's CPU in use above which the worker starts nothing, in percent.",
        c"100 looks at no load.",
        &CPU_LIMIT,
        1.0,
        100.0,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // Default 30 s: long enough for load and replication to show what the last action did.
    GucRegistry::define_int_guc(
        c"indexpilot.cooldown",
        c"Least time between two actions of the worker in a database.",
        c"Actions that an operator asks for do not wait.",
        &COOLDOWN,
        0,
        24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    // Defaults 4 and 20: what verification can tell apart; more at once would leave it open
    // which index changed what.
    GucRegistry::define_int_guc(
        c"indexpilot.max_builds_per_hour",
        c"Most indexes built in an hour by the worker of a database.",
        c"0 builds nothing.",
        &MAX_BUILDS_PER_HOUR,
        0,
        1000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"indexpilot.max_builds_per_day",
        c"Most indexes built in a day by the worker of a database.",
        c"0 builds nothing.",
        &MAX_BUILDS_PER_DAY,
        0,
        10_000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // Default 1 s, the server's default deadlock_timeout: whoever waits for us longer could be
    // chosen as the victim of a deadlock.
    GucRegistry::define_int_guc(
        c"indexpilot.lock_timeout",
        c"Longest that the worker waits for a lock.",
        c"It then gives up, and tries again later.",
        &LOCK_TIMEOUT,
        1,
        60_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    // Default 1 hour: long enough for a table of some hundred GB, short enough for the window.
    GucRegistry::define_int_guc(
        c"indexpilot.build_timeout",
        c"Longest that one build, drop or rebuild of an index may take.",
        c"It is then cancelled and its leftover dropped.",
        &BUILD_TIMEOUT,
        1,
        7 * 24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
}
