//! Every rule with what it finds and what it leaves alone.

use indexpilot_lint::{Column, NoSchema, RULES, Schema, parse};

struct Shop(Vec<(&'static str, Vec<Column>)>);

impl Schema for Shop {
    fn columns(&self, _: Option<&str>, table: &str) -> Option<&[Column]> {
        let found = self.0.iter().find(|(name, _)| *name == table)?;
        Some(&found.1)
    }
}

fn shop() -> Shop {
    let columns = |list: &[(&str, &str, bool)]| {
        list.iter()
            .map(|(name, type_name, not_null)| Column {
                name: (*name).into(),
                type_name: (*type_name).into(),
                not_null: *not_null,
            })
            .collect()
    };
    Shop(vec![
        (
            "orders",
            columns(&[
                ("id", "integer", true),
                ("customer", "integer", false),
                ("status", "text", false),
                ("amount", "numeric", false),
                ("placed", "timestamp without time zone", false),
                ("tags", "text[]", false),
            ]),
        ),
        (
            "customers",
            columns(&[("cid", "integer", true), ("email", "text", false)]),
        ),
    ])
}

/// Rules that find something, with whether there is a rewrite.
fn found(sql: &str) -> Vec<(&'static str, bool)> {
    let parsed = parse(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    parsed
        .lint(&shop())
        .into_iter()
        .map(|finding| (finding.rule, finding.rewrite.is_some()))
        .collect()
}

#[test]
fn each_rule_finds_its_pattern_and_leaves_others_alone() {
    let cases: &[(&str, &[(&str, bool)])] = &[
        (
            "SELECT id FROM orders WHERE lower(status) = 'x'",
            &[("wrapped_column", false)],
        ),
        (
            "SELECT id FROM orders WHERE placed::date = '2024-01-01'",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE date_trunc('month', placed) = '2024-01-01'",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE extract(year FROM placed) = 2024",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE id + 1 = 5",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE amount + 1 = 5",
            &[("wrapped_column", false)],
        ),
        (
            "SELECT id FROM orders WHERE coalesce(status, 'x') = 'x'",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE id::text = '42'",
            &[("wrapped_column", true)],
        ),
        (
            "SELECT id FROM orders WHERE id = 5 + 1 AND status = lower('X')",
            &[],
        ),
        (
            "SELECT id FROM orders WHERE id = 5.0",
            &[("implicit_cast", true)],
        ),
        (
            "SELECT id FROM orders WHERE id = 5.5",
            &[("implicit_cast", false)],
        ),
        ("SELECT id FROM orders WHERE amount = 5.0", &[]),
        (
            "SELECT id FROM orders WHERE id > 5::numeric",
            &[("implicit_cast", false)],
        ),
        (
            "SELECT id FROM orders WHERE status LIKE '%x'",
            &[("leading_wildcard", true)],
        ),
        (
            "SELECT id FROM orders WHERE status LIKE '%x%'",
            &[("leading_wildcard", false)],
        ),
        (
            "SELECT id FROM orders WHERE status ILIKE '%x'",
            &[("leading_wildcard", false)],
        ),
        (
            "SELECT id FROM orders WHERE status ~ 'x'",
            &[("leading_wildcard", false)],
        ),
        (
            "SELECT id FROM orders WHERE status LIKE 'x%' OR status ~ '^x'",
            &[],
        ),
        (
            "SELECT id FROM orders WHERE customer = 1 OR status = 'x'",
            &[("or_over_columns", true)],
        ),
        (
            "SELECT id FROM orders WHERE customer = 1 OR customer = 2",
            &[],
        ),
        (
            "SELECT count(*) FROM orders WHERE customer = 1 OR status = 'x'",
            &[("or_over_columns", false)],
        ),
        (
            "SELECT o.id FROM orders o JOIN customers c ON c.cid = o.customer WHERE o.status = 'x' OR c.email = 'y'",
            &[("or_over_tables", true)],
        ),
        (
            "SELECT id FROM orders WHERE customer NOT IN (SELECT cid FROM customers)",
            &[("not_in_subquery", true)],
        ),
        (
            "SELECT id FROM orders WHERE customer IN (SELECT cid FROM customers WHERE email = 'x')",
            &[],
        ),
        (
            "SELECT id FROM orders WHERE id > 1 ORDER BY id LIMIT 10 OFFSET 5000",
            &[("offset_paging", false)],
        ),
        (
            "SELECT id FROM orders WHERE id > 1 ORDER BY id LIMIT 10 OFFSET 10",
            &[],
        ),
        (
            "SELECT id FROM orders WHERE id > 1 ORDER BY id LIMIT $1 OFFSET $2",
            &[("offset_paging", false)],
        ),
        (
            "SELECT id FROM orders ORDER BY random() LIMIT 1",
            &[("random_order", false)],
        ),
        (
            "SELECT * FROM orders WHERE id = 5",
            &[("select_star", false)],
        ),
        ("SELECT * FROM customers WHERE cid = 5", &[]),
        (
            "SELECT id FROM orders WHERE EXISTS (SELECT * FROM customers WHERE cid = customer)",
            &[],
        ),
        ("UPDATE orders SET amount = 0", &[("missing_where", false)]),
        ("DELETE FROM orders", &[("missing_where", false)]),
        ("SELECT id FROM orders", &[("missing_where", false)]),
        ("SELECT max(id) FROM orders", &[]),
        ("SELECT id FROM orders LIMIT 5", &[]),
        (
            "SELECT id, cid FROM orders, customers WHERE amount > 5",
            &[("cartesian_product", false)],
        ),
        (
            "SELECT id, cid FROM orders, customers WHERE customer = cid",
            &[],
        ),
        (
            "SELECT id, cid FROM orders CROSS JOIN customers WHERE amount > 5",
            &[],
        ),
        (
            "SELECT id, cid FROM orders JOIN customers USING (x) WHERE id = 4",
            &[],
        ),
        (
            "SELECT o.id, x.m FROM orders o, (SELECT max(id) AS m FROM orders) x WHERE o.amount > 5",
            &[],
        ),
        (
            "SELECT o.id, t FROM orders o, unnest(o.tags) AS t WHERE o.id = 5",
            &[],
        ),
        (
            "SELECT id FROM orders WHERE status <> 'done'",
            &[("negation", false)],
        ),
        (
            "SELECT id FROM orders WHERE status = NULL",
            &[("null_comparison", true)],
        ),
        (
            "SELECT id FROM orders WHERE status IS NOT DISTINCT FROM 'x'",
            &[("not_distinct", true)],
        ),
        (
            "SELECT id FROM orders WHERE 'x' = ANY (tags)",
            &[("any_of_array_column", true)],
        ),
        ("SELECT id FROM orders WHERE id = ANY ('{1,2}')", &[]),
        (
            "SELECT cid FROM customers WHERE (SELECT count(*) FROM orders WHERE customer = cid) > 0",
            &[("count_to_exist", true)],
        ),
        (
            "SELECT cid FROM customers WHERE (SELECT count(*) FROM orders WHERE customer = cid) > 1",
            &[],
        ),
        (
            "SELECT DISTINCT c.email FROM customers c JOIN orders o ON o.customer = c.cid WHERE o.amount > 5",
            &[("distinct_over_join", true)],
        ),
        (
            "SELECT DISTINCT c.email, o.status FROM customers c JOIN orders o ON o.customer = c.cid WHERE o.amount > 5",
            &[],
        ),
        (
            "INSERT INTO orders SELECT id FROM orders WHERE status <> 'x'",
            &[("negation", false)],
        ),
        ("SELECT 1", &[]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (sql, expected) in cases {
        assert_eq!(found(sql), *expected, "{sql}");
        seen.extend(expected.iter().map(|(rule, _)| *rule));
    }
    for rule in RULES {
        assert!(seen.contains(rule.name), "no case for {}", rule.name);
    }
}

#[test]
fn without_a_schema_nothing_is_guessed() {
    let rules = |sql: &str| -> Vec<&'static str> {
        let findings = parse(sql).expect(sql).lint(&NoSchema);
        findings.iter().map(|finding| finding.rule).collect()
    };
    assert!(rules("SELECT id FROM orders WHERE id = 5.0").is_empty());
    // Either name may be either relation's.
    assert!(rules("SELECT id FROM orders, customers WHERE customer = cid").is_empty());
    assert_eq!(
        rules("SELECT id FROM orders, customers WHERE amount > 5 AND email = 'x'"),
        ["cartesian_product"]
    );
    // A rewrite that needs the type is left out.
    let findings = parse("SELECT id FROM orders WHERE id + 1 = 5")
        .expect("a statement")
        .lint(&NoSchema);
    assert_eq!(findings[0].rewrite, None);
}

#[test]
fn what_is_not_read_is_said() {
    for (sql, why) in [
        ("", "empty"),
        ("SELEC 1", "no SELECT"),
        ("SELECT id FROM t WHERE (", "not understood"),
        ("EXPLAIN SELECT 1", "no SELECT"),
        ("SELECT 1; SELECT 2", "more than one"),
        ("SELECT 'unfinished", "not understood"),
    ] {
        let said = parse(sql).err().unwrap_or_else(|| panic!("{sql} was read"));
        assert!(said.contains(why), "{sql}: {said}");
    }
}
