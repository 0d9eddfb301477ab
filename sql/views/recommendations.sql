-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made, and stored by OID.
CREATE VIEW indexpilot.recommendations WITH (security_barrier) AS
SELECT r.id, r.state, r.action, format('%I.%I', r.schema_name, r.relation_name) AS table_name,
    r.definition,
    -- Whoever owns a table need not see the statements of others.
    CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN r.reason
        ELSE regexp_replace(r.reason, ', most in .*$', '') END AS reason,
    round((100 * r.benefit)::numeric, 1) AS benefit_percent,
    make_interval(secs => round(r.saved_ms_per_day::numeric / 1000, 3)::double precision) AS saved_per_day,
    pg_size_pretty(r.bytes) AS size,
    make_interval(secs => round(r.build_ms::numeric / 1000, 3)::double precision) AS build_time,
    make_interval(secs => round(r.write_ms_per_day::numeric / 1000, 3)::double precision) AS upkeep_per_day,
    ceil(r.break_even_calls)::bigint AS pays_above_calls_per_day,
    round(r.confidence::numeric, 2) AS confidence,
    jsonb_array_length(r.evidence -> 'statements') AS statements,
    jsonb_array_length(r.evidence -> 'tenants') AS tenants,
    r.rule AS rule_of_thumb, r.state_reason, r.state_since,
    r.first_seen, r.last_seen, r.times_seen
FROM indexpilot.recommendation AS r
LEFT JOIN pg_class AS c ON c.oid = r.relation_oid
WHERE r.system_identifier = (SELECT system_identifier FROM pg_control_system())
  AND r.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (pg_has_role('pg_read_all_stats', 'USAGE') OR pg_has_role(c.relowner, 'USAGE'))
ORDER BY CASE r.state WHEN 'proposed' THEN 1 WHEN 'approved' THEN 2 WHEN 'building' THEN 2
        WHEN 'validating' THEN 3 WHEN 'kept' THEN 4 ELSE 5 END,
    r.saved_ms_per_day DESC, r.id;
COMMENT ON VIEW indexpilot.recommendations IS 'what is advised for tables that you own (all of them for pg_read_all_stats) and what became of it: open ones first, those that save most first; times, sizes and savings are estimates';
GRANT SELECT ON TABLE indexpilot.recommendations TO PUBLIC;

-- Of the last analysis.
CREATE VIEW indexpilot.refused WITH (security_barrier) AS
SELECT f.definition, f.rule,
    CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN f.reason
        ELSE regexp_replace(f.reason, 'use it for .*, which gets', 'use it for a statement, which gets') END AS reason,
    make_interval(secs => round(f.saved_ms_per_day::numeric / 1000, 3)::double precision) AS would_save_per_day,
    jsonb_array_length(f.statements) AS statements, a.finished_at AS analysed_at
FROM (SELECT l.refused, l.finished_at FROM indexpilot.analysis AS l
    WHERE l.system_identifier = (SELECT system_identifier FROM pg_control_system())
      AND l.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ORDER BY l.started_at DESC LIMIT 1) AS a
CROSS JOIN LATERAL jsonb_to_recordset(a.refused) AS f (relation oid, definition text, rule text,
    reason text, saved_ms_per_day double precision, statements jsonb)
LEFT JOIN pg_class AS c ON c.oid = f.relation
WHERE pg_has_role('pg_read_all_stats', 'USAGE') OR pg_has_role(c.relowner, 'USAGE')
ORDER BY f.saved_ms_per_day DESC, f.definition;
COMMENT ON VIEW indexpilot.refused IS 'indexes that the last analysis thought of and refused, with the rule that decided and the reason, for tables that you own (all of them for pg_read_all_stats)';
GRANT SELECT ON TABLE indexpilot.refused TO PUBLIC;

CREATE VIEW indexpilot.not_analysed AS
SELECT n.what, n.why, a.finished_at AS analysed_at
FROM (SELECT l.not_analysed, l.finished_at FROM indexpilot.analysis AS l
    WHERE l.system_identifier = (SELECT system_identifier FROM pg_control_system())
      AND l.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ORDER BY l.started_at DESC LIMIT 1) AS a
CROSS JOIN LATERAL jsonb_to_recordset(a.not_analysed) AS n (what text, why text)
UNION ALL
SELECT CASE WHEN length(s.query) > 80 THEN left(s.query, 80) || '…' ELSE s.query END,
    s.not_analysable, s.last_seen
FROM indexpilot.statement AS s
WHERE s.not_analysable IS NOT NULL;
COMMENT ON VIEW indexpilot.not_analysed IS 'statements and relations that the last analysis, or capture, left out, each with the reason';
REVOKE ALL ON TABLE indexpilot.not_analysed FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.not_analysed TO pg_read_all_stats;

CREATE VIEW indexpilot.goals AS
SELECT g.place, g.goal ->> 'goal' AS goal,
    (100 * (g.goal ->> 'tolerance')::double precision)::numeric(6, 2) AS tolerance_percent,
    g.goal ->> 'unit' AS unit, (g.goal ->> 'before')::double precision AS before,
    (g.goal ->> 'best')::double precision AS best, (g.goal ->> 'bound')::double precision AS bound,
    (g.goal ->> 'allowed')::double precision AS allowed,
    (g.goal ->> 'reached')::double precision AS reached, a.finished_at AS analysed_at
FROM (SELECT l.goals, l.finished_at FROM indexpilot.analysis AS l
    WHERE l.system_identifier = (SELECT system_identifier FROM pg_control_system())
      AND l.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ORDER BY l.started_at DESC LIMIT 1) AS a
CROSS JOIN LATERAL jsonb_array_elements(a.goals) WITH ORDINALITY AS g (goal, place);
COMMENT ON VIEW indexpilot.goals IS 'what the goals of indexpilot.goals came to in the last analysis, in their order: the value as things are, the best that the goals before it leave, what it is proven not to be below (NULL where nothing is), what later goals are allowed to make of it, and the value under the advice; ms are a day';
REVOKE ALL ON TABLE indexpilot.goals FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.goals TO pg_read_all_stats;
