//! The hash chain of the mutation log: every row holds the SHA-256 of all its other columns,
//! the hash of the row before among them. Whoever changes, removes or inserts a row behind
//! our back breaks it, and `verify_log()` shows where.
//!
//! There is one chain for each cluster, database and CREATE EXTENSION that wrote rows (a
//! restored dump brings the chain of where it came from). Places are given in the order of commit, under a lock
//! that is taken while a transaction commits and held until it has: never while a client
//! thinks.

use crate::pg::spi;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::ffi::CStr;

/// Key of the chain's lock among [`spi::lock_until_commit`]'s.
const CHAIN_LOCK: u32 = 1;

/// The hash before the first row.
const START: [u8; 32] = [0; 32];

const NEWEST: &CStr = c"SELECT m.sequence, m.hash FROM indexpilot.mutation_log AS m
    WHERE m.system_identifier = $1
      AND m.database_oid = $2
      AND m.log_oid = 'indexpilot.mutation_log'::regclass
      AND m.sequence IS NOT NULL
    ORDER BY m.sequence DESC LIMIT 1";

/// The digest of a row `m`, as the table's constraint has it; `sequence` and `previous` are
/// SQL expressions.
fn digest(sequence: &str, previous: &str) -> String {
    format!(
        "sha256(convert_to(
            jsonb_build_array(m.id, m.system_identifier, m.database_oid, m.log_oid, {sequence},
                (EXTRACT(epoch FROM m.at) * 1000000)::bigint, m.kind, m.phase,
                m.parent, m.cause, m.recommendation, m.relation_oid, m.schema_name,
                m.relation_name, m.index_oid, m.index_schema, m.index_name, m.tenant, m.reason,
                m.evidence, m.inverse, m.role_name, m.session_role, m.application,
                encode({previous}, 'hex'))::text, 'UTF8'))"
    )
}

/// Takes the chain's lock until the transaction ends and gives the newest place and hash
/// (0 and zeroes for an empty chain).
pub(super) fn lock_and_find_end() -> (i64, Vec<u8>) {
    spi::lock_until_commit(CHAIN_LOCK);
    // What others committed while we waited has to be seen, whatever our isolation level.
    spi::with_latest_snapshot(|| spi::newest_of_chain(NEWEST))
        .unwrap_or_else(|| (0, START.to_vec()))
}

/// Seals the row: the next place, the hash before, and its own hash.
///
/// # Errors
/// What SPI reports.
pub(super) fn seal(id: Uuid) -> SpiResult<()> {
    let (sequence, previous) = lock_and_find_end();
    let sealed = Spi::connect_mut(|client| {
        client
            .update(
                format!(
                    "UPDATE indexpilot.mutation_log AS m
                     SET sequence = $2, previous_hash = $3, hash = {}
                     WHERE m.id = $1 AND m.sequence IS NULL",
                    digest("$2", "$3")
                )
                .as_str(),
                None,
                &[id.into(), (sequence + 1).into(), previous.into()],
            )
            .map(|rows| rows.len())
    })?;
    if sealed != 1 {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            format!("entry {id} of the mutation log could not be sealed"),
            "A trigger, a rule or a policy on \"indexpilot.mutation_log\" that is not ours takes it away."
        );
    }
    Ok(())
}

/// One sign of tampering.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Place in the chain, where there is one.
    pub sequence: Option<i64>,
    /// The row, where there is one.
    pub id: Option<Uuid>,
    /// What is wrong, in a word or two.
    pub problem: String,
    /// The details.
    pub detail: String,
}

/// Newest place, hash (hex) and time of this database's chain; `None` when it is empty.
///
/// # Errors
/// What SPI reports.
pub fn head() -> SpiResult<Option<(i64, String, TimestampWithTimeZone)>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT m.sequence, encode(m.hash, 'hex'), m.at
                 FROM indexpilot.mutation_log AS m
                 WHERE m.system_identifier = $1
                   AND m.database_oid = $2
                   AND m.log_oid = 'indexpilot.mutation_log'::regclass
                   AND m.sequence IS NOT NULL
                 ORDER BY m.sequence DESC LIMIT 1",
                Some(1),
                &[spi::system_identifier().into(), spi::database().into()],
            )?;
            for row in rows {
                if let (Some(sequence), Some(hash), Some(at)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?)
                {
                    return Ok(Some((sequence, hash, at)));
                }
            }
            Ok(None)
        })
    })
}

