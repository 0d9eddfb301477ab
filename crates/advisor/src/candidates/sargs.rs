//! Search arguments: what each relation instance of a statement is searched, joined and
//! sorted by, closed over the equalities that hold between instances.
//!
//! PostgreSQL builds equivalence classes (optimizer/README, "EquivalenceClasses"): from
//! `a.x = b.y AND a.x = 1` it concludes `b.y = 1`, and an order by `a.x` is one by `b.y`.
//! The same closure is made here, so that an index on `b.y` is thought of.

use super::partial;
use indexpilot_model::expression::Expression;
use indexpilot_model::query::{Comparand, FieldRole, FieldUse, QueryShape};
use indexpilot_model::{AccessMethod, IndexDefinition, Oid, RelationInfo};
use std::collections::{BTreeMap, BTreeSet};

/// An equality-like search argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Equal {
    /// What is compared.
    pub element: Expression,
    /// A list of values (`IN`): equal, but it breaks an order behind it.
    pub list: bool,
    /// A collation other than the element's own may be asked for: its OID, 0 where none.
    pub collation: Oid,
}

/// A range-like search argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// What is compared.
    pub element: Expression,
    /// A LIKE prefix, which other collations than C serve by a pattern operator class.
    pub prefix: bool,
}

/// A join argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// This side.
    pub element: Expression,
    /// The other instance (number within the shape).
    pub partner: usize,
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderKey {
    /// What is sorted.
    pub element: Expression,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// A conjunction of search arguments: the WHERE clause, or it together with one arm of an OR.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arm {
    /// Equalities, each element once.
    pub equal: Vec<Equal>,
    /// Ranges, each element once.
    pub ranges: Vec<Range>,
    /// Joins.
    pub joins: Vec<Join>,
    /// Part of a disjunction: served by a bitmap OR, which keeps no order.
    pub of_disjunction: bool,
}

/// What a statement does with one relation instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The relation.
    pub relation: Oid,
    /// The WHERE clause first, then arms of disjunctions.
    pub arms: Vec<Arm>,
    /// Orders that start on this instance, each without what equalities make constant.
    pub orders: Vec<Vec<OrderKey>>,
    /// GROUP BY and DISTINCT lists that lie on this instance wholly.
    pub groups: Vec<Vec<Expression>>,
    /// Uses by operators that other access methods serve.
    pub special: Vec<FieldUse>,
    /// Conjuncts that may become predicates of partial indexes.
    pub conditions: Vec<partial::Condition>,
    /// Fingerprints of predicates that the statement implies on this instance.
    pub implied: BTreeSet<u64>,
    /// Attributes read.
    pub needed: Vec<i16>,
    /// Index-only scans are possible.
    pub index_only: bool,
    /// LIMIT at its level.
    pub limited: bool,
    /// Fingerprints of all elements searched, joined, sorted or grouped by.
    pub mentioned: BTreeSet<u64>,
}

impl Instance {
    /// Whether a scan of this instance could use such an index. `predicate` holds the
    /// fingerprints of its conjuncts.
    pub fn could_use(&self, definition: &IndexDefinition, predicate: &[u64]) -> bool {
        if !predicate.iter().all(|part| self.implied.contains(part)) {
            return false;
        }
        let leading = definition
            .keys
            .first()
            .is_some_and(|key| self.mentioned.contains(&key.element.fingerprint()));
        let any = || {
            definition
                .keys
                .iter()
                .any(|key| self.mentioned.contains(&key.element.fingerprint()))
        };
        let covers = || {
            self.index_only
                && self.needed.iter().all(|number| {
                    definition
                        .keys
                        .iter()
                        .any(|key| key.element.as_attribute() == Some(*number))
                        || definition.include.iter().any(|c| c.number == *number)
                })
        };
        match definition.method {
            AccessMethod::Btree => leading || !predicate.is_empty() || covers(),
            _ => any(),
        }
    }
}

/// Disjoint sets over (instance, element) pairs.
#[derive(Default)]
struct Classes {
    members: Vec<(usize, Expression)>,
    parent: Vec<usize>,
}

impl Classes {
    fn find(&self, mut i: usize) -> usize {
        while self.parent[i] != i {
            i = self.parent[i];
        }
        i
    }

