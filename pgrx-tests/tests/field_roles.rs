//! Which fields a statement uses and how, on a table of statements written out with their
//! expected roles (`data/field_roles.txt`: a statement, then its uses, indented).

use indexpilot_tests::Cluster;

const SCHEMA: &str = include_str!("data/field_roles_schema.sql");
const STATEMENTS: &str = include_str!("data/field_roles.txt");

/// The statements with the lines expected of each.
fn cases() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in STATEMENTS.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('\t') {
            Some(expected) => cases
                .last_mut()
                .expect("a statement comes first")
                .1
                .push(expected),
            None => cases.push((line, Vec::new())),
        }
    }
    cases
}

/// One line a use: level below the top, field, role, operator, comparand, [disjunction.arm],
/// #position.
const LINES: &str = "SELECT pg_catalog.concat_ws(' ',
        CASE WHEN level > 0 THEN 'L' || level END, relation || '.' || field, role, operator, comparand,
        CASE WHEN disjunction > 0 THEN '[' || disjunction || '.' || branch || ']' END,
        CASE WHEN position > 0 THEN '#' || position END)
    FROM indexpilot.query_fields($statement$QUERY$statement$) WITH ORDINALITY ORDER BY ordinality";

#[test]
fn every_major_reads_the_roles_of_every_construct() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(SCHEMA);
    session.run("SET search_path = crm");
    let cases = cases();
    assert!(cases.len() >= 80, "only {} statements", cases.len());
    let mut wrong = String::new();
    for (statement, expected) in cases {
        // Row security does not hold for superusers.
        let role = if statement.contains("secured") {
            "reader"
        } else {
            "postgres"
        };
        session.run(&format!("SET ROLE {role}"));
        let found = session.column(&LINES.replace("QUERY", statement));
        if found != expected {
            wrong.push_str(&format!(
                "{statement}\n  expected {expected:#?}\n  found {found:#?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A field's text becomes the same tree again: an index on it serves the statement.
#[test]
fn every_major_finds_fields_that_an_index_serves() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(SCHEMA);
    session.run("SET search_path = crm");
    for (relation, condition) in [
        ("t", "num[1] = 3"),
        ("t", "loc[0] > 5"),
        ("t", "data['k']['j'] = '1'"),
        ("t", "CASE WHEN a > 1 THEN b ELSE c END = 5"),
        ("t", "CASE a WHEN 1 THEN 'x' WHEN 2 THEN 'y' END = 'x'"),
        ("t", "greatest(a, b) > 5"),
        ("t", "least(a, b, 3) = 5"),
        ("t", "nullif(name, '') = 'x'"),
        (
            "t",
            "coalesce(CASE WHEN a IS DISTINCT FROM 1 THEN b END, 0) = 5",
        ),
        ("t", "jsonb_extract_path_text(data, 'a', 'b') = 'x'"),
        ("t", "ARRAY[a, b] = ARRAY[1, 2]"),
        ("t", "a::posint = 5"),
        ("homes", "(home).city = 'Rome'"),
        ("homes", "names::text[] = ARRAY['x']"),
    ] {
        let statement = format!("SELECT id FROM {relation} WHERE {condition}");
        let field = session.text(&format!(
            "SELECT field FROM indexpilot.query_fields($statement${statement}$statement$)
                WHERE role IN ('equality', 'range')"
        ));
        session.run(&format!("CREATE INDEX probe ON {relation} (({field}))"));
        session.run("SET enable_seqscan = off");
        let plan = session.column(&format!("EXPLAIN (COSTS OFF) {statement}"));
        assert!(
            plan.iter().any(|line| line.contains("Index Cond")),
            "{condition}: {field}: {plan:#?}"
        );
        session.run("DROP INDEX probe");
    }
}

#[test]
fn errors_of_the_text_are_the_servers() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let error = session.error("SELECT * FROM indexpilot.query_fields('SELECT * FROM missing')");
    assert_eq!(error.code, "42P01");
    let error = session.error("SELECT * FROM indexpilot.query_fields('SELEC')");
    assert_eq!(error.code, "42601");
    assert_eq!(session.text("SELECT 1"), "1");
}

/// The analysis is recursive, the server's limit is `max_stack_depth`: it must hold for us too.
#[test]
fn deep_conditions_do_not_crash() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int)");
    let deep = format!("{}a = 1{}", "NOT (".repeat(1_000), ")".repeat(1_000));
    session.text(&format!(
        "SELECT count(*) FROM indexpilot.query_fields('SELECT FROM t WHERE {deep}')"
    ));
    let wide = vec!["a = 1"; 5_000].join(" OR ");
    assert_eq!(
        session.text(&format!(
            "SELECT count(*) FROM indexpilot.query_fields('SELECT FROM t WHERE {wide}')"
        )),
        "5000"
    );
    let nested = format!(
        "{}SELECT a FROM t{}",
        "SELECT a FROM (".repeat(200),
        ") s".repeat(200)
    );
    assert_eq!(
        session.text(&format!(
            "SELECT count(*) FROM indexpilot.query_fields('{nested}')"
        )),
        "1"
    );
}
