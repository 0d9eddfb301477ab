//! The one query that reads a relation: everything as a JSON document.

/// `$1` is the relation's OID; one row of one `text` at most. To be run with `search_path`
/// set to `pg_catalog`.
///
/// Statistics of a partitioned parent are the inherited ones, and its size, rows and activity
/// are its leaves' sums.
pub(super) const RELATION: &str = r#"
WITH RECURSIVE base AS (
    SELECT t.oid AS domain, t.oid, t.typtype, t.typbasetype FROM pg_type AS t
    WHERE t.oid IN (SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = $1)
    UNION ALL
    SELECT b.domain, t.oid, t.typtype, t.typbasetype
    FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype
    WHERE b.typtype = 'd'
), leaf AS (
    SELECT p.relid::oid AS oid FROM pg_partition_tree($1::regclass) AS p
    WHERE p.isleaf AND p.relid <> $1
    UNION ALL
    SELECT $1 WHERE NOT EXISTS (SELECT FROM pg_class AS k WHERE k.oid = $1 AND k.relkind = 'p')
), size AS (
    SELECT coalesce(sum(CASE WHEN k.relpages > 0 AND k.reltuples >= 0
                 THEN k.reltuples::float8 / k.relpages * now_pages.n
                 ELSE now_pages.n * 10 END), 0) AS tuples,
        coalesce(sum(now_pages.n), 0)::bigint AS pages,
        coalesce(sum(least(k.relallvisible, k.relpages))::float8
            / nullif(sum(k.relpages), 0), 0) AS all_visible
    FROM leaf AS l JOIN pg_class AS k ON k.oid = l.oid,
        LATERAL (SELECT pg_relation_size(k.oid) / current_setting('block_size')::int AS n) AS now_pages
    WHERE k.relkind IN ('r', 'm', 'p')
), activity AS (
    SELECT coalesce(sum(s.n_tup_ins), 0) AS inserts, coalesce(sum(s.n_tup_upd), 0) AS updates,
        coalesce(sum(s.n_tup_hot_upd), 0) AS hot_updates, coalesce(sum(s.n_tup_del), 0) AS deletes
    FROM leaf AS l JOIN pg_stat_all_tables AS s ON s.relid = l.oid
)
SELECT jsonb_build_object(
    'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'tuples', size.tuples, 'pages', size.pages, 'all_visible', size.all_visible,
    'fillfactor', coalesce((SELECT o.option_value::int FROM pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = 'fillfactor'), 100),
    'inserts', activity.inserts, 'updates', activity.updates,
    'hot_updates', activity.hot_updates, 'deletes', activity.deletes,
    'seconds', coalesce(extract(epoch FROM clock_timestamp() - indexpilot.counters_since()), 0),
    'leaves', CASE WHEN c.relkind = 'p'
        THEN coalesce((SELECT jsonb_agg(l.oid::bigint) FROM leaf AS l), '[]') ELSE '[]' END,
    'attributes', coalesce((SELECT jsonb_agg(jsonb_build_object(
            'number', a.attnum, 'name', a.attname,
            'type_schema', tn.nspname, 'type_name', t.typname,
            'width', coalesce(nullif(s.avg_width, 0),
                CASE WHEN t.typlen > 0 THEN t.typlen ELSE 32 END),
            'null_fraction', s.null_frac,
            'distinct', CASE WHEN s.n_distinct < 0 THEN greatest(1, -s.n_distinct * size.tuples)
                             ELSE nullif(s.n_distinct, 0) END,
            'correlation', s.correlation,
            'top_frequency', s.most_common_freqs[1],
            'collation', a.attcollation::bigint,
            'collation_is_c', CASE WHEN a.attcollation = 0 THEN true
                WHEN co.collname = 'default' THEN (SELECT d.datcollate IN ('C', 'POSIX')
                    AND d.datlocprovider = 'c' FROM pg_database AS d WHERE d.datname = current_database())
                ELSE co.collname IN ('C', 'POSIX', 'ucs_basic') END,
            'btree_orderable', ordering.found, 'hashable', hashing.found,
            'not_null', a.attnotnull) ORDER BY a.attnum)
        FROM pg_attribute AS a
        JOIN base AS b ON b.domain = a.atttypid AND b.typtype <> 'd'
        JOIN pg_type AS t ON t.oid = b.oid
        JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
        LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
        LEFT JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname
            AND s.attname = a.attname AND s.inherited = (c.relkind = 'p'),
        LATERAL (SELECT ARRAY[t.oid] || CASE
                WHEN t.typtype = 'e' THEN 'anyenum'::regtype::oid
                WHEN t.typtype = 'r' THEN 'anyrange'::regtype::oid
                WHEN t.typtype = 'm' THEN 'anymultirange'::regtype::oid
                WHEN t.typcategory = 'A' THEN 'anyarray'::regtype::oid
                WHEN t.typname = 'varchar' AND tn.nspname = 'pg_catalog' THEN 'text'::regtype::oid
                WHEN t.typname = 'cidr' AND tn.nspname = 'pg_catalog' THEN 'inet'::regtype::oid
                ELSE t.oid END AS types) AS accepted,
        LATERAL (SELECT EXISTS (SELECT FROM pg_opclass AS o WHERE o.opcmethod = 403
            AND o.opcdefault AND o.opcintype = ANY (accepted.types)) AS found) AS ordering,
        LATERAL (SELECT EXISTS (SELECT FROM pg_opclass AS o WHERE o.opcmethod = 405
            AND o.opcdefault AND o.opcintype = ANY (accepted.types)) AS found) AS hashing
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'foreign_keys', coalesce((SELECT jsonb_agg(jsonb_build_object('name', f.conname,
            'attributes', to_jsonb(f.conkey), 'references', f.confrelid::bigint) ORDER BY f.conname)
        FROM pg_constraint AS f WHERE f.conrelid = c.oid AND f.contype = 'f'), '[]'),
    'indexes', coalesce((SELECT jsonb_agg(jsonb_build_object(
            'oid', i.oid::bigint, 'name', i.relname, 'method', am.amname,
            'valid', x.indisvalid AND x.indisready, 'unique', x.indisunique,
            'nulls_not_distinct', x.indnullsnotdistinct,
            'primary', x.indisprimary, 'exclusion', x.indisexclusion,
            'replica_identity', x.indisreplident, 'clustered', x.indisclustered,
            'has_expressions', x.indexprs IS NOT NULL OR x.indpred IS NOT NULL,
            'constraint', EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.oid),
            'extension', EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                AND d.objid = i.oid AND d.deptype IN ('e', 'x')),
            'partition', EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.oid),
            'bytes', CASE WHEN i.relkind = 'I' THEN (SELECT coalesce(sum(pg_relation_size(p.relid)), 0)
                    FROM pg_partition_tree(i.oid::regclass) AS p WHERE p.isleaf)
                ELSE pg_relation_size(i.oid) END,
            'scans', coalesce((SELECT sum(s.idx_scan) FROM pg_stat_all_indexes AS s
                WHERE s.indexrelid = i.oid OR s.indexrelid IN
                    (SELECT p.relid FROM pg_partition_tree(i.oid::regclass) AS p)), 0),
            'options', coalesce((SELECT jsonb_agg(jsonb_build_array(o.option_name, o.option_value)
                ORDER BY o.option_name) FROM pg_options_to_table(i.reloptions) AS o), '[]'),
            'tablespace', ts.spcname,
            'keys', (SELECT jsonb_agg(jsonb_build_object(
                    'attribute', x.indkey[k.n],
                    'opclass_schema', CASE WHEN NOT oc.opcdefault THEN on_.nspname END,
                    'opclass_name', CASE WHEN NOT oc.opcdefault THEN oc.opcname END,
                    'opclass_options', (SELECT ia.attoptions IS NOT NULL FROM pg_attribute AS ia
                        WHERE ia.attrelid = i.oid AND ia.attnum = k.n + 1),
                    'collation_schema', CASE WHEN x.indcollation[k.n] <> coalesce(ka.attcollation, x.indcollation[k.n])
                        THEN cn.nspname END,
                    'collation_name', CASE WHEN x.indcollation[k.n] <> coalesce(ka.attcollation, x.indcollation[k.n])
                        THEN kc.collname END,
                    'descending', x.indoption[k.n] & 1 <> 0,
                    'nulls_first', x.indoption[k.n] & 2 <> 0) ORDER BY k.n)
                FROM generate_series(0, x.indnkeyatts - 1) AS k (n)
                LEFT JOIN pg_attribute AS ka ON ka.attrelid = c.oid AND ka.attnum = x.indkey[k.n] AND ka.attnum > 0
                LEFT JOIN pg_opclass AS oc ON oc.oid = x.indclass[k.n]
                LEFT JOIN pg_namespace AS on_ ON on_.oid = oc.opcnamespace
                LEFT JOIN pg_collation AS kc ON kc.oid = x.indcollation[k.n]
                LEFT JOIN pg_namespace AS cn ON cn.oid = kc.collnamespace),
            'include', coalesce((SELECT jsonb_agg(x.indkey[k.n] ORDER BY k.n)
                FROM generate_series(x.indnkeyatts, x.indnatts - 1) AS k (n)), '[]')
            ) ORDER BY i.oid)
        FROM pg_index AS x
        JOIN pg_class AS i ON i.oid = x.indexrelid
        JOIN pg_am AS am ON am.oid = i.relam
        LEFT JOIN pg_tablespace AS ts ON ts.oid = i.reltablespace
        WHERE x.indrelid = c.oid AND x.indislive), '[]')
    )::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace, size, activity
WHERE c.oid = $1 AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
"#;
