-- What the coverage run asks of each statement: the conditions that EXPLAIN shows, and the
-- fields that query_fields() found. Said by INFO, which no rollback takes back.
CREATE SCHEMA coverage;
GRANT USAGE ON SCHEMA coverage TO PUBLIC;
CREATE FUNCTION coverage.look(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE plan json; fields json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON, VERBOSE, COSTS OFF) ' || statement INTO plan;
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('field', f.field, 'role', f.role))
        INTO fields FROM indexpilot.query_fields(statement) AS f;
    RAISE INFO 'COVERAGE %', pg_catalog.json_build_object('statement', statement,
        'plan', plan, 'fields', fields)::jsonb;
EXCEPTION WHEN others THEN NULL;
END $$;
