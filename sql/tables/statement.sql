-- Statements that were seen: one row a statement, user and level. Identity lasts over restarts,
-- dumps and major versions; OIDs and query identifiers are attributes.
CREATE TABLE indexpilot.statement (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    identity bigint NOT NULL,
    memory_id bigint NOT NULL,
    query_id bigint NOT NULL,
    role_name text NOT NULL,
    role_oid oid NOT NULL,
    top_level boolean NOT NULL,
    kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY[
        'select', 'insert', 'update', 'delete', 'merge', 'utility'])),
    query text NOT NULL,
    relations text[] NOT NULL,
    not_analysable text,
    first_seen timestamp with time zone NOT NULL,
    last_seen timestamp with time zone NOT NULL,
    errors bigint NOT NULL,
    plannings bigint NOT NULL,
    planning_ms double precision NOT NULL,
    UNIQUE (system_identifier, database_oid, identity, role_name, top_level)
);
COMMENT ON TABLE indexpilot.statement IS 'statements that were seen, by user and level';
COMMENT ON COLUMN indexpilot.statement.id IS 'lasting key';
COMMENT ON COLUMN indexpilot.statement.system_identifier IS 'the cluster the row was written in; rows of another one are history only';
COMMENT ON COLUMN indexpilot.statement.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.statement.identity IS 'hash of the normalised text, the relations and the search_path';
COMMENT ON COLUMN indexpilot.statement.memory_id IS 'what counters in shared memory went by when it was last seen: a hash of its tree, good for one version of the library and as long as OIDs stay';
COMMENT ON COLUMN indexpilot.statement.query_id IS 'the query identifier when last seen, as in pg_stat_activity and pg_stat_statements; 0 where it had none; of utility statements a hash of the tag';
COMMENT ON COLUMN indexpilot.statement.role_name IS 'who ran it';
COMMENT ON COLUMN indexpilot.statement.role_oid IS 'OID of that role when last seen';
COMMENT ON COLUMN indexpilot.statement.top_level IS 'sent by a client; false: run by a function or another statement';
COMMENT ON COLUMN indexpilot.statement.kind IS 'select, insert, update, delete, merge or utility';
COMMENT ON COLUMN indexpilot.statement.query IS 'text with constants replaced; the command tag of utility statements';
COMMENT ON COLUMN indexpilot.statement.relations IS 'relations used, qualified and quoted';
COMMENT ON COLUMN indexpilot.statement.not_analysable IS 'why its fields are unknown; NULL when they are known';
COMMENT ON COLUMN indexpilot.statement.first_seen IS 'when it was first seen';
COMMENT ON COLUMN indexpilot.statement.last_seen IS 'when counters last moved, to the flush interval';
COMMENT ON COLUMN indexpilot.statement.errors IS 'executions that ended with an error';
COMMENT ON COLUMN indexpilot.statement.plannings IS 'times it was planned';
COMMENT ON COLUMN indexpilot.statement.planning_ms IS 'time spent planning, milliseconds';
REVOKE ALL ON TABLE indexpilot.statement FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.statement TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.statement', '');

-- What planning a statement again needs. Not dumped: trees hold OIDs, samples hold values.
CREATE TABLE indexpilot.statement_source (
    statement uuid NOT NULL PRIMARY KEY,
    captured_at timestamp with time zone NOT NULL,
    server_version integer NOT NULL,
    tree text NOT NULL,
    shape jsonb NOT NULL,
    search_path text NOT NULL,
    settings jsonb NOT NULL,
    parameter_types oid[] NOT NULL,
    own_parameters integer NOT NULL,
    own_lists integer NOT NULL,
    form bigint NOT NULL,
    samples jsonb NOT NULL,
    evidence jsonb NOT NULL,
    constants jsonb NOT NULL
);
COMMENT ON TABLE indexpilot.statement_source IS 'analysed tree, settings and parameter samples of statements, for planning them again; never dumped';
COMMENT ON COLUMN indexpilot.statement_source.statement IS 'the statement';
COMMENT ON COLUMN indexpilot.statement_source.captured_at IS 'when the tree was taken';
COMMENT ON COLUMN indexpilot.statement_source.server_version IS 'server_version_num that wrote the tree; another major version does not read it';
COMMENT ON COLUMN indexpilot.statement_source.tree IS 'the rewritten query with comparison values as parameters (nodeToString)';
COMMENT ON COLUMN indexpilot.statement_source.shape IS 'fields and their roles (QueryShape)';
COMMENT ON COLUMN indexpilot.statement_source.search_path IS 'search_path when it was seen';
COMMENT ON COLUMN indexpilot.statement_source.settings IS 'planning settings when it was seen';
COMMENT ON COLUMN indexpilot.statement_source.parameter_types IS 'types of all parameters of the tree';
COMMENT ON COLUMN indexpilot.statement_source.own_parameters IS 'how many of them the statement has itself; the others stand for constants';
COMMENT ON COLUMN indexpilot.statement_source.own_lists IS 'lists made of parameters of the statement itself; of any length, as far as statements are told apart';
COMMENT ON COLUMN indexpilot.statement_source.form IS 'hash of the tree without values; a sample is of a tree of the same form';
COMMENT ON COLUMN indexpilot.statement_source.samples IS 'arrays of parameter values in output form; empty with sample_parameters off';
COMMENT ON COLUMN indexpilot.statement_source.evidence IS 'by number of the use in the shape: samples seen and how often each of the first values; empty with sample_parameters off';
COMMENT ON COLUMN indexpilot.statement_source.constants IS 'fields that were compared with the same value in 95 % of the samples or more';
REVOKE ALL ON indexpilot.statement_source FROM PUBLIC;

