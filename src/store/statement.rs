//! Captured statements, `indexpilot.statement` and its companions: what the worker saves and
//! what analysis and verification read.

use crate::capture::evidence::Evidence;
use crate::pg::spi;
use indexpilot_model::StatementId;
use indexpilot_model::query::QueryShape;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Value, json};

/// A statement as it is saved at first sight.
#[derive(Clone, Debug)]
pub struct NewStatement {
    /// Lasting identity.
    pub identity: StatementId,
    /// Tells it apart in shared memory.
    pub memory_id: u64,
    /// The server's query identifier.
    pub query_id: u64,
    /// pg_authid.oid of who ran it.
    pub role: u32,
    /// Sent by a client.
    pub top_level: bool,
    /// select, insert, …
    pub kind: &'static str,
    /// Normalised text.
    pub text: String,
    /// Relations, qualified and quoted.
    pub relations: Vec<String>,
    /// Why its fields are unknown.
    pub not_analysable: Option<&'static str>,
    /// Microseconds since the Unix epoch.
    pub first_seen: i64,
    /// What planning it again needs.
    pub source: Option<NewSource>,
}

/// The part of a statement that is never dumped.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// nodeToString.
    pub tree: String,
    /// Its fields.
    pub shape: QueryShape,
    /// search_path.
    pub search_path: String,
    /// Planning settings.
    pub settings: Vec<(String, String)>,
    /// Types of all parameters.
    pub types: Vec<u32>,
    /// How many the statement has itself.
    pub own: usize,
    /// Lists made of its own parameters.
    pub own_lists: usize,
    /// `model::tree_form` of the tree.
    pub form: u64,
    /// First sample, if any.
    pub sample: Option<Vec<Option<String>>>,
}

/// Samples kept of a statement.
pub const SAMPLES: usize = 5;

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| error!("{e}"))
}

/// Saves a statement, or finds it again by its identity, and gives its key.
///
/// # Errors
/// What SPI reports.
pub fn save(statement: &NewStatement) -> SpiResult<String> {
    let arguments: [DatumWithOid; 12] = [
        spi::system_identifier().into(),
        spi::database().into(),
        (statement.identity.0 as i64).into(),
        (statement.query_id as i64).into(),
        pg_sys::Oid::from(statement.role).into(),
        statement.top_level.into(),
        statement.kind.into(),
        statement.text.as_str().into(),
        statement.relations.clone().into(),
        statement.not_analysable.into(),
        (statement.first_seen as f64 / 1e6).into(),
        (statement.memory_id as i64).into(),
    ];
    let id = spi::as_extension_owner(|| {
        Spi::get_one_with_args::<String>(
            "INSERT INTO indexpilot.statement AS s (id, system_identifier, database_oid, identity,
                 memory_id, query_id, role_name, role_oid, top_level, kind, query, relations, not_analysable,
                 first_seen, last_seen, errors, plannings, planning_ms)
             SELECT gen_random_uuid(), $1, $2, $3, $12, $4, coalesce(r.rolname, $5::text), $5, $6, $7,
                 $8, $9, $10, to_timestamp($11), to_timestamp($11), 0, 0, 0
             FROM (SELECT) AS one LEFT JOIN pg_roles AS r ON r.oid = $5
             ON CONFLICT (system_identifier, database_oid, identity, role_name, top_level)
             DO UPDATE SET memory_id = excluded.memory_id, query_id = excluded.query_id,
                 role_oid = excluded.role_oid,
                 last_seen = greatest(s.last_seen, excluded.last_seen),
                 not_analysable = CASE WHEN excluded.not_analysable IS NULL
                     THEN NULL ELSE s.not_analysable END
             RETURNING s.id::text",
            &arguments,
        )
    })?
    .unwrap_or_default();
    if let Some(source) = &statement.source {
        save_source(&id, source)?;
    }
    Ok(id)
}

