-- What is advised, and what became of it. Written by functions of ours alone.
CREATE TABLE indexpilot.recommendation (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    identity bigint NOT NULL,
    action text NOT NULL CHECK (action OPERATOR(pg_catalog.=) ANY (ARRAY[
        'create', 'drop', 'reindex', 'analyze', 'create statistics', 'drop statistics'])),
    state text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY[
        'proposed', 'approved', 'building', 'validating', 'kept', 'reverted', 'dismissed',
        'expired', 'failed', 'superseded'])),
    state_reason text,
    state_since timestamp with time zone NOT NULL,
    relation_oid oid NOT NULL,
    schema_name text NOT NULL,
    relation_name text NOT NULL,
    definition text NOT NULL,
    intent jsonb NOT NULL,
    benefit double precision NOT NULL,
    saved_ms_per_day double precision NOT NULL,
    bytes bigint NOT NULL,
    build_ms double precision NOT NULL,
    write_ms_per_day double precision NOT NULL,
    break_even_calls double precision,
    confidence double precision NOT NULL,
    reason text NOT NULL,
    rule text NOT NULL,
    evidence jsonb NOT NULL,
    reverts integer NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    last_seen timestamp with time zone NOT NULL,
    times_seen integer NOT NULL,
    UNIQUE (system_identifier, database_oid, identity)
);
COMMENT ON TABLE indexpilot.recommendation IS 'what is advised and what became of it; read it through analyze(), explain() and the view recommendations';
COMMENT ON COLUMN indexpilot.recommendation.id IS 'lasting key';
COMMENT ON COLUMN indexpilot.recommendation.system_identifier IS 'the cluster the row was written in; rows of another one are never acted on';
COMMENT ON COLUMN indexpilot.recommendation.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.recommendation.identity IS 'hash of action and definition: the same advice keeps its row over runs';
COMMENT ON COLUMN indexpilot.recommendation.action IS 'create, drop, reindex, analyze, create statistics or drop statistics';
COMMENT ON COLUMN indexpilot.recommendation.state IS 'proposed, approved, building, validating, kept, reverted, dismissed, expired, failed or superseded';
COMMENT ON COLUMN indexpilot.recommendation.state_reason IS 'why it is in that state';
COMMENT ON COLUMN indexpilot.recommendation.state_since IS 'since when';
COMMENT ON COLUMN indexpilot.recommendation.relation_oid IS 'OID of the table';
COMMENT ON COLUMN indexpilot.recommendation.schema_name IS 'schema of the table';
COMMENT ON COLUMN indexpilot.recommendation.relation_name IS 'name of the table';
COMMENT ON COLUMN indexpilot.recommendation.definition IS 'the index, for people; never executed';
COMMENT ON COLUMN indexpilot.recommendation.intent IS 'what to do, typed; DDL is written from it';
COMMENT ON COLUMN indexpilot.recommendation.benefit IS 'share of the time of the statements concerned that it saves, 0 to 1 (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.saved_ms_per_day IS 'statement time that it saves a day, milliseconds (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.bytes IS 'size it would have, or that a drop frees (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.build_ms IS 'time that building takes, milliseconds (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.write_ms_per_day IS 'what it adds to writes a day, lost HOT updates included, milliseconds (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.break_even_calls IS 'calls a day of the statements concerned at which it would just pay, at the present write rate (estimate)';
COMMENT ON COLUMN indexpilot.recommendation.confidence IS 'how much stands behind the numbers, 0 to 1';
COMMENT ON COLUMN indexpilot.recommendation.reason IS 'why, in a sentence';
COMMENT ON COLUMN indexpilot.recommendation.rule IS 'what the rule of thumb (queries times cost against build cost) says, for comparison';
COMMENT ON COLUMN indexpilot.recommendation.evidence IS 'statements with the gain of each, tenants, refused alternatives';
COMMENT ON COLUMN indexpilot.recommendation.reverts IS 'how often it was carried out and undone';
COMMENT ON COLUMN indexpilot.recommendation.first_seen IS 'when it was first advised';
COMMENT ON COLUMN indexpilot.recommendation.last_seen IS 'when it was last advised';
COMMENT ON COLUMN indexpilot.recommendation.times_seen IS 'how many analyses advised it';
REVOKE ALL ON TABLE indexpilot.recommendation FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.recommendation', '');

-- One row an analysis: what it looked at, what it left out and refused, and why.
CREATE TABLE indexpilot.analysis (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    statements integer NOT NULL,
    options integer NOT NULL,
    planner_calls bigint NOT NULL,
    before_ms_per_day double precision NOT NULL,
    after_ms_per_day double precision NOT NULL,
    gap double precision NOT NULL,
    verified boolean NOT NULL,
    empty_because text,
    refused jsonb NOT NULL,
    not_analysed jsonb NOT NULL,
    goals jsonb NOT NULL DEFAULT '[]',
    caution jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX analysis_started ON indexpilot.analysis (started_at);
COMMENT ON TABLE indexpilot.analysis IS 'one row an analysis: what it looked at, what it refused and left out, and why';
COMMENT ON COLUMN indexpilot.analysis.id IS 'lasting key';
COMMENT ON COLUMN indexpilot.analysis.system_identifier IS 'the cluster the row was written in';
COMMENT ON COLUMN indexpilot.analysis.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.analysis.started_at IS 'when it began';
COMMENT ON COLUMN indexpilot.analysis.finished_at IS 'when it ended';
COMMENT ON COLUMN indexpilot.analysis.statements IS 'statements looked at';
COMMENT ON COLUMN indexpilot.analysis.options IS 'indexes chosen among';
COMMENT ON COLUMN indexpilot.analysis.planner_calls IS 'times that the planner was asked';
COMMENT ON COLUMN indexpilot.analysis.before_ms_per_day IS 'time of statements and index upkeep a day as things are, milliseconds (estimate)';
COMMENT ON COLUMN indexpilot.analysis.after_ms_per_day IS 'the same under the advice (estimate)';
COMMENT ON COLUMN indexpilot.analysis.gap IS 'no other choice is better by more than this share, proven';
COMMENT ON COLUMN indexpilot.analysis.verified IS 'the planner was asked for every statement under exactly this choice';
COMMENT ON COLUMN indexpilot.analysis.empty_because IS 'why nothing is advised; NULL where something is';
COMMENT ON COLUMN indexpilot.analysis.refused IS 'indexes that were thought of and refused, each with the reason';
COMMENT ON COLUMN indexpilot.analysis.not_analysed IS 'statements and relations that were left out, each with the reason';
COMMENT ON COLUMN indexpilot.analysis.goals IS 'what each of the ordered goals came to; empty where there were none; read it through the view goals';
COMMENT ON COLUMN indexpilot.analysis.caution IS 'planner cost units that nested loops were believed to take more than the planner says: for each descent, each heap fetch out of physical order and each in it; and the pairs of statements measured before and after our builds (pairs) that these come from, 0 where they are what other machines showed; empty where nothing was analysed';
REVOKE ALL ON TABLE indexpilot.analysis FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.analysis', '');
