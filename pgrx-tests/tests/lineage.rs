//! What an operator reads of lineage and genome: before and after of a change, feature groups,
//! and that the role for reading statistics can read all of it.

mod jobs;

use indexpilot_tests::Cluster;
use jobs::Ground;

/// 100 executions, of which `slow` took 34 ms and the others 1.1 ms: steps 240 and 160 of the
/// histogram begin at 2^25 and 2^20 nanoseconds.
fn executions(bucket: &str, slow: u32) -> String {
    let fast = 100 - slow;
    format!(
        "INSERT INTO indexpilot.statement_stats (statement, bucket, plan, calls, rows, total_ms,
             square_ms, min_ms, max_ms, cost, shared_hit, shared_read, shared_dirtied,
             shared_written, temp_read, temp_written, wal_bytes, histogram)
         SELECT s.id, {bucket}, 1, 100, 100, {fast} * 1.1 + {slow} * 34, 0, 1.1, 34, 0, 0, 0, 0, 0, 0, 0, 0,
             '{{\"160\": {fast}, \"240\": {slow}}}'
         FROM indexpilot.statement AS s WHERE s.identity = 4711"
    )
}

#[test]
fn the_report_shows_latency_before_and_after_a_change() {
    let ground = Ground::new();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    let mut session = ground.session();
    session.run(
        "INSERT INTO indexpilot.statement (id, system_identifier, database_oid, identity, memory_id, query_id,
             role_name, role_oid, top_level, kind, query, relations, first_seen, last_seen, errors,
             plannings, planning_ms)
         SELECT gen_random_uuid(), c.system_identifier, d.oid, 4711, 1, 1, 'postgres', 10, true, 'select',
             'SELECT * FROM crm.contacts WHERE email = $1', ARRAY['\"crm\".\"contacts\"'], now(), now(), 0, 1, 1
         FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()",
    );
    let change = "indexpilot.mutations WHERE kind = 'CREATE_INDEX'";
    session.run(&executions(
        &format!("(SELECT at - interval '1 hour' FROM {change})"),
        30,
    ));
    session.run(&executions(
        &format!("(SELECT outcome_at + interval '1 second' FROM {change})"),
        2,
    ));
    // Neither side: what ran while the index was built, and longer ago than a day.
    session.run(&executions(
        &format!("(SELECT at - interval '1 minute' FROM {change})"),
        100,
    ));
    session.run(&executions(
        &format!("(SELECT at - interval '2 days' FROM {change})"),
        100,
    ));
    let rows = session.rows(
        "SELECT r ->> 0, r ->> 1, r ->> 2, r ->> 3, round((r ->> 4)::numeric, 2), round((r ->> 5)::numeric, 2),
             round((r ->> 6)::numeric, 1), round((r ->> 7)::numeric, 1), round((r ->> 8)::numeric, 1), round((r ->> 9)::numeric, 1)
         FROM jsonb_array_elements(indexpilot.report('json')::jsonb -> 'sections') AS s,
             jsonb_array_elements(s -> 'rows') AS r WHERE s ->> 'id' = 'latency'",
    );
    let expected = [
        "ip_contacts_email",
        "SELECT * FROM crm.contacts WHERE email = $1",
        "100",
        "100",
        // (70 × 1.1 + 30 × 34) / 100, and with 2 slow ones.
        "10.97",
        "1.76",
        // 95th and 99th percentile: the middles of the steps, (1 + 1/32) × 2^25 and 2^20 ns.
        "34.6",
        "1.1",
        "34.6",
        "34.6",
    ];
    assert_eq!(rows, [expected.map(|text| Some(text.to_owned()))]);
    let html = session.text("SELECT indexpilot.report('html')");
    assert!(html.contains("Latency before and after") && html.contains("10.97"));
}

#[test]
fn the_report_tells_feature_groups_and_what_is_not_to_be_indexed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        r#"CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int, email text, document json);
        SELECT indexpilot.genome_load('{"schema": "crm", "tables": [{"name": "contacts",
            "feature_group": "people", "fields": [{"name": "email", "indexable": false}]}]}')"#,
    );
    assert_eq!(
        session.rows(
            "SELECT r ->> 0, r ->> 2, r ->> 3
             FROM jsonb_array_elements(indexpilot.report('json')::jsonb -> 'sections') AS s,
                 jsonb_array_elements(s -> 'rows') AS r
             WHERE s ->> 'id' = 'genome' ORDER BY 1"
        ),
        [
            ["none", "2", "1"].map(|text| Some(text.to_owned())),
            ["people", "1", "1"].map(|text| Some(text.to_owned()))
        ]
    );
}

#[test]
fn who_may_read_statistics_may_read_all_of_lineage_and_tenants() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int PRIMARY KEY, email text);
         SELECT indexpilot.genome_bootstrap('{crm}'); SELECT indexpilot.initialize_tenant('42');
         CREATE ROLE reader; GRANT pg_read_all_stats TO reader; CREATE ROLE stranger",
    );
    let queries = [
        "SELECT * FROM indexpilot.tenant_costs",
        "SELECT * FROM indexpilot.tenant_skew()",
        "SELECT * FROM indexpilot.tenant_fields('42')",
        "SELECT * FROM indexpilot.expression_differences()",
        "SELECT * FROM indexpilot.field_usage_stats('pg_class', 'relname')",
        "SELECT * FROM indexpilot.relation_latency()",
        "SELECT * FROM indexpilot.index_tenants",
        "SELECT * FROM indexpilot.tenants",
        "SELECT * FROM indexpilot.field_usage",
        "SELECT * FROM indexpilot.genome_catalog",
        "SELECT * FROM indexpilot.expression_profile",
        "SELECT * FROM indexpilot.mutations",
        "SELECT * FROM indexpilot.recent_mutations()",
        "SELECT * FROM indexpilot.mutation_summary()",
        "SELECT * FROM indexpilot.mutation_summary(of_relation => 'crm.contacts', of_tenant => '42')",
        "SELECT indexpilot.report()",
        "SELECT indexpilot.metrics()",
    ];
    for (role, allowed) in [("reader", true), ("stranger", false)] {
        session.run(&format!("SET ROLE {role}"));
        for query in queries {
            match session.try_rows(query) {
                Ok(_) => assert!(allowed, "{role}: {query}"),
                Err(e) => assert!(!allowed && e.code == "42501", "{role}: {query}: {e}"),
            }
        }
        session.run("RESET ROLE");
    }
}
