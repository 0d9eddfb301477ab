//! IndexPilot, the extension.
use pgrx::prelude::*;
pgrx::pg_module_magic!(name, version);

/// Called by the server when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {}

#[pg_extern(sql = false)]
fn version() -> &'static str { env!("CARGO_PKG_VERSION") }
