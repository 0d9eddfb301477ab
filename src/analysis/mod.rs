//! Analyses: the pure pipeline with the server behind its ports.
//!
//! [`session`] answers `advise()` for the caller's own texts in the caller's session.

pub mod session;

use crate::config;
use crate::pg::catalog;
use indexpilot_advisor::candidates;
use indexpilot_advisor::plan;
use indexpilot_advisor::pricing::{Caution, PricingLimits};
use indexpilot_advisor::selection::SearchLimits;
use indexpilot_model::Config;
use indexpilot_pipeline::Setup;

/// Gap at which the search is content. Below the planner's noise (half a per cent), because
/// within it indexes that save nothing could ride along.
const GAP: f64 = 0.0005;

/// The setup of a run under the present configuration.
fn setup(config: &Config) -> Setup {
    Setup {
        candidates: candidates::Settings {
            max_columns: config.max_columns_per_index.max(1) as usize,
            trigram_schema: catalog::extension_schema("pg_trgm"),
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
