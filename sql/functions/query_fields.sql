CREATE FUNCTION indexpilot.query_fields(query pg_catalog.text)
    RETURNS TABLE (
        statement pg_catalog.int4,
        level pg_catalog.int4,
        relation pg_catalog.text,
        field pg_catalog.text,
        role pg_catalog.text,
        operator pg_catalog.text,
        comparand pg_catalog.text,
        disjunction pg_catalog.int4,
        branch pg_catalog.int4,
        "position" pg_catalog.int4)
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'query_fields_wrapper';
COMMENT ON FUNCTION indexpilot.query_fields(pg_catalog.text) IS
    'which fields the statements of a text use, and how: role, operator with the field on its left, what it is compared with; the text is analysed as the caller, never executed or stored';
