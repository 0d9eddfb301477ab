//! Lint in the server: every rewrite returns the same rows, findings stand beside captured
//! statements, and what cannot be read is said.

use indexpilot_tests::{Cluster, PATIENCE, Session, wait_for};
use std::collections::BTreeSet;

/// Few distinct values, NULLs in every column that may hold them, duplicate rows, moments at
/// both ends of days and months, empty strings and signs of patterns in texts.
const DATA: &str = "
    CREATE EXTENSION IF NOT EXISTS indexpilot;
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders (
        id int NOT NULL, customer int, small smallint, big bigint, status text,
        amount numeric, day date, placed timestamp, at timestamptz, tags text[], numbers bigint[]);
    INSERT INTO shop.orders
    SELECT g % 300, nullif(g % 11, 0), nullif(g % 7, 3), nullif(g % 5, 1),
        (ARRAY[NULL, '', 'open', 'reopen', 'done', 'a%b', 'O''Neil', 'äpfel'])[1 + g % 8],
        nullif(g % 13, 0) / 2.0,
        CASE WHEN g % 9 > 0 THEN date '2023-12-28' + g % 40 END,
        CASE WHEN g % 8 > 0 THEN timestamp '2023-12-28' + (g % 40) * interval '1 day'
            - (g % 3) * interval '1 microsecond' END,
        CASE WHEN g % 8 > 1 THEN timestamptz '2024-03-28 00:00+01' + (g % 8) * interval '12 hours'
            - (g % 3) * interval '1 microsecond' END,
        CASE g % 6 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN '{x,NULL}' WHEN 3 THEN '{y,x,x}'
            WHEN 4 THEN '{NULL}' ELSE '{z}' END::text[],
        CASE g % 4 WHEN 0 THEN NULL WHEN 1 THEN '{1,2}' WHEN 2 THEN '{2,NULL}' ELSE '{}' END::bigint[]
    FROM generate_series(1, 1200) AS g;
    INSERT INTO shop.orders SELECT * FROM shop.orders WHERE id < 40;
    CREATE TABLE shop.customers (cid int, email text, city text);
    INSERT INTO shop.customers SELECT nullif(g % 9, 5), 'c' || g % 4, nullif('t' || g % 3, 't1')
    FROM generate_series(1, 30) AS g;
    CREATE TABLE shop.nobody (cid int);
    CREATE TABLE shop.known (cid int NOT NULL);
    INSERT INTO shop.known VALUES (1), (1), (4);
    SET TimeZone = 'Europe/Berlin';
    SET search_path = shop, public;";

