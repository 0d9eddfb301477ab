//! Any sequence of DDL leaves genome and catalog equal; any sequence of field switches leaves
//! the profile equal to the replay of the log; descriptions load or say everything at once.

use indexpilot_tests::{Cluster, Session};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::{Cell, RefCell};

/// The catalog, read another way than the extension reads it.
const CATALOG: &str = "SELECT table_schema || '|' || table_name || '|' || column_name || '|' || \
     format_type(a.atttypid, a.atttypmod) || '|' || a.attnotnull || '|' || a.attnum || '|' || a.attrelid \
     FROM information_schema.columns \
     JOIN pg_attribute AS a ON a.attname = column_name \
         AND a.attrelid = (quote_ident(table_schema) || '.' || quote_ident(table_name))::regclass \
     JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
     WHERE table_schema IN (SELECT schema_name FROM indexpilot.genome_schema) ORDER BY 1";
const GENOME: &str = "SELECT schema_name || '|' || relation_name || '|' || field_name || '|' || \
     type_name || '|' || required || '|' || attribute_number || '|' || relation_oid \
     FROM indexpilot.genome_catalog ORDER BY 1";

#[track_caller]
fn assert_equal(session: &mut Session) {
    assert_eq!(session.column(GENOME), session.column(CATALOG));
    assert_eq!(
        session.text(
            "SELECT count(*) FROM indexpilot.expression_profile AS p \
             WHERE NOT EXISTS (SELECT FROM indexpilot.genome_catalog AS g WHERE g.id = p.field)"
        ),
        "0"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_profile()"),
        "0"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
}

const TYPES: [&str; 7] = [
    "int",
    "text",
    "varchar(20)",
    "json",
    "numeric(8,2)",
    "text[]",
    "xml",
];

/// A step of a random migration. Small numbers of names, so that steps meet.
fn step() -> impl Strategy<Value = String> {
    let schema = prop::sample::select(vec!["one", "two", "other"]);
    let table = prop::sample::select(vec!["a", "b", "\"C c\""]);
    let field = prop::sample::select(vec!["x", "y", "z", "\"W w\""]);
    let of_type = prop::sample::select(TYPES.to_vec());
    (0..22_u8, schema.clone(), schema, table.clone(), table, field.clone(), field, of_type).prop_map(
        |(kind, s, s2, t, t2, f, f2, ty)| match kind {
            0 | 1 => format!("CREATE TABLE {s}.{t} ({f} {ty})"),
            2 => format!("CREATE TABLE {s}.{t} ({f} {ty} NOT NULL, tenant_id int) PARTITION BY LIST (tenant_id)"),
            3 => format!("CREATE TABLE {s}.part_{} PARTITION OF {s}.{t} FOR VALUES IN (1)", ty.len()),
            4 => format!("DROP TABLE {s}.{t} CASCADE"),
            5..=8 => format!("ALTER TABLE {s}.{t} ADD COLUMN {f} {ty}"),
            9 => format!("ALTER TABLE {s}.{t} DROP COLUMN {f} CASCADE"),
            10 | 11 => format!("ALTER TABLE {s}.{t} RENAME COLUMN {f} TO {f2}"),
            12 => format!("ALTER TABLE {s}.{t} ALTER COLUMN {f} TYPE {ty} USING NULL"),
            13 => format!("ALTER TABLE {s}.{t} ALTER COLUMN {f} SET NOT NULL"),
            14 => format!("ALTER TABLE {s}.{t} ALTER COLUMN {f} DROP NOT NULL"),
            15 => format!("ALTER TABLE {s}.{t} RENAME TO {t2}"),
            16 => format!("ALTER TABLE {s}.{t} SET SCHEMA {s2}"),
            17 => format!("ALTER SCHEMA {s} RENAME TO {s2}"),
            18 => format!("DROP SCHEMA {s} CASCADE"),
            19 => format!("CREATE SCHEMA {s}"),
            20 => format!("CREATE TABLE {s}.{t} AS SELECT 1 AS {f}, 'a'::text AS {f2}"),
            _ => "SELECT FROM indexpilot.genome_refresh()".into(),
        },
    )
}

#[test]
fn any_ddl_leaves_genome_and_catalog_equal() {
    let cluster = Cluster::with_extension();
    let session = RefCell::new(cluster.session());
    let done = Cell::new(0_u32);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        cases: 120,
        ..Config::default()
    });
    let outcome = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        let session = &mut *session.borrow_mut();
        session.run(
            "DROP SCHEMA IF EXISTS one, two, other CASCADE; CREATE SCHEMA one; CREATE SCHEMA two;
             CREATE SCHEMA other; CREATE TABLE one.a (x int, y text);
             SELECT indexpilot.genome_bootstrap('{one,two}');
             SELECT indexpilot.initialize_tenants('{t1,t2}');",
        );
        for step in &steps {
            // Most steps meet something; those that do not are migrations that failed.
            done.set(done.get() + u32::from(session.try_rows(step).is_ok()));
        }
        session.run("SELECT FROM indexpilot.genome_refresh()");
        assert_equal(session);
        // Nothing is left to do.
        prop_assert_eq!(
            session.text("SELECT count(*) FROM indexpilot.genome_refresh()"),
            "0"
        );
        Ok(())
    });
    if let Err(e) = outcome {
        panic!("{e}");
    }
    let done = done.get();
    assert!(done > 400, "only {done} steps of DDL did anything");
}

