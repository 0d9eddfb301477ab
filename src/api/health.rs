//! SQL skins of the switches and of `status()`.

use crate::health;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// What each module is asked to do and does.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a table, spelt out")]
fn status() -> SpiResult<
    TableIterator<
        'static,
        (
            name!(module, String),
            name!(desired, String),
            name!(actual, String),
            name!(reason, Option<String>),
        ),
    >,
> {
    let rows = health::status()?;
    Ok(TableIterator::new(rows.into_iter().map(|row| {
        (
            row.part.to_owned(),
            row.desired.to_owned(),
            row.actual.to_owned(),
            row.reason,
        )
    })))
}

/// Switches off.
#[pg_extern(sql = false)]
fn disable(reason: Option<&str>, module: Option<&str>) -> SpiResult<bool> {
    health::switch_off(module, reason.unwrap_or_default())
}

/// Switches on.
#[pg_extern(sql = false)]
fn enable(module: Option<&str>, reason: Option<&str>) -> SpiResult<bool> {
    health::switch_on(module, reason)
}

/// Makes this database known.
#[pg_extern(sql = false)]
fn attach() -> SpiResult<bool> {
    health::attach()
}
