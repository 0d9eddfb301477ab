//! Advice for statements given by hand: the kinds of indexes that peers leave out, limits,
//! refusals, and nothing left behind.

use indexpilot_tests::{Cluster, Session, lacks_icu};

/// A small multi-tenant shop. Collation is the cluster's; the text columns say en_US or C.
fn shop(session: &mut Session) {
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE TABLE customers (
             id int PRIMARY KEY, tenant_id int NOT NULL, email text COLLATE \"C.utf8\" NOT NULL,
             name text COLLATE \"C.utf8\" NOT NULL, custom jsonb, tags text[], deleted_at timestamptz);
         INSERT INTO customers
             SELECT g, g % 50, 'User' || g || '@example.org', 'name ' || md5(g::text),
                 jsonb_build_object('tier', (g % 1000)::text), ARRAY['t' || g % 500],
                 CASE WHEN g % 20 = 0 THEN now() END
             FROM generate_series(1, 60000) AS g;
         CREATE TABLE orders (
             id int PRIMARY KEY, tenant_id int NOT NULL,
             customer_id int NOT NULL REFERENCES customers, status text NOT NULL,
             amount numeric NOT NULL, created_at timestamptz NOT NULL, note text);
         INSERT INTO orders
             SELECT g, g % 50, 1 + g % 60000,
                 CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END,
                 g % 977, timestamptz '2024-01-01' + (g * 7919 % 200000) * interval '1 minute',
                 repeat('x', 100)
             FROM generate_series(1, 200000) AS g",
    );
    session.run("VACUUM ANALYZE customers");
    session.run("VACUUM ANALYZE orders");
}

fn advice(session: &mut Session, queries: &[&str], more: &str) -> Vec<String> {
    let list: Vec<String> = queries.iter().map(|q| format!("$q${q}$q$")).collect();
    session.column(&format!(
        "SELECT definition FROM indexpilot.advise(ARRAY[{}]{more})",
        list.join(", ")
    ))
}

#[track_caller]
fn assert_proposes(found: &[String], parts: &[&str]) {
    assert!(
        found
            .iter()
            .any(|definition| parts.iter().all(|part| definition.contains(part))),
        "no index with {parts:?} in {found:#?}"
    );
}

#[test]
fn the_kinds_that_peers_leave_out_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    for (query, parts) in [
        (
            "SELECT * FROM orders WHERE tenant_id = 7 ORDER BY created_at DESC LIMIT 20",
            &["(\"tenant_id\", \"created_at\")"][..],
        ),
        (
            "SELECT * FROM customers WHERE lower(email) = 'user77@example.org'",
            &["lower"],
        ),
        (
            "SELECT * FROM customers WHERE email LIKE 'User777%'",
            &["text_pattern_ops"],
        ),
        (
            "SELECT * FROM customers WHERE custom->>'tier' = '42'",
            &["->>", "tier"],
        ),
        (
            "SELECT id FROM orders WHERE status = 'open' AND tenant_id = 3",
            &["WHERE", "status"],
        ),
        (
            "SELECT sum(amount) FROM orders WHERE customer_id = 77",
            &["customer_id"],
        ),
    ] {
        let found = advice(&mut session, &[query], "");
        assert_proposes(&found, parts);
        // What is proposed can be run as it stands, and is used.
        for definition in &found {
            session.run(definition);
        }
        let again = advice(&mut session, &[query], "");
        assert_eq!(again, Vec::<String>::new(), "{query} is served already");
        for name in session.column(
            "SELECT indexrelid::regclass::text FROM pg_index
             WHERE indrelid IN ('orders'::regclass, 'customers'::regclass) AND NOT indisprimary",
        ) {
            session.run(&format!("DROP INDEX {name}"));
        }
    }
}

#[test]
fn one_index_serves_two_statements() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    let found = advice(
        &mut session,
        &[
            "SELECT * FROM orders WHERE tenant_id = 7 AND customer_id = 9",
            "SELECT * FROM orders WHERE customer_id = 9",
        ],
        "",
    );
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn the_budget_holds_and_is_in_bytes() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    let queries = [
        "SELECT * FROM orders WHERE customer_id = 9",
        "SELECT * FROM customers WHERE lower(email) = 'user77@example.org'",
    ];
    assert_eq!(advice(&mut session, &queries, "").len(), 2);
    let none = advice(&mut session, &queries, ", storage_budget => 100000");
    assert_eq!(none, Vec::<String>::new());
    let some = advice(&mut session, &queries, ", storage_budget => 3000000");
    assert_eq!(some.len(), 1, "{some:?}");
    for definition in &some {
        session.run(definition);
    }
    let bytes: i64 = session
        .text(
            "SELECT sum(pg_relation_size(indexrelid)) FROM pg_index
             WHERE indrelid IN ('orders'::regclass, 'customers'::regclass) AND NOT indisprimary",
        )
        .parse()
        .expect("a number");
    assert!(bytes <= 3_000_000, "{bytes}");
}

