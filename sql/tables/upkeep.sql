-- Sizes of indexes, for finding those that have swollen. Not dumped: a restore builds every
-- index anew.
CREATE TABLE indexpilot.index_size (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    index_oid oid NOT NULL,
    relation_oid oid NOT NULL,
    file_node oid NOT NULL,
    measured_at timestamp with time zone NOT NULL,
    fresh boolean NOT NULL,
    bytes bigint NOT NULL,
    tuples double precision NOT NULL,
    best_at timestamp with time zone,
    best_bytes bigint,
    best_tuples double precision,
    PRIMARY KEY (system_identifier, database_oid, index_oid)
);
COMMENT ON TABLE indexpilot.index_size IS 'how large each index is a row, and was at its best; read it through the view index_sizes';
COMMENT ON COLUMN indexpilot.index_size.system_identifier IS 'the cluster';
COMMENT ON COLUMN indexpilot.index_size.database_oid IS 'the database';
COMMENT ON COLUMN indexpilot.index_size.index_oid IS 'the index';
COMMENT ON COLUMN indexpilot.index_size.relation_oid IS 'its table';
COMMENT ON COLUMN indexpilot.index_size.file_node IS 'its file; another one means that it was rebuilt';
COMMENT ON COLUMN indexpilot.index_size.measured_at IS 'when it was last measured';
COMMENT ON COLUMN indexpilot.index_size.fresh IS 'the server''s row count was not outdated by more than a tenth then; otherwise nothing is concluded';
COMMENT ON COLUMN indexpilot.index_size.bytes IS 'its size';
COMMENT ON COLUMN indexpilot.index_size.tuples IS 'its live entries, as of the last VACUUM or ANALYZE';
COMMENT ON COLUMN indexpilot.index_size.best_at IS 'when it was smallest a row since it was built; empty where that is not known';
COMMENT ON COLUMN indexpilot.index_size.best_bytes IS 'its size then';
COMMENT ON COLUMN indexpilot.index_size.best_tuples IS 'its live entries then';
REVOKE ALL ON TABLE indexpilot.index_size FROM PUBLIC;

-- When what is done on a schedule was done last.
CREATE TABLE indexpilot.schedule (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    duty text NOT NULL CHECK (duty OPERATOR(pg_catalog.=) 'reindex'),
    done_at timestamp with time zone NOT NULL,
    PRIMARY KEY (system_identifier, database_oid, duty)
);
COMMENT ON TABLE indexpilot.schedule IS 'when what is done on a schedule was done last';
COMMENT ON COLUMN indexpilot.schedule.system_identifier IS 'the cluster';
COMMENT ON COLUMN indexpilot.schedule.database_oid IS 'the database';
COMMENT ON COLUMN indexpilot.schedule.duty IS 'reindex: looking for bloated indexes';
COMMENT ON COLUMN indexpilot.schedule.done_at IS 'when it was last done';
REVOKE ALL ON TABLE indexpilot.schedule FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.schedule', '');

-- What the worker itself takes.
CREATE TABLE indexpilot.worker_time (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    hour timestamp with time zone NOT NULL,
    duty text NOT NULL CHECK (duty OPERATOR(pg_catalog.=) ANY (ARRAY[
        'saving', 'analysing', 'acting', 'tidying'])),
    elapsed_ms double precision NOT NULL,
    cpu_ms double precision,
    PRIMARY KEY (system_identifier, database_oid, hour, duty)
);
COMMENT ON TABLE indexpilot.worker_time IS 'time that the worker took; read it through the view maintenance_share';
COMMENT ON COLUMN indexpilot.worker_time.system_identifier IS 'the cluster';
COMMENT ON COLUMN indexpilot.worker_time.database_oid IS 'the database';
COMMENT ON COLUMN indexpilot.worker_time.hour IS 'start of the hour';
COMMENT ON COLUMN indexpilot.worker_time.duty IS 'saving statistics, analysing, acting (DDL and verdicts) or tidying';
COMMENT ON COLUMN indexpilot.worker_time.elapsed_ms IS 'elapsed time, waits included';
COMMENT ON COLUMN indexpilot.worker_time.cpu_ms IS 'CPU time of the worker; that of parallel helpers of a build is not in it';
REVOKE ALL ON TABLE indexpilot.worker_time FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.worker_time', '');
