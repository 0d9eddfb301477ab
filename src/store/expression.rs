//! The declared expression, `indexpilot.expression_profile`: which fields each tenant uses.
//! Every switch stands in the mutation log with the fields it changed, so that the profile
//! is what replaying the log gives ([`replayed`]).

use crate::pg::spi;
use crate::store::mutation_log;
use indexpilot_model::TenantKey;
use indexpilot_model::mutation::{
    Cause, FieldSwitch, Inverse, MutationKind, MutationPhase, MutationRecord,
};
use indexpilot_model::query::RelationName;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// A field of the genome.
#[derive(Clone, Debug)]
pub struct GenomeField {
    /// `genome_catalog.id`.
    pub id: Uuid,
    /// Its relation.
    pub relation: RelationName,
    /// Its name.
    pub field: String,
}

impl GenomeField {
    /// `schema.relation.field`, for people.
    pub fn path(&self) -> String {
        format!(
            "{}.{}.{}",
            self.relation.schema, self.relation.name, self.field
        )
    }
}

/// Whether the tenant has a declared profile.
///
/// # Errors
/// What SPI reports.
pub fn has_profile(tenant: &str) -> SpiResult<bool> {
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<bool>(
            "SELECT EXISTS (SELECT FROM indexpilot.expression_tenant WHERE tenant = $1)",
            &[tenant.into()],
        )
        .map(|found| found.unwrap_or(false))
    })
}

/// Some tenants with a profile, to suggest one from.
///
/// # Errors
/// What SPI reports.
pub fn some_tenants() -> SpiResult<Vec<String>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let names: SpiResult<Vec<Option<String>>> = client
                .select(
                    "SELECT tenant FROM indexpilot.expression_tenant ORDER BY tenant LIMIT 10000",
                    None,
                    &[],
                )?
                .map(|row| row.get(1))
                .collect();
            Ok(names?.into_iter().flatten().collect())
        })
    })
}

/// Gives a tenant a profile: the genome's defaults, or what another tenant uses. Fields that
/// it has an opinion on already stay as they are. Gives the number of fields it uses now.
///
/// # Errors
/// What SPI reports.
pub fn initialize(tenant: &str, like: Option<&str>) -> SpiResult<i64> {
    let id = new_id()?;
    let known = has_profile(tenant)?;
    let changed = spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.expression_tenant (tenant, tenant_key, initialized_at, mutation)
             VALUES ($1, $2, now(), $3) ON CONFLICT (tenant) DO NOTHING",
            &[
                tenant.into(),
                (TenantKey::from_text(tenant.as_bytes()).0 as i64).into(),
                id.into(),
            ],
        )?;
        Spi::connect_mut(|client| {
            read_switched(client.update(
                "WITH changed AS (
                     INSERT INTO indexpilot.expression_profile (tenant, field, enabled, changed_at, mutation)
                     SELECT $1, g.id, COALESCE(p.enabled, g.default_expression), now(), $2
                     FROM indexpilot.genome_catalog AS g
                     LEFT JOIN indexpilot.expression_profile AS p ON p.tenant = $3 AND p.field = g.id
                     ON CONFLICT (tenant, field) DO NOTHING
                     RETURNING field, enabled)
                 SELECT g.id, g.relation_oid, g.schema_name, g.relation_name, g.field_name, c.enabled
                 FROM changed AS c JOIN indexpilot.genome_catalog AS g ON g.id = c.field
                 ORDER BY g.schema_name, g.relation_name, g.attribute_number",
                None,
                &[tenant.into(), id.into(), like.into()],
            )?)
        })
    })?;
    if !known || !changed.is_empty() {
        let record = MutationRecord {
            tenant: Some(tenant.to_string()),
            evidence: evidence(&changed, json!({ "like": like })),
            ..MutationRecord::new(
                MutationKind::InitializeTenant,
                MutationPhase::Done,
                Cause::User,
                match like {
                    Some(other) => {
                        format!("a profile like that of tenant \"{other}\" was asked for")
                    }
                    None => "a profile with the genome's defaults was asked for".to_string(),
                },
            )
        };
        mutation_log::append_as(id, &record)?;
    }
    spi::as_extension_owner(|| {
        Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM indexpilot.expression_profile WHERE tenant = $1 AND enabled",
            &[tenant.into()],
        )
        .map(|count| count.unwrap_or(0))
    })
}

