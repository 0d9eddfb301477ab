//! `cancel`, `rollback`, `rollback_preview`, `pin`, `unpin`.

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

/// Pins an index. True when it was not pinned before.
#[pg_extern(sql = false)]
fn pin(index: Option<pg_sys::Oid>, reason: Option<&str>) -> SpiResult<bool> {
    execution::pin_index(index.unwrap_or(pg_sys::InvalidOid), reason)
}

/// Takes the pin off an index. True when it had one.
#[pg_extern(sql = false)]
fn unpin(index: Option<pg_sys::Oid>, reason: Option<&str>) -> SpiResult<bool> {
    execution::unpin_index(index.unwrap_or(pg_sys::InvalidOid), reason)
}

/// What `rollback` would run.
#[pg_extern(sql = false)]
fn rollback_preview(mutation: Uuid) -> SpiResult<String> {
    execution::preview(mutation)
}
