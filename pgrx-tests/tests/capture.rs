//! What is counted, and that it is saved.

use indexpilot_tests::{Cluster, PATIENCE, Session, lacks_module, wait_for};
use std::sync::atomic::{AtomicU64, Ordering};

/// Waits until capture is on in the session's database.
fn watched(cluster: &Cluster) -> Session {
    cluster.wait(
        "SELECT actual FROM indexpilot.status() WHERE module = 'capture'",
        "on",
    );
    cluster.session()
}

fn calls(text: &str) -> String {
    format!(
        "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement AS s
         JOIN indexpilot.statement_stats AS t ON t.statement = s.id WHERE s.query = '{text}'"
    )
}

#[test]
fn every_major_counts_statements_fields_and_samples() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (id int PRIMARY KEY, a int, email text)");
    session.run("INSERT INTO t SELECT i, i % 10, 'x' || i FROM generate_series(1, 1000) AS i");
    for value in 0..7 {
        session.run(&format!("SELECT * FROM t WHERE a = {value}"));
    }
    for value in 0..6i32 {
        session
            .query(
                "SELECT id FROM t WHERE lower(email) = $1 AND id > $2",
                &[&"x", &value],
            )
            .expect("a prepared statement runs");
    }
    cluster.wait(&calls("SELECT * FROM t WHERE a = $1"), "7");
    cluster.wait(
        &calls("SELECT id FROM t WHERE lower(email) = $1 AND id > $2"),
        "6",
    );
    let mut session = cluster.session();
    assert_eq!(
        session.text(
            "SELECT sum(t.rows) FROM indexpilot.statement AS s
             JOIN indexpilot.statement_stats AS t ON t.statement = s.id
             WHERE s.query = 'SELECT * FROM t WHERE a = $1'"
        ),
        "700"
    );
    assert_eq!(
        session.column(
            "SELECT field || ' ' || role || ' ' || calls FROM indexpilot.query_stats
             WHERE relation = '\"public\".\"t\"' AND kind = 'select' AND role <> 'output' ORDER BY 1"
        ),
        ["a equality 7", "id range 6", "lower(email) equality 6"]
    );
    // The constants of one form and the parameters of the other, five of each.
    cluster.wait(
        "SELECT jsonb_array_length(samples) FROM indexpilot.statement_source AS o
         JOIN indexpilot.statement AS s ON s.id = o.statement WHERE s.query = 'SELECT * FROM t WHERE a = $1'",
        "5",
    );
    // The first execution is sampled twice, when it is planned and when it ends.
    cluster.wait(
        "SELECT jsonb_array_length(samples) >= 4 FROM indexpilot.statement_source AS o
         JOIN indexpilot.statement AS s ON s.id = o.statement
         WHERE s.query = 'SELECT id FROM t WHERE lower(email) = $1 AND id > $2'",
        "t",
    );
}

/// A schema for each tenant: tables of one name, and statements of one text.
#[test]
fn every_major_tells_tables_of_one_name_apart() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    for schema in ["one", "two"] {
        session.run(&format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (a int)"
        ));
    }
    for (schema, times) in [("one", 3), ("two", 5)] {
        session.run(&format!("SET search_path = {schema}"));
        for value in 0..times {
            session.run(&format!("SELECT a FROM t WHERE a = {value}"));
            session.run(&format!(
                "SELECT 1 WHERE EXISTS (SELECT FROM t WHERE a > {value})"
            ));
        }
        session.run(&format!(
            "PREPARE {schema}_p AS SELECT a FROM t WHERE a < $1"
        ));
        for value in 0..2 * times {
            session.run(&format!("EXECUTE {schema}_p ({value})"));
        }
    }
    for (role, factor) in [("equality", 1), ("range", 3)] {
        for (schema, times) in [("one", 3), ("two", 5)] {
            cluster.wait(
                &format!(
                    "SELECT coalesce(sum(calls), 0) FROM indexpilot.query_stats
                     WHERE relation = '\"{schema}\".\"t\"' AND field = 'a' AND role = '{role}'"
                ),
                &(factor * times).to_string(),
            );
        }
    }
}

