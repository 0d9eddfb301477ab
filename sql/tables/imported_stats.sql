-- Counters taken over from elsewhere: history of a time when nothing of ours counted.
CREATE TABLE indexpilot.imported_stats (
    statement uuid NOT NULL PRIMARY KEY,
    source text NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    calls bigint NOT NULL,
    rows bigint NOT NULL,
    total_ms double precision NOT NULL,
    min_ms double precision NOT NULL,
    max_ms double precision NOT NULL
);
COMMENT ON TABLE indexpilot.imported_stats IS 'counters taken over from pg_stat_statements, without what was counted by ourselves in the same time; only analyses use them';
COMMENT ON COLUMN indexpilot.imported_stats.statement IS 'the statement';
COMMENT ON COLUMN indexpilot.imported_stats.source IS 'where they come from';
COMMENT ON COLUMN indexpilot.imported_stats.since IS 'since when the source had counted';
COMMENT ON COLUMN indexpilot.imported_stats.until IS 'when they were imported';
COMMENT ON COLUMN indexpilot.imported_stats.calls IS 'executions';
COMMENT ON COLUMN indexpilot.imported_stats.rows IS 'rows returned or changed';
COMMENT ON COLUMN indexpilot.imported_stats.total_ms IS 'time in the executor, milliseconds';
COMMENT ON COLUMN indexpilot.imported_stats.min_ms IS 'shortest execution, milliseconds';
COMMENT ON COLUMN indexpilot.imported_stats.max_ms IS 'longest execution, milliseconds';
REVOKE ALL ON indexpilot.imported_stats FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.imported_stats', '');

-- What analyses read. Imported counters have no times of their own: they are spread evenly over
-- their days, of which the last eight (a day more than any analysis looks back) are shown.
CREATE VIEW indexpilot.statement_history AS
SELECT b.statement, b.bucket, b.plan, b.calls::double precision AS calls,
    b.rows::double precision AS rows, b.total_ms, b.cost,
    b.shared_hit, b.shared_read, b.wal_bytes, false AS imported
FROM indexpilot.statement_stats AS b
UNION ALL
SELECT i.statement, i.until - (k.day + 1) * (i.until - i.since) / d.days, 0,
    i.calls::double precision / d.days, i.rows::double precision / d.days, i.total_ms / d.days,
    0, 0, 0, 0, true
FROM indexpilot.imported_stats AS i
CROSS JOIN LATERAL (SELECT greatest(1, ceil(extract(epoch FROM i.until - i.since) / 86400))::integer AS days) AS d
CROSS JOIN LATERAL generate_series(0, least(d.days, 8) - 1) AS k (day);
COMMENT ON VIEW indexpilot.statement_history IS 'executions by time, statement and plan, with imported counters spread over their days; cost 0 is unknown';
REVOKE ALL ON TABLE indexpilot.statement_history FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.statement_history TO pg_read_all_stats;
