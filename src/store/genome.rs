//! The genome, `indexpilot.genome_catalog`: one row a field of the schemas in
//! `indexpilot.genome_schema`, kept equal to the catalog by [`refresh`].
//!
//! A field keeps its identity when it or its relation is renamed or moved (it is found by
//! OID and attribute number), when its relation is dropped and made again, and when a dump
//! is restored elsewhere (then it is found by name).

use crate::pg::{opclass, spi};
use crate::store::mutation_log;
use indexpilot_genome::{FieldSetting, LiveField};
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::json;
use std::collections::HashMap;

/// Key of the genome's lock among [`spi::lock_until_commit`]'s: one refresh at a time.
const GENOME_LOCK: u32 = 2;

/// Bytes that fit into a b-tree entry on 8 kB pages (`BTMaxItemSize`, nbtree.h).
const BTREE_ENTRY: i32 = 2704;

/// Bytes from which ANALYZE leaves a value out (`WIDTH_THRESHOLD`, analyze.c).
const TOO_WIDE: i32 = 1024;

/// One difference between genome and catalog that [`refresh`] took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenomeChange {
    /// `added`, `dropped`, `renamed`, `retyped`, `required`, `obstacle`, `recreated`.
    pub kind: String,
    /// OID of the relation.
    pub relation_oid: pg_sys::Oid,
    /// Schema, relation and field before; `None` for an added field.
    pub before: Option<[String; 3]>,
    /// Schema, relation and field now; `None` for a dropped field.
    pub after: Option<[String; 3]>,
    /// Type before, for a retyped field.
    pub type_before: Option<String>,
    /// Type now.
    pub type_after: Option<String>,
}

/// The live fields of the tracked schemas. Partitions follow their parent. `$1` is the
/// types that no index takes, `$2` the width from which ANALYZE leaves a value out, `$5` the
/// size limit of a b-tree entry. A column of strings whose statistics have a width but no
/// slot has no value below that width (`compute_scalar_stats`, analyze.c); the stored width
/// itself says nothing, because it counts TOAST pointers.
const LIVE: &str = "SELECT c.oid AS relation_oid, a.attnum AS attribute_number,
        n.nspname::text AS schema_name, c.relname::text AS relation_name,
        a.attname::text AS field_name, format_type(a.atttypid, a.atttypmod) AS type_name,
        a.attnotnull AS required,
        CASE WHEN a.atttypid = ANY ($1)
            THEN format('type %s has no operator class for any index method', format_type(a.atttypid, NULL))
            WHEN (t.typcategory = 'S' OR a.atttypid = 'bytea'::regtype)
                AND s.stanullfrac < 1 AND c.reltuples * (1 - s.stanullfrac) >= 10
                AND (s.stakind1, s.stakind2, s.stakind3) = (0, 0, 0)
            THEN format('all its sampled values are wider than %s bytes, and an index entry holds %s', $2, $5)
        END AS obstacle
    FROM indexpilot.genome_schema AS g
    JOIN pg_catalog.pg_namespace AS n ON n.oid = g.schema_oid
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
        AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_statistic AS s
        ON s.starelid = c.oid AND s.staattnum = a.attnum AND s.stainherit = (c.relkind = 'p')";

/// The types in these schemas (in all, where none is named) that no index takes.
fn types_without_index(schemas: &[String]) -> SpiResult<Vec<pg_sys::Oid>> {
    let types: Vec<Option<pg_sys::Oid>> = Spi::connect(|client| {
        client
            .select(
                "SELECT DISTINCT a.atttypid
                 FROM pg_catalog.pg_namespace AS n
                 JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
                     AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
                     AND a.attnum > 0 AND NOT a.attisdropped
                 WHERE n.nspname = ANY ($1) OR $1 = '{}'",
                None,
                &[schemas.to_vec().into()],
            )?
            .map(|row| row.get(1))
            .collect::<SpiResult<_>>()
    })?;
    Ok(types
        .into_iter()
        .flatten()
        .filter(|oid| !opclass::any_index_takes(*oid))
        .collect())
}

