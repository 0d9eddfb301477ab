//! Sizes of indexes over time (`indexpilot.index_size`), when scheduled work was last done
//! (`indexpilot.schedule`), and what the worker itself takes (`indexpilot.worker_time`).

use crate::pg::spi;
use indexpilot_advisor::bloat::Size;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::ports::Timestamp;
use indexpilot_model::query::RelationName;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Indexes measured, the largest first: the schedule looks at large ones alone.
const MOST_INDEXES: i32 = 5_000;
/// Share of a table's rows that may have changed since its row count was taken.
const OUTDATED: f64 = 0.1;

/// Measures the indexes that REINDEX CONCURRENTLY could rebuild with profit. Left out are
/// BRIN, which does not swell, exclusion constraints, which it refuses, and what is not
/// valid, temporary, or the system's. Another file (a rebuild, TRUNCATE) starts a new best.
///
/// Sizes are of now, row counts of the last VACUUM or ANALYZE: where too much has changed
/// since, the measurement is marked and nothing is concluded from it. The counters of changes
/// arrive up to a minute late, so the table's own growth since then is looked at as well.
///
/// # Errors
/// What SPI reports.
pub fn measure() -> SpiResult<()> {
    let key = [
        spi::system_identifier().into(),
        spi::database().into(),
        MOST_INDEXES.into(),
        OUTDATED.into(),
    ];
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.index_size AS s (system_identifier, database_oid, index_oid,
                 relation_oid, file_node, measured_at, fresh, bytes, tuples, best_at, best_bytes,
                 best_tuples)
             SELECT $1, $2, m.oid, m.indrelid, m.relfilenode, clock_timestamp(), m.fresh, m.bytes,
                 m.tuples, CASE WHEN m.fresh THEN clock_timestamp() END,
                 CASE WHEN m.fresh THEN m.bytes END, CASE WHEN m.fresh THEN m.tuples END
             FROM (SELECT c.oid, i.indrelid, c.relfilenode, pg_relation_size(c.oid) AS bytes,
                     greatest(c.reltuples, 0)::float8 AS tuples,
                     t.reltuples >= 0 AND coalesce(pg_stat_get_mod_since_analyze(t.oid), 0)
                         <= $4 * greatest(t.reltuples, 100)
                        AND coalesce(pg_relation_size(t.oid)
                            <= (1 + $4) * greatest(t.relpages, 10)
                                * current_setting('block_size')::bigint, false) AS fresh
                 FROM pg_index AS i
                 JOIN pg_class AS c ON c.oid = i.indexrelid
                 JOIN pg_am AS a ON a.oid = c.relam
                 JOIN pg_class AS t ON t.oid = i.indrelid
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready
                   AND NOT i.indisexclusion AND a.amname <> 'brin'
                   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'indexpilot')
                   AND n.nspname NOT LIKE 'pg\\_toast%'
                 ORDER BY c.relpages DESC LIMIT $3) AS m
             WHERE m.bytes IS NOT NULL
             ON CONFLICT (system_identifier, database_oid, index_oid) DO UPDATE
             SET relation_oid = excluded.relation_oid, file_node = excluded.file_node,
                 measured_at = excluded.measured_at, fresh = excluded.fresh,
                 bytes = excluded.bytes, tuples = excluded.tuples,
                 (best_at, best_bytes, best_tuples) = (SELECT
                     CASE WHEN b.new THEN excluded.best_at ELSE s.best_at END,
                     CASE WHEN b.new THEN excluded.best_bytes ELSE s.best_bytes END,
                     CASE WHEN b.new THEN excluded.best_tuples ELSE s.best_tuples END
                     FROM (SELECT s.file_node <> excluded.file_node OR s.best_bytes IS NULL
                         OR excluded.fresh AND excluded.bytes / greatest(excluded.tuples, 1)
                             < s.best_bytes / greatest(s.best_tuples, 1) AS new) AS b)",
            &key,
        )?;
        Spi::run_with_args(
            "DELETE FROM indexpilot.index_size AS s
             WHERE s.system_identifier = $1 AND s.database_oid = $2
               AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = s.index_oid)",
            &key[..2],
        )
    })
}

/// An index with its size now and at its best.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its OID.
    pub index: u32,
    /// Its name.
    pub name: QualifiedName,
    /// Its table.
    pub relation: RelationName,
    /// Now.
    pub now: Size,
    /// At its best.
    pub best: Size,
    /// When that was, for people.
    pub best_day: String,
}

