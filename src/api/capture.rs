//! Capture's SQL surface.

use crate::capture::fields;
use pgrx::prelude::*;

/// Which fields a statement uses, and how; nothing is executed or stored.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a SQL function")]
fn query_fields(
    query: &str,
) -> TableIterator<
    'static,
    (
        name!(statement, i32),
        name!(level, i32),
        name!(relation, String),
        name!(field, String),
        name!(role, String),
        name!(operator, Option<String>),
        name!(comparand, Option<String>),
        name!(disjunction, i32),
        name!(branch, i32),
        name!(position, i32),
    ),
> {
    TableIterator::new(fields::of_text(query).into_iter().map(|row| {
        (
            row.statement,
            row.level,
            row.relation,
            row.field,
            row.role,
            row.operator,
            row.comparand,
            row.disjunction,
            row.branch,
            row.position,
        )
    }))
}