/// Half of the rows have a value of their own beside names that many share: in a small sample
/// nothing tells how many such values there are.
#[test]
fn an_index_over_documents_is_as_large_as_advised() {
    let cluster = Cluster::builder().start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot;
         CREATE TABLE documents AS
         SELECT g AS id, jsonb_build_object('segment', 'segment ' || hashint4(g) % 400)
             || CASE WHEN g % 2 = 0 THEN jsonb_build_object('account', md5(g::text)) ELSE '{}' END
             AS data
         FROM generate_series(1, 150000) AS g",
    );
    session.run("VACUUM ANALYZE documents");
    let advised = session.number(
        r#"SELECT bytes FROM indexpilot.advise(ARRAY[
               $$SELECT id FROM documents WHERE data @> '{"account": "none"}'$$])"#,
    );
    session.run("CREATE INDEX built ON documents USING gin (data jsonb_path_ops)");
    let built = session.number("SELECT pg_relation_size('built')");
    assert!(
        (0.7..1.4).contains(&(advised / built)),
        "{advised} instead of {built}"
    );
}

#[test]
fn a_hot_updated_column_is_refused_and_without_updates_chosen() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE TABLE counters (id int PRIMARY KEY, hits int NOT NULL, name text) WITH (fillfactor = 80);
         INSERT INTO counters SELECT g, g % 5000, 'n' || g FROM generate_series(1, 50000) AS g",
    );
    session.run("VACUUM ANALYZE counters");
    let read = "SELECT * FROM counters WHERE hits = 42";
    let write = "UPDATE counters SET hits = hits + 1 WHERE id = 42";
    let chosen = advice(&mut session, &[read], ", weights => ARRAY[10]");
    assert_proposes(&chosen, &["hits"]);
    let refused = advice(
        &mut session,
        &[read, write],
        ", weights => ARRAY[10, 10000000]",
    );
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn what_cannot_be_analysed_is_named_and_the_rest_is_advised() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    let found = advice(
        &mut session,
        &[
            "SELECT * FROM nowhere",
            "SELEC 1",
            "VACUUM",
            "SELECT * FROM orders WHERE customer_id = 9",
        ],
        "",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    let e = session.error("SELECT * FROM indexpilot.advise('{}')");
    assert_eq!(e.code, "22023");
    let e = session.error("SELECT * FROM indexpilot.advise('{SELECT 1}', '{1,2}')");
    assert_eq!(e.code, "22023");
}

#[test]
fn a_user_learns_nothing_of_tables_that_are_not_his() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    session.run("CREATE ROLE app LOGIN");
    let mut app = cluster.session_as("app", "postgres");
    let found = advice(
        &mut app,
        &["SELECT * FROM orders WHERE customer_id = 9"],
        "",
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_field_that_is_not_to_be_indexed_is_in_no_candidate() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    let queries = [
        "SELECT * FROM orders WHERE tenant_id = 7 ORDER BY created_at DESC LIMIT 20",
        "SELECT * FROM orders WHERE created_at > '2024-05-19'",
    ];
    // Without the mark it is proposed: the mark is what changes it.
    assert_proposes(&advice(&mut session, &queries, ""), &["created_at"]);
    session.run(
        r#"SELECT indexpilot.genome_load('{"tables": [{"name": "orders",
            "fields": [{"name": "created_at", "indexable": false}]}]}')"#,
    );
    let found = advice(&mut session, &queries, "");
    assert!(
        found
            .iter()
            .all(|definition| !definition.contains("created_at")),
        "{found:#?}"
    );
    session.run(
        r#"SELECT indexpilot.genome_load('{"tables": [{"name": "orders",
            "fields": [{"name": "created_at", "indexable": true}]}]}')"#,
    );
    assert_proposes(&advice(&mut session, &queries, ""), &["created_at"]);
}

