//! The first decision: whether the library takes hooks, shared memory and workers at all.

use crate::config;
use crate::pg::{process, switch};
use indexpilot_model::ModuleSet;
use pgrx::prelude::*;
use std::sync::OnceLock;

/// Why the library was loaded and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Loaded by a session when it called one of our functions: too late for hooks.
    NotPreloaded,
    /// `indexpilot.startup = off`.
    StartupOff,
    /// `INDEXPILOT_BYPASS` in the server's environment.
    Environment,
    /// pg_upgrade runs the server; a worker's connection would make it fail.
    BinaryUpgrade,
    /// Single-user mode has no workers, and is for repairs.
    SingleUser,
}

impl Idle {
    /// The reason in a sentence, for `status()` and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Idle::NotPreloaded => "indexpilot is not in shared_preload_libraries",
            Idle::StartupOff => "indexpilot.startup is off",
            Idle::Environment => "INDEXPILOT_BYPASS is set in the server's environment",
            Idle::BinaryUpgrade => "pg_upgrade runs this server",
            Idle::SingleUser => "the server runs in single-user mode",
        }
    }
}

static DECIDED: OnceLock<Option<Idle>> = OnceLock::new();

/// Why this process does nothing, if so.
pub fn idle() -> Option<Idle> {
    DECIDED.get().copied().unwrap_or(Some(Idle::NotPreloaded))
}

/// Decides, after the settings are defined; true when hooks and workers are to be taken.
/// Installs the switches that they read.
pub fn begin() -> bool {
    let decision = decide();
    if DECIDED.set(decision).is_err() {
        return false;
    }
    match decision {
        None => {
            switch::install(log_change);
            let version = env!("CARGO_PKG_VERSION");
            let off = config::server_off();
            ereport!(
                PgLogLevel::LOG,
                PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
                format!("indexpilot {version} starts, {}", describe(off))
            );
        }
        // A session that merely calls a function is told by the function where it matters.
        Some(Idle::NotPreloaded) => {}
        Some(idle) => {
            ereport!(
                PgLogLevel::LOG,
                PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
                format!("indexpilot stays idle: {}", idle.reason())
            );
        }
    }
    decision.is_none()
}

fn decide() -> Option<Idle> {
    // Set and not empty: INDEXPILOT_BYPASS=0 means what it says.
    let bypass = std::env::var("INDEXPILOT_BYPASS");
    if process::in_binary_upgrade() {
        Some(Idle::BinaryUpgrade)
    } else if process::is_single_user() {
        Some(Idle::SingleUser)
    } else if !process::preloading() {
        Some(Idle::NotPreloaded)
    } else if bypass.is_ok_and(|value| !matches!(value.as_str(), "" | "0")) {
        Some(Idle::Environment)
    } else if config::starts_idle() {
        Some(Idle::StartupOff)
    } else {
        None
    }
}

/// What is off, in words for the log.
fn describe(off: ModuleSet) -> String {
    if off == ModuleSet::ALL {
        return "switched off by indexpilot.enabled".into();
    }
    let names: Vec<&str> = indexpilot_model::module::MODULES
        .into_iter()
        .filter(|module| off.contains(*module))
        .map(|module| module.name())
        .collect();
    if names.is_empty() {
        "switched on".into()
    } else {
        format!("switched on, but for {}", names.join(", "))
    }
}

/// Called in the postmaster after a reload has switched something.
fn log_change(_before: ModuleSet, after: ModuleSet) {
    ereport!(
        PgLogLevel::LOG,
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        format!("indexpilot is {}", describe(after))
    );
}
