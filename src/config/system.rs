//! Settings of the whole server: whether IndexPilot runs at all, and which modules do.

use crate::pg::guc::{self, Checked};
use crate::pg::{process, switch};
use indexpilot_model::ModuleSet;
use indexpilot_model::setting::{Refusal, parse_modules};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

static STARTUP: GucSetting<bool> = GucSetting::<bool>::new(true);
static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static DISABLED_MODULES: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));

/// `indexpilot.startup`, which counts while the library is loaded.
pub fn starts_idle() -> bool {
    !STARTUP.get()
}

struct Enabled;

impl Checked<bool> for Enabled {
    fn assigned(value: &bool) {
        switch::set_enabled(*value);
    }
}

struct DisabledModules;

impl Checked<str> for DisabledModules {
    fn check(value: &str) -> Result<(), Refusal> {
        parse_modules(value).map(drop)
    }

    fn assigned(value: &str) {
        switch::set_disabled_modules(parse_modules(value).unwrap_or(ModuleSet::NONE));
    }
}

pub(super) fn define() {
    // Only the start of the server can take hooks and shared memory, and PGC_POSTMASTER
    // settings cannot be defined later.
    if process::preloading() {
        // Default on: who puts the library into shared_preload_libraries wants it to run. Off
        // is for a server that has to come up without us while the line stays where it is.
        GucRegistry::define_bool_guc(
            c"indexpilot.startup",
            c"Lets IndexPilot take its hooks, shared memory and workers when the server starts.",
            c"Off loads the library and does nothing; INDEXPILOT_BYPASS=1 in the server's environment does the same.",
            &STARTUP,
            GucContext::Postmaster,
            GucFlags::default(),
        );
    }
    // Default on: who loads the library wants it to watch. Reloadable, and for the whole
    // server, so that one ALTER SYSTEM and a reload stop everything.
    guc::define_bool::<Enabled>(
        c"indexpilot.enabled",
        c"Lets IndexPilot watch and act.",
        c"Off stops capture, advice and the worker at once, without a restart, also in sessions that are busy.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // Default none: modules are switched off to find out which one is to blame for something.
    guc::define_text::<DisabledModules>(
        c"indexpilot.disabled_modules",
        c"Names of modules that are switched off in the whole server, separated by commas.",
        c"Takes effect at reload, also in sessions that are busy. The modules are capture, advisor, worker, lineage and genome.",
        &DISABLED_MODULES,
        GucContext::Sighup,
        GucFlags::default(),
    );
}