/// The schemas of the genome.
fn tracked_schemas() -> SpiResult<Vec<String>> {
    let names: Vec<Option<String>> = Spi::connect(|client| {
        client
            .select(
                "SELECT schema_name FROM indexpilot.genome_schema",
                None,
                &[],
            )?
            .map(|row| row.get(1))
            .collect::<SpiResult<_>>()
    })?;
    Ok(names.into_iter().flatten().collect())
}

/// Makes the genome equal to the catalog and tells what changed. Nothing is logged here.
///
/// # Errors
/// What SPI reports.
pub fn refresh() -> SpiResult<Vec<GenomeChange>> {
    spi::as_extension_owner(|| {
        spi::lock_until_commit(GENOME_LOCK);
        let origin: [DatumWithOid; 2] = [spi::system_identifier().into(), spi::database().into()];
        // Schemas: those of a restored dump are found by name; those that are gone leave. (Each
        // statement has a snapshot of its own: what a restore brings in between waits for the
        // next refresh.)
        Spi::run_with_args(
            "UPDATE indexpilot.genome_schema AS g
             SET schema_oid = n.oid, system_identifier = $1, database_oid = $2
             FROM pg_catalog.pg_namespace AS n
             WHERE n.nspname = g.schema_name
               AND (g.system_identifier, g.database_oid) IS DISTINCT FROM ($1, $2)",
            &origin,
        )?;
        Spi::run_with_args(
            "DELETE FROM indexpilot.genome_schema AS g
             WHERE CASE WHEN (g.system_identifier, g.database_oid) IS DISTINCT FROM ($1, $2)
                 THEN NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
                     WHERE n.nspname = g.schema_name)
                 ELSE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
                     WHERE n.oid = g.schema_oid) END",
            &origin,
        )?;
        // A refresh that came before a dump's fields did (they are restored in parallel) has made
        // new ones, of which nobody has said anything yet: those of the dump take their places.
        Spi::run_with_args(
            "DELETE FROM indexpilot.genome_catalog AS g
             WHERE g.system_identifier = $1 AND g.database_oid = $2
               AND g.index_allowed AND g.default_expression AND g.feature_group IS NULL
               AND NOT EXISTS (SELECT FROM indexpilot.expression_profile AS p WHERE p.field = g.id)
               AND EXISTS (SELECT FROM indexpilot.genome_catalog AS f
                   WHERE (f.system_identifier, f.database_oid) IS DISTINCT FROM ($1, $2)
                     AND (f.schema_name, f.relation_name, f.field_name)
                       = (g.schema_name, g.relation_name, g.field_name))",
            &origin,
        )?;
        Spi::run(
            "UPDATE indexpilot.genome_schema AS g SET schema_name = n.nspname
             FROM pg_catalog.pg_namespace AS n
             WHERE n.oid = g.schema_oid AND n.nspname <> g.schema_name",
        )?;
        follow_catalog()
    })
}

