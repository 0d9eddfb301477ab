-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION indexpilot" to load this file. \quit

-- The schema is ours alone. CREATE EXTENSION makes it where it is missing and otherwise takes
-- the one it finds, which somebody else may own or have filled with look-alikes of our objects.
-- An empty one of the installing role is taken: pg_dump restores the schema before the extension.
DO $$
DECLARE
    found pg_catalog.text;
BEGIN
    SELECT pg_catalog.format('It belongs to %I, who is no superuser.', r.rolname)
    INTO found
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'indexpilot' AND NOT r.rolsuper;
    IF found IS NULL THEN
        SELECT pg_catalog.format('It holds %s.',
            pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid))
        INTO found
        FROM pg_catalog.pg_depend AS d
        WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
          AND d.refobjid OPERATOR(pg_catalog.=) 'indexpilot'::pg_catalog.regnamespace
          AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass
        LIMIT 1;
    END IF;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_schema',
            MESSAGE = 'schema "indexpilot" already exists and is in use',
            DETAIL = found,
            HINT = 'Rename or drop that schema, then run CREATE EXTENSION indexpilot again.';
    END IF;
END
$$;

REVOKE ALL ON SCHEMA indexpilot FROM PUBLIC;
GRANT USAGE ON SCHEMA indexpilot TO PUBLIC;
COMMENT ON SCHEMA indexpilot IS 'IndexPilot: runs the indexes of this database by itself';
