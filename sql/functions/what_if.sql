CREATE FUNCTION indexpilot.what_if(
    query pg_catalog.text,
    indexes pg_catalog.text[] DEFAULT '{}',
    hide pg_catalog.regclass[] DEFAULT '{}',
    params pg_catalog.text[] DEFAULT NULL
) RETURNS TABLE (
    cost_before pg_catalog.float8,
    cost_after pg_catalog.float8,
    gain_percent pg_catalog.float8,
    index_bytes pg_catalog.int8[],
    indexes_used pg_catalog.text[],
    plan_before pg_catalog.jsonb,
    plan_after pg_catalog.jsonb
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
    AS 'MODULE_PATHNAME', 'what_if_wrapper';
COMMENT ON FUNCTION indexpilot.what_if(pg_catalog.text, pg_catalog.text[], pg_catalog.regclass[], pg_catalog.text[]) IS
    'plans a query as it is, and as if the given CREATE INDEX statements had been run and the hidden indexes were gone; nothing is built, costs and sizes are estimates';

CREATE FUNCTION indexpilot.index_size_estimate(
    definition pg_catalog.text,
    OUT bytes pg_catalog.int8,
    OUT pages pg_catalog.int8,
    OUT tuples pg_catalog.float8,
    OUT height pg_catalog.int4,
    OUT build_cost pg_catalog.float8,
    OUT rough pg_catalog.bool
) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1
    AS 'MODULE_PATHNAME', 'index_size_estimate_wrapper';
COMMENT ON FUNCTION indexpilot.index_size_estimate(pg_catalog.text) IS
    'estimates the size that the index of a CREATE INDEX statement would have after it is built; rough marks access methods whose formula may be off by a factor of two';

CREATE FUNCTION indexpilot.what_if_subsets(
    query pg_catalog.text,
    indexes pg_catalog.text[],
    max_size pg_catalog.int4 DEFAULT 2,
    params pg_catalog.text[] DEFAULT NULL,
    reuse pg_catalog.bool DEFAULT true
) RETURNS TABLE (
    subset pg_catalog.int4[],
    cost pg_catalog.float8,
    used pg_catalog.int4[]
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
    AS 'MODULE_PATHNAME', 'what_if_subsets_wrapper';
COMMENT ON FUNCTION indexpilot.what_if_subsets(pg_catalog.text, pg_catalog.text[], pg_catalog.int4, pg_catalog.text[], pg_catalog.bool) IS
    'plans a query under every subset of up to max_size of the given CREATE INDEX statements: which indexes help together, and which make others useless; subset and used hold positions in the array; reuse = false plans every subset, even where the indexes that differ cannot change the plan';

CREATE FUNCTION indexpilot.what_if_counters(
    OUT requests pg_catalog.int8,
    OUT cache_hits pg_catalog.int8,
    OUT planner_calls pg_catalog.int8,
    OUT retries pg_catalog.int8,
    OUT not_plannable pg_catalog.int8,
    OUT lock_timeout pg_catalog.int8,
    OUT cancelled pg_catalog.int8,
    OUT invalid_index pg_catalog.int8,
    OUT insufficient_privilege pg_catalog.int8,
    OUT other pg_catalog.int8,
    OUT mean_cpu_us pg_catalog.float8,
    OUT mean_planner_cpu_us pg_catalog.float8,
    OUT whole_cluster pg_catalog.bool
) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
    AS 'MODULE_PATHNAME', 'what_if_counters_wrapper';
COMMENT ON FUNCTION indexpilot.what_if_counters() IS
    'counters of the what-if planner since the server started; the view indexpilot.what_if_activity reads them';

CREATE FUNCTION indexpilot.what_if_statement(
    statement pg_catalog.uuid,
    indexes pg_catalog.text[] DEFAULT '{}',
    hide pg_catalog.regclass[] DEFAULT '{}'
) RETURNS TABLE (
    cost_before pg_catalog.float8,
    cost_after pg_catalog.float8,
    gain_percent pg_catalog.float8,
    index_bytes pg_catalog.int8[],
    indexes_used pg_catalog.text[],
    plan_before pg_catalog.jsonb,
    plan_after pg_catalog.jsonb
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
    AS 'MODULE_PATHNAME', 'what_if_statement_wrapper';
REVOKE ALL ON FUNCTION indexpilot.what_if_statement(pg_catalog.uuid, pg_catalog.text[], pg_catalog.regclass[]) FROM PUBLIC;
COMMENT ON FUNCTION indexpilot.what_if_statement(pg_catalog.uuid, pg_catalog.text[], pg_catalog.regclass[]) IS
    'what_if() for a captured statement, planned as the user who ran it, with that session''s settings and parameter samples; for superusers';
