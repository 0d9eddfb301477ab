//! Observing what the safeguards judge by. Everything here is measured now, in a transaction
//! of the worker's.

use crate::config;
use crate::pg::{clock, load, spi};
use crate::store::job::{self, Job};
use crate::store::mutation_log;
use crate::store::pin;
use crate::worker;
use indexpilot_guard::{Load, LockSituation, Situation, Space, Tombstone};
use indexpilot_model::IntentKind;
use indexpilot_model::catalog::Protection;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::path::PathBuf;

/// The whole situation of a job.
///
/// # Errors
/// What SPI reports.
pub(super) fn situation(job: &Job) -> SpiResult<Situation> {
    let relation = job.intent.relation.oid;
    let tablespace = match &job.intent.kind {
        IntentKind::CreateIndex { definition, .. } => definition.tablespace.clone(),
        _ => None,
    };
    Ok(Situation {
        now: clock::now(),
        utc_offset: Spi::get_one::<i32>("SELECT EXTRACT(timezone FROM now())::int")?.unwrap_or(0),
        config: config::current(),
        load: server_load()?,
        locks: locks(relation)?,
        space: Space {
            write_overhead: write_overhead(job)?,
            ..space(relation, tablespace)?
        },
        past: job::past_actions()?,
        tombstones: tombstones()?,
        protections: match job.intent.kind {
            IntentKind::DropIndex { index, .. } => {
                let mut found = protections(index)?;
                if pin::oids()?.contains(&index) {
                    found.push(Protection::Pinned);
                }
                found
            }
            _ => Vec::new(),
        },
        attempts: job.attempts,
    })
}

fn server_load() -> SpiResult<Load> {
    let active = Spi::get_one::<i64>(
        "SELECT count(*) FROM pg_stat_activity
         WHERE state = 'active' AND backend_type = 'client backend'",
    )?;
    let lag = Spi::get_one::<i64>(
        "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint
         FROM pg_stat_replication WHERE state = 'streaming'",
    )?;
    let archiving = Spi::get_one::<bool>(
        "SELECT current_setting('archive_mode') <> 'off'
             AND (current_setting('archive_command') <> '' OR current_setting('archive_library') <> '')",
    )?;
    Ok(Load {
        cpu: load::cpu_share(),
        active_sessions: active.and_then(|count| u32::try_from(count).ok()),
        cpus: load::cpus(),
        replication_lag: lag.and_then(|bytes| u64::try_from(bytes).ok()),
        archive_backlog: if archiving == Some(true) {
            load::archive_backlog(&data_directory()?)
        } else {
            None
        },
    })
}

fn data_directory() -> SpiResult<PathBuf> {
    Ok(
        Spi::get_one::<String>("SELECT current_setting('data_directory')")?
            .unwrap_or_default()
            .into(),
    )
}

fn locks(relation: u32) -> SpiResult<LockSituation> {
    // Processes that only vacuum are waited for by nobody's concurrent build, and an
    // autovacuum worker that holds the table gives way to us.
    let oldest = Spi::get_one::<f64>(
        "SELECT greatest(
             (SELECT max(EXTRACT(epoch FROM clock_timestamp() - a.xact_start))
              FROM pg_stat_activity AS a
              WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                AND a.backend_type <> 'autovacuum worker'
                AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)),
             (SELECT max(EXTRACT(epoch FROM clock_timestamp() - p.prepared))
              FROM pg_prepared_xacts AS p WHERE p.database = current_database()))::float8",
    )?;
    let other_build = Spi::get_one::<bool>(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index AS p
             WHERE p.datname = current_database() AND p.pid <> pg_backend_pid())",
    )?;
    let locked = Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT FROM pg_locks AS l
             JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
             LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
             WHERE l.locktype = 'relation' AND l.relation = $1
               AND l.pid IS DISTINCT FROM pg_backend_pid()
               AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
               AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
                   'ExclusiveLock', 'AccessExclusiveLock'))",
        &[pg_sys::Oid::from(relation).into()],
    )?;
    Ok(LockSituation {
        other_build: other_build == Some(true),
        oldest_transaction_seconds: oldest.unwrap_or(0.0),
        relation_locked: locked == Some(true),
        watchdog: worker::launcher_is_running(),
    })
}

fn space(relation: u32, tablespace: Option<String>) -> SpiResult<Space> {
    let location = Spi::get_one_with_args::<String>(
        "SELECT nullif(pg_tablespace_location(coalesce(
             (SELECT t.oid FROM pg_tablespace AS t WHERE t.spcname = $1),
             (SELECT d.dattablespace FROM pg_database AS d
              WHERE d.datname = current_database()))), '')",
        &[tablespace.into()],
    )?;
    let directory = match location {
        Some(location) => location.into(),
        None => data_directory()?,
    };
    let indexes = Spi::get_one_with_args::<i64>(
        "SELECT count(*) FROM pg_index AS i WHERE i.indrelid = $1",
        &[pg_sys::Oid::from(relation).into()],
    )?;
    Ok(Space {
        free: load::free_bytes(&directory),
        ours: mutation_log::our_bytes(&mutation_log::indexes()?),
        indexes: indexes
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        write_overhead: 0.0,
    })
}

