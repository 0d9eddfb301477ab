-- What the coverage run asks of each statement: the conditions that EXPLAIN shows, the fields that
-- query_fields() found, and which of the plan's relations are children of which. Said by INFO,
-- which no rollback takes back.
CREATE SCHEMA coverage;
GRANT USAGE ON SCHEMA coverage TO PUBLIC;
CREATE FUNCTION coverage.look(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE plan json; fields json; parents json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON, VERBOSE, COSTS OFF) ' || statement INTO plan;
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'relation', f.relation, 'field', f.field, 'role', f.role))
        INTO fields FROM indexpilot.query_fields(statement) AS f;
    WITH RECURSIVE above (child, parent) AS (
            SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits AS i
            JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                AND pg_catalog.strpos(plan::text, '"' || c.relname || '"') > 0
        UNION
            SELECT above.child, i.inhparent FROM above
            JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.parent)
    SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
            cs.nspname || '.' || c.relname, ps.nspname || '.' || p.relname))
        INTO parents FROM above
        JOIN pg_catalog.pg_class AS c ON c.oid = above.child
        JOIN pg_catalog.pg_namespace AS cs ON cs.oid = c.relnamespace
        JOIN pg_catalog.pg_class AS p ON p.oid = above.parent
        JOIN pg_catalog.pg_namespace AS ps ON ps.oid = p.relnamespace;
    RAISE INFO 'COVERAGE %', pg_catalog.json_build_object('statement', statement,
        'plan', plan, 'fields', fields, 'parents', parents)::jsonb;
EXCEPTION WHEN others THEN NULL;
END $$;