#[test]
fn a_field_keeps_its_identity() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE SCHEMA crm2;
         CREATE TABLE crm.contacts (id bigint PRIMARY KEY, email text, body json);
         SELECT indexpilot.genome_bootstrap('{crm,crm2}');
         SELECT indexpilot.initialize_tenant('42');
         SELECT indexpilot.disable_field('42', 'crm.contacts', 'email', 'no mail there')",
    );
    let state = "SELECT g.schema_name, g.relation_name, g.field_name, p.enabled \
         FROM indexpilot.genome_catalog AS g JOIN indexpilot.expression_profile AS p ON p.field = g.id \
         WHERE g.attribute_number = 2 AND p.tenant = '42'";
    for (ddl, expected) in [
        (
            "ALTER TABLE crm.contacts RENAME COLUMN email TO mail",
            ["crm", "contacts", "mail"],
        ),
        (
            "ALTER TABLE crm.contacts RENAME TO people",
            ["crm", "people", "mail"],
        ),
        (
            "ALTER TABLE crm.people SET SCHEMA crm2",
            ["crm2", "people", "mail"],
        ),
        (
            "ALTER SCHEMA crm2 RENAME TO crm3",
            ["crm3", "people", "mail"],
        ),
        (
            "DROP TABLE crm3.people; CREATE TABLE crm3.people (id int, mail text, more text)",
            ["crm3", "people", "mail"],
        ),
    ] {
        session.run(ddl);
        session.run("SELECT FROM indexpilot.genome_refresh()");
        let mut expected: Vec<Option<String>> = expected
            .iter()
            .map(|name| Some((*name).to_owned()))
            .collect();
        expected.push(Some("f".into()));
        assert_eq!(session.rows(state), [expected], "{ddl}");
        assert_equal(&mut session);
    }
    // Two renames that swap names in one migration.
    session.run(
        "ALTER TABLE crm3.people RENAME COLUMN mail TO t; \
         ALTER TABLE crm3.people RENAME COLUMN more TO mail; \
         ALTER TABLE crm3.people RENAME COLUMN t TO more",
    );
    session.run("SELECT FROM indexpilot.genome_refresh()");
    assert_equal(&mut session);
    let told = session.column(
        "SELECT reason FROM indexpilot.mutation_log WHERE kind = 'SCHEMA_CHANGE' ORDER BY sequence",
    );
    assert_eq!(
        told[0],
        "fields of crm.contacts: \"email\" renamed to \"mail\""
    );
    assert!(told.iter().any(|t| t.contains("made again")), "{told:?}");
}

