//! Which statements are one statement (`data/identities.txt`), and that query identifiers of
//! the server and of other libraries stay what they are.

use indexpilot_tests::{Cluster, Session, lacks_module, major};
use std::collections::BTreeMap;

const SCHEMA: &str = include_str!("data/identities.sql");
const IDENTITIES: &str = include_str!("data/identities.txt");
const OF_HSTORE: &str = include_str!("data/identities_hstore.txt");

fn watched(cluster: &Cluster) -> Session {
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    cluster.session()
}

/// The identifier that EXPLAIN shows.
fn shown(session: &mut Session, statement: &str) -> Option<String> {
    let plan = session.text(&format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}"));
    let (_, rest) = plan.split_once("\"Query Identifier\": ")?;
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit())?;
    Some(rest[..end].to_owned())
}

/// The paragraphs that this major reads.
fn paragraphs(text: &'static str) -> Vec<Vec<&'static str>> {
    let readable = |line: &'static str| match line.split_once(": ") {
        Some(("15 only", statement)) => (major() == 15).then_some(statement),
        Some((least, statement)) if least.parse::<u32>().is_ok() => {
            (least.parse::<u32>().is_ok_and(|least| least <= major())).then_some(statement)
        }
        _ => Some(line),
    };
    text.split("\n\n")
        .map(|paragraph| {
            paragraph
                .lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(readable)
                .collect::<Vec<_>>()
        })
        .filter(|paragraph| !paragraph.is_empty())
        .collect()
}

