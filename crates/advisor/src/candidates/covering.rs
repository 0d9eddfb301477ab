//! Payloads (INCLUDE) that let an index-only scan answer without the heap
//! (manual: Index-Only Scans and Covering Indexes).

use super::sargs::Instance;
use super::{Origin, Proposal, Settings};
use indexpilot_model::index::IncludedAttribute;
use indexpilot_model::{AccessMethod, AttributeInfo, IndexDefinition, IndexKey, RelationInfo};

/// Below this share of all-visible pages an index-only scan visits the heap too often.
const LEAST_ALL_VISIBLE: f64 = 0.8;
/// A copy of the columns is worth reading in place of the heap only when much narrower.
const WIDEST_COPY: f64 = 0.6;

/// Attributes that the instance reads and the keys lack; `None` where an index-only scan is
/// out of the question.
fn missing<'a>(
    keys: &[IndexKey],
    instance: &Instance,
    relation: &'a RelationInfo,
    settings: &Settings,
) -> Option<Vec<&'a AttributeInfo>> {
    if !instance.index_only || relation.all_visible < LEAST_ALL_VISIBLE {
        return None;
    }
    let missing: Vec<&AttributeInfo> = instance
        .needed
        .iter()
        .filter(|number| {
            !keys
                .iter()
                .any(|key| key.element.as_attribute() == Some(**number))
        })
        .map(|number| relation.attribute(*number))
        .collect::<Option<_>>()?;
    let bytes: f64 = missing.iter().map(|a| a.average_width).sum();
    (missing.len() <= settings.max_include && bytes <= settings.max_include_bytes)
        .then_some(missing)
}

fn row_width(relation: &RelationInfo) -> f64 {
    relation
        .attributes
        .iter()
        .map(|attribute| attribute.average_width)
        .sum()
}

/// The proposal with a payload, where that makes it cover the instance.
pub fn with_payload(
    proposal: &Proposal,
    instance: &Instance,
    relation: &RelationInfo,
    settings: &Settings,
) -> Option<Proposal> {
    if proposal.definition.method != AccessMethod::Btree {
        return None;
    }
    let missing = missing(&proposal.definition.keys, instance, relation, settings)?;
    if missing.is_empty() {
        return None;
    }
    let mut include: Vec<IncludedAttribute> = missing
        .iter()
        .map(|attribute| IncludedAttribute {
            number: attribute.number,
            name: attribute.name.clone(),
        })
        .collect();
    include.sort();
    Some(Proposal {
        definition: IndexDefinition {
            include,
            ..proposal.definition.clone()
        },
        origin: Origin::Covering,
        fit: proposal.fit - 5.0,
    })
}

/// A narrow copy for scans that read few columns of many rows, without any search argument:
/// read in place of the heap.
pub fn narrow_copy(
    instance: &Instance,
    relation: &RelationInfo,
    settings: &Settings,
) -> Option<Proposal> {
    let first = instance
        .needed
        .iter()
        .filter_map(|number| relation.attribute(*number))
        .find(|attribute| attribute.btree_orderable)?;
    let keys = vec![IndexKey::ascending(
        indexpilot_model::Expression::attribute(first.number, first.name.clone()),
    )];
    let missing = missing(&keys, instance, relation, settings)?;
    let width: f64 = first.average_width + missing.iter().map(|a| a.average_width).sum::<f64>();
    if width > WIDEST_COPY * row_width(relation) {
        return None;
    }
    let mut include: Vec<IncludedAttribute> = missing
        .iter()
        .map(|attribute| IncludedAttribute {
            number: attribute.number,
            name: attribute.name.clone(),
        })
        .collect();
    include.sort();
    Some(Proposal {
        definition: IndexDefinition {
            include,
            ..IndexDefinition::btree(relation.name.clone(), keys)
        },
        origin: Origin::Covering,
        fit: 45.0,
    })
}
