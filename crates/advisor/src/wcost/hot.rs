//! Lost heap-only updates, as update groups of the selection problem.
//!
//! An update is heap-only when no index but summarising ones covers a column that it
//! changes, and the new row fits its page. Then no index is touched. Cover one such column
//! and *every* index of the table gets a new entry for each of those updates: measured,
//! about 98 bytes of WAL and 10–21 µs for each index, while a heap-only update costs the
//! same however many indexes there are.

use super::constants::WriteConstants;
use super::upkeep::TableWrites;
use crate::selection::UpdateGroup;
use indexpilot_model::{IndexDefinition, Oid};

/// An option on the table, by its number in the problem.
#[derive(Clone, Debug)]
pub struct HotOption<'d> {
    /// Number in the problem.
    pub option: usize,
    /// What it covers.
    pub definition: &'d IndexDefinition,
    /// Share of the table's rows that it holds (below 1 for partial indexes).
    pub row_share: f64,
}

/// One group for each update pattern of a table.
///
/// A pattern that an outside index already makes non-heap-only is a group that is lost
/// already: each chosen index pays for it. Summarising indexes stand in the way before
/// PostgreSQL 16; INCLUDE columns, expressions and predicates do in every version
/// (`RelationGetIndexAttrBitmap`).
pub fn update_groups(
    table: Oid,
    writes: &TableWrites,
    options: &[HotOption<'_>],
    constants: &WriteConstants,
) -> Vec<UpdateGroup> {
    let c = constants;
    let wal_us = |bytes: f64| bytes / 1e6 * c.wal_us_per_mb;
    // Milliseconds for each index entry of a lost update.
    let entry_ms = (c.update_us + wal_us(c.update_wal)) / 1e3;
    writes
        .updates
        .iter()
        .filter(|pattern| pattern.per_day > 0.0)
        .map(|pattern| {
            let eligible = writes.eligible(pattern);
            // What finds no room on its page is not heap-only anyway and part of upkeep.
            let updates = if eligible {
                pattern.per_day * writes.hot_share
            } else {
                pattern.per_day
            };
            let triggers = options
                .iter()
                .filter(|o| {
                    let blocks =
                        !(o.definition.method.is_summarizing() && writes.summarizing_is_hot);
                    blocks
                        && o.definition
                            .attributes()
                            .iter()
                            .any(|a| pattern.attributes.contains(a))
                })
                .map(|o| o.option)
                .collect();
            let per_option = options
                .iter()
                .map(|o| {
                    let entries = WriteConstants::entries(o.definition.method);
                    (
                        o.option,
                        updates * entries * entry_ms * o.row_share.clamp(0.0, 1.0),
                    )
                })
                .collect();
            let outside = f64::from(writes.indexes_outside);
            UpdateGroup {
                label: format!("{} of {}", pattern.label, writes.label),
                table,
                updates,
                triggers,
                already_lost: !eligible,
                // What is lost already is paid already, whatever is chosen.
                base_ms: if eligible {
                    updates * (c.heap_us / 1e3 + outside * entry_ms)
                } else {
                    0.0
                },
                outside: writes.indexes_outside,
                per_option,
            }
        })
        .collect()
}

/// The group in words, for `chosen` ("would turn … HOT updates a day into non-HOT").
pub fn words(group: &UpdateGroup, indexes_chosen: usize, cost_ms: f64) -> String {
    let indexes = group.outside as usize + indexes_chosen;
    if group.already_lost {
        return format!(
            "each of {:.0} updates a day ({}) is non-HOT already and gets an entry in it",
            group.updates, group.label
        );
    }
    format!(
        "would turn {:.0} HOT updates a day ({}) into non-HOT, charging {indexes} {} each time: {} a day",
        group.updates,
        group.label,
        if indexes == 1 { "index" } else { "indexes" },
        crate::selection::why::duration(cost_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::super::upkeep::UpdatePattern;
    use super::*;
    use indexpilot_model::{AccessMethod, Expression, IndexKey, RelationName};

    fn definition(attributes: &[i16]) -> IndexDefinition {
        let relation = RelationName {
            oid: 1,
            schema: "s".into(),
            name: "t".into(),
        };
        let key = |&a: &i16| IndexKey::ascending(Expression::attribute(a, format!("c{a}")));
        IndexDefinition::btree(relation, attributes.iter().map(key).collect())
    }

    fn writes(summarizing_is_hot: bool) -> TableWrites {
        TableWrites {
            label: "t".into(),
            inserts: 0.0,
            deletes: 0.0,
            updates: vec![
                UpdatePattern {
                    label: "c5".into(),
                    attributes: vec![5],
                    per_day: 10_000.0,
                },
                UpdatePattern {
                    label: "c1".into(),
                    attributes: vec![1],
                    per_day: 100.0,
                },
            ],
            tuples: 1e6,
            hot_share: 0.9,
            indexed: vec![1],
            indexes_outside: 3,
            plans: 0.0,
            cache_bytes: None,
            summarizing_is_hot,
        }
    }

    #[test]
    fn one_trigger_charges_every_index() {
        let (plain, hot) = (definition(&[2]), definition(&[2, 5]));
        let options = [(0, &plain), (1, &hot)].map(|(option, definition)| HotOption {
            option,
            definition,
            row_share: 1.0,
        });
        let groups = update_groups(1, &writes(false), &options, &WriteConstants::default());
        let group = &groups[0];
        assert_eq!((group.updates, group.already_lost), (9_000.0, false));
        assert_eq!(group.triggers, [1]);
        assert_eq!(
            group.per_option.len(),
            2,
            "the one that does not trigger is charged too"
        );
        // Three outside indexes: three entries and the heap.
        let entry = group.per_option[0].1;
        assert!((group.base_ms - (3.0 * entry + 9_000.0 * 0.003)).abs() < 1e-9);
        assert!(
            words(group, 2, 1_000.0)
                .contains("9000 HOT updates a day (c5 of t) into non-HOT, charging 5 indexes")
        );
        // What touches an indexed column already is charged by every new index, nothing else.
        assert!(groups[1].already_lost && groups[1].base_ms == 0.0 && groups[1].updates == 100.0);
    }

    #[test]
    fn summarizing_indexes_stand_in_the_way_before_16() {
        let mut brin = definition(&[5]);
        brin.method = AccessMethod::Brin;
        let options = [HotOption {
            option: 0,
            definition: &brin,
            row_share: 1.0,
        }];
        let triggers = |v| {
            update_groups(1, &writes(v), &options, &WriteConstants::default())[0]
                .triggers
                .clone()
        };
        assert_eq!((triggers(false), triggers(true)), (vec![0], vec![]));
    }

    #[test]
    fn predicates_and_payload_block_too() {
        use indexpilot_model::index::IncludedAttribute;
        let mut partial = definition(&[2]);
        partial.predicate = Some(Expression::attribute(5, "c5"));
        let mut covering = definition(&[2]);
        covering.include.push(IncludedAttribute {
            number: 5,
            name: "c5".into(),
        });
        for d in [partial, covering] {
            let options = [HotOption {
                option: 0,
                definition: &d,
                row_share: 1.0,
            }];
            assert_eq!(
                update_groups(1, &writes(false), &options, &WriteConstants::default())[0].triggers,
                [0]
            );
        }
    }
}
