//! Lineage of our configuration: the worker compares the settings it runs under with those
//! of the newest entry and logs what changed. Who edited a file or ran ALTER SYSTEM the
//! server does not tell; the entry says where the value comes from and when the
//! configuration was loaded.

use crate::pg::spi;
use crate::store::{chain, mutation_log};
use indexpilot_model::Config;
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Map, Value, json};
use std::cell::RefCell;

thread_local! {
    static SEEN: RefCell<Option<Config>> = const { RefCell::new(None) };
}

/// As [`follow`], if this process has not seen this configuration yet.
///
/// # Errors
/// What SPI reports.
pub fn follow_if_new(config: &Config) -> SpiResult<bool> {
    if SEEN.with_borrow(|seen| seen.as_ref() == Some(config)) {
        return Ok(false);
    }
    // Nothing of our own accord goes into an empty log.
    if chain::head()?.is_none() {
        return Ok(false);
    }
    let written = follow()?;
    SEEN.set(Some(config.clone()));
    Ok(written)
}

/// Logs what changed since the last entry; the first one holds everything. True when it
/// wrote one. In the worker, in a transaction.
///
/// # Errors
/// What SPI reports.
pub fn follow() -> SpiResult<bool> {
    let (now, before, loaded) = spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let row = client
                .select(
                    "SELECT (SELECT jsonb_object_agg(s.name, jsonb_build_object(
                             'value', current_setting(s.name), 'source', s.source))
                         FROM pg_catalog.pg_settings AS s
                         WHERE s.name LIKE 'indexpilot.%' AND s.context <> 'user'),
                     (SELECT m.evidence -> 'settings' FROM indexpilot.mutation_log AS m
                         WHERE m.kind = 'CONFIGURATION_CHANGE'
                           AND m.system_identifier = $1 AND m.database_oid = $2
                         ORDER BY m.sequence DESC NULLS FIRST LIMIT 1),
                     pg_conf_load_time()::text",
                    Some(1),
                    &[spi::system_identifier().into(), spi::database().into()],
                )?
                .first();
            Ok::<_, pgrx::spi::SpiError>((
                row.get::<pgrx::JsonB>(1)?.map_or(Value::Null, |v| v.0),
                row.get::<pgrx::JsonB>(2)?.map(|v| v.0),
                row.get::<String>(3)?.unwrap_or_default(),
            ))
        })
    })?;
    let empty = Map::new();
    let new = now.as_object().unwrap_or(&empty);
    let old = before.as_ref().and_then(Value::as_object);
    let mut changed = Map::new();
    let mut told = Vec::new();
    for (name, setting) in new {
        let was = old.and_then(|old| old.get(name));
        let (from, to) = (was.map(|s| &s["value"]), &setting["value"]);
        if old.is_some() && from != Some(to) {
            changed.insert(
                name.clone(),
                json!({"from": from, "to": to, "source": setting["source"]}),
            );
            told.push(format!(
                "{name} from {} to {}",
                from.map_or("nothing".to_string(), ToString::to_string),
                to
            ));
        }
    }
    if old.is_some() && changed.is_empty() {
        return Ok(false);
    }
    let reason = if old.is_none() {
        "the configuration when IndexPilot first ran here".to_string()
    } else {
        told.join(", ")
    };
    mutation_log::append(
        &MutationRecord::new(
            MutationKind::ConfigurationChange,
            MutationPhase::Done,
            Cause::Observed,
            reason,
        )
        .with(json!({ "changed": changed, "settings": now, "configuration_loaded_at": loaded })),
    )?;
    Ok(true)
}
