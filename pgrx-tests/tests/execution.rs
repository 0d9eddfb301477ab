//! Jobs: what they build, drop and rebuild, what they record, and what faults leave.

mod jobs;

use jobs::Ground;

#[test]
fn every_major_builds_drops_and_rebuilds() {
    let ground = Ground::new();
    let mut session = ground.session();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    assert_eq!(
        session.text("SELECT pg_get_indexdef('crm.ip_contacts_email'::regclass)"),
        "CREATE INDEX ip_contacts_email ON crm.contacts USING btree (email)"
    );
    let comment =
        session.text("SELECT obj_description('crm.ip_contacts_email'::regclass, 'pg_class')");
    assert!(comment.starts_with("Built by IndexPilot"), "{comment}");
    let job = ground.reindex("contacts", "ip_contacts_email");
    ground.ends(&job, "succeeded");
    let job = ground.drop_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    assert_eq!(
        session.value("SELECT to_regclass('crm.ip_contacts_email')"),
        None
    );
    assert_eq!(
        session.column(
            "SELECT kind || ' ' || phase FROM indexpilot.mutation_log
             WHERE phase IN ('intent', 'outcome') ORDER BY sequence"
        ),
        [
            "CREATE_INDEX intent",
            "CREATE_INDEX outcome",
            "REINDEX intent",
            "REINDEX outcome",
            "DROP_INDEX intent",
            "DROP_INDEX outcome"
        ]
    );
    ground.is_clean();
}

#[test]
fn every_major_builds_on_a_partitioned_table_leaf_by_leaf() {
    let ground = Ground::new();
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.events (tenant int, at date, note text) PARTITION BY RANGE (at);
         CREATE TABLE crm.events_a PARTITION OF crm.events
             FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE crm.\"Events \"\"B\" PARTITION OF crm.events
             FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (tenant);
         CREATE TABLE crm.events_b1 PARTITION OF crm.\"Events \"\"B\" FOR VALUES IN (1);
         CREATE TABLE crm.events_b2 PARTITION OF crm.\"Events \"\"B\" DEFAULT;
         INSERT INTO crm.events SELECT g % 3, '2020-06-01'::date + g % 500, 'x'
         FROM generate_series(1, 1000) AS g",
    );
    let job = ground.create_index("events", &[(1, "tenant")], "ip_events_tenant");
    ground.ends(&job, "succeeded");
    assert_eq!(
        session.number(
            "SELECT count(*) FROM pg_partition_tree('crm.ip_events_tenant') AS t
             JOIN pg_index AS i ON i.indexrelid = t.relid WHERE i.indisvalid"
        ),
        5.0
    );
    let job = ground.drop_index("events", &[(1, "tenant")], "ip_events_tenant");
    ground.ends(&job, "succeeded");
    assert_eq!(
        session.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'ip\\_%'"),
        0.0
    );
}

#[test]
fn a_job_waits_for_its_stage_and_says_why() {
    let ground = Ground::with("indexpilot.create_index = 'advise'");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "refused");
    let reason = ground.reason(&job);
    assert!(
        reason.contains("\"indexpilot.create_index\" is advise"),
        "{reason}"
    );
}

#[test]
fn a_primary_key_is_not_dropped() {
    let ground = Ground::new();
    let job = ground.drop_index("contacts", &[(1, "id")], "contacts_pkey");
    ground.ends(&job, "refused");
    assert!(ground.reason(&job).contains("must stay"));
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let ground = Ground::new();
    ground
        .session()
        .run("CREATE INDEX ip_contacts_email ON crm.contacts (name)");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "failed");
    assert!(ground.reason(&job).contains("exists already"));
}

#[test]
fn a_unique_violation_is_given_up_and_cleaned() {
    let ground = Ground::new();
    let job = ground.job(
        "contacts",
        &ground.create_intent("contacts", &[(3, "name")], "ip_unique", true),
    );
    ground.ends(&job, "failed");
    assert!(
        ground.reason(&job).contains("23505"),
        "{}",
        ground.reason(&job)
    );
    ground.is_clean();
}

#[test]
fn cancel_ends_a_build() {
    let ground = Ground::new();
    let mut writer = ground.session();
    // The build waits for this transaction.
    writer.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in_build();
    assert_eq!(
        ground
            .session()
            .text(&format!("SELECT indexpilot.cancel('{job}')")),
        "t"
    );
    // Dropping the leftover waits for the same transaction, and is tried again.
    writer.run("COMMIT");
    ground.ends(&job, "cancelled");
    ground.is_clean();
}

