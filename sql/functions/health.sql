CREATE FUNCTION indexpilot.status(
    OUT module text, OUT desired text, OUT actual text, OUT reason text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'status_wrapper';
COMMENT ON FUNCTION indexpilot.status() IS 'what each module is asked to do, what it does, and why it is off or the two differ; then the launcher and this database''s worker as they are now, and the circuit breaker';

CREATE FUNCTION indexpilot.disable(reason text, module text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'disable_wrapper';
COMMENT ON FUNCTION indexpilot.disable(text, text) IS 'switches IndexPilot, a module or a feature off in this database, until enable(); true when it was on';
REVOKE ALL ON FUNCTION indexpilot.disable(text, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.enable(module text DEFAULT NULL, reason text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'enable_wrapper';
COMMENT ON FUNCTION indexpilot.enable(text, text) IS 'switches on again what disable() has switched off; true when it was';
REVOKE ALL ON FUNCTION indexpilot.enable(text, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.attach() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'attach_wrapper';
COMMENT ON FUNCTION indexpilot.attach() IS 'makes this database known to the running server; CREATE EXTENSION and the worker call it; false when library and SQL objects differ in version';
REVOKE ALL ON FUNCTION indexpilot.attach() FROM PUBLIC;

CREATE FUNCTION indexpilot.counters_since() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    BEGIN ATOMIC
        SELECT GREATEST(w.stats_reset, (
            SELECT d.stats_reset FROM pg_catalog.pg_stat_database AS d
            WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
        FROM pg_catalog.pg_stat_wal AS w;
    END;
COMMENT ON FUNCTION indexpilot.counters_since() IS 'since when the server counts scans of indexes and changes of rows in this database: since they were reset, or lost in a crash; a clean restart keeps them';
