-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made, and stored by OID.
CREATE FUNCTION indexpilot.lint(query pg_catalog.text, search_path pg_catalog.text DEFAULT NULL)
    RETURNS TABLE (
        rule pg_catalog.text,
        found pg_catalog.text,
        why pg_catalog.text,
        rewrite pg_catalog.text,
        statement pg_catalog.text)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 2
    AS 'MODULE_PATHNAME', 'lint_wrapper';
COMMENT ON FUNCTION indexpilot.lint(pg_catalog.text, pg_catalog.text) IS
    'patterns of a statement that no index can help, or that hide one: what was found, why it matters, what to write in its place where that returns the same rows, and the whole statement so. The text is read, never run; a statement that cannot be read gives one row without a rule that says why. Names are resolved with search_path, or the session''s';

CREATE VIEW indexpilot.statement_lint AS
SELECT s.id AS statement, s.role_name AS role,
    CASE WHEN length(s.query) > 1000 THEN left(s.query, 999) || '…' ELSE s.query END AS query,
    l.rule, l.found, l.why, l.rewrite
FROM indexpilot.statement AS s
LEFT JOIN indexpilot.statement_source AS o ON o.statement = s.id
CROSS JOIN LATERAL indexpilot.lint(s.query,
    replace(o.search_path, '"$user"', quote_ident(s.role_name))) AS l
WHERE s.kind <> 'utility'
  AND (pg_has_role('pg_read_all_stats', 'USAGE') OR s.role_name = current_user)
ORDER BY s.last_seen DESC, s.id;
COMMENT ON VIEW indexpilot.statement_lint IS 'findings of lint() in the statements that ran; rule is NULL where a statement could not be read, and why says why. Your own statements, or all with the rights of pg_read_all_stats';
GRANT SELECT ON TABLE indexpilot.statement_lint TO PUBLIC;
