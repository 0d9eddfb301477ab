//! What jobs ask the catalog: whether their objects are there, and what state they are in.

use super::index_name;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::RelationName;
use indexpilot_model::{Intent, IntentKind};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// An index that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its OID.
    pub oid: u32,
    /// Its table.
    pub relation: RelationName,
    /// Its schema and name.
    pub name: QualifiedName,
    /// `indisvalid`.
    pub valid: bool,
}

fn found(condition: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]) -> SpiResult<Vec<Found>> {
    let sql = format!(
        "SELECT i.indexrelid, i.indrelid, tn.nspname::text, t.relname::text, n.nspname::text,
             c.relname::text, i.indisvalid
         FROM pg_index AS i
         JOIN pg_class AS c ON c.oid = i.indexrelid
         JOIN pg_namespace AS n ON n.oid = c.relnamespace
         JOIN pg_class AS t ON t.oid = i.indrelid
         JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
         WHERE {condition}"
    );
    Spi::connect(|client| {
        let rows = client.select(sql.as_str(), None, arguments)?;
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            let text = |place: usize| row.get::<String>(place).map(Option::unwrap_or_default);
            let oid = |place: usize| {
                row.get::<pg_sys::Oid>(place)
                    .map(|oid| oid.map_or(0, |oid| oid.to_u32()))
            };
            list.push(Found {
                oid: oid(1)?,
                relation: RelationName {
                    oid: oid(2)?,
                    schema: text(3)?,
                    name: text(4)?,
                },
                name: QualifiedName::new(text(5)?, text(6)?),
                valid: row.get::<bool>(7)?.unwrap_or(false),
            });
        }
        Ok(list)
    })
}

/// The index with this name.
pub(super) fn index_named(name: &QualifiedName) -> SpiResult<Option<Found>> {
    Ok(found(
        "n.nspname = $1 AND c.relname = $2",
        &[name.schema.as_str().into(), name.name.as_str().into()],
    )?
    .pop())
}

/// The index with this OID.
pub(super) fn index(index: u32) -> SpiResult<Option<Found>> {
    Ok(found("i.indexrelid = $1", &[pg_sys::Oid::from(index).into()])?.pop())
}

/// Indexes of a table, and of its partitions where it has some.
pub(super) fn indexes_of(relation: u32) -> SpiResult<Vec<Found>> {
    found(
        "i.indrelid = $1 OR i.indrelid IN (SELECT p.relid FROM pg_partition_tree($1::oid) AS p)",
        &[pg_sys::Oid::from(relation).into()],
    )
}

/// OIDs of the invalid indexes of a table and its partitions.
pub(super) fn invalid_indexes(relation: u32) -> SpiResult<Vec<pg_sys::Oid>> {
    Ok(indexes_of(relation)?
        .into_iter()
        .filter(|index| !index.valid)
        .map(|index| pg_sys::Oid::from(index.oid))
        .collect())
}

/// Whether somebody else builds on a table now.
pub(super) fn is_being_built(relation: u32) -> SpiResult<bool> {
    Ok(Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index AS p
             JOIN pg_database AS d ON d.oid = p.datid AND d.datname = current_database()
             WHERE p.relid = $1 AND p.pid <> pg_backend_pid())",
        &[pg_sys::Oid::from(relation).into()],
    )?
    .unwrap_or(false))
}

/// Size of a relation (of all partitions for a partitioned index); 0 when it is gone.
pub(super) fn bytes(relation: u32) -> SpiResult<i64> {
    Ok(Spi::get_one_with_args::<i64>(
        "SELECT coalesce((SELECT sum(pg_relation_size(p.relid)) FROM pg_partition_tree($1::oid) AS p
                 WHERE p.isleaf), pg_relation_size($1::oid), 0)::bigint",
        &[pg_sys::Oid::from(relation).into()],
    )?
    .unwrap_or(0))
}

