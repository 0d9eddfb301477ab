CREATE FUNCTION indexpilot.analyze(
    wait pg_catalog.float8 DEFAULT 30,
    OUT id pg_catalog.uuid, OUT action pg_catalog.text, OUT table_name pg_catalog.text,
    OUT definition pg_catalog.text, OUT benefit_percent pg_catalog.float8,
    OUT saved_ms_per_day pg_catalog.float8, OUT bytes pg_catalog.int8,
    OUT build_ms pg_catalog.float8, OUT write_ms_per_day pg_catalog.float8,
    OUT break_even_calls pg_catalog.float8, OUT confidence pg_catalog.float8,
    OUT statements pg_catalog.int4, OUT tenants pg_catalog.int4,
    OUT reason pg_catalog.text, OUT state pg_catalog.text
) RETURNS SETOF pg_catalog.record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'analyze_wrapper';
COMMENT ON FUNCTION indexpilot.analyze(pg_catalog.float8) IS
    'has the worker analyse what was captured, waits up to the given seconds, and lists what it advises on tables that you own (or all, with pg_read_all_stats); with 0 it only lists';

CREATE FUNCTION indexpilot.explain(id pg_catalog.uuid) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'explain_wrapper';
COMMENT ON FUNCTION indexpilot.explain(pg_catalog.uuid) IS
    'a recommendation as text: reason, deciding rule, numbers, the statements behind it with the gain, plans before and after and lint of each, tenants, the alternatives refused and why';

CREATE FUNCTION indexpilot.preview(id pg_catalog.uuid) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'preview_wrapper';
COMMENT ON FUNCTION indexpilot.preview(pg_catalog.uuid) IS
    'the command that carrying out a recommendation would run; nothing is run';

CREATE FUNCTION indexpilot.apply(id pg_catalog.uuid) RETURNS pg_catalog.uuid
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'apply_wrapper';
COMMENT ON FUNCTION indexpilot.apply(pg_catalog.uuid) IS
    'approves a recommendation and queues the job that carries it out; gives the job; the table must be yours';
REVOKE ALL ON FUNCTION indexpilot.apply(pg_catalog.uuid) FROM PUBLIC;

CREATE FUNCTION indexpilot.dismiss(id pg_catalog.uuid, reason pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'dismiss_wrapper';
COMMENT ON FUNCTION indexpilot.dismiss(pg_catalog.uuid, pg_catalog.text) IS
    'says no to a recommendation, with the reason: it is not advised again; the table must be yours';
REVOKE ALL ON FUNCTION indexpilot.dismiss(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;
