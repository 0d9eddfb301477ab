//! The lineage, `indexpilot.mutation_log`: appending to it, and the triggers that keep
//! everybody else from changing it.
//!
//! A row is inserted without a place in the chain and sealed by a deferred trigger when its
//! transaction commits (see [`crate::store::chain`]).

use crate::pg::spi;
use crate::store::chain;
use indexpilot_model::mutation::MutationRecord;
use pgrx::datum::{DatumWithOid, Uuid};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::cell::Cell;
use std::collections::BTreeMap;

/// What this backend's own code is doing to the log right now; the guard trigger lets
/// nothing else through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Nothing.
    Closed,
    /// Inserting an unsealed row.
    Append,
    /// Giving a row its place in the chain.
    Seal,
    /// Retention deletes old rows.
    Prune,
}

thread_local! {
    static DOOR: Cell<Door> = const { Cell::new(Door::Closed) };
}

/// Keeps the door as it is until dropped, also by an unwinding ERROR.
struct Opened(Door);

impl Drop for Opened {
    fn drop(&mut self) {
        DOOR.set(self.0);
    }
}

/// Runs `work` as the owner of the log with the guard letting `door` through.
pub(super) fn through<T>(door: Door, work: impl FnOnce() -> T) -> T {
    spi::as_extension_owner(|| {
        let _opened = Opened(DOOR.replace(door));
        work()
    })
}

/// Appends an entry and gives its identity. It commits or rolls back with the present
/// transaction and takes its place in the chain at commit.
///
/// Rights are the caller's business: `append` writes as the owner of the table.
///
/// # Errors
/// What SPI reports. An ERROR of the server (a parent that is no UUID, an empty reason)
/// is raised.
pub fn append(record: &MutationRecord) -> SpiResult<Uuid> {
    let id = Spi::get_one::<Uuid>("SELECT pg_catalog.gen_random_uuid()")?
        .ok_or(pgrx::spi::SpiError::InvalidPosition)?;
    append_as(id, record)?;
    Ok(id)
}

/// As [`append`], with an identity made before, for rows that refer to the entry.
///
/// # Errors
/// As [`append`].
pub fn append_as(id: Uuid, record: &MutationRecord) -> SpiResult<()> {
    let actor = record.actor.as_ref();
    let role = actor.map_or_else(spi::current_role, |actor| actor.role.clone());
    let relation = record.relation.as_ref();
    let index = record.index.as_ref();
    let inverse = record
        .inverse
        .as_ref()
        .map(|inverse| serde_json::to_string(inverse).unwrap_or_else(|e| error!("{e}")));
    let arguments: [DatumWithOid; 22] = [
        spi::system_identifier().into(),
        spi::database().into(),
        record.kind.name().into(),
        record.phase.name().into(),
        record.parent.as_deref().into(),
        record.cause.name().into(),
        record.recommendation.as_deref().into(),
        relation.map(|name| pg_sys::Oid::from(name.oid)).into(),
        relation.map(|name| name.schema.as_str()).into(),
        relation.map(|name| name.name.as_str()).into(),
        index.map(|name| pg_sys::Oid::from(name.oid)).into(),
        index.map(|name| name.schema.as_str()).into(),
        index.map(|name| name.name.as_str()).into(),
        record.tenant.as_deref().into(),
        record.reason.as_str().into(),
        record.evidence.to_string().into(),
        inverse.into(),
        role.as_str().into(),
        id.into(),
        actor.map(|actor| actor.session_role.as_str()).into(),
        actor.map(|actor| actor.application.as_str()).into(),
        actor.map(|actor| actor.at).into(),
    ];
    through(Door::Append, || {
        Spi::connect_mut(|client| {
            client
                .update(
                    "INSERT INTO indexpilot.mutation_log (id, system_identifier, database_oid, log_oid, at,
                         kind, phase, parent, cause, recommendation, relation_oid, schema_name,
                         relation_name, index_oid, index_schema, index_name, tenant, reason,
                         evidence, inverse, role_name, session_role, application)
                     VALUES ($19, $1, $2, 'indexpilot.mutation_log'::regclass, COALESCE('epoch'::timestamptz + $22 * interval '1 microsecond',
                         clock_timestamp()),
                         $3, $4, $5::uuid, $6, $7::uuid, $8, $9, $10, $11, $12, $13, $14, $15,
                         $16::jsonb, $17::jsonb, $18, COALESCE($20, session_user),
                         COALESCE($21, current_setting('application_name')))",
                    None,
                    &arguments,
                )
                .map(drop)
        })
    })
}

/// The entries with one identity or whose parent it is, as JSON objects, oldest first.
///
/// # Errors
/// What SPI reports.
pub fn history_of(id: Uuid) -> SpiResult<Vec<serde_json::Value>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT to_jsonb(m) FROM indexpilot.mutation_log AS m
                 WHERE m.id = $1 OR m.parent = $1
                 ORDER BY m.at, m.sequence",
                None,
                &[id.into()],
            )?;
            let mut entries = Vec::with_capacity(rows.len());
            for row in rows {
                entries.extend(row.get::<pgrx::JsonB>(1)?.map(|value| value.0));
            }
            Ok(entries)
        })
    })
}

