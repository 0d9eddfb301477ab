//! What the workload writes: rows inserted a relation, and classes of updates by the set of
//! columns they assign. Two updates of the same columns lose their heap-only form to the same
//! indexes (src/backend/access/heap/README.HOT), so they are one class.

use super::Statement;
use indexpilot_model::query::StatementKind;
use indexpilot_model::{Oid, RelationInfo};
use std::collections::BTreeMap;

/// Updates of one set of columns of one relation.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateClass {
    /// Relation.
    pub relation: Oid,
    /// Attributes assigned, ascending.
    pub attributes: Vec<i16>,
    /// Rows a day.
    pub updates: f64,
}

/// Rows written a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteLoad {
    /// Inserted.
    pub inserts: f64,
    /// Updated.
    pub updates: f64,
    /// Deleted.
    pub deletes: f64,
    /// Time of the statements that write, milliseconds a day, as far as measured.
    pub ms: f64,
}

/// Update classes of all statements.
pub fn update_classes(statements: &[Statement]) -> Vec<UpdateClass> {
    let mut classes: BTreeMap<(Oid, Vec<i16>), f64> = BTreeMap::new();
    for statement in statements {
        for shape in &statement.shapes {
            let mut by_instance: BTreeMap<usize, Vec<i16>> = BTreeMap::new();
            for &(instance, attribute) in &shape.assigned {
                by_instance.entry(instance).or_default().push(attribute);
            }
            for (instance, attributes) in by_instance {
                let relation = shape.instances[instance].relation.oid;
                *classes.entry((relation, attributes)).or_insert(0.0) +=
                    statement.calls_per_day * statement.rows_per_call;
            }
        }
    }
    classes
        .into_iter()
        .map(|((relation, attributes), updates)| UpdateClass {
            relation,
            attributes,
            updates,
        })
        .collect()
}

/// Rows written into a relation. The relation's own counters are the truth where they cover
/// a day's worth of time or the statements say nothing; statements given by hand are believed.
pub fn write_load(
    relation: &RelationInfo,
    statements: &[Statement],
    believe_counters: bool,
) -> WriteLoad {
    let mut load = WriteLoad::default();
    for statement in statements {
        for shape in &statement.shapes {
            let targets = shape
                .instances
                .iter()
                .any(|i| i.is_target && i.relation.oid == relation.name.oid);
            if !targets {
                continue;
            }
            let rows = statement.calls_per_day * statement.rows_per_call;
            match shape.kind {
                StatementKind::Insert => load.inserts += rows,
                StatementKind::Update | StatementKind::Merge => load.updates += rows,
                StatementKind::Delete => load.deletes += rows,
                _ => {}
            }
            load.ms += statement.load.seen_ms().unwrap_or(0.0);
        }
    }
    let activity = &relation.activity;
    if believe_counters && activity.seconds >= 86_400.0 {
        let daily = 86_400.0 / activity.seconds;
        load.inserts = load.inserts.max(activity.inserts * daily);
        load.updates = load.updates.max(activity.updates * daily);
        load.deletes = load.deletes.max(activity.deletes * daily);
    }
    load
}
