CREATE FUNCTION indexpilot.genome_bootstrap(schemas text[] DEFAULT NULL, OUT schemas_known bigint, OUT relations bigint, OUT fields bigint) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'genome_bootstrap_wrapper';
COMMENT ON FUNCTION indexpilot.genome_bootstrap(text[]) IS 'adds schemas (all of users, where none is named) to the genome, and gives its size';
REVOKE ALL ON FUNCTION indexpilot.genome_bootstrap(text[]) FROM PUBLIC;

CREATE FUNCTION indexpilot.genome_refresh(OUT change text, OUT before text, OUT after text, OUT type_before text, OUT type_after text) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'genome_refresh_wrapper';
COMMENT ON FUNCTION indexpilot.genome_refresh() IS 'makes the genome follow the catalog now (the worker does it by itself), and shows what changed';
REVOKE ALL ON FUNCTION indexpilot.genome_refresh() FROM PUBLIC;

CREATE FUNCTION indexpilot.genome_load(description jsonb) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'genome_load_wrapper';
COMMENT ON FUNCTION indexpilot.genome_load(jsonb) IS 'loads a schema description: feature groups, what is not to be indexed, what new tenants use. All problems are listed at once; gives the number of fields changed';
REVOKE ALL ON FUNCTION indexpilot.genome_load(jsonb) FROM PUBLIC;

CREATE FUNCTION indexpilot.genome_describe() RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'genome_describe_wrapper';
COMMENT ON FUNCTION indexpilot.genome_describe() IS 'the genome as a description that genome_load() reads';
REVOKE ALL ON FUNCTION indexpilot.genome_describe() FROM PUBLIC;

CREATE FUNCTION indexpilot.genome_validate(relation text, "values" jsonb DEFAULT '{}', OUT field text, OUT problem text, OUT suggestion text) RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'genome_validate_wrapper';
COMMENT ON FUNCTION indexpilot.genome_validate(text, jsonb) IS 'checks a relation and values for its fields against the genome: one row a problem, with the name that was probably meant; none where all fits, or where the genome is empty';
REVOKE ALL ON FUNCTION indexpilot.genome_validate(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indexpilot.genome_validate(text, jsonb) TO pg_read_all_stats;

CREATE FUNCTION indexpilot.initialize_tenant(tenant text, like_tenant text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'initialize_tenant_wrapper';
COMMENT ON FUNCTION indexpilot.initialize_tenant(text, text) IS 'gives a tenant a profile (the genome''s defaults, or as another tenant), and tells how many fields it uses';
REVOKE ALL ON FUNCTION indexpilot.initialize_tenant(text, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.initialize_tenants(tenants text[], like_tenant text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'initialize_tenants_wrapper';
COMMENT ON FUNCTION indexpilot.initialize_tenants(text[], text) IS 'gives many tenants a profile';
REVOKE ALL ON FUNCTION indexpilot.initialize_tenants(text[], text) FROM PUBLIC;

CREATE FUNCTION indexpilot.enable_field(tenant text, relation text, field text, reason text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'enable_field_wrapper';
COMMENT ON FUNCTION indexpilot.enable_field(text, text, text, text) IS 'says that a tenant uses a field; true when that is news';
REVOKE ALL ON FUNCTION indexpilot.enable_field(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.disable_field(tenant text, relation text, field text, reason text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'disable_field_wrapper';
COMMENT ON FUNCTION indexpilot.disable_field(text, text, text, text) IS 'says that a tenant does not use a field; true when that is news';
REVOKE ALL ON FUNCTION indexpilot.disable_field(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.enable_fields(tenants text[], fields text[], reason text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'enable_fields_wrapper';
COMMENT ON FUNCTION indexpilot.enable_fields(text[], text[], text) IS 'the same for many tenants and fields (relation.field, schema.relation.field or relation.*); gives the number of switches';
REVOKE ALL ON FUNCTION indexpilot.enable_fields(text[], text[], text) FROM PUBLIC;

CREATE FUNCTION indexpilot.disable_fields(tenants text[], fields text[], reason text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'disable_fields_wrapper';
COMMENT ON FUNCTION indexpilot.disable_fields(text[], text[], text) IS 'the same for many tenants and fields (relation.field, schema.relation.field or relation.*); gives the number of switches';
REVOKE ALL ON FUNCTION indexpilot.disable_fields(text[], text[], text) FROM PUBLIC;

CREATE FUNCTION indexpilot.verify_profile(OUT tenant text, OUT field uuid, OUT declared boolean, OUT replayed boolean) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'verify_profile_wrapper';
COMMENT ON FUNCTION indexpilot.verify_profile() IS 'where expression_profile is not what replaying the mutation log gives; no row when it is whole';
REVOKE ALL ON FUNCTION indexpilot.verify_profile() FROM PUBLIC;
