//! The writes of a relation, as [`crate::wcost`] wants them: from the statements and from the
//! relation's own counters.

use super::Settings;
use crate::wcost::{TableWrites, UpdatePattern};
use crate::workload::{self, Statement, UpdateClass, WriteLoad};
use indexpilot_model::RelationInfo;
use indexpilot_model::catalog::ExistingIndex;
use std::collections::BTreeSet;

/// What is written to a relation a day; `outside` are its indexes that are no options.
pub(super) fn of(
    relation: &RelationInfo,
    classes: &[UpdateClass],
    load: &WriteLoad,
    outside: &[&ExistingIndex],
    settings: &Settings,
) -> TableWrites {
    let indexed: BTreeSet<i16> = outside
        .iter()
        .filter_map(|index| index.definition.as_ref())
        .filter(|definition| !(settings.summarizing_is_hot && definition.method.is_summarizing()))
        .flat_map(indexpilot_model::IndexDefinition::attributes)
        .collect();
    let mut updates: Vec<UpdatePattern> = classes
        .iter()
        .filter(|class| class.relation == relation.name.oid && class.updates > 0.0)
        .map(|class| UpdatePattern {
            label: names(relation, &class.attributes),
            attributes: class.attributes.clone(),
            per_day: class.updates,
        })
        .collect();
    let explained: f64 = updates.iter().map(|pattern| pattern.per_day).sum();
    let blocked: f64 = updates
        .iter()
        .filter(|pattern| pattern.attributes.iter().any(|a| indexed.contains(a)))
        .map(|pattern| pattern.per_day)
        .sum();
    let activity = &relation.activity;
    // Updates that the counters show and no statement explains: their columns are unknown, so
    // they are lost as heap-only where they are lost now.
    if activity.updates > 0.0 {
        let cold = 1.0 - (activity.hot_updates / activity.updates).clamp(0.0, 1.0);
        let rest = (load.updates - explained) * cold;
        if let (true, Some(any)) = (rest > 0.0, indexed.first()) {
            updates.push(UpdatePattern {
                label: "of unknown columns".into(),
                attributes: vec![*any],
                per_day: rest,
            });
        }
    }
    let blocked_share = if explained > 0.0 {
        blocked / explained
    } else {
        0.0
    };
    TableWrites {
        label: relation.name.name.clone(),
        inserts: load.inserts,
        deletes: load.deletes,
        updates,
        tuples: relation.tuples,
        hot_share: TableWrites::hot_share_from(
            activity.updates,
            activity.hot_updates,
            activity.updates * blocked_share,
            relation.fillfactor,
        ),
        indexed: indexed.into_iter().collect(),
        indexes_outside: outside.len() as u32,
        // How often a prepared statement is planned again is not known.
        plans: 0.0,
        cache_bytes: None,
        summarizing_is_hot: settings.summarizing_is_hot,
    }
}

/// The load of a relation, and its time a day: as measured, or as the constants have it.
pub(super) fn load(
    relation: &RelationInfo,
    statements: &[Statement],
    settings: &Settings,
) -> (WriteLoad, f64) {
    let load = workload::write_load(relation, statements, settings.believe_counters);
    let rows = load.inserts + load.updates + load.deletes;
    // A row costs the heap about as much as an index.
    let ms = load.ms.max(rows * 2.0 * settings.writes.insert_us / 1e3);
    (load, ms)
}

fn names(relation: &RelationInfo, attributes: &[i16]) -> String {
    attributes
        .iter()
        .filter_map(|number| relation.attribute(*number).map(|a| a.name.as_str()))
        .collect::<Vec<_>>()
        .join(", ")
}
