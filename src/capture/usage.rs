//! What a statement's executions add to the fields that it uses.

use super::fields::role_name;
use crate::pg::shmem::Drained;
use crate::pg::shmem::entry::JOINED;
use crate::store::statement::Known;
use indexpilot_model::Expression;
use indexpilot_model::query::{Comparand, FieldRole, FieldUse};
use std::collections::{BTreeMap, BTreeSet};

/// Relation, field, role, kind of statement, tenant.
pub type FieldKey = (String, String, String, String, String);

/// Sums of one field use.
#[derive(Default)]
pub struct FieldSum {
    /// pg_class.oid.
    pub relation_oid: u32,
    /// Executions.
    pub calls: u64,
    /// Rows.
    pub rows: u64,
    /// Their time.
    pub milliseconds: f64,
    /// Rows thrown away, estimated from samples; `None` where nothing was sampled.
    pub filtered: Option<f64>,
}

/// Adds a statement's work, or a tenant's part of it, to every field that it uses.
pub fn add_fields(
    fields: &mut BTreeMap<FieldKey, FieldSum>,
    known: &Known,
    drained: &Drained,
    tenant: &str,
    work: &Work,
) {
    let Some(shape) = &known.shape else { return };
    if work.calls == 0 {
        return;
    }
    let mut seen = BTreeSet::new();
    for (number, field) in shape.uses.iter().enumerate() {
        let relation = &shape.instances[field.instance].relation;
        if matches!(
            relation.schema.as_str(),
            "pg_catalog" | "information_schema" | "pg_toast" | "indexpilot"
        ) {
            continue;
        }
        let mut roles = vec![role_name(field.role)];
        if known.evidence.is_constant(number) {
            roles.push(String::from(CONSTANT));
        }
        for role in roles {
            let key = (
                relation.qualified(),
                field.element.for_people(),
                role,
                known.kind.clone(),
                tenant.to_owned(),
            );
            // A field that a statement uses twice in one role is used once.
            if !seen.insert(key.clone()) {
                continue;
            }
            let sum = fields.entry(key).or_default();
            sum.relation_oid = relation.oid;
            sum.calls += work.calls;
            sum.rows += work.rows;
            sum.milliseconds += work.nanoseconds as f64 / 1e6;
            if drained.sampled == 0 {
                continue;
            }
            let joined = is_joined(field);
            let rows = thrown_away(drained, relation.oid, &field.element, joined);
            // Most join conditions are no filters: hashed, merged or looked up in an index, they
            // throw nothing away that anybody counts. That is unknown, not 0.
            let rows = match rows {
                None if joined || !is_qualifier(field.role) => continue,
                rows => rows.unwrap_or(0.0),
            };
            *sum.filtered.get_or_insert(0.0) += rows * work.calls as f64;
        }
    }
}

/// Role of a field that is compared with nearly always the same value (see `evidence`).
const CONSTANT: &str = "constant";

/// Whether a use in this role is a condition, which a filter may check.
fn is_qualifier(role: FieldRole) -> bool {
    !matches!(
        role,
        FieldRole::OrderAscending
            | FieldRole::OrderDescending
            | FieldRole::OrderAscendingNullsFirst
            | FieldRole::OrderDescendingNullsLast
            | FieldRole::Group
            | FieldRole::Distance
            | FieldRole::Updated
            | FieldRole::Output
    )
}

/// Whether a use is a condition over several relation instances.
fn is_joined(field: &FieldUse) -> bool {
    match (&field.comparand, field.role) {
        (_, FieldRole::Join | FieldRole::JoinFilter) => true,
        (Comparand::Field(other, _), _) => *other != field.instance,
        _ => false,
    }
}

/// Rows that filters over this field threw away in an execution, on the average of those
/// that were looked at: by conditions over several relations (`joined`) or over this one.
/// A filter over several fields counts for each of them. `None` where there was no such filter.
fn thrown_away(
    drained: &Drained,
    relation: u32,
    element: &Expression,
    joined: bool,
) -> Option<f64> {
    let mut attributes = 0u64;
    for number in element.attributes() {
        attributes |= 1
            << if (1..63).contains(&number) {
                number
            } else {
                63
            };
    }
    drained
        .filtered
        .iter()
        .filter(|filter| {
            filter.relation == relation
                && (filter.attributes & JOINED != 0) == joined
                && filter.attributes & attributes == attributes
        })
        .map(|filter| filter.rows)
        .reduce(|sum, rows| sum + rows)
        .map(|rows| rows as f64 / drained.sampled.max(1) as f64)
}

/// Executions, rows and time.
pub struct Work {
    /// Executions.
    pub calls: u64,
    /// Rows.
    pub rows: u64,
    /// Their time.
    pub nanoseconds: u64,
}

impl Work {
    /// All of a statement's.
    pub fn of(drained: &Drained) -> Self {
        drained.plans.iter().fold(
            Work {
                calls: 0,
                rows: 0,
                nanoseconds: 0,
            },
            |sum, plan| Work {
                calls: sum.calls + plan.calls,
                rows: sum.rows + plan.rows,
                nanoseconds: sum.nanoseconds + plan.nanoseconds,
            },
        )
    }
}
