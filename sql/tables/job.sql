-- What the worker has to do, is doing, and has done. Written by functions of ours alone.
CREATE TABLE indexpilot.job (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    requested_by text NOT NULL,
    purpose text NOT NULL CHECK (purpose OPERATOR(pg_catalog.=) ANY (ARRAY[
        'advice', 'operator', 'revert', 'schedule'])),
    recommendation uuid,
    parent uuid,
    intent jsonb NOT NULL,
    relation_oid oid NOT NULL,
    schema_name text NOT NULL,
    relation_name text NOT NULL,
    state text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY[
        'queued', 'waiting', 'running', 'cleaning', 'succeeded', 'failed', 'refused',
        'cancelled'])),
    phase text NOT NULL,
    attempts integer NOT NULL,
    not_before timestamp with time zone NOT NULL,
    reason text,
    worker integer,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    mutation uuid,
    index_oid oid,
    bystanders oid[] NOT NULL
);
COMMENT ON TABLE indexpilot.job IS 'what the worker has to do, is doing and has done; read it through the view jobs';
COMMENT ON COLUMN indexpilot.job.id IS 'lasting identity';
COMMENT ON COLUMN indexpilot.job.system_identifier IS 'the cluster the row was written in; rows of another one are never acted on';
COMMENT ON COLUMN indexpilot.job.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.job.requested_at IS 'when it was queued';
COMMENT ON COLUMN indexpilot.job.requested_by IS 'the role that asked';
COMMENT ON COLUMN indexpilot.job.purpose IS 'advice (by itself), operator (apply, rollback), revert (taking back what hurt), schedule';
COMMENT ON COLUMN indexpilot.job.recommendation IS 'the recommendation it carries out';
COMMENT ON COLUMN indexpilot.job.parent IS 'the entry of mutation_log that it takes back';
COMMENT ON COLUMN indexpilot.job.intent IS 'what to do, typed; DDL is written from it, no text is executed';
COMMENT ON COLUMN indexpilot.job.relation_oid IS 'OID of the table';
COMMENT ON COLUMN indexpilot.job.schema_name IS 'schema of the table';
COMMENT ON COLUMN indexpilot.job.relation_name IS 'name of the table';
COMMENT ON COLUMN indexpilot.job.state IS 'queued, waiting (for what reason says), running, cleaning (a leftover has to go first), then succeeded, failed, refused or cancelled';
COMMENT ON COLUMN indexpilot.job.phase IS 'what exactly is being done';
COMMENT ON COLUMN indexpilot.job.attempts IS 'how often it was started';
COMMENT ON COLUMN indexpilot.job.not_before IS 'it is not tried before';
COMMENT ON COLUMN indexpilot.job.reason IS 'why it waits, or how it ended';
COMMENT ON COLUMN indexpilot.job.worker IS 'process id of the worker that runs it';
COMMENT ON COLUMN indexpilot.job.started_at IS 'when it was last started';
COMMENT ON COLUMN indexpilot.job.finished_at IS 'when it ended';
COMMENT ON COLUMN indexpilot.job.mutation IS 'its intent in mutation_log';
COMMENT ON COLUMN indexpilot.job.index_oid IS 'the index built, rebuilt or dropped';
COMMENT ON COLUMN indexpilot.job.bystanders IS 'invalid indexes of the table that were there before and are not ours to clean';

CREATE INDEX job_due ON indexpilot.job (not_before)
    WHERE state OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'waiting', 'running', 'cleaning']);

REVOKE ALL ON TABLE indexpilot.job FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.job', '');

-- How often each safeguard said no, for its monitoring.
CREATE TABLE indexpilot.safeguard (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    name text NOT NULL,
    refused bigint NOT NULL,
    delayed bigint NOT NULL,
    last_at timestamp with time zone NOT NULL,
    last_reason text NOT NULL,
    PRIMARY KEY (system_identifier, database_oid, name)
);
COMMENT ON TABLE indexpilot.safeguard IS 'how often each safeguard refused or delayed an action; read it through the view safeguards';
COMMENT ON COLUMN indexpilot.safeguard.system_identifier IS 'the cluster';
COMMENT ON COLUMN indexpilot.safeguard.database_oid IS 'the database';
COMMENT ON COLUMN indexpilot.safeguard.name IS 'the safeguard';
COMMENT ON COLUMN indexpilot.safeguard.refused IS 'times it said no for good';
COMMENT ON COLUMN indexpilot.safeguard.delayed IS 'times it said later';
COMMENT ON COLUMN indexpilot.safeguard.last_at IS 'when it last did';
COMMENT ON COLUMN indexpilot.safeguard.last_reason IS 'what it last said';
REVOKE ALL ON TABLE indexpilot.safeguard FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.safeguard', '');
