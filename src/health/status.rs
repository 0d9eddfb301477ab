//! `status()`: what each module is asked to do, what it does, and why they differ.

use super::start;
use crate::config;
use crate::pg::worker_entry::{self, board};
use crate::pg::{clock, process, switch};
use crate::store::job;
use crate::store::setting::{self, Disabled};
use indexpilot_guard::{BreakerState, breaker_state};
use indexpilot_model::config::Stage;
use indexpilot_model::module::MODULES;
use indexpilot_model::{Module, ModuleSet};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// One line of `status()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// `system`, a module or a feature.
    pub part: &'static str,
    /// What settings and `disable()` ask for: `on`, `off`, or a feature's stage.
    pub desired: &'static str,
    /// What is the case.
    pub actual: &'static str,
    /// Why it is off, or why the two differ.
    pub reason: Option<String>,
}

/// The lines, the system first.
///
/// # Errors
/// What SPI reports.
pub fn status() -> SpiResult<Vec<StatusRow>> {
    let disabled = setting::disabled()?;
    let server_off = switch::off_in_server().unwrap_or_else(config::server_off);
    let obstacle = obstacle()?;
    let by_hand = |part: &str| {
        disabled
            .iter()
            .find(|row| row.part == "system")
            .or_else(|| disabled.iter().find(|row| row.part == part))
            .map(in_words)
    };

    let by_settings = |module: Option<Module>| match module {
        _ if server_off == ModuleSet::ALL => Some("indexpilot.enabled is off".to_owned()),
        Some(module) if server_off.contains(module) => Some(format!(
            "\"{}\" is in indexpilot.disabled_modules",
            module.name()
        )),
        _ => None,
    };

    let system = by_settings(None).or_else(|| by_hand("system"));
    let mut rows = vec![row("system", "on", system, obstacle.clone())];
    let stages = config::stages();
    for module in MODULES {
        let off = by_settings(Some(module)).or_else(|| by_hand(module.name()));
        let stage = stages
            .iter()
            .find(|(feature, _)| *feature == module)
            .map(|(_, stage)| *stage);
        let on = match stage {
            None => "on",
            Some(Stage::Off) => "off",
            Some(Stage::Advise) => "advise",
            Some(Stage::Auto) => "auto",
        };
        let off = off.or_else(|| {
            (stage == Some(Stage::Off)).then(|| format!("indexpilot.{} is off", module.name()))
        });
        // What acts needs the processes that act.
        let obstacle = match module {
            Module::Worker => obstacle.clone().or_else(no_launcher),
            _ => obstacle.clone(),
        };
        rows.push(row(module.name(), on, off, obstacle));
    }
    // Objects of another version may lack what is read here.
    if obstacle.is_none() {
        rows.extend(processes()?);
    }
    Ok(rows)
}

fn no_launcher() -> Option<String> {
    let running = board::board().is_some_and(|board| board.launcher() != 0);
    (!running).then(|| "the launcher is not running".to_owned())
}

/// The processes as they are now, and the circuit breaker. A worker comes when there is work
/// and leaves when there is none.
fn processes() -> SpiResult<Vec<StatusRow>> {
    let launcher = board::board().map_or(0, board::Board::launcher);
    let worker = worker_entry::own_slot().map_or(0, board::Slot::worker);
    let building = worker_entry::own_slot().is_some_and(board::Slot::building);
    let process = |pid: i32| (pid != 0).then(|| format!("process {pid}"));
    let breaker = breaker_state(&job::past_actions()?, clock::now());
    Ok(vec![
        StatusRow {
            part: "launcher process",
            desired: "running",
            actual: if launcher == 0 { "stopped" } else { "running" },
            reason: process(launcher),
        },
        StatusRow {
            part: "worker process",
            desired: "as needed",
            actual: match (worker, building) {
                (0, _) => "stopped",
                (_, true) => "building",
                _ => "running",
            },
            reason: process(worker).or_else(|| Some("it starts when there is work".to_owned())),
        },
        StatusRow {
            part: "circuit breaker",
            desired: "closed",
            actual: match breaker {
                BreakerState::Closed => "closed",
                BreakerState::Open(_) => "open",
                BreakerState::HalfOpen => "half-open",
            },
            reason: match breaker {
                BreakerState::Closed => None,
                BreakerState::Open(until) => Some(format!(
                    "three or more failures or reverts in a row; nothing is tried for {} minutes",
                    (until - clock::now()) / 60_000_000 + 1
                )),
                BreakerState::HalfOpen => {
                    Some("one action is let through, and its ending decides".to_owned())
                }
            },
        },
    ])
}

fn row(
    part: &'static str,
    on: &'static str,
    off: Option<String>,
    obstacle: Option<String>,
) -> StatusRow {
    let desired = if off.is_some() { "off" } else { on };
    let actual = if obstacle.is_some() { "off" } else { desired };
    StatusRow {
        part,
        desired,
        actual,
        reason: off.or(obstacle),
    }
}

fn in_words(row: &Disabled) -> String {
    format!("disabled by {} at {}: {}", row.role, row.at, row.reason)
}

/// What keeps everything from running, though nobody has switched it off.
fn obstacle() -> SpiResult<Option<String>> {
    if let Some(idle) = start::idle() {
        return Ok(Some(idle.reason().into()));
    }
    if process::in_recovery() {
        return Ok(Some("the server is a standby".into()));
    }
    let library = env!("CARGO_PKG_VERSION");
    if let Some(objects) = sql_version()?
        && objects != library
    {
        return Ok(Some(format!(
            "the SQL objects are of version {objects}, the library of {library}: run ALTER EXTENSION indexpilot UPDATE"
        )));
    }
    if switch::off_in_database().is_none() {
        return Ok(Some(
            "the launcher has not looked at this database yet".into(),
        ));
    }
    Ok(None)
}

/// Version of the SQL objects in this database; `None` when the extension is not there.
///
/// # Errors
/// What SPI reports.
pub fn sql_version() -> SpiResult<Option<String>> {
    Spi::connect(|client| {
        let mut rows = client.select(
            "SELECT extversion FROM pg_catalog.pg_extension
             WHERE extname OPERATOR(pg_catalog.=) 'indexpilot'",
            Some(1),
            &[],
        )?;
        match rows.next() {
            Some(row) => row.get(1),
            None => Ok(None),
        }
    })
}