/// Everything about the log that cannot be by our own doing. Empty when it is whole.
///
/// # Errors
/// What SPI reports.
pub fn verify(expected: Option<(i64, &str)>) -> SpiResult<Vec<Problem>> {
    spi::as_extension_owner(|| {
        let mut problems = broken_rows()?;
        problems.extend(broken_guards()?);
        if let Some((sequence, hash)) = expected {
            problems.extend(missing_anchor(sequence, hash)?);
        }
        Ok(problems)
    })
}

/// Rows whose digest or whose link to the row before is wrong, and gaps that no checkpoint
/// explains. A checkpoint lists the pruned places as ranges with the hash of their last
/// row; only the newest one of a chain counts, it carries the ranges of those before.
fn broken_rows() -> SpiResult<Vec<Problem>> {
    let sql = format!(
        "WITH chain AS (
            SELECT m.id, m.system_identifier AS cluster, m.database_oid AS base, m.log_oid AS log, m.sequence,
                m.previous_hash, m.hash, m.hash IS NOT DISTINCT FROM {digest} AS intact,
                lag(m.sequence, 1, 0::bigint) OVER w AS before,
                lag(m.hash) OVER w AS hash_before
            FROM indexpilot.mutation_log AS m WHERE m.sequence IS NOT NULL
            WINDOW w AS (PARTITION BY m.system_identifier, m.database_oid, m.log_oid ORDER BY m.sequence)
        ), checkpoint AS (
            SELECT DISTINCT ON (m.system_identifier, m.database_oid, m.log_oid)
                m.system_identifier AS cluster, m.database_oid AS base, m.log_oid AS log, m.evidence
            FROM indexpilot.mutation_log AS m
            WHERE m.kind = 'CHECKPOINT' AND m.sequence IS NOT NULL
            ORDER BY m.system_identifier, m.database_oid, m.log_oid, m.sequence DESC
        ), pruned AS (
            SELECT c.cluster, c.base, c.log, (r.range ->> 'from')::bigint AS first,
                (r.range ->> 'to')::bigint AS last,
                r.range ->> 'hash' AS hash
            FROM checkpoint AS c, jsonb_array_elements(
                c.evidence -> 'ranges') AS r(range)
        )
        SELECT c.sequence, c.id, 'changed row'::text,
            'The row does not give the hash that it was sealed with.'::text
        FROM chain AS c WHERE NOT c.intact
        UNION ALL
        SELECT c.sequence, c.id, 'broken link', format(
            'The row was sealed after another row than entry %s.', c.before)
        FROM chain AS c
        WHERE c.before = c.sequence - 1
          AND c.previous_hash IS DISTINCT FROM
              CASE WHEN c.before = 0
              THEN decode(repeat('00', 32), 'hex') ELSE c.hash_before END
        UNION ALL
        SELECT c.sequence, c.id, 'missing rows', format(
            'Entries %s to %s are gone, and no pruning accounts for them.',
            c.before + 1, c.sequence - 1)
        FROM chain AS c
        WHERE c.before < c.sequence - 1
          AND NOT EXISTS (SELECT FROM pruned AS p
              WHERE p.cluster = c.cluster
                AND p.base = c.base AND p.log = c.log
                AND p.first = c.before + 1
                AND p.last = c.sequence - 1
                AND p.hash = encode(c.previous_hash, 'hex'))
        ORDER BY 1, 3",
        digest = digest("m.sequence", "m.previous_hash")
    );
    read_problems(&sql, &[])
}

