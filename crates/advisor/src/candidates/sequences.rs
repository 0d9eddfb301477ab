//! Key sequences of b-trees: equalities first, in the order that most statements share,
//! then one range or one order.
//!
//! An index scan reads one contiguous piece as long as equalities lead; the first range ends
//! the contiguity (manual: Multicolumn Indexes), and an order behind equalities comes without
//! a sort.

use super::sargs::{Arm, Instance, OrderKey};
use super::{Origin, Proposal, Settings};
use indexpilot_model::expression::Expression;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::{IndexDefinition, IndexKey, Oid, RelationInfo};
use std::collections::HashMap;

/// In how many instances of the workload an element is compared for equality: keys that
/// many share come first, so that one index serves them.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    counts: HashMap<(Oid, u64), u32>,
}

impl Sharing {
    /// Counts.
    pub fn count(statements: &[Vec<Instance>]) -> Self {
        let mut counts = HashMap::new();
        for instance in statements.iter().flatten() {
            let Some(main) = instance.arms.first() else {
                continue;
            };
            for equal in &main.equal {
                *counts
                    .entry((instance.relation, equal.element.fingerprint()))
                    .or_insert(0) += 1;
            }
        }
        Sharing { counts }
    }

    fn of(&self, relation: Oid, element: &Expression) -> u32 {
        self.counts
            .get(&(relation, element.fingerprint()))
            .copied()
            .unwrap_or(0)
    }
}

/// Distinct values of an element; expressions without statistics count as fairly selective.
pub fn distinct(element: &Expression, relation: &RelationInfo) -> f64 {
    element
        .as_attribute()
        .and_then(|number| relation.attribute(number))
        .and_then(|attribute| attribute.distinct)
        .unwrap_or(1_000.0)
}

/// Whether a b-tree can have the element as key.
pub fn orderable(element: &Expression, relation: &RelationInfo) -> bool {
    match element.as_attribute() {
        Some(number) => relation
            .attribute(number)
            .is_some_and(|attribute| attribute.btree_orderable),
        // The server says no when it is registered, if it must.
        None => !element.attributes().is_empty(),
    }
}

/// The operator class under which `LIKE 'prefix%'` becomes a range; `None` where the default
/// one does (collation C) or the type has none.
pub fn pattern_opclass(element: &Expression, relation: &RelationInfo) -> Option<QualifiedName> {
    let attribute = element
        .as_attribute()
        .and_then(|number| relation.attribute(number));
    let name = match attribute {
        Some(attribute) if attribute.collation_is_c => return None,
        Some(attribute) => match attribute.type_name.name.as_str() {
            "bpchar" => "bpchar_pattern_ops",
            "text" | "varchar" => "text_pattern_ops",
            _ => return None,
        },
        None => "text_pattern_ops",
    };
    Some(QualifiedName::catalog(name))
}

/// A key in the making: an element with direction and operator class.
type Key = IndexKey;

fn plain(element: &Expression) -> Key {
    IndexKey::ascending(element.clone())
}

fn ordered(key: &OrderKey) -> Key {
    IndexKey {
        descending: key.descending,
        nulls_first: key.nulls_first,
        ..IndexKey::ascending(key.element.clone())
    }
}

/// The same keys without repeated elements, cut to the number allowed.
fn tidy(keys: Vec<Key>, relation: &RelationInfo, most: usize) -> Vec<Key> {
    let mut out: Vec<Key> = Vec::new();
    for key in keys {
        if out.len() == most || !orderable(&key.element, relation) {
            break;
        }
        if !out.iter().any(|known| known.element == key.element) {
            out.push(key);
        }
    }
    out
}

/// All sequences for an instance.
pub fn propose(
    instance: &Instance,
    relation: &RelationInfo,
    sharing: &Sharing,
    settings: &Settings,
) -> Vec<Proposal> {
    let mut out = Vec::new();
    for arm in &instance.arms {
        if found_by_unique(arm, relation) {
            continue;
        }
        for (fit, keys, origin) in sequences(arm, instance, relation, sharing) {
            let keys = tidy(keys, relation, settings.max_columns);
            if keys.is_empty() {
                continue;
            }
            out.push(Proposal {
                definition: IndexDefinition::btree(relation.name.clone(), keys),
                origin,
                fit,
            });
        }
    }
    super::best(out, usize::MAX)
}

/// A unique index finds at most one row by these equalities: nothing can be better.
fn found_by_unique(arm: &Arm, relation: &RelationInfo) -> bool {
    relation.indexes.iter().any(|index| {
        index.valid
            && index.definition.as_ref().is_some_and(|definition| {
                definition.unique
                    && definition.predicate.is_none()
                    && definition.keys.iter().all(|key| {
                        arm.equal
                            .iter()
                            .any(|equal| !equal.list && equal.element == key.element)
                    })
            })
    })
}

/// Equalities, those that many statements share first, then by number of values.
fn by_sharing<'a>(arm: &'a Arm, relation: &RelationInfo, sharing: &Sharing) -> Vec<&'a Expression> {
    let mut all: Vec<(u32, f64, &Expression)> = arm
        .equal
        .iter()
        .filter(|equal| orderable(&equal.element, relation))
        .map(|equal| {
            (
                sharing.of(relation.name.oid, &equal.element),
                distinct(&equal.element, relation),
                &equal.element,
            )
        })
        .collect();
    all.sort_by(|a, b| {
        b.0.cmp(&a.0)
            .then(b.1.total_cmp(&a.1))
            .then_with(|| a.2.cmp(b.2))
    });
    all.into_iter().map(|(_, _, element)| element).collect()
}

