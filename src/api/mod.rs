//! The SQL surface: thin skins, no logic. Their declarations stand in `sql/functions`.

use pgrx::prelude::*;

mod advise;
mod capture;
mod genome;
mod health;
mod history;
mod jobs;
mod lineage;
mod lint;
mod recommendations;
mod report;
mod what_if;

/// Version of the loaded library.
#[pg_extern(sql = false)]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
