//! `cancel`, `rollback`, `rollback_preview`.

use crate::execution;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Ends a job. True when there was something to end.
#[pg_extern(sql = false)]
fn cancel(job: Uuid) -> SpiResult<bool> {
    execution::cancel(job)
}

/// Queues the inverse of a mutation.
#[pg_extern(sql = false)]
fn rollback_mutation(mutation: Uuid) -> SpiResult<Uuid> {
    execution::rollback(mutation)
}

/// What `rollback` would run.
#[pg_extern(sql = false)]
fn rollback_preview(mutation: Uuid) -> SpiResult<String> {
    execution::preview(mutation)
}