/// Switches fields for a tenant that has a profile. Gives the number of fields that were
/// switched the other way before.
///
/// # Errors
/// What SPI reports.
pub fn switch(tenant: &str, fields: &[GenomeField], enabled: bool, reason: &str) -> SpiResult<i64> {
    let id = new_id()?;
    let ids: Vec<Uuid> = fields.iter().map(|field| field.id).collect();
    let changed = spi::as_extension_owner(|| {
        Spi::connect_mut(|client| {
            read_switched(client.update(
                "WITH changed AS (
                     INSERT INTO indexpilot.expression_profile AS p (tenant, field, enabled, changed_at, mutation)
                     SELECT $1, f.id, $3, now(), $4 FROM unnest($2) AS f(id)
                     ON CONFLICT (tenant, field) DO UPDATE
                     SET enabled = $3, changed_at = now(), mutation = $4
                     WHERE p.enabled <> $3
                     RETURNING field, enabled)
                 SELECT g.id, g.relation_oid, g.schema_name, g.relation_name, g.field_name, c.enabled
                 FROM changed AS c JOIN indexpilot.genome_catalog AS g ON g.id = c.field
                 ORDER BY g.schema_name, g.relation_name, g.attribute_number",
                None,
                &[tenant.into(), ids.into(), enabled.into(), id.into()],
            )?)
        })
    })?;
    if changed.is_empty() {
        return Ok(0);
    }
    let triples = changed
        .iter()
        .map(|(field, _)| {
            [
                field.relation.schema.clone(),
                field.relation.name.clone(),
                field.field.clone(),
            ]
        })
        .collect();
    let tenant_name = tenant.to_string();
    let inverse = if enabled {
        FieldSwitch::DisableField {
            tenant: tenant_name,
            fields: triples,
        }
    } else {
        FieldSwitch::EnableField {
            tenant: tenant_name,
            fields: triples,
        }
    };
    let first = &changed[0].0.relation;
    let record = MutationRecord {
        tenant: Some(tenant.to_string()),
        // Of one relation as a rule; then the entry is found by it.
        relation: changed
            .iter()
            .all(|(field, _)| field.relation == *first)
            .then(|| first.clone()),
        evidence: evidence(&changed, json!({})),
        inverse: Some(Inverse::Fields(vec![inverse])),
        ..MutationRecord::new(
            if enabled {
                MutationKind::EnableField
            } else {
                MutationKind::DisableField
            },
            MutationPhase::Done,
            Cause::User,
            reason,
        )
    };
    mutation_log::append_as(id, &record)?;
    Ok(changed.len() as i64)
}

/// The fields of the genome that match any of these: `relation.field`,
/// `schema.relation.field`, and either with `*` for the field. In the order of the genome.
/// The second part is what matched nothing, or a bare relation in several schemas.
///
/// # Errors
/// What SPI reports.
pub fn resolve(patterns: &[String]) -> SpiResult<(Vec<GenomeField>, Vec<String>)> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT p.pattern, g.id, g.relation_oid, g.schema_name, g.relation_name, g.field_name
                 FROM unnest($1) AS p(pattern)
                 LEFT JOIN indexpilot.genome_catalog AS g ON p.pattern IN (
                     g.schema_name || '.' || g.relation_name || '.' || g.field_name,
                     g.relation_name || '.' || g.field_name,
                     g.schema_name || '.' || g.relation_name || '.*',
                     g.relation_name || '.*')
                 ORDER BY g.schema_name, g.relation_name, g.attribute_number",
                None,
                &[patterns.to_vec().into()],
            )?;
            let mut fields: Vec<GenomeField> = Vec::new();
            let mut relations: HashMap<String, HashSet<String>> = HashMap::new();
            let mut seen = HashSet::new();
            let mut wrong = Vec::new();
            for row in rows {
                let pattern: String = row.get(1)?.unwrap_or_default();
                let Some(id) = row.get::<Uuid>(2)? else {
                    wrong.push(format!("no field matches \"{pattern}\""));
                    continue;
                };
                let field = GenomeField {
                    id,
                    relation: RelationName {
                        oid: row.get::<pg_sys::Oid>(3)?.map_or(0, |oid| oid.to_u32()),
                        schema: row.get(4)?.unwrap_or_default(),
                        name: row.get(5)?.unwrap_or_default(),
                    },
                    field: row.get(6)?.unwrap_or_default(),
                };
                relations
                    .entry(pattern)
                    .or_default()
                    .insert(field.relation.qualified());
                if seen.insert(*id.as_bytes()) {
                    fields.push(field);
                }
            }
            for (pattern, found) in relations {
                if found.len() > 1 {
                    let mut found: Vec<String> = found.into_iter().collect();
                    found.sort();
                    wrong.push(format!("\"{pattern}\" is ambiguous: {}", found.join(", ")));
                }
            }
            wrong.sort();
            Ok((fields, wrong))
        })
    })
}

/// All names of the genome as `schema.relation.field`, to suggest one from.
///
/// # Errors
/// What SPI reports.
pub fn all_paths() -> SpiResult<Vec<[String; 3]>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT schema_name, relation_name, field_name FROM indexpilot.genome_catalog
                 ORDER BY 1, 2, 3",
                None,
                &[],
            )?;
            let mut paths = Vec::with_capacity(rows.len());
            for row in rows {
                paths.push([
                    row.get(1)?.unwrap_or_default(),
                    row.get(2)?.unwrap_or_default(),
                    row.get(3)?.unwrap_or_default(),
                ]);
            }
            Ok(paths)
        })
    })
}

/// The fields that tenants with a profile have switched off: their demand counts for
/// nothing in advice.
#[derive(Clone, Debug, Default)]
pub struct DisabledFields(HashSet<(TenantKey, u32, i16)>);

