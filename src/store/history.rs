//! `indexpilot.imported_stats`, and the reading of pg_stat_statements.

use crate::pg::spi;
use crate::store::statement::{self, NewSource, NewStatement};
use indexpilot_model::identifier::quote_identifier;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// A statement as pg_stat_statements has it.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The server's query identifier.
    pub query_id: i64,
    /// Who ran it.
    pub role: pg_sys::Oid,
    /// Sent by a client.
    pub top_level: bool,
    /// Normalised text; `None` where it is gone.
    pub text: Option<String>,
    /// search_path of the role or the database; `None` where none is set.
    pub search_path: Option<String>,
    /// Executions, without those captured here in the same time.
    pub calls: i64,
    /// Rows returned or changed, without those captured.
    pub rows: i64,
    /// Milliseconds, without what was captured.
    pub total_ms: f64,
    /// Shortest execution, milliseconds.
    pub min_ms: f64,
    /// Longest execution, milliseconds.
    pub max_ms: f64,
    /// Since when it was counted, microseconds since the Unix epoch.
    pub since: i64,
    /// Key of the statement, where it has been captured with its tree.
    pub known: Option<String>,
}

/// Statements of this database in pg_stat_statements, those with most time first, at most
/// `limit`. `schema` is where the extension is.
///
/// # Errors
/// What SPI reports.
pub fn foreign(schema: &str, limit: i64) -> SpiResult<Vec<Foreign>> {
    let schema = quote_identifier(schema);
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let table = client.select(
                &format!(
                    "SELECT p.queryid, p.userid, p.toplevel, p.query, v.path,
                         greatest(0, p.calls - coalesce(o.calls, 0))::bigint,
                         greatest(0, p.rows - coalesce(o.rows, 0))::bigint,
                         greatest(0, p.total_exec_time - coalesce(o.total_ms, 0)),
                         p.min_exec_time, p.max_exec_time,
                         (extract(epoch FROM i.stats_reset) * 1000000)::bigint, k.id::text
                     FROM {schema}.pg_stat_statements(true) AS p
                     CROSS JOIN {schema}.pg_stat_statements_info() AS i
                     LEFT JOIN LATERAL (
                         -- \"search_path=\" is twelve characters long.
                         SELECT substr(c.setting, 13) AS path
                         FROM pg_db_role_setting AS g, unnest(g.setconfig) AS c (setting)
                         WHERE g.setrole IN (0, p.userid) AND g.setdatabase IN (0, p.dbid)
                           AND starts_with(c.setting, 'search_path=')
                         ORDER BY g.setrole <> 0 DESC, g.setdatabase <> 0 DESC LIMIT 1) AS v ON true
                     LEFT JOIN LATERAL (
                         SELECT sum(b.calls) AS calls, sum(b.rows) AS rows, sum(b.total_ms) AS total_ms
                         FROM indexpilot.statement AS s
                         JOIN indexpilot.statement_stats AS b ON b.statement = s.id
                         WHERE s.system_identifier = $1 AND s.database_oid = p.dbid
                           AND s.query_id = p.queryid AND s.role_oid = p.userid
                           AND s.top_level = p.toplevel
                           AND b.bucket >= i.stats_reset - interval '5 min') AS o ON true
                     LEFT JOIN LATERAL (
                         SELECT s.id FROM indexpilot.statement AS s
                         JOIN indexpilot.statement_source AS t ON t.statement = s.id
                         WHERE s.system_identifier = $1 AND s.database_oid = p.dbid
                           AND s.query_id = p.queryid AND s.role_oid = p.userid
                           AND s.top_level = p.toplevel
                         ORDER BY s.last_seen DESC LIMIT 1) AS k ON true
                     WHERE p.dbid = $2 AND p.queryid IS NOT NULL
                     ORDER BY p.total_exec_time DESC LIMIT $3"
                ),
                None,
                &[
                    spi::system_identifier().into(),
                    spi::database().into(),
                    limit.into(),
                ],
            )?;
            let mut found = Vec::new();
            for row in table {
                let number = |column| row.get::<i64>(column).map(Option::unwrap_or_default);
                let real = |column| row.get::<f64>(column).map(Option::unwrap_or_default);
                found.push(Foreign {
                    query_id: number(1)?,
                    role: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                    top_level: row.get::<bool>(3)?.unwrap_or(true),
                    text: row.get(4)?,
                    search_path: row.get(5)?,
                    calls: number(6)?,
                    rows: number(7)?,
                    total_ms: real(8)?,
                    min_ms: real(9)?,
                    max_ms: real(10)?,
                    since: number(11)?,
                    known: row.get(12)?,
                });
            }
            Ok(found)
        })
    })
}

/// Forgets what was imported before: an import replaces the last one.
///
/// # Errors
/// What SPI reports.
pub fn forget() -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "DELETE FROM indexpilot.imported_stats AS i USING indexpilot.statement AS s
             WHERE s.id = i.statement AND s.system_identifier = $1 AND s.database_oid = $2",
            &[spi::system_identifier().into(), spi::database().into()],
        )
    })
}

/// Saves a statement that was not captured, without touching the tree and samples of one
/// that was; gives its key.
///
/// # Errors
/// What SPI reports.
pub fn adopt(new: NewStatement, source: &NewSource) -> SpiResult<String> {
    let id = statement::save(&new)?;
    let known = spi::as_extension_owner(|| {
        Spi::get_one_with_args::<bool>(
            "SELECT EXISTS (SELECT FROM indexpilot.statement_source AS o WHERE o.statement = $1::uuid)",
            &[id.as_str().into()],
        )
    })?;
    if known != Some(true) {
        statement::save_source(&id, source)?;
    }
    Ok(id)
}

/// Adds the counters of a statement. Several entries of the source can be one statement.
///
/// # Errors
/// What SPI reports.
pub fn add(id: &str, counters: &Foreign, now: i64) -> SpiResult<()> {
    spi::as_extension_owner(|| {
        Spi::run_with_args(
            "INSERT INTO indexpilot.imported_stats AS i (statement, source, since, until, calls,
                 rows, total_ms, min_ms, max_ms)
             VALUES ($1::uuid, 'pg_stat_statements', to_timestamp($2), to_timestamp($3), $4, $5,
                 $6, $7, $8)
             ON CONFLICT (statement) DO UPDATE SET calls = i.calls + excluded.calls,
                 rows = i.rows + excluded.rows, total_ms = i.total_ms + excluded.total_ms,
                 min_ms = least(i.min_ms, excluded.min_ms),
                 max_ms = greatest(i.max_ms, excluded.max_ms)",
            &[
                id.into(),
                (counters.since as f64 / 1e6).into(),
                (now as f64 / 1e6).into(),
                counters.calls.into(),
                counters.rows.into(),
                counters.total_ms.into(),
                counters.min_ms.into(),
                counters.max_ms.into(),
            ],
        )
    })
}
