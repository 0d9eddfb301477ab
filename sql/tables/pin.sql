-- Indexes that an operator has pinned: never dropped by us. No row is ever made by the
-- install script.
CREATE TABLE indexpilot.pin (
    schema_name text NOT NULL,
    index_name text NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    index_oid oid NOT NULL,
    reason text,
    role_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    PRIMARY KEY (schema_name, index_name)
);
COMMENT ON TABLE indexpilot.pin IS 'indexes that an operator has pinned; change it with pin() and unpin()';
COMMENT ON COLUMN indexpilot.pin.schema_name IS 'schema of the index';
COMMENT ON COLUMN indexpilot.pin.index_name IS 'name of the index; an index of that name is pinned, also after a restore';
COMMENT ON COLUMN indexpilot.pin.system_identifier IS 'the cluster that the OID belongs to';
COMMENT ON COLUMN indexpilot.pin.database_oid IS 'the database that the OID belongs to';
COMMENT ON COLUMN indexpilot.pin.index_oid IS 'OID of the index, so that a renamed one stays pinned';
COMMENT ON COLUMN indexpilot.pin.reason IS 'why';
COMMENT ON COLUMN indexpilot.pin.role_name IS 'who pinned it';
COMMENT ON COLUMN indexpilot.pin.at IS 'when';
REVOKE ALL ON TABLE indexpilot.pin FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.pin TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.pin', '');