/// The planner walks an index in the order that is asked for and expects the twentieth match
/// soon, although all matches lie together: an index that finds them is worth having beside it.
#[test]
fn a_limit_is_not_believed_where_its_rows_lie_together() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    if lacks_icu(&mut session) {
        return;
    }
    session.run(
        "CREATE TABLE people (id int PRIMARY KEY, name text COLLATE \"en-x-icu\" NOT NULL, note text);
         INSERT INTO people
             SELECT g, chr(97 + g * 7919 % 26) || chr(97 + g % 5) || md5(g::text), repeat('x', 400)
             FROM generate_series(1, 100000) AS g;
         -- Every row is in the sample then: where a bound of the histogram falls, and with it
         -- whether the planner expects a name like 'mc%' at all, is not left to chance.
         ALTER TABLE people ALTER name SET STATISTICS 400",
    );
    session.run("VACUUM ANALYZE people");
    // Pages of the list need the order; it is there already.
    session.run("CREATE INDEX people_name ON people (name)");
    let search = "SELECT id, name FROM people WHERE name LIKE 'mc%' ORDER BY name LIMIT 10";
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {search}"));
    assert!(plan.contains("people_name"), "the trap is not set: {plan}");
    let rows = session.rows(&format!(
        "SELECT definition, benefit_percent FROM indexpilot.advise(ARRAY[$q${search}$q$])"
    ));
    assert_eq!(rows.len(), 1, "{rows:?}");
    let value = |i: usize| rows[0][i].clone().expect("a value");
    assert!(value(0).contains("text_pattern_ops"), "{rows:?}");
    // The planner's own estimates differ by half.
    let benefit: f64 = value(1).parse().expect("a number");
    assert!(benefit > 90.0, "{rows:?}");
    session.run(&value(0));
    session.run("VACUUM ANALYZE people");
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {search}"));
    assert!(!plan.contains("\"people_name\""), "{plan}");
}

#[test]
fn a_foreign_key_is_priced_by_what_its_checks_search_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    shop(&mut session);
    let delete = "DELETE FROM customers WHERE id = 17";
    let rows = session.rows(&format!(
        "SELECT definition, cost_before > 10 * cost_after, statements, reason
         FROM indexpilot.advise(ARRAY['SELECT * FROM customers WHERE id = 5', $q${delete}$q$])"
    ));
    assert_eq!(rows.len(), 1, "{rows:?}");
    let value = |i: usize| rows[0][i].clone().expect("a value");
    assert!(value(0).contains("(\"customer_id\")"), "{rows:?}");
    assert_eq!((value(1), value(2)), ("t".into(), "{2}".into()));
    assert!(value(3).contains("foreign key"), "{rows:?}");
    // An update of what nobody refers to causes no search, and an index ends it.
    let update = "UPDATE customers SET name = 'x' WHERE id = 17";
    assert_eq!(advice(&mut session, &[update], ""), Vec::<String>::new());
    let key = "UPDATE customers SET id = 70000 WHERE id = 17";
    assert_proposes(&advice(&mut session, &[key], ""), &["(\"customer_id\")"]);
    session.run(&value(0));
    assert_eq!(advice(&mut session, &[delete], ""), Vec::<String>::new());
}

/// The planner takes a regular expression over a text for as cheap as an integer's equality.
/// Where there is room for one index, the one that spares it is worth more than the planner
/// says, if it really is slow here.
#[test]
fn an_operator_costs_what_it_takes_every_major() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE TABLE texts (kind int NOT NULL, other int NOT NULL, body text NOT NULL);
         INSERT INTO texts
             SELECT g % 500, g * 7919 % 500,
                 (SELECT string_agg(md5(g::text || k::text), ' ') FROM generate_series(1, 12) AS k)
             FROM generate_series(1, 20000) AS g",
    );
    session.run("VACUUM ANALYZE texts");
    let slow = "SELECT count(*) FROM texts WHERE kind = 3 AND body ~* '(a|b).*xyz'";
    let quick = "SELECT count(*) FROM texts WHERE kind = 3 AND body <> 'xyz'";
    let other = "SELECT count(*) FROM texts WHERE other = 3";
    // Twelve of the one against one of the other, and room for one index.
    let more = ", weights => ARRAY[1.0, 12.0], storage_budget => 300000";
    let found = advice(&mut session, &[quick, other], more);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_proposes(&found, &["(\"other\")"]);
    let found = advice(&mut session, &[slow, other], more);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_proposes(&found, &["(\"kind\""]);
}