#[test]
fn a_client_that_waits_for_us_wins() {
    let ground = Ground::new();
    let mut holder = ground.session();
    holder.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in_build();
    // A deadlock: it holds what the build waits for, and now wants what the build holds.
    holder.run("LOCK TABLE crm.contacts IN SHARE UPDATE EXCLUSIVE MODE");
    holder.run("COMMIT");
    ground.says(&job, "gave way");
    assert!(
        !ground.cluster.log().contains("client backend ERROR"),
        "the client saw an error"
    );
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn an_old_transaction_is_not_waited_for() {
    let ground = Ground::with("indexpilot.build_timeout = 2");
    let mut holder = ground.session();
    holder.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.says(&job, "cancelled");
    holder.run("COMMIT");
    ground.ends_soon(&job, "succeeded");
    ground.is_clean();
}

#[test]
fn dropping_the_extension_during_a_build_is_survived() {
    let ground = Ground::new();
    let mut holder = ground.session();
    holder.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in_build();
    ground.session().run("DROP EXTENSION indexpilot");
    holder.run("COMMIT");
    ground.cluster.wait(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'indexpilot worker'",
        "0",
    );
    ground.nothing_is_left();
    ground.session().run("CREATE EXTENSION indexpilot");
}

#[test]
fn dropping_the_table_during_a_build_is_survived() {
    let ground = Ground::new();
    let mut holder = ground.session();
    holder.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in_build();
    let mut dropper = ground.session();
    // It waits for the build, which gives way; then for the transaction.
    let waiting = std::thread::spawn(move || dropper.run("DROP TABLE crm.contacts"));
    ground.says(&job, "gave way to a client");
    holder.run("COMMIT");
    waiting.join().expect("the table is dropped");
    ground.job_is_over(&job);
    ground.is_clean();
}

#[test]
fn dropping_the_database_during_a_build_is_survived() {
    let ground = Ground::in_database("doomed");
    let mut holder = ground.session();
    holder.run("BEGIN; UPDATE crm.contacts SET name = 'x' WHERE id = 1");
    ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.waits_in_build();
    drop(holder);
    let directory = ground.cluster.session().text(
        "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database
         WHERE datname = 'doomed'",
    );
    ground
        .cluster
        .session()
        .run("DROP DATABASE doomed WITH (FORCE)");
    assert!(!std::path::Path::new(&directory).exists(), "orphan files");
    ground.cluster.wait(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'indexpilot launcher'",
        "1",
    );
}

#[test]
fn a_rollback_is_the_exact_inverse() {
    let ground = Ground::new();
    let mut session = ground.session();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    let mutation = session.text(&format!(
        "SELECT mutation FROM indexpilot.jobs WHERE id = '{job}'"
    ));
    assert_eq!(
        session.text(&format!("SELECT indexpilot.rollback_preview('{mutation}')")),
        "DROP INDEX CONCURRENTLY \"crm\".\"ip_contacts_email\" RESTRICT"
    );
    session.run(
        "CREATE ROLE somebody LOGIN; GRANT EXECUTE ON FUNCTION indexpilot.rollback TO somebody",
    );
    let refused = ground
        .cluster
        .session_as("somebody", "postgres")
        .error(&format!("SELECT indexpilot.rollback('{mutation}')"));
    assert_eq!(refused.code, "42501", "{refused}");
    let back = session.text(&format!("SELECT indexpilot.rollback('{mutation}')"));
    ground.ends(&back, "succeeded");
    assert_eq!(
        session.value("SELECT to_regclass('crm.ip_contacts_email')"),
        None
    );
    let mutation = session.text(&format!(
        "SELECT mutation FROM indexpilot.jobs WHERE id = '{back}'"
    ));
    let again = session.text(&format!("SELECT indexpilot.rollback('{mutation}')"));
    ground.ends(&again, "succeeded");
    assert_eq!(
        session.text("SELECT pg_get_indexdef('crm.ip_contacts_email'::regclass)"),
        "CREATE INDEX ip_contacts_email ON crm.contacts USING btree (email)"
    );
    ground.is_clean();
}

#[test]
fn a_rollback_of_a_drop_brings_back_everything() {
    let ground = Ground::new();
    let mut session = ground.session();
    let place = ground.cluster.scratch("elsewhere");
    session.run(&format!(
        "CREATE TABLESPACE elsewhere LOCATION '{}'",
        place.display()
    ));
    session.run(
        "CREATE INDEX dear ON crm.contacts USING btree (lower(email) DESC, name)
             WITH (fillfactor = 70) TABLESPACE elsewhere;
         COMMENT ON INDEX crm.dear IS 'asked for by \"accounting\"; it''s theirs';
         ALTER INDEX crm.dear ALTER COLUMN 1 SET STATISTICS 777",
    );
    let described = "SELECT pg_get_indexdef('crm.dear'::regclass) || ' '
        || (SELECT t.spcname || array_to_string(c.reloptions, ',')
            FROM pg_class AS c JOIN pg_tablespace AS t ON t.oid = c.reltablespace
            WHERE c.oid = 'crm.dear'::regclass) || ' '
        || obj_description('crm.dear'::regclass, 'pg_class') || ' '
        || (SELECT a.attstattarget FROM pg_attribute AS a
            WHERE a.attrelid = 'crm.dear'::regclass AND a.attnum = 1)";
    let before = session.text(described);
    let job = ground.drop_exactly("contacts", "dear");
    ground.ends(&job, "succeeded");
    let mutation = session.text(&format!(
        "SELECT mutation FROM indexpilot.jobs WHERE id = '{job}'"
    ));
    let preview = session.text(&format!("SELECT indexpilot.rollback_preview('{mutation}')"));
    for part in [
        "CREATE INDEX",
        "fillfactor",
        "elsewhere",
        "accounting",
        "STATISTICS 777",
    ] {
        assert!(preview.contains(part), "{part} is not in\n{preview}");
    }
    let back = session.text(&format!("SELECT indexpilot.rollback('{mutation}')"));
    ground.ends(&back, "succeeded");
    assert_eq!(session.text(described), before);
    // The planner knows the expression again.
    assert_eq!(
        session.number("SELECT count(*) FROM pg_stats WHERE tablename = 'dear'"),
        1.0
    );
    ground.is_clean();
}

#[test]
fn an_index_for_index_only_scans_gets_its_visibility_map() {
    let ground = Ground::new();
    let mut session = ground.session();
    session.run("ALTER TABLE crm.contacts SET (autovacuum_enabled = off)");
    session.run("DELETE FROM crm.contacts WHERE id % 10 = 0");
    let intent = ground
        .create_intent("contacts", &[(2, "email")], "ip_covering", false)
        .replace(
            r#""include":[]"#,
            r#""include":[{"number":3,"name":"name"}]"#,
        );
    let job = ground.job("contacts", &intent);
    ground.ends(&job, "succeeded");
    assert!(
        session.number(
            "SELECT relallvisible / relpages FROM pg_class WHERE oid = 'crm.contacts'::regclass"
        ) >= 1.0
    );
    ground.is_clean();
}

#[test]
fn a_pinned_index_stays() {
    let ground = Ground::new();
    let mut session = ground.session();
    session.run("CREATE INDEX ip_contacts_email ON crm.contacts (email)");
    session.run(
        "CREATE ROLE somebody LOGIN; GRANT USAGE ON SCHEMA crm TO somebody;
         GRANT EXECUTE ON FUNCTION indexpilot.pin TO somebody",
    );
    let pin = "SELECT indexpilot.pin('crm.ip_contacts_email', 'month end')";
    let refused = ground.cluster.session_as("somebody", "postgres").error(pin);
    assert_eq!(refused.code, "42501", "{refused}");
    assert_eq!(session.text(pin), "t");
    assert_eq!(session.text(pin), "f");
    assert_eq!(
        session.error("SELECT indexpilot.pin('crm.contacts')").code,
        "42809"
    );
    // The pin outlives a rebuild, which gives the index another OID.
    session.run("REINDEX INDEX CONCURRENTLY crm.ip_contacts_email");
    let job = ground.drop_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "refused");
    assert!(
        ground.reason(&job).contains("it is pinned"),
        "{}",
        ground.reason(&job)
    );
    let unpin = "SELECT indexpilot.unpin('crm.ip_contacts_email')";
    assert_eq!(session.text(unpin), "t");
    assert_eq!(session.text(unpin), "f");
    let job = ground.drop_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    assert_eq!(
        session.column(
            "SELECT kind || ' ' || reason FROM indexpilot.mutation_log
             WHERE kind IN ('PIN_INDEX', 'UNPIN_INDEX') ORDER BY sequence"
        ),
        [
            "PIN_INDEX month end",
            "UNPIN_INDEX unpinned without a reason"
        ]
    );
}

