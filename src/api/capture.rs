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

/// Latency quantile of a stored histogram, milliseconds.
#[pg_extern(sql = false)]
fn latency_quantile(histogram: pgrx::JsonB, share: f64) -> Option<f64> {
    crate::capture::flush::quantile(&histogram.0, share)
}

fn check_owner() {
    if !crate::pg::process::may_administer_database() {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "must be owner of the database to reset its statistics"
        );
    }
}

/// Forgets all statistics of this database.
#[pg_extern(sql = false)]
fn reset() -> Result<(), pgrx::spi::SpiError> {
    check_owner();
    crate::capture::reset(None)
}

/// Forgets what is attributed to a tenant.
#[pg_extern(sql = false)]
fn reset_tenant(tenant: &str) -> Result<(), pgrx::spi::SpiError> {
    check_owner();
    crate::capture::reset(Some(tenant))
}

/// Capture's shared memory.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a SQL function")]
fn capture_memory() -> TableIterator<
    'static,
    (
        name!(bytes, i64),
        name!(statements, i64),
        name!(max_statements, i64),
        name!(evicted, i64),
        name!(dropped_statements, i64),
        name!(dropped_texts, i64),
        name!(dropped_tenants, i64),
        name!(errors_elsewhere, i64),
    ),
> {
    TableIterator::new(
        crate::capture::memory()
            .into_iter()
            .map(|m| (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7])),
    )
}
