//! What the server's catalogs say about the application's indexes.
use crate::results::IndexInfo;
use anyhow::Result;
use postgres::Client;

/// Secondary indexes of a schema: everything but primary keys.
pub fn indexes(client: &mut Client, schema: &str) -> Result<Vec<IndexInfo>> {
    // pg_depend names every column that an index reads, expressions and predicates included.
    let rows = client.query(
        "SELECT n.nspname || '.' || i.relname, n.nspname || '.' || t.relname, pg_catalog.pg_get_indexdef(x.indexrelid), pg_catalog.pg_relation_size(x.indexrelid), \
                COALESCE(pg_catalog.pg_stat_get_numscans(x.indexrelid), 0), \
                ARRAY(SELECT DISTINCT n.nspname || '.' || t.relname || '.' || a.attname::text FROM pg_catalog.pg_depend d \
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.indexrelid \
                        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid > 0 ORDER BY 1) \
         FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid \
              JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         WHERE n.nspname = $1 AND NOT x.indisprimary ORDER BY 2, 1",
        &[&schema],
    )?;
    Ok(rows
        .iter()
        .map(|r| IndexInfo {
            name: r.get(0),
            table: r.get(1),
            definition: r.get(2),
            bytes: r.get(3),
            scans: r.get(4),
            columns: r.get(5),
        })
        .collect())
}

/// Bytes of WAL written so far by the server.
pub fn wal_position(client: &mut Client) -> Result<i64> {
    Ok(client
        .query_one(
            "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint",
            &[],
        )?
        .get(0))
}
