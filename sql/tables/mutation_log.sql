-- The lineage: append-only, hash-chained. A row is inserted unsealed (sequence, previous_hash
-- and hash NULL) and sealed when its transaction commits, so that the chain is locked for the
-- length of a commit and not of a transaction. An unsealed row is never visible to others.
CREATE TABLE indexpilot.mutation_log (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    log_oid oid NOT NULL,
    sequence bigint CHECK (sequence OPERATOR(pg_catalog.>) 0),
    at timestamp with time zone NOT NULL,
    kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY[
        'CREATE_INDEX', 'DROP_INDEX', 'REINDEX', 'ANALYZE',
        'CREATE_STATISTICS', 'DROP_STATISTICS', 'ENABLE_FIELD', 'DISABLE_FIELD',
        'INITIALIZE_TENANT', 'SYSTEM_ENABLE', 'SYSTEM_DISABLE', 'SCHEMA_CHANGE',
        'GENOME_CHANGE', 'CONFIGURATION_CHANGE', 'DISMISS', 'PIN_INDEX', 'UNPIN_INDEX',
        'NOTE', 'CHECKPOINT'])),
    phase text NOT NULL CHECK (phase OPERATOR(pg_catalog.=) ANY (ARRAY[
        'intent', 'outcome', 'verdict', 'done'])),
    parent uuid,
    cause text NOT NULL CHECK (cause OPERATOR(pg_catalog.=) ANY (ARRAY[
        'recommendation', 'user', 'schedule', 'revert', 'recovery', 'observed'])),
    recommendation uuid,
    relation_oid oid,
    schema_name text,
    relation_name text,
    index_oid oid,
    index_schema text,
    index_name text,
    tenant text,
    reason text NOT NULL CHECK (reason OPERATOR(pg_catalog.<>) ''),
    evidence jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(evidence) OPERATOR(pg_catalog.=) 'object'),
    inverse jsonb,
    role_name text NOT NULL,
    session_role text NOT NULL,
    application text NOT NULL,
    previous_hash bytea,
    hash bytea,
    UNIQUE (system_identifier, database_oid, log_oid, sequence),
    CONSTRAINT mutation_log_phase_has_parent
        CHECK (phase OPERATOR(pg_catalog.<>) ALL (ARRAY['outcome', 'verdict']) OR parent IS NOT NULL),
    CONSTRAINT mutation_log_sealed_whole
        CHECK ((sequence IS NULL) OPERATOR(pg_catalog.=) (hash IS NULL)
            AND (sequence IS NULL) OPERATOR(pg_catalog.=) (previous_hash IS NULL)),
    -- The digest over everything else. src/store/mutation_log.rs computes the same expression.
    CONSTRAINT mutation_log_hash CHECK (hash OPERATOR(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.jsonb_build_array(id, system_identifier, database_oid, log_oid, sequence,
            (EXTRACT(epoch FROM at) OPERATOR(pg_catalog.*) 1000000)::bigint, kind, phase, parent,
            cause, recommendation, relation_oid, schema_name, relation_name, index_oid,
            index_schema, index_name, tenant, reason, evidence, inverse, role_name,
            session_role, application, pg_catalog.encode(previous_hash, 'hex'))::text, 'UTF8')))
);
COMMENT ON TABLE indexpilot.mutation_log IS 'every change with its cause, evidence and inverse; append-only, verified by verify_log()';
COMMENT ON COLUMN indexpilot.mutation_log.id IS 'lasting identity';
COMMENT ON COLUMN indexpilot.mutation_log.system_identifier IS 'the cluster the row was written in; rows of another one are history only';
COMMENT ON COLUMN indexpilot.mutation_log.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.mutation_log.log_oid IS 'OID of this table when the row was written: every CREATE EXTENSION begins a chain, so that a restore never meets one';
COMMENT ON COLUMN indexpilot.mutation_log.sequence IS 'place in the chain of that cluster, database and log, from 1, in order of commit';
COMMENT ON COLUMN indexpilot.mutation_log.at IS 'when it was written (clock time)';
COMMENT ON COLUMN indexpilot.mutation_log.kind IS 'what changed';
COMMENT ON COLUMN indexpilot.mutation_log.phase IS 'intent (written before), outcome (after), verdict (after measuring), done (with its own transaction)';
COMMENT ON COLUMN indexpilot.mutation_log.parent IS 'the row this one follows from: the intent, or the action taken back';
COMMENT ON COLUMN indexpilot.mutation_log.cause IS 'what made it happen';
COMMENT ON COLUMN indexpilot.mutation_log.recommendation IS 'the recommendation it comes from';
COMMENT ON COLUMN indexpilot.mutation_log.relation_oid IS 'OID of the relation concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.schema_name IS 'schema of the relation concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.relation_name IS 'name of the relation concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.index_oid IS 'OID of the index concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.index_schema IS 'schema of the index concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.index_name IS 'name of the index concerned, as it was';
COMMENT ON COLUMN indexpilot.mutation_log.tenant IS 'the tenant concerned';
COMMENT ON COLUMN indexpilot.mutation_log.reason IS 'why, in a sentence';
COMMENT ON COLUMN indexpilot.mutation_log.evidence IS 'what the decision rested on, or what was measured';
COMMENT ON COLUMN indexpilot.mutation_log.inverse IS 'how it is undone: a typed definition, never SQL text';
COMMENT ON COLUMN indexpilot.mutation_log.role_name IS 'the role that acted';
COMMENT ON COLUMN indexpilot.mutation_log.session_role IS 'the role that had logged in';
COMMENT ON COLUMN indexpilot.mutation_log.application IS 'its application_name';
COMMENT ON COLUMN indexpilot.mutation_log.previous_hash IS 'hash of the row before in the chain; 32 zero bytes for the first';
COMMENT ON COLUMN indexpilot.mutation_log.hash IS 'SHA-256 of all other columns as a JSON array';

