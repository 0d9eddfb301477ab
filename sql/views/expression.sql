-- What tenants use, what it costs, and which index serves whom: over query_stats, whose times
-- count a statement once for each of its fields. Shares compare; they do not add up to CPU time.
CREATE VIEW indexpilot.tenant_costs AS
SELECT c.tenant, c.calls, c.total_ms, c.share, c.share_with_larger, c.place,
    -- Counted along an index, tenant by tenant, and after a LIMIT only for the rows that it leaves:
    -- an aggregate over all pairs of tenant and field would spill to disk.
    (SELECT count(*) FROM (
        SELECT DISTINCT f.relation_oid, f.field FROM indexpilot.query_stats AS f
        WHERE f.tenant = c.tenant) AS d) AS fields,
    c.write_ms, c.last_bucket
FROM (
    SELECT q.tenant, q.calls, q.total_ms, q.total_ms / nullif(sum(q.total_ms) OVER (), 0) AS share,
        sum(q.total_ms) OVER (ORDER BY q.total_ms DESC, q.tenant)
            / nullif(sum(q.total_ms) OVER (), 0) AS share_with_larger,
        rank() OVER (ORDER BY q.total_ms DESC) AS place, q.write_ms, q.last_bucket
    FROM (
        SELECT s.tenant, sum(s.calls) AS calls, sum(s.total_ms) AS total_ms,
            sum(s.total_ms) FILTER (WHERE s.kind <> 'select') AS write_ms, max(s.bucket) AS last_bucket
        FROM indexpilot.query_stats AS s WHERE s.tenant <> '' GROUP BY s.tenant) AS q) AS c;
COMMENT ON VIEW indexpilot.tenant_costs IS 'share of the measured time of each tenant, largest first, over all that is kept';
REVOKE ALL ON TABLE indexpilot.tenant_costs FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.tenant_costs TO pg_read_all_stats;

