//! What-if: that the planner is asked as often as it must be and not more, what can be hidden,
//! relations of every kind, and what is forgotten when something changes.

use indexpilot_tests::{Cluster, Session};
use std::thread;

/// Cost before and after, and the indexes used.
fn what_if(session: &mut Session, query: &str, indexes: &str, hide: &str) -> (f64, f64, String) {
    let rows = session.rows(&format!(
        "SELECT cost_before, cost_after, indexes_used
         FROM indexpilot.what_if($q${query}$q$, ARRAY[{indexes}]::text[], ARRAY[{hide}]::regclass[])"
    ));
    let value = |i: usize| rows[0][i].clone().expect("a value");
    (
        value(0).parse().expect("a number"),
        value(1).parse().expect("a number"),
        value(2),
    )
}

fn cost(session: &mut Session, sql: &str) -> f64 {
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {sql}"));
    let at = plan.find("\"Total Cost\": ").expect("a cost") + 14;
    let end = plan[at..].find(',').expect("a comma") + at;
    plan[at..end].parse().expect("a number")
}

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 0.01 + 1e-9 * wanted.abs()
}

/// Brute force: every subset planned gives what the reused prices say, over statements of all
/// the forms in which an attribute can stand.
#[test]
fn every_major_prices_without_planning_as_with_it() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE t AS SELECT g AS a, g % 100 AS b, 'v' || g % 1000 AS c, g % 7 AS d, g % 13 AS e
             FROM generate_series(1, 20000) AS g;
         CREATE TABLE u AS SELECT g AS a, g % 50 AS b, g % 7 AS d, g AS x FROM generate_series(1, 5000) AS g;
         CREATE TABLE p (a int, b int, c int) PARTITION BY RANGE (a);
         CREATE TABLE p1 (c int, b int, a int);
         ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (5000);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5000) TO (20000);
         INSERT INTO p SELECT g, g % 1000, g % 10 FROM generate_series(1, 19999) AS g;
         CREATE TABLE k AS SELECT g AS id, g % 3 AS x FROM generate_series(1, 3000) AS g;
         ALTER TABLE k ADD PRIMARY KEY (id);
         CREATE VIEW v AS SELECT t.a, t.b, u.x FROM t JOIN u ON t.b = u.b;
         CREATE FUNCTION rows_of(int) RETURNS SETOF t LANGUAGE sql STABLE AS 'SELECT * FROM t WHERE d = $1 AND b = 3';",
    );
    session.run("VACUUM ANALYZE t, u, p, k");
    let indexes = [
        "CREATE INDEX ON t (a)",
        "CREATE INDEX ON t (b)",
        "CREATE INDEX ON t (c, a)",
        "CREATE INDEX ON t (d) INCLUDE (a, b)",
        "CREATE INDEX ON t (d) INCLUDE (a)",
        "CREATE INDEX ON t (d) INCLUDE (c)",
        "CREATE INDEX ON t (e, d, b, a, c)",
        "CREATE INDEX ON t (lower(c))",
        "CREATE INDEX ON t (e) WHERE d = 3",
        "CREATE UNIQUE INDEX ON t (a, e)",
        "CREATE INDEX ON t USING hash (c)",
        "CREATE INDEX ON t USING brin (a)",
        "CREATE INDEX ON u (a)",
        "CREATE INDEX ON u (b, d)",
        "CREATE INDEX ON u (x)",
        "CREATE INDEX ON p (c)",
        "CREATE INDEX ON p (b)",
    ];
    let array = indexes.map(|text| format!("'{text}'")).join(", ");
    let statements = [
        "SELECT * FROM t WHERE a = 5",
        "SELECT a, b, d FROM t WHERE b = 7",
        "SELECT a FROM t",
        "SELECT count(*) FROM t",
        "SELECT ctid, d FROM t",
        "SELECT t FROM t WHERE t.a = 3",
        "SELECT b, count(*) FROM t GROUP BY b ORDER BY count(*)",
        "SELECT DISTINCT d FROM t",
        "SELECT DISTINCT ON (b) b, a FROM t ORDER BY b, a",
        "SELECT a, row_number() OVER (PARTITION BY d ORDER BY a) FROM t",
        "SELECT max(a), min(e) FROM t",
        "SELECT a FROM t ORDER BY e LIMIT 3",
        "SELECT * FROM t WHERE lower(c) = 'v5'",
        "SELECT * FROM t WHERE d = 3 AND c = 'v8'",
        "SELECT t.a, u.x FROM t JOIN u USING (b) WHERE t.e = 5",
        "SELECT b FROM t FULL JOIN u USING (b) ORDER BY b LIMIT 10",
        "SELECT * FROM t LEFT JOIN u ON u.a = t.a WHERE t.d = 3",
        "SELECT t.c FROM t LEFT JOIN u ON u.a = t.a",
        // What is mentioned is not always read: joins removed, conditions folded, columns of
        // subqueries unused, the other side of a join with itself.
        "SELECT t.c FROM t LEFT JOIN k ON k.id = t.e",
        "SELECT a FROM t WHERE b = 3 OR true",
        "SELECT a FROM (SELECT a, b, c FROM t) AS s",
        "SELECT t1.a, t2.c FROM t AS t1 JOIN t AS t2 ON t1.a = t2.b",
        "SELECT t1.a FROM t AS t1 CROSS JOIN k WHERE k.id = 5",
        "SELECT count(*) FROM t AS t1 JOIN t AS t2 ON t1.a = t2.a WHERE t2.b = 4",
        "SELECT a FROM t WHERE (t).b = 5",
        "SELECT count(*) FROM t, u, k WHERE t.a = u.a AND u.x = k.id AND k.x = 1",
        "SELECT a FROM t WHERE EXISTS (SELECT FROM u WHERE u.x = t.a AND u.d = t.d)",
        "SELECT (SELECT x FROM u WHERE u.a = t.a LIMIT 1) FROM t WHERE b = 2",
        "SELECT * FROM (SELECT a, e FROM t ORDER BY e LIMIT 9) AS s WHERE a < 10",
        "WITH w AS MATERIALIZED (SELECT a, b FROM t) SELECT * FROM w JOIN u USING (a)",
        "SELECT a FROM t UNION SELECT x FROM u",
        "SELECT a FROM t UNION ALL SELECT x FROM u ORDER BY 1 LIMIT 4",
        "SELECT * FROM v WHERE x = 17",
        "SELECT * FROM rows_of(4)",
        "SELECT a, b FROM p WHERE c = 4",
        "SELECT a FROM p ORDER BY b LIMIT 5",
        "UPDATE t SET c = 'x' WHERE d = 4",
        "DELETE FROM u WHERE x = 5",
        "INSERT INTO u SELECT a, b, d, e FROM t WHERE e = 3",
        "SELECT * FROM t, LATERAL (SELECT x FROM u WHERE u.b = t.b ORDER BY u.a LIMIT 1) AS l WHERE t.a = 4",
        "SELECT a, sum(b) FILTER (WHERE d = 2), array_agg(c ORDER BY e) FROM t GROUP BY ROLLUP (a)",
        "SELECT d + 1 FROM t WHERE a BETWEEN 5 AND 50 FOR UPDATE",
    ];
    let mut reused = 0.0;
    for statement in statements {
        let prices = |session: &mut Session, reuse: bool| {
            session.rows(&format!(
                "SELECT subset, cost, used FROM indexpilot.what_if_subsets($q${statement}$q$, ARRAY[{array}], 2, reuse => {reuse})"
            ))
        };
        let planned = prices(&mut session, false);
        let hits = session.number("SELECT cache_hits FROM indexpilot.what_if_activity");
        assert_eq!(prices(&mut session, true), planned, "{statement}");
        reused += session.number("SELECT cache_hits FROM indexpilot.what_if_activity") - hits;
        assert_eq!(planned.len(), 1 + 17 + 136);
    }
    println!(
        "{reused} of {} prices without a plan of their own",
        statements.len() * 154
    );
    assert!(reused > 1000.0, "hardly anything was reused");
}