/// The differences, taken over in one statement so that all of it sees one catalog.
fn follow_catalog() -> SpiResult<Vec<GenomeChange>> {
    let sql = format!(
        "WITH live AS MATERIALIZED ({LIVE}),
        here AS (  -- rows of the genome that still stand where they stood
            SELECT g.id, l.relation_oid, l.attribute_number
            FROM indexpilot.genome_catalog AS g
            JOIN live AS l USING (relation_oid, attribute_number)
            WHERE g.system_identifier = $3 AND g.database_oid = $4
        ), anchored AS (  -- and those that stand elsewhere now, under the same names
            SELECT id, relation_oid, attribute_number, false AS recreated FROM here
            UNION ALL
            (SELECT DISTINCT ON (l.relation_oid, l.attribute_number)
                g.id, l.relation_oid, l.attribute_number, true
            FROM indexpilot.genome_catalog AS g
            JOIN live AS l USING (schema_name, relation_name, field_name)
            WHERE NOT EXISTS (SELECT FROM here AS h WHERE h.id = g.id)
              AND NOT EXISTS (SELECT FROM here AS h WHERE h.relation_oid = l.relation_oid
                  AND h.attribute_number = l.attribute_number)
            ORDER BY l.relation_oid, l.attribute_number, g.updated_at DESC)
        ), gone AS (
            -- A dump is restored table by table: fields that come from elsewhere wait for
            -- the schemas that they are in, or a refresh in between would take them for gone.
            DELETE FROM indexpilot.genome_catalog AS g
            WHERE NOT EXISTS (SELECT FROM anchored AS a WHERE a.id = g.id)
              AND ((g.system_identifier = $3 AND g.database_oid = $4)
                  OR EXISTS (SELECT FROM indexpilot.genome_schema AS s
                      WHERE s.schema_name = g.schema_name
                        AND s.system_identifier = $3 AND s.database_oid = $4))
            RETURNING g.*
        ), forgotten AS (
            DELETE FROM indexpilot.expression_profile AS p USING gone WHERE p.field = gone.id
        ), changed AS (
            UPDATE indexpilot.genome_catalog AS g
            SET system_identifier = $3, database_oid = $4, relation_oid = l.relation_oid,
                attribute_number = l.attribute_number, schema_name = l.schema_name,
                relation_name = l.relation_name, field_name = l.field_name,
                type_name = l.type_name, required = l.required, obstacle = l.obstacle,
                updated_at = now()
            FROM anchored AS a
            JOIN live AS l USING (relation_oid, attribute_number)
            JOIN indexpilot.genome_catalog AS o ON o.id = a.id
            WHERE g.id = a.id
              AND (o.system_identifier, o.database_oid, o.relation_oid, o.attribute_number,
                   o.schema_name, o.relation_name, o.field_name, o.type_name, o.required, o.obstacle)
                  IS DISTINCT FROM
                  ($3, $4, l.relation_oid, l.attribute_number, l.schema_name, l.relation_name,
                   l.field_name, l.type_name, l.required, l.obstacle)
            RETURNING a.recreated, o.schema_name AS old_schema, o.relation_name AS old_relation,
                o.field_name AS old_field, o.type_name AS old_type, o.required AS old_required, g.*
        ), added AS (
            INSERT INTO indexpilot.genome_catalog (id, system_identifier, database_oid,
                relation_oid, attribute_number, schema_name, relation_name, field_name, type_name,
                required, obstacle, index_allowed, default_expression, created_at, updated_at)
            SELECT gen_random_uuid(), $3, $4, l.relation_oid, l.attribute_number, l.schema_name,
                l.relation_name, l.field_name, l.type_name, l.required, l.obstacle, true, true,
                now(), now()
            FROM live AS l
            WHERE NOT EXISTS (SELECT FROM anchored AS a WHERE a.relation_oid = l.relation_oid
                AND a.attribute_number = l.attribute_number)
            RETURNING *
        )
        SELECT 'dropped', relation_oid, schema_name, relation_name, field_name,
            NULL, NULL, NULL, type_name, NULL, attribute_number FROM gone
        UNION ALL
        SELECT 'added', relation_oid, NULL, NULL, NULL, schema_name, relation_name, field_name,
            NULL, type_name, attribute_number FROM added
        UNION ALL
        SELECT CASE WHEN recreated THEN 'recreated'
                WHEN (old_schema, old_relation, old_field) IS DISTINCT FROM
                    (schema_name, relation_name, field_name) THEN 'renamed'
                WHEN old_type <> type_name THEN 'retyped'
                WHEN old_required <> required THEN 'required'
                ELSE 'obstacle' END,
            relation_oid, old_schema, old_relation, old_field, schema_name, relation_name,
            field_name, old_type, type_name, attribute_number FROM changed
        ORDER BY 2, 11, 1"
    );
    let arguments: [DatumWithOid; 5] = [
        types_without_index(&tracked_schemas()?)?.into(),
        TOO_WIDE.into(),
        spi::system_identifier().into(),
        spi::database().into(),
        BTREE_ENTRY.into(),
    ];
    Spi::connect_mut(|client| {
        let rows = client.update(sql.as_str(), None, &arguments)?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let names = |first: usize| -> SpiResult<Option<[String; 3]>> {
                Ok(row
                    .get::<String>(first)?
                    .zip(row.get::<String>(first + 1)?)
                    .zip(row.get::<String>(first + 2)?)
                    .map(|((schema, relation), field)| [schema, relation, field]))
            };
            changes.push(GenomeChange {
                kind: row.get(1)?.unwrap_or_default(),
                relation_oid: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                before: names(3)?,
                after: names(6)?,
                type_before: row.get(9)?,
                type_after: row.get(10)?,
            });
        }
        Ok(changes)
    })
}