CREATE INDEX mutation_log_at ON indexpilot.mutation_log (at);
CREATE INDEX mutation_log_parent ON indexpilot.mutation_log (parent);
CREATE INDEX mutation_log_index ON indexpilot.mutation_log (index_name);
CREATE INDEX mutation_log_relation ON indexpilot.mutation_log (relation_name);
CREATE INDEX mutation_log_tenant ON indexpilot.mutation_log (tenant);

REVOKE ALL ON TABLE indexpilot.mutation_log FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.mutation_log', '');

CREATE FUNCTION indexpilot.mutation_log_guard() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'mutation_log_guard_wrapper';
COMMENT ON FUNCTION indexpilot.mutation_log_guard() IS 'refuses to change the mutation log';
REVOKE ALL ON FUNCTION indexpilot.mutation_log_guard() FROM PUBLIC;

CREATE FUNCTION indexpilot.mutation_log_seal() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'mutation_log_seal_wrapper';
COMMENT ON FUNCTION indexpilot.mutation_log_seal() IS 'gives a new row of the mutation log its place in the hash chain';
REVOKE ALL ON FUNCTION indexpilot.mutation_log_seal() FROM PUBLIC;

-- By row too, because logical replication fires row triggers only.
CREATE TRIGGER guard_rows BEFORE INSERT OR UPDATE OR DELETE ON indexpilot.mutation_log
    FOR EACH ROW EXECUTE FUNCTION indexpilot.mutation_log_guard();
CREATE TRIGGER guard_statements BEFORE UPDATE OR DELETE OR TRUNCATE ON indexpilot.mutation_log
    FOR EACH STATEMENT EXECUTE FUNCTION indexpilot.mutation_log_guard();
CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON indexpilot.mutation_log
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION indexpilot.mutation_log_seal();
ALTER TABLE indexpilot.mutation_log
    ENABLE ALWAYS TRIGGER guard_rows,
    ENABLE ALWAYS TRIGGER guard_statements,
    ENABLE ALWAYS TRIGGER seal;
