CREATE VIEW indexpilot.verifications WITH (security_barrier) AS
SELECT v.mutation, v.state, v.reason, v.kind,
    v.intent OPERATOR(pg_catalog.#>>) '{relation,schema}' AS schema,
    v.intent OPERATOR(pg_catalog.#>>) '{relation,name}' AS relation,
    v.predicted_ms_per_day, v.measured_ms_per_day, v.gain, v.gain_lower, v.gain_upper, v.used,
    v.amcheck, v.looks, v.after_from AS since, v.next_look, v.expires_at, v.recommendation
FROM indexpilot.verification AS v
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=)
    (v.intent OPERATOR(pg_catalog.#>>) '{relation,oid}')::oid
WHERE pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
   OR pg_catalog.pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW indexpilot.verifications IS 'predicted and measured effect of actions on tables that you own (all of them for pg_read_all_stats)';
GRANT SELECT ON indexpilot.verifications TO PUBLIC;
