//! `analyze()`, `explain()`, `apply()`, `dismiss()`, `preview()`: recommendations for people.
//! Whoever owns the table, or has the rights of pg_read_all_stats, sees them; carrying one
//! out needs the table's owner.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::analysis::{self, explanation};
use crate::pg::{clock, spi};
use crate::store::recommendation::{self, Stored};
use crate::worker::{self, Request};
use indexpilot_advisor::lifecycle::State;
use pgrx::datum::Uuid;
use pgrx::prelude::*;

/// Seconds that `analyze()` waits for the worker at most, by default.
fn ask_and_wait(seconds: f64) {
    let wanted = worker::next_analysis();
    if !worker::ask(Request::Analyze) {
        ereport!(
            NOTICE,
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "no analysis can run: IndexPilot is not in shared_preload_libraries"
        );
        return;
    }
    if !worker::launcher_is_running() {
        notice!(
            "no analysis can run now: the launcher is not running; what is shown is what the last one found"
        );
        return;
    }
    let deadline = clock::now() + (seconds.clamp(0.0, 600.0) * 1e6) as i64;
    while worker::analyses_finished() < wanted {
        if clock::now() > deadline {
            notice!(
                "the analysis still runs after {seconds} s; what is shown is what the last one found"
            );
            return;
        }
        pgrx::check_for_interrupts!();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Whether the present role may see, or act on, a table's recommendations.
fn rights(relation: pg_sys::Oid, role: &str, owner_only: bool) -> bool {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<bool>(
            "SELECT coalesce((SELECT pg_has_role($2, c.relowner, 'USAGE') FROM pg_class AS c
                 WHERE c.oid = $1), false)
                 OR (NOT $3 AND pg_has_role($2, 'pg_read_all_stats', 'USAGE'))
                 OR (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = $2)",
            &[relation.into(), role.into(), owner_only.into()],
        )
        .ok()
        .flatten()
        .unwrap_or(false)
    })
}

/// Whether the role may see everybody's statements.
fn rights_of_all_stats(role: &str) -> bool {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<bool>(
            "SELECT pg_has_role($1, 'pg_read_all_stats', 'USAGE')",
            &[role.into()],
        )
        .ok()
        .flatten()
        .unwrap_or(false)
    })
}

fn spi_error(error: pgrx::spi::SpiError) -> ! {
    error!("{error}")
}

fn visible() -> Vec<Stored> {
    let role = spi::current_role();
    recommendation::all()
        .unwrap_or_else(|e| spi_error(e))
        .into_iter()
        .filter(|stored| rights(stored.relation, &role, false))
        .collect()
}

fn found(id: Uuid) -> Stored {
    match visible().into_iter().find(|stored| stored.id == id) {
        Some(stored) => stored,
        None => {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("recommendation {id} does not exist"),
                "SELECT * FROM indexpilot.analyze() lists those that you may see."
            );
        }
    }
}

fn must_own(stored: &Stored) {
    let role = spi::current_role();
    if !rights(stored.relation, &role, true) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of table {}", stored.table)
        );
    }
}

/// See `sql/functions/recommendations.sql`.
#[pg_extern(sql = false)]
fn analyze(
    wait: f64,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(action, String),
        name!(table_name, String),
        name!(definition, String),
        name!(benefit_percent, f64),
        name!(saved_ms_per_day, f64),
        name!(bytes, i64),
        name!(build_ms, f64),
        name!(write_ms_per_day, f64),
        name!(break_even_calls, Option<f64>),
        name!(confidence, f64),
        name!(statements, i32),
        name!(tenants, i32),
        name!(reason, String),
        name!(state, String),
    ),
> {
    if wait > 0.0 {
        ask_and_wait(wait);
    }
    let reads_all = rights_of_all_stats(&spi::current_role());
    let rows: Vec<_> = visible()
        .into_iter()
        .filter(|stored| stored.state.is_open())
        .map(|stored| {
            let figures = &stored.figures;
            (
                stored.id,
                stored.action.clone(),
                stored.table.clone(),
                stored.definition.clone(),
                100.0 * figures.benefit,
                figures.saved_ms_per_day,
                i64::try_from(figures.bytes).unwrap_or(i64::MAX),
                figures.build_ms,
                figures.write_ms_per_day,
                figures.break_even_calls,
                figures.confidence,
                i32::try_from(figures.statements.len()).unwrap_or(i32::MAX),
                i32::try_from(figures.tenants.len()).unwrap_or(i32::MAX),
                if reads_all {
                    figures.reason.clone()
                } else {
                    explanation::without_statements(&figures.reason)
                },
                stored.state.name().to_owned(),
            )
        })
        .collect();
    if rows.is_empty() {
        let why = recommendation::last_empty_because()
            .unwrap_or_else(|e| spi_error(e))
            .unwrap_or_else(|| "nothing that you may see is advised".into());
        notice!("nothing is advised: {why}");
    }
    TableIterator::new(rows)
}

/// A recommendation as text.
#[pg_extern(sql = false)]
fn explain(id: Uuid) -> String {
    let stored = found(id);
    let role = spi::current_role();
    let reads_all = rights_of_all_stats(&role);
    explanation::text(&stored, reads_all, |of| reads_all || of == role)
        .unwrap_or_else(|e| spi_error(e))
}

/// What carrying it out would run.
#[pg_extern(sql = false)]
fn preview(id: Uuid) -> String {
    explanation::command(&found(id))
}

/// Queues it for the worker.
#[pg_extern(sql = false)]
fn apply(id: Uuid) -> Uuid {
    let stored = found(id);
    must_own(&stored);
    let role = spi::current_role();
    let job = analysis::carry_out(id, stored.state, stored.intent.clone(), Some(&role))
        .unwrap_or_else(|e| spi_error(e));
    match job {
        Some(job) => job,
        None => {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "recommendation {id} cannot be applied: it is {}",
                    stored.state.name()
                )
            );
        }
    }
}

/// Says no to it.
#[pg_extern(sql = false)]
fn dismiss(id: Uuid, reason: &str) {
    let stored = found(id);
    must_own(&stored);
    if reason.trim().is_empty() {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "a dismissal needs a reason"
        );
    }
    let done = recommendation::transition(id, stored.state, State::Dismissed, Some(reason.trim()))
        .unwrap_or_else(|e| spi_error(e));
    if !done {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "recommendation {id} cannot be dismissed: it is {}",
                stored.state.name()
            )
        );
    }
}
