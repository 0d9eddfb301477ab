//! What decisions rest on, read from the server: relations with their statistics, indexes as
//! typed definitions, foreign keys and activity (the `Catalog` port).
//!
//! Read as the owner of our tables, because pg_stats shows statistics only of what the
//! caller may read: whoever asks has shown before that he may run statements on the relation.

mod expressions;
mod query;

use crate::pg::spi;
use indexpilot_model::catalog::{ForeignKey, Protection, RelationActivity};
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::index::IncludedAttribute;
use indexpilot_model::query::RelationName;
use indexpilot_model::{
    AccessMethod, AttributeInfo, Catalog, ExistingIndex, Expression, IndexDefinition, IndexKey,
    Oid, RelationInfo,
};
use pgrx::prelude::*;
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct RawRelation {
    schema: String,
    name: String,
    kind: char,
    tuples: f64,
    pages: u64,
    all_visible: f64,
    fillfactor: u32,
    inserts: f64,
    updates: f64,
    hot_updates: f64,
    deletes: f64,
    seconds: f64,
    leaves: Vec<Oid>,
    attributes: Vec<RawAttribute>,
    foreign_keys: Vec<RawForeignKey>,
    indexes: Vec<RawIndex>,
}

#[derive(Deserialize)]
struct RawAttribute {
    number: i16,
    name: String,
    type_schema: String,
    type_name: String,
    width: f64,
    null_fraction: Option<f64>,
    distinct: Option<f64>,
    correlation: Option<f64>,
    top_frequency: Option<f64>,
    collation: Oid,
    collation_is_c: bool,
    btree_orderable: bool,
    hashable: bool,
    not_null: bool,
}

#[derive(Deserialize)]
struct RawForeignKey {
    name: String,
    attributes: Vec<i16>,
    references: Oid,
}

#[derive(Deserialize)]
struct RawIndex {
    oid: Oid,
    name: String,
    method: String,
    valid: bool,
    unique: bool,
    nulls_not_distinct: bool,
    primary: bool,
    exclusion: bool,
    replica_identity: bool,
    clustered: bool,
    has_expressions: bool,
    constraint: bool,
    extension: bool,
    partition: bool,
    bytes: u64,
    scans: u64,
    options: Vec<(String, String)>,
    tablespace: Option<String>,
    keys: Vec<RawKey>,
    include: Vec<i16>,
}

#[derive(Deserialize)]
struct RawKey {
    attribute: i16,
    opclass_schema: Option<String>,
    opclass_name: Option<String>,
    opclass_options: Option<bool>,
    collation_schema: Option<String>,
    collation_name: Option<String>,
    descending: bool,
    nulls_first: bool,
}

/// Reads relations, each once.
#[derive(Default)]
pub struct ServerCatalog {
    known: HashMap<Oid, Option<RelationInfo>>,
}

impl Catalog for ServerCatalog {
    fn relation(&mut self, oid: Oid) -> Option<RelationInfo> {
        self.known.entry(oid).or_insert_with(|| read(oid)).clone()
    }
}

/// Schema of an installed extension.
pub fn extension_schema(name: &str) -> Option<String> {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<String>(
            "SELECT n.nspname::text FROM pg_extension AS e
             JOIN pg_namespace AS n ON n.oid = e.extnamespace
             WHERE e.extname = $1",
            &[name.into()],
        )
        .ok()
        .flatten()
    })
}

/// Share of this database's pages that the cache holds at most, 0…1, by what the operator
/// says of it (`effective_cache_size`). Pages as of the last VACUUM or ANALYZE.
pub fn share_in_cache() -> f64 {
    let pages = spi::as_extension_owner(|| {
        Spi::get_one::<f64>(
            "SELECT sum(c.relpages)::double precision FROM pg_class AS c
             WHERE c.relkind IN ('r', 'i', 'm', 't')",
        )
        .ok()
        .flatten()
    });
    // SAFETY: a setting of this backend.
    let cache = f64::from(unsafe { pg_sys::effective_cache_size });
    (cache / pages.unwrap_or(0.0).max(1.0)).clamp(0.0, 1.0)
}

fn read(oid: Oid) -> Option<RelationInfo> {
    let document = spi::as_extension_owner(|| {
        Spi::get_one_with_args::<String>(query::RELATION, &[pg_sys::Oid::from(oid).into()])
            .ok()
            .flatten()
    })?;
    match serde_json::from_str::<RawRelation>(&document) {
        Ok(raw) => Some(typed(oid, raw)),
        Err(error) => {
            pgrx::debug1!("indexpilot could not read relation {oid}: {error}");
            None
        }
    }
}

