-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made, and stored by OID.
CREATE VIEW indexpilot.index_sizes WITH (security_barrier) AS
SELECT n.nspname AS schema, t.relname AS relation, c.relname AS index,
    s.bytes, s.tuples,
    round((s.bytes / greatest(s.tuples, 1))::numeric, 1) AS bytes_per_row,
    round((s.best_bytes / greatest(s.best_tuples, 1))::numeric, 1) AS best_bytes_per_row,
    s.best_at,
    CASE WHEN s.fresh AND s.best_bytes IS NOT NULL THEN round((100 * (s.bytes / greatest(s.tuples, 1)
        / (s.best_bytes / greatest(s.best_tuples, 1)) - 1))::numeric, 1) END AS growth_percent,
    CASE WHEN NOT s.fresh THEN 'unknown: the row count is outdated until the table is analysed'
        WHEN s.best_bytes IS NULL THEN 'unknown: its best size was not seen yet'
        ELSE 'measured' END AS state,
    s.measured_at
FROM indexpilot.index_size AS s
JOIN pg_class AS c ON c.oid = s.index_oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = s.relation_oid
WHERE s.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (pg_has_role('pg_read_all_stats', 'USAGE') OR pg_has_role(t.relowner, 'USAGE'));
COMMENT ON VIEW indexpilot.index_sizes IS 'how large each index is a row, and how much larger than at its best, of tables that you own (all of them for pg_read_all_stats)';
GRANT SELECT ON TABLE indexpilot.index_sizes TO PUBLIC;

CREATE VIEW indexpilot.maintenance_share AS
SELECT coalesce(w.day, s.day) AS day,
    round(coalesce(s.total_ms, 0)::numeric, 1) AS statements_ms,
    round(coalesce(w.elapsed_ms, 0)::numeric, 1) AS maintenance_ms,
    round((100 * coalesce(w.elapsed_ms, 0)
        / nullif(coalesce(s.total_ms, 0) + coalesce(w.elapsed_ms, 0), 0))::numeric, 2) AS share_percent,
    round(w.cpu_ms::numeric, 1) AS cpu_ms,
    round(coalesce(w.saving, 0)::numeric, 1) AS saving_ms,
    round(coalesce(w.analysing, 0)::numeric, 1) AS analysing_ms,
    round(coalesce(w.acting, 0)::numeric, 1) AS acting_ms,
    round(coalesce(w.tidying, 0)::numeric, 1) AS tidying_ms
FROM (SELECT date_trunc('day', t.hour) AS day, sum(t.elapsed_ms) AS elapsed_ms,
        sum(t.cpu_ms) AS cpu_ms,
        sum(t.elapsed_ms) FILTER (WHERE t.duty = 'saving') AS saving,
        sum(t.elapsed_ms) FILTER (WHERE t.duty = 'analysing') AS analysing,
        sum(t.elapsed_ms) FILTER (WHERE t.duty = 'acting') AS acting,
        sum(t.elapsed_ms) FILTER (WHERE t.duty = 'tidying') AS tidying
    FROM indexpilot.worker_time AS t GROUP BY 1) AS w
FULL JOIN (SELECT date_trunc('day', b.bucket) AS day, sum(b.total_ms) AS total_ms
    FROM indexpilot.statement_stats AS b
    JOIN indexpilot.statement AS s ON s.id = b.statement AND s.top_level
    GROUP BY 1) AS s ON s.day = w.day
ORDER BY 1 DESC;
COMMENT ON VIEW indexpilot.maintenance_share IS 'time that the worker took, by day, against the time of clients'' statements; elapsed time, waits included, so an upper bound of the load';
REVOKE ALL ON TABLE indexpilot.maintenance_share FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.maintenance_share TO pg_read_all_stats;
