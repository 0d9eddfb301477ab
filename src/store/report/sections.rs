//! The sections of the report. Tenants appear under a digest, statements with their
//! constants replaced: a report may be mailed.

use super::Plan;
use indexpilot_report::Unit::{Bytes, Count, Milliseconds, Number, Share, Text};

pub(super) const ALL: &[Plan] = &[
    Plan {
        id: "load",
        title: "Load",
        about: "What was measured in the last 7 days, by kind of statement.",
        query: "SELECT s.kind, count(DISTINCT s.id) AS statements, sum(b.calls) AS calls, sum(b.rows) AS rows,
    sum(b.total_ms) AS total, sum(b.total_ms) / nullif(sum(b.calls), 0) AS average,
    sum(b.total_ms) / nullif(sum(sum(b.total_ms)) OVER (), 0) AS share
FROM indexpilot.statement AS s JOIN indexpilot.statement_stats AS b ON b.statement = s.id
WHERE b.bucket >= now() - interval '7 days' GROUP BY s.kind ORDER BY total DESC",
        needs: &["statement", "statement_stats"],
        columns: &[
            ("kind", Text),
            ("statements", Count),
            ("calls", Count),
            ("rows", Count),
            ("total", Milliseconds),
            ("average", Milliseconds),
            ("share", Share),
        ],
        plot: ("kind", &["total"]),
    },
    Plan {
        id: "mutations",
        title: "Mutations",
        about: "Everything that changed in the last 7 days, and how it ended.",
        query: "SELECT kind, cause, actions, succeeded, gave_way, failed, open, kept, reverted, last_at::text
FROM indexpilot.mutation_summary(now() - interval '7 days')",
        needs: &["mutations"],
        columns: &[
            ("kind", Text),
            ("cause", Text),
            ("actions", Count),
            ("succeeded", Count),
            ("gave_way", Count),
            ("failed", Count),
            ("open", Count),
            ("kept", Count),
            ("reverted", Count),
            ("last_at", Text),
        ],
        plot: ("kind", &["actions"]),
    },
    Plan {
        id: "timeline",
        title: "Timeline of index changes",
        about: "The newest changes of indexes, by us and by others, with the reason of each. The estimate was \
made before, the gain measured after.",
        query: "SELECT date_trunc('second', at)::text AS at, kind, state,
    concat_ws('.', schema, coalesce(index, relation)) AS object, cause, role, reason,
    estimated_saving_ms_per_day AS estimated_saving_a_day, measured_gain, duration_ms AS duration, bytes AS size
FROM indexpilot.mutations
WHERE kind IN ('CREATE_INDEX', 'DROP_INDEX', 'REINDEX') OR index IS NOT NULL
ORDER BY mutations.at DESC LIMIT 25",
        needs: &["mutations"],
        columns: &[
            ("at", Text),
            ("kind", Text),
            ("state", Text),
            ("object", Text),
            ("cause", Text),
            ("role", Text),
            ("reason", Text),
            ("estimated_saving_a_day", Milliseconds),
            ("measured_gain", Share),
            ("duration", Milliseconds),
            ("size", Bytes),
        ],
        plot: ("", &[]),
    },
    Plan {
        id: "latency",
        title: "Latency before and after",
        about: "Statements on the tables whose indexes changed: executions in the day before the change and in \
the day after it. Percentiles come from histograms and are exact to 3.2 %. Whole buckets only: what ran in the five minutes \
around a change counts for neither side.",
        query: "WITH action AS (
    SELECT m.id, m.index, m.at AS began, m.outcome_at AS ended,
        '\"' || replace(m.schema, '\"', '\"\"') || '\".\"' || replace(m.relation, '\"', '\"\"') || '\"' AS relation
    FROM indexpilot.mutations AS m
    WHERE m.kind IN ('CREATE_INDEX', 'DROP_INDEX') AND m.outcome_at IS NOT NULL
      AND m.state NOT IN ('failed', 'gave_way')
    ORDER BY m.at DESC LIMIT 20
), sample AS (
    SELECT a.id AS action, a.index, s.id, s.query, b.bucket < a.began AS before, b.calls, b.total_ms, b.histogram
    FROM action AS a
    JOIN indexpilot.statement AS s ON a.relation = ANY (s.relations)
    JOIN indexpilot.statement_stats AS b ON b.statement = s.id
     AND (b.bucket BETWEEN a.began - interval '1 day' AND a.began - interval '5 minutes'
       OR b.bucket BETWEEN a.ended AND a.ended + interval '1 day')
), total AS (
    SELECT action, index, id, query, before, sum(calls) AS calls, sum(total_ms) / nullif(sum(calls), 0) AS average
    FROM sample GROUP BY action, index, id, query, before
), running AS (
    SELECT action, id, before, h.key::int AS step, sum(h.value::numeric) AS executions,
        sum(sum(h.value::numeric)) OVER (PARTITION BY action, id, before ORDER BY h.key::int) AS up_to,
        sum(sum(h.value::numeric)) OVER (PARTITION BY action, id, before) AS of_all
    FROM sample, jsonb_each_text(histogram) AS h GROUP BY action, id, before, h.key::int
), percentile AS (
    SELECT action, id, before,
        min(power(2, 10 + step / 16) * (1 + (step % 16 + 0.5) / 16) / 1e6) FILTER (WHERE up_to >= 0.95 * of_all) AS p95,
        min(power(2, 10 + step / 16) * (1 + (step % 16 + 0.5) / 16) / 1e6) FILTER (WHERE up_to >= 0.99 * of_all) AS p99
    FROM running GROUP BY action, id, before
)
SELECT x.index, left(x.query, 120) AS statement, x.calls AS calls_before, y.calls AS calls_after,
    x.average AS average_before, y.average AS average_after,
    p.p95 AS p95_before, q.p95 AS p95_after, p.p99 AS p99_before, q.p99 AS p99_after
FROM total AS x
JOIN total AS y ON y.action = x.action AND y.id = x.id AND NOT y.before
LEFT JOIN percentile AS p ON p.action = x.action AND p.id = x.id AND p.before
LEFT JOIN percentile AS q ON q.action = x.action AND q.id = x.id AND NOT q.before
WHERE x.before ORDER BY x.calls * x.average DESC LIMIT 30",
        needs: &["mutations", "statement", "statement_stats"],
        columns: &[
            ("index", Text),
            ("statement", Text),
            ("calls_before", Count),
            ("calls_after", Count),
            ("average_before", Milliseconds),
            ("average_after", Milliseconds),
            ("p95_before", Milliseconds),
            ("p95_after", Milliseconds),
            ("p99_before", Milliseconds),
            ("p99_after", Milliseconds),
        ],
        plot: ("statement", &["average_before", "average_after"]),
    },
    Plan {
        id: "advice",
        title: "Cost and benefit",
        about: "What was considered, with the threshold that it met or missed. All amounts are estimates.",
        query: "SELECT schema_name || '.' || relation_name AS relation, action, definition, state, benefit,
    current_setting('indexpilot.min_improvement')::float8 / 100 AS threshold,
    benefit >= current_setting('indexpilot.min_improvement')::float8 / 100 AS met,
    saved_ms_per_day AS saved_a_day, write_ms_per_day AS added_to_writes_a_day, bytes AS size,
    break_even_calls, confidence, reason
FROM indexpilot.recommendation ORDER BY saved_ms_per_day DESC LIMIT 40",
        needs: &["recommendation"],
        columns: &[
            ("relation", Text),
            ("action", Text),
            ("definition", Text),
            ("state", Text),
            ("benefit", Share),
            ("threshold", Share),
            ("met", Text),
            ("saved_a_day", Milliseconds),
            ("added_to_writes_a_day", Milliseconds),
            ("size", Bytes),
            ("break_even_calls", Count),
            ("confidence", Number),
            ("reason", Text),
        ],
        plot: ("definition", &["saved_a_day", "added_to_writes_a_day"]),
    },
    Plan {
        id: "fields",
        title: "Fields",
        about: "The fields with the most time of filtering, joining and sorting statements in the last 7 days. A \
statement with several fields counts for each.",
        query: "SELECT f.relation, f.field, g.feature_group, f.roles,
    (SELECT count(DISTINCT nullif(t.tenant, '')) FROM indexpilot.query_stats AS t
     WHERE t.relation_oid = f.relation_oid AND t.field = f.field AND t.relation = f.relation
       AND t.bucket >= now() - interval '7 days' AND t.role NOT IN ('output', 'updated')) AS tenants,
    f.calls, f.total, g.indexable, g.obstacle
FROM (
    SELECT relation, field, max(relation_oid) AS relation_oid, string_agg(role, ', ' ORDER BY role) AS roles,
        sum(calls) AS calls, sum(total_ms) AS total
    FROM (
        SELECT q.relation, q.field, q.role, max(q.relation_oid) AS relation_oid, sum(q.calls) AS calls, sum(q.total_ms) AS total_ms
        FROM indexpilot.query_stats AS q
        WHERE q.bucket >= now() - interval '7 days' AND q.role NOT IN ('output', 'updated')
        GROUP BY q.relation, q.field, q.role) AS r
    GROUP BY relation, field ORDER BY total DESC, relation, field LIMIT 30) AS f
LEFT JOIN indexpilot.genome_catalog AS g ON g.relation_oid = f.relation_oid AND g.field_name = f.field
ORDER BY f.total DESC, f.relation, f.field",
        needs: &["query_stats"],
        columns: &[
            ("relation", Text),
            ("field", Text),
            ("feature_group", Text),
            ("roles", Text),
            ("tenants", Count),
            ("calls", Count),
            ("total", Milliseconds),
            ("indexable", Text),
            ("obstacle", Text),
        ],
        plot: ("field", &["total"]),
    },
    Plan {
        id: "field_benefit",
        title: "Cost and benefit by field",
        about: "For each field that was searched in the last 7 days: the best index with it that was advised, against the \
threshold min_improvement, and how many were refused in the newest analysis, with the reason of the one that would have saved \
most. All amounts are estimates.",
        query: "WITH advised AS (
    SELECT DISTINCT r.relation_oid, (k.number #>> '{}')::smallint AS number, r.id, r.definition, r.state, r.benefit,
        r.saved_ms_per_day, r.write_ms_per_day, r.bytes
    FROM indexpilot.recommendation AS r
    CROSS JOIN LATERAL jsonb_path_query(r.intent, '$.kind.definition.keys[*].element.**.attribute.number') AS k(number)
    WHERE r.action = 'create'
), refused AS (
    SELECT (f.refusal ->> 'relation')::oid AS relation_oid, (k.number #>> '{}')::smallint AS number, count(*) AS refused,
        (array_agg(f.refusal ->> 'reason' ORDER BY (f.refusal ->> 'saved_ms_per_day')::float8 DESC))[1] AS why
    FROM (SELECT a.refused FROM indexpilot.analysis AS a ORDER BY a.started_at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL jsonb_array_elements(newest.refused) AS f(refusal)
    CROSS JOIN LATERAL jsonb_array_elements(f.refusal -> 'keys') AS k(number)
    GROUP BY 1, 2
), used AS (
    SELECT q.relation_oid, q.field, sum(q.calls) AS calls, sum(q.total_ms) AS total
    FROM indexpilot.query_stats AS q
    WHERE q.bucket >= now() - interval '7 days' AND q.role NOT IN ('output', 'updated', 'inequality', 'opaque')
    GROUP BY q.relation_oid, q.field
)
SELECT n.nspname || '.' || c.relname AS relation, u.field, u.calls, u.total, best.definition, best.state,
    best.benefit, current_setting('indexpilot.min_improvement')::float8 / 100 AS threshold,
    best.benefit >= current_setting('indexpilot.min_improvement')::float8 / 100 AS met,
    best.saved_ms_per_day AS saved_a_day, best.write_ms_per_day AS added_to_writes_a_day, best.bytes AS size,
    coalesce(x.refused, 0) AS refused,
    CASE WHEN best.id IS NULL THEN coalesce(x.why, 'no index was thought of') END AS why_none
FROM used AS u
JOIN pg_class AS c ON c.oid = u.relation_oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = u.relation_oid AND a.attname = u.field AND NOT a.attisdropped
LEFT JOIN LATERAL (SELECT v.* FROM advised AS v WHERE v.relation_oid = u.relation_oid AND v.number = a.attnum
    ORDER BY v.saved_ms_per_day DESC, v.id LIMIT 1) AS best ON true
LEFT JOIN refused AS x ON x.relation_oid = u.relation_oid AND x.number = a.attnum
ORDER BY u.total DESC, 1, 2 LIMIT 40",
        needs: &["recommendation", "analysis", "query_stats"],
        columns: &[
            ("relation", Text),
            ("field", Text),
            ("calls", Count),
            ("total", Milliseconds),
            ("definition", Text),
            ("state", Text),
            ("benefit", Share),
            ("threshold", Share),
            ("met", Text),
            ("saved_a_day", Milliseconds),
            ("added_to_writes_a_day", Milliseconds),
            ("size", Bytes),
            ("refused", Count),
            ("why_none", Text),
        ],
        plot: ("field", &["saved_a_day", "added_to_writes_a_day"]),
    },
    Plan {
        id: "indexes",
        title: "Indexes",
        about: "Every index of users' schemas. Scans are counted since the statistics were reset; writes are the inserts, \
updates and deletes of the table, all of which an index takes part in but HOT updates.",
        query: "SELECT i.schemaname || '.' || i.relname AS relation, i.indexrelname AS index,
    pg_relation_size(i.indexrelid) AS size, i.idx_scan AS scans, i.idx_tup_read AS entries_read,
    t.n_tup_ins + t.n_tup_upd - t.n_tup_hot_upd + t.n_tup_del AS writes,
    CASE WHEN m.id IS NOT NULL THEN 'IndexPilot' WHEN x.indisprimary THEN 'primary key'
        WHEN x.indisunique THEN 'unique' ELSE 'others' END AS made_by,
    CASE WHEN NOT x.indisvalid THEN 'invalid' ELSE coalesce(m.state, 'valid') END AS state,
    m.reason, m.measured_gain
FROM pg_stat_user_indexes AS i
JOIN pg_index AS x ON x.indexrelid = i.indexrelid
JOIN pg_stat_user_tables AS t ON t.relid = i.relid
LEFT JOIN LATERAL (SELECT m.* FROM indexpilot.mutations AS m
    WHERE m.kind = 'CREATE_INDEX' AND m.index = i.indexrelname AND m.schema = i.schemaname
    ORDER BY m.at DESC LIMIT 1) AS m ON true
WHERE i.schemaname <> 'indexpilot' ORDER BY pg_relation_size(i.indexrelid) DESC, 1, 2 LIMIT 60",
        needs: &["mutations"],
        columns: &[
            ("relation", Text),
            ("index", Text),
            ("size", Bytes),
            ("scans", Count),
            ("entries_read", Count),
            ("writes", Count),
            ("made_by", Text),
            ("state", Text),
            ("reason", Text),
            ("measured_gain", Share),
        ],
        plot: ("index", &["size"]),
    },
    Plan {
        id: "safeguards",
        title: "Safeguards",
        about: "How often each safeguard refused or delayed an action.",
        query: "SELECT name AS safeguard, refused, delayed, last_at::text, last_reason
FROM indexpilot.safeguard ORDER BY refused + delayed DESC, name",
        needs: &["safeguard"],
        columns: &[
            ("safeguard", Text),
            ("refused", Count),
            ("delayed", Count),
            ("last_at", Text),
            ("last_reason", Text),
        ],
        plot: ("safeguard", &["refused", "delayed"]),
    },
    Plan {
        id: "tenants",
        title: "Tenants",
        about: "The tenants with the largest share of the time in the last 7 days, and how much of it they are together. \
Tenants are named by the first characters of SHA-256 of their key. A statement with several fields counts for each field: shares \
compare tenants, they do not add up to CPU time.",
        query: "SELECT CASE WHEN c.tenant = '' THEN 'no tenant known'
        ELSE 'tenant ' || left(encode(sha256(convert_to(c.tenant, 'UTF8')), 'hex'), 8) END AS tenant,
    c.calls, c.total, c.share, c.together,
    (SELECT count(*) FROM (SELECT DISTINCT f.relation_oid, f.field FROM indexpilot.query_stats AS f
        WHERE f.tenant = c.tenant AND f.bucket >= now() - interval '7 days') AS d) AS fields
FROM (
    SELECT q.tenant, sum(q.calls) AS calls, sum(q.total_ms) AS total,
        sum(q.total_ms) / nullif(sum(sum(q.total_ms)) OVER (), 0) AS share,
        sum(sum(q.total_ms)) OVER (ORDER BY sum(q.total_ms) DESC, q.tenant)
            / nullif(sum(sum(q.total_ms)) OVER (), 0) AS together
    FROM indexpilot.query_stats AS q WHERE q.bucket >= now() - interval '7 days'
    GROUP BY q.tenant ORDER BY total DESC, q.tenant LIMIT 30) AS c
ORDER BY c.total DESC, c.tenant",
        needs: &["query_stats"],
        columns: &[
            ("tenant", Text),
            ("calls", Count),
            ("total", Milliseconds),
            ("share", Share),
            ("together", Share),
            ("fields", Count),
        ],
        plot: ("tenant", &["total"]),
    },
    Plan {
        id: "expression",
        title: "Declared and observed expression",
        about: "Fields that a tenant has switched off and yet queries, in the last 7 days. Either the profile or the application is wrong.",
        query: "SELECT 'tenant ' || left(encode(sha256(convert_to(q.tenant, 'UTF8')), 'hex'), 8) AS tenant,
    q.relation, q.field, sum(q.calls) AS calls, sum(q.total_ms) AS total
FROM indexpilot.query_stats AS q
JOIN indexpilot.genome_catalog AS g ON g.relation_oid = q.relation_oid AND g.field_name = q.field
JOIN indexpilot.expression_profile AS p ON p.field = g.id AND p.tenant = q.tenant AND NOT p.enabled
WHERE q.bucket >= now() - interval '7 days'
GROUP BY q.tenant, q.relation, q.field ORDER BY total DESC LIMIT 30",
        needs: &["query_stats"],
        columns: &[
            ("tenant", Text),
            ("relation", Text),
            ("field", Text),
            ("calls", Count),
            ("total", Milliseconds),
        ],
        plot: ("", &[]),
    },
    Plan {
        id: "genome",
        title: "Genome",
        about: "The schema by feature group: fields, those that no index can have as a key, and declared tenants.",
        query: "SELECT coalesce(g.feature_group, 'none') AS feature_group, count(DISTINCT g.relation_oid) AS relations,
    count(*) AS fields, count(*) FILTER (WHERE NOT g.indexable) AS not_indexable,
    (SELECT count(*) FROM indexpilot.expression_tenant) AS tenants
FROM indexpilot.genome_catalog AS g GROUP BY 1 ORDER BY 3 DESC",
        needs: &["genome_catalog"],
        columns: &[
            ("feature_group", Text),
            ("relations", Count),
            ("fields", Count),
            ("not_indexable", Count),
            ("tenants", Count),
        ],
        plot: ("feature_group", &["fields"]),
    },
];
