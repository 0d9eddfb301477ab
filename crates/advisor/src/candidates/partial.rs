//! Partial indexes: on conditions that the statement always has.
//!
//! The planner uses a partial index only where it can prove the predicate from the WHERE
//! clause (predicate_implied_by, src/backend/optimizer/util/predtest.c). It cannot prove
//! anything from `$n` in a generic plan, so only constants and tests without comparand
//! become predicates.

use super::{Origin, Proposal};
use crate::candidates::sargs::Instance;
use indexpilot_model::expression::Expression;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::{Comparand, FieldRole, FieldUse};
use indexpilot_model::{IndexDefinition, IndexKey, RelationInfo};

/// A predicate that keeps more than this share of the rows saves too little.
const LARGEST_SHARE: f64 = 0.5;
/// Constants of a list beyond this are no state machine's states any more.
const LONGEST_LIST: usize = 6;

/// A field with at most this many values is a state, a type or a flag: a constant compared
/// with it is part of the statement's meaning. Compared with any other field it is an example
/// of what the next call passes.
const MOST_STATES: f64 = 20.0;

/// A conjunct that may become a predicate.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The predicate.
    pub clause: Expression,
    /// The field in it.
    pub element: Expression,
    /// Estimated share of the rows, 0…1.
    pub share: f64,
    /// It has no constant, or one that names a state: other calls have it too.
    pub structural: bool,
}

fn attribute<'a>(
    element: &Expression,
    relation: &'a RelationInfo,
) -> Option<&'a indexpilot_model::AttributeInfo> {
    relation.attribute(element.as_attribute()?)
}

/// The type of an element, where it is known without asking the server.
fn type_of(element: &Expression, relation: &RelationInfo) -> Option<QualifiedName> {
    match element {
        Expression::Attribute { .. } => {
            attribute(element, relation).map(|about| about.type_name.clone())
        }
        Expression::Cast { to, .. } => Some(to.clone()),
        Expression::Operator { name, .. } if name.name == "->>" || name.name == "#>>" => {
            Some(QualifiedName::catalog("text"))
        }
        Expression::Function { name, .. }
            if name.schema == "pg_catalog"
                && matches!(name.name.as_str(), "lower" | "upper" | "btrim" | "left") =>
        {
            Some(QualifiedName::catalog("text"))
        }
        _ => None,
    }
}

fn is_state(element: &Expression, relation: &RelationInfo) -> bool {
    attribute(element, relation)
        .and_then(|about| about.distinct)
        .is_some_and(|distinct| distinct <= MOST_STATES)
}

fn equal_share(element: &Expression, relation: &RelationInfo) -> f64 {
    let about = attribute(element, relation);
    let distinct = about.and_then(|a| a.distinct).unwrap_or(200.0).max(1.0);
    let top = about.and_then(|a| a.top_frequency);
    // Without looking at the value: between the mean and the most common value.
    match top {
        Some(top) if distinct < 100.0 => (1.0 / distinct).min(top),
        _ => 1.0 / distinct,
    }
}

/// The conjuncts of an instance that may become predicates.
pub fn conditions(uses: &[&FieldUse], relation: &RelationInfo) -> Vec<Condition> {
    let mut out: Vec<Condition> = Vec::new();
    for field in uses.iter().filter(|field| field.disjunction == 0) {
        let element = field.element.clone();
        let found: Vec<(Expression, f64, bool)> = match field.role {
            FieldRole::IsNull => {
                let share = attribute(&element, relation)
                    .and_then(|a| a.null_fraction)
                    .unwrap_or(0.5);
                vec![(null_test(&element, false), share, true)]
            }
            FieldRole::IsNotNull => {
                let share = attribute(&element, relation)
                    .and_then(|a| a.null_fraction)
                    .map_or(1.0, |nulls| 1.0 - nulls);
                vec![(null_test(&element, true), share, true)]
            }
            // The shape does not tell `a` from `NOT a`; the planner takes the one it can
            // prove, the other finds no use.
            FieldRole::Boolean => vec![
                (element.clone(), LARGEST_SHARE, true),
                (
                    Expression::Not(Box::new(element.clone())),
                    LARGEST_SHARE,
                    true,
                ),
            ],
            FieldRole::Equality => constant_equality(field, relation)
                .map(|clause| {
                    let share = equal_share(&element, relation);
                    (clause, share, is_state(&element, relation))
                })
                .into_iter()
                .collect(),
            FieldRole::InList => constant_list(field, relation)
                .map(|(clause, length)| {
                    let share = equal_share(&element, relation) * length as f64;
                    (clause, share.min(1.0), is_state(&element, relation))
                })
                .into_iter()
                .collect(),
            _ => Vec::new(),
        };
        for (clause, share, structural) in found {
            if !out.iter().any(|known| known.clause == clause) {
                out.push(Condition {
                    clause,
                    element: element.clone(),
                    share,
                    structural,
                });
            }
        }
    }
    out
}