fn sequences(
    arm: &Arm,
    instance: &Instance,
    relation: &RelationInfo,
    sharing: &Sharing,
) -> Vec<(f64, Vec<Key>, Origin)> {
    let mut out: Vec<(f64, Vec<Key>, Origin)> = Vec::new();
    let equal: Vec<Key> = by_sharing(arm, relation, sharing)
        .into_iter()
        .map(plain)
        .collect();
    let mut selective = equal.clone();
    selective
        .sort_by(|a, b| distinct(&b.element, relation).total_cmp(&distinct(&a.element, relation)));
    let is_list = |key: &Key| {
        arm.equal
            .iter()
            .any(|equal| equal.list && equal.element == key.element)
    };
    // A list of values breaks the order behind it.
    let single: Vec<Key> = equal.iter().filter(|key| !is_list(key)).cloned().collect();
    let lists: Vec<Key> = equal.iter().filter(|key| is_list(key)).cloned().collect();
    let ranges: Vec<Key> = arm
        .ranges
        .iter()
        .filter(|range| orderable(&range.element, relation))
        .take(6)
        .map(|range| IndexKey {
            opclass: if range.prefix {
                pattern_opclass(&range.element, relation)
            } else {
                None
            },
            ..plain(&range.element)
        })
        .collect();
    let orders: Vec<Vec<Key>> = if arm.of_disjunction {
        Vec::new()
    } else {
        instance
            .orders
            .iter()
            .map(|order| order.iter().map(ordered).collect())
            .collect()
    };
    let mut add = |fit: f64, parts: &[&[Key]], origin: Origin| {
        let keys: Vec<Key> = parts.iter().flat_map(|part| part.iter().cloned()).collect();
        if !keys.is_empty() {
            out.push((fit, keys, origin));
        }
    };
    // The whole WHERE clause.
    for range in &ranges {
        add(
            100.0,
            &[&equal, std::slice::from_ref(range)],
            Origin::Search,
        );
        add(
            64.0,
            &[&selective, std::slice::from_ref(range)],
            Origin::Search,
        );
    }
    if ranges.len() > 1 {
        // Further ranges are filters within the index: fewer heap visits.
        add(82.0, &[&equal, &ranges], Origin::Search);
        let mut reversed = ranges.clone();
        reversed.reverse();
        add(72.0, &[&equal, &reversed], Origin::Search);
    }
    add(92.0, &[&equal], Origin::Search);
    add(62.0, &[&selective], Origin::Search);
    let bonus = if instance.limited { 6.0 } else { 0.0 };
    for order in &orders {
        add(93.0 + bonus, &[&single, order], Origin::Order);
        if !lists.is_empty() || !ranges.is_empty() {
            add(
                80.0 + bonus,
                &[&single, order, &lists, &ranges],
                Origin::Order,
            );
            add(76.0 + bonus, &[&lists, &single, order], Origin::Order);
        }
        for one in &single {
            add(
                58.0 + bonus,
                &[std::slice::from_ref(one), order],
                Origin::Order,
            );
        }
        add(50.0 + bonus, &[order], Origin::Order);
    }
    // Joins: all columns shared with one partner together, before and after equalities.
    let mut partners: Vec<usize> = arm.joins.iter().map(|join| join.partner).collect();
    partners.sort_unstable();
    partners.dedup();
    for partner in partners {
        let mut join: Vec<Key> = arm
            .joins
            .iter()
            .filter(|join| join.partner == partner && orderable(&join.element, relation))
            .map(|join| plain(&join.element))
            .collect();
        join.sort_by(|a, b| {
            distinct(&b.element, relation).total_cmp(&distinct(&a.element, relation))
        });
        add(85.0, &[&join, &equal], Origin::Search);
        add(84.0, &[&equal, &join], Origin::Search);
        add(75.0, &[&join], Origin::Search);
        for range in &ranges {
            add(
                78.0,
                &[&equal, &join, std::slice::from_ref(range)],
                Origin::Search,
            );
            add(
                74.0,
                &[&join, &equal, std::slice::from_ref(range)],
                Origin::Search,
            );
        }
        for order in &orders {
            add(70.0, &[&equal, &join, order], Origin::Order);
        }
        for key in &join {
            add(57.0, &[std::slice::from_ref(key)], Origin::Search);
        }
    }
    for group in &instance.groups {
        if arm.of_disjunction {
            continue;
        }
        let group: Vec<Key> = group.iter().map(plain).collect();
        add(66.0, &[&single, &group], Origin::Order);
        add(40.0, &[&group], Origin::Order);
    }
    // Parts, for indexes that several statements share.
    for (i, one) in equal.iter().enumerate() {
        let one = std::slice::from_ref(one);
        add(56.0, &[one], Origin::Search);
        for range in &ranges {
            add(54.0, &[one, std::slice::from_ref(range)], Origin::Search);
        }
        if equal.len() > 2 {
            for two in &equal[i + 1..] {
                add(48.0, &[one, std::slice::from_ref(two)], Origin::Search);
            }
        }
    }
    for range in &ranges {
        add(55.0, &[std::slice::from_ref(range)], Origin::Search);
    }
    out
}