#[test]
fn obstacles_are_the_servers() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA s; CREATE DOMAIN s.doc AS json; CREATE TYPE s.mood AS ENUM ('a');
         CREATE TYPE s.pair AS (a int, b json);
         CREATE TABLE s.t (i int, t text, j json, jb jsonb, x xml, p point, ja json[], ta text[],
             d s.doc, m s.mood, ts tsvector, c s.pair, r int4range, huge text, bits varbit);
         ALTER TABLE s.t ALTER COLUMN huge SET STORAGE EXTERNAL;
         INSERT INTO s.t (huge) SELECT repeat(md5(i::text), 400) FROM generate_series(1, 20) AS i;
         ANALYZE s.t; SELECT indexpilot.genome_bootstrap('{s}')",
    );
    assert_eq!(
        session.column(
            "SELECT field_name FROM indexpilot.genome_catalog WHERE NOT indexable ORDER BY attribute_number"
        ),
        ["j", "x", "ja", "d", "c", "huge"]
    );
    for row in session.rows(
        "SELECT field_name, obstacle FROM indexpilot.genome_catalog WHERE NOT indexable AND field_name <> 'huge'",
    ) {
        let field = row[0].clone().expect("a name");
        let e = session.error(&format!("CREATE INDEX ON s.t ({field}); INSERT INTO s.t ({field}) VALUES ('x')"));
        assert!(row[1].as_ref().is_some_and(|why| why.contains("type")), "{e}");
    }
    assert!(
        session
            .text("SELECT obstacle FROM indexpilot.genome_catalog WHERE field_name = 'huge'")
            .contains("an index entry holds 2704")
    );
}

#[test]
fn descriptions_load_or_say_everything() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE SCHEMA crm; CREATE TABLE crm.contacts (id bigint PRIMARY KEY, email text, notes text)");
    let e = session.error(
        r#"SELECT indexpilot.genome_load('{"schema": "crm", "tables": [{"name": "contact", "fields": []},
            {"name": "contacts", "fields": [{"name": "emali"}, {"name": "id", "type": "text"}]}]}')"#,
    );
    assert_eq!(e.code, "22023");
    assert_eq!(e.message, "the schema description has 3 problems");
    assert_eq!(
        e.detail,
        "tables[0]: table \"crm.contact\" does not exist (did you mean \"contacts\"?)\n\
         tables[1].fields[0]: field \"emali\" of table \"crm.contacts\" does not exist (did you mean \"email\"?)\n\
         tables[1].fields[1].type: described as text, but the column is bigint"
    );
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.genome_catalog"),
        "0"
    );
    assert_eq!(
        session.text(
            r#"SELECT indexpilot.genome_load('{"schema": "crm", "tables": [{"name": "contacts", "feature_group": "core",
                "fields": [{"name": "email", "type": "TEXT", "feature_group": "mail"},
                           {"name": "notes", "indexable": false, "default_expression": false}]}]}')"#
        ),
        "2"
    );
    assert_eq!(
        session.column(
            "SELECT field_name || ' ' || indexable || ' ' || default_expression || ' ' || coalesce(feature_group, '-') \
             FROM indexpilot.genome_catalog ORDER BY attribute_number"
        ),
        ["id true true -", "email true true mail", "notes false false core"]
    );
    // What it describes, it loads; and then nothing changes.
    assert_eq!(
        session.text("SELECT indexpilot.genome_load(indexpilot.genome_describe())"),
        "0"
    );
    assert_eq!(
        session.text("SELECT indexpilot.initialize_tenant('42')"),
        "2"
    );
}