#[test]
fn every_major_hides_what_is_there() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE customer (id int PRIMARY KEY, email text);
         CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customer, at int);
         INSERT INTO customer SELECT g, 'c' || g FROM generate_series(1, 20000) AS g;
         INSERT INTO orders SELECT g, g % 20000 + 1, g FROM generate_series(1, 60000) AS g;
         CREATE INDEX orders_at ON orders (at);
         CREATE TABLE part (k int, v int) PARTITION BY RANGE (k);
         CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10000);
         CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10000) TO (20000);
         INSERT INTO part SELECT g % 20000, g FROM generate_series(1, 40000) AS g;
         CREATE INDEX part_v ON part (v);",
    );
    session.run("VACUUM ANALYZE customer, orders, part");
    // One by one: hidden costs what it costs when dropped. The primary key stays in place as
    // a constraint; only the planner does not see it.
    for (query, hide, drop) in [
        (
            "SELECT * FROM orders WHERE at = 5",
            "'orders_at'",
            "DROP INDEX orders_at",
        ),
        (
            "SELECT * FROM orders JOIN customer ON customer.id = customer_id WHERE at BETWEEN 5 AND 9",
            "'customer_pkey'",
            "ALTER TABLE customer DROP CONSTRAINT customer_pkey CASCADE",
        ),
        (
            "SELECT email FROM orders JOIN customer ON customer.id = customer_id WHERE orders.id = 7",
            "'customer_pkey', 'orders_pkey'",
            "ALTER TABLE customer DROP CONSTRAINT customer_pkey CASCADE; ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        ),
        (
            "SELECT * FROM part WHERE v = 77",
            "'part_v'",
            "DROP INDEX part_v",
        ),
    ] {
        let real = cost(&mut session, query);
        let (before, after, used) = what_if(&mut session, query, "", hide);
        assert!(near(before, real), "{query}: {before} is not {real}");
        assert!(after > before, "{query}: nothing was hidden");
        assert!(!used.contains("customer_pkey") || !hide.contains("customer_pkey"));
        session.run(&format!("BEGIN; {drop}"));
        let without = cost(&mut session, query);
        session.run("ROLLBACK");
        assert!(near(after, without), "{query}: {after} is not {without}");
        assert!(near(cost(&mut session, query), real), "{query}");
    }
    // Hidden and replaced at once.
    let (_, after, used) = what_if(
        &mut session,
        "SELECT * FROM orders WHERE at = 5",
        "'CREATE INDEX ON orders (at) INCLUDE (id)'",
        "'orders_at'",
    );
    assert!(used.contains("INCLUDE (id)"), "{used}");
    assert!(after < 20.0);
    assert_eq!(
        session
            .error("INSERT INTO customer VALUES (1, 'again')")
            .code,
        "23505"
    );
}