#[test]
fn errors_are_counted_and_pass_with_every_field() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE TABLE u (id int CONSTRAINT positive CHECK (id > 0))");
    for _ in 0..3 {
        let error = session.error("INSERT INTO u VALUES (-1)");
        assert_eq!(error.code, "23514");
        assert!(error.detail.contains("(-1)"), "{error}");
    }
    session.run("INSERT INTO u VALUES (1)");
    cluster.wait(
        "SELECT errors FROM indexpilot.statement WHERE query = 'INSERT INTO u VALUES ($1)'",
        "3",
    );
    cluster.wait(&calls("INSERT INTO u VALUES ($1)"), "1");
}

#[test]
fn tenants_are_told_by_session_parameter_constant_and_setting() {
    let cluster = Cluster::builder()
        .conf("indexpilot.tenant_setting = 'app.tenant'")
        .start();
    cluster.session().run("CREATE EXTENSION indexpilot");
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (id int, tenant_id bigint, name text)");
    session.run("INSERT INTO t SELECT i, i % 3, 'n' FROM generate_series(1, 300) AS i");
    for tenant in [1i64, 1, 2] {
        session
            .query("SELECT id FROM t WHERE tenant_id = $1", &[&tenant])
            .expect("a prepared statement runs");
    }
    session.run("SELECT name FROM t WHERE tenant_id = 1");
    session.run("SELECT name FROM t WHERE tenant_id = 2");
    session.run("SELECT name FROM t WHERE tenant_id = 2");
    session.run("SET app.tenant = '2'");
    session.run("SELECT count(*) FROM t WHERE tenant_id = current_setting('app.tenant')::bigint");
    session.run("SET indexpilot.tenant_id = 'acme'");
    session.run("SELECT count(*) FROM t");
    session.run("RESET indexpilot.tenant_id");
    let of = |tenant: &str| {
        format!(
            "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.tenant_stats AS t
             JOIN indexpilot.statement AS s ON s.id = t.statement
             WHERE t.tenant = '{tenant}' AND s.kind = 'select' AND s.relations <> '{{}}'"
        )
    };
    cluster.wait(&of("1"), "3");
    cluster.wait(&of("2"), "4");
    cluster.wait(&of("acme"), "1");
    assert_eq!(
        cluster.session().column(
            "SELECT tenant || ' ' || calls FROM indexpilot.query_stats
             WHERE field = 'name' AND role = 'output' ORDER BY 1"
        ),
        ["1 1", "2 2"]
    );
    // What was attributed to a tenant can be forgotten.
    session.run("SELECT indexpilot.reset_tenant('acme')");
    cluster.wait(&of("acme"), "0");
}

#[test]
fn views_hide_texts_of_others_and_reset_forgets() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (id int); CREATE ROLE reader LOGIN");
    session.run("SELECT id FROM t WHERE id = 1");
    cluster.wait(
        "SELECT calls FROM indexpilot.statements WHERE query = 'SELECT id FROM t WHERE id = $1'",
        "1",
    );
    let mut reader = cluster.session_as("reader", "postgres");
    assert_eq!(
        reader.text("SELECT count(*) FROM indexpilot.statements WHERE query LIKE '%FROM t%'"),
        "0"
    );
    assert_eq!(
        reader.error("SELECT * FROM indexpilot.tenants").code,
        "42501"
    );
    assert_eq!(
        reader
            .error("SELECT * FROM indexpilot.statement_source")
            .code,
        "42501"
    );
    assert_eq!(reader.error("SELECT indexpilot.reset()").code, "42501");
    session.run("SELECT indexpilot.reset()");
    session.run("SELECT id FROM t WHERE id = 2");
    cluster.wait(
        "SELECT calls FROM indexpilot.statements WHERE query = 'SELECT id FROM t WHERE id = $1'",
        "1",
    );
}

/// Every statement's calls and rows, theirs and ours, by their query identifier. Before 18 the
/// query of a cursor has none, so that they do not count it.
const DIFFERENCE: &str = "
    WITH theirs AS (
        SELECT queryid AS query_id, sum(calls) AS calls, sum(rows) AS rows
        FROM public.pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND userid = 'loader'::regrole
        GROUP BY 1),
    ours AS (
        SELECT s.query_id, sum(t.calls) AS calls, sum(t.rows) AS rows
        FROM indexpilot.statement AS s JOIN indexpilot.statement_stats AS t ON t.statement = s.id
        WHERE s.role_name = 'loader' AND s.kind <> 'utility' AND s.query_id <> 0 GROUP BY 1)
    SELECT count(*) FROM ours FULL JOIN theirs USING (query_id)
    WHERE (ours.query_id IS NOT NULL OR query_id IN (
            SELECT queryid FROM public.pg_stat_statements WHERE query ~* '^\\s*(select|insert|update|delete|with|prepare)'))
      AND (ours.calls IS DISTINCT FROM theirs.calls OR ours.rows IS DISTINCT FROM theirs.rows)";

