//! The settings (`indexpilot.*`): every one with its unit, its range, the reason for its
//! default, and the way it becomes a field of the immutable [`indexpilot_model::Config`].

use crate::pg::guc;
use indexpilot_model::Config;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);

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
    guc::reserve_prefix(c"indexpilot");
}

/// The configuration as this process sees it now.
pub fn current() -> Config {
    Config {
        enabled: ENABLED.get(),
        ..Config::default()
    }
}