/// The indexes of which both sizes are known.
///
/// # Errors
/// What SPI reports.
pub fn measured() -> SpiResult<Vec<Measured>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT s.index_oid, n.nspname::text, c.relname::text, s.relation_oid,
                     tn.nspname::text, t.relname::text, s.bytes, s.tuples, s.best_bytes,
                     s.best_tuples, to_char(s.best_at, 'YYYY-MM-DD')
                 FROM indexpilot.index_size AS s
                 JOIN pg_class AS c ON c.oid = s.index_oid
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 JOIN pg_class AS t ON t.oid = s.relation_oid
                 JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
                 WHERE s.system_identifier = $1 AND s.database_oid = $2
                   AND s.fresh AND s.best_bytes IS NOT NULL
                 ORDER BY s.bytes DESC",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                let text = |place: usize| row.get::<String>(place).map(Option::unwrap_or_default);
                let oid = |place: usize| {
                    row.get::<pg_sys::Oid>(place)
                        .map(|oid| oid.map_or(0, |oid| oid.to_u32()))
                };
                let size = |bytes: usize, tuples: usize| -> SpiResult<Size> {
                    Ok(Size {
                        bytes: row.get::<i64>(bytes)?.unwrap_or(0).max(0) as u64,
                        tuples: row.get::<f64>(tuples)?.unwrap_or(0.0),
                    })
                };
                found.push(Measured {
                    index: oid(1)?,
                    name: QualifiedName::new(text(2)?, text(3)?),
                    relation: RelationName {
                        oid: oid(4)?,
                        schema: text(5)?,
                        name: text(6)?,
                    },
                    now: size(7, 8)?,
                    best: size(9, 10)?,
                    best_day: text(11)?,
                });
            }
            Ok(found)
        })
    })
}

/// When bloated indexes were last looked for, and the offset of local time from UTC in
/// seconds.
///
/// # Errors
/// What SPI reports.
pub fn last_look() -> SpiResult<(Option<Timestamp>, i32)> {
    spi::as_extension_owner(|| {
        let (last, offset) = Spi::get_two_with_args::<i64, i32>(
            "SELECT (EXTRACT(epoch FROM max(s.done_at)) * 1000000)::bigint,
                 EXTRACT(timezone FROM now())::int
             FROM indexpilot.schedule AS s
             WHERE s.system_identifier = $1 AND s.database_oid = $2 AND s.duty = 'reindex'",
            &[spi::system_identifier().into(), spi::database().into()],
        )?;
        Ok((last, offset.unwrap_or(0)))
    })
}

/// They were looked for now.
///
/// # Errors
/// What SPI reports.
pub fn looked() -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.schedule AS s (system_identifier, database_oid, duty, done_at)
             VALUES ($1, $2, 'reindex', clock_timestamp())
             ON CONFLICT (system_identifier, database_oid, duty) DO UPDATE
             SET done_at = excluded.done_at",
            &[spi::system_identifier().into(), spi::database().into()],
        )
    })
}

/// Adds what the worker took for a duty to the present hour: milliseconds elapsed, and of
/// CPU where they are known.
///
/// # Errors
/// What SPI reports.
pub fn add_spent(duty: &str, elapsed: f64, cpu: Option<f64>) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.worker_time AS w (system_identifier, database_oid, hour,
                 duty, elapsed_ms, cpu_ms)
             VALUES ($1, $2, date_trunc('hour', clock_timestamp()), $3, $4, $5)
             ON CONFLICT (system_identifier, database_oid, hour, duty) DO UPDATE
             SET elapsed_ms = w.elapsed_ms + excluded.elapsed_ms,
                 cpu_ms = coalesce(w.cpu_ms, 0) + excluded.cpu_ms",
            &[
                spi::system_identifier().into(),
                spi::database().into(),
                duty.into(),
                elapsed.into(),
                cpu.into(),
            ],
        )
    })
}

/// Removes what is older than `days`.
///
/// # Errors
/// What SPI reports.
pub fn tidy(days: u32) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "DELETE FROM indexpilot.worker_time
             WHERE hour < clock_timestamp() - make_interval(days => $1)",
            &[i32::try_from(days).unwrap_or(i32::MAX).into()],
        )
    })
}
