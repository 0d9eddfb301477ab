//! Lineage of the schema: what the catalog diff found becomes entries of the mutation log,
//! one a relation.

use crate::store::genome::GenomeChange;
use crate::store::mutation_log;
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use indexpilot_model::query::RelationName;
use pgrx::spi::SpiResult;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One sentence about a change of one field.
fn sentence(change: &GenomeChange) -> String {
    let field = |names: &Option<[String; 3]>| {
        names
            .as_ref()
            .map_or_else(String::new, |names| format!("\"{}\"", names[2]))
    };
    let type_of = |name: &Option<String>| name.clone().unwrap_or_default();
    match change.kind.as_str() {
        "added" => format!(
            "{} added ({})",
            field(&change.after),
            type_of(&change.type_after)
        ),
        "dropped" => format!("{} dropped", field(&change.before)),
        "renamed"
            if change.before.as_ref().map(|n| &n[2]) == change.after.as_ref().map(|n| &n[2]) =>
        {
            let from = change.before.clone().unwrap_or_default();
            format!(
                "{} came along from \"{}\".\"{}\"",
                field(&change.after),
                from[0],
                from[1]
            )
        }
        "renamed" => format!(
            "{} renamed to {}",
            field(&change.before),
            field(&change.after)
        ),
        "retyped" => format!(
            "{} retyped from {} to {}",
            field(&change.after),
            type_of(&change.type_before),
            type_of(&change.type_after)
        ),
        "required" => format!("NOT NULL of {} changed", field(&change.after)),
        "recreated" => format!("{} made again", field(&change.after)),
        _ => format!("{} can or cannot be indexed now", field(&change.after)),
    }
}

/// Logs what a refresh of the genome found, one entry a relation. Gives their number.
///
/// # Errors
/// What SPI reports.
pub fn record(changes: &[GenomeChange]) -> SpiResult<usize> {
    let mut relations: BTreeMap<u32, Vec<&GenomeChange>> = BTreeMap::new();
    for change in changes {
        relations
            .entry(change.relation_oid.to_u32())
            .or_default()
            .push(change);
    }
    for (oid, changes) in &relations {
        let Some(names) = changes
            .iter()
            .rev()
            .find_map(|change| change.after.as_ref().or(change.before.as_ref()))
        else {
            continue;
        };
        const SHOWN: usize = 8;
        let mut sentences: Vec<String> = changes
            .iter()
            .take(SHOWN)
            .map(|change| sentence(change))
            .collect();
        if changes.len() > SHOWN {
            sentences.push(format!("{} more", changes.len() - SHOWN));
        }
        let details: Vec<Value> = changes
            .iter()
            .map(|change| {
                json!({
                    "change": change.kind,
                    "before": change.before,
                    "after": change.after,
                    "type_before": change.type_before,
                    "type_after": change.type_after,
                })
            })
            .collect();
        mutation_log::append(
            &MutationRecord::new(
                MutationKind::SchemaChange,
                MutationPhase::Done,
                Cause::Observed,
                format!(
                    "fields of {}.{}: {}",
                    names[0],
                    names[1],
                    sentences.join(", ")
                ),
            )
            .on(RelationName {
                oid: *oid,
                schema: names[0].clone(),
                name: names[1].clone(),
            })
            .with(json!({ "fields": details })),
        )?;
    }
    Ok(relations.len())
}
