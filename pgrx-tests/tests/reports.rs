//! Tenant views, report and metrics over known counts: every number can be had again.

use indexpilot_tests::{Cluster, Session};

/// 3 tenants on one table; tenant 1 is most of the load. Counters are put in by hand, so that
/// every number is known; the worker is off.
fn known() -> (Cluster, Session) {
    let cluster = Cluster::builder().conf("indexpilot.enabled = off").start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot; CREATE SCHEMA crm;
         CREATE TABLE crm.contacts (id bigint PRIMARY KEY, tenant_id int, email text, notes text);
         CREATE INDEX contacts_email ON crm.contacts (email);
         SELECT indexpilot.genome_bootstrap('{crm}'); SELECT indexpilot.initialize_tenants('{1,2,3}');
         SELECT indexpilot.disable_field('2', 'contacts', 'email', 'no mail feature');
         INSERT INTO indexpilot.query_stats (system_identifier, database_oid, bucket, tenant, relation,
             relation_oid, field, role, kind, calls, rows, total_ms)
         SELECT s.system_identifier, d.oid, now() - interval '1 hour', t.tenant, '\"crm\".\"contacts\"',
             'crm.contacts'::regclass, t.field, t.role, t.kind, t.calls, t.calls * 2, t.ms
         FROM pg_control_system() AS s, pg_database AS d, (VALUES
             ('1', 'email', 'equality', 'select', 80, 800.0), ('1', 'notes', 'updated', 'update', 10, 50.0),
             ('2', 'email', 'equality', 'select', 10, 100.0), ('3', 'id', 'equality', 'select', 5, 50.0))
             AS t(tenant, field, role, kind, calls, ms)
         WHERE d.datname = current_database()",
    );
    (cluster, session)
}

#[test]
fn tenants_are_charged_what_they_cost() {
    let (_cluster, mut session) = known();
    assert_eq!(
        session.column("SELECT tenant || ' ' || round(share::numeric, 2) || ' ' || place FROM indexpilot.tenant_costs ORDER BY place"),
        ["1 0.85 1", "2 0.10 2", "3 0.05 3"]
    );
    assert_eq!(
        session.rows("SELECT tenants, round(largest_share::numeric, 2), tenants_for_half FROM indexpilot.tenant_skew()"),
        [["3", "0.85", "1"].map(|text| Some(text.to_owned()))]
    );
    assert_eq!(
        session.column(
            "SELECT field || ': ' || finding FROM indexpilot.tenant_fields('2') ORDER BY 1"
        ),
        [
            "email: disabled, yet used",
            "id: enabled, never used",
            "notes: enabled, never used",
            "tenant_id: enabled, never used"
        ]
    );
    assert_eq!(
        session.column("SELECT tenant || ' ' || field FROM indexpilot.expression_differences() WHERE finding = 'disabled, yet used'"),
        ["2 email"]
    );
    assert_eq!(
        session.column("SELECT tenant || ' ' || round(benefit_share::numeric, 3) || ' ' || coalesce(round(write_cost_share, 2)::text, '-') \
             FROM indexpilot.index_tenants WHERE index = 'contacts_email' ORDER BY tenant"),
        ["1 0.889 1.00", "2 0.111 0.00"]
    );
    assert_eq!(
        session.rows("SELECT role, tenants, calls, average_ms FROM indexpilot.field_usage_stats('crm.contacts', 'email')"),
        [["equality", "2", "90", "10"].map(|text| Some(text.to_owned()))]
    );
    assert_eq!(
        session.text("SELECT size_class FROM indexpilot.table_sizes WHERE relation = 'contacts'"),
        "tiny"
    );
}

#[test]
fn every_number_of_the_report_comes_from_the_query_it_names() {
    let (_cluster, mut session) = known();
    let sections = session.rows(
        "SELECT s ->> 'id', s ->> 'query', s -> 'columns', s -> 'rows', s ->> 'missing' \
         FROM jsonb_array_elements(indexpilot.report('json')::jsonb -> 'sections') AS s",
    );
    assert!(sections.len() >= 10);
    let mut with_rows = 0;
    for section in sections {
        let [id, query, columns, rows, missing] =
            <[Option<String>; 5]>::try_from(section).expect("five columns");
        if missing.is_some() {
            continue;
        }
        let (query, columns, rows) = (
            query.expect("a query"),
            columns.expect("columns"),
            rows.expect("rows"),
        );
        let again = session.text(&format!(
            "SELECT coalesce(jsonb_agg((SELECT jsonb_agg(to_jsonb(q) -> (c.value ->> 'name') ORDER BY c.ordinality) \
                 FROM jsonb_array_elements($j${columns}$j$::jsonb) WITH ORDINALITY AS c)), '[]')::text FROM ({query}) AS q"
        ));
        assert_eq!(
            again,
            session.text(&format!("SELECT ($j${rows}$j$::jsonb)::text")),
            "{id:?}"
        );
        with_rows += usize::from(again != "[]");
    }
    assert!(with_rows >= 5, "only {with_rows} sections have rows");
}

