-- No foreign keys: the genome drops what is gone itself, and a restore fills tables in any order.
CREATE TABLE indexpilot.expression_tenant (
    tenant text NOT NULL PRIMARY KEY CHECK (tenant OPERATOR(pg_catalog.<>) ''),
    tenant_key bigint NOT NULL,
    initialized_at timestamp with time zone NOT NULL,
    mutation uuid NOT NULL
);
COMMENT ON TABLE indexpilot.expression_tenant IS 'tenants with a declared profile';
COMMENT ON COLUMN indexpilot.expression_tenant.tenant IS 'the tenant, as its key reads in text';
COMMENT ON COLUMN indexpilot.expression_tenant.tenant_key IS 'hash of the key, by which capture knows the tenant';
COMMENT ON COLUMN indexpilot.expression_tenant.initialized_at IS 'when it got its profile';
COMMENT ON COLUMN indexpilot.expression_tenant.mutation IS 'the entry of the mutation log';
CREATE INDEX expression_tenant_key ON indexpilot.expression_tenant (tenant_key);
REVOKE ALL ON TABLE indexpilot.expression_tenant FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.expression_tenant TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.expression_tenant', '');

CREATE TABLE indexpilot.expression_profile (
    tenant text NOT NULL,
    field uuid NOT NULL,
    enabled boolean NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    mutation uuid NOT NULL,
    PRIMARY KEY (tenant, field)
);
COMMENT ON TABLE indexpilot.expression_profile IS 'which fields each tenant uses, as declared; tenant_fields() compares it with what was observed';
COMMENT ON COLUMN indexpilot.expression_profile.tenant IS 'the tenant';
COMMENT ON COLUMN indexpilot.expression_profile.field IS 'the field (genome_catalog.id)';
COMMENT ON COLUMN indexpilot.expression_profile.enabled IS 'whether the tenant uses it';
COMMENT ON COLUMN indexpilot.expression_profile.changed_at IS 'since when';
COMMENT ON COLUMN indexpilot.expression_profile.mutation IS 'the entry of the mutation log that made it so';
CREATE INDEX expression_profile_field ON indexpilot.expression_profile (field);
CREATE INDEX expression_profile_disabled ON indexpilot.expression_profile (tenant, field) WHERE NOT enabled;
CREATE INDEX expression_profile_mutation ON indexpilot.expression_profile (mutation);
REVOKE ALL ON TABLE indexpilot.expression_profile FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.expression_profile TO pg_read_all_stats;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.expression_profile', '');
