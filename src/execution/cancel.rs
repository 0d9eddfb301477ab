//! `cancel(job)`: from a session, for the owner of the table.

use crate::pg::compat::ownership;
use crate::pg::spi;
use crate::pg::worker_entry::{self, board::CancelReason};
use crate::store::job;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Ends a job: at once where it waits, by a cancel where it runs. True when there was
/// something to end.
///
/// # Errors
/// What SPI reports. Raises an ERROR when the role owns the table no more than the job.
pub fn cancel(id: Uuid) -> SpiResult<bool> {
    let Some(job) = job::find(id)? else {
        return Ok(false);
    };
    let relation = pg_sys::Oid::from(job.intent.relation.oid);
    if !ownership::owns_relation(relation, spi::current_role_oid()) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of table {}", job.intent.relation.qualified())
        );
    }
    match job.state.as_str() {
        "queued" | "waiting" => {
            job::finish(id, "cancelled", "cancelled by cancel()")?;
            Ok(true)
        }
        "running" => {
            let slot = worker_entry::own_slot().filter(|slot| slot.building());
            if let Some(slot) = slot {
                worker_entry::cancel(slot, CancelReason::Operator);
            }
            Ok(slot.is_some())
        }
        _ => Ok(false),
    }
}