CREATE FUNCTION indexpilot.tenant_skew(
    OUT tenants bigint, OUT total_ms double precision, OUT largest_share double precision,
    OUT ten_largest_share double precision, OUT largest_percent_share double precision,
    OUT tenants_for_half bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT count(*), sum(c.total_ms), max(c.share) FILTER (WHERE c.number = 1),
        sum(c.share) FILTER (WHERE c.number <= 10),
        sum(c.share) FILTER (WHERE c.number <= ceil(c.all_tenants / 100.0)),
        min(c.number) FILTER (WHERE c.share_with_larger >= 0.5)
    FROM (SELECT t.*, row_number() OVER (ORDER BY t.total_ms DESC, t.tenant) AS number,
              count(*) OVER () AS all_tenants
          FROM indexpilot.tenant_costs AS t) AS c;
END;
COMMENT ON FUNCTION indexpilot.tenant_skew() IS 'how unevenly tenants share the load: share of the largest, of the ten largest, of the largest per cent, and how many make half of it';
REVOKE ALL ON FUNCTION indexpilot.tenant_skew() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.tenant_skew() TO pg_read_all_stats;

CREATE FUNCTION indexpilot.tenant_fields(
    tenant text, since timestamp with time zone DEFAULT now() - '30 days'::interval,
    OUT schema text, OUT relation text, OUT field text, OUT feature_group text, OUT enabled boolean,
    OUT calls bigint, OUT total_ms double precision, OUT last_used timestamp with time zone,
    OUT finding text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT g.schema_name, g.relation_name, g.field_name, g.feature_group, p.enabled,
        coalesce(o.calls, 0), coalesce(o.total_ms, 0), o.last_used,
        CASE WHEN p.enabled IS NULL AND o.calls IS NULL THEN 'not declared, not used'
            WHEN p.enabled IS NULL THEN 'used, not declared'
            WHEN NOT p.enabled AND o.calls > 0 THEN 'disabled, yet used'
            WHEN p.enabled AND o.calls IS NULL THEN 'enabled, never used'
            ELSE 'as declared' END
    FROM indexpilot.genome_catalog AS g
    LEFT JOIN indexpilot.expression_profile AS p ON p.field = g.id AND p.tenant = tenant_fields.tenant
    LEFT JOIN (
        SELECT q.relation_oid, q.field, sum(q.calls)::bigint AS calls, sum(q.total_ms) AS total_ms,
            max(q.bucket) AS last_used
        FROM indexpilot.query_stats AS q
        WHERE q.tenant = tenant_fields.tenant AND q.bucket >= since
        GROUP BY q.relation_oid, q.field) AS o
        ON o.relation_oid = g.relation_oid AND o.field = g.field_name
    ORDER BY o.total_ms DESC NULLS LAST, g.schema_name, g.relation_name, g.attribute_number;
END;
COMMENT ON FUNCTION indexpilot.tenant_fields(text, timestamp with time zone) IS 'the fields of a tenant: declared, observed, and where the two differ; most time first';
REVOKE ALL ON FUNCTION indexpilot.tenant_fields(text, timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.tenant_fields(text, timestamp with time zone) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.expression_differences(
    since timestamp with time zone DEFAULT now() - '30 days'::interval,
    OUT tenant text, OUT schema text, OUT relation text, OUT field text,
    OUT calls bigint, OUT total_ms double precision, OUT finding text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Tenant by tenant, each a small join along the indexes: one join of all pairs of tenant and
    -- field would sort them twice.
    SELECT t.tenant, n.schema_name, n.relation_name, n.field_name, 0::bigint, 0::double precision,
        'enabled, never used'
    FROM indexpilot.expression_tenant AS t
    CROSS JOIN LATERAL (
        SELECT g.schema_name, g.relation_name, g.field_name
        FROM indexpilot.expression_profile AS p
        JOIN indexpilot.genome_catalog AS g ON g.id = p.field
        LEFT JOIN (
            SELECT DISTINCT q.relation_oid, q.field FROM indexpilot.query_stats AS q
            WHERE q.tenant = t.tenant AND q.bucket >= since) AS o
            ON o.relation_oid = g.relation_oid AND o.field = g.field_name
        WHERE p.tenant = t.tenant AND p.enabled AND o.field IS NULL
        OFFSET 0) AS n
    UNION ALL
    SELECT p.tenant, g.schema_name, g.relation_name, g.field_name, u.calls, u.total_ms, 'disabled, yet used'
    FROM indexpilot.expression_profile AS p
    JOIN indexpilot.genome_catalog AS g ON g.id = p.field
    CROSS JOIN LATERAL (
        SELECT sum(q.calls)::bigint AS calls, sum(q.total_ms) AS total_ms
        FROM indexpilot.query_stats AS q
        WHERE q.tenant = p.tenant AND q.relation_oid = g.relation_oid AND q.field = g.field_name
          AND q.bucket >= since) AS u
    WHERE NOT p.enabled AND u.calls IS NOT NULL
    ORDER BY 6 DESC, 1, 2, 3, 4;
END;
COMMENT ON FUNCTION indexpilot.expression_differences(timestamp with time zone) IS 'where what tenants declare and what they do differ: fields switched off that are used, fields switched on that never are';
REVOKE ALL ON FUNCTION indexpilot.expression_differences(timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.expression_differences(timestamp with time zone) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.field_usage_stats(
    of_relation text, of_field text, since timestamp with time zone DEFAULT now() - '30 days'::interval,
    OUT role text, OUT kind text, OUT tenants bigint, OUT calls bigint, OUT rows bigint,
    OUT total_ms double precision, OUT average_ms double precision,
    OUT last_used timestamp with time zone)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT q.role, q.kind, count(DISTINCT nullif(q.tenant, '')), sum(q.calls)::bigint, sum(q.rows)::bigint,
        sum(q.total_ms), sum(q.total_ms) / nullif(sum(q.calls), 0), max(q.bucket)
    FROM indexpilot.query_stats AS q
    WHERE q.relation_oid = of_relation::regclass AND q.field = of_field AND q.bucket >= since
    GROUP BY q.role, q.kind ORDER BY 6 DESC;
END;
COMMENT ON FUNCTION indexpilot.field_usage_stats(text, text, timestamp with time zone) IS 'how a field is used: by role and kind of statement, with calls, tenants and times';
REVOKE ALL ON FUNCTION indexpilot.field_usage_stats(text, text, timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.field_usage_stats(text, text, timestamp with time zone) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.relation_latency(
    of_relation text DEFAULT NULL, since timestamp with time zone DEFAULT now() - '7 days'::interval,
    OUT relation text, OUT statements bigint, OUT calls bigint, OUT total_ms double precision,
    OUT average_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Step n of the histogram begins at 2^(10 + n/16) * (1 + n%16/16) nanoseconds.
    WITH sample AS (
        SELECT r.name, s.id, b.calls, b.total_ms, b.histogram
        FROM indexpilot.statement AS s
        CROSS JOIN LATERAL unnest(s.relations) AS r(name)
        JOIN indexpilot.statement_stats AS b ON b.statement = s.id
        WHERE b.bucket >= since AND (of_relation IS NULL OR to_regclass(r.name) = of_relation::regclass)
    ), step AS (
        SELECT x.name, h.key::int AS step, sum(h.value::numeric) AS executions
        FROM sample AS x CROSS JOIN LATERAL jsonb_each_text(x.histogram) AS h GROUP BY x.name, h.key::int
    ), running AS (
        SELECT t.name, power(2, 10 + t.step / 16) * (1 + (t.step % 16 + 0.5) / 16) / 1e6 AS ms,
            sum(t.executions) OVER (PARTITION BY t.name ORDER BY t.step) AS up_to,
            sum(t.executions) OVER (PARTITION BY t.name) AS of_all
        FROM step AS t
    )
    SELECT x.name, count(DISTINCT x.id), sum(x.calls)::bigint, sum(x.total_ms),
        sum(x.total_ms) / nullif(sum(x.calls), 0),
        (SELECT min(r.ms) FROM running AS r WHERE r.name = x.name AND r.up_to >= 0.95 * r.of_all),
        (SELECT min(r.ms) FROM running AS r WHERE r.name = x.name AND r.up_to >= 0.99 * r.of_all)
    FROM sample AS x GROUP BY x.name ORDER BY 4 DESC;
END;
COMMENT ON FUNCTION indexpilot.relation_latency(text, timestamp with time zone) IS 'latency of the statements on each relation, or on one: average, 95th and 99th percentile (from histograms, to 3.2 per cent)';
REVOKE ALL ON FUNCTION indexpilot.relation_latency(text, timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.relation_latency(text, timestamp with time zone) TO pg_read_all_stats;

CREATE VIEW indexpilot.table_sizes AS
SELECT n.nspname::text AS schema, c.relname::text AS relation, s.bytes, s.index_bytes,
    CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS estimated_rows,
    CASE WHEN s.bytes < 1048576 THEN 'tiny' WHEN s.bytes < 104857600 THEN 'small'
        WHEN s.bytes < 10737418240 THEN 'medium' WHEN s.bytes < 107374182400 THEN 'large'
        ELSE 'huge' END AS size_class
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_table_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes) AS s
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'indexpilot');
COMMENT ON VIEW indexpilot.table_sizes IS 'tables with size and class: tiny below 1 MB, small below 100 MB, medium below 10 GB, large below 100 GB, huge';
GRANT SELECT ON TABLE indexpilot.table_sizes TO PUBLIC;

CREATE VIEW indexpilot.index_tenants AS
WITH served AS (
    SELECT x.indexrelid, x.indrelid, q.tenant, sum(q.calls)::bigint AS calls, sum(q.total_ms) AS total_ms
    FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[])
    JOIN indexpilot.query_stats AS q ON q.relation_oid = x.indrelid AND q.field = a.attname
    WHERE x.indisvalid AND q.tenant <> '' AND q.role NOT IN ('output', 'updated', 'inequality', 'opaque', 'same_row', 'join_filter')
    GROUP BY x.indexrelid, x.indrelid, q.tenant
), written AS (
    SELECT q.relation_oid, q.tenant, sum(q.rows) AS rows
    FROM indexpilot.query_stats AS q WHERE q.kind <> 'select' AND q.tenant <> ''
    GROUP BY q.relation_oid, q.tenant
), share AS (
    SELECT coalesce(s.indexrelid, x.indexrelid) AS indexrelid, coalesce(s.tenant, w.tenant) AS tenant,
        coalesce(s.calls, 0) AS calls, coalesce(s.total_ms, 0) AS total_ms, coalesce(w.rows, 0) AS rows
    FROM served AS s
    FULL JOIN (written AS w JOIN pg_catalog.pg_index AS x ON x.indrelid = w.relation_oid AND x.indisvalid)
        ON x.indexrelid = s.indexrelid AND w.tenant = s.tenant
)
SELECT n.nspname::text AS schema, t.relname::text AS relation, c.relname::text AS index, s.tenant, s.calls,
    s.total_ms,
    s.total_ms / nullif(sum(s.total_ms) OVER (PARTITION BY s.indexrelid), 0) AS benefit_share,
    s.rows AS rows_written,
    s.rows / nullif(sum(s.rows) OVER (PARTITION BY s.indexrelid), 0) AS write_cost_share
FROM share AS s
JOIN pg_catalog.pg_index AS x ON x.indexrelid = s.indexrelid
JOIN pg_catalog.pg_class AS c ON c.oid = s.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace;
COMMENT ON VIEW indexpilot.index_tenants IS 'which index can serve which tenants, and what share of its benefit and of its write cost each is charged: an estimate from the fields that the tenant filters, joins and sorts by, and the rows it writes';
REVOKE ALL ON TABLE indexpilot.index_tenants FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.index_tenants TO pg_read_all_stats;