#[test]
fn any_switches_leave_the_profile_as_the_log_replays_it() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.a (f0 int, f1 int, f2 int, f3 int);
         CREATE TABLE crm.b (f0 int, f1 int, f2 int, f3 int); SELECT indexpilot.genome_bootstrap('{crm}')",
    );
    let switch = (
        0..9_u8,
        0..4_u8,
        prop::sample::select(vec!["a", "b"]),
        0..4_u8,
    );
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        cases: 30,
        ..Config::default()
    });
    let shared = RefCell::new(session);
    let outcome = runner.run(&prop::collection::vec(switch, 1..40), |switches| {
        let session = &mut *shared.borrow_mut();
        for (kind, tenant, table, field) in switches {
            let statement = match kind {
                0 => format!("SELECT indexpilot.initialize_tenant('t{tenant}')"),
                1 => format!("SELECT indexpilot.initialize_tenant('t{tenant}', 't0')"),
                2 | 3 => format!("SELECT indexpilot.enable_field('t{tenant}', '{table}', 'f{field}')"),
                4 | 5 => format!("SELECT indexpilot.disable_field('t{tenant}', 'crm.{table}', 'f{field}')"),
                6 => format!("BEGIN; SELECT indexpilot.disable_fields('{{t{tenant}}}', '{{a.*,crm.b.f{field}}}'); \
                     SELECT indexpilot.enable_field('t{tenant}', '{table}', 'f{field}'); COMMIT"),
                7 => format!("BEGIN; SELECT indexpilot.enable_fields('{{t{tenant}}}', '{{{table}.*}}'); ROLLBACK"),
                _ => format!("ALTER TABLE crm.{table} DROP COLUMN f{field}; \
                     ALTER TABLE crm.{table} ADD COLUMN f{field} int; SELECT FROM indexpilot.genome_refresh()"),
            };
            if let Err(e) = session.try_rows(&statement) {
                prop_assert!(e.message.ends_with("has no profile"), "{}", e);
                session.run("ROLLBACK");
            }
        }
        prop_assert_eq!(session.column("SELECT tenant FROM indexpilot.verify_profile()"), Vec::<String>::new());
        Ok(())
    });
    if let Err(e) = outcome {
        panic!("{e}");
    }
    let mut session = shared.into_inner();
    assert_equal(&mut session);
    // The check can fail.
    session.run(
        "UPDATE indexpilot.expression_profile SET enabled = NOT enabled WHERE tenant = \
         (SELECT min(tenant) FROM indexpilot.expression_profile)",
    );
    assert_ne!(
        session.text("SELECT count(*) FROM indexpilot.verify_profile()"),
        "0"
    );
}

#[test]
fn wrong_names_get_a_suggestion() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int, email text)");
    // An empty genome refuses nothing that the catalog has.
    session.run("SELECT indexpilot.initialize_tenant('acme')");
    assert!(
        session
            .notices()
            .iter()
            .any(|n| n.message.contains("genome was empty"))
    );
    let e = session.error("SELECT indexpilot.enable_field('acme', 'contacts', 'emial')");
    assert_eq!(
        (e.code.as_str(), e.message.as_str()),
        (
            "42703",
            "no field matches \"contacts.emial\" (did you mean \"contacts.email\"?)"
        )
    );
    let e = session.error("SELECT indexpilot.enable_field('amce', 'contacts', 'email')");
    assert_eq!(
        (e.code.as_str(), e.detail.as_str()),
        ("42704", "Did you mean \"acme\"?")
    );
    let e = session.error("SELECT indexpilot.genome_bootstrap('{crn}')");
    assert_eq!(e.message, "no such schema: \"crn\" (did you mean \"crm\"?)");
    session.run("CREATE SCHEMA two; CREATE TABLE two.contacts (id int, email text); SELECT indexpilot.genome_bootstrap()");
    let e = session.error("SELECT indexpilot.enable_field('acme', 'contacts', 'email')");
    assert_eq!(
        e.message,
        "\"contacts.email\" is ambiguous: \"crm\".\"contacts\", \"two\".\"contacts\""
    );
}