/// Share of a table's pages, partitions included, that are all-visible; 1 for an empty one.
pub(super) fn visible_share(relation: u32) -> SpiResult<f64> {
    Ok(Spi::get_one_with_args::<f64>(
        "SELECT (sum(c.relallvisible) / nullif(sum(greatest(c.relpages,
             pg_relation_size(c.oid) / current_setting('block_size')::int)), 0))::float8
         FROM pg_class AS c WHERE c.relkind IN ('r', 'm')
           AND (c.oid = $1 OR c.oid IN (SELECT p.relid FROM pg_partition_tree($1::oid) AS p))",
        &[pg_sys::Oid::from(relation).into()],
    )?
    .unwrap_or(1.0))
}

/// Whether it is a partitioned table or index.
pub(super) fn is_partitioned(relation: u32) -> SpiResult<bool> {
    Ok(Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1 AND relkind IN ('p', 'I'))",
        &[pg_sys::Oid::from(relation).into()],
    )?
    .unwrap_or(false))
}

/// One relation of a partition tree.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    /// The relation.
    pub relation: RelationName,
    /// Its parent's OID; 0 for the root.
    pub parent: u32,
    /// It has no partitions of its own.
    pub leaf: bool,
    /// `relkind`.
    pub kind: char,
}

/// The partition tree below a table, deepest level first; the table itself comes last.
pub(super) fn partitions(relation: u32) -> SpiResult<Vec<Partition>> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT p.relid::oid, n.nspname::text, c.relname::text, p.parentrelid::oid, p.isleaf,
                 c.relkind::text
             FROM pg_partition_tree($1::oid) AS p
             JOIN pg_class AS c ON c.oid = p.relid
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             ORDER BY p.level DESC, c.relname",
            None,
            &[pg_sys::Oid::from(relation).into()],
        )?;
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            let oid = |place: usize| {
                row.get::<pg_sys::Oid>(place)
                    .map(|oid| oid.map_or(0, |oid| oid.to_u32()))
            };
            let own = oid(1)?;
            list.push(Partition {
                relation: RelationName {
                    oid: own,
                    schema: row.get(2)?.unwrap_or_default(),
                    name: row.get(3)?.unwrap_or_default(),
                },
                parent: if own == relation { 0 } else { oid(4)? },
                leaf: row.get::<bool>(5)?.unwrap_or(true),
                kind: row
                    .get::<String>(6)?
                    .and_then(|kind| kind.chars().next())
                    .unwrap_or('r'),
            });
        }
        Ok(list)
    })
}

/// What stands in the way of an intent for good: its table or index is gone or is another
/// one by now, or the name is taken.
pub(super) fn obstacle(intent: &Intent) -> SpiResult<Option<String>> {
    let relation = &intent.relation;
    let there = Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.oid = $1 AND n.nspname = $2 AND c.relname = $3
               AND c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't')",
        &[
            pg_sys::Oid::from(relation.oid).into(),
            relation.schema.as_str().into(),
            relation.name.as_str().into(),
        ],
    )?;
    if there != Some(true) {
        return Ok(Some(format!(
            "{} is gone or has another name by now",
            relation.qualified()
        )));
    }
    let Some(name) = index_name(intent) else {
        return super::statistics::obstacle(intent);
    };
    let present = index_named(&name)?;
    Ok(match &intent.kind {
        IntentKind::CreateIndex { .. } => present.map(|_| format!("{name} exists already")),
        IntentKind::DropIndex { index, .. } => match present {
            Some(present) if present.oid == *index && present.relation.oid == relation.oid => None,
            _ => Some(format!("{name} is gone or is another index by now")),
        },
        // REINDEX CONCURRENTLY itself gives the index another OID: an attempt that was
        // interrupted after the swap must not stand in the way of the next one.
        IntentKind::Reindex { .. } => match present {
            Some(present) if present.relation.oid == relation.oid => None,
            _ => Some(format!("{name} is gone or is on another table by now")),
        },
        IntentKind::Analyze | IntentKind::CreateStatistics(_) | IntentKind::DropStatistics(_) => {
            None
        }
    })
}
