CREATE VIEW indexpilot.what_if_activity AS
    SELECT c.requests,
        c.cache_hits,
        c.planner_calls,
        c.retries,
        c.not_plannable,
        c.lock_timeout,
        c.cancelled,
        c.invalid_index,
        c.insufficient_privilege,
        c.other,
        CASE WHEN c.requests OPERATOR(pg_catalog.>) 0 THEN
            -- All operators written in this form bind alike, so each step has its parentheses.
            1.0::pg_catalog.float8 OPERATOR(pg_catalog.-) ((c.not_plannable OPERATOR(pg_catalog.+) c.lock_timeout
                OPERATOR(pg_catalog.+) c.cancelled OPERATOR(pg_catalog.+) c.invalid_index
                OPERATOR(pg_catalog.+) c.insufficient_privilege OPERATOR(pg_catalog.+) c.other)::pg_catalog.float8
                OPERATOR(pg_catalog./) c.requests::pg_catalog.float8)
        END AS success_rate,
        d.decisions,
        d.planner_share,
        c.mean_cpu_us,
        c.mean_planner_cpu_us,
        c.whole_cluster
    FROM indexpilot.what_if_counters() AS c
    CROSS JOIN (
        SELECT pg_catalog.count(*) AS decisions,
            pg_catalog.avg(a.verified::pg_catalog.int4)::pg_catalog.float8 AS planner_share
        FROM indexpilot.analysis AS a
        WHERE a.empty_because IS NULL
            AND a.database_oid OPERATOR(pg_catalog.=) (
                SELECT b.oid FROM pg_catalog.pg_database AS b
                WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    ) AS d;
COMMENT ON VIEW indexpilot.what_if_activity IS
    'how often the planner was asked what-if, how often the cache answered, what failed and why, how many analyses of this database advised something and which share of them rests on plans of every statement under exactly that advice, and the mean CPU time of an evaluation in microseconds (measured on one round in sixteen)';
GRANT SELECT ON indexpilot.what_if_activity TO PUBLIC;
