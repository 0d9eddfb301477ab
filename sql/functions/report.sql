CREATE FUNCTION indexpilot.report(format text DEFAULT 'text') RETURNS text
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'write_report_wrapper';
COMMENT ON FUNCTION indexpilot.report(text) IS 'what was measured, changed and gained, as text, json or html (one self-contained file); every table names the query behind it';
REVOKE ALL ON FUNCTION indexpilot.report(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.report(text) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.metrics() RETURNS text
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'metrics_wrapper';
COMMENT ON FUNCTION indexpilot.metrics() IS 'metrics of this database in Prometheus'' text format';
REVOKE ALL ON FUNCTION indexpilot.metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.metrics() TO pg_read_all_stats;

CREATE FUNCTION indexpilot.health(OUT "check" text, OUT state text, OUT finding text, OUT remedy text) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'health_wrapper';
COMMENT ON FUNCTION indexpilot.health() IS 'what an operator should look at: one row a check (ok, warning or critical), with what was found and what to do';
REVOKE ALL ON FUNCTION indexpilot.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.health() TO pg_read_all_stats;