/// Saves what planning a statement again needs.
///
/// # Errors
/// What SPI reports.
pub fn save_source(id: &str, source: &NewSource) -> SpiResult<()> {
    let samples: Vec<&Vec<Option<String>>> = source.sample.iter().collect();
    let types: Vec<pg_sys::Oid> = source.types.iter().map(|&oid| oid.into()).collect();
    let settings: serde_json::Map<String, Value> = source
        .settings
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let arguments: [DatumWithOid; 10] = [
        id.into(),
        source.tree.as_str().into(),
        json(&source.shape).into(),
        source.search_path.as_str().into(),
        json(&settings).into(),
        types.into(),
        (source.own as i32).into(),
        json(&samples).into(),
        (source.own_lists as i32).into(),
        source.form.cast_signed().into(),
    ];
    // A tree of another version, with other parameters or of another form makes the old samples
    // useless.
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.statement_source AS s (statement, captured_at, server_version,
                 tree, shape, search_path, settings, parameter_types, own_parameters, samples,
                 own_lists, form, evidence, constants)
             VALUES ($1::uuid, now(), current_setting('server_version_num')::int, $2, $3::jsonb,
                 $4, $5::jsonb, $6, $7, $8::jsonb, $9, $10, '{}', '[]')
             ON CONFLICT (statement) DO UPDATE SET captured_at = excluded.captured_at,
                 server_version = excluded.server_version, tree = excluded.tree,
                 shape = excluded.shape, search_path = excluded.search_path,
                 settings = excluded.settings, parameter_types = excluded.parameter_types,
                 own_parameters = excluded.own_parameters,
                 own_lists = excluded.own_lists, form = excluded.form,
                 samples = CASE WHEN s.parameter_types = excluded.parameter_types
                         AND s.form = excluded.form AND jsonb_array_length(s.samples) > 0
                     THEN s.samples ELSE excluded.samples END,
                 evidence = CASE WHEN s.shape = excluded.shape THEN s.evidence ELSE '{}' END,
                 constants = CASE WHEN s.shape = excluded.shape THEN s.constants ELSE '[]' END",
            &arguments,
        )
    })
}

/// Adds a parameter sample: to those there are, or, when there are [`SAMPLES`], in place of
/// the one at `place`. Gives how many there are now, `None` when it was not taken: it is there
/// already, or it does not fit the stored tree, whose form must be that of the tree that the
/// values were taken from. Where no tree came with them (`form` is `None`), the statement's
/// parameters must stand in one list at most: of several, any could be the longer one.
///
/// # Errors
/// What SPI reports.
pub fn add_sample(
    id: &str,
    values: &[Option<String>],
    form: Option<u64>,
    place: usize,
) -> SpiResult<Option<i32>> {
    let arguments: [DatumWithOid; 5] = [
        id.into(),
        json(&values).into(),
        (place.min(SAMPLES - 1) as i32).into(),
        (SAMPLES as i32).into(),
        form.map(u64::cast_signed).into(),
    ];
    spi::as_extension_owner(|| {
        let count = Spi::get_one_with_args(
            "UPDATE indexpilot.statement_source SET samples =
                 CASE WHEN jsonb_array_length(samples) < $4 THEN samples || jsonb_build_array($2::jsonb)
                 ELSE jsonb_set(samples, ARRAY[$3::text], $2::jsonb) END
             WHERE statement = $1::uuid
               AND jsonb_array_length($2::jsonb) = cardinality(parameter_types)
               AND parameter_types <> '{}'
               AND CASE WHEN $5::bigint IS NULL THEN own_lists < 2 ELSE form = $5 END
               AND NOT samples @> jsonb_build_array($2::jsonb)
             RETURNING jsonb_array_length(samples)",
            &arguments,
        );
        // No row: as above.
        match count {
            Err(pgrx::spi::SpiError::InvalidPosition) => Ok(None),
            other => other,
        }
    })
}

/// Saves which values a statement's fields are compared with, and which of them are nearly
/// always the same.
///
/// # Errors
/// What SPI reports.
pub fn save_evidence(known: &Known) -> SpiResult<()> {
    let Some(shape) = &known.shape else {
        return Ok(());
    };
    let constants: Vec<Value> = known
        .evidence
        .constants()
        .filter_map(|(number, value, count, seen)| {
            let field = shape.uses.get(number)?;
            Some(json!({
                "relation": shape.instances[field.instance].relation.qualified(),
                "field": field.element.for_people(), "value": value, "count": count, "seen": seen }))
        })
        .collect();
    let arguments: [DatumWithOid; 3] = [
        known.id.as_str().into(),
        json(&known.evidence).into(),
        json(&constants).into(),
    ];
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "UPDATE indexpilot.statement_source SET evidence = $2::jsonb, constants = $3::jsonb
             WHERE statement = $1::uuid",
            &arguments,
        )
    })
}

/// Forgets the values that fields are compared with: `sample_parameters` is off.
///
/// # Errors
/// What SPI reports.
pub fn forget_evidence() -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run(
            "UPDATE indexpilot.statement_source SET evidence = '{}', constants = '[]'
             WHERE evidence <> '{}' OR constants <> '[]'",
        )
    })
}

