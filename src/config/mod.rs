//! The settings (`indexpilot.*`): every one with its unit, its range, the reason for its
//! default, and the way it becomes a field of the immutable [`indexpilot_model::Config`].

use crate::pg::guc;
use indexpilot_model::Config;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);

/// Defines all settings. Called once, from `_PG_init`.
pub fn define() {
    // Default on: who loads the library wants it to watch. Reloadable, host-wide, so that
    // one ALTER SYSTEM and a reload stop everything.
    GucRegistry::define_bool_guc(
        c"indexpilot.enabled",
        c"Lets IndexPilot watch and act.",
        c"Off stops capture, advice and the worker at once, without a restart.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
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
    guc::reserve_prefix(c"indexpilot");
}

/// The configuration as this process sees it now.
pub fn current() -> Config {
    Config {
        enabled: ENABLED.get(),
        ..Config::default()
    }
}

/// `indexpilot.max_workers`.
pub fn max_workers() -> usize {
    usize::try_from(MAX_WORKERS.get()).unwrap_or(1)
}
