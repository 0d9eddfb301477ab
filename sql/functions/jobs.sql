CREATE FUNCTION indexpilot.cancel(job pg_catalog.uuid) RETURNS pg_catalog.bool
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'cancel_wrapper';
COMMENT ON FUNCTION indexpilot.cancel(pg_catalog.uuid) IS 'ends a job, also while it runs: true when there was something to end. Example: SELECT indexpilot.cancel(id) FROM indexpilot.jobs WHERE state = ''running''';
REVOKE ALL ON FUNCTION indexpilot.cancel(pg_catalog.uuid) FROM PUBLIC;

CREATE FUNCTION indexpilot.rollback(mutation pg_catalog.uuid) RETURNS pg_catalog.uuid
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'rollback_mutation_wrapper';
COMMENT ON FUNCTION indexpilot.rollback(pg_catalog.uuid) IS 'queues the exact inverse of a mutation and gives the job. Example: SELECT indexpilot.rollback(mutation) FROM indexpilot.jobs WHERE index = ''ip_contacts_email''';
REVOKE ALL ON FUNCTION indexpilot.rollback(pg_catalog.uuid) FROM PUBLIC;

CREATE FUNCTION indexpilot.rollback_preview(mutation pg_catalog.uuid) RETURNS pg_catalog.text
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'rollback_preview_wrapper';
COMMENT ON FUNCTION indexpilot.rollback_preview(pg_catalog.uuid) IS 'what rollback() would run';
REVOKE ALL ON FUNCTION indexpilot.rollback_preview(pg_catalog.uuid) FROM PUBLIC;
