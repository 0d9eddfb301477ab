//! Retention of the mutation log. Old entries go, except those that still explain something:
//! the history of an index that exists, of a field switch in force, of a profile, an intent
//! without outcome, and the newest checkpoint. What goes is written into a checkpoint (the
//! places as ranges, each with the hash of its last entry), so that the chain around the
//! gaps stays verifiable.

use crate::pg::spi;
use crate::store::chain;
use crate::store::mutation_log::{self, Door, through};
use indexpilot_model::mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A run of pruned places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    from: i64,
    to: i64,
    /// Hash of the entry at `to`, hex.
    hash: String,
}

/// Joins neighbours. `ranges` is sorted by `from` and without overlaps.
fn joined(ranges: Vec<Range>) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.to + 1 == range.from => {
                last.to = range.to;
                last.hash = range.hash;
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// The entries of this chain older than `$3` days that explain nothing any
/// more. `$1`, `$2`: the origin.
const DISPENSABLE: &str = "WITH RECURSIVE old AS (
        SELECT m.id, m.parent, m.sequence, m.hash FROM indexpilot.mutation_log AS m
        WHERE m.system_identifier = $1 AND m.database_oid = $2
          AND m.log_oid = 'indexpilot.mutation_log'::regclass AND m.sequence IS NOT NULL AND m.at < now() - make_interval(days => $3)
    ), needed AS (
        -- indexes that exist, by OID or by name
        SELECT m.id, m.parent FROM indexpilot.mutation_log AS m
        WHERE m.index_name IS NOT NULL AND EXISTS (
            SELECT FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('i', 'I')
              AND (c.oid = m.index_oid OR (n.nspname, c.relname) = (m.index_schema, m.index_name)))
        UNION
        SELECT m.id, m.parent FROM indexpilot.mutation_log AS m
        WHERE EXISTS (SELECT FROM indexpilot.expression_profile AS p WHERE p.mutation = m.id)
           OR EXISTS (SELECT FROM indexpilot.expression_tenant AS t WHERE t.mutation = m.id)
           OR m.phase = 'intent' AND NOT EXISTS (SELECT FROM indexpilot.mutation_log AS o
                WHERE o.parent = m.id AND o.phase = 'outcome')
           OR m.id = (SELECT c.id FROM indexpilot.mutation_log AS c
                WHERE c.kind = 'CONFIGURATION_CHANGE' AND c.system_identifier = $1 AND c.database_oid = $2
                ORDER BY c.sequence DESC LIMIT 1)
        UNION
        SELECT m.id, m.parent FROM needed AS n JOIN indexpilot.mutation_log AS m ON m.id = n.parent
    )
    SELECT o.id, o.sequence, encode(o.hash, 'hex') FROM old AS o
    WHERE o.id NOT IN (SELECT n.id FROM needed AS n)
      AND (o.parent IS NULL OR o.parent NOT IN (SELECT n.id FROM needed AS n))
    ORDER BY o.sequence";

/// Removes entries of this database's present chain that are older than `days` and explain
/// nothing any more. Gives their number. Only the worker calls it.
///
/// # Errors
/// What SPI reports.
pub fn prune(days: u32) -> SpiResult<usize> {
    // The chain must not move between the choice and the checkpoint.
    spi::as_extension_owner(chain::lock_and_find_end);
    let origin: [DatumWithOid; 3] = [
        spi::system_identifier().into(),
        spi::database().into(),
        i32::try_from(days).unwrap_or(i32::MAX).into(),
    ];
    let (ids, mut ranges) = spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let mut ids = Vec::new();
            let mut ranges = Vec::new();
            for row in client.select(DISPENSABLE, None, &origin)? {
                if let (Some(id), Some(place), Some(hash)) = (
                    row.get::<pgrx::datum::Uuid>(1)?,
                    row.get::<i64>(2)?,
                    row.get::<String>(3)?,
                ) {
                    ids.push(id);
                    ranges.push(Range {
                        from: place,
                        to: place,
                        hash,
                    });
                }
            }
            Ok::<_, pgrx::spi::SpiError>((ids, ranges))
        })
    })?;
    if ids.is_empty() {
        return Ok(0);
    }
    let pruned = ids.len();
    ranges.extend(ranges_before()?);
    ranges.sort_by_key(|range| range.from);
    let ranges: Vec<Value> = joined(ranges)
        .into_iter()
        .map(|range| json!({"from": range.from, "to": range.to, "hash": range.hash}))
        .collect();
    let kinds = through(Door::Prune, || {
        Spi::connect_mut(|client| {
            let mut kinds: HashMap<String, u64> = HashMap::new();
            for row in client.update(
                "DELETE FROM indexpilot.mutation_log WHERE id = ANY ($1) RETURNING kind",
                None,
                &[ids.into()],
            )? {
                *kinds
                    .entry(row.get::<String>(1)?.unwrap_or_default())
                    .or_default() += 1;
            }
            Ok::<_, pgrx::spi::SpiError>(kinds)
        })
    })?;
    mutation_log::append(
        &MutationRecord::new(
            MutationKind::Checkpoint,
            MutationPhase::Done,
            Cause::Schedule,
            format!("{pruned} entries older than {days} days were removed"),
        )
        .with(json!({ "ranges": ranges, "removed": kinds })),
    )?;
    Ok(pruned)
}

/// The ranges of the newest checkpoint of this chain.
fn ranges_before() -> SpiResult<Vec<Range>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let mut ranges = Vec::new();
            for row in client.select(
                "SELECT (r.range ->> 'from')::bigint, (r.range ->> 'to')::bigint, r.range ->> 'hash'
                 FROM (SELECT evidence FROM indexpilot.mutation_log
                       WHERE kind = 'CHECKPOINT' AND system_identifier = $1 AND database_oid = $2
                         AND log_oid = 'indexpilot.mutation_log'::regclass AND sequence IS NOT NULL
                       ORDER BY sequence DESC LIMIT 1) AS c,
                     jsonb_array_elements(c.evidence -> 'ranges') AS r(range)",
                None,
                &[spi::system_identifier().into(), spi::database().into()],
            )? {
                ranges.push(Range {
                    from: row.get(1)?.unwrap_or(0),
                    to: row.get(2)?.unwrap_or(0),
                    hash: row.get(3)?.unwrap_or_default(),
                });
            }
            Ok(ranges)
        })
    })
}
