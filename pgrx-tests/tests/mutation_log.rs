//! The mutation log is append-only to everybody, its chain holds under concurrency and any
//! isolation level, tampering shows, and it survives dump and restore.

use std::thread;

use indexpilot_tests::{Cluster, Session};

const LOG: &str = "indexpilot.mutation_log";

fn note(session: &mut Session, text: &str) -> String {
    session.text(&format!("SELECT indexpilot.annotate('{text}')"))
}

fn problems(session: &mut Session) -> Vec<String> {
    session.column("SELECT problem || ': ' || detail FROM indexpilot.verify_log()")
}

#[track_caller]
fn assert_whole(session: &mut Session) {
    assert_eq!(problems(session), Vec::<String>::new());
}

#[test]
fn changes_are_refused_to_everyone_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    note(&mut session, "first");
    for role in ["origin", "local", "replica"] {
        session.run(&format!("SET session_replication_role = {role}"));
        for (statement, word) in [
            (format!("UPDATE {LOG} SET reason = 'forged'"), "update"),
            (
                format!("UPDATE {LOG} SET reason = 'forged' WHERE false"),
                "update",
            ),
            (format!("DELETE FROM {LOG}"), "delete from"),
            (format!("TRUNCATE {LOG}"), "truncate"),
            (
                format!("MERGE INTO {LOG} USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE"),
                "delete from",
            ),
            (
                format!(
                    "INSERT INTO {LOG} SELECT (jsonb_populate_record(m, '{{\"sequence\": null, \
                     \"hash\": null, \"previous_hash\": null, \
                     \"id\": \"00000000-0000-0000-0000-000000000001\"}}')).* FROM {LOG} AS m"
                ),
                "insert into",
            ),
        ] {
            let e = session.error(&statement);
            assert_eq!(e.code, "42501", "{role}: {statement}: {e}");
            assert_eq!(
                e.message,
                format!("cannot {word} the mutation log: it is append-only")
            );
            assert!(!e.hint.is_empty() && !e.detail.is_empty());
        }
        // A forged row that pretends to be sealed does not give its own hash.
        let e = session.error(&format!(
            "INSERT INTO {LOG} SELECT (jsonb_populate_record(m, '{{\"sequence\": 2, \
             \"id\": \"00000000-0000-0000-0000-000000000001\"}}')).* FROM {LOG} AS m"
        ));
        assert_eq!(e.code, "23514", "{e}");
    }
    session.run("RESET session_replication_role");
    assert_eq!(session.text(&format!("SELECT count(*) FROM {LOG}")), "1");
    assert_whole(&mut session);
}

#[test]
fn users_without_rights_see_and_write_nothing() {
    let cluster = Cluster::with_extension();
    cluster.session().run("CREATE ROLE app LOGIN");
    let mut app = cluster.session_as("app", "postgres");
    for statement in [
        "SELECT * FROM indexpilot.mutation_log",
        "SELECT indexpilot.annotate('mine')",
        "SELECT * FROM indexpilot.verify_log()",
        "SELECT * FROM indexpilot.log_head()",
    ] {
        assert_eq!(app.error(statement).code, "42501", "{statement}");
    }
    // A grant is enough: the function writes as the owner of the log, and names the role.
    let mut session = cluster.session();
    session.run("GRANT EXECUTE ON FUNCTION indexpilot.annotate(text, uuid) TO app");
    note(&mut app, "deployed 4.2");
    assert_eq!(
        session.rows(&format!(
            "SELECT role_name, session_role, application FROM {LOG}"
        )),
        [["app", "app", "indexpilot-tests"].map(|text| Some(text.to_owned()))]
    );
    // The rights were only lent.
    assert_eq!(app.error(&format!("SELECT FROM {LOG}")).code, "42501");
    assert_eq!(app.text("SELECT current_user"), "app");
}

#[test]
fn an_open_transaction_holds_nobody_up() {
    let cluster = Cluster::with_extension();
    let (mut one, mut two) = (cluster.session(), cluster.session());
    two.run("SET statement_timeout = '20s'");
    one.run("BEGIN");
    let first = note(&mut one, "begun first");
    let second = note(&mut two, "committed first");
    // It sees its own entry before it has a place.
    assert_eq!(
        one.value(&format!("SELECT sequence FROM {LOG} WHERE id = '{first}'")),
        None
    );
    one.run("COMMIT");
    assert_eq!(
        two.column(&format!("SELECT id FROM {LOG} ORDER BY sequence")),
        [second, first]
    );
    assert_whole(&mut two);
}

#[test]
fn the_chain_holds_under_concurrency_and_any_isolation() {
    let cluster = Cluster::with_extension();
    let workers: Vec<_> = [
        "read committed",
        "repeatable read",
        "serializable",
        "read committed",
    ]
    .into_iter()
    .enumerate()
    .map(|(number, isolation)| {
        let mut session = cluster.session();
        thread::spawn(move || {
            session.run(&format!(
                "SET default_transaction_isolation = '{isolation}'"
            ));
            let mut kept = 0;
            for turn in 0..40 {
                session.run("BEGIN");
                // The snapshot is older than what others commit meanwhile.
                session.run("SELECT count(*) FROM pg_class");
                note(&mut session, &format!("w{number} t{turn}"));
                session.run("SAVEPOINT s");
                note(&mut session, "taken back");
                session.run("ROLLBACK TO s");
                note(&mut session, &format!("w{number} t{turn} again"));
                if turn % 5 == 0 {
                    session.run("ROLLBACK");
                    continue;
                }
                match session.try_rows("COMMIT") {
                    Ok(_) => kept += 2,
                    // SERIALIZABLE may ask for a retry, as anywhere.
                    Err(e) => assert_eq!(
                        (isolation, e.code.as_str()),
                        ("serializable", "40001"),
                        "{e}"
                    ),
                }
            }
            kept
        })
    })
    .collect();
    let kept: u32 = workers
        .into_iter()
        .map(|w| w.join().expect("a worker"))
        .sum();
    let mut session = cluster.session();
    assert_eq!(
        session.rows(&format!(
            "SELECT count(*), min(sequence), max(sequence), count(*) FILTER (WHERE reason = 'taken back') FROM {LOG}"
        ))[0],
        [kept.to_string(), "1".into(), kept.to_string(), "0".into()].map(Some)
    );
    assert_whole(&mut session);
}

