//! `import_pg_stat_statements()`.

use crate::analysis::history;
use pgrx::prelude::*;

/// See `sql/functions/history.sql`.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a SQL function")]
fn import_pg_stat_statements() -> TableIterator<
    'static,
    (
        name!(outcome, String),
        name!(reason, String),
        name!(statements, i64),
        name!(calls, i64),
        name!(total_ms, f64),
    ),
> {
    let outcome = history::import().unwrap_or_else(|e| error!("{e}"));
    TableIterator::new(outcome.into_iter().map(|((what, why), tally)| {
        (
            what.to_owned(),
            why,
            tally.statements,
            tally.calls,
            tally.total_ms,
        )
    }))
}
