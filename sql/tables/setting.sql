-- What disable() has switched off. No row is ever made by the install script.
CREATE TABLE indexpilot.setting (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    part text NOT NULL CHECK (part OPERATOR(pg_catalog.=) ANY (ARRAY[
        'system', 'capture', 'advisor', 'worker', 'lineage', 'genome',
        'create_index', 'drop_index', 'reindex'])),
    reason text NOT NULL CHECK (reason OPERATOR(pg_catalog.<>) ''),
    role_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    PRIMARY KEY (system_identifier, database_oid, part)
);
COMMENT ON TABLE indexpilot.setting IS 'what disable() has switched off and enable() not yet on again';
COMMENT ON COLUMN indexpilot.setting.system_identifier IS 'the cluster the row was written in; rows of another one have no effect';
COMMENT ON COLUMN indexpilot.setting.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.setting.part IS 'a module or feature, or system for everything';
COMMENT ON COLUMN indexpilot.setting.reason IS 'why it is off';
COMMENT ON COLUMN indexpilot.setting.role_name IS 'who switched it off';
COMMENT ON COLUMN indexpilot.setting.at IS 'when';

SELECT pg_catalog.pg_extension_config_dump('indexpilot.setting', '');
