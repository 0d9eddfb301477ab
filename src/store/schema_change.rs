//! Lineage of the schema. Two sources meet here: the notices that sessions left when their
//! DDL committed (who, when, which command), and the comparison of genome and catalog (what
//! exactly). What only the comparison knows is logged too, without a name.

use crate::pg::ddl_notices::{self, Access, Notice};
use crate::pg::spi;
use crate::pg::switch;
use crate::store::genome::{self, GenomeChange};
use crate::store::mutation_log;
use indexpilot_model::Module;
use indexpilot_model::mutation::{
    Actor, Cause, IndexName, MutationKind, MutationPhase, MutationRecord,
};
use indexpilot_model::query::RelationName;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Relations of one transaction that get an entry each; the rest share one.
const ENTRIES: usize = 100;
/// Changes of fields that the reason spells out; the evidence has them all.
const SPELLED_OUT: usize = 8;

/// Brings genome and log up to date. In the worker, in a transaction. True when there was
/// something to log.
///
/// # Errors
/// What SPI reports.
pub fn follow() -> SpiResult<bool> {
    let notices = ddl_notices::drain(spi::database().to_u32());
    let changes = if switch::is_on(Module::Genome) {
        genome::refresh()?
    } else {
        Vec::new()
    };
    // The genome follows the catalogs also where nobody wants their changes logged.
    if !switch::is_on(Module::Lineage) {
        return Ok(false);
    }
    if notices.is_empty() && changes.is_empty() {
        return Ok(false);
    }
    let mut by_relation: BTreeMap<u32, Vec<GenomeChange>> = BTreeMap::new();
    for change in changes {
        by_relation
            .entry(change.relation_oid.to_u32())
            .or_default()
            .push(change);
    }
    let mut transactions: BTreeMap<u64, Vec<&Notice>> = BTreeMap::new();
    for notice in &notices {
        transactions
            .entry(notice.transaction)
            .or_default()
            .push(notice);
    }
    let homes = Homes::of(&notices)?;
    for notices in transactions.values() {
        log_transaction(notices, &homes, &mut by_relation)?;
    }
    record(&by_relation.into_values().flatten().collect::<Vec<_>>())?;
    Ok(true)
}

/// What the objects of notices are now, where they still are.
struct Homes {
    /// OID of an index → its table.
    tables: HashMap<u32, RelationName>,
    /// (catalog, OID) of a trigger or constraint → its relation, and what it is.
    parts: HashMap<(u32, u32), (RelationName, String)>,
}

impl Homes {
    fn of(notices: &[Notice]) -> SpiResult<Self> {
        let objects = |wanted: fn(&Notice) -> bool| -> Vec<pg_sys::Oid> {
            let chosen = notices.iter().filter(|notice| wanted(notice));
            chosen.map(|notice| notice.object).collect()
        };
        let indexes = objects(|notice| matches!(notice.kind, b'i' | b'I'));
        let parts = objects(|notice| {
            notice.class != pg_sys::RelationRelationId
                && notice.class != pg_sys::NamespaceRelationId
        });
        let mut homes = Homes {
            tables: HashMap::new(),
            parts: HashMap::new(),
        };
        if indexes.is_empty() && parts.is_empty() {
            return Ok(homes);
        }
        spi::as_extension_owner(|| {
            Spi::connect(|client| {
                let rows = client.select(
                    "SELECT 'pg_class'::regclass::oid, i.indexrelid, c.oid, n.nspname::text,
                         c.relname::text, ''
                     FROM pg_catalog.pg_index AS i
                     JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE i.indexrelid = ANY ($1)
                     UNION ALL
                     SELECT p.class, p.oid, c.oid, n.nspname, c.relname, p.what
                     FROM (SELECT 'pg_trigger'::regclass::oid AS class, t.oid, t.tgrelid AS relation,
                               format('trigger \"%s\"', t.tgname) AS what
                           FROM pg_catalog.pg_trigger AS t WHERE t.oid = ANY ($2) AND NOT t.tgisinternal
                           UNION ALL
                           SELECT 'pg_constraint'::regclass::oid, k.oid, k.conrelid,
                               format('constraint \"%s\"', k.conname)
                           FROM pg_catalog.pg_constraint AS k WHERE k.oid = ANY ($2)) AS p
                     JOIN pg_catalog.pg_class AS c ON c.oid = p.relation
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE c.relpersistence <> 't'",
                    None,
                    &[indexes.into(), parts.into()],
                )?;
                for row in rows {
                    let number = |column| -> SpiResult<u32> {
                        Ok(row
                            .get::<pg_sys::Oid>(column)?
                            .map_or(0, |oid| oid.to_u32()))
                    };
                    let relation = RelationName {
                        oid: number(3)?,
                        schema: row.get(4)?.unwrap_or_default(),
                        name: row.get(5)?.unwrap_or_default(),
                    };
                    let what: String = row.get(6)?.unwrap_or_default();
                    if what.is_empty() {
                        homes.tables.insert(number(2)?, relation);
                    } else {
                        homes
                            .parts
                            .insert((number(1)?, number(2)?), (relation, what));
                    }
                }
                Ok::<(), pgrx::spi::SpiError>(())
            })
        })?;
        Ok(homes)
    }
}