#[test]
fn a_table_that_is_left_out_is_left_alone() {
    let ground = Ground::with("indexpilot.exclude_tables = 'crm.contacts'");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "refused");
    assert!(
        ground.reason(&job).contains("indexpilot.exclude_tables"),
        "{}",
        ground.reason(&job)
    );
    ground.is_clean();
}

/// What amcheck said of the index that a job built.
fn amcheck_of(ground: &Ground, job: &str) -> String {
    ground.ends(job, "succeeded");
    ground.session().text(&format!(
        "SELECT amcheck FROM indexpilot.verifications
         WHERE mutation = (SELECT mutation FROM indexpilot.jobs WHERE id = '{job}')"
    ))
}

#[test]
fn every_major_checks_what_it_builds_or_says_that_it_did_not() {
    let ground = Ground::new();
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.notes (id int PRIMARY KEY, tags text[]);
         INSERT INTO crm.notes SELECT g, ARRAY['t' || g % 7, 'u' || g % 11]
         FROM generate_series(1, 3000) AS g",
    );
    let job = ground.create_index("contacts", &[(3, "name")], "ip_contacts_name");
    assert_eq!(
        amcheck_of(&ground, &job),
        "unchecked: extension amcheck is not installed"
    );
    if session.number("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") == 0.0
    {
        // This server is packaged without it: what was said above is all that can be.
        return ground.is_clean();
    }
    session.run("CREATE EXTENSION amcheck SCHEMA public");
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    assert_eq!(amcheck_of(&ground, &job), "passed");
    let intent = ground
        .create_intent("notes", &[(2, "tags")], "ip_notes_tags", false)
        .replace(r#""method":"btree""#, r#""method":"gin""#);
    let job = ground.job("notes", &intent);
    let wanted = if indexpilot_tests::major() >= 18 {
        "passed"
    } else {
        "unchecked: amcheck does not know gin here"
    };
    assert_eq!(amcheck_of(&ground, &job), wanted);
    ground.is_clean();
}
