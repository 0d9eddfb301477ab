-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made (search_path: pg_catalog, then our own schema), and stored by OID.
CREATE VIEW indexpilot.mutations AS
SELECT m.id, m.at, m.kind,
    CASE WHEN m.phase = 'done' THEN 'done'
        WHEN v.id IS NOT NULL THEN v.evidence ->> 'verdict'
        WHEN o.id IS NOT NULL THEN o.evidence ->> 'outcome'
        ELSE 'open' END AS state,
    m.schema_name AS schema, m.relation_name AS relation, m.index_name AS index, m.tenant,
    m.cause, m.reason,
    o.reason AS outcome, o.at AS outcome_at,
    (o.evidence ->> 'milliseconds')::float8 AS duration_ms,
    (o.evidence ->> 'bytes')::bigint AS bytes,
    v.reason AS verdict, v.at AS verdict_at,
    (m.evidence ->> 'estimated_saving_ms_per_day')::float8 AS estimated_saving_ms_per_day,
    (v.evidence ->> 'gain')::float8 AS measured_gain,
    r.id AS reverted_by, m.parent, m.recommendation,
    m.role_name AS role, m.session_role, m.application, m.evidence, m.inverse, m.sequence
FROM indexpilot.mutation_log AS m
LEFT JOIN LATERAL (
    SELECT l.* FROM indexpilot.mutation_log AS l
    WHERE l.parent = m.id AND l.phase = 'outcome' ORDER BY l.at DESC LIMIT 1) AS o ON true
LEFT JOIN LATERAL (
    SELECT l.* FROM indexpilot.mutation_log AS l
    WHERE l.parent = m.id AND l.phase = 'verdict' ORDER BY l.at DESC LIMIT 1) AS v ON true
LEFT JOIN LATERAL (
    SELECT l.id FROM indexpilot.mutation_log AS l
    WHERE l.parent = m.id AND l.phase IN ('intent', 'done') AND l.cause = 'revert'
    ORDER BY l.at DESC LIMIT 1) AS r ON true
WHERE m.phase IN ('intent', 'done');
COMMENT ON VIEW indexpilot.mutations IS 'the mutation log, one row an action: what became of it, how it was judged, what took it back';
REVOKE ALL ON TABLE indexpilot.mutations FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.mutations TO pg_read_all_stats;
GRANT SELECT ON TABLE indexpilot.mutation_log TO pg_read_all_stats;

CREATE FUNCTION indexpilot.recent_mutations(
    number integer DEFAULT 20, of_relation text DEFAULT NULL, of_tenant text DEFAULT NULL)
    RETURNS SETOF indexpilot.mutations
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT m.* FROM indexpilot.mutations AS m
    WHERE (of_relation IS NULL OR m.relation = of_relation OR m.schema || '.' || m.relation = of_relation)
      AND (of_tenant IS NULL OR m.tenant = of_tenant)
    ORDER BY m.at DESC, m.sequence DESC LIMIT number;
END;
COMMENT ON FUNCTION indexpilot.recent_mutations(integer, text, text) IS 'the newest actions, also of one table (name or schema.name) or one tenant; for roles with pg_read_all_stats';
REVOKE ALL ON FUNCTION indexpilot.recent_mutations(integer, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.recent_mutations(integer, text, text) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.mutation_summary(
    since timestamp with time zone DEFAULT now() - '7 days'::interval,
    of_relation text DEFAULT NULL, of_tenant text DEFAULT NULL,
    OUT kind text, OUT cause text, OUT actions bigint, OUT succeeded bigint, OUT gave_way bigint,
    OUT failed bigint, OUT open bigint, OUT kept bigint, OUT reverted bigint,
    OUT first_at timestamp with time zone, OUT last_at timestamp with time zone)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT m.kind, m.cause, count(*),
        count(*) FILTER (WHERE m.state IN ('done', 'succeeded', 'kept', 'inconclusive', 'reverted')),
        count(*) FILTER (WHERE m.state = 'gave_way'),
        count(*) FILTER (WHERE m.state = 'failed'),
        count(*) FILTER (WHERE m.state = 'open'),
        count(*) FILTER (WHERE m.state = 'kept'),
        count(*) FILTER (WHERE m.state = 'reverted' OR m.reverted_by IS NOT NULL),
        min(m.at), max(m.at)
    FROM indexpilot.mutations AS m
    WHERE m.at >= since
      AND (of_relation IS NULL OR m.relation = of_relation OR m.schema || '.' || m.relation = of_relation)
      AND (of_tenant IS NULL OR m.tenant = of_tenant)
    GROUP BY m.kind, m.cause ORDER BY count(*) DESC, m.kind, m.cause;
END;
COMMENT ON FUNCTION indexpilot.mutation_summary(timestamp with time zone, text, text) IS 'actions since a moment by kind and cause, and how they ended; also of one table or one tenant';
REVOKE ALL ON FUNCTION indexpilot.mutation_summary(timestamp with time zone, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.mutation_summary(timestamp with time zone, text, text) TO pg_read_all_stats;
