//! Index merging (S. Chaudhuri, V. Narasayya: "Index Merging", ICDE 1999): one index that
//! serves what two would, at less than their size and upkeep. The parents stay candidates.

use super::{Candidate, Origin, Settings};
use indexpilot_model::index::IncludedAttribute;
use indexpilot_model::{AccessMethod, IndexDefinition, IndexKey};
use std::collections::{BTreeSet, HashSet};

/// Merging looks at this many candidates of a relation, the highest ranked.
const PARENTS: usize = 48;
/// And adds at most this many.
const CHILDREN: usize = 48;

/// `a` with what `b` has more: a.keys ++ (b.keys \ a.keys), payloads united. `None` where the
/// two cannot be one.
pub fn merged(
    a: &IndexDefinition,
    b: &IndexDefinition,
    settings: &Settings,
) -> Option<IndexDefinition> {
    if a.method != AccessMethod::Btree
        || b.method != AccessMethod::Btree
        || a.relation != b.relation
        || a.predicate != b.predicate
        || a == b
    {
        return None;
    }
    let mut keys: Vec<IndexKey> = a.keys.clone();
    for key in &b.keys {
        match keys.iter().find(|known| known.element == key.element) {
            Some(known) if known.opclass != key.opclass => return None,
            Some(_) => {}
            None => keys.push(key.clone()),
        }
    }
    if keys.len() > settings.max_columns {
        return None;
    }
    let mut include: Vec<IncludedAttribute> = a
        .include
        .iter()
        .chain(&b.include)
        .filter(|column| {
            !keys
                .iter()
                .any(|key| key.element.as_attribute() == Some(column.number))
        })
        .cloned()
        .collect();
    include.sort();
    include.dedup();
    if include.len() > settings.max_include {
        return None;
    }
    let child = IndexDefinition {
        keys,
        include,
        ..a.clone()
    };
    (child != *a && child != *b).then_some(child)
}

/// Adds one round of merged candidates. `candidates` are ranked, highest first.
pub fn add_merged(candidates: &mut Vec<Candidate>, settings: &Settings) {
    let parents: Vec<Candidate> = candidates.iter().take(PARENTS).cloned().collect();
    let mut known: HashSet<IndexDefinition> = candidates
        .iter()
        .map(|candidate| candidate.definition.clone())
        .collect();
    let mut children: Vec<Candidate> = Vec::new();
    for a in &parents {
        for b in &parents {
            // Within one statement the stages have combined what there is to combine.
            let apart = b.statements.iter().any(|s| !a.statements.contains(s));
            if !apart || !worth_merging(&a.definition, &b.definition) {
                continue;
            }
            if let Some(definition) = merged(&a.definition, &b.definition, settings)
                && known.insert(definition.clone())
            {
                children.push(Candidate {
                    definition,
                    origins: BTreeSet::from([Origin::Merged]),
                    statements: Vec::new(),
                    score: 0.9 * (a.score + b.score),
                    place: usize::MAX,
                });
            }
        }
    }
    super::sort(&mut children);
    children.truncate(CHILDREN);
    candidates.extend(children);
}

/// A merged index serves the second parent only where their leading keys agree, or where
/// only payloads differ.
fn worth_merging(a: &IndexDefinition, b: &IndexDefinition) -> bool {
    match (a.keys.first(), b.keys.first()) {
        (Some(one), Some(two)) => one == two,
        _ => false,
    }
}