/// Adds schemas to the genome (`None`: every schema of users that holds tables) and fills
/// it. Gives the number of schemas, relations and fields that the genome has now.
///
/// # Errors
/// What SPI reports. The schemas are known to exist.
pub fn bootstrap(schemas: Option<&[String]>) -> SpiResult<(i64, i64, i64)> {
    let added: Vec<String> = spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            client
                .update(
                    "INSERT INTO indexpilot.genome_schema
                         (schema_name, schema_oid, system_identifier, database_oid, created_at)
                     SELECT n.nspname, n.oid, $2, $3, now()
                     FROM pg_catalog.pg_namespace AS n
                     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'indexpilot')
                       AND CASE WHEN $1 IS NULL
                           THEN EXISTS (SELECT FROM pg_catalog.pg_class AS c
                               WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'm'))
                           ELSE n.nspname = ANY ($1) END
                     ON CONFLICT (schema_name) DO NOTHING
                     RETURNING schema_name",
                    None,
                    &[
                        schemas.map(<[String]>::to_vec).into(),
                        spi::system_identifier().into(),
                        spi::database().into(),
                    ],
                )?
                .map(|row| row.get::<String>(1))
                .collect::<SpiResult<Vec<_>>>()
        })
    })?
    .into_iter()
    .flatten()
    .collect();
    let changes = refresh()?;
    let size = size()?;
    if !added.is_empty() || !changes.is_empty() {
        mutation_log::append(
            &MutationRecord::new(
                MutationKind::GenomeChange,
                MutationPhase::Done,
                Cause::User,
                format!(
                    "the genome was filled from the catalog: {} schemas, {} relations, {} fields",
                    size.0, size.1, size.2
                ),
            )
            .with(json!({
                "schemas_added": added,
                "fields_added": changes.iter().filter(|change| change.kind == "added").count(),
                "fields_changed": changes.iter().filter(|change| change.kind != "added").count(),
            })),
        )?;
    }
    Ok(size)
}

/// Schemas, relations and fields of the genome.
///
/// # Errors
/// What SPI reports.
pub fn size() -> SpiResult<(i64, i64, i64)> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let row = client
                .select(
                    "SELECT (SELECT count(*) FROM indexpilot.genome_schema),
                         count(DISTINCT relation_oid), count(*)
                     FROM indexpilot.genome_catalog",
                    None,
                    &[],
                )?
                .first();
            Ok((
                row.get(1)?.unwrap_or(0),
                row.get(2)?.unwrap_or(0),
                row.get(3)?.unwrap_or(0),
            ))
        })
    })
}

/// The fields of these schemas as the catalog has them, whether or not the genome does.
///
/// # Errors
/// What SPI reports.
pub fn live_fields(schemas: &[String]) -> SpiResult<Vec<LiveField>> {
    spi::as_extension_owner(|| {
        // The same query, over the schemas asked for instead of those tracked.
        let sql = LIVE.replace(
            "indexpilot.genome_schema AS g",
            "(SELECT oid AS schema_oid FROM pg_catalog.pg_namespace
              WHERE nspname = ANY ($3) OR $3 = '{}') AS g",
        );
        let untaken = types_without_index(schemas)?;
        Spi::connect(|client| {
            let rows = client.select(
                format!(
                    "SELECT schema_name, relation_name, field_name, type_name, required, obstacle
                     FROM ({sql}) AS l
                     WHERE schema_name !~ '^pg_' AND schema_name NOT IN ('information_schema', 'indexpilot')
                     ORDER BY 1, 2, attribute_number"
                )
                .as_str(),
                None,
                &[
                    untaken.into(),
                    TOO_WIDE.into(),
                    schemas.to_vec().into(),
                    Option::<i32>::None.into(),
                    BTREE_ENTRY.into(),
                ],
            )?;
            let mut fields = Vec::with_capacity(rows.len());
            for row in rows {
                fields.push(LiveField {
                    schema: row.get(1)?.unwrap_or_default(),
                    relation: row.get(2)?.unwrap_or_default(),
                    field: row.get(3)?.unwrap_or_default(),
                    type_name: row.get(4)?.unwrap_or_default(),
                    required: row.get(5)?.unwrap_or(false),
                    obstacle: row.get(6)?,
                });
            }
            Ok(fields)
        })
    })
}

