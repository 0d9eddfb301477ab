//! `indexpilot.stop_at`: in libraries built for tests only, the worker stops at named points
//! while it is set, so that faults hit the phase they are meant for.

use crate::pg::worker_entry;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::time::Duration;

static STOP_AT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

pub(super) fn define() {
    GucRegistry::define_string_guc(
        c"indexpilot.stop_at",
        c"Stops the worker at a named point while it is set.",
        c"For tests.",
        &STOP_AT,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

/// Waits while the setting names this point. Outside a transaction; a cancel ends it as it
/// ends a statement.
pub fn stop_at(name: &str) {
    let here = || {
        STOP_AT
            .get()
            .is_some_and(|text| text.to_bytes() == name.as_bytes())
    };
    if here() {
        pgrx::log!("stop point: {name}");
    }
    while here() {
        worker_entry::report_activity(Some(&format!("stop point: {name}")));
        if let Err(error) = worker_entry::wait(Duration::from_millis(100)) {
            pgrx::error!("{error}");
        }
    }
}
