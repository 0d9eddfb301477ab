-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made, and stored by OID.
CREATE FUNCTION indexpilot.latency_quantile(histogram pg_catalog.jsonb, share pg_catalog.float8)
    RETURNS pg_catalog.float8
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'latency_quantile_wrapper';
COMMENT ON FUNCTION indexpilot.latency_quantile(pg_catalog.jsonb, pg_catalog.float8) IS
    'the latency in milliseconds below which a share (0 to 1) of the executions in a histogram of statement_stats lies, to 5 %';

CREATE VIEW indexpilot.statements AS
SELECT s.id,
    CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') OR s.role_name = current_user
        THEN CASE WHEN length(s.query) > 1000 THEN left(s.query, 999) || '…' ELSE s.query END
        ELSE '<insufficient privilege>' END AS query,
    s.kind, s.role_name AS role, s.top_level, s.relations,
    t.calls::bigint AS calls, s.errors, t.rows::bigint AS rows,
    round(t.total_ms::numeric, 3) AS total_ms,
    round((t.total_ms / nullif(t.calls, 0)::float8)::numeric, 3) AS mean_ms,
    round(sqrt(greatest(0, t.square_ms / nullif(t.calls, 0)::float8
        - (t.total_ms / nullif(t.calls, 0)::float8) ^ 2))::numeric, 3) AS stddev_ms,
    round(t.min_ms::numeric, 3) AS min_ms, round(t.max_ms::numeric, 3) AS max_ms,
    round(indexpilot.latency_quantile(h.histogram, 0.50)::numeric, 3) AS p50_ms,
    round(indexpilot.latency_quantile(h.histogram, 0.95)::numeric, 3) AS p95_ms,
    round(indexpilot.latency_quantile(h.histogram, 0.99)::numeric, 3) AS p99_ms,
    s.plannings, round(s.planning_ms::numeric, 3) AS planning_ms,
    t.plans, t.shared_hit::bigint AS shared_hit, t.shared_read::bigint AS shared_read,
    t.shared_dirtied::bigint AS shared_dirtied, t.shared_written::bigint AS shared_written,
    t.temp_read::bigint AS temp_read, t.temp_written::bigint AS temp_written,
    t.wal_bytes::bigint AS wal_bytes,
    s.not_analysable, s.query_id, s.first_seen, s.last_seen
FROM indexpilot.statement AS s
LEFT JOIN LATERAL (
    SELECT sum(b.calls) AS calls, sum(b.rows) AS rows, sum(b.total_ms) AS total_ms,
        sum(b.square_ms) AS square_ms, min(b.min_ms) AS min_ms, max(b.max_ms) AS max_ms,
        count(DISTINCT b.plan) FILTER (WHERE b.plan <> 0) AS plans,
        sum(b.shared_hit) AS shared_hit, sum(b.shared_read) AS shared_read,
        sum(b.shared_dirtied) AS shared_dirtied, sum(b.shared_written) AS shared_written,
        sum(b.temp_read) AS temp_read, sum(b.temp_written) AS temp_written,
        sum(b.wal_bytes) AS wal_bytes
    FROM indexpilot.statement_stats AS b WHERE b.statement = s.id) AS t ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(e.key, e.count) AS histogram
    FROM (SELECT p.key, sum(p.value::bigint) AS count
        FROM indexpilot.statement_stats AS b, jsonb_each_text(b.histogram) AS p
        WHERE b.statement = s.id GROUP BY p.key) AS e) AS h ON true
ORDER BY t.total_ms DESC NULLS LAST;
COMMENT ON VIEW indexpilot.statements IS 'statements that ran, those with most time first; up to a flush interval old';
GRANT SELECT ON TABLE indexpilot.statements TO PUBLIC;

CREATE VIEW indexpilot.field_usage AS
SELECT q.relation, q.field, q.role,
    sum(q.calls)::bigint AS calls, sum(q.rows)::bigint AS rows,
    round(sum(q.total_ms)::numeric, 3) AS total_ms,
    round(sum(q.rows_filtered))::bigint AS rows_filtered_estimate,
    CASE WHEN q.role = 'constant' THEN (
        SELECT array_agg(v.value || ' (' || v.percent || ' %)' ORDER BY v.seen DESC, v.value)
        FROM (SELECT c.value, sum(c.seen) AS seen, round(100 * sum(c.count) / sum(c.seen)) AS percent
            FROM indexpilot.statement_source AS o,
                jsonb_to_recordset(o.constants) AS c (relation text, field text, value text, count numeric, seen numeric)
            WHERE c.relation = q.relation AND c.field = q.field
            GROUP BY c.value) AS v) END AS constants,
    count(DISTINCT q.tenant) FILTER (WHERE q.tenant <> '') AS tenants,
    array_agg(DISTINCT q.kind) AS kinds, min(q.bucket) AS first_used, max(q.bucket) AS last_used
FROM indexpilot.query_stats AS q
GROUP BY q.relation, q.field, q.role
ORDER BY sum(q.total_ms) DESC;
COMMENT ON VIEW indexpilot.field_usage IS 'how fields are used; the time of a statement counts for each of its fields; rows filtered away are an estimate from samples; constants are the values that a field is nearly always compared with, and in how many of the samples';
REVOKE ALL ON TABLE indexpilot.field_usage FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.field_usage TO pg_read_all_stats;

CREATE VIEW indexpilot.tenants AS
SELECT t.tenant, count(DISTINCT t.statement) AS statements, sum(t.calls)::bigint AS calls,
    sum(t.rows)::bigint AS rows, round(sum(t.total_ms)::numeric, 3) AS total_ms,
    round((100 * sum(t.total_ms) / nullif(sum(sum(t.total_ms)) OVER (), 0))::numeric, 1) AS share_percent,
    min(t.bucket) AS first_seen, max(t.bucket) AS last_seen
FROM indexpilot.tenant_stats AS t
GROUP BY t.tenant
ORDER BY sum(t.total_ms) DESC;
COMMENT ON VIEW indexpilot.tenants IS 'tenants with the time that their statements took, those with most first';
REVOKE ALL ON TABLE indexpilot.tenants FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.tenants TO pg_read_all_stats;

CREATE FUNCTION indexpilot.reset() RETURNS pg_catalog.void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'reset_wrapper';
COMMENT ON FUNCTION indexpilot.reset() IS 'forgets all statistics of this database; for its owner';
REVOKE ALL ON FUNCTION indexpilot.reset() FROM PUBLIC;

CREATE FUNCTION indexpilot.reset_tenant(tenant pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'reset_tenant_wrapper';
COMMENT ON FUNCTION indexpilot.reset_tenant(pg_catalog.text) IS 'forgets what is attributed to a tenant in this database; for its owner';
REVOKE ALL ON FUNCTION indexpilot.reset_tenant(pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION indexpilot.capture_memory()
    RETURNS TABLE (
        bytes pg_catalog.int8,
        statements pg_catalog.int8,
        max_statements pg_catalog.int8,
        evicted pg_catalog.int8,
        dropped_statements pg_catalog.int8,
        dropped_texts pg_catalog.int8,
        dropped_tenants pg_catalog.int8,
        errors_elsewhere pg_catalog.int8)
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'capture_memory_wrapper';
COMMENT ON FUNCTION indexpilot.capture_memory() IS
    'capture''s shared memory since the server started: its size, statements in it, statements that were removed for want of room, executions, texts and tenants that were dropped for it, and errors of statements that never ran';
REVOKE ALL ON FUNCTION indexpilot.capture_memory() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.capture_memory() TO pg_monitor;