fn typed(oid: Oid, raw: RawRelation) -> RelationInfo {
    let name = RelationName {
        oid,
        schema: raw.schema,
        name: raw.name,
    };
    let attributes: Vec<AttributeInfo> = raw
        .attributes
        .into_iter()
        .map(|a| AttributeInfo {
            number: a.number,
            name: a.name,
            type_name: QualifiedName::new(a.type_schema, a.type_name),
            average_width: a.width,
            null_fraction: a.null_fraction,
            distinct: a.distinct,
            correlation: a.correlation,
            top_frequency: a.top_frequency,
            collation: a.collation,
            collation_is_c: a.collation_is_c,
            btree_orderable: a.btree_orderable,
            hashable: a.hashable,
            not_null: a.not_null,
        })
        .collect();
    let indexes = raw
        .indexes
        .into_iter()
        .map(|index| existing(index, &name, &attributes, raw.seconds))
        .collect();
    let mut info = RelationInfo {
        name,
        kind: raw.kind,
        tuples: raw.tuples,
        pages: raw.pages,
        all_visible: raw.all_visible.clamp(0.0, 1.0),
        attributes,
        indexes,
        foreign_keys: raw
            .foreign_keys
            .into_iter()
            .map(|key| ForeignKey {
                name: key.name,
                attributes: key.attributes,
                references: key.references,
            })
            .collect(),
        leaves: raw.leaves,
        activity: RelationActivity {
            inserts: raw.inserts,
            updates: raw.updates,
            hot_updates: raw.hot_updates,
            deletes: raw.deletes,
            seconds: raw.seconds,
        },
        fillfactor: raw.fillfactor,
    };
    protect_supports(&mut info);
    info
}

fn existing(
    raw: RawIndex,
    relation: &RelationName,
    attributes: &[AttributeInfo],
    seconds: f64,
) -> ExistingIndex {
    let protections = [
        (raw.primary, Protection::Primary),
        (raw.unique, Protection::Unique),
        (raw.exclusion, Protection::Exclusion),
        (raw.replica_identity, Protection::ReplicaIdentity),
        (
            raw.constraint && !raw.unique && !raw.primary,
            Protection::Exclusion,
        ),
        (raw.extension, Protection::Extension),
        (raw.clustered, Protection::Clustered),
        (raw.partition, Protection::Partition),
    ]
    .into_iter()
    .filter_map(|(holds, protection)| holds.then_some(protection))
    .collect();
    ExistingIndex {
        oid: raw.oid,
        definition: definition(&raw, relation, attributes),
        name: raw.name,
        valid: raw.valid,
        bytes: raw.bytes,
        scans: raw.scans,
        counted_seconds: seconds,
        protections,
        // Not the catalog's knowledge: whoever has the log adds it.
        ours: false,
    }
}

fn definition(
    raw: &RawIndex,
    relation: &RelationName,
    attributes: &[AttributeInfo],
) -> Option<IndexDefinition> {
    let (mut elements, predicate) = if raw.has_expressions {
        let (elements, predicate) = expressions::of_index(raw.oid)?;
        (elements.into_iter(), predicate)
    } else {
        (Vec::new().into_iter(), None)
    };
    let attribute = |number: i16| attributes.iter().find(|a| a.number == number);
    let mut keys = Vec::with_capacity(raw.keys.len());
    for key in &raw.keys {
        // Parameters of operator classes (pg_attribute.attoptions) have no typed form here.
        if key.opclass_options == Some(true) {
            return None;
        }
        let element = if key.attribute == 0 {
            elements.next()?
        } else {
            let found = attribute(key.attribute)?;
            Expression::attribute(found.number, found.name.clone())
        };
        keys.push(IndexKey {
            element,
            opclass: name(&key.opclass_schema, &key.opclass_name),
            collation: name(&key.collation_schema, &key.collation_name),
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
    }
    let include = raw
        .include
        .iter()
        .map(|number| {
            attribute(*number).map(|found| IncludedAttribute {
                number: found.number,
                name: found.name.clone(),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(IndexDefinition {
        relation: relation.clone(),
        method: AccessMethod::from_name(&raw.method)?,
        keys,
        include,
        predicate,
        unique: raw.unique,
        nulls_not_distinct: raw.nulls_not_distinct,
        options: raw.options.clone(),
        tablespace: raw.tablespace.clone(),
    })
}

fn name(schema: &Option<String>, name: &Option<String>) -> Option<QualifiedName> {
    Some(QualifiedName::new(schema.clone()?, name.clone()?))
}

/// Protects an index that is the only one to support a foreign key of this relation: the
/// referenced table's deletes would read the whole of this one without it.
fn protect_supports(info: &mut RelationInfo) {
    for key in &info.foreign_keys {
        let supports: Vec<usize> = info
            .indexes
            .iter()
            .enumerate()
            .filter(|(_, index)| {
                index.valid
                    && index.definition.as_ref().is_some_and(|definition| {
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
            .map(|(position, _)| position)
            .collect();
        if let [only] = supports[..] {
            let protections = &mut info.indexes[only].protections;
            if !protections.contains(&Protection::ForeignKey) {
                protections.push(Protection::ForeignKey);
            }
        }
    }
}