/// Upkeep of an index below which it does not matter how little its table is written to,
/// milliseconds a day; the solver's own bound (`Rules::negligible_write_ms`).
const NEGLIGIBLE_WRITE_MS: f64 = 1_000.0;

/// What the index of a recommendation adds to its table's writes: the upkeep that was
/// estimated for it, against what the writes were measured to take over the last day. The
/// solver has looked at the same when it chose; the traffic may have changed since. 0 where
/// nothing is recommended or measured.
fn write_overhead(job: &Job) -> SpiResult<f64> {
    let (IntentKind::CreateIndex { .. }, Some(recommendation)) =
        (&job.intent.kind, job.intent.recommendation.as_deref())
    else {
        return Ok(0.0);
    };
    let (upkeep, writes) = spi::as_extension_owner(|| {
        Spi::get_two_with_args::<f64, f64>(
            "SELECT (SELECT r.write_ms_per_day FROM indexpilot.recommendation AS r
                     WHERE r.id = $1::uuid),
                 (SELECT sum(t.total_ms) / greatest(EXTRACT(epoch FROM now() - min(t.bucket))
                          / 86400, 1.0 / 24)::float8
                  FROM indexpilot.statement AS s
                  JOIN indexpilot.statement_stats AS t ON t.statement = s.id
                  WHERE s.system_identifier = $2 AND s.database_oid = $3
                    AND s.kind IN ('insert', 'update', 'delete', 'merge')
                    AND $4 = ANY (s.relations) AND t.bucket > now() - interval '1 day')",
            &[
                recommendation.into(),
                spi::system_identifier().into(),
                spi::database().into(),
                job.intent.relation.qualified().into(),
            ],
        )
    })?;
    Ok(match (upkeep, writes) {
        (Some(upkeep), Some(writes)) if upkeep > NEGLIGIBLE_WRITE_MS => upkeep / writes.max(1.0),
        _ => 0.0,
    })
}

/// What was built and dropped by us, by definition.
fn tombstones() -> SpiResult<Vec<Tombstone>> {
    let mut stones: Vec<Tombstone> = Vec::new();
    for (at, intent) in job::succeeded()? {
        let (identity, dropped) = match &intent.kind {
            IntentKind::CreateIndex { definition, .. } => (definition.identity(), false),
            IntentKind::DropIndex { definition, .. } => (definition.identity(), true),
            IntentKind::Reindex { .. }
            | IntentKind::Analyze
            | IntentKind::CreateStatistics(_)
            | IntentKind::DropStatistics(_) => continue,
        };
        match stones.iter_mut().find(|stone| stone.identity == identity) {
            Some(stone) => {
                stone.at = at;
                stone.dropped = dropped;
                stone.rounds += u32::from(dropped);
            }
            None => stones.push(Tombstone {
                identity,
                at,
                dropped,
                rounds: u32::from(dropped),
            }),
        }
    }
    Ok(stones)
}

/// Why an index must stay, read again right before it would go.
fn protections(index: u32) -> SpiResult<Vec<Protection>> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT i.indisprimary, i.indisunique, i.indisexclusion, i.indisreplident,
                 i.indisclustered,
                 EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                     AND d.objid = i.indexrelid AND d.deptype IN ('e', 'x')),
                 EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid),
                 EXISTS (SELECT FROM pg_constraint AS k
                     WHERE k.contype = 'f' AND k.conrelid = i.indrelid
                       AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
                       AND NOT EXISTS (SELECT FROM pg_index AS o
                           WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid
                             AND o.indisvalid AND o.indpred IS NULL
                             AND (o.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)),
                 EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
             FROM pg_index AS i WHERE i.indexrelid = $1",
            Some(1),
            &[pg_sys::Oid::from(index).into()],
        )?;
        let names = [
            Protection::Primary,
            Protection::Unique,
            Protection::Exclusion,
            Protection::ReplicaIdentity,
            Protection::Clustered,
            Protection::Extension,
            Protection::Partition,
            Protection::ForeignKey,
            Protection::Unique,
        ];
        let mut found = Vec::new();
        for row in rows {
            for (place, protection) in names.iter().enumerate() {
                if row.get::<bool>(place + 1)? == Some(true) && !found.contains(protection) {
                    found.push(*protection);
                }
            }
        }
        Ok(found)
    })
}
