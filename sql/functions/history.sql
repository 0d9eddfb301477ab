CREATE FUNCTION indexpilot.import_pg_stat_statements()
    RETURNS TABLE (
        outcome pg_catalog.text,
        reason pg_catalog.text,
        statements pg_catalog.int8,
        calls pg_catalog.int8,
        total_ms pg_catalog.float8)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'import_pg_stat_statements_wrapper';
COMMENT ON FUNCTION indexpilot.import_pg_stat_statements() IS
    'takes over this database''s history from pg_stat_statements, less what was captured here in the same time, and says how many statements were imported, or skipped and why; again replaces the last import; for the database''s owner with the rights of pg_read_all_stats. Unqualified names are resolved with the search_path set for the role or the database, else the session''s';
REVOKE ALL ON FUNCTION indexpilot.import_pg_stat_statements() FROM PUBLIC;
