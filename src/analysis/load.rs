//! From captured statements to the workload: how much each weighs, which demand does not
//! count, and what the host's own numbers are.

use super::session;
use crate::pg::catalog::{self, ServerCatalog};
use crate::pg::transaction;
use crate::store::captured::Captured;
use crate::store::expression::DisabledFields;
use crate::store::recommendation::Stored;
use indexpilot_advisor::plan::MS_PER_UNIT;
use indexpilot_advisor::pricing::Load;
use indexpilot_advisor::wcost::WriteSample;
use indexpilot_advisor::workload::Statement;
use indexpilot_model::query::{Comparand, FieldRole, StatementKind};
use indexpilot_model::{Catalog, Oid, QueryShape, TenantKey};

/// How far back statements count, days.
pub(super) const WINDOW_DAYS: f64 = 7.0;

/// Constants that are the same in every sample are part of the statement; capture keeps them
/// as parameters behind the statement's own.
fn with_constants(mut shape: QueryShape, captured: &Captured) -> QueryShape {
    let samples = &captured.stored.samples;
    for field in &mut shape.uses {
        if let Comparand::Parameter(number) = field.comparand
            && number as usize > captured.own_parameters
            && let Some(first) = samples
                .first()
                .and_then(|s| s.values.get(number as usize - 1))
            && samples
                .iter()
                .all(|s| s.values.get(number as usize - 1) == Some(first))
        {
            field.comparand = Comparand::Constant(first.clone());
        }
    }
    shape
}

/// A statement that writes so many rows a call loads data.
const BULK_ROWS: f64 = 1_000.0;

/// Whether a use of a field asks for an index on it.
fn demands(role: FieldRole) -> bool {
    !matches!(
        role,
        FieldRole::Output
            | FieldRole::Updated
            | FieldRole::Inequality
            | FieldRole::SameRow
            | FieldRole::JoinFilter
    )
}

/// Calls that shares of tenants refer to: where most calls have a tenant, the others (before
/// it was known where the statement says it) have the same ones.
fn attributed(captured: &Captured) -> f64 {
    if captured.attributed >= captured.calls / 2.0 {
        captured.attributed.max(1.0)
    } else {
        captured.calls.max(1.0)
    }
}

/// Share of the calls that use a field which their tenant has switched off, and one such
/// field.
pub(super) fn switched_off(
    captured: &Captured,
    shapes: &[QueryShape],
    disabled: &DisabledFields,
) -> Option<(f64, String)> {
    let mut calls = 0.0;
    let mut field = None;
    for (tenant, own) in &captured.tenants {
        let key = TenantKey::from_text(tenant.as_bytes());
        let found = shapes.iter().find_map(|shape| {
            shape.uses.iter().find_map(|use_| {
                let relation = &shape.instances[use_.instance].relation;
                (demands(use_.role)
                    && use_
                        .element
                        .attributes()
                        .iter()
                        .any(|a| disabled.contains(key, relation.oid, *a)))
                .then(|| {
                    let name = use_.element.for_people();
                    format!("{}.{}.{name}", relation.schema, relation.name)
                })
            })
        });
        if found.is_some() {
            calls += own;
            field = field.or(found);
        }
    }
    field.map(|field| ((calls / attributed(captured)).min(1.0), field))
}

pub(super) fn statement(
    captured: &Captured,
    shapes: Vec<QueryShape>,
    span_days: f64,
    demand: f64,
) -> Statement {
    let rows_per_call = captured.rows / captured.calls.max(1.0);
    // A load seen in a short span says nothing of the next hour: it is not scaled up.
    let bulk = captured.kind != "select" && rows_per_call >= BULK_ROWS;
    let span_days = if bulk { WINDOW_DAYS } else { span_days };
    let calls = captured.calls / span_days;
    Statement {
        id: captured.id,
        label: session::label(&captured.text),
        shapes: shapes
            .into_iter()
            .map(|shape| with_constants(shape, captured))
            .collect(),
        calls_per_day: calls,
        rows_per_call,
        load: Load::Plans {
            calls_per_day: calls * demand,
            plans: captured.plans.clone(),
        },
        // Where several different calls were sampled, what was the same in all is fixed.
        constants_fixed: captured.stored.samples.len() >= 3,
        max_regression: None,
        tenants: captured
            .tenants
            .iter()
            .map(|(tenant, own)| (tenant.clone(), own / attributed(captured)))
            .collect(),
    }
}

/// Share of the pages that lie in memory: what statements found in shared buffers, or what
/// the operator says of the cache (`effective_cache_size`) where that is more, because what
/// the system's cache holds counts as read.
pub(super) fn warmth(captured: &[Captured]) -> f64 {
    let hit: f64 = captured.iter().map(|c| c.blocks.0).sum();
    let read: f64 = captured.iter().map(|c| c.blocks.1).sum();
    let found = if hit + read > 0.0 {
        hit / (hit + read)
    } else {
        0.0
    };
    let held = transaction::run(catalog::share_in_cache).unwrap_or(0.0);
    found.max(held)
}

/// Milliseconds for a planner cost unit on this host, over all that ran; within a factor of
/// twenty of the usual, because a few odd statements are no host.
pub(super) fn ms_per_unit(captured: &[Captured]) -> f64 {
    let plans = captured.iter().flat_map(|c| &c.plans);
    let (ms, cost) = plans.fold((0.0, 0.0), |(ms, cost), p| (ms + p.ms, cost + p.cost));
    if cost > 0.0 && ms > 0.0 {
        (ms / cost).clamp(MS_PER_UNIT / 20.0, MS_PER_UNIT * 20.0)
    } else {
        MS_PER_UNIT
    }
}

/// The relation that a shape inserts into or updates.
pub(super) fn target(shape: &QueryShape) -> Option<Oid> {
    matches!(shape.kind, StatementKind::Insert | StatementKind::Update)
        .then(|| shape.instances.iter().find(|i| i.is_target))
        .flatten()
        .map(|instance| instance.relation.oid)
}

/// Rows from which on a statement's time a row says something.
const ENOUGH_ROWS: f64 = 100.0;

/// What a row took to insert on tables with different numbers of indexes. Tables whose
/// indexes changed within the window are left out: their time is of both numbers.
pub(super) fn write_samples(
    written: &[(&Captured, Oid)],
    catalog: &mut ServerCatalog,
    known: &[Stored],
) -> Vec<WriteSample> {
    let changed = |oid: Oid| {
        known.iter().any(|stored| {
            stored.relation.to_u32() == oid
                && stored.state.was_done()
                && stored.days_in_state < WINDOW_DAYS
        })
    };
    written
        .iter()
        .filter(|(captured, oid)| {
            captured.kind == "insert" && captured.rows >= ENOUGH_ROWS && !changed(*oid)
        })
        .filter_map(|(captured, oid)| {
            let relation = transaction::run(|| catalog.relation(*oid)).ok().flatten()?;
            Some(WriteSample {
                update: false,
                indexes: relation.indexes.len() as u32,
                us_per_row: captured.total_ms * 1e3 / captured.rows,
                wal_per_row: captured.wal_bytes / captured.rows,
            })
        })
        .collect()
}
