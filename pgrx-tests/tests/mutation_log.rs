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
    assert_eq!(
        session.text(&format!("SELECT count(*) FROM {LOG} WHERE kind = 'NOTE'")),
        "1"
    );
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
            "SELECT role_name, session_role, application FROM {LOG} WHERE kind = 'NOTE'"
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
        two.column(&format!(
            "SELECT id FROM {LOG} WHERE kind = 'NOTE' ORDER BY sequence"
        )),
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
            "SELECT count(*) FILTER (WHERE kind = 'NOTE'), min(sequence), max(sequence) - count(*), count(*) FILTER (WHERE reason = 'taken back') FROM {LOG}"
        ))[0],
        [kept.to_string(), "1".into(), "0".into(), "0".into()].map(Some)
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
                 system_identifier, database_oid, log_oid, sequence, (extract(epoch from at)*1000000)::bigint, \
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
        "SELECT m::text FROM {LOG} AS m WHERE kind = 'NOTE' AND reason LIKE 'entry%' ORDER BY system_identifier, database_oid, sequence"
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
        there.text(&format!(
            "SELECT min(m.sequence) FROM {LOG} AS m JOIN {LOG} AS n USING (system_identifier, database_oid, log_oid) WHERE n.reason = 'after the restore'"
        )),
        "1"
    );

    // Into the same database again: the new log begins a chain beside the restored one.
    session.run("DROP EXTENSION indexpilot; DROP SCHEMA indexpilot");
    drop(session);
    let restored = cluster.psql("postgres", &dump.out);
    assert!(restored.ok, "{}", restored.err);
    let mut session = cluster.session();
    assert_eq!(session.column(&rows), before);
    note(&mut session, "after the restore");
    assert_eq!(
        session.text(&format!(
            "SELECT min(m.sequence) FROM {LOG} AS m JOIN {LOG} AS n USING (system_identifier, database_oid, log_oid) WHERE n.reason = 'after the restore'"
        )),
        "1"
    );
    assert_whole(&mut session);
}

/// Sealed entries of 100 days ago, put behind the end of the chain as a restore would.
const OLD_ENTRIES: &str = "
    DO $$ DECLARE r indexpilot.mutation_log; i int; BEGIN
        FOR i IN 1..20 LOOP
            SELECT * INTO r FROM indexpilot.mutation_log ORDER BY sequence DESC LIMIT 1;
            r.id := gen_random_uuid(); r.sequence := r.sequence + 1; r.previous_hash := r.hash;
            r.at := now() - interval '100 days'; r.kind := 'NOTE'; r.phase := 'done';
            r.cause := 'user'; r.reason := 'old ' || i; r.evidence := '{}'; r.inverse := NULL;
            IF i IN (7, 8) THEN
                r.kind := 'CREATE_INDEX'; r.index_schema := 'public'; r.index_name := 'kept_idx';
                r.phase := CASE i WHEN 7 THEN 'intent' ELSE 'outcome' END;
                r.parent := CASE i WHEN 8 THEN (SELECT id FROM indexpilot.mutation_log WHERE reason = 'old 7') END;
            ELSIF i IN (12, 13) THEN
                r.kind := 'CREATE_INDEX'; r.index_schema := 'public'; r.index_name := 'gone_idx';
                r.phase := CASE i WHEN 12 THEN 'intent' ELSE 'outcome' END;
                r.parent := CASE i WHEN 13 THEN (SELECT id FROM indexpilot.mutation_log WHERE reason = 'old 12') END;
            ELSE r.parent := NULL; r.index_schema := NULL; r.index_name := NULL;
            END IF;
            r.hash := sha256(convert_to(jsonb_build_array(r.id, r.system_identifier, r.database_oid,
                r.log_oid, r.sequence, (extract(epoch FROM r.at) * 1000000)::bigint, r.kind, r.phase, r.parent,
                r.cause, r.recommendation, r.relation_oid, r.schema_name, r.relation_name,
                r.index_oid, r.index_schema, r.index_name, r.tenant, r.reason, r.evidence, r.inverse,
                r.role_name, r.session_role, r.application, encode(r.previous_hash, 'hex'))::text, 'UTF8'));
            INSERT INTO indexpilot.mutation_log SELECT (r).*;
        END LOOP;
    END $$";