#[test]
fn every_major_prices_relations_of_every_kind() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE log (at int, tenant int, note text) PARTITION BY RANGE (at);
         CREATE TABLE log1 PARTITION OF log FOR VALUES FROM (0) TO (20000);
         CREATE TABLE log2 PARTITION OF log FOR VALUES FROM (20000) TO (30000) PARTITION BY HASH (tenant);
         CREATE TABLE log2a PARTITION OF log2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE log2b PARTITION OF log2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO log SELECT g, g % 3000, 'n' || g FROM generate_series(1, 29999) AS g;
         CREATE MATERIALIZED VIEW heavy AS SELECT * FROM log;
         CREATE VIEW light AS SELECT * FROM log;",
    );
    session.run("VACUUM ANALYZE log, heavy");
    for (definition, query) in [
        (
            "CREATE INDEX i ON log (tenant)",
            "SELECT * FROM log WHERE tenant = 77",
        ),
        (
            "CREATE INDEX i ON log (at DESC)",
            "SELECT * FROM log ORDER BY at DESC LIMIT 3",
        ),
        (
            "CREATE INDEX i ON heavy (tenant)",
            "SELECT * FROM heavy WHERE tenant = 77",
        ),
        (
            "CREATE INDEX i ON log (tenant)",
            "SELECT * FROM light WHERE tenant = 77",
        ),
    ] {
        let (before, after, used) = what_if(&mut session, query, &format!("'{definition}'"), "");
        assert!(near(before, cost(&mut session, query)), "{query}");
        let bytes = session.number(&format!(
            "SELECT bytes FROM indexpilot.index_size_estimate('{definition}')"
        ));
        session.run(definition);
        let real = cost(&mut session, query);
        let real_bytes = session
            .number("SELECT coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('i') WHERE isleaf), pg_relation_size('i'))");
        session.run("DROP INDEX i");
        println!(
            "{definition}: {before} -> {after} / {real}; {bytes} / {real_bytes} bytes; {used}"
        );
        assert!((after / real - 1.0).abs() < 0.02, "{after} is not {real}");
        assert!((bytes / real_bytes - 1.0).abs() < 0.15);
        assert!(used.contains("CREATE INDEX"), "{used}");
    }
    assert_eq!(
        session
            .error("SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON light (at)')")
            .code,
        "42809"
    );
}