/// Statements, each with a rewrite by the rule in front.
const REWRITTEN: &[(&str, &str)] = &[
    (
        "wrapped_column",
        "SELECT id, day FROM orders WHERE placed::date = '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE placed::date < '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE placed::date <= '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE placed::date > '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE '2024-01-01' > placed::date AND customer = 3",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE CAST(at AS date) = '2024-03-31'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE date(at) = '2024-03-30'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE date_trunc('month', placed) = '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE date_trunc('month', placed) = '2024-01-02'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE date_trunc('week', placed) = timestamp '2024-01-01'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE extract(year FROM placed) = 2023",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE extract(year FROM day) = 2024",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE extract(year FROM at) = 2024",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE customer + 1 = 5",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE customer - 3 >= -1",
    ),
    ("wrapped_column", "SELECT id FROM orders WHERE 4 > big + 1"),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE small - -2 <= 4",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE coalesce(status, 'open') = 'open'",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE coalesce(customer, 0) = 0",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE coalesce(customer, 0) = 4",
    ),
    (
        "wrapped_column",
        "SELECT id FROM orders WHERE customer::text = '10'",
    ),
    (
        "implicit_cast",
        "SELECT id FROM orders WHERE customer = 4.0",
    ),
    ("implicit_cast", "SELECT id FROM orders WHERE 4.00 <= big"),
    ("implicit_cast", "SELECT id FROM orders WHERE small > -1.0"),
    (
        "leading_wildcard",
        "SELECT id FROM orders WHERE status LIKE '%open'",
    ),
    (
        "leading_wildcard",
        "SELECT id FROM orders WHERE status LIKE '%''Neil'",
    ),
    (
        "leading_wildcard",
        "SELECT id FROM orders WHERE status LIKE '%pfel'",
    ),
    (
        "or_over_columns",
        "SELECT id, status FROM orders WHERE customer = 4 OR status = 'open'",
    ),
    (
        "or_over_columns",
        "SELECT status, tags FROM orders WHERE (customer = 4 OR status IS NULL OR big > 2) AND id < 100",
    ),
    (
        "or_over_tables",
        "SELECT o.id, c.email FROM orders o JOIN customers c ON c.cid = o.customer WHERE o.status = 'open' OR c.city = 't2'",
    ),
    (
        "or_over_tables",
        "SELECT o.id, c.email FROM orders o, customers c WHERE c.cid = o.customer AND (c.city IS NULL OR o.big = 2 OR c.city = 't0')",
    ),
    (
        "not_in_subquery",
        "SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM customers)",
    ),
    (
        "not_in_subquery",
        "SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM customers WHERE city = 't2')",
    ),
    (
        "not_in_subquery",
        "SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM customers WHERE cid IS NOT NULL)",
    ),
    (
        "not_in_subquery",
        "SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM nobody)",
    ),
    (
        "not_in_subquery",
        "SELECT id FROM orders WHERE customer NOT IN (SELECT k.cid FROM known AS k) AND big = 2",
    ),
    (
        "not_in_subquery",
        "SELECT o.id FROM orders o JOIN customers c ON c.cid = o.customer WHERE o.big NOT IN (SELECT cid FROM known)",
    ),
    (
        "null_comparison",
        "SELECT id FROM orders WHERE customer = NULL",
    ),
    (
        "null_comparison",
        "SELECT id FROM orders WHERE customer <> NULL AND id > 4",
    ),
    (
        "not_distinct",
        "SELECT id FROM orders WHERE customer IS NOT DISTINCT FROM 4",
    ),
    (
        "not_distinct",
        "SELECT id FROM orders WHERE status IS NOT DISTINCT FROM NULL",
    ),
    (
        "not_distinct",
        "SELECT id FROM orders WHERE status IS NOT DISTINCT FROM lower('OPEN') AND id > 4",
    ),
    (
        "any_of_array_column",
        "SELECT id, tags FROM orders WHERE 'x' = ANY (tags)",
    ),
    (
        "any_of_array_column",
        "SELECT id FROM orders WHERE 2 = ANY (numbers)",
    ),
    (
        "count_to_exist",
        "SELECT cid FROM customers WHERE (SELECT count(*) FROM orders WHERE customer = cid) > 0",
    ),
    (
        "count_to_exist",
        "SELECT cid FROM customers WHERE 0 = (SELECT count(*) FROM orders WHERE customer = cid)",
    ),
    (
        "count_to_exist",
        "SELECT cid FROM customers WHERE (SELECT count(*) FROM orders WHERE customer = cid AND status LIKE 'o%') >= 1",
    ),
    (
        "distinct_over_join",
        "SELECT DISTINCT o.status, o.big FROM orders o JOIN customers c ON c.cid = o.customer WHERE c.city = 't2'",
    ),
    (
        "distinct_over_join",
        "SELECT DISTINCT c.email FROM customers c JOIN orders o ON o.customer = c.cid ORDER BY c.email LIMIT 3",
    ),
];

fn sorted(session: &mut Session, sql: &str) -> Vec<Vec<Option<String>>> {
    let mut rows = session
        .try_rows(sql)
        .unwrap_or_else(|e| panic!("{sql}\n{e}"));
    rows.sort();
    rows
}