#[test]
fn names_and_values_are_checked_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE DOMAIN crm.share AS numeric CHECK (VALUE BETWEEN 0 AND 1);
         CREATE TABLE crm.contacts (id int NOT NULL, email varchar(5), since date, part crm.share,
             tags text[], more jsonb)",
    );
    let mut problems = |relation: &str, values: &str| {
        session
            .rows(&format!(
                "SELECT field, problem, suggestion FROM indexpilot.genome_validate('{relation}', '{values}') ORDER BY field"
            ))
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|"))
            .collect::<Vec<_>>()
    };
    // An empty genome refuses nothing.
    assert!(problems("contcats", r#"{"x": 1}"#).is_empty());
    session_bootstrap(&cluster);
    assert_eq!(
        problems("contcats", "{}"),
        ["|the genome has no relation \"contcats\"|contacts"]
    );
    assert_eq!(
        problems("crm.contcats", "{}"),
        ["|the genome has no relation \"crm.contcats\"|crm.contacts"]
    );
    let fits = r#"{"id": 7, "email": "a@b.c", "since": "2024-02-29", "part": 0.5, "tags": ["x"], "more": {"a": []}}"#;
    assert!(problems("crm.contacts", fits).is_empty());
    assert!(problems("contacts", r#"{"email": null}"#).is_empty());
    // All problems at once.
    let wrong = r#"{"id": null, "emial": "x", "email": "too long", "since": "2023-02-29", "part": 2, "tags": "x"}"#;
    let found = problems("contacts", wrong);
    for (found, part) in found.iter().zip([
        "email|it is no character varying(5): value too long for type character varying(5)|",
        "emial|\"contacts\" has no field \"emial\"|email",
        "id|it is required, so it must not be null|",
        "part|it is no crm.share: value for domain crm.share violates check constraint",
        "since|it is no date: date/time field value out of range: \"2023-02-29\"|",
        "tags|it is no text[]: ",
    ]) {
        assert!(found.starts_with(part), "{found}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
    // Nothing of it stays, and the transaction goes on.
    let mut session = cluster.session();
    session.run("BEGIN; CREATE TABLE crm.later (x int)");
    session.run("SELECT indexpilot.genome_validate('contacts', '{\"id\": \"x\"}'); COMMIT");
    assert_eq!(
        session.text("SELECT count(*) FROM pg_class WHERE relname = 'later'"),
        "1"
    );
    let e = session.error("SELECT indexpilot.genome_validate('contacts', '[1]')");
    assert_eq!(e.message, "values must be a JSON object");
}

fn session_bootstrap(cluster: &Cluster) {
    cluster
        .session()
        .run("SELECT indexpilot.genome_bootstrap('{crm}')");
}

/// Which fields each tenant uses.
const PROFILE: &str = "SELECT p.tenant || ' ' || g.field_name || ' ' || p.enabled FROM indexpilot.expression_profile AS p \
     JOIN indexpilot.genome_catalog AS g ON g.id = p.field ORDER BY 1";

#[test]
fn dump_and_restore_keep_genome_and_profile() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.contacts (gone int, id int, email text);
         ALTER TABLE crm.contacts DROP COLUMN gone;
         SELECT indexpilot.genome_bootstrap('{crm}'); SELECT indexpilot.initialize_tenant('42');
         SELECT indexpilot.disable_field('42', 'contacts', 'email')",
    );
    let before = session.column(PROFILE);
    assert_eq!(before, ["42 email false", "42 id true"]);
    let dump = cluster.output(cluster.program("pg_dump").args(["-d", "postgres"]), "");
    assert!(dump.ok, "{}", dump.err);
    let other = Cluster::builder().own_system_identifier().start();
    let restored = other.psql("postgres", &dump.out);
    assert!(restored.ok, "{}", restored.err);
    let mut there = other.session();
    there.run("SELECT FROM indexpilot.genome_refresh()");
    assert_eq!(there.column(PROFILE), before);
    assert_equal(&mut there);
    there.run("SELECT indexpilot.enable_field('42', 'contacts', 'email')");
    assert_eq!(there.column(PROFILE), ["42 email true", "42 id true"]);
    assert_equal(&mut there);
    assert_eq!(
        there.text("SELECT count(*) FROM indexpilot.verify_log()"),
        "0"
    );
    assert_eq!(
        there.text("SELECT count(*) FROM indexpilot.verify_profile()"),
        "0"
    );
}

/// A restore loads one table after the other, and the worker may refresh in between.
#[test]
fn a_refresh_in_the_middle_of_a_restore_loses_nothing() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int, email text);
         SELECT indexpilot.genome_bootstrap('{crm}'); SELECT indexpilot.initialize_tenant('42');
         SELECT indexpilot.disable_field('42', 'contacts', 'email')",
    );
    let before = session.column(PROFILE);
    assert_eq!(before, ["42 email false", "42 id true"]);
    // As COPY leaves them: fields of another cluster, their schemas still to come.
    session.run(
        "CREATE TEMP TABLE schemas AS SELECT * FROM indexpilot.genome_schema;
         UPDATE schemas SET system_identifier = 1, schema_oid = 1;
         UPDATE indexpilot.genome_catalog SET system_identifier = 1, relation_oid = 1;
         DELETE FROM indexpilot.genome_schema;
         SELECT FROM indexpilot.genome_refresh();
         INSERT INTO indexpilot.genome_schema SELECT * FROM schemas;
         SELECT FROM indexpilot.genome_refresh()",
    );
    assert_eq!(session.column(PROFILE), before);
    assert_equal(&mut session);
    // The other way round, as parallel jobs may: the refresh meets schemas without their fields.
    session.run(
        "CREATE TEMP TABLE fields AS SELECT id, relation_oid, attribute_number, schema_name,
             relation_name, field_name, type_name, required, obstacle, index_allowed,
             default_expression, feature_group, created_at, updated_at
         FROM indexpilot.genome_catalog;
         DELETE FROM indexpilot.genome_catalog;
         SELECT FROM indexpilot.genome_refresh();
         INSERT INTO indexpilot.genome_catalog (id, system_identifier, database_oid, relation_oid,
             attribute_number, schema_name, relation_name, field_name, type_name, required, obstacle,
             index_allowed, default_expression, feature_group, created_at, updated_at)
         SELECT id, 1, 1, 1, attribute_number, schema_name, relation_name, field_name, type_name,
             required, obstacle, index_allowed, default_expression, feature_group, created_at, updated_at
         FROM fields;
         SELECT FROM indexpilot.genome_refresh()",
    );
    assert_eq!(session.column(PROFILE), before);
    assert_equal(&mut session);
}