-- What verification compares: executions by time, statement and plan.
CREATE TABLE indexpilot.statement_stats (
    statement uuid NOT NULL,
    bucket timestamp with time zone NOT NULL,
    plan bigint NOT NULL,
    calls bigint NOT NULL,
    rows bigint NOT NULL,
    total_ms double precision NOT NULL,
    square_ms double precision NOT NULL,
    min_ms double precision NOT NULL,
    max_ms double precision NOT NULL,
    cost double precision NOT NULL,
    shared_hit bigint NOT NULL,
    shared_read bigint NOT NULL,
    shared_dirtied bigint NOT NULL,
    shared_written bigint NOT NULL,
    temp_read bigint NOT NULL,
    temp_written bigint NOT NULL,
    wal_bytes bigint NOT NULL,
    histogram jsonb NOT NULL,
    PRIMARY KEY (statement, bucket, plan)
);
CREATE INDEX statement_stats_bucket ON indexpilot.statement_stats (bucket);
COMMENT ON TABLE indexpilot.statement_stats IS 'executions by time bucket, statement and plan';
COMMENT ON COLUMN indexpilot.statement_stats.statement IS 'the statement';
COMMENT ON COLUMN indexpilot.statement_stats.bucket IS 'start of the bucket: five minutes, an hour after a day';
COMMENT ON COLUMN indexpilot.statement_stats.plan IS 'fingerprint of the plan shape; 0 is unknown';
COMMENT ON COLUMN indexpilot.statement_stats.calls IS 'executions that ended without error';
COMMENT ON COLUMN indexpilot.statement_stats.rows IS 'rows returned or changed';
COMMENT ON COLUMN indexpilot.statement_stats.total_ms IS 'time in the executor, milliseconds';
COMMENT ON COLUMN indexpilot.statement_stats.square_ms IS 'sum of squares of the times, square milliseconds';
COMMENT ON COLUMN indexpilot.statement_stats.min_ms IS 'shortest execution, milliseconds';
COMMENT ON COLUMN indexpilot.statement_stats.max_ms IS 'longest execution, milliseconds';
COMMENT ON COLUMN indexpilot.statement_stats.cost IS 'sum of the planner''s costs of the plans run';
COMMENT ON COLUMN indexpilot.statement_stats.shared_hit IS 'shared blocks found in the cache';
COMMENT ON COLUMN indexpilot.statement_stats.shared_read IS 'shared blocks read';
COMMENT ON COLUMN indexpilot.statement_stats.shared_dirtied IS 'shared blocks dirtied';
COMMENT ON COLUMN indexpilot.statement_stats.shared_written IS 'shared blocks written';
COMMENT ON COLUMN indexpilot.statement_stats.temp_read IS 'temporary blocks read';
COMMENT ON COLUMN indexpilot.statement_stats.temp_written IS 'temporary blocks written';
COMMENT ON COLUMN indexpilot.statement_stats.wal_bytes IS 'bytes of WAL written';
COMMENT ON COLUMN indexpilot.statement_stats.histogram IS 'latency histogram: bucket number to count (log-linear, sixteen steps in a power of two from 1.024 µs)';
REVOKE ALL ON TABLE indexpilot.statement_stats FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.statement_stats TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.statement_stats', '');

