-- The schemas whose fields are the genome. New relations in them join it by themselves.
CREATE TABLE indexpilot.genome_schema (
    schema_name text NOT NULL PRIMARY KEY,
    schema_oid oid NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    created_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE indexpilot.genome_schema IS 'schemas whose fields make up the genome';
COMMENT ON COLUMN indexpilot.genome_schema.schema_name IS 'schema';
COMMENT ON COLUMN indexpilot.genome_schema.schema_oid IS 'its OID, found again by name after a restore';
COMMENT ON COLUMN indexpilot.genome_schema.system_identifier IS 'the cluster that the OID belongs to';
COMMENT ON COLUMN indexpilot.genome_schema.database_oid IS 'the database that the OID belongs to';
COMMENT ON COLUMN indexpilot.genome_schema.created_at IS 'since when';
REVOKE ALL ON TABLE indexpilot.genome_schema FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.genome_schema TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.genome_schema', '');

CREATE TABLE indexpilot.genome_catalog (
    id uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    relation_oid oid NOT NULL,
    attribute_number smallint NOT NULL,
    schema_name text NOT NULL,
    relation_name text NOT NULL,
    field_name text NOT NULL,
    type_name text NOT NULL,
    required boolean NOT NULL,
    obstacle text,
    index_allowed boolean NOT NULL,
    indexable boolean NOT NULL GENERATED ALWAYS AS (obstacle IS NULL AND index_allowed) STORED,
    default_expression boolean NOT NULL,
    feature_group text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE indexpilot.genome_catalog IS 'the canonical schema, one row a field; kept in step with the catalog';
COMMENT ON COLUMN indexpilot.genome_catalog.id IS 'lasting identity of the field: it survives renames, moves and restores';
COMMENT ON COLUMN indexpilot.genome_catalog.system_identifier IS 'the cluster that the OID belongs to';
COMMENT ON COLUMN indexpilot.genome_catalog.database_oid IS 'the database that the OID belongs to';
COMMENT ON COLUMN indexpilot.genome_catalog.relation_oid IS 'OID of the relation, found again by name after a restore';
COMMENT ON COLUMN indexpilot.genome_catalog.attribute_number IS 'number of the attribute (attnum)';
COMMENT ON COLUMN indexpilot.genome_catalog.schema_name IS 'schema of the relation';
COMMENT ON COLUMN indexpilot.genome_catalog.relation_name IS 'relation: a table, a partitioned table (partitions follow it) or a materialised view';
COMMENT ON COLUMN indexpilot.genome_catalog.field_name IS 'field';
COMMENT ON COLUMN indexpilot.genome_catalog.type_name IS 'type with modifier, as format_type() writes it';
COMMENT ON COLUMN indexpilot.genome_catalog.required IS 'NOT NULL';
COMMENT ON COLUMN indexpilot.genome_catalog.obstacle IS 'why no index can have the field as a key, where that is so';
COMMENT ON COLUMN indexpilot.genome_catalog.index_allowed IS 'false: the operator wants it in no index of ours';
COMMENT ON COLUMN indexpilot.genome_catalog.indexable IS 'no obstacle, and allowed';
COMMENT ON COLUMN indexpilot.genome_catalog.default_expression IS 'whether a new tenant uses it';
COMMENT ON COLUMN indexpilot.genome_catalog.feature_group IS 'the feature of the application that it belongs to';
COMMENT ON COLUMN indexpilot.genome_catalog.created_at IS 'when it joined the genome';
COMMENT ON COLUMN indexpilot.genome_catalog.updated_at IS 'when anything above last changed';
-- Not unique: names and numbers may be swapped by one statement of a migration.
CREATE INDEX genome_catalog_relation ON indexpilot.genome_catalog (relation_oid, attribute_number);
CREATE INDEX genome_catalog_name ON indexpilot.genome_catalog (relation_name, field_name);
REVOKE ALL ON TABLE indexpilot.genome_catalog FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.genome_catalog TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.genome_catalog', '');
