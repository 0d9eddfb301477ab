//! What-if: prices and sizes against indexes that are really built, and nothing left behind.

use indexpilot_tests::{Cluster, Session};

fn orders(session: &mut Session) {
    session.run(
        "CREATE EXTENSION IF NOT EXISTS indexpilot;
         CREATE TABLE orders AS
             SELECT g AS id, g % 5000 AS customer_id, g % 10 AS status,
                    now() - g * interval '1 minute' AS created_at,
                    'user' || g % 20000 || '@Example.org' AS email
             FROM generate_series(1, 100000) AS g",
    );
    session.run("VACUUM ANALYZE orders");
}

/// Total cost of EXPLAIN.
fn cost(session: &mut Session, sql: &str) -> f64 {
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {sql}"));
    let at = plan.find("\"Total Cost\": ").expect("a cost") + 14;
    let end = plan[at..].find(',').expect("a comma") + at;
    plan[at..end].parse().expect("a number")
}

#[test]
fn every_major_prices_like_the_built_index() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    orders(&mut session);
    for (definition, query) in [
        (
            "CREATE INDEX i ON orders (customer_id)",
            "SELECT * FROM orders WHERE customer_id = 42",
        ),
        (
            "CREATE INDEX i ON orders (customer_id, created_at DESC)",
            "SELECT * FROM orders WHERE customer_id = 42 ORDER BY created_at DESC LIMIT 5",
        ),
        (
            "CREATE INDEX i ON orders (customer_id) INCLUDE (status)",
            "SELECT customer_id, status FROM orders WHERE customer_id BETWEEN 42 AND 50",
        ),
        (
            "CREATE INDEX i ON orders (created_at) WHERE status = 3",
            "SELECT count(*) FROM orders WHERE status = 3",
        ),
        (
            "CREATE INDEX i ON orders (email text_pattern_ops)",
            "SELECT * FROM orders WHERE email LIKE 'user77%'",
        ),
    ] {
        let before = cost(&mut session, query);
        let rows = session.rows(&format!(
            "SELECT cost_before, cost_after, index_bytes[1], cardinality(indexes_used) FROM indexpilot.what_if($q${query}$q$, ARRAY[$i${definition}$i$])"
        ));
        let number = |i: usize| {
            rows[0][i]
                .as_deref()
                .expect("a value")
                .parse::<f64>()
                .expect("a number")
        };
        assert!(
            (number(0) - before).abs() < 0.01,
            "{query}: before {} is not {before}",
            number(0)
        );
        session.run(definition);
        let (after, bytes) = (
            cost(&mut session, query),
            session.number("SELECT pg_relation_size('i')"),
        );
        println!(
            "{definition}: before {before} after {} / {after}, bytes {} / {bytes}",
            number(1),
            number(2)
        );
        assert!(
            (number(1) / after - 1.0).abs() < 0.05,
            "{query}: after {} is not {after}",
            number(1)
        );
        assert!(
            (number(2) / bytes - 1.0).abs() < 0.1,
            "{definition}: {} bytes are not {bytes}",
            number(2)
        );
        assert_eq!(number(3), 1.0);
        session.run("DROP INDEX i");
    }
}