#[test]
fn the_report_can_be_mailed() {
    let (_cluster, mut session) = known();
    session.run("CREATE TABLE crm.\"<script>alert(1)</script>\" (id int PRIMARY KEY)");
    let html = session.text("SELECT indexpilot.report('html')");
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    assert!(html.contains("<svg ") && html.contains("&lt;script&gt;alert(1)"));
    for never in ["<script", "<img", "<link", "http://", "https://", "src="] {
        assert!(!html.contains(never), "{never}");
    }
    // Tenants appear under a digest only.
    assert!(html.contains("tenant 6b86b273"));
    let text = session.text("SELECT indexpilot.report()");
    assert!(text.contains("Declared and observed expression") && text.contains("query: SELECT"));
    let e = session.error("SELECT indexpilot.report('pdf')");
    assert_eq!(
        (e.code.as_str(), e.detail.as_str()),
        ("22023", "A report is written as text, json or html.")
    );
    session.run("CREATE ROLE app LOGIN");
    session.run("SET ROLE app");
    assert_eq!(session.error("SELECT indexpilot.report()").code, "42501");
    assert_eq!(
        session.error("SELECT * FROM indexpilot.tenant_costs").code,
        "42501"
    );
}

#[test]
fn metrics_are_prometheus_text() {
    let (_cluster, mut session) = known();
    let metrics = session.text("SELECT indexpilot.metrics()");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(
            name.starts_with("indexpilot_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }
    assert!(metrics.contains("indexpilot_declared_tenants 3\n"));
    assert!(metrics.contains("indexpilot_mutations{kind=\"DISABLE_FIELD\",state=\"done\"} 1\n"));
}

#[test]
fn a_thousand_tenants_with_two_hundred_fields_answer_at_once() {
    let cluster = Cluster::builder().conf("indexpilot.enabled = off").start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot; CREATE SCHEMA crm;
         DO $$ BEGIN FOR t IN 1..10 LOOP EXECUTE (SELECT format('CREATE TABLE crm.t%s (%s)', t,
             string_agg('f' || i || ' int', ', ')) FROM generate_series(1, 20) AS i); END LOOP; END $$;
         SELECT indexpilot.genome_bootstrap('{crm}');
         SELECT indexpilot.initialize_tenants(array_agg(i::text)) FROM generate_series(1, 1000) AS i;
         INSERT INTO indexpilot.query_stats (system_identifier, database_oid, bucket, tenant, relation,
             relation_oid, field, role, kind, calls, rows, total_ms)
         SELECT g.system_identifier, g.database_oid, now() - interval '1 hour', t::text, g.relation_name,
             g.relation_oid, g.field_name, 'equality', 'select', t, t, 1000.0 / t
         FROM indexpilot.genome_catalog AS g, generate_series(1, 1000) AS t
         WHERE NOT (g.field_name = 'f7' AND t % 3 = 0);
         SELECT indexpilot.disable_fields(ARRAY['5', '6'], ARRAY['t1.*']);
         CREATE INDEX t1_f1 ON crm.t1 (f1); CREATE INDEX t2_f2 ON crm.t2 (f2, f3);
         ANALYZE indexpilot.query_stats; ANALYZE indexpilot.expression_profile; ANALYZE indexpilot.genome_catalog",
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.expression_profile"),
        "200000"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
    // Two ways to the same differences, and to the same number of fields.
    assert_eq!(
        session.column(
            "SELECT finding || ' ' || count(*) FROM indexpilot.expression_differences() GROUP BY finding ORDER BY 1"
        ),
        session.column(
            "SELECT d.finding || ' ' || count(*) FROM indexpilot.expression_tenant AS t,
                 LATERAL indexpilot.tenant_fields(t.tenant) AS d
             WHERE d.finding IN ('disabled, yet used', 'enabled, never used') GROUP BY d.finding ORDER BY 1"
        )
    );
    assert_eq!(
        session.column("SELECT DISTINCT fields FROM indexpilot.tenant_costs ORDER BY 1"),
        ["190", "200"]
    );
    session.run("SET max_parallel_workers_per_gather = 0");
    let process = session.text("SELECT pg_backend_pid()");
    // Time on a CPU, nanoseconds, by the kernel's scheduler: the machine may be busy.
    let spent = || -> f64 {
        let text =
            std::fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first.unwrap_or(f64::NAN)
    };
    for query in [
        "SELECT * FROM indexpilot.tenant_costs ORDER BY place LIMIT 20",
        "SELECT * FROM indexpilot.tenant_costs",
        "SELECT * FROM indexpilot.tenant_skew()",
        "SELECT * FROM indexpilot.tenant_fields('500')",
        "SELECT * FROM indexpilot.expression_differences()",
        "SELECT * FROM indexpilot.index_tenants",
        "SELECT * FROM indexpilot.field_usage",
        "SELECT * FROM indexpilot.field_usage_stats('crm.t1', 'f1')",
        "SELECT indexpilot.report()",
    ] {
        session.rows(query);
        let before = spent();
        assert!(!session.rows(query).is_empty(), "{query}");
        println!("{:>8.1} ms of CPU  {query}", (spent() - before) / 1e6);
    }
}

#[test]
fn benefit_by_field_names_the_threshold() {
    let (_cluster, mut session) = known();
    session.run(
        r#"INSERT INTO indexpilot.recommendation (id, system_identifier, database_oid, identity, action, state,
             state_since, relation_oid, schema_name, relation_name, definition, intent, benefit, saved_ms_per_day,
             bytes, build_ms, write_ms_per_day, confidence, reason, rule, evidence, reverts, first_seen, last_seen, times_seen)
         SELECT gen_random_uuid(), g.system_identifier, g.database_oid, v.n, 'create', 'proposed', now(),
             g.relation_oid, 'crm', 'contacts', v.definition, format('{"kind": {"action": "create_index", "definition":
                {"keys": [{"element": %s}]}}}', replace(v.element, 'N', g.attribute_number::text))::jsonb,
             v.benefit, v.saved, 8192, 1, 2, 1, 'why', '', '{}', 0, now(), now(), 1
         FROM indexpilot.genome_catalog AS g, (VALUES
             (1, 'less', '{"attribute": {"number": N, "name": "email"}}', 0.15, 10),
             (2, 'lower', '{"function": {"name": "lower", "arguments": [{"attribute": {"number": N, "name": "email"}}]}}', 0.9, 70))
             AS v(n, definition, element, benefit, saved)
         WHERE g.field_name = 'email';
         INSERT INTO indexpilot.analysis (id, system_identifier, database_oid, started_at, finished_at, statements,
             options, planner_calls, before_ms_per_day, after_ms_per_day, gap, verified, refused, not_analysed)
         SELECT gen_random_uuid(), g.system_identifier, g.database_oid, now(), now(), 1, 1, 1, 1, 1, 0, true,
             jsonb_build_array(jsonb_build_object('relation', g.relation_oid::bigint, 'keys', jsonb_build_array(g.attribute_number),
                 'reason', 'saves too little', 'saved_ms_per_day', 1)), '[]'
         FROM indexpilot.genome_catalog AS g WHERE g.field_name = 'id'"#,
    );
    let rows = session.column(
        "SELECT (r ->> 1) || ' ' || coalesce(r ->> 4, '-') || ' ' || coalesce(r ->> 7, '-') || ' ' || coalesce(r ->> 8, '-')
             || ' ' || (r ->> 12) || ' ' || coalesce(r ->> 13, '-')
         FROM jsonb_array_elements(indexpilot.report('json')::jsonb -> 'sections') AS s,
             jsonb_array_elements(s -> 'rows') AS r WHERE s ->> 'id' = 'field_benefit'",
    );
    assert_eq!(
        rows,
        ["email lower 0.2 true 0 -", "id - 0.2 - 1 saves too little"]
    );
}

#[test]
fn health_says_what_to_look_at_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    cluster.wait(
        "SELECT count(*) FROM indexpilot.health() WHERE state <> 'ok'",
        "0",
    );
    assert!(session.number("SELECT count(*) FROM indexpilot.health()") >= 9.0);
    session.run("CREATE TABLE t AS SELECT 1 AS x FROM generate_series(1, 2)");
    session.error("CREATE UNIQUE INDEX CONCURRENTLY t_x ON t (x)");
    assert_eq!(
        session
            .rows("SELECT \"check\", state, finding FROM indexpilot.health() WHERE state <> 'ok'"),
        [["invalid indexes", "warning", "public.t_x"].map(|text| Some(text.to_owned()))]
    );
    session.run("DROP INDEX t_x; SELECT indexpilot.disable('maintenance')");
    assert_eq!(
        session.column("SELECT state FROM indexpilot.health() WHERE \"check\" = 'modules'"),
        ["warning"]
    );
    session.run("CREATE ROLE app LOGIN; SET ROLE app");
    assert_eq!(
        session.error("SELECT * FROM indexpilot.health()").code,
        "42501"
    );
}