/// What guards the table and is not as we made it.
fn broken_guards() -> SpiResult<Vec<Problem>> {
    read_problems(
        "SELECT NULL::bigint, NULL::uuid, 'guard missing'::text, format(
             'Trigger %I is dropped, changed or does not always fire.', g.name)
         FROM (VALUES ('guard_rows', 'mutation_log_guard', 31::int2),
                      ('guard_statements', 'mutation_log_guard', 58::int2),
                      ('seal', 'mutation_log_seal', 5::int2)) AS g(name, function, type)
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
             JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
             JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
             WHERE t.tgrelid = 'indexpilot.mutation_log'::regclass
               AND t.tgname = g.name::name
               AND t.tgenabled = 'A'::\"char\"
               AND t.tgqual IS NULL
               AND t.tgtype = g.type
               AND p.pronamespace = 'indexpilot'::regnamespace
               AND p.proname = g.function::name
               AND p.prosrc = g.function || '_wrapper'
               AND l.lanname = 'c'::name)
         UNION ALL
         SELECT NULL, NULL, 'guard missing',
             'The constraint \"mutation_log_hash\" is dropped or was never validated.'
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c
             WHERE c.conrelid = 'indexpilot.mutation_log'::regclass
               AND c.conname = 'mutation_log_hash'::name
               AND c.convalidated)
         UNION ALL
         SELECT NULL, NULL, 'foreign trigger', format(
             'Trigger %I on the log is not ours.', t.tgname)
         FROM pg_catalog.pg_trigger AS t
         WHERE t.tgrelid = 'indexpilot.mutation_log'::regclass
           AND NOT t.tgisinternal
           AND t.tgname <> ALL
               (ARRAY['guard_rows', 'guard_statements', 'seal']::name[])
         UNION ALL
         SELECT NULL, NULL, 'foreign rule', format('Rule %I rewrites the log.', r.rulename)
         FROM pg_catalog.pg_rewrite AS r
         WHERE r.ev_class = 'indexpilot.mutation_log'::regclass
         UNION ALL
         SELECT NULL, NULL, 'row security', 'Row-level security may hide entries.'
         FROM pg_catalog.pg_class AS c
         WHERE c.oid = 'indexpilot.mutation_log'::regclass
           AND c.relrowsecurity
         UNION ALL
         SELECT NULL, NULL, 'inheritance', format('%s adds or hides entries.',
             i.inhrelid::regclass)
         FROM pg_catalog.pg_inherits AS i
         WHERE i.inhparent = 'indexpilot.mutation_log'::regclass
            OR i.inhrelid = 'indexpilot.mutation_log'::regclass",
        &[],
    )
}

/// Whether a place and hash noted earlier are still in this database's chain, or in a pruned
/// range that ends there.
fn missing_anchor(sequence: i64, hash: &str) -> SpiResult<Vec<Problem>> {
    read_problems(
        "SELECT $1, NULL::uuid, 'anchor gone'::text, 'The place and hash noted earlier are not in '
             'the log: its end was cut off or the log was rewritten.'::text
         WHERE NOT EXISTS (SELECT FROM indexpilot.mutation_log AS m
             WHERE m.sequence = $1
               AND m.hash = decode($2, 'hex'))
           AND NOT EXISTS (SELECT FROM indexpilot.mutation_log AS m,
                 jsonb_array_elements(m.evidence -> 'ranges') AS r(range)
             WHERE m.kind = 'CHECKPOINT'
               AND $1 >= (r.range ->> 'from')::bigint
               AND ($1 < (r.range ->> 'to')::bigint
                 OR $1 = (r.range ->> 'to')::bigint
                    AND $2 = (r.range ->> 'hash')))",
        &[sequence.into(), hash.into()],
    )
}

fn read_problems(sql: &str, arguments: &[pgrx::datum::DatumWithOid]) -> SpiResult<Vec<Problem>> {
    Spi::connect(|client| {
        let rows = client.select(sql, None, arguments)?;
        let mut problems = Vec::with_capacity(rows.len());
        for row in rows {
            problems.push(Problem {
                sequence: row.get(1)?,
                id: row.get(2)?,
                problem: row.get::<String>(3)?.unwrap_or_default(),
                detail: row.get::<String>(4)?.unwrap_or_default(),
            });
        }
        Ok(problems)
    })
}