/// What an operator class can give back decides about index-only scans, column by column.
#[test]
fn every_major_reads_the_index_alone_where_the_class_allows() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE shapes AS
             SELECT g AS id, point(g, g) AS p, box(point(g, g), point(g + 1, g + 1)) AS b,
                    circle(point(g, g), 1) AS c, int4range(g, g + 5) AS r, 'word' || g AS w,
                    repeat('x', 200) AS filler
             FROM generate_series(1, 30000) AS g",
    );
    session.run("VACUUM ANALYZE shapes");
    for (columns, query) in [
        (
            "spgist (p)",
            "SELECT p FROM shapes WHERE p <@ box '(10,10),(20,20)'",
        ),
        (
            "spgist (p kd_point_ops)",
            "SELECT p FROM shapes WHERE p <@ box '(10,10),(20,20)'",
        ),
        ("spgist (w)", "SELECT w FROM shapes WHERE w = 'word5'"),
        (
            "spgist (r)",
            "SELECT r FROM shapes WHERE r && int4range(5, 9)",
        ),
        (
            "spgist (b)",
            "SELECT b FROM shapes WHERE b && box '(10,10),(20,20)'",
        ),
        (
            "spgist (p) INCLUDE (id)",
            "SELECT id FROM shapes WHERE p <@ box '(10,10),(20,20)'",
        ),
        (
            "gist (p)",
            "SELECT p FROM shapes WHERE p <@ box '(10,10),(20,20)'",
        ),
        (
            "gist (r)",
            "SELECT r FROM shapes WHERE r && int4range(5, 9)",
        ),
        // Circles are stored as their boxes.
        (
            "gist (c)",
            "SELECT c FROM shapes WHERE c && circle '((10,10),3)'",
        ),
        (
            "gist (r, c) INCLUDE (id)",
            "SELECT r, id FROM shapes WHERE r && int4range(5, 9)",
        ),
        (
            "gist (r, c) INCLUDE (id)",
            "SELECT c FROM shapes WHERE r && int4range(5, 9)",
        ),
    ] {
        let nodes = |plan: &str| {
            (
                plan.contains("\"Index Only Scan\""),
                plan.contains("\"Index Scan\"") || plan.contains("Bitmap"),
            )
        };
        session.run("SET enable_seqscan = off; SET enable_bitmapscan = off");
        let guessed = session.text(&format!(
            "SELECT plan_after FROM indexpilot.what_if($q${query}$q$, ARRAY['CREATE INDEX ON shapes USING {columns}'])"
        ));
        session.run(&format!("CREATE INDEX i ON shapes USING {columns}"));
        let real = session.text(&format!("EXPLAIN (FORMAT JSON) {query}"));
        session.run("DROP INDEX i");
        assert_eq!(
            nodes(&guessed),
            nodes(&real),
            "{columns}\n{guessed}\n{real}"
        );
    }
}

