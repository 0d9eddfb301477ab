CREATE FUNCTION indexpilot.advise(
    queries pg_catalog.text[],
    weights pg_catalog.float8[] DEFAULT NULL,
    storage_budget pg_catalog.int8 DEFAULT NULL,
    max_columns pg_catalog.int4 DEFAULT NULL,
    max_indexes_per_table pg_catalog.int4 DEFAULT NULL,
    min_improvement pg_catalog.float8 DEFAULT NULL,
    max_regression pg_catalog.float8 DEFAULT NULL,
    time_limit pg_catalog.float8 DEFAULT 30
) RETURNS TABLE (
    definition pg_catalog.text,
    table_name pg_catalog.text,
    benefit_percent pg_catalog.float8,
    cost_before pg_catalog.float8,
    cost_after pg_catalog.float8,
    bytes pg_catalog.int8,
    build_cost pg_catalog.float8,
    write_ms pg_catalog.float8,
    statements pg_catalog.int4[],
    reason pg_catalog.text
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
    AS 'MODULE_PATHNAME', 'advise_wrapper';
COMMENT ON FUNCTION indexpilot.advise(pg_catalog.text[], pg_catalog.float8[], pg_catalog.int8, pg_catalog.int4, pg_catalog.int4, pg_catalog.float8, pg_catalog.float8, pg_catalog.float8) IS
    'the best set of indexes for the given statements with their weights, under a storage budget in bytes and the other limits; nothing is captured, stored or built; costs are the planner''s, weighted, sizes are estimates, time_limit is in seconds';
