//! What is there already, and which index makes which other needless.

use indexpilot_model::{AccessMethod, IndexDefinition, IndexKey, RelationInfo};

fn reversed(key: &IndexKey) -> IndexKey {
    IndexKey {
        descending: !key.descending,
        nulls_first: !key.nulls_first,
        ..key.clone()
    }
}

fn is_prefix(short: &[IndexKey], long: &[IndexKey]) -> bool {
    short.len() <= long.len()
        && (short.iter().zip(long).all(|(a, b)| a == b)
            // A b-tree is read in both directions.
            || short.iter().zip(long).all(|(a, b)| reversed(a) == *b))
}

/// Whether `wide` serves everything that `narrow` does: same method and operator classes,
/// keys a prefix in one of the two directions, payload carried, predicate the same, and
/// uniqueness not lost.
pub fn subsumes(wide: &IndexDefinition, narrow: &IndexDefinition) -> bool {
    if wide.relation.oid != narrow.relation.oid
        || wide.method != narrow.method
        || wide.predicate != narrow.predicate
    {
        return false;
    }
    if narrow.unique && !(wide.unique && wide.keys == narrow.keys) {
        return false;
    }
    match narrow.method {
        AccessMethod::Btree => {
            is_prefix(&narrow.keys, &wide.keys)
                && narrow.include.iter().all(|column| {
                    wide.include.contains(column)
                        || wide
                            .keys
                            .iter()
                            .any(|key| key.element.as_attribute() == Some(column.number))
                })
        }
        // GIN, GiST and BRIN search by any key (manual: Multicolumn Indexes).
        _ => narrow.keys.iter().all(|key| wide.keys.contains(key)),
    }
}

/// Why a candidate is needless beside the indexes that exist; `None` where it is not.
pub fn covered_by(candidate: &IndexDefinition, relation: &RelationInfo) -> Option<String> {
    for index in &relation.indexes {
        let Some(definition) = &index.definition else {
            continue;
        };
        // An invalid index serves nobody: building a twin beside it would leave both.
        if !index.valid {
            if subsumes(definition, candidate) && subsumes(candidate, definition) {
                return Some(format!(
                    "index {} has this definition but is invalid: it has to be rebuilt or dropped, not built twice",
                    index.name
                ));
            }
            continue;
        }
        // As wide an index of the same keys: the planner would gain nothing. Longer ones are
        // larger, so a short one may still pay; the planner prices that.
        if subsumes(definition, candidate) && definition.keys.len() == candidate.keys.len() {
            return Some(format!("index {} exists and does the same", index.name));
        }
    }
    None
}

/// Existing indexes that another existing one makes redundant: (needless, by).
pub fn redundant(relation: &RelationInfo) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    for (i, narrow) in relation.indexes.iter().enumerate() {
        let Some(small) = &narrow.definition else {
            continue;
        };
        if !narrow.protections.is_empty() {
            continue;
        }
        for (j, wide) in relation.indexes.iter().enumerate() {
            let Some(large) = &wide.definition else {
                continue;
            };
            if i == j || !wide.valid || !subsumes(large, small) {
                continue;
            }
            // Of two that do the same, the one that must stay, then the older, stays.
            let twins = subsumes(small, large);
            if !twins || !wide.protections.is_empty() || wide.oid < narrow.oid {
                out.push((i, j));
                break;
            }
        }
    }
    out
}