/// The planner takes selectivities of an expression from whole indexes only, so a partial one
/// that is there leaves the server's guess, and a hypothetical one must.
#[test]
fn every_major_prices_expressions_of_partial_indexes_like_the_built_index() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE account AS
             SELECT g AS id, 'User' || g || '@Example.org' AS email, g % 4 = 0 AS live
             FROM generate_series(1, 40000) AS g",
    );
    session.run("VACUUM ANALYZE account");
    for definition in [
        "CREATE INDEX i ON account (lower(email)) WHERE live",
        "CREATE INDEX i ON account (lower(email))",
        "CREATE INDEX i ON account (live, lower(email)) WHERE id % 2 = 0",
    ] {
        let query = "SELECT * FROM account WHERE live AND id % 2 = 0 AND lower(email) = 'user8@example.org'";
        let (_, after, used) = what_if(&mut session, query, &format!("'{definition}'"), "");
        session.run(definition);
        session.run("ANALYZE account");
        let real = cost(&mut session, query);
        session.run("DROP INDEX i");
        println!("{definition}: {after} / {real}");
        assert!(used.contains("lower(email)"), "{used}");
        assert!((after / real - 1.0).abs() < 0.02, "{after} is not {real}");
    }
}

/// A price that is kept is forgotten when an index or the statistics change while others of
/// the same call are still being planned.
#[test]
fn every_major_forgets_prices_when_something_changes() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE SEQUENCE calls;
         CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
         DECLARE number bigint := nextval('calls');
         BEGIN
             WHILE NOT pg_try_advisory_lock_shared(number) LOOP
                 PERFORM pg_sleep(0.01);
             END LOOP;
             PERFORM pg_advisory_unlock_shared(number);
             RETURN $1;
         END $$;
         CREATE TABLE t AS SELECT g AS a, g AS b FROM generate_series(1, 30000) AS g;
         ALTER TABLE t SET (autovacuum_enabled = off);",
    );
    session.run("VACUUM ANALYZE t");
    // 46 indexes on a column that the statement does not seek: 1,082 sets, one plan for all
    // of them. They are priced a thousand at a time.
    let array = (0..46)
        .map(|i| format!("'CREATE INDEX ON t (b) WITH (fillfactor = {})'", 50 + i))
        .collect::<Vec<_>>()
        .join(", ");
    let priced = format!(
        "SELECT DISTINCT cost FROM indexpilot.what_if_subsets('SELECT * FROM t WHERE a = slow(5)', ARRAY[{array}], 2) ORDER BY 1 DESC"
    );
    let calls = "SELECT setval('calls', 1, false)";
    session.run(calls);
    assert_eq!(session.column(&priced).len(), 1);
    let last = session.number("SELECT last_value FROM calls");
    for change in [
        "DELETE FROM t WHERE b % 2 = 0; ANALYZE t",
        "CREATE INDEX t_a ON t (a)",
    ] {
        // Warm caches: otherwise the first plan reads the catalogs, and sees the change itself.
        let mut other = cluster.session();
        other.run(&priced);
        session.run(calls);
        session.run(&format!("SELECT pg_advisory_lock({last})"));
        let sql = priced.clone();
        let pricing = thread::spawn(move || {
            let mut other = other;
            other.column(&sql)
        });
        // The first thousand are being planned, under locks that let this change through.
        cluster.wait(
            &format!("SELECT is_called AND last_value = {last} FROM calls"),
            "t",
        );
        for statement in change.split("; ") {
            session.run(statement);
        }
        session.run(&format!("SELECT pg_advisory_unlock({last})"));
        let costs = pricing.join().expect("the other session");
        assert_eq!(costs.len(), 2, "{change}: {costs:?}");
        let now = cost(&mut session, "SELECT * FROM t WHERE a = 5");
        let newest: f64 = costs[1].parse().expect("a number");
        assert!(near(newest, now), "{change}: {costs:?}, now {now}");
    }
}