#[test]
fn calls_and_rows_are_those_of_pg_stat_statements() {
    if lacks_module("pg_stat_statements") {
        return;
    }
    let cluster = Cluster::builder()
        .preload("pg_stat_statements,indexpilot")
        .conf("pg_stat_statements.track = all\npg_stat_statements.max = 5000\nmax_connections = 60")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot; CREATE EXTENSION pg_stat_statements");
    session.run(
        "CREATE ROLE loader LOGIN;
         CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE log (id int, v int);
         INSERT INTO a SELECT i, i % 10 FROM generate_series(1, 500) AS i;
         CREATE FUNCTION f(x int) RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE n bigint; BEGIN
            SELECT count(*) INTO n FROM a WHERE v = x;
            BEGIN PERFORM 1 / (x - 3); EXCEPTION WHEN division_by_zero THEN n := n + 1; END;
            RETURN n; END $$;
         CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO log VALUES (new.id, new.v); RETURN new; END $$;
         CREATE TRIGGER after_update AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION trg();
         GRANT ALL ON a, log TO loader",
    );
    drop(watched(&cluster));
    let failures = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in 0..32i32 {
            let (cluster, failures) = (&cluster, &failures);
            scope.spawn(move || {
                let mut session = cluster.session_as("loader", "postgres");
                let statement = session.prepare("SELECT v FROM a WHERE id = $1").expect("prepare");
                for round in 0..20i32 {
                    session.query(&statement, &[&(client * 10 + round)]).expect("a point query");
                    session.run(&format!("SELECT f({})", round % 5));
                    session.run(&format!("UPDATE a SET v = v + 1 WHERE id = {}", client + 1));
                    session.run("SELECT 1; SELECT count(*) FROM a WHERE v > 3; SELECT 2");
                    session.run("BEGIN; DECLARE c CURSOR FOR SELECT * FROM a WHERE id < 50; FETCH ALL FROM c; COMMIT");
                    session.run("WITH x AS (INSERT INTO log VALUES (0, 0) RETURNING id) SELECT * FROM x");
                    if session.try_rows("SELECT id / (v - v) FROM a").is_err() {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    cluster.wait(DIFFERENCE, "0");
    let mut session = cluster.session();
    assert_eq!(
        session.text(
            "SELECT errors FROM indexpilot.statement WHERE query = 'SELECT id / (v - v) FROM a'"
        ),
        failures.into_inner().to_string()
    );
    assert!(
        session.number(
            "SELECT count(*) FROM indexpilot.statement WHERE role_name = 'loader' AND NOT top_level"
        ) > 3.0
    );
}

#[test]
fn without_samples_no_compared_value_is_kept() {
    let cluster = Cluster::builder()
        .conf("indexpilot.sample_parameters = off")
        .start();
    cluster.session().run("CREATE EXTENSION indexpilot");
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (id int, email text)");
    session.run("SELECT id FROM t WHERE email = 'whisper' AND id IN (77123, 77124)");
    session
        .query("SELECT id FROM t WHERE email LIKE $1", &[&"whisper%"])
        .expect("a prepared statement runs");
    cluster.wait(
        "SELECT count(*) FROM indexpilot.statement_source AS o
         JOIN indexpilot.statement AS s ON s.id = o.statement
         WHERE s.query LIKE 'SELECT id FROM t WHERE email%'",
        "2",
    );
    let mut session = cluster.session();
    assert_eq!(
        session.text(
            "SELECT count(*) FROM indexpilot.statement_source AS o
             JOIN indexpilot.statement AS s ON s.id = o.statement
             WHERE concat(s.query, o.tree, o.shape, o.samples) ~ 'whisper|7712[34]'
               AND s.query LIKE 'SELECT id FROM t WHERE email%'"
        ),
        "0"
    );
}

#[test]
fn old_buckets_become_hours_and_the_oldest_go() {
    let mut cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("SET TimeZone = 'UTC'");
    session.run(
        "INSERT INTO indexpilot.statement_stats
         SELECT '00000000-0000-0000-0000-000000000001', date_trunc('day', now()) - age, 7,
             1, 2, 3, 9, least, 4, 5, 1, 1, 1, 1, 1, 1, 1, bars::jsonb
         FROM (VALUES (interval '3 days 50 minutes', 1, '{\"3\": 1}'),
                      (interval '3 days 45 minutes', 2, '{\"3\": 2, \"9\": 5}'),
                      (interval '4 days', 3, '{}'),
                      (interval '4000 days', 3, '{}')) AS v (age, least, bars);
         INSERT INTO indexpilot.tenant_stats
         SELECT 1, 1, date_trunc('day', now()) - age, 'acme',
             '00000000-0000-0000-0000-000000000001', 1, 2, 3
         FROM (VALUES (interval '3 days 50 minutes'), ('3 days 45 minutes'), ('4000 days')) AS v (age);
         INSERT INTO indexpilot.query_stats
         SELECT 1, 1, date_trunc('day', now()) - age, 'acme', 't', 1, 'a', 'equality', 'select', 1, 2, 3
         FROM (VALUES (interval '3 days 50 minutes'), ('3 days 45 minutes'), ('4000 days')) AS v (age)",
    );
    // A worker tidies when it starts.
    drop(session);
    cluster.restart();
    cluster.wait(
        "SELECT string_agg(concat_ws(' ', date_trunc('day', now(), 'UTC') - bucket, calls, rows,
             total_ms, min_ms, histogram), '; ' ORDER BY bucket)
         FROM indexpilot.statement_stats WHERE plan = 7",
        r#"4 days 1 2 3 3 {}; 3 days 01:00:00 2 4 6 1 {"3": 3, "9": 5}"#,
    );
    for table in ["tenant_stats", "query_stats"] {
        assert_eq!(
            cluster.session().column(&format!(
                "SELECT concat_ws(' ', date_trunc('day', now(), 'UTC') - bucket, calls, rows, total_ms)
                 FROM indexpilot.{table} WHERE tenant = 'acme'"
            )),
            ["3 days 01:00:00 2 4 6"]
        );
    }
}

/// The first execution is always looked at, so a few of them are enough.
#[test]
fn every_major_estimates_the_rows_that_filters_throw_away() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int);
         INSERT INTO t SELECT i, i % 10, 'x' || i % 4, i FROM generate_series(1, 1000) AS i;
         CREATE TABLE p (a int, dropped int, b int) PARTITION BY LIST (a);
         ALTER TABLE p DROP COLUMN dropped;
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
         CREATE TABLE p2 (b int, a int);
         ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2);
         INSERT INTO p SELECT 1 + i % 2, i % 5 FROM generate_series(1, 100) AS i; ANALYZE",
    );
    for _ in 0..5 {
        session.run("SELECT id FROM t WHERE a = 3");
    }
    // Read by the index, thrown away by the other condition; in a subplan.
    session.run("SET enable_seqscan = off");
    session.run("SELECT (SELECT count(*) FROM t WHERE id <= 100 AND upper(b) = 'X1')");
    session.run("RESET enable_seqscan");
    // Both partitions, whose columns stand in another order than the parent's.
    session.run("SELECT a FROM p WHERE b = 4");
    // Nothing is thrown away.
    session.run("SELECT id FROM t WHERE c >= 0");
    let estimate = |field: &str, role: &str| {
        format!(
            "SELECT rows_filtered_estimate FROM indexpilot.field_usage
             WHERE field = '{field}' AND role = '{role}' AND relation IN ('\"public\".\"t\"', '\"public\".\"p\"')"
        )
    };
    cluster.wait(&estimate("a", "equality"), "4500");
    cluster.wait(&estimate("upper(b)", "equality"), "75");
    cluster.wait(&estimate("b", "equality"), "80");
    cluster.wait(&estimate("c", "range"), "0");
    // Switched off, nothing is known.
    session.run("SET indexpilot.filter_sampling = 0");
    session.run("SELECT id FROM t WHERE a <> 3");
    cluster.wait(
        "SELECT rows_filtered_estimate IS NULL FROM indexpilot.field_usage
         WHERE field = 'a' AND role = 'inequality'",
        "t",
    );
}

