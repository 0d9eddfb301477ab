//! Schema changes by anyone reach the log with who, when and what, without event triggers.

use indexpilot_tests::Cluster;

#[test]
fn ddl_by_anyone_is_logged_with_who_and_what_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE ROLE dev LOGIN; CREATE SCHEMA crm AUTHORIZATION dev;
         SELECT indexpilot.genome_bootstrap('{crm}')",
    );
    let mut dev = cluster.session_as("dev", "postgres");
    dev.run("SET application_name = 'migrate'");
    for (ddl, expected) in [
        (
            "CREATE TABLE crm.contacts (id bigint PRIMARY KEY, email text)",
            "CREATE TABLE: table crm.contacts created",
        ),
        (
            "CREATE INDEX contacts_email ON crm.contacts (email)",
            "CREATE INDEX: index crm.contacts_email created",
        ),
        (
            "BEGIN; ALTER TABLE crm.contacts ADD phone text, DROP email; SAVEPOINT s; \
             DROP TABLE crm.contacts; ROLLBACK TO s; COMMIT",
            "ALTER TABLE: table crm.contacts: \"email\" dropped, \"phone\" added (text)",
        ),
        // Nothing of these is told, which the next step shows.
        (
            "BEGIN; CREATE TABLE crm.never (id int); ROLLBACK; \
             CREATE TEMP TABLE scratch (id int); DROP TABLE scratch; \
             BEGIN; CREATE TEMP TABLE scratch (id int) ON COMMIT DROP; COMMIT; \
             ALTER TABLE crm.contacts RENAME COLUMN phone TO mobile",
            "ALTER TABLE: table crm.contacts: \"phone\" renamed to \"mobile\"",
        ),
        (
            "ALTER TABLE crm.contacts ADD CHECK (id > 0)",
            "ALTER TABLE: table crm.contacts: constraint \"contacts_id_check\" created",
        ),
        (
            "ALTER TABLE crm.contacts RENAME TO people",
            "ALTER TABLE: table crm.contacts is now crm.people",
        ),
        (
            "DO $$ BEGIN EXECUTE 'CREATE VIEW crm.v AS SELECT 1 AS x'; END $$",
            "CREATE VIEW: view crm.v created",
        ),
        (
            "DROP SCHEMA crm CASCADE",
            "DROP SCHEMA: table crm.people dropped",
        ),
    ] {
        dev.run(ddl);
        cluster.wait(
            &format!(
                "SELECT coalesce(string_agg(concat_ws(' ', role_name, session_role, application, cause), ','), \
                     (SELECT string_agg(reason, '; ') FROM indexpilot.mutation_log WHERE kind = 'SCHEMA_CHANGE')) \
                 FROM indexpilot.mutation_log WHERE kind = 'SCHEMA_CHANGE' AND reason = $e${expected}$e$"
            ),
            "dev dev migrate user",
        );
    }
    let list =
        session.column("SELECT reason FROM indexpilot.mutation_log WHERE kind = 'SCHEMA_CHANGE'");
    for never in ["never", "scratch", "pg_toast"] {
        assert!(
            !list.iter().any(|line| line.contains(never)),
            "{never} in {list:#?}"
        );
    }
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.genome_catalog"),
        "0"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
}

#[test]
fn tampering_with_the_log_names_the_tamperer() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE mallory SUPERUSER LOGIN; SELECT indexpilot.annotate('hello')");
    let mut mallory = cluster.session_as("mallory", "postgres");
    mallory.run("ALTER TABLE indexpilot.mutation_log DISABLE TRIGGER guard_rows");
    cluster.wait(
        "SELECT count(*) FROM indexpilot.mutation_log WHERE role_name = 'mallory' \
         AND reason LIKE 'ALTER TABLE: table indexpilot.mutation_log%'",
        "1",
    );
}

#[test]
fn a_database_without_the_extension_leaves_no_notice() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE DATABASE other");
    cluster.session_in("other").run("CREATE TABLE t (id int)");
    session.run("CREATE TABLE marker (id int)");
    cluster.wait(
        "SELECT count(*) FROM indexpilot.mutation_log WHERE relation_name = 'marker'",
        "1",
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.mutation_log WHERE relation_name = 't'"),
        "0"
    );
}

#[test]
fn what_does_not_fit_into_the_ring_is_found_by_comparing() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE SCHEMA crm; SELECT indexpilot.genome_bootstrap('{crm}')");
    session.run(
        "DO $$ BEGIN FOR i IN 1..2500 LOOP \
         EXECUTE format('CREATE TABLE crm.t%s (id int)', i); END LOOP; END $$",
    );
    cluster.wait("SELECT count(*) FROM indexpilot.genome_catalog", "2500");
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.genome_refresh()"),
        "0"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
}
