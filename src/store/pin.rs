//! Pinned indexes (`indexpilot.pin`): an operator has said that they stay.
//!
//! A pin holds by name, so that it outlives REINDEX CONCURRENTLY and a restore, and by OID,
//! so that it outlives a rename.

use crate::pg::spi;
use indexpilot_model::Oid;
use indexpilot_model::identifier::QualifiedName;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::BTreeSet;

/// The condition under which index `c` in namespace `n` has the pin `p`; $1 and $2 are system
/// identifier and database.
const HOLDS: &str = "(p.schema_name = n.nspname AND p.index_name = c.relname
     OR p.index_oid = c.oid AND p.system_identifier = $1 AND p.database_oid = $2)";

/// OIDs of the indexes that are pinned.
///
/// # Errors
/// What SPI reports.
pub fn oids() -> SpiResult<BTreeSet<Oid>> {
    let sql = format!(
        "SELECT c.oid FROM indexpilot.pin AS p, pg_class AS c, pg_namespace AS n
         WHERE n.oid = c.relnamespace AND c.relkind IN ('i', 'I') AND {HOLDS}"
    );
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                sql.as_str(),
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut found = BTreeSet::new();
            for row in rows {
                if let Some(oid) = row.get::<pg_sys::Oid>(1)? {
                    found.insert(oid.to_u32());
                }
            }
            Ok(found)
        })
    })
}

/// Pins an index; false when it is pinned already.
///
/// # Errors
/// What SPI reports.
pub fn add(index: pg_sys::Oid, name: &QualifiedName, reason: Option<&str>) -> SpiResult<bool> {
    if oids()?.contains(&index.to_u32()) {
        return Ok(false);
    }
    let role = spi::current_role();
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.pin (schema_name, index_name, system_identifier,
                 database_oid, index_oid, reason, role_name, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())",
            &[
                name.schema.as_str().into(),
                name.name.as_str().into(),
                spi::system_identifier().into(),
                spi::database().into(),
                index.into(),
                reason.into(),
                role.into(),
            ],
        )
    })?;
    Ok(true)
}

/// Takes the pins of an index away; false when it had none.
///
/// # Errors
/// What SPI reports.
pub fn remove(index: pg_sys::Oid) -> SpiResult<bool> {
    let sql = format!(
        "DELETE FROM indexpilot.pin AS p USING pg_class AS c, pg_namespace AS n
         WHERE c.oid = $3 AND n.oid = c.relnamespace AND {HOLDS}"
    );
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let done = client.update(
                sql.as_str(),
                None,
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    index.into(),
                ],
            )?;
            Ok(!done.is_empty())
        })
    })
}

/// Follows renames and rebuilds: a pin whose index has another name or another OID by now
/// takes it over, so that the two do not get lost one after the other.
///
/// # Errors
/// What SPI reports.
pub fn follow() -> SpiResult<()> {
    let key = [spi::system_identifier().into(), spi::database().into()];
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "UPDATE indexpilot.pin AS p SET schema_name = n.nspname, index_name = c.relname
             FROM pg_class AS c, pg_namespace AS n
             WHERE p.system_identifier = $1 AND p.database_oid = $2 AND c.oid = p.index_oid
               AND c.relkind IN ('i', 'I') AND n.oid = c.relnamespace
               AND (p.schema_name, p.index_name) IS DISTINCT FROM
                   (n.nspname::text, c.relname::text)
               AND NOT EXISTS (SELECT FROM indexpilot.pin AS o
                   WHERE o.schema_name = n.nspname AND o.index_name = c.relname)",
            &key,
        )?;
        Spi::run_with_args(
            "UPDATE indexpilot.pin AS p
             SET index_oid = c.oid, system_identifier = $1, database_oid = $2
             FROM pg_class AS c, pg_namespace AS n
             WHERE n.nspname = p.schema_name AND c.relnamespace = n.oid
               AND c.relname = p.index_name AND c.relkind IN ('i', 'I')
               AND (p.index_oid, p.system_identifier, p.database_oid)
                   IS DISTINCT FROM (c.oid, $1, $2)",
            &key,
        )
    })
}