#[test]
fn every_rewrite_returns_the_same_rows() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(DATA);
    let mut proven = BTreeSet::new();
    let mut with_rows = 0;
    for (rule, sql) in REWRITTEN {
        let rows = session.rows(&format!(
            "SELECT statement FROM indexpilot.lint($q${sql}$q$) WHERE rule = '{rule}' AND statement IS NOT NULL"
        ));
        assert_eq!(rows.len(), 1, "{rule}: {sql}: {rows:?}");
        let rewritten = rows[0][0].clone().expect("a statement");
        let before = sorted(&mut session, sql);
        assert_eq!(
            before,
            sorted(&mut session, &rewritten),
            "{sql}\n{rewritten}"
        );
        with_rows += usize::from(!before.is_empty());
        proven.insert(*rule);
    }
    // Equal because both are empty would prove little.
    assert!(with_rows * 4 > REWRITTEN.len() * 3, "{with_rows}");
    // No rule offers a rewrite that is not proven here.
    let offering: BTreeSet<String> = REWRITTEN
        .iter()
        .flat_map(|(_, sql)| {
            session.column(&format!(
                "SELECT rule FROM indexpilot.lint($q${sql}$q$) WHERE rewrite IS NOT NULL"
            ))
        })
        .collect();
    assert!(offering.iter().all(|rule| proven.contains(rule.as_str())));
}

#[test]
fn the_catalog_decides_what_types_decide_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(DATA);
    let rules = |session: &mut Session, sql: &str| {
        session.column(&format!(
            "SELECT coalesce(rule, why) FROM indexpilot.lint($q${sql}$q$)"
        ))
    };
    assert_eq!(
        rules(&mut session, "SELECT id FROM orders WHERE amount = 4.0"),
        Vec::<String>::new()
    );
    assert_eq!(
        rules(&mut session, "SELECT id FROM orders WHERE big = 4.5"),
        ["implicit_cast"]
    );
    // The same name under another path is another table, or none.
    session.run("SET search_path = public");
    assert_eq!(
        rules(&mut session, "SELECT id FROM orders WHERE big = 4.5"),
        Vec::<String>::new()
    );
    assert_eq!(
        rules(&mut session, "SELECT id FROM shop.orders WHERE big = 4.5"),
        ["implicit_cast"]
    );
    assert_eq!(
        session.column("SELECT rule FROM indexpilot.lint('SELECT id FROM orders WHERE big = 4.5', '\"$user\", shop')"),
        ["implicit_cast"]
    );
    for (sql, why) in [
        ("VACUUM", "not linted because it is no SELECT"),
        (
            "SELECT 1; SELECT 2",
            "not linted because it is more than one statement",
        ),
        ("SELECT (", "not linted because it is not understood"),
    ] {
        let said = rules(&mut session, sql);
        assert!(
            said.len() == 1 && said[0].starts_with(why),
            "{sql}: {said:?}"
        );
    }
    // Far beyond what a parser of this kind can hold: the session lives.
    let deep = format!("SELECT 1 WHERE true{}", " AND true".repeat(100_000));
    assert!(rules(&mut session, &deep)[0].starts_with("not linted because it is longer"));
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(rules(&mut session, &deep)[0].starts_with("not linted because it has more than"));
    assert_eq!(session.number("SELECT 1"), 1.0);
}

#[test]
fn findings_stand_beside_captured_statements() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 1")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    session.run(DATA);
    session.run("CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA shop TO app; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO app");
    let mut app = cluster.session_as("app", "postgres");
    app.run("SET search_path = shop");
    app.rows("SELECT id FROM orders WHERE customer + 1 = 5 AND big IN (1, 2, 3)");
    session.rows("SELECT id FROM orders WHERE status IS NOT DISTINCT FROM 'open'");
    let finding = "SELECT l.rewrite FROM indexpilot.statement_lint AS l WHERE l.rule = ";
    let mut seen = cluster.session();
    wait_for("the statements to be saved", PATIENCE, || {
        let rows = seen.rows(&format!("{finding}'not_distinct'"));
        if rows.len() == 1 && seen.rows(&format!("{finding}'wrapped_column'")).len() == 1 {
            return Ok(());
        }
        Err(format!("{rows:?}"))
    });
    // Its own statements are what a role sees.
    assert_eq!(
        app.column("SELECT rule FROM indexpilot.statement_lint WHERE rule LIKE '%distinct' OR rule LIKE 'wrapped%'"),
        ["wrapped_column"]
    );
}
