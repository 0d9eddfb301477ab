CREATE FUNCTION indexpilot.cancel(job pg_catalog.uuid) RETURNS pg_catalog.bool
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'cancel_wrapper';
COMMENT ON FUNCTION indexpilot.cancel(pg_catalog.uuid) IS 'ends a job, also while it runs: true when there was something to end. Example: SELECT indexpilot.cancel(id) FROM indexpilot.jobs WHERE state = ''running''';
REVOKE ALL ON FUNCTION indexpilot.cancel(pg_catalog.uuid) FROM PUBLIC;
