//! Analyses: the pure pipeline with the server behind its ports.
//!
//! - [`session`] answers `advise()` for the caller's own texts in the caller's session;
//! - [`run`] is the automatic run, in the worker.

pub mod run;
pub mod session;

use crate::config;
use crate::pg::catalog;
use crate::store::genome;
use crate::store::job::{self, NewJob};
use crate::store::recommendation;
use crate::worker::{self, Request};
use indexpilot_advisor::candidates;
use indexpilot_advisor::lifecycle::State;
use indexpilot_advisor::plan;
use indexpilot_advisor::pricing::{Caution, PricingLimits};
use indexpilot_advisor::selection::SearchLimits;
use indexpilot_guard::Purpose;
use indexpilot_model::Config;
use indexpilot_model::Intent;
use indexpilot_pipeline::Setup;
use pgrx::datum::Uuid;
use pgrx::spi::SpiResult;

/// Rows of a relation that sizes are estimated from: a tenth of ANALYZE's sample, which keeps
/// sizes within a few per cent at a tenth of the time, and there are hundreds of candidates.
const SAMPLE_ROWS: usize = 3_000;

/// Gap at which the search is content. Below the planner's noise (half a per cent), because
/// within it indexes that save nothing could ride along.
const GAP: f64 = 0.0005;

/// The setup of a run under the present configuration.
fn setup(config: &Config) -> Setup {
    Setup {
        candidates: candidates::Settings {
            max_columns: config.max_columns_per_index.max(1) as usize,
            trigram_schema: catalog::extension_schema("pg_trgm"),
            refused: genome::refused()
                .map(|fields| fields.into_keys().collect())
                .unwrap_or_default(),
            ..candidates::Settings::default()
        },
        plan: plan::Settings::automatic(config),
        limits: PricingLimits {
            search: SearchLimits {
                gap: GAP,
                ..SearchLimits::default()
            },
            ..PricingLimits::default()
        },
        caution: Caution::default(),
        include_schemas: config.include_schemas.clone(),
        exclude_schemas: config.exclude_schemas.clone(),
    }
}

/// The configuration, for whoever starts from it.
fn configuration() -> Config {
    config::current()
}

/// Approves a recommendation and queues the job that carries it out. `role` is the operator
/// who asked; `None` is the stage `auto`. False where it is no longer in the state `from`.
///
/// # Errors
/// What SPI reports.
pub fn carry_out(
    id: Uuid,
    from: State,
    mut intent: Intent,
    role: Option<&str>,
) -> SpiResult<Option<Uuid>> {
    let reason = match role {
        Some(role) => format!("approved by {role}"),
        None => "approved by the stage \"auto\"".to_owned(),
    };
    if !recommendation::transition(id, from, State::Approved, Some(&reason))? {
        return Ok(None);
    }
    intent.recommendation = Some(id.to_string());
    intent.urgent = role.is_some();
    let job = job::enqueue(&NewJob {
        intent: &intent,
        purpose: if role.is_some() {
            Purpose::Operator
        } else {
            Purpose::Advice
        },
        requested_by: role.unwrap_or("indexpilot"),
        parent: None,
    })?;
    worker::ask_at_commit(Request::Jobs);
    Ok(Some(job))
}

/// Moves recommendations along with their jobs. In the worker, in a transaction.
///
/// # Panics
/// Raises the server's error where our tables cannot be read or written.
pub fn follow() {
    if let Err(error) = recommendation::follow() {
        pgrx::error!("{error}");
    }
}
