//! Our tables, one file a table: the only place with SQL that changes them. Everything is
//! schema-qualified and bound; functions here check no rights (their callers in `api` and
//! `worker` do) and switch to the owner of the tables themselves.

pub mod captured;
pub mod chain;
pub mod configuration;
pub mod expression;
pub mod genome;
pub mod history;
pub mod job;
pub mod mutation_log;
pub mod pin;
pub mod recommendation;
pub mod report;
pub mod retention;
pub mod schema_change;
pub mod setting;
pub mod statement;
pub mod statement_text;
pub mod upkeep;
pub mod validation;
pub mod verification;

use indexpilot_model::Config;

/// Takes over what changed outside: the schema, and our configuration. In the worker, in a
/// transaction.
///
/// # Errors
/// What SPI reports.
pub fn keep_lineage(config: &Config) -> pgrx::spi::SpiResult<()> {
    configuration::follow_if_new(config)?;
    schema_change::follow().map(drop)
}