/// Pairs that joins refuse, wherever the plan checks them. Counts follow from the tables: of 100
/// numbers against 50, 1,225 pairs are in order; of 50 pairs with equal id, 20 have equal values.
#[test]
fn every_major_estimates_the_rows_that_joins_throw_away() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run(
        "CREATE TABLE a (id int, x int, w int, s int, own int);
         INSERT INTO a SELECT i, i, i, i, i FROM generate_series(1, 100) AS i;
         CREATE TABLE b (id int, y int, z int, v int, k int, m int);
         INSERT INTO b SELECT i, i, CASE WHEN i <= 20 THEN i ELSE -i END, 1, i, i
             FROM generate_series(1, 50) AS i;
         CREATE TABLE k (id int PRIMARY KEY, z int); INSERT INTO k SELECT id, z FROM b;
         CREATE TABLE one (n int); INSERT INTO one VALUES (3);
         CREATE TABLE p (a int, dropped int, b int) PARTITION BY LIST (a);
         ALTER TABLE p DROP COLUMN dropped;
         CREATE TABLE p1 (b int, a int); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1);
         CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
         INSERT INTO p SELECT 1 + i % 2, i % 5 FROM generate_series(1, 100) AS i; ANALYZE",
    );
    // A nested loop, five times.
    for _ in 0..5 {
        session.run("SELECT count(*) FROM a, b WHERE a.x < b.y");
    }
    // Beside a hash or merge condition; in a condition above an outer join.
    session.run("SET enable_nestloop = off");
    session.run("SELECT count(*) FROM a JOIN b ON a.id = b.id AND a.w <> b.z");
    session.run("SELECT count(*) FROM a LEFT JOIN b ON a.id = b.id WHERE b.v IS NULL");
    // In the index scan on the inner side of a nested loop.
    session.run("SET enable_nestloop = on; SET enable_hashjoin = off; SET enable_mergejoin = off");
    session.run("SET enable_seqscan = off");
    session.run("SELECT count(*) FROM a JOIN k ON a.id = k.id AND a.own <> k.z");
    session.run("RESET ALL");
    // Through a subquery, a MATERIALIZED CTE and partitions whose columns are in another order;
    // over an expression of both sides.
    session.run("SELECT count(*) FROM (SELECT s FROM a OFFSET 0) AS q, b WHERE q.s < b.k");
    session.run(
        "WITH q AS MATERIALIZED (SELECT m FROM b) SELECT count(*) FROM q, one WHERE q.m < one.n",
    );
    session.run("SELECT count(*) FROM p, one WHERE p.b < one.n");
    session.run("SELECT count(*) FROM a, one WHERE (a.own + one.n) % 10 = 0");
    let estimate = |relation: &str, field: &str, role: &str| {
        format!(
            "SELECT coalesce(rows_filtered_estimate::text, 'none') FROM indexpilot.field_usage
             WHERE relation = '\"public\".\"{relation}\"' AND field = '{field}' AND role = '{role}'"
        )
    };
    for (relation, field, role, rows) in [
        ("a", "x", "join", "18875"),
        ("b", "y", "join", "18875"),
        ("a", "w", "join", "20"),
        ("b", "z", "join", "20"),
        ("b", "v", "is_null", "50"),
        ("k", "z", "join", "20"),
        ("a", "s", "join", "3775"),
        ("b", "k", "join", "3775"),
        ("b", "m", "join", "48"),
        ("p", "b", "join", "40"),
        ("a", "own", "join_filter", "90"),
        // Hashed, merged or looked up, never filtered.
        ("a", "id", "join", "none"),
    ] {
        cluster.wait(&estimate(relation, field, role), rows);
    }
}