fn null_test(element: &Expression, negated: bool) -> Expression {
    Expression::NullTest {
        argument: Box::new(element.clone()),
        negated,
    }
}

fn constant_equality(field: &FieldUse, relation: &RelationInfo) -> Option<Expression> {
    let Comparand::Constant(Some(text)) = &field.comparand else {
        return None;
    };
    Some(Expression::Operator {
        name: field.operator.clone()?,
        left: Some(Box::new(field.element.clone())),
        right: Box::new(Expression::Constant {
            type_name: type_of(&field.element, relation)?,
            text: Some(text.clone()),
        }),
    })
}

fn constant_list(field: &FieldUse, relation: &RelationInfo) -> Option<(Expression, usize)> {
    let Comparand::Constant(Some(text)) = &field.comparand else {
        return None;
    };
    let length = text.matches(',').count() + 1;
    if length > LONGEST_LIST {
        return None;
    }
    let of = type_of(&field.element, relation)?;
    // `varchar = ANY (text[])`: the comparison is one of texts.
    let name = if of.name == "varchar" {
        "text"
    } else {
        &of.name
    };
    Some((
        Expression::ArrayComparison {
            name: field.operator.clone()?,
            any: true,
            scalar: Box::new(field.element.clone()),
            array: Box::new(Expression::Constant {
                type_name: QualifiedName::new(of.schema.clone(), format!("_{name}")),
                text: Some(text.clone()),
            }),
        },
        length,
    ))
}

/// `field IS NOT NULL` for every field under a strict comparison: comparisons with NULL are
/// not true, and the planner knows (clause_is_strict_for).
pub fn not_null_implied(uses: &[&FieldUse]) -> Vec<Expression> {
    uses.iter()
        .filter(|field| {
            field.disjunction == 0
                && matches!(
                    field.role,
                    FieldRole::Equality
                        | FieldRole::InList
                        | FieldRole::Range
                        | FieldRole::Join
                        | FieldRole::PrefixLike
                )
        })
        .map(|field| null_test(&field.element, true))
        .collect()
}

/// The conjuncts of a predicate.
pub fn conjuncts(predicate: &Expression) -> Vec<&Expression> {
    match predicate {
        Expression::And(parts) => parts.iter().collect(),
        other => vec![other],
    }
}

fn restricted(
    proposal: &Proposal,
    drop: &[&Expression],
    predicate: Expression,
    fit: f64,
) -> Option<Proposal> {
    let keys: Vec<IndexKey> = proposal
        .definition
        .keys
        .iter()
        .filter(|key| !drop.contains(&&key.element))
        .cloned()
        .collect();
    // What the predicate fixes needs no key, but some key there must be.
    let keys = if keys.is_empty() {
        proposal.definition.keys.clone()
    } else {
        keys
    };
    Some(Proposal {
        definition: IndexDefinition {
            keys,
            predicate: Some(predicate),
            ..proposal.definition.clone()
        },
        origin: Origin::Partial,
        fit,
    })
}

/// Partial variants of the plain proposals.
pub fn propose(
    plain: &[Proposal],
    instance: &Instance,
    relation: &RelationInfo,
    constants_fixed: bool,
) -> Vec<Proposal> {
    let usable: Vec<_> = instance
        .conditions
        .iter()
        .filter(|condition| {
            (condition.structural || constants_fixed)
                && condition.share <= LARGEST_SHARE
                && condition.share < 1.0
        })
        .collect();
    let mut out = Vec::new();
    for proposal in plain.iter().filter(|proposal| proposal.fit >= 60.0) {
        for condition in &usable {
            out.extend(restricted(
                proposal,
                &[&condition.element],
                condition.clause.clone(),
                proposal.fit - 3.0,
            ));
        }
        if usable.len() > 1 {
            // Of `a` and `NOT a` only one can hold: all together are left to the server
            // where they contradict (the planner finds no use).
            let mut elements: Vec<&Expression> = Vec::new();
            let mut clauses: Vec<Expression> = Vec::new();
            for condition in &usable {
                if !elements.contains(&&condition.element) {
                    elements.push(&condition.element);
                    clauses.push(condition.clause.clone());
                }
            }
            if clauses.len() > 1 {
                clauses.sort();
                out.extend(restricted(
                    proposal,
                    &elements,
                    Expression::And(clauses),
                    proposal.fit - 4.0,
                ));
            }
        }
    }
    // Sparse columns: an index without the NULLs serves every strict comparison.
    for proposal in plain.iter().filter(|proposal| proposal.fit >= 55.0) {
        for key in &proposal.definition.keys {
            let sparse = attribute(&key.element, relation)
                .and_then(|about| about.null_fraction)
                .is_some_and(|nulls| nulls >= LARGEST_SHARE);
            let predicate = null_test(&key.element, true);
            if sparse && instance.implied.contains(&predicate.fingerprint()) {
                out.extend(restricted(proposal, &[], predicate, proposal.fit - 2.0));
            }
        }
    }
    super::best(out, usize::MAX)
}
