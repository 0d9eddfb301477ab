//! Capture: what statements do with which field, counted inside the server.
//!
//! Backends count in shared memory (`pg::hooks`, `pg::shmem`); the worker saves
//! ([`flush()`]); tables and views show.

pub mod fields;
pub mod flush;
mod moment;

pub use flush::{flush, unsaved};

use crate::config;
use crate::pg::hooks;

/// Installs the hooks. From `_PG_init`, after the settings were defined.
pub fn install() {
    hooks::install(hooks::Callbacks {
        sizes: config::capture_sizes,
        sample_parameters: samples_parameters,
    });
}

/// Whether parameter values may be kept.
pub fn samples_parameters() -> bool {
    config::sample_parameters()
}