/// What one transaction did to one relation.
struct Touched<'a> {
    relation: RelationName,
    first: &'a Notice,
    whole: Option<Access>,
    sentences: Vec<String>,
}

fn verb(access: Access) -> &'static str {
    match access {
        Access::Created => "created",
        Access::Dropped => "dropped",
        Access::Altered => "altered",
    }
}

fn noun(kind: u8) -> &'static str {
    match kind {
        b'v' => "view",
        b'm' => "materialised view",
        b'f' => "foreign table",
        b'p' => "partitioned table",
        b'i' | b'I' => "index",
        _ => "table",
    }
}

fn log_transaction(
    notices: &[&Notice],
    homes: &Homes,
    changes: &mut BTreeMap<u32, Vec<GenomeChange>>,
) -> SpiResult<()> {
    let mut touched: BTreeMap<u32, Touched> = BTreeMap::new();
    let mut indexes: BTreeMap<u32, (&Notice, Access)> = BTreeMap::new();
    for &notice in notices {
        let named = |oid: u32| RelationName {
            oid,
            schema: notice.schema.as_str().to_string(),
            name: notice.name.as_str().to_string(),
        };
        let object = notice.object.to_u32();
        if matches!(notice.kind, b'i' | b'I') {
            let entry = indexes.entry(object).or_insert((notice, notice.access));
            if notice.access == Access::Dropped {
                entry.1 = Access::Dropped;
            }
            continue;
        }
        let (relation, sentence) = if notice.class == pg_sys::RelationRelationId {
            let field = notice.field.as_str();
            let sentence = (!field.is_empty()).then(|| {
                let verb = match notice.access {
                    Access::Created => "added",
                    other => verb(other),
                };
                format!("\"{field}\" {verb}")
            });
            (named(object), sentence)
        } else if let Some((relation, what)) = homes.parts.get(&(notice.class.to_u32(), object)) {
            (
                relation.clone(),
                Some(format!("{what} {}", verb(notice.access))),
            )
        } else {
            continue;
        };
        let whole = (notice.class == pg_sys::RelationRelationId && notice.attribute == 0)
            .then_some(notice.access);
        let entry = touched.entry(relation.oid).or_insert(Touched {
            relation,
            first: notice,
            whole: None,
            sentences: Vec::new(),
        });
        // Made and then altered is made; anything and then dropped is dropped.
        entry.whole = match (entry.whole, whole) {
            (_, Some(Access::Dropped)) => Some(Access::Dropped),
            (Some(before), _) => Some(before),
            (None, now) => now,
        };
        if let Some(sentence) = sentence.filter(|s| !entry.sentences.contains(s)) {
            entry.sentences.push(sentence);
        }
    }
    // Indexes that came or went with their table need no entry of their own.
    indexes.retain(|oid, _| {
        let table = homes
            .tables
            .get(oid)
            .and_then(|table| touched.get(&table.oid));
        let with_table = table.is_some_and(|table| table.whole == Some(Access::Created))
            || touched.values().any(|t| t.whole == Some(Access::Dropped))
                && !homes.tables.contains_key(oid);
        !with_table
    });
    let left = touched.len().saturating_sub(ENTRIES);
    for touched in touched.values().take(ENTRIES) {
        log_relation(touched, changes.remove(&touched.relation.oid))?;
    }
    if left > 0 {
        mutation_log::append(&entry_of(
            notices[0],
            format!("{left} more relations changed in the same transaction"),
        ))?;
    }
    for (oid, (notice, access)) in &indexes {
        let mut record = entry_of(
            notice,
            format!(
                "index {}.{} {}",
                notice.schema.as_str(),
                notice.name.as_str(),
                verb(*access)
            ),
        );
        record.relation = homes.tables.get(oid).cloned();
        record.index = Some(IndexName {
            oid: *oid,
            schema: notice.schema.as_str().to_string(),
            name: notice.name.as_str().to_string(),
        });
        mutation_log::append(&record)?;
    }
    Ok(())
}

/// An entry in the name of whoever left the notice.
fn entry_of(notice: &Notice, reason: String) -> MutationRecord {
    let command = notice.command.as_str();
    MutationRecord {
        actor: Some(Actor {
            role: spi::role_name(notice.role),
            session_role: spi::role_name(notice.session_role),
            application: notice.application.as_str().to_string(),
            at: notice.at,
        }),
        evidence: json!({ "command": command }),
        ..MutationRecord::new(
            MutationKind::SchemaChange,
            MutationPhase::Done,
            Cause::User,
            if command.is_empty() {
                reason
            } else {
                format!("{command}: {reason}")
            },
        )
    }
}

