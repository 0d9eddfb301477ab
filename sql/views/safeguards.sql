-- Operators and functions of pg_catalog stand as they are: names are resolved once, when the
-- extension is made, and stored by OID.
CREATE VIEW indexpilot.safeguards AS
SELECT n.name, coalesce(s.refused, 0) AS refused,
    coalesce(s.delayed, 0) + CASE n.name WHEN 'watchdog' THEN g.number ELSE 0 END AS delayed,
    CASE n.name WHEN 'verification' THEN r.number ELSE 0 END AS reverted,
    coalesce(s.last_at, CASE n.name WHEN 'watchdog' THEN g.at WHEN 'verification' THEN r.at END)
        AS last_at,
    coalesce(s.last_reason, CASE n.name WHEN 'watchdog' THEN g.reason
        WHEN 'verification' THEN r.reason END) AS last_reason
FROM unnest(ARRAY['bypass', 'scope', 'window', 'rate', 'load', 'locks', 'space', 'breaker',
    'dwell', 'watchdog', 'verification']) WITH ORDINALITY AS n (name, place)
LEFT JOIN indexpilot.safeguard AS s ON s.name = n.name
CROSS JOIN (SELECT count(*) AS number, max(m.at) AS at,
        (array_agg(m.reason ORDER BY m.at DESC))[1] AS reason
    FROM indexpilot.mutation_log AS m
    WHERE m.phase = 'outcome' AND m.reason LIKE 'gave way to a client%') AS g
CROSS JOIN (SELECT count(*) AS number, max(m.at) AS at,
        (array_agg(m.reason ORDER BY m.at DESC))[1] AS reason
    FROM indexpilot.mutation_log AS m
    WHERE m.phase = 'verdict' AND m.evidence ->> 'verdict' = 'reverted') AS r
ORDER BY n.place;
COMMENT ON VIEW indexpilot.safeguards IS 'how often each safeguard refused, delayed or reverted an action, and what it last said';
REVOKE ALL ON TABLE indexpilot.safeguards FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.safeguards TO pg_read_all_stats;

CREATE VIEW indexpilot.safeguard_summary AS
SELECT o.actions, o.succeeded, o.gave_way, o.failed,
    round(100.0 * o.succeeded / nullif(o.succeeded + o.failed, 0), 1) AS success_percent,
    v.kept, v.reverted, v.expired, v.measuring,
    v.reverts_confirmed, v.reverts_refuted, v.reverts_measuring,
    round(100.0 * v.reverts_refuted / nullif(v.reverts_confirmed + v.reverts_refuted, 0), 1)
        AS false_positive_percent,
    m.share_percent AS maintenance_share_percent
FROM (SELECT count(*) AS actions,
        count(*) FILTER (WHERE l.evidence ->> 'outcome' = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE l.evidence ->> 'outcome' = 'gave_way') AS gave_way,
        count(*) FILTER (WHERE l.evidence ->> 'outcome' = 'failed') AS failed
    FROM indexpilot.mutation_log AS l WHERE l.phase = 'outcome') AS o
CROSS JOIN (SELECT count(*) FILTER (WHERE w.state = 'kept') AS kept,
        count(*) FILTER (WHERE w.state = 'reverted') AS reverted,
        count(*) FILTER (WHERE w.state = 'expired' AND w.kind <> 'revert') AS expired,
        count(*) FILTER (WHERE w.state = 'measuring' AND w.kind <> 'revert') AS measuring,
        count(*) FILTER (WHERE w.state = 'confirmed') AS reverts_confirmed,
        count(*) FILTER (WHERE w.state = 'refuted') AS reverts_refuted,
        count(*) FILTER (WHERE w.state = 'measuring' AND w.kind = 'revert') AS reverts_measuring
    FROM indexpilot.verification AS w) AS v
CROSS JOIN (SELECT round(100 * sum(d.maintenance_ms)
        / nullif(sum(d.statements_ms) + sum(d.maintenance_ms), 0), 2) AS share_percent
    FROM indexpilot.maintenance_share AS d WHERE d.day > now() - '7 days'::interval) AS m;
COMMENT ON VIEW indexpilot.safeguard_summary IS 'what became of all actions: success rate, verdicts, reverts that did not bring the latency back (false positives), and the worker''s share of the database''s time over seven days';
REVOKE ALL ON TABLE indexpilot.safeguard_summary FROM PUBLIC;
GRANT SELECT ON TABLE indexpilot.safeguard_summary TO pg_read_all_stats;
