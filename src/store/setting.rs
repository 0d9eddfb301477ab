//! `indexpilot.setting`: what `disable()` has switched off in this database, one row a part.

use crate::pg::spi;
use indexpilot_model::{Module, ModuleSet};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Key of the lock that writers hold until they commit (see [`spi::lock_until_commit`]).
pub const LOCK: u32 = 0x5e77;

/// One part that is switched off.
#[derive(Clone, Debug)]
pub struct Disabled {
    /// A module's or feature's name, or `system`.
    pub part: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub role: String,
    /// When, as the server writes it in this session.
    pub at: String,
}

/// Writes that a part is off; false when it was already.
///
/// # Errors
/// What SPI reports.
pub fn add(part: &str, reason: &str) -> SpiResult<bool> {
    let role = spi::current_role();
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let done = client.update(
                "INSERT INTO indexpilot.setting (system_identifier, database_oid, part, reason, role_name, at)
                 VALUES ($1, $2, $3, $4, $5, clock_timestamp())
                 ON CONFLICT DO NOTHING",
                None,
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    part.into(),
                    reason.into(),
                    role.into(),
                ],
            )?;
            Ok(!done.is_empty())
        })
    })
}

/// Removes that; false when it was not there.
///
/// # Errors
/// What SPI reports.
pub fn remove(part: &str) -> SpiResult<bool> {
    spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            let done = client.update(
                "DELETE FROM indexpilot.setting
                 WHERE system_identifier = $1 AND database_oid = $2 AND part = $3",
                None,
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    part.into(),
                ],
            )?;
            Ok(!done.is_empty())
        })
    })
}

/// The rows of this cluster and database. Those of another one, brought by a restore, do not
/// count.
///
/// # Errors
/// What SPI reports.
pub fn disabled() -> SpiResult<Vec<Disabled>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT part, reason, role_name, at::text FROM indexpilot.setting
                 WHERE system_identifier = $1 AND database_oid = $2
                 ORDER BY at",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut disabled = Vec::with_capacity(rows.len());
            for row in rows {
                disabled.push(Disabled {
                    part: row.get(1)?.unwrap_or_default(),
                    reason: row.get(2)?.unwrap_or_default(),
                    role: row.get(3)?.unwrap_or_default(),
                    at: row.get(4)?.unwrap_or_default(),
                });
            }
            Ok(disabled)
        })
    })
}

/// The same as a set; `system` is everything.
///
/// # Errors
/// What SPI reports.
pub fn off() -> SpiResult<ModuleSet> {
    let mut off = ModuleSet::NONE;
    for row in disabled()? {
        match Module::from_name(&row.part) {
            Some(module) => off = off.with(module),
            None if row.part == "system" => off = ModuleSet::ALL,
            // A later version's module, in a table that it wrote: nothing of ours.
            None => {}
        }
    }
    Ok(off)
}