impl DisabledFields {
    /// Reads the profile.
    ///
    /// # Errors
    /// What SPI reports.
    pub fn load() -> SpiResult<Self> {
        spi::as_extension_owner(|| {
            Spi::connect(|client| {
                let rows = client.select(
                    "SELECT t.tenant_key, g.relation_oid, g.attribute_number
                     FROM indexpilot.expression_profile AS p
                     JOIN indexpilot.expression_tenant AS t ON t.tenant = p.tenant
                     JOIN indexpilot.genome_catalog AS g ON g.id = p.field
                     WHERE NOT p.enabled
                       AND g.system_identifier = $1 AND g.database_oid = $2",
                    None,
                    &[spi::system_identifier().into(), spi::database().into()],
                )?;
                let mut disabled = HashSet::with_capacity(rows.len());
                for row in rows {
                    if let (Some(key), Some(relation), Some(attribute)) = (
                        row.get::<i64>(1)?,
                        row.get::<pg_sys::Oid>(2)?,
                        row.get::<i16>(3)?,
                    ) {
                        disabled.insert((TenantKey(key as u64), relation.to_u32(), attribute));
                    }
                }
                Ok(DisabledFields(disabled))
            })
        })
    }

    /// Whether the tenant has switched this field off.
    pub fn contains(&self, tenant: TenantKey, relation: u32, attribute: i16) -> bool {
        self.0.contains(&(tenant, relation, attribute))
    }
}

/// The profile as replaying the log gives it: `(tenant, field, enabled)`, the newest entry
/// of each, over the fields that the genome still has. Entries that a restored dump brought
/// come before those of this cluster and database (`$1`, `$2`); an entry of the present
/// transaction, which has no place yet, comes last.
const REPLAY: &str = "SELECT DISTINCT ON (m.tenant, s.field) m.tenant, s.field, s.enabled
    FROM (SELECT *, (system_identifier, database_oid, log_oid)
                  = ($1, $2, 'indexpilot.mutation_log'::regclass) AS own,
              max(at) OVER (PARTITION BY system_identifier, database_oid, log_oid) AS origin_end
          FROM indexpilot.mutation_log) AS m,
        LATERAL (
            SELECT key::uuid AS field, true AS enabled
            FROM jsonb_object_keys(m.evidence -> 'enabled') AS e(key)
            UNION ALL
            SELECT key::uuid, false FROM jsonb_object_keys(m.evidence -> 'disabled') AS d(key)
        ) AS s
    WHERE m.kind IN ('ENABLE_FIELD', 'DISABLE_FIELD', 'INITIALIZE_TENANT')
      AND EXISTS (SELECT FROM indexpilot.genome_catalog AS g WHERE g.id = s.field)
    ORDER BY m.tenant, s.field, own DESC, origin_end DESC, m.sequence DESC NULLS FIRST, m.at DESC";

/// Differences between the profile and the replayed log: `(tenant, field, declared, replayed)`.
///
/// # Errors
/// What SPI reports.
#[allow(clippy::type_complexity, reason = "the columns of a table, spelt out")]
pub fn replay_differences() -> SpiResult<Vec<(String, Uuid, Option<bool>, Option<bool>)>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                format!(
                    "SELECT tenant, field, p.enabled, r.enabled
                     FROM indexpilot.expression_profile AS p
                     FULL JOIN ({REPLAY}) AS r USING (tenant, field)
                     WHERE p.enabled IS DISTINCT FROM r.enabled ORDER BY 1, 2"
                )
                .as_str(),
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut differences = Vec::with_capacity(rows.len());
            for row in rows {
                if let (Some(tenant), Some(field)) = (row.get(1)?, row.get(2)?) {
                    differences.push((tenant, field, row.get(3)?, row.get(4)?));
                }
            }
            Ok(differences)
        })
    })
}

fn new_id() -> SpiResult<Uuid> {
    Spi::get_one::<Uuid>("SELECT pg_catalog.gen_random_uuid()")?
        .ok_or(pgrx::spi::SpiError::InvalidPosition)
}

fn read_switched(rows: pgrx::spi::SpiTupleTable<'_>) -> SpiResult<Vec<(GenomeField, bool)>> {
    let mut fields = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(id) = row.get::<Uuid>(1)? {
            let field = GenomeField {
                id,
                relation: RelationName {
                    oid: row.get::<pg_sys::Oid>(2)?.map_or(0, |oid| oid.to_u32()),
                    schema: row.get(3)?.unwrap_or_default(),
                    name: row.get(4)?.unwrap_or_default(),
                },
                field: row.get(5)?.unwrap_or_default(),
            };
            fields.push((field, row.get(6)?.unwrap_or(false)));
        }
    }
    Ok(fields)
}

/// `{"enabled": {"<field id>": "schema.relation.field", …}, "disabled": {…}, …}`: the
/// replay goes by the identities, people read the names.
fn evidence(changed: &[(GenomeField, bool)], mut more: Value) -> Value {
    for (key, wanted) in [("enabled", true), ("disabled", false)] {
        let fields: Map<String, Value> = changed
            .iter()
            .filter(|(_, enabled)| *enabled == wanted)
            .map(|(field, _)| (field.id.to_string(), field.path().into()))
            .collect();
        more[key] = Value::Object(fields);
    }
    more
}
