//! The settings (`indexpilot.*`): every one with its unit, its range, the reason for its
//! default, and the way it becomes a field of the immutable [`indexpilot_model::Config`].
//!
//! Three levels of who may set what: what holds for the host or is read by the launcher is
//! SIGHUP (postgresql.conf, ALTER SYSTEM); what may differ by database or role is SUSET
//! (ALTER DATABASE … SET); only what a session says about itself is USERSET. A setting that
//! does nothing is not declared.

mod actions;
mod capture;
mod limits;
#[cfg(feature = "stop-points")]
mod stop;
mod system;

pub use capture::{capture_sizes, sample_parameters};
pub use limits::max_workers;
pub use system::starts_idle;

#[cfg(feature = "stop-points")]
pub use stop::stop_at;

use crate::pg::{guc, process, switch};
use indexpilot_model::config::Stage;
use indexpilot_model::{Config, Module, ModuleSet};
use pgrx::guc::GucSetting;
use std::ffi::CString;

/// Defines all settings. Called once, from `_PG_init`.
pub fn define() {
    system::define();
    actions::define();
    capture::define();
    limits::define();
    #[cfg(feature = "stop-points")]
    stop::define();
    guc::reserve_prefix(c"indexpilot");
}

/// The configuration as this process sees it now, with what is switched off taken out: a
/// feature that is off has [`Stage::Off`].
pub fn current() -> Config {
    let off = match switch::off_in_server() {
        None => ModuleSet::ALL,
        // The launcher is connected to no database, and looks at each one's switches itself.
        Some(server) if process::database() == 0 => server,
        Some(server) => server.or(switch::off_in_database().unwrap_or(ModuleSet::ALL)),
    };
    let stage = |module: Module, set: Stage| {
        if off.contains(module) {
            Stage::Off
        } else {
            set
        }
    };
    let mut config = Config {
        enabled: off != ModuleSet::ALL,
        off,
        ..Config::default()
    };
    actions::read(&mut config);
    limits::read(&mut config);
    config.create_index = stage(Module::CreateIndex, config.create_index);
    config.drop_index = stage(Module::DropIndex, config.drop_index);
    config.reindex = stage(Module::Reindex, config.reindex);
    config
}

/// What the settings of the whole server switch off, as this process has read them.
pub fn server_off() -> ModuleSet {
    switch::configured()
}

/// The stages that the settings ask for, whatever is switched off beside them.
pub fn stages() -> [(Module, Stage); 3] {
    let mut config = Config::default();
    actions::read(&mut config);
    [
        (Module::CreateIndex, config.create_index),
        (Module::DropIndex, config.drop_index),
        (Module::Reindex, config.reindex),
    ]
}

/// A text setting's value; the check hook has seen that it is UTF-8.
fn text(setting: &GucSetting<Option<CString>>) -> String {
    setting
        .get()
        .map_or_else(String::new, |text| text.to_string_lossy().into_owned())
}