/// Fails where statements of one paragraph have two identifiers, or those of two have one.
fn tells_apart(cluster: &Cluster, session: &mut Session, paragraphs: &[Vec<&str>]) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut wrong = String::new();
    for paragraph in paragraphs {
        let mut ids: Vec<String> = paragraph
            .iter()
            .map(|statement| shown(session, statement).expect("an identifier of ours"))
            .collect();
        ids.dedup();
        if ids.len() > 1 {
            wrong.push_str(&format!("one, yet told apart: {paragraph:#?}\n"));
        }
        for id in ids {
            if let Some(other) = seen.insert(id, paragraph[0]) {
                wrong.push_str(&format!("taken for one: {other}\n{}\n", paragraph[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let log = cluster.log();
    assert!(!log.contains("is not known to it"), "{log}");
}

#[test]
fn every_major_tells_apart_what_is_different_and_nothing_else() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(SCHEMA);
    let paragraphs = paragraphs(IDENTITIES);
    assert!(paragraphs.len() > 170, "{}", paragraphs.len());
    tells_apart(&cluster, &mut session, &paragraphs);
}

#[test]
fn keys_of_an_extensions_documents_are_told_apart() {
    if lacks_module("hstore") {
        return;
    }
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE EXTENSION hstore; CREATE TABLE h (id int, a hstore)");
    let paragraphs = paragraphs(OF_HSTORE);
    assert_eq!(paragraphs.len(), 4);
    tells_apart(&cluster, &mut session, &paragraphs);
}

/// What the server tells apart we do too, lists of values excepted.
#[test]
fn every_major_is_no_coarser_than_the_server() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(include_str!("data/field_roles_schema.sql"));
    session.run("SET search_path = crm; SET app.tenant = '00000000-0000-0000-0000-000000000001'");
    let mut by_ours: BTreeMap<String, (String, &str)> = BTreeMap::new();
    let statements: Vec<&str> = include_str!("data/field_roles.txt")
        .lines()
        .filter(|line| !line.starts_with(['#', '\t']) && !line.contains("$1"))
        .collect();
    assert!(statements.len() >= 70, "{}", statements.len());
    for statement in statements {
        let ours = shown(&mut session, statement).expect("an identifier of ours");
        session.run("SET compute_query_id = on");
        let theirs = shown(&mut session, statement).expect("an identifier of the server");
        session.run("RESET compute_query_id");
        assert_ne!(ours, theirs);
        if let Some((other, text)) = by_ours.insert(ours, (theirs.clone(), statement)) {
            assert_eq!(other, theirs, "{text}\n{statement}");
        }
    }
}

#[test]
fn lists_of_parameters_are_one_whatever_their_length() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(SCHEMA);
    session.run("PREPARE two (int, int, int) AS SELECT b FROM t WHERE id = $1 AND a IN ($2, $3)");
    session.run(
        "PREPARE three (int, int, int, int) AS SELECT b FROM t WHERE id = $1 AND a IN ($2, $3, $4)",
    );
    session.run("PREPARE last (int, int, int) AS SELECT b FROM t WHERE a IN ($1, $2) AND id = $3");
    session.run(
        "PREPARE later (int, int, int, int) AS SELECT b FROM t WHERE a IN ($1, $2, $3) AND id = $4",
    );
    let two = shown(&mut session, "EXECUTE two (1, 2, 3)");
    assert!(two.is_some());
    assert_eq!(two, shown(&mut session, "EXECUTE three (1, 2, 3, 4)"));
    // The number of a parameter outside of the list says where its value is found.
    assert_ne!(
        shown(&mut session, "EXECUTE last (1, 2, 3)"),
        shown(&mut session, "EXECUTE later (1, 2, 3, 4)")
    );
}

/// A cached plan, a fresh one, and the session's activity show the identifier that `statements`
/// has.
#[test]
fn every_major_shows_its_identifier_where_there_is_no_other() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE FUNCTION folded() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM count(*) FROM pg_class; RETURN 1; END'");
    let own = "SELECT query_id FROM pg_stat_activity WHERE pid = pg_backend_pid() AND folded() = 1";
    let first = session.text(own);
    session.run(&format!("PREPARE mine AS {own}"));
    for _ in 0..7 {
        assert_eq!(session.text("EXECUTE mine"), first);
    }
    assert_eq!(shown(&mut session, own).as_deref(), Some(first.as_str()));
    cluster.wait(
        &format!("SELECT calls FROM indexpilot.statements WHERE top_level AND query_id = {first}"),
        "8",
    );
}

/// pg_stat_statements keeps the server's identifiers, whichever library is first; two fields of
/// a document are one statement to it and two to us.
#[test]
fn the_servers_identifiers_are_left_alone() {
    if lacks_module("pg_stat_statements") {
        return;
    }
    for libraries in [
        "pg_stat_statements,indexpilot",
        "indexpilot,pg_stat_statements",
    ] {
        let cluster = Cluster::builder().preload(libraries).start();
        let mut session = cluster.session();
        session.run("CREATE EXTENSION indexpilot; CREATE EXTENSION pg_stat_statements");
        session.run(SCHEMA);
        drop(watched(&cluster));
        session.run("PREPARE p (int) AS SELECT b FROM t WHERE d->>'k' = 'x' AND a = $1");
        for number in 0..8 {
            session.run(&format!("EXECUTE p ({number})"));
        }
        for (key, times) in [("k", 2), ("l", 3)] {
            for number in 0..times {
                session.run(&format!("SELECT a FROM t WHERE d->>'{key}' = '{number}'"));
            }
        }
        let ours = |text: &str| {
            format!(
                "SELECT coalesce(sum(calls), 0) FROM indexpilot.statements WHERE query = $q${text}$q$"
            )
        };
        cluster.wait(&ours("SELECT a FROM t WHERE d->>'k' = $1"), "2");
        cluster.wait(&ours("SELECT a FROM t WHERE d->>'l' = $1"), "3");
        cluster.wait(
            &ours("PREPARE p (int) AS SELECT b FROM t WHERE d->>'k' = $2 AND a = $1"),
            "8",
        );
        assert_eq!(
            session.column(
                "SELECT field || ' ' || sum(calls) FROM indexpilot.query_stats
                 WHERE field LIKE '(d%' AND role = 'equality' GROUP BY field ORDER BY 1"
            ),
            ["(d ->> 'k'::text) 10", "(d ->> 'l'::text) 3"]
        );
        // Theirs: one statement, by the identifier that both show.
        assert_eq!(
            session.column(
                "SELECT p.calls || ' ' || count(DISTINCT s.id) FROM pg_stat_statements AS p
                 JOIN indexpilot.statements AS s ON s.query_id = p.queryid
                 WHERE p.query LIKE 'SELECT a FROM t WHERE d->>%' GROUP BY p.queryid, p.calls"
            ),
            ["5 2"],
            "{libraries}"
        );
        let before = shown(&mut session, "SELECT a FROM t WHERE a = 1");
        session.run("SET compute_query_id = off");
        assert_eq!(shown(&mut session, "SELECT a FROM t WHERE a = 1"), None);
        session.run("SET compute_query_id = on");
        assert_eq!(shown(&mut session, "SELECT a FROM t WHERE a = 1"), before);
    }
}

/// With identifiers switched off nothing is shown, and everything is counted.
#[test]
fn every_major_counts_without_query_identifiers() {
    let cluster = Cluster::builder().conf("compute_query_id = off").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    session.run(SCHEMA);
    drop(watched(&cluster));
    assert_eq!(shown(&mut session, "SELECT a FROM t WHERE a = 1"), None);
    assert_eq!(
        session.value("SELECT query_id FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
        None
    );
    session.run("PREPARE p (int) AS SELECT a FROM t WHERE id = $1 AND b = 'x'");
    for number in 0..9 {
        session.run(&format!("EXECUTE p ({number})"));
        session.run(&format!("SELECT a FROM t WHERE lower(b) = '{number}'"));
    }
    cluster.wait(
        "SELECT string_agg(field || ' ' || calls, ', ' ORDER BY field COLLATE \"C\") FROM (
             SELECT field, sum(calls) AS calls FROM indexpilot.query_stats
             WHERE role = 'equality' AND relation = '\"public\".\"t\"' GROUP BY 1) AS f",
        "b 9, id 9, lower(b) 9",
    );
}

/// Statements that the server gives no identifier before 18, or in no major: they are counted
/// as what runs inside of another.
#[test]
fn every_major_counts_what_other_statements_hold() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(SCHEMA);
    session.run(
        "CREATE FUNCTION atomic(x int) RETURNS bigint LANGUAGE sql
         BEGIN ATOMIC; SELECT count(*) FROM t WHERE c = x; SELECT count(*) FROM t WHERE b = 'x'; END",
    );
    session.run("CREATE TABLE copy AS SELECT a FROM t WHERE a = 5");
    session.run("SELECT atomic(1)");
    session
        .run("BEGIN; DECLARE x CURSOR FOR SELECT id FROM t WHERE id = 7; FETCH ALL FROM x; COMMIT");
    cluster.wait(
        "SELECT string_agg(field || ' ' || calls, ', ' ORDER BY field) FROM (
             SELECT field, sum(calls) AS calls FROM indexpilot.query_stats
             WHERE role = 'equality' AND relation = '\"public\".\"t\"' GROUP BY 1) AS f",
        "a 1, b 1, c 1, id 1",
    );
}
