CREATE FUNCTION indexpilot.version() RETURNS pg_catalog.text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'version_wrapper';
COMMENT ON FUNCTION indexpilot.version() IS 'version of the loaded library (the SQL objects'' version is in pg_extension)';