#[test]
fn retention_keeps_what_still_explains_something_and_the_chain() {
    let cluster = Cluster::builder().conf("indexpilot.enabled = off").start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot; CREATE TABLE t (id int); CREATE INDEX kept_idx ON t (id)",
    );
    note(&mut session, "the first");
    session.run(OLD_ENTRIES);
    assert_whole(&mut session);
    cluster.append_conf("indexpilot.enabled = on");
    cluster.reload();
    session.run("ALTER TABLE t ADD x int");
    cluster.wait(
        &format!("SELECT count(*) FROM {LOG} WHERE kind = 'CHECKPOINT'"),
        "1",
    );
    assert_whole(&mut session);
    assert_eq!(
        session.column(&format!(
            "SELECT reason FROM {LOG} WHERE reason LIKE 'old%' ORDER BY sequence"
        )),
        ["old 7", "old 8"]
    );
    // A second pruning carries the ranges of the first on.
    session.run("DROP INDEX kept_idx");
    session.run("DELETE FROM pg_catalog.pg_description WHERE false");
    let worker = cluster.pids_of("indexpilot worker");
    for pid in worker {
        cluster.kill(pid, indexpilot_tests::Signal::SIGTERM);
    }
    session.run("ALTER TABLE t ADD y int");
    cluster.wait(
        &format!("SELECT count(*) FROM {LOG} WHERE kind = 'CHECKPOINT'"),
        "2",
    );
    assert_whole(&mut session);
    // A row that is missing without a checkpoint's word still shows.
    session.run(&format!(
        "BEGIN; ALTER TABLE {LOG} DISABLE TRIGGER ALL; DELETE FROM {LOG} WHERE sequence = \
         (SELECT max(sequence) - 1 FROM {LOG})"
    ));
    assert!(
        session
            .column("SELECT problem FROM indexpilot.verify_log()")
            .contains(&"missing rows".to_owned())
    );
}

#[test]
fn changes_of_our_configuration_are_logged() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int)");
    note(
        &mut session,
        "nothing of its own accord goes into an empty log",
    );
    let entries = format!("SELECT count(*) FROM {LOG} WHERE kind = 'CONFIGURATION_CHANGE'");
    cluster.wait(&entries, "1");
    cluster.append_conf("indexpilot.max_indexes_per_table = 7");
    cluster.reload();
    session.run("ALTER TABLE t ADD x int");
    cluster.wait(&entries, "2");
    assert_eq!(
        session.text(&format!(
            "SELECT reason FROM {LOG} WHERE kind = 'CONFIGURATION_CHANGE' ORDER BY sequence DESC LIMIT 1"
        )),
        "indexpilot.max_indexes_per_table from \"10\" to \"7\""
    );
}

#[test]
fn the_timeline_and_the_summary_tell_the_same() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.a (x int); SELECT indexpilot.genome_bootstrap('{crm}');
         SELECT indexpilot.initialize_tenant('42'); SELECT indexpilot.disable_field('42', 'a', 'x');
         SELECT indexpilot.enable_field('42', 'crm.a', 'x', 'back again')",
    );
    assert_eq!(
        session.column("SELECT kind FROM indexpilot.recent_mutations(3, of_tenant => '42')"),
        ["ENABLE_FIELD", "DISABLE_FIELD", "INITIALIZE_TENANT"]
    );
    assert_eq!(
        session.column("SELECT reason FROM indexpilot.recent_mutations(1, 'crm.a', '42')"),
        ["back again"]
    );
    assert_eq!(
        session.text(
            "SELECT sum(actions) FROM indexpilot.mutation_summary(now() - interval '1 hour', of_tenant => '42')"
        ),
        "3"
    );
}