/// What the worker keeps in mind of a statement.
#[derive(Clone, Debug)]
pub struct Known {
    /// Key of `indexpilot.statement`.
    pub id: String,
    /// select, insert, …
    pub kind: String,
    /// Its fields; `None` where they are unknown.
    pub shape: Option<QueryShape>,
    /// Parameters of the statement itself.
    pub own: usize,
    /// Lists made of its own parameters.
    pub own_lists: usize,
    /// Values that its fields are compared with.
    pub evidence: Evidence,
}

impl Known {
    /// Whether more samples would tell which of its fields are compared with constants.
    pub fn wants_evidence(&self) -> bool {
        self.shape
            .as_ref()
            .is_some_and(|shape| self.evidence.wants_more(shape, self.own))
    }
}

/// A statement that an earlier worker saved.
///
/// # Errors
/// What SPI reports.
pub fn find(memory_id: u64, role: u32, top_level: bool, utility: bool) -> SpiResult<Option<Known>> {
    let arguments: [DatumWithOid; 6] = [
        spi::system_identifier().into(),
        spi::database().into(),
        (memory_id as i64).into(),
        pg_sys::Oid::from(role).into(),
        top_level.into(),
        utility.into(),
    ];
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let table = client.select(
                "SELECT s.id::text, s.kind, o.shape::text, o.own_parameters, o.evidence::text,
                     o.own_lists
                 FROM indexpilot.statement AS s
                 LEFT JOIN indexpilot.statement_source AS o ON o.statement = s.id
                 WHERE s.system_identifier = $1 AND s.database_oid = $2 AND s.memory_id = $3
                   AND s.role_oid = $4 AND s.top_level = $5
                   AND (s.kind = 'utility') = $6
                 ORDER BY s.last_seen DESC LIMIT 1",
                Some(1),
                &arguments,
            )?;
            let Some(row) = table.into_iter().next() else {
                return Ok(None);
            };
            let shape = row
                .get::<String>(3)?
                .and_then(|text| serde_json::from_str(&text).ok());
            Ok(Some(Known {
                id: row.get::<String>(1)?.unwrap_or_default(),
                kind: row.get::<String>(2)?.unwrap_or_default(),
                shape,
                own: row.get::<i32>(4)?.unwrap_or(0).max(0) as usize,
                own_lists: row.get::<i32>(6)?.unwrap_or(0).max(0) as usize,
                evidence: row
                    .get::<String>(5)?
                    .and_then(|text| serde_json::from_str(&text).ok())
                    .unwrap_or_default(),
            }))
        })
    })
}

