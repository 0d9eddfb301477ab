//! Foreign keys that no index supports: every DELETE and every update of the key in the
//! referenced table then reads the whole referencing one, under a lock.

use indexpilot_model::Expression;
use indexpilot_model::catalog::ForeignKey;
use indexpilot_model::{AccessMethod, IndexDefinition, IndexKey, Oid, RelationInfo};

/// Whether a valid index leads with the key's attributes, in any order: a referential
/// action compares all of them for equality.
pub fn is_supported(key: &ForeignKey, relation: &RelationInfo) -> bool {
    relation
        .indexes
        .iter()
        .filter(|index| index.valid)
        .any(|index| {
            index.definition.as_ref().is_some_and(|definition| {
                definition.method == AccessMethod::Btree
                    && definition.predicate.is_none()
                    && definition.keys.len() >= key.attributes.len()
                    && definition.keys[..key.attributes.len()].iter().all(|part| {
                        part.element
                            .as_attribute()
                            .is_some_and(|number| key.attributes.contains(&number))
                    })
            })
        })
}

/// The index that supports a foreign key: the attribute with most values first, as it is the
/// most useful leading key, the order being free otherwise.
pub fn supporting(key: &ForeignKey, relation: &RelationInfo) -> Option<IndexDefinition> {
    let mut attributes: Vec<_> = key
        .attributes
        .iter()
        .map(|number| relation.attribute(*number))
        .collect::<Option<_>>()?;
    attributes.sort_by(|a, b| {
        let (a, b) = (a.distinct.unwrap_or(0.0), b.distinct.unwrap_or(0.0));
        b.total_cmp(&a)
    });
    let keys = attributes
        .iter()
        .map(|a| IndexKey::ascending(Expression::attribute(a.number, a.name.clone())))
        .collect();
    Some(IndexDefinition::btree(relation.name.clone(), keys))
}

/// Supporting indexes that are missing.
pub fn unsupported(relation: &RelationInfo) -> Vec<IndexDefinition> {
    relation
        .foreign_keys
        .iter()
        .filter(|key| !is_supported(key, relation))
        .filter_map(|key| supporting(key, relation))
        .collect()
}

/// The query that a referential action of the referenced table runs for each row (RI_PLAN
/// of src/backend/utils/adt/ri_triggers.c), to be priced in its place. `None` where an
/// attribute is gone. The second value is the referenced relation.
pub fn check_query(key: &ForeignKey, relation: &RelationInfo) -> Option<(String, Oid)> {
    let mut conditions = Vec::new();
    for (position, number) in key.attributes.iter().enumerate() {
        let attribute = relation.attribute(*number)?;
        conditions.push(format!(
            "x.{} OPERATOR(pg_catalog.=) ${}::{}",
            indexpilot_model::identifier::quote_identifier(&attribute.name),
            position + 1,
            attribute.type_name
        ));
    }
    let only = if relation.kind == 'p' { "" } else { "ONLY " };
    Some((
        format!(
            "SELECT 1 FROM {only}{} AS x WHERE {} FOR KEY SHARE OF x",
            relation.name.qualified(),
            conditions.join(" AND ")
        ),
        key.references,
    ))
}
