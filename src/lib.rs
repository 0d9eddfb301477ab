//! IndexPilot: an extension that runs the indexes of a database by itself.
//!
//! Modules stand in the order of the flow. `pg` is the one room that touches the server's
//! memory and knows none of the rooms above it: they reach it through safe functions and the ports of
//! `indexpilot-model`, and it calls up through the callbacks that `_PG_init` hands it.

use pgrx::prelude::*;

mod schema;

mod analysis;
mod api;
mod capture;
mod config;
mod execution;
mod health;
mod pg;
mod store;
mod worker;

pgrx::pg_module_magic!(name, version);

/// Called by the server when it loads the library: at start through
/// `shared_preload_libraries`, or in one session when a function of ours is first called.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    config::define();
    if !health::begin() {
        // A session that called a function of ours can price indexes for itself.
        if health::idle() == Some(health::Idle::NotPreloaded) {
            pg::whatif::install();
        }
        return;
    }
    worker::register(worker::Duties {
        unsaved: |database| capture::unsaved(database) || pg::ddl_notices::pending(database),
        flush: || {
            capture::flush();
            if let Err(e) = store::keep_lineage(&config::current()) {
                error!("{e}");
            }
        },
        analyze: analysis::run::run_analysis,
        work: || {
            analysis::adopt()?;
            // Advice that fails must not keep jobs from being cleaned up.
            if let Err(error) = analysis::rebuild::look() {
                log!("indexpilot could not look for bloated indexes: {error}");
            }
            let worked = execution::work()?;
            if worked {
                pg::transaction::run(analysis::follow)?;
            }
            Ok(worked)
        },
        next_job: || {
            let scheduled = analysis::rebuild::next_moment().unwrap_or_else(|e| error!("{e}"));
            execution::next_job().into_iter().chain(scheduled).min()
        },
        spent: |spent| {
            for one in spent {
                if let Err(e) = store::upkeep::add_spent(one.duty, one.elapsed, one.cpu) {
                    error!("{e}");
                }
            }
        },
        tidy: || {
            let days = config::current().retention;
            if let Err(e) = store::retention::prune(days)
                .and_then(|_| store::recommendation::tidy(days))
                .and_then(|_| store::statement::tidy(days))
                .and_then(|()| store::upkeep::tidy(days))
                .and_then(|()| store::upkeep::measure())
                .and_then(|()| store::pin::follow())
            {
                error!("{e}");
            }
        },
    });
    pg::whatif::install();
    pg::ddl_notices::install();
    capture::install();
}