/// Adds counters: three arrays of objects whose members are named as the columns.
///
/// # Errors
/// What SPI reports.
pub fn add_counters(statements: &[Value], stats: &[Value], fields: &[Value]) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        if !statements.is_empty() {
            Spi::run_with_args(
                "UPDATE indexpilot.statement AS s SET
                     last_seen = greatest(s.last_seen, r.last_seen),
                     errors = s.errors + r.errors, plannings = s.plannings + r.plannings,
                     planning_ms = s.planning_ms + r.planning_ms
                 FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, last_seen timestamptz,
                     errors bigint, plannings bigint, planning_ms double precision)
                 WHERE s.id = r.id",
                &[json(&statements).into()],
            )?;
        }
        if !stats.is_empty() {
            Spi::run_with_args(
                "INSERT INTO indexpilot.statement_stats AS s
                 SELECT r.* FROM jsonb_to_recordset($1::jsonb) AS r (statement uuid,
                     bucket timestamptz, plan bigint, calls bigint, rows bigint,
                     total_ms double precision, square_ms double precision,
                     min_ms double precision, max_ms double precision, cost double precision,
                     shared_hit bigint, shared_read bigint, shared_dirtied bigint,
                     shared_written bigint, temp_read bigint, temp_written bigint,
                     wal_bytes bigint, histogram jsonb)
                 ON CONFLICT (statement, bucket, plan) DO UPDATE SET
                     calls = s.calls + excluded.calls, rows = s.rows + excluded.rows,
                     total_ms = s.total_ms + excluded.total_ms,
                     square_ms = s.square_ms + excluded.square_ms,
                     min_ms = least(s.min_ms, excluded.min_ms),
                     max_ms = greatest(s.max_ms, excluded.max_ms),
                     cost = s.cost + excluded.cost,
                     shared_hit = s.shared_hit + excluded.shared_hit,
                     shared_read = s.shared_read + excluded.shared_read,
                     shared_dirtied = s.shared_dirtied + excluded.shared_dirtied,
                     shared_written = s.shared_written + excluded.shared_written,
                     temp_read = s.temp_read + excluded.temp_read,
                     temp_written = s.temp_written + excluded.temp_written,
                     wal_bytes = s.wal_bytes + excluded.wal_bytes,
                     histogram = (SELECT jsonb_object_agg(b.key, b.count)
                         FROM (SELECT a.key, sum(a.value::bigint) AS count
                             FROM (SELECT * FROM jsonb_each_text(s.histogram)
                                 UNION ALL SELECT * FROM jsonb_each_text(excluded.histogram)) AS a
                             GROUP BY a.key) AS b)",
                &[json(&stats).into()],
            )?;
            // What a plan reads never changes: its fingerprint covers the indexes' OIDs.
            Spi::run_with_args(
                "INSERT INTO indexpilot.statement_plan (statement, plan, indexes)
                 SELECT r.statement, r.plan, r.indexes
                 FROM jsonb_to_recordset($1::jsonb) AS r (statement uuid, plan bigint,
                     indexes oid[])
                 WHERE r.indexes IS NOT NULL AND r.plan <> 0
                   AND NOT EXISTS (SELECT FROM indexpilot.statement_plan AS p
                       WHERE p.statement = r.statement AND p.plan = r.plan)
                 ON CONFLICT DO NOTHING",
                &[json(&stats).into()],
            )?;
        }
        if !fields.is_empty() {
            let arguments: [DatumWithOid; 3] = [
                json(&fields).into(),
                spi::system_identifier().into(),
                spi::database().into(),
            ];
            Spi::run_with_args(
                "INSERT INTO indexpilot.query_stats AS s (system_identifier, database_oid, bucket,
                     tenant, relation, relation_oid, field, role, kind, calls, rows, total_ms,
                     rows_filtered)
                 SELECT $2, $3, r.* FROM jsonb_to_recordset($1::jsonb) AS r (bucket timestamptz,
                     tenant text, relation text, relation_oid oid, field text, role text,
                     kind text, calls bigint, rows bigint, total_ms double precision,
                     rows_filtered double precision)
                 ON CONFLICT (system_identifier, database_oid, bucket, tenant, relation, field,
                     role, kind)
                 DO UPDATE SET calls = s.calls + excluded.calls, rows = s.rows + excluded.rows,
                     total_ms = s.total_ms + excluded.total_ms,
                     rows_filtered = CASE WHEN s.rows_filtered IS NULL THEN excluded.rows_filtered
                         ELSE s.rows_filtered + coalesce(excluded.rows_filtered, 0) END,
                     relation_oid = excluded.relation_oid",
                &arguments,
            )?;
        }
        Ok(())
    })
}

/// Adds to the work of tenants: objects whose members are named as the columns.
///
/// # Errors
/// What SPI reports.
pub fn add_tenants(rows: &[Value]) -> SpiResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let arguments: [DatumWithOid; 3] = [
        json(&rows).into(),
        spi::system_identifier().into(),
        spi::database().into(),
    ];
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.tenant_stats AS s (system_identifier, database_oid, bucket,
                 tenant, statement, calls, rows, total_ms)
             SELECT $2, $3, r.* FROM jsonb_to_recordset($1::jsonb) AS r (bucket timestamptz,
                 tenant text, statement uuid, calls bigint, rows bigint,
                 total_ms double precision)
             ON CONFLICT (system_identifier, database_oid, bucket, tenant, statement)
             DO UPDATE SET calls = s.calls + excluded.calls, rows = s.rows + excluded.rows,
                 total_ms = s.total_ms + excluded.total_ms",
            &arguments,
        )
    })
}

/// Forgets everything of this database, or what is attributed to a tenant.
///
/// # Errors
/// What SPI reports.
pub fn forget(tenant: Option<&str>) -> SpiResult<()> {
    spi::as_extension_owner(|| match tenant {
        Some(tenant) => {
            let arguments: [DatumWithOid; 1] = [tenant.into()];
            Spi::run_with_args(
                "DELETE FROM indexpilot.tenant_stats WHERE tenant = $1",
                &arguments,
            )?;
            Spi::run_with_args(
                "DELETE FROM indexpilot.query_stats WHERE tenant = $1",
                &arguments,
            )
        }
        None => Spi::run(
            "DELETE FROM indexpilot.statement_source; DELETE FROM indexpilot.statement_stats;
             DELETE FROM indexpilot.imported_stats;
             DELETE FROM indexpilot.statement_plan;
             DELETE FROM indexpilot.tenant_stats; DELETE FROM indexpilot.query_stats;
             DELETE FROM indexpilot.statement",
        ),
    })
}