#[test]
fn tampering_by_ddl_shows() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    for number in 1..=6 {
        note(&mut session, &format!("entry {number}"));
    }
    let head = session
        .rows("SELECT sequence, hash FROM indexpilot.log_head()")
        .remove(0);
    let (place, hash) = (
        head[0].clone().expect("a place"),
        head[1].clone().expect("a hash"),
    );
    let anchored = format!("SELECT problem FROM indexpilot.verify_log({place}, '{hash}')");
    assert_eq!(session.column(&anchored), Vec::<String>::new());
    let off = format!("ALTER TABLE {LOG} DISABLE TRIGGER ALL;");
    let on = format!(
        "ALTER TABLE {LOG} ENABLE ALWAYS TRIGGER guard_rows, ENABLE ALWAYS TRIGGER guard_statements, \
         ENABLE ALWAYS TRIGGER seal;"
    );
    let rehash = format!("ALTER TABLE {LOG} DROP CONSTRAINT mutation_log_hash;");
    for (tamper, expected) in [
        (off.clone(), "guard missing"),
        (
            format!("ALTER TABLE {LOG} ENABLE TRIGGER guard_rows"),
            "guard missing",
        ),
        (format!("DROP TRIGGER seal ON {LOG}"), "guard missing"),
        (rehash.clone(), "guard missing"),
        (
            "CREATE OR REPLACE FUNCTION indexpilot.mutation_log_guard() RETURNS trigger \
             LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
                .into(),
            "guard missing",
        ),
        (
            format!("CREATE RULE nothing AS ON INSERT TO {LOG} DO INSTEAD NOTHING"),
            "foreign rule",
        ),
        (
            format!("ALTER TABLE {LOG} ENABLE ROW LEVEL SECURITY"),
            "row security",
        ),
        (
            format!("CREATE TABLE more () INHERITS ({LOG})"),
            "inheritance",
        ),
        (
            format!("{off} {rehash} UPDATE {LOG} SET reason = 'forged' WHERE sequence = 3; {on}"),
            "changed row",
        ),
        (
            format!("{off} DELETE FROM {LOG} WHERE sequence = 3; {on}"),
            "missing rows",
        ),
        (
            format!("{off} DELETE FROM {LOG} WHERE sequence = 1; {on}"),
            "missing rows",
        ),
        (
            // The end cut off: only the anchor shows it.
            format!("{off} DELETE FROM {LOG} WHERE sequence > 4; {on}"),
            "anchor gone",
        ),
        (
            // A row replaced by one that gives its own hash: the next link breaks.
            format!(
                "{off} {rehash} UPDATE {LOG} AS m SET reason = 'forged' WHERE sequence = 3; \
                 UPDATE {LOG} AS m SET hash = sha256(convert_to(jsonb_build_array(id, \
                 system_identifier, database_oid, sequence, (extract(epoch from at)*1000000)::bigint, \
                 kind, phase, parent, cause, recommendation, relation_oid, schema_name, relation_name, \
                 index_oid, index_schema, index_name, tenant, reason, evidence, inverse, role_name, \
                 session_role, application, encode(previous_hash, 'hex'))::text, 'UTF8')) \
                 WHERE sequence = 3; {on}"
            ),
            "broken link",
        ),
    ] {
        session.run(&format!("BEGIN; {tamper}"));
        let found = session.column(&anchored);
        assert!(
            found.iter().any(|problem| problem == expected),
            "{tamper}: {found:?}"
        );
        session.run("ROLLBACK");
        assert_whole(&mut session);
    }
}

#[test]
fn dump_and_restore_keep_the_log_whole_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    for number in 1..=20 {
        note(&mut session, &format!("entry {number} ''quoted'' ä\n\\N"));
    }
    let rows = format!(
        "SELECT m::text FROM {LOG} AS m ORDER BY system_identifier, database_oid, sequence"
    );
    let before = session.column(&rows);
    let dump = cluster.output(cluster.program("pg_dump").args(["-d", "postgres"]), "");
    assert!(dump.ok, "{}", dump.err);
    assert!(!dump.err.contains("warning"), "{}", dump.err);

    // Into another cluster: its rows are of elsewhere, and its own chain begins beside them.
    let other = Cluster::builder().own_system_identifier().start();
    let restored = other.psql("postgres", &dump.out);
    assert!(restored.ok, "{}", restored.err);
    let mut there = other.session();
    assert_eq!(there.column(&rows), before);
    assert_whole(&mut there);
    note(&mut there, "after the restore");
    assert_whole(&mut there);
    assert_eq!(
        there.text("SELECT sequence FROM indexpilot.log_head()"),
        "1"
    );

    // Into the same database again: the chain goes on where it was.
    session.run("DROP EXTENSION indexpilot; DROP SCHEMA indexpilot");
    drop(session);
    let restored = cluster.psql("postgres", &dump.out);
    assert!(restored.ok, "{}", restored.err);
    let mut session = cluster.session();
    assert_eq!(session.column(&rows), before);
    note(&mut session, "after the restore");
    assert_eq!(
        session.text("SELECT sequence FROM indexpilot.log_head()"),
        "21"
    );
    assert_whole(&mut session);
}