#[test]
fn values_that_are_nearly_always_the_same_are_constant_predicates() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = '1s'")
        .start();
    cluster.session().run("CREATE EXTENSION indexpilot");
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (id int, status text, kind int)");
    let constants = "SELECT coalesce(string_agg(field || ' ' || array_to_string(constants, ', '), '; ' ORDER BY field), '')
         FROM indexpilot.field_usage WHERE role = 'constant'";
    let mut number = 0i32;
    wait_for("the constant predicates", PATIENCE, || {
        for _ in 0..20 {
            number += 1;
            session.run(&format!(
                "SELECT id FROM t WHERE status = 'open' AND id = {number}"
            ));
            session
                .query(
                    "SELECT id FROM t WHERE kind = $1 AND id > $2",
                    &[&7i32, &number],
                )
                .expect("a prepared statement runs");
        }
        match session.text(constants) {
            found if found == "kind 7 (100 %); status open (100 %)" => Ok(()),
            found => Err(found),
        }
    });
    // The role stands beside the field's own, for the same calls or fewer.
    assert_eq!(
        session.text(
            "SELECT count(*) FROM indexpilot.query_stats
             WHERE field = 'id' AND role = 'constant'"
        ),
        "0"
    );
    // Values go with the samples, also those that were kept before.
    cluster.append_conf("indexpilot.sample_parameters = off");
    cluster.reload();
    cluster.wait(
        "SELECT count(*) FROM indexpilot.statement_source WHERE evidence <> '{}' OR constants <> '[]'",
        "0",
    );
}

