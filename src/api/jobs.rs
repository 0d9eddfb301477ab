//! `cancel`.

use crate::execution;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Ends a job. True when there was something to end.
#[pg_extern(sql = false)]
fn cancel(job: Uuid) -> SpiResult<bool> {
    execution::cancel(job)
}
