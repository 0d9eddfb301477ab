//! Access methods other than the b-tree, chosen by operator (manual: Index Types).

use super::sargs::Instance;
use super::{Origin, Proposal, Settings};
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::{FieldRole, FieldUse};
use indexpilot_model::{AccessMethod, AttributeInfo, IndexDefinition, IndexKey, RelationInfo};

/// A BRIN is thought of from this correlation on …
const BRIN_CORRELATION: f64 = 0.95;
/// … and this many pages (8 MB): eight ranges of the default size.
const BRIN_PAGES: u64 = 1_024;
/// Equality keys wider than this make a b-tree large; a hash index keeps four bytes of each.
const HASH_WIDTH: f64 = 32.0;

/// What the instance's operators suggest.
pub fn propose(instance: &Instance, relation: &RelationInfo, settings: &Settings) -> Vec<Proposal> {
    let mut out: Vec<Proposal> = Vec::new();
    for field in &instance.special {
        let attribute = field
            .element
            .as_attribute()
            .and_then(|number| relation.attribute(number));
        for (fit, method, opclass) in fitting(field, attribute, relation, settings) {
            let key = IndexKey {
                opclass,
                ..IndexKey::ascending(field.element.clone())
            };
            out.push(Proposal {
                definition: IndexDefinition {
                    method,
                    ..IndexDefinition::btree(relation.name.clone(), vec![key])
                },
                origin: Origin::Method,
                fit,
            });
        }
    }
    super::best(out, usize::MAX)
}

type Choice = (f64, AccessMethod, Option<QualifiedName>);

fn fitting(
    field: &FieldUse,
    attribute: Option<&AttributeInfo>,
    relation: &RelationInfo,
    settings: &Settings,
) -> Vec<Choice> {
    let operator = field
        .operator
        .as_ref()
        .map_or("", |name| name.name.as_str());
    let type_name = attribute.map_or("", |a| a.type_name.name.as_str());
    match field.role {
        // An operator without commutator, and the field on its right: no index serves.
        FieldRole::RangeType | FieldRole::FullText if operator.is_empty() => Vec::new(),
        FieldRole::InfixLike | FieldRole::Regex | FieldRole::Similarity => {
            trigram(90.0, settings).into_iter().collect()
        }
        // ILIKE: letters have two cases, so no b-tree range.
        FieldRole::PrefixLike if operator.contains('*') => {
            trigram(88.0, settings).into_iter().collect()
        }
        FieldRole::PrefixLike => trigram(50.0, settings).into_iter().collect(),
        FieldRole::Json if type_name == "jsonb" || attribute.is_none() => match operator {
            "@>" | "@?" | "@@" => vec![
                (
                    90.0,
                    AccessMethod::Gin,
                    Some(QualifiedName::catalog("jsonb_path_ops")),
                ),
                (60.0, AccessMethod::Gin, None),
            ],
            "?" | "?|" | "?&" => vec![(90.0, AccessMethod::Gin, None)],
            _ => Vec::new(),
        },
        FieldRole::Array => match operator {
            "&&" | "@>" | "<@" => vec![(90.0, AccessMethod::Gin, None)],
            _ => Vec::new(),
        },
        FieldRole::FullText => vec![(90.0, AccessMethod::Gin, None)],
        FieldRole::RangeType => {
            let opclass =
                matches!(type_name, "inet" | "cidr").then(|| QualifiedName::catalog("inet_ops"));
            vec![(90.0, AccessMethod::Gist, opclass)]
        }
        FieldRole::Distance => vec![(90.0, AccessMethod::Gist, None)],
        FieldRole::Range | FieldRole::Equality => {
            let mut out = Vec::new();
            let Some(attribute) = attribute else {
                return out;
            };
            let ordered = attribute
                .correlation
                .is_some_and(|correlation| correlation.abs() >= BRIN_CORRELATION);
            if ordered && relation.pages >= BRIN_PAGES && attribute.btree_orderable {
                out.push((65.0, AccessMethod::Brin, None));
            }
            if field.role == FieldRole::Equality
                && attribute.hashable
                && attribute.average_width > HASH_WIDTH
            {
                out.push((65.0, AccessMethod::Hash, None));
            }
            out
        }
        _ => Vec::new(),
    }
}

fn trigram(fit: f64, settings: &Settings) -> Option<Choice> {
    let schema = settings.trigram_schema.as_ref()?;
    Some((
        fit,
        AccessMethod::Gin,
        Some(QualifiedName::new(schema.clone(), "gin_trgm_ops")),
    ))
}