/// The schemas of a dump arrive while a refresh is between two of its statements.
#[test]
fn a_restore_in_the_middle_of_a_refresh_loses_nothing() {
    // The worker's own refreshes would come in between.
    let cluster = Cluster::builder()
        .conf("indexpilot.disabled_modules = 'worker'")
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot; CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int, email text); CREATE SCHEMA held;
         SELECT indexpilot.genome_bootstrap('{crm,held}'); SELECT indexpilot.initialize_tenant('42');
         CREATE TEMP TABLE schemas AS SELECT * FROM indexpilot.genome_schema WHERE schema_name = 'crm';
         UPDATE schemas SET system_identifier = 1, schema_oid = 1;
         UPDATE indexpilot.genome_catalog SET system_identifier = 1, relation_oid = 1;
         DELETE FROM indexpilot.genome_schema WHERE schema_name = 'crm';
         UPDATE indexpilot.genome_schema SET system_identifier = 1",
    );
    let fields = "SELECT count(*) FROM indexpilot.genome_catalog AS g \
         JOIN indexpilot.expression_profile AS p ON p.field = g.id";
    assert_eq!(session.text(fields), "2");
    // Its first statement has to wait for a row.
    session.run("BEGIN; SELECT FROM indexpilot.genome_schema FOR UPDATE");
    std::thread::scope(|scope| {
        let refresh = scope.spawn(|| {
            cluster
                .session()
                .run("SELECT FROM indexpilot.genome_refresh()");
        });
        cluster.wait(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
                 WHERE query LIKE '%genome_refresh()' AND wait_event_type = 'Lock')",
            "t",
        );
        session.run("INSERT INTO indexpilot.genome_schema SELECT * FROM schemas; COMMIT");
        refresh.join().expect("the refresh");
    });
    session.run("SELECT FROM indexpilot.genome_refresh()");
    assert_eq!(session.text(fields), "2");
    assert_equal(&mut session);
}
