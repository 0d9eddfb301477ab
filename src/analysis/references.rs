//! What statements given by hand make foreign keys search. A DELETE, or an update of a key that
//! others refer to, has each referencing relation searched for every row
//! (src/backend/utils/adt/ri_triggers.c). Where statements are captured these searches are
//! captured with them, with their own times; here they are thought of.

use indexpilot_advisor::candidates::foreign_keys;
use indexpilot_model::query::{FieldRole, StatementKind};
use indexpilot_model::{Catalog, Oid, QueryShape};
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi;
use std::collections::BTreeSet;

/// A search that a statement causes for each row that it takes away.
pub(super) struct Search {
    /// The query, with `$n` for the key's columns.
    pub query: String,
    /// For people.
    pub label: String,
}

/// A relation whose rows or keys a statement takes away: all of them, or by these attributes.
fn taken(shape: &QueryShape) -> Option<(Oid, Option<BTreeSet<i16>>)> {
    let target = shape.instances.iter().position(|i| i.is_target)?;
    let relation = shape.instances[target].relation.oid;
    match shape.kind {
        StatementKind::Delete => Some((relation, None)),
        StatementKind::Update => {
            let changed = shape
                .uses
                .iter()
                .filter(|used| used.instance == target && used.role == FieldRole::Updated)
                .flat_map(|used| used.element.attributes());
            Some((relation, Some(changed.collect())))
        }
        _ => None,
    }
}

/// Foreign keys that refer to a relation: the referencing relation, the constraint's name and
/// the attributes referred to. A partition's copy is its parent's.
fn referring(relation: Oid) -> Vec<(Oid, String, Vec<i16>)> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT f.conrelid, f.conname::text, f.confkey
             FROM pg_catalog.pg_constraint AS f
             WHERE f.confrelid = $1 AND f.contype = 'f' AND f.conparentid = 0
             ORDER BY f.conrelid, f.conname",
            None,
            &[pg_sys::Oid::from(relation).into()],
        )?;
        let mut found = Vec::new();
        for row in rows {
            if let (Some(by), Some(name), Some(key)) = (
                row.get::<pg_sys::Oid>(1)?,
                row.get::<String>(2)?,
                row.get::<Vec<i16>>(3)?,
            ) {
                found.push((by.to_u32(), name, key));
            }
        }
        Ok::<_, spi::Error>(found)
    })
    .unwrap_or_else(|error| pgrx::error!("{error}"))
}

/// The searches that a statement of these shapes causes.
pub(super) fn searches(shapes: &[QueryShape], catalog: &mut dyn Catalog) -> Vec<Search> {
    let mut found = Vec::new();
    for (relation, changed) in shapes.iter().filter_map(taken) {
        if changed.as_ref().is_some_and(BTreeSet::is_empty) {
            continue;
        }
        for (by, name, key) in referring(relation) {
            let concerned = changed
                .as_ref()
                .is_none_or(|changed| key.iter().any(|number| changed.contains(number)));
            if !concerned {
                continue;
            }
            let Some(referring) = catalog.relation(by) else {
                continue;
            };
            let query = referring
                .foreign_keys
                .iter()
                .find(|key| key.name == name)
                .and_then(|key| foreign_keys::check_query(key, &referring));
            if let Some((query, _)) = query {
                found.push(Search {
                    query,
                    label: format!(
                        "search of {} for foreign key {name}",
                        indexpilot_model::expression::readable(&referring.name.qualified())
                    ),
                });
            }
        }
    }
    found
}
