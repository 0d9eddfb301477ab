//! `pin(index)` and `unpin(index)`: for the owner of the table, and in the log.

use super::catalog;
use crate::pg::compat::ownership;
use crate::pg::{process, spi};
use crate::store::{mutation_log, pin};
use indexpilot_model::mutation::{Cause, IndexName, MutationKind, MutationPhase, MutationRecord};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// The index, of which the role owns the table. Anything else is an ERROR.
fn owned(index: pg_sys::Oid) -> SpiResult<catalog::Found> {
    let Some(found) = catalog::index(index.to_u32())? else {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("relation with OID {} is not an index", index.to_u32())
        );
    };
    let table = pg_sys::Oid::from(found.relation.oid);
    if !ownership::owns_relation(table, spi::current_role_oid()) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of table {}", found.relation.qualified())
        );
    }
    Ok(found)
}

fn record(kind: MutationKind, found: &catalog::Found, reason: &str) -> SpiResult<()> {
    let mut record = MutationRecord::new(kind, MutationPhase::Done, Cause::User, reason)
        .on(found.relation.clone());
    record.index = Some(IndexName {
        oid: found.oid,
        schema: found.name.schema.clone(),
        name: found.name.name.clone(),
    });
    mutation_log::append(&record).map(drop)
}

/// Pins an index; false when it is pinned already.
///
/// # Errors
/// What SPI reports. What is no index, and missing rights, are ERRORs.
pub fn pin_index(index: pg_sys::Oid, reason: Option<&str>) -> SpiResult<bool> {
    process::refuse_if_read_only(c"indexpilot.pin()");
    let found = owned(index)?;
    let reason = reason.map(str::trim).filter(|text| !text.is_empty());
    if !pin::add(index, &found.name, reason)? {
        return Ok(false);
    }
    record(
        MutationKind::PinIndex,
        &found,
        reason.unwrap_or("pinned without a reason"),
    )?;
    Ok(true)
}

/// Takes the pin off an index; false when it had none.
///
/// # Errors
/// As [`pin_index`].
pub fn unpin_index(index: pg_sys::Oid, reason: Option<&str>) -> SpiResult<bool> {
    process::refuse_if_read_only(c"indexpilot.unpin()");
    let found = owned(index)?;
    if !pin::remove(index)? {
        return Ok(false);
    }
    let reason = reason.map(str::trim).filter(|text| !text.is_empty());
    record(
        MutationKind::UnpinIndex,
        &found,
        reason.unwrap_or("unpinned without a reason"),
    )?;
    Ok(true)
}
