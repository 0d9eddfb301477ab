CREATE VIEW indexpilot.jobs WITH (security_barrier) AS
SELECT j.id, j.state, j.phase, j.reason,
    j.intent OPERATOR(pg_catalog.#>>) '{kind,action}' AS action,
    j.schema_name AS schema,
    j.relation_name AS relation,
    COALESCE(i.relname::text, j.intent OPERATOR(pg_catalog.#>>) '{kind,name,name}',
        j.intent OPERATOR(pg_catalog.#>>) '{kind,name}') AS index,
    j.purpose, j.requested_by, j.requested_at, j.started_at, j.finished_at, j.attempts,
    CASE WHEN j.state OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'waiting', 'cleaning'])
        THEN j.not_before END AS not_before,
    p.phase AS server_phase,
    CASE WHEN p.blocks_total OPERATOR(pg_catalog.>) 0
        THEN pg_catalog.round((100.0 OPERATOR(pg_catalog.*) p.blocks_done)
            OPERATOR(pg_catalog./) p.blocks_total, 1)
        WHEN p.tuples_total OPERATOR(pg_catalog.>) 0
        THEN pg_catalog.round((100.0 OPERATOR(pg_catalog.*) p.tuples_done)
            OPERATOR(pg_catalog./) p.tuples_total, 1)
    END AS percent_of_phase,
    j.worker, j.recommendation, j.mutation
FROM indexpilot.job AS j
LEFT JOIN pg_catalog.pg_stat_progress_create_index AS p
    ON p.pid OPERATOR(pg_catalog.=) j.worker AND j.state OPERATOR(pg_catalog.=) 'running'
LEFT JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) j.index_oid
LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) j.relation_oid
WHERE pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
   OR pg_catalog.pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW indexpilot.jobs IS 'jobs of tables that you own (all of them for pg_read_all_stats), with phase and progress';
GRANT SELECT ON indexpilot.jobs TO PUBLIC;
