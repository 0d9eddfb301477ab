CREATE FUNCTION indexpilot.verify_log(
    expected_sequence bigint DEFAULT NULL,
    expected_hash text DEFAULT NULL,
    OUT sequence bigint, OUT id uuid, OUT problem text, OUT detail text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'verify_log_wrapper';
COMMENT ON FUNCTION indexpilot.verify_log(bigint, text) IS 'one row for each sign that the mutation log was tampered with; none when it is whole. Given a place and hash noted earlier (log_head()), it checks that they are still there';
REVOKE ALL ON FUNCTION indexpilot.verify_log(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.verify_log(bigint, text) TO pg_monitor;

CREATE FUNCTION indexpilot.log_head(OUT sequence bigint, OUT hash text, OUT at timestamp with time zone)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'log_head_wrapper';
COMMENT ON FUNCTION indexpilot.log_head() IS 'newest place in the chain of the mutation log and its hash: note them elsewhere, and verify_log(sequence, hash) shows later whether the end was cut off';
REVOKE ALL ON FUNCTION indexpilot.log_head() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.log_head() TO pg_monitor;

CREATE FUNCTION indexpilot.annotate(note text, mutation uuid DEFAULT NULL) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'annotate_wrapper';
COMMENT ON FUNCTION indexpilot.annotate(text, uuid) IS 'writes a remark into the mutation log, on an entry or on its own (a deployment, a migration), and gives its identity';
REVOKE ALL ON FUNCTION indexpilot.annotate(text, uuid) FROM PUBLIC;