/// Removes what is older than `days`, and merges five-minute buckets older than a day into
/// hours.
///
/// # Errors
/// What SPI reports.
pub fn tidy(days: u32) -> SpiResult<()> {
    let arguments: [DatumWithOid; 1] = [(days as i32).into()];
    spi::as_extension_owner(|| {
        for table in ["statement_stats", "query_stats", "tenant_stats"] {
            Spi::run_with_args(
                &format!(
                    "DELETE FROM indexpilot.{table} WHERE bucket < now() - make_interval(days => $1)"
                ),
                &arguments,
            )?;
        }
        Spi::run(
            "DELETE FROM indexpilot.statement_plan AS p
             WHERE NOT EXISTS (SELECT FROM indexpilot.statement_stats AS b
                 WHERE b.statement = p.statement AND b.plan = p.plan)",
        )?;
        Spi::run_with_args(
            "DELETE FROM indexpilot.imported_stats
             WHERE until < now() - make_interval(days => $1)",
            &arguments,
        )?;
        Spi::run_with_args(
            "WITH gone AS (DELETE FROM indexpilot.statement AS s
                 WHERE s.last_seen < now() - make_interval(days => $1)
                   AND NOT EXISTS (SELECT FROM indexpilot.statement_stats AS b
                       WHERE b.statement = s.id)
                   AND NOT EXISTS (SELECT FROM indexpilot.imported_stats AS i
                       WHERE i.statement = s.id) RETURNING s.id)
             DELETE FROM indexpilot.statement_source AS o USING gone WHERE o.statement = gone.id",
            &arguments,
        )?;
        // Only hours with a bucket that is not on the hour are touched, so a second run finds
        // nothing. Hours are those of UTC: sessions differ in their time zones.
        for (table, columns, groups, sums) in [
            (
                "query_stats",
                "system_identifier, database_oid, bucket, tenant, relation, field, role, kind,
                 relation_oid, calls, rows, total_ms, rows_filtered",
                "system_identifier, database_oid, hour, tenant, relation, field, role, kind",
                "max(relation_oid), sum(calls), sum(rows), sum(total_ms), sum(rows_filtered)",
            ),
            (
                "tenant_stats",
                "system_identifier, database_oid, bucket, tenant, statement, calls, rows, total_ms",
                "system_identifier, database_oid, hour, tenant, statement",
                "sum(calls), sum(rows), sum(total_ms)",
            ),
            (
                "statement_stats",
                "statement, bucket, plan, calls, rows, total_ms, square_ms, min_ms, max_ms, cost,
                 shared_hit, shared_read, shared_dirtied, shared_written, temp_read,
                 temp_written, wal_bytes, histogram",
                "statement, hour, plan",
                "sum(calls), sum(rows), sum(total_ms), sum(square_ms), min(min_ms), max(max_ms),
                 sum(cost), sum(shared_hit), sum(shared_read), sum(shared_dirtied),
                 sum(shared_written), sum(temp_read), sum(temp_written), sum(wal_bytes),
                 (SELECT coalesce(jsonb_object_agg(bar.key, bar.count), '{}')
                  FROM (SELECT e.key, sum(e.value::bigint) AS count
                      FROM unnest(array_agg(histogram)) AS h, jsonb_each_text(h) AS e
                      GROUP BY e.key) AS bar)",
            ),
        ] {
            Spi::run(&format!(
                "WITH old AS (DELETE FROM indexpilot.{table}
                     WHERE bucket < date_trunc('hour', now() - interval '1 day', 'UTC')
                       AND date_trunc('hour', bucket, 'UTC') IN (
                           SELECT date_trunc('hour', b.bucket, 'UTC') FROM indexpilot.{table} AS b
                           WHERE b.bucket < date_trunc('hour', now() - interval '1 day', 'UTC')
                             AND b.bucket <> date_trunc('hour', b.bucket, 'UTC'))
                     RETURNING *, date_trunc('hour', bucket, 'UTC') AS hour)
                 INSERT INTO indexpilot.{table} ({columns})
                 SELECT {groups}, {sums} FROM old GROUP BY {groups}"
            ))?;
        }
        Ok(())
    })
}