#[test]
fn memory_at_defaults_stays_below_64_mb() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    let ours = session.number(
        "SELECT sum(allocated_size) FROM pg_catalog.pg_shmem_allocations WHERE name LIKE 'indexpilot%'",
    );
    // All of it, and capture's part as it says itself.
    assert!(ours < 64.0 * 1024.0 * 1024.0, "{ours} bytes");
    assert!(ours > 1024.0 * 1024.0, "{ours} bytes");
    assert_eq!(
        session.number("SELECT bytes FROM indexpilot.capture_memory()"),
        session.number(
            "SELECT size FROM pg_catalog.pg_shmem_allocations WHERE name = 'indexpilot capture'"
        )
    );
}

/// Lists of any length are one statement; whose values are in which list is not to be guessed.
#[test]
fn samples_of_two_lists_are_those_of_the_stored_tree() {
    let cluster = Cluster::with_extension();
    let mut session = watched(&cluster);
    session.run("CREATE TABLE t (a int, b int, c int)");
    let samples = |like: &str| {
        format!(
            "SELECT coalesce(string_agg(o.samples::text, ' '), '') FROM indexpilot.statement_source AS o
             JOIN indexpilot.statement AS s ON s.id = o.statement WHERE s.query LIKE '{like}'"
        )
    };
    let text = "SELECT c FROM t WHERE a IN %AND b IN%";
    session.run("SELECT c FROM t WHERE a IN (1, 2) AND b IN (3, 4, 5)");
    cluster.wait(&format!("SELECT ({}) LIKE '%5%'", samples(text)), "t");
    // As many values, split in another way; and one that is like the first.
    for first in [100, 200] {
        session.run(&format!(
            "SELECT c FROM t WHERE a IN ({first}, 6, 7) AND b IN (8, 9)"
        ));
    }
    session.run("SELECT c FROM t WHERE a IN (300, 6) AND b IN (7, 8, 9)");
    cluster.wait(&format!("SELECT ({}) LIKE '%300%'", samples(text)), "t");
    // Parameters alone do not tell how they are split.
    let text = "SELECT b FROM t WHERE a IN %AND c IN%";
    session
        .query(
            "SELECT b FROM t WHERE a IN ($1, $2) AND c IN ($3, $4, $5)",
            &[&1, &2, &3, &4, &5],
        )
        .expect("a prepared statement runs");
    cluster.wait(&format!("SELECT ({}) LIKE '%5%'", samples(text)), "t");
    for first in [400, 500] {
        session
            .query(
                "SELECT b FROM t WHERE a IN ($1, $2, $3) AND c IN ($4, $5)",
                &[&first, &6, &7, &8, &9],
            )
            .expect("a prepared statement runs");
    }
    cluster.wait(
        "SELECT sum(t.calls) FROM indexpilot.statement AS s
         JOIN indexpilot.statement_stats AS t ON t.statement = s.id
         WHERE s.query LIKE 'SELECT b FROM t WHERE a IN %AND c IN%'",
        "3",
    );
    let kept = session.text(&samples("SELECT % FROM t WHERE a IN%"));
    for wrong in ["100", "200", "400", "500"] {
        assert!(!kept.contains(wrong), "{wrong} in {kept}");
    }
}
