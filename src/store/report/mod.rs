//! The report: each section is a query over our tables and views and nothing else, so that
//! every number in it can be had again by running the query that stands below it.

mod health;
mod metrics;
mod sections;

pub use health::health;
pub use metrics::metrics;

use crate::pg::spi;
use indexpilot_report::{Column, Plot, Report, Section, Unit};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::Value;

/// A section before its query was run.
struct Plan {
    id: &'static str,
    title: &'static str,
    about: &'static str,
    /// One statement; runs with `search_path = pg_catalog, pg_temp`, gives one row a line.
    query: &'static str,
    /// Relations of ours that it reads.
    needs: &'static [&'static str],
    columns: &'static [(&'static str, Unit)],
    /// Label column and value columns of the plot; none where there are no values.
    plot: (&'static str, &'static [&'static str]),
}

/// Whether the relations of ours are there: a module may not be.
fn are_there(names: &[&str]) -> SpiResult<bool> {
    for name in names {
        let found = Spi::get_one_with_args::<bool>(
            "SELECT to_regclass('indexpilot.' || $1) IS NOT NULL",
            &[(*name).into()],
        )?;
        if found != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows of a query as JSON, in the order of `columns`.
fn rows_of(query: &str, columns: &[(&str, Unit)]) -> SpiResult<Vec<Vec<Value>>> {
    let wrapped = format!("SELECT to_jsonb(q) FROM ({query}) AS q");
    Spi::connect(|client| {
        let result = client.select(wrapped.as_str(), None, &[])?;
        let mut rows = Vec::with_capacity(result.len());
        for row in result {
            let Some(object) = row.get::<pgrx::JsonB>(1)? else {
                continue;
            };
            rows.push(
                columns
                    .iter()
                    .map(|(name, _)| object.0.get(*name).cloned().unwrap_or(Value::Null))
                    .collect(),
            );
        }
        Ok(rows)
    })
}

fn run(plan: &Plan) -> SpiResult<Section> {
    let there = are_there(plan.needs)?;
    Ok(Section {
        id: plan.id.into(),
        title: plan.title.into(),
        about: plan.about.into(),
        query: plan.query.into(),
        columns: plan
            .columns
            .iter()
            .map(|(name, unit)| Column {
                name: (*name).into(),
                unit: *unit,
            })
            .collect(),
        rows: if there {
            rows_of(plan.query, plan.columns)?
        } else {
            Vec::new()
        },
        plot: (!plan.plot.1.is_empty()).then(|| Plot {
            label: plan.plot.0.into(),
            values: plan.plot.1.iter().map(|name| (*name).into()).collect(),
        }),
        missing: (!there).then(|| "the module that measures it is not installed".into()),
    })
}

/// Makes the report of this database. The caller's rights are checked before.
///
/// # Errors
/// What SPI reports.
pub fn report() -> SpiResult<Report> {
    spi::as_extension_owner(|| {
        let mut sections = Vec::with_capacity(sections::ALL.len());
        for plan in sections::ALL {
            sections.push(run(plan)?);
        }
        Ok(Report {
            title: format!(
                "IndexPilot report of database {}",
                Spi::get_one::<String>("SELECT current_database()::text")?.unwrap_or_default()
            ),
            made_at: Spi::get_one::<String>("SELECT date_trunc('second', now())::text")?
                .unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").into(),
            sections,
        })
    })
}