fn log_relation(touched: &Touched, changes: Option<Vec<GenomeChange>>) -> SpiResult<()> {
    let changes = changes.unwrap_or_default();
    let subject = format!(
        "{} {}.{}",
        noun(touched.first.kind),
        touched.relation.schema,
        touched.relation.name
    );
    let told: Vec<String> = if changes.is_empty() {
        touched.sentences.clone()
    } else {
        changes.iter().map(sentence).collect()
    };
    let moved = moved_to(&changes);
    let reason = match touched.whole {
        _ if moved.is_some() => format!("{subject} is now {}", moved.unwrap_or_default()),
        Some(access @ (Access::Created | Access::Dropped)) => format!("{subject} {}", verb(access)),
        _ if told.is_empty() => format!("{subject} altered"),
        _ => format!("{subject}: {}", shorten(&told)),
    };
    let mut record = entry_of(touched.first, reason);
    record.evidence["changes"] = json!(touched.sentences);
    record.evidence["fields"] = details(&changes);
    mutation_log::append(&record.on(touched.relation.clone())).map(drop)
}

/// Where the whole relation went, if that is all that happened to its fields.
fn moved_to(changes: &[GenomeChange]) -> Option<String> {
    let mut places = changes.iter().map(|change| {
        let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
        (change.kind == "renamed" && before[2] == after[2] && before[..2] != after[..2])
            .then(|| format!("{}.{}", after[0], after[1]))
    });
    let first = places.next()??;
    places
        .all(|place| place.as_ref() == Some(&first))
        .then_some(first)
}

fn shorten(sentences: &[String]) -> String {
    let mut shown = sentences[..sentences.len().min(SPELLED_OUT)].to_vec();
    if sentences.len() > SPELLED_OUT {
        shown.push(format!("{} more", sentences.len() - SPELLED_OUT));
    }
    shown.join(", ")
}

/// One sentence about a change of one field.
fn sentence(change: &GenomeChange) -> String {
    let field = |names: &Option<[String; 3]>| {
        names
            .as_ref()
            .map_or_else(String::new, |names| format!("\"{}\"", names[2]))
    };
    let type_of = |name: &Option<String>| name.clone().unwrap_or_default();
    match change.kind.as_str() {
        "added" => format!(
            "{} added ({})",
            field(&change.after),
            type_of(&change.type_after)
        ),
        "dropped" => format!("{} dropped", field(&change.before)),
        "renamed"
            if change.before.as_ref().map(|n| &n[2]) == change.after.as_ref().map(|n| &n[2]) =>
        {
            let from = change.before.clone().unwrap_or_default();
            format!(
                "{} came along from \"{}\".\"{}\"",
                field(&change.after),
                from[0],
                from[1]
            )
        }
        "renamed" => format!(
            "{} renamed to {}",
            field(&change.before),
            field(&change.after)
        ),
        "retyped" => format!(
            "{} retyped from {} to {}",
            field(&change.after),
            type_of(&change.type_before),
            type_of(&change.type_after)
        ),
        "required" => format!("NOT NULL of {} changed", field(&change.after)),
        "recreated" => format!("{} made again", field(&change.after)),
        _ => format!("{} can or cannot be indexed now", field(&change.after)),
    }
}

fn details(changes: &[GenomeChange]) -> Value {
    changes
        .iter()
        .map(|change| {
            json!({
                "change": change.kind,
                "before": change.before,
                "after": change.after,
                "type_before": change.type_before,
                "type_after": change.type_after,
            })
        })
        .collect()
}

/// Logs what a comparison found and no notice explains, one entry a relation.
///
/// # Errors
/// What SPI reports.
pub fn record(changes: &[GenomeChange]) -> SpiResult<()> {
    let mut relations: BTreeMap<u32, Vec<GenomeChange>> = BTreeMap::new();
    for change in changes {
        relations
            .entry(change.relation_oid.to_u32())
            .or_default()
            .push(change.clone());
    }
    for (oid, changes) in relations {
        let Some([schema, name, _]) = changes
            .iter()
            .rev()
            .find_map(|change| change.after.clone().or(change.before.clone()))
        else {
            continue;
        };
        let sentences: Vec<String> = changes.iter().map(sentence).collect();
        mutation_log::append(
            &MutationRecord::new(
                MutationKind::SchemaChange,
                MutationPhase::Done,
                Cause::Observed,
                format!("fields of {schema}.{name}: {}", shorten(&sentences)),
            )
            .on(RelationName { oid, schema, name })
            .with(json!({ "fields": details(&changes) })),
        )?;
    }
    Ok(())
}