/// What the log knows of an index that is there.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    /// We built it.
    pub ours: bool,
    /// Its size; 0 for a partitioned index itself.
    pub bytes: u64,
    /// Seconds since it was built or last changed.
    pub seconds: f64,
}

/// Indexes that are there and that the log has seen built or changed by anybody, with the parts
/// of partitioned ones, by OID.
///
/// By name, as people and a restored dump know them: a rebuild or a restore gives another OID.
/// Entries of indexes that are there outlive `indexpilot.retention`.
///
/// # Errors
/// What SPI reports.
pub fn indexes() -> SpiResult<BTreeMap<u32, Logged>> {
    spi::as_extension_owner(|| {
        // Not read-only: what the worker committed a moment ago has to be seen.
        Spi::connect_mut(|client| {
            let rows = client.update(
                "WITH named AS (
                     SELECT c.oid, max(m.at) AS at,
                         bool_or(m.kind = 'CREATE_INDEX' AND m.phase = 'intent') AS ours
                     FROM indexpilot.mutation_log AS m
                     JOIN pg_namespace AS n ON n.nspname = m.index_schema
                     JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = m.index_name
                         AND c.relkind IN ('i', 'I')
                     WHERE m.kind = 'SCHEMA_CHANGE'
                        OR m.kind = 'CREATE_INDEX' AND m.phase IN ('intent', 'outcome')
                     GROUP BY c.oid)
                 SELECT i.oid, bool_or(i.ours), coalesce(pg_relation_size(i.oid), 0),
                     EXTRACT(epoch FROM clock_timestamp() - max(i.at))::float8
                 FROM (SELECT l.oid, l.ours, l.at FROM named AS l
                       UNION ALL
                       SELECT t.relid::oid, l.ours, l.at
                       FROM named AS l, pg_partition_tree(l.oid) AS t) AS i
                 GROUP BY i.oid",
                None,
                &[],
            )?;
            let mut found = BTreeMap::new();
            for row in rows {
                let Some(oid) = row.get::<pg_sys::Oid>(1)? else {
                    continue;
                };
                let logged = Logged {
                    ours: row.get::<bool>(2)?.unwrap_or(false),
                    bytes: u64::try_from(row.get::<i64>(3)?.unwrap_or(0)).unwrap_or(0),
                    seconds: row.get::<f64>(4)?.unwrap_or(0.0).max(0.0),
                };
                found.insert(oid.to_u32(), logged);
            }
            Ok(found)
        })
    })
}

/// Bytes of all that we built.
pub fn our_bytes(indexes: &BTreeMap<u32, Logged>) -> u64 {
    let ours = indexes.values().filter(|index| index.ours);
    ours.map(|index| index.bytes).sum()
}

fn refuse(operation: &str) -> ! {
    pgrx::pg_sys::panic::ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("cannot {operation} the mutation log: it is append-only"),
        "mutation_log_guard",
    )
    .set_detail("Entries are written by IndexPilot alone and never changed.")
    .set_hint("Old entries are removed by the worker after \"indexpilot.retention\" days.")
    .report(PgLogLevel::ERROR);
    unreachable!("an ERROR was raised")
}

/// Lets through what our own code is doing, and rows that already have their place in the
/// chain (a restore; their hash is checked by a constraint). Refuses everything else, to
/// everybody.
#[pg_trigger(sql = false)]
fn mutation_log_guard<'a>(
    trigger: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, Box<dyn std::error::Error>> {
    let door = DOOR.get();
    match trigger.op()? {
        PgTriggerOperation::Insert => {
            let new = trigger.new().ok_or("a row trigger without a row")?;
            let sealed = new.get_by_name::<i64>("sequence")?.is_some();
            if door != Door::Append && !sealed {
                refuse("insert into");
            }
            Ok(Some(new))
        }
        PgTriggerOperation::Update => {
            if door != Door::Seal {
                refuse("update");
            }
            Ok(trigger.new())
        }
        PgTriggerOperation::Delete => {
            if door != Door::Prune {
                refuse("delete from");
            }
            Ok(trigger.old())
        }
        PgTriggerOperation::Truncate => refuse("truncate"),
    }
}

/// Gives a committed-to-be row its place in the chain.
#[pg_trigger(sql = false)]
fn mutation_log_seal<'a>(
    trigger: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, Box<dyn std::error::Error>> {
    let new = trigger.new().ok_or("a row trigger without a row")?;
    if new.get_by_name::<i64>("sequence")?.is_none() {
        let id = new.get_by_name::<Uuid>("id")?.ok_or("a row without id")?;
        through(Door::Seal, || chain::seal(id))?;
    }
    Ok(Some(new))
}
