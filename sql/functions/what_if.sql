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
