//! SQL skins of the lineage.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::store::{chain, mutation_log};
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use pgrx::datum::Uuid;
use pgrx::prelude::*;

type ProblemRow = (
    name!(sequence, Option<i64>),
    name!(id, Option<Uuid>),
    name!(problem, String),
    name!(detail, String),
);

/// Signs that the mutation log was tampered with; no row when it is whole.
#[pg_extern(sql = false)]
fn verify_log(
    expected_sequence: Option<i64>,
    expected_hash: Option<&str>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(sequence, Option<i64>),
            name!(id, Option<Uuid>),
            name!(problem, String),
            name!(detail, String),
        ),
    >,
    pgrx::spi::SpiError,
> {
    let rows: Vec<ProblemRow> = chain::verify(expected_sequence.zip(expected_hash))?
        .into_iter()
        .map(|found| (found.sequence, found.id, found.problem, found.detail))
        .collect();
    Ok(TableIterator::new(rows))
}

/// Newest place of the chain and its hash.
#[pg_extern(sql = false)]
fn log_head() -> Result<
    TableIterator<
        'static,
        (
            name!(sequence, i64),
            name!(hash, String),
            name!(at, TimestampWithTimeZone),
        ),
    >,
    pgrx::spi::SpiError,
> {
    Ok(TableIterator::new(chain::head()?))
}

/// Writes a remark into the log: on an entry, or on its own (a deployment, a migration).
#[pg_extern(sql = false)]
fn annotate(note: &str, mutation: Option<Uuid>) -> Result<Uuid, pgrx::spi::SpiError> {
    if note.trim().is_empty() {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "a note must say something"
        );
    }
    let mut record = MutationRecord::new(
        MutationKind::Note,
        MutationPhase::Done,
        Cause::User,
        note.trim(),
    );
    if let Some(id) = mutation {
        if mutation_log::history_of(id)?.is_empty() {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("entry {id} is not in the mutation log")
            );
        }
        record = record.after(id.to_string());
    }
    mutation_log::append(&record)
}