/// Applies a checked description: its schemas join the genome, its settings are taken over.
/// Gives the number of fields whose settings changed.
///
/// # Errors
/// What SPI reports.
pub fn apply_settings(schemas: &[String], settings: &[FieldSetting]) -> SpiResult<i64> {
    bootstrap(Some(schemas))?;
    let document = json!(
        settings
            .iter()
            .map(|setting| json!({
                "schema_name": setting.schema,
                "relation_name": setting.relation,
                "field_name": setting.field,
                "index_allowed": setting.indexable,
                "default_expression": setting.default_expression,
                "feature_group": setting.feature_group,
            }))
            .collect::<Vec<_>>()
    );
    let changed = spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            client
                .update(
                    "UPDATE indexpilot.genome_catalog AS g
                     SET index_allowed = COALESCE(s.index_allowed, g.index_allowed),
                         default_expression = COALESCE(s.default_expression, g.default_expression),
                         feature_group = COALESCE(s.feature_group, g.feature_group),
                         updated_at = now()
                     FROM jsonb_to_recordset($1::jsonb) AS s(schema_name text, relation_name text,
                         field_name text, index_allowed boolean, default_expression boolean,
                         feature_group text)
                     WHERE (g.schema_name, g.relation_name, g.field_name)
                             = (s.schema_name, s.relation_name, s.field_name)
                       AND (g.index_allowed, g.default_expression, g.feature_group) IS DISTINCT FROM
                           (COALESCE(s.index_allowed, g.index_allowed),
                            COALESCE(s.default_expression, g.default_expression),
                            COALESCE(s.feature_group, g.feature_group))",
                    None,
                    &[document.to_string().into()],
                )
                .map(|rows| rows.len())
        })
    })?;
    if changed > 0 {
        mutation_log::append(
            &MutationRecord::new(
                MutationKind::GenomeChange,
                MutationPhase::Done,
                Cause::User,
                format!("a schema description was loaded: {changed} fields changed"),
            )
            .with(json!({ "settings": document })),
        )?;
    }
    Ok(changed as i64)
}

/// Every field of the genome with its settings, in order.
///
/// # Errors
/// What SPI reports.
pub fn described() -> SpiResult<Vec<(LiveField, FieldSetting)>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT schema_name, relation_name, field_name, type_name, required, obstacle,
                     index_allowed, default_expression, feature_group
                 FROM indexpilot.genome_catalog ORDER BY 1, 2, attribute_number",
                None,
                &[],
            )?;
            let mut fields = Vec::with_capacity(rows.len());
            for row in rows {
                let live = LiveField {
                    schema: row.get(1)?.unwrap_or_default(),
                    relation: row.get(2)?.unwrap_or_default(),
                    field: row.get(3)?.unwrap_or_default(),
                    type_name: row.get(4)?.unwrap_or_default(),
                    required: row.get(5)?.unwrap_or(false),
                    obstacle: row.get(6)?,
                };
                let setting = FieldSetting {
                    schema: live.schema.clone(),
                    relation: live.relation.clone(),
                    field: live.field.clone(),
                    indexable: row.get(7)?,
                    default_expression: row.get(8)?,
                    feature_group: row.get(9)?,
                };
                fields.push((live, setting));
            }
            Ok(fields)
        })
    })
}

/// The fields that no index of ours may contain, with the reason: the operator said so.
/// (Which types and sizes an access method takes, the catalog reader decides.)
///
/// # Errors
/// What SPI reports.
pub fn refused() -> SpiResult<HashMap<(u32, i16), String>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT relation_oid, attribute_number, schema_name || '.' || relation_name || '.' || field_name
                 FROM indexpilot.genome_catalog
                 WHERE NOT index_allowed AND system_identifier = $1 AND database_oid = $2",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut refused = HashMap::with_capacity(rows.len());
            for row in rows {
                if let (Some(relation), Some(attribute), Some(path)) = (
                    row.get::<pg_sys::Oid>(1)?,
                    row.get::<i16>(2)?,
                    row.get::<String>(3)?,
                ) {
                    refused.insert(
                        (relation.to_u32(), attribute),
                        format!("{path} is marked as not to be indexed in genome_catalog"),
                    );
                }
            }
            Ok(refused)
        })
    })
}