-- Which indexes a plan reads. Not dumped: OIDs mean nothing elsewhere.
CREATE TABLE indexpilot.statement_plan (
    statement uuid NOT NULL,
    plan bigint NOT NULL,
    indexes oid[] NOT NULL,
    PRIMARY KEY (statement, plan)
);
COMMENT ON TABLE indexpilot.statement_plan IS 'the indexes that plans read; a plan with more than eight, or planned before it could be seen, is missing';
COMMENT ON COLUMN indexpilot.statement_plan.statement IS 'the statement';
COMMENT ON COLUMN indexpilot.statement_plan.plan IS 'the plan''s shape, as in statement_stats';
COMMENT ON COLUMN indexpilot.statement_plan.indexes IS 'OIDs of the indexes';
REVOKE ALL ON indexpilot.statement_plan FROM PUBLIC;

-- The expression of the genome: use of fields by time, tenant, role and kind of statement.
CREATE TABLE indexpilot.query_stats (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    bucket timestamp with time zone NOT NULL,
    tenant text NOT NULL,
    relation text NOT NULL,
    relation_oid oid NOT NULL,
    field text NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    calls bigint NOT NULL,
    rows bigint NOT NULL,
    total_ms double precision NOT NULL,
    rows_filtered double precision,
    PRIMARY KEY (system_identifier, database_oid, bucket, tenant, relation, field, role, kind)
);
CREATE INDEX query_stats_bucket ON indexpilot.query_stats (bucket);
-- What tenants and fields are asked by. No indexed column ever changes, so updates stay heap-only.
CREATE INDEX query_stats_tenant ON indexpilot.query_stats (tenant, relation_oid, field, bucket);
CREATE INDEX query_stats_field ON indexpilot.query_stats (relation_oid, field);
COMMENT ON TABLE indexpilot.query_stats IS 'use of fields by time bucket, tenant, role and kind of statement';
COMMENT ON COLUMN indexpilot.query_stats.system_identifier IS 'the cluster the row was written in';
COMMENT ON COLUMN indexpilot.query_stats.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.query_stats.bucket IS 'start of the bucket: five minutes, an hour after a day';
COMMENT ON COLUMN indexpilot.query_stats.tenant IS 'the tenant; empty where none was known';
COMMENT ON COLUMN indexpilot.query_stats.relation IS 'the relation, qualified and quoted';
COMMENT ON COLUMN indexpilot.query_stats.relation_oid IS 'its OID when last seen';
COMMENT ON COLUMN indexpilot.query_stats.field IS 'attribute or expression';
COMMENT ON COLUMN indexpilot.query_stats.role IS 'how it is used; "constant" beside its own role where it is compared with nearly always the same value';
COMMENT ON COLUMN indexpilot.query_stats.kind IS 'kind of the statements';
COMMENT ON COLUMN indexpilot.query_stats.calls IS 'executions of statements that use the field so';
COMMENT ON COLUMN indexpilot.query_stats.rows IS 'rows that these statements returned or changed';
COMMENT ON COLUMN indexpilot.query_stats.total_ms IS 'time of these statements, milliseconds; a statement with several fields counts for each';
COMMENT ON COLUMN indexpilot.query_stats.rows_filtered IS 'rows that scans read and filters over the field threw away, for conditions over several relations pairs that joins threw away: an estimate from sampled executions, NULL where none was looked at or no filter checked the condition';
REVOKE ALL ON TABLE indexpilot.query_stats FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.query_stats TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.query_stats', '');

-- Work by tenant and statement.
CREATE TABLE indexpilot.tenant_stats (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    bucket timestamp with time zone NOT NULL,
    tenant text NOT NULL,
    statement uuid NOT NULL,
    calls bigint NOT NULL,
    rows bigint NOT NULL,
    total_ms double precision NOT NULL,
    PRIMARY KEY (system_identifier, database_oid, bucket, tenant, statement)
);
CREATE INDEX tenant_stats_bucket ON indexpilot.tenant_stats (bucket);
COMMENT ON TABLE indexpilot.tenant_stats IS 'executions by time bucket, tenant and statement';
COMMENT ON COLUMN indexpilot.tenant_stats.system_identifier IS 'the cluster the row was written in';
COMMENT ON COLUMN indexpilot.tenant_stats.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.tenant_stats.bucket IS 'start of the bucket: five minutes, an hour after a day';
COMMENT ON COLUMN indexpilot.tenant_stats.tenant IS 'the tenant''s key as text, cut to 48 bytes';
COMMENT ON COLUMN indexpilot.tenant_stats.statement IS 'the statement';
COMMENT ON COLUMN indexpilot.tenant_stats.calls IS 'executions for the tenant';
COMMENT ON COLUMN indexpilot.tenant_stats.rows IS 'rows returned or changed';
COMMENT ON COLUMN indexpilot.tenant_stats.total_ms IS 'time in the executor, milliseconds';
REVOKE ALL ON TABLE indexpilot.tenant_stats FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.tenant_stats TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.tenant_stats', '');
