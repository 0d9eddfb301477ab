//! `lint()`.

use crate::analysis::lint;
use pgrx::prelude::*;

/// See `sql/functions/lint.sql`.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a SQL function")]
fn lint(
    query: Option<&str>,
    search_path: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(rule, Option<String>),
        name!(found, Option<String>),
        name!(why, String),
        name!(rewrite, Option<String>),
        name!(statement, Option<String>),
    ),
> {
    let Some(query) = query else {
        return TableIterator::new(Vec::new());
    };
    let rows = match lint::lint(query, search_path).unwrap_or_else(|e| error!("{e}")) {
        Err(why) => vec![(None, None, format!("not linted because {why}"), None, None)],
        Ok(findings) => findings
            .into_iter()
            .map(|linted| {
                let finding = linted.finding;
                (
                    Some(finding.rule.to_owned()),
                    Some(finding.found),
                    finding.why,
                    finding.rewrite,
                    linted.statement,
                )
            })
            .collect(),
    };
    TableIterator::new(rows)
}
