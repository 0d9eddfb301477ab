CREATE FUNCTION indexpilot.advise(
    queries pg_catalog.text[],
    weights pg_catalog.float8[] DEFAULT NULL,
    storage_budget pg_catalog.int8 DEFAULT NULL,
    max_columns pg_catalog.int4 DEFAULT NULL,
    max_indexes_per_table pg_catalog.int4 DEFAULT NULL,
    min_improvement pg_catalog.float8 DEFAULT NULL,
    max_regression pg_catalog.float8 DEFAULT NULL,
    time_limit pg_catalog.float8 DEFAULT 30,
    goals pg_catalog.text[] DEFAULT NULL
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
COMMENT ON FUNCTION indexpilot.advise(pg_catalog.text[], pg_catalog.float8[], pg_catalog.int8, pg_catalog.int4, pg_catalog.int4, pg_catalog.float8, pg_catalog.float8, pg_catalog.float8, pg_catalog.text[]) IS
    'the best set of indexes for the given statements with their weights, under a storage budget in bytes and the other limits; nothing is captured, stored or built; costs are the planner''s, weighted, sizes are estimates, time_limit is in seconds; goals are minimised in their order, each within what those before it allow: total_cost, max_cost, index_bytes, index_count, write_cost, with a tolerance for later ones as in ''total_cost 10%''; NULL is the setting indexpilot.goals, and without any everything is weighed in time';

CREATE FUNCTION indexpilot.advised_goals() RETURNS TABLE (
    goal pg_catalog.text,
    tolerance_percent pg_catalog.float8,
    unit pg_catalog.text,
    before pg_catalog.float8,
    best pg_catalog.float8,
    bound pg_catalog.float8,
    allowed pg_catalog.float8,
    reached pg_catalog.float8
)
    LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 5
    AS 'MODULE_PATHNAME', 'advised_goals_wrapper';
COMMENT ON FUNCTION indexpilot.advised_goals() IS
    'what the goals of this session''s last advise() came to, in their order: the value as things are, the best that the goals before it leave, what it is proven not to be below (NULL where nothing is), what later goals are allowed to make of it, and the value under the advice; milliseconds are of one run of the list with its weights';