    fn number(&mut self, instance: usize, element: &Expression) -> usize {
        let known = self
            .members
            .iter()
            .position(|(i, e)| *i == instance && e == element);
        known.unwrap_or_else(|| {
            self.members.push((instance, element.clone()));
            self.parent.push(self.parent.len());
            self.parent.len() - 1
        })
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Members equal to this one, itself included.
    fn equals(&self, instance: usize, element: &Expression) -> Vec<(usize, Expression)> {
        let Some(me) = self
            .members
            .iter()
            .position(|(i, e)| *i == instance && e == element)
        else {
            return vec![(instance, element.clone())];
        };
        let root = self.find(me);
        (0..self.members.len())
            .filter(|&i| self.find(i) == root)
            .map(|i| self.members[i].clone())
            .collect()
    }
}

fn is_equals(field: &FieldUse) -> bool {
    field.operator.as_ref().is_some_and(|name| name.name == "=")
}

/// Reads a shape.
pub fn collect(shape: &QueryShape, relations: &BTreeMap<Oid, RelationInfo>) -> Vec<Instance> {
    let mut classes = Classes::default();
    for field in &shape.uses {
        if field.role == FieldRole::Join
            && field.disjunction == 0
            && is_equals(field)
            && let Comparand::Field(other, element) = &field.comparand
        {
            let one = classes.number(field.instance, &field.element);
            let two = classes.number(*other, element);
            classes.unite(one, two);
        }
    }
    (0..shape.instances.len())
        .filter(|&i| relations.contains_key(&shape.instances[i].relation.oid))
        .map(|i| {
            instance(
                shape,
                i,
                &classes,
                &relations[&shape.instances[i].relation.oid],
            )
        })
        .collect()
}

fn instance(
    shape: &QueryShape,
    number: usize,
    classes: &Classes,
    relation: &RelationInfo,
) -> Instance {
    let about = &shape.instances[number];
    let mut main = Arm::default();
    for field in &shape.uses {
        if field.disjunction != 0 {
            continue;
        }
        if field.instance == number {
            add_to(&mut main, field);
        }
        // What holds for a partner in the class holds here too.
        if field.instance != number
            && matches!(
                field.role,
                FieldRole::Equality | FieldRole::InList | FieldRole::Range
            )
        {
            for (other, element) in classes.equals(field.instance, &field.element) {
                if other == number {
                    let mut here = field.clone();
                    here.instance = number;
                    here.element = element;
                    add_to(&mut main, &here);
                }
            }
        }
    }
    // Joins between all members of a class.
    for join in main.joins.clone() {
        for (other, _) in classes.equals(number, &join.element) {
            if other != number {
                push_join(&mut main, join.element.clone(), other);
            }
        }
    }
    let mut arms = vec![main.clone()];
    arms.extend(disjunctions(shape, number, &main));
    let (orders, groups) = orders(shape, number, classes, &main);
    let uses: Vec<&FieldUse> = shape
        .uses
        .iter()
        .filter(|field| field.instance == number)
        .collect();
    let conditions = partial::conditions(&uses, relation);
    let mut implied: BTreeSet<u64> = conditions
        .iter()
        .map(|condition| condition.clause.fingerprint())
        .collect();
    implied.extend(
        partial::not_null_implied(&uses)
            .iter()
            .map(Expression::fingerprint),
    );
    let mut mentioned: BTreeSet<u64> = uses
        .iter()
        .filter(|field| {
            !matches!(
                field.role,
                FieldRole::Output | FieldRole::Updated | FieldRole::Inequality
            )
        })
        .map(|field| field.element.fingerprint())
        .collect();
    for arm in &arms {
        mentioned.extend(arm.equal.iter().map(|e| e.element.fingerprint()));
        mentioned.extend(arm.ranges.iter().map(|r| r.element.fingerprint()));
    }
    for order in &orders {
        mentioned.extend(order.iter().map(|key| key.element.fingerprint()));
    }
    Instance {
        relation: about.relation.oid,
        arms,
        orders,
        groups,
        special: uses
            .iter()
            .filter(|field| is_special(field))
            .map(|field| (*field).clone())
            .collect(),
        conditions,
        implied,
        needed: about.needed.clone(),
        index_only: !about.whole_row && !about.is_target,
        limited: shape
            .levels
            .get(about.level)
            .is_some_and(|level| level.has_limit),
        mentioned,
    }
}

fn is_special(field: &FieldUse) -> bool {
    matches!(
        field.role,
        FieldRole::Equality
            | FieldRole::Range
            | FieldRole::PrefixLike
            | FieldRole::InfixLike
            | FieldRole::Regex
            | FieldRole::Json
            | FieldRole::Array
            | FieldRole::RangeType
            | FieldRole::FullText
            | FieldRole::Distance
            | FieldRole::Similarity
    )
}

/// ILIKE is a prefix search only for patterns without letters: no b-tree for it.
fn is_case_insensitive(field: &FieldUse) -> bool {
    field
        .operator
        .as_ref()
        .is_some_and(|name| name.name.contains('*'))
}

fn push_join(arm: &mut Arm, element: Expression, partner: usize) {
    if !arm
        .joins
        .iter()
        .any(|join| join.element == element && join.partner == partner)
    {
        arm.joins.push(Join { element, partner });
    }
}

fn add_to(arm: &mut Arm, field: &FieldUse) {
    let element = &field.element;
    match field.role {
        FieldRole::Equality | FieldRole::InList | FieldRole::IsNull | FieldRole::Boolean => {
            // A comparison with an unstable partner is a join for our purposes.
            let list = field.role == FieldRole::InList;
            match arm.equal.iter_mut().find(|e| &e.element == element) {
                Some(known) => known.list &= list,
                None => arm.equal.push(Equal {
                    element: element.clone(),
                    list,
                    collation: field.collation,
                }),
            }
        }
        FieldRole::Range | FieldRole::PrefixLike => {
            let prefix = field.role == FieldRole::PrefixLike;
            if prefix && is_case_insensitive(field) {
                return;
            }
            if !arm
                .ranges
                .iter()
                .any(|r| &r.element == element && r.prefix == prefix)
            {
                arm.ranges.push(Range {
                    element: element.clone(),
                    prefix,
                });
            }
        }
        FieldRole::Join => {
            match &field.comparand {
                Comparand::Field(partner, _) if is_equals(field) => {
                    push_join(arm, element.clone(), *partner);
                }
                // `a.x < b.y`: a range whose bound comes from the outer side of a nested loop.
                Comparand::Field(..) | Comparand::Computed
                    if field.operator.as_ref().is_some_and(|name| {
                        matches!(name.name.as_str(), "<" | "<=" | ">" | ">=")
                    }) && !arm.ranges.iter().any(|r| &r.element == element) =>
                {
                    arm.ranges.push(Range {
                        element: element.clone(),
                        prefix: false,
                    });
                }
                Comparand::Computed if is_equals(field) => {
                    push_join(arm, element.clone(), usize::MAX);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Each arm of each disjunction, alone and with the WHERE clause's equalities.
fn disjunctions(shape: &QueryShape, number: usize, main: &Arm) -> Vec<Arm> {
    let level = shape.instances[number].level;
    let mut arms: BTreeMap<(u16, u16), Arm> = BTreeMap::new();
    for field in &shape.uses {
        if field.instance == number
            && field.disjunction != 0
            && shape.instances[field.instance].level == level
        {
            let arm = arms
                .entry((field.disjunction, field.branch))
                .or_insert_with(|| Arm {
                    of_disjunction: true,
                    ..Arm::default()
                });
            add_to(arm, field);
        }
    }
    let mut out = Vec::new();
    for arm in arms.into_values() {
        if arm.equal.is_empty() && arm.ranges.is_empty() && arm.joins.is_empty() {
            continue;
        }
        let mut both = arm.clone();
        for equal in &main.equal {
            if !both.equal.iter().any(|e| e.element == equal.element) {
                both.equal.push(equal.clone());
            }
        }
        if both != arm {
            out.push(both);
        }
        out.push(arm);
    }
    out
}

/// Orders and groups, moved to this instance where an equality allows it.
fn orders(
    shape: &QueryShape,
    number: usize,
    classes: &Classes,
    main: &Arm,
) -> (Vec<Vec<OrderKey>>, Vec<Vec<Expression>>) {
    let level = shape.instances[number].level;
    let constant = |element: &Expression| {
        main.equal
            .iter()
            .any(|equal| !equal.list && &equal.element == element)
    };
    let mut orders: Vec<Vec<OrderKey>> = Vec::new();
    let mut groups: Vec<Vec<Expression>> = Vec::new();
    // Each clause is a run of positions 0, 1, 2…; window partitions count on into orders.
    let mut order: Vec<OrderKey> = Vec::new();
    let mut group: Vec<Expression> = Vec::new();
    let (mut order_ended, mut group_ended) = (false, false);
    let mut last_order: Option<u16> = None;
    let mut last_group: Option<u16> = None;
    for field in &shape.uses {
        if shape.instances[field.instance].level != level {
            continue;
        }
        let here = classes
            .equals(field.instance, &field.element)
            .into_iter()
            .find(|(instance, _)| *instance == number)
            .map(|(_, element)| element);
        let direction = match field.role {
            FieldRole::OrderAscending => Some((false, false)),
            FieldRole::OrderAscendingNullsFirst => Some((false, true)),
            FieldRole::OrderDescending => Some((true, true)),
            FieldRole::OrderDescendingNullsLast => Some((true, false)),
            _ => None,
        };
        if let Some((descending, nulls_first)) = direction {
            if last_order.is_none_or(|last| field.position <= last) {
                orders.push(std::mem::take(&mut order));
                order_ended = false;
            }
            last_order = Some(field.position);
            match here {
                Some(element) if !order_ended => {
                    if !constant(&element) {
                        order.push(OrderKey {
                            element,
                            descending,
                            nulls_first,
                        });
                    }
                }
                // Sorted by another instance from here on: an incremental sort does the rest.
                _ => order_ended = true,
            }
        } else if field.role == FieldRole::Group {
            if last_group.is_none_or(|last| field.position <= last) {
                groups.push(std::mem::take(&mut group));
                group_ended = false;
            }
            last_group = Some(field.position);
            match here {
                Some(element) if !group_ended => {
                    if !constant(&element) {
                        group.push(element);
                    }
                }
                _ => group_ended = true,
            }
        }
    }
    orders.push(order);
    groups.push(group);
    orders.retain(|order| !order.is_empty());
    groups.retain(|group| !group.is_empty());
    for order in &mut orders {
        forwards(order);
    }
    orders.dedup();
    groups.dedup();
    (orders, groups)
}

/// A b-tree is read in both directions: the direction in which the first key ascends stands
/// for both, so that equal needs give equal candidates.
fn forwards(order: &mut [OrderKey]) {
    if order.first().is_some_and(|key| key.descending) {
        for key in order {
            key.descending = !key.descending;
            key.nulls_first = !key.nulls_first;
        }
    }
}
