//! `enable()` and `disable()`: kept in a table so that they outlast a restart, and taken over
//! into shared memory when their transaction commits.

use super::status::sql_version;
use crate::pg::{process, spi, switch};
use crate::store::{mutation_log, setting};
use indexpilot_model::module::MODULES;
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use indexpilot_model::{Module, ModuleSet};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::cell::Cell;

thread_local! {
    /// What the committing transaction leaves switched off.
    static COMMITTING: Cell<Option<ModuleSet>> = const { Cell::new(None) };
}

/// Switches a module or, with `None`, everything off in this database, for a reason. False
/// when it was off already.
///
/// # Errors
/// What SPI reports. Missing rights, an unknown module and an empty reason are ERRORs.
pub fn switch_off(module: Option<&str>, reason: &str) -> SpiResult<bool> {
    process::refuse_if_read_only(c"indexpilot.disable()");
    let module = module.map(known);
    check_rights();
    if reason.trim().is_empty() {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "a reason is required",
            function_name!(),
        )
        .set_detail("It is kept in the mutation log and shown by status().")
        .set_hint("SELECT indexpilot.disable('migration to the new schema');")
        .report(PgLogLevel::ERROR);
    }
    lock_settings()?;
    if !setting::add(part(module), reason)? {
        return Ok(false);
    }
    record(MutationKind::SystemDisable, module, reason)?;
    apply_at_commit();
    Ok(true)
}

/// Switches a module or, with `None`, the whole on again in this database; modules that were
/// switched off by themselves stay off. False when it was not off.
///
/// # Errors
/// What SPI reports. Missing rights and an unknown module are ERRORs.
pub fn switch_on(module: Option<&str>, reason: Option<&str>) -> SpiResult<bool> {
    process::refuse_if_read_only(c"indexpilot.enable()");
    let module = module.map(known);
    check_rights();
    lock_settings()?;
    if !setting::remove(part(module))? {
        return Ok(false);
    }
    let reason = reason.filter(|text| !text.trim().is_empty());
    record(
        MutationKind::SystemEnable,
        module,
        reason.unwrap_or("switched on again"),
    )?;
    apply_at_commit();
    Ok(true)
}

/// Takes over, at commit, what the table says about this database: `CREATE EXTENSION` ends
/// with it, and the worker begins with it after a restart. False when there is nothing to
/// look after here: the extension is gone, or its objects are of another version than the
/// library, which `status()` tells the user. Everything is off in that case.
///
/// # Errors
/// What SPI reports.
pub fn attach() -> SpiResult<bool> {
    if sql_version()?.as_deref() != Some(env!("CARGO_PKG_VERSION")) {
        switch::forget(process::database());
        return Ok(false);
    }
    apply_at_commit();
    Ok(true)
}

/// The name under which the table keeps a module; everything is `system`.
fn part(module: Option<Module>) -> &'static str {
    module.map_or("system", Module::name)
}

fn known(name: &str) -> Module {
    let Some(module) = Module::from_name(name.trim()) else {
        let names: Vec<&str> = MODULES.into_iter().map(Module::name).collect();
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("there is no module \"{name}\""),
            format!("The modules and features are: {}.", names.join(", "))
        );
    };
    module
}

fn check_rights() {
    if !process::may_administer_database() {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!(
                "permission denied to switch IndexPilot in database \"{}\"",
                process::database_name()
            ),
            "Only superusers and the database's owner may."
        );
    }
}

fn record(kind: MutationKind, module: Option<Module>, reason: &str) -> SpiResult<()> {
    let mut record = MutationRecord::new(kind, MutationPhase::Done, Cause::User, reason);
    record.evidence = serde_json::json!({ "part": part(module) });
    mutation_log::append(&record).map(drop)
}

/// Lets only one transaction at a time switch something in this database. The relation's lock
/// comes first: a transaction that drops and creates the extension holds that one before it
/// asks for ours, and whoever took them the other way round would deadlock with it.
fn lock_settings() -> SpiResult<()> {
    spi::with_latest_snapshot(setting::off)?;
    spi::lock_until_commit(setting::LOCK);
    Ok(())
}

/// Reads the table at the end of the transaction, so that what a savepoint took back does
/// not count, and publishes when the commit is certain.
fn apply_at_commit() {
    if !switch::installed() {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::PreCommit, || {
        // Held until the commit is visible: of two transactions that switch different modules
        // the second then reads what the first wrote.
        let off = lock_settings()
            .and_then(|()| spi::with_latest_snapshot(setting::off))
            .unwrap_or_else(|e| error!("indexpilot.setting could not be read: {e}"));
        COMMITTING.set(Some(off));
    });
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        if let Some(off) = COMMITTING.take() {
            publish(off);
        }
    });
}

fn publish(off: ModuleSet) {
    let before = switch::off_in_database();
    if !switch::publish(process::database(), off) {
        ereport!(
            WARNING,
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "IndexPilot stays off in this database",
            format!(
                "It can look after {} databases of a server.",
                switch::MAX_DATABASES
            )
        );
    } else if before != Some(off) {
        ereport!(
            PgLogLevel::LOG,
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            format!("indexpilot in this database: {}", described(off))
        );
    }
}

fn described(off: ModuleSet) -> String {
    let names: Vec<&str> = MODULES
        .into_iter()
        .filter(|module| off.contains(*module))
        .map(Module::name)
        .collect();
    match names.len() {
        0 => "on".into(),
        n if n == MODULES.len() => "off".into(),
        _ => format!("on, but for {}", names.join(", ")),
    }
}
