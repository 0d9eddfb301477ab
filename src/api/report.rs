//! SQL skins of report, metrics and health.

use crate::store::report;
use pgrx::prelude::*;
use pgrx::spi::SpiError;

/// The report as text, JSON or HTML.
#[pg_extern(sql = false, name = "report")]
fn write_report(format: &str) -> Result<String, SpiError> {
    let writer: fn(&indexpilot_report::Report) -> String = match format {
        "text" => indexpilot_report::Report::text,
        "html" => indexpilot_report::Report::html,
        "json" => |report| report.json().to_string(),
        other => {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("there is no report as \"{other}\""),
                "A report is written as text, json or html."
            );
        }
    };
    Ok(writer(&report::report()?))
}

/// Metrics in Prometheus' text format.
#[pg_extern(sql = false)]
fn metrics() -> Result<String, SpiError> {
    report::metrics()
}

/// What an operator should look at.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a table, spelt out")]
fn health() -> Result<
    TableIterator<
        'static,
        (
            name!(check, String),
            name!(state, String),
            name!(finding, String),
            name!(remedy, Option<String>),
        ),
    >,
    SpiError,
> {
    let rows = report::health()?;
    Ok(TableIterator::new(rows.into_iter().map(|row| {
        (
            row.check.to_owned(),
            row.state,
            row.finding,
            row.remedy.map(str::to_owned),
        )
    })))
}
