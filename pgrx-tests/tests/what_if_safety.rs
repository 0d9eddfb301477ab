//! What-if leaves nothing behind, says clearly what is wrong, and runs nobody's function with
//! more than its user's rights.

use indexpilot_tests::{Cluster, Session};

fn table(session: &mut Session) {
    session.run(
        "CREATE TABLE t AS SELECT g AS a, g % 100 AS b, 'v' || g % 1000 AS c, g % 7 AS d, g % 13 AS e
             FROM generate_series(1, 20000) AS g;
         CREATE VIEW v AS SELECT * FROM t;
         CREATE FUNCTION volatile_one(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';",
    );
    session.run("VACUUM ANALYZE t");
}

#[test]
fn every_major_says_what_is_wrong_and_goes_on() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    let columns = (1..=70)
        .map(|i| format!("c{i} int"))
        .collect::<Vec<_>>()
        .join(", ");
    let names = (1..=70)
        .map(|i| format!("c{i}"))
        .collect::<Vec<_>>()
        .join(", ");
    session.run(&format!("CREATE TABLE wide ({columns})"));
    let index = |definition: &str| {
        format!("SELECT * FROM indexpilot.index_size_estimate($q${definition}$q$)")
    };
    let query = |text: &str| format!("SELECT * FROM indexpilot.what_if($q${text}$q$)");
    for (sql, code, message) in [
        (query("SELEC 1"), "42601", "syntax error"),
        (query(""), "42601", "empty"),
        (query("SELECT 1; SELECT 2"), "42601", "only one statement"),
        (query("VACUUM t"), "0A000", "utility"),
        (query("EXPLAIN SELECT 1"), "0A000", "utility"),
        (query("SELECT * INTO x FROM t"), "0A000", "utility"),
        (query("SELECT * FROM nowhere"), "42P01", "nowhere"),
        (query("CREATE TABLE x (a int)"), "0A000", "utility"),
        (query("BEGIN"), "0A000", "utility"),
        (query("SELECT nothing FROM t"), "42703", "nothing"),
        (
            query("SELECT * FROM t WHERE a = 1 / 0"),
            "22012",
            "division by zero",
        ),
        (
            "SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = $1', params => '{1,2}')"
                .into(),
            "42P02",
            "parameters",
        ),
        (
            "SELECT * FROM indexpilot.what_if('SELECT * FROM t WHERE a = $1', params => '{x}')"
                .into(),
            "22P02",
            "invalid input syntax",
        ),
        (
            "SELECT * FROM indexpilot.what_if('SELECT 1', hide => '{t}')".into(),
            "42809",
            "not an index",
        ),
        (index("SELECT 1"), "42601", "CREATE INDEX"),
        (
            index("CREATE INDEX ON t (a); DROP TABLE t"),
            "42601",
            "exactly one",
        ),
        (index("CREATE INDEX ON nowhere (a)"), "42P01", "nowhere"),
        (
            index("CREATE INDEX ON v (a)"),
            "42809",
            "cannot create index",
        ),
        (index("CREATE INDEX ON t (nothing)"), "42703", "nothing"),
        (
            index("CREATE INDEX ON t (volatile_one(a))"),
            "42P17",
            "IMMUTABLE",
        ),
        (
            index("CREATE INDEX ON t (a) WHERE random() < 0.5"),
            "42P17",
            "IMMUTABLE",
        ),
        (
            index("CREATE INDEX ON t USING hash (a, b)"),
            "0A000",
            "multicolumn",
        ),
        (
            index("CREATE INDEX ON t USING hash (a) INCLUDE (b)"),
            "0A000",
            "included",
        ),
        (
            index("CREATE INDEX ON t USING gin (a)"),
            "42704",
            "no default operator class",
        ),
        (
            index("CREATE INDEX ON t (a nonsense_ops)"),
            "42704",
            "nonsense_ops",
        ),
        (
            index("CREATE INDEX ON t (a) WITH (nonsense = 1)"),
            "22023",
            "nonsense",
        ),
        (
            index("CREATE INDEX ON t ((1 / (a - a)))"),
            "22012",
            "division by zero",
        ),
        (
            index(&format!("CREATE INDEX ON wide ({names})")),
            "54011",
            "more than 32 columns",
        ),
    ] {
        let error = session.error(&sql);
        assert_eq!(error.code, code, "{sql}\n{error}");
        assert!(error.message.contains(message), "{sql}\n{error}");
        assert_eq!(session.number("SELECT count(*) FROM t WHERE a = 1"), 1.0);
    }
}

#[test]
fn every_major_tells_nothing_to_whom_may_not_read() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    session.run(
        "CREATE ROLE reader LOGIN;
         CREATE TABLE shared AS SELECT * FROM t;
         GRANT SELECT ON shared TO reader;
         CREATE TABLE guarded AS SELECT * FROM t;
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON guarded USING (d = 1);
         GRANT SELECT ON guarded TO reader;",
    );
    let mut reader = cluster.session_as("reader", "postgres");
    for sql in [
        "SELECT * FROM indexpilot.what_if('SELECT * FROM t')",
        "SELECT * FROM indexpilot.what_if('SELECT 1', ARRAY['CREATE INDEX ON t (a)'])",
        "SELECT * FROM indexpilot.what_if('SELECT 1', ARRAY['CREATE INDEX ON guarded (a)'])",
        "SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON t (a)')",
        "SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON guarded (a) WHERE d = 2')",
    ] {
        assert_eq!(reader.error(sql).code, "42501", "{sql}");
    }
    reader.run("SELECT * FROM indexpilot.what_if('SELECT * FROM shared WHERE a = 1', ARRAY['CREATE INDEX ON shared (a)'])");
    reader.run("SELECT * FROM indexpilot.what_if('SELECT * FROM guarded WHERE a = 1')");
}

#[test]
fn every_major_runs_hostile_functions_as_their_owners_only() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE ROLE mallory LOGIN;
         CREATE SCHEMA m AUTHORIZATION mallory;",
    );
    let mut mallory = cluster.session_as("mallory", "postgres");
    mallory.run(
        "CREATE FUNCTION m.evil(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN
             RAISE NOTICE 'evil ran as %', current_user;
             BEGIN
                 PERFORM pg_catalog.set_config('role', 'postgres', false);
                 RAISE NOTICE 'evil became %', current_user;
             EXCEPTION WHEN OTHERS THEN NULL;
             END;
             RETURN $1;
         END $$;
         CREATE OPERATOR m.@@@ (PROCEDURE = m.evil, RIGHTARG = int);
         CREATE TABLE m.t AS SELECT g AS a FROM generate_series(1, 100) AS g;
         ALTER TABLE m.t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON m.t USING (a > m.evil(0));
         ANALYZE m.t;",
    );
    session.notices();
    session.run("SET search_path = m, public");
    for definition in [
        "CREATE INDEX ON m.t (m.evil(a))",
        "CREATE INDEX ON m.t (a) WHERE m.evil(1) = 1 AND m.evil(a) > 50",
        "CREATE INDEX ON t ((@@@ a), (evil(3)))",
    ] {
        session.run(&format!(
            "SELECT * FROM indexpilot.what_if('SELECT * FROM m.t WHERE a = 5', ARRAY[$q${definition}$q$])"
        ));
        let said = session.notices();
        assert!(
            !said.is_empty(),
            "{definition}: the function did not run at all"
        );
        for notice in said {
            assert_eq!(notice.message, "evil ran as mallory", "{definition}");
        }
        assert_eq!(session.text("SELECT current_user"), "postgres");
    }
}

#[test]
fn every_major_waits_for_no_lock() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    let mut other = cluster.session();
    other.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    let error = session.error("SELECT * FROM indexpilot.what_if('SELECT * FROM t')");
    assert_eq!(error.code, "55P03", "{error}");
    other.run("COMMIT");
    session.run("SELECT * FROM indexpilot.what_if('SELECT * FROM t')");
}

/// Random evaluations, a tenth of them failing on purpose, within one transaction: 20,000, or
/// as many tens of thousands as `INDEXPILOT_ROUNDS` says (10 takes some minutes).
#[test]
fn many_evaluations_leave_nothing() {
    let rounds: usize = std::env::var("INDEXPILOT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    session.run(
        "CREATE FUNCTION fails(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN PERFORM count(*) FROM t; RAISE EXCEPTION 'no'; END $$",
    );
    let plan = "EXPLAIN SELECT * FROM t WHERE a = 5 AND lower(c) = 'v5'";
    let before = session.rows(plan);
    session.run("BEGIN");
    let mut definitions = Vec::new();
    for first in ["a", "b", "c", "d", "e"] {
        for second in [
            "a DESC",
            "b",
            "lower(c)",
            "d",
            "(d + e)",
            "c text_pattern_ops",
        ] {
            definitions.push(format!("'CREATE INDEX ON t ({first}, {second})'"));
        }
    }
    let array = definitions.join(", ");
    let round = |session: &mut Session| {
        // 1 + 30 + 435 evaluations a call.
        session.run(&format!(
            "DO $do$ DECLARE evaluations bigint; BEGIN
                 FOR i IN 1..20 LOOP
                     SELECT count(*) INTO evaluations FROM indexpilot.what_if_subsets(
                         'SELECT * FROM t WHERE a = ' || i || ' AND lower(c) = ''v5'' AND d + e > 3 ORDER BY b LIMIT 5',
                         ARRAY[{array}], 2, reuse => false);
                     ASSERT evaluations = 466;
                 END LOOP;
                 FOR i IN 1..1040 LOOP
                     BEGIN
                         PERFORM * FROM indexpilot.what_if(
                             CASE i % 4 WHEN 0 THEN 'SELECT * FROM t WHERE a = fails(1)'
                                        WHEN 1 THEN 'SELECT * FROM t WHERE a = 1 / 0'
                                        WHEN 2 THEN 'SELECT * FROM nowhere'
                                        ELSE 'SELECT * FROM t' END,
                             CASE i % 4 WHEN 3 THEN ARRAY['CREATE INDEX ON t (fails(a))'] ELSE '{{}}' END);
                         ASSERT false;
                     EXCEPTION WHEN assert_failure THEN RAISE;
                               WHEN OTHERS THEN NULL;
                     END;
                 END LOOP;
             END $do$"
        ));
    };
    let memory = |session: &mut Session| {
        session.number("SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
    };
    round(&mut session);
    let early = memory(&mut session);
    for _ in 1..rounds {
        round(&mut session);
    }
    let late = memory(&mut session);
    // The statements of one transaction keep a little each; evaluations must keep nothing.
    assert!(
        late < early + 1_000_000.0,
        "memory went from {early} to {late}"
    );
    // PL/pgSQL's failing function was planned within evaluations only, so no lock may remain.
    assert_eq!(
        session.column(
            "SELECT DISTINCT relation::regclass::text FROM pg_locks
             WHERE pid = pg_backend_pid() AND relation = 't'::regclass"
        ),
        Vec::<String>::new()
    );
    session.run("COMMIT");
    assert_eq!(session.rows(plan), before);
}

/// A superuser plans what mallory ran: as mallory, whatever the functions in it try.
#[test]
fn captured_statements_are_planned_as_their_own_user() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 1s")
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE EXTENSION indexpilot;
         CREATE ROLE mallory LOGIN;
         CREATE SCHEMA m AUTHORIZATION mallory;",
    );
    let mut mallory = cluster.session_as("mallory", "postgres");
    mallory.run(
        "CREATE FUNCTION m.evil(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN
             RAISE NOTICE 'evil ran as %', current_user;
             BEGIN
                 PERFORM pg_catalog.set_config('role', 'postgres', false);
                 RAISE NOTICE 'evil became %', current_user;
             EXCEPTION WHEN OTHERS THEN NULL;
             END;
             RETURN $1;
         END $$;
         CREATE TABLE m.t AS SELECT g AS a FROM generate_series(1, 20000) AS g;
         ANALYZE m.t;
         SET search_path = m;",
    );
    for _ in 0..3 {
        mallory.run("SELECT * FROM t WHERE a = evil(7)");
    }
    cluster.wait(
        "SELECT count(*) > 0 FROM indexpilot.statement AS s
         JOIN indexpilot.statement_source AS o ON o.statement = s.id
         JOIN indexpilot.statement_stats AS b ON b.statement = s.id
         WHERE s.query LIKE 'SELECT * FROM t WHERE a = evil(%'",
        "t",
    );
    session.notices();
    let rows = session.rows(
        "SELECT w.cost_after < w.cost_before, w.indexes_used
         FROM indexpilot.statement AS s, indexpilot.what_if_statement(s.id, '{CREATE INDEX ON m.t (a)}') AS w
         WHERE s.query LIKE 'SELECT * FROM t WHERE a = evil(%' AND s.role_name = 'mallory'",
    );
    assert_eq!(rows[0][0].as_deref(), Some("t"));
    assert_eq!(rows[0][1].as_deref(), Some("{\"CREATE INDEX ON m.t (a)\"}"));
    let said = session.notices();
    assert!(!said.is_empty(), "the function did not run at all");
    for notice in said {
        assert_eq!(notice.message, "evil ran as mallory");
    }
    assert_eq!(
        mallory
            .error(
                "SELECT * FROM indexpilot.what_if_statement('00000000-0000-0000-0000-000000000000')"
            )
            .code,
        "42501"
    );
}

/// Whoever may not read all of a relation learns here no more than EXPLAIN tells.
#[test]
fn every_major_tells_no_more_than_explain() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    table(&mut session);
    session.run(
        "CREATE ROLE reader LOGIN;
         GRANT SELECT ON v TO reader;
         CREATE TABLE partly AS SELECT * FROM t;
         GRANT SELECT (a) ON partly TO reader;
         CREATE TABLE guarded AS SELECT * FROM t;
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON guarded USING (d = 1);
         GRANT SELECT ON guarded TO reader;
         CREATE VIEW fenced WITH (security_barrier) AS SELECT * FROM t WHERE d = 1;
         GRANT SELECT ON fenced TO reader;
         CREATE TABLE written (a int);
         GRANT INSERT ON written TO reader;",
    );
    session.run("ANALYZE partly, guarded");
    let mut reader = cluster.session_as("reader", "postgres");
    // Behind a view or a grant on columns, an index would tell of what is not granted: its
    // size of widths and duplicates, its error of values.
    for sql in [
        "SELECT * FROM indexpilot.what_if('SELECT * FROM v WHERE a = 1', ARRAY['CREATE INDEX ON t (a)'])",
        "SELECT * FROM indexpilot.what_if('SELECT * FROM fenced', ARRAY['CREATE INDEX ON t (c)'])",
        "SELECT * FROM indexpilot.what_if('SELECT a FROM partly', ARRAY['CREATE INDEX ON partly (b)'])",
        "SELECT * FROM indexpilot.what_if('SELECT a FROM partly', ARRAY['CREATE INDEX ON partly ((1 / (b - b)))'])",
        "SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON partly (a)')",
        "SELECT * FROM indexpilot.index_size_estimate('CREATE INDEX ON guarded ((1 / (a - a)))')",
        "SELECT * FROM indexpilot.what_if_subsets('SELECT b FROM partly', '{}')",
        "SELECT * FROM indexpilot.what_if('SELECT * FROM written')",
        "SELECT * FROM indexpilot.what_if('INSERT INTO written SELECT a FROM t')",
        "SELECT * FROM indexpilot.what_if('UPDATE written SET a = 1')",
        "SELECT * FROM indexpilot.what_if('DELETE FROM guarded')",
        "SELECT * FROM indexpilot.what_if('SELECT a FROM partly FOR UPDATE')",
        "SELECT * FROM indexpilot.what_if('SELECT (SELECT max(b) FROM t)')",
    ] {
        let error = reader.error(sql);
        assert_eq!(error.code, "42501", "{sql}\n{error}");
    }
    reader.run(
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
             'BEGIN RAISE NOTICE ''saw %'', $1; RETURN true; END'",
    );
    for query in [
        "SELECT * FROM v WHERE a = 5 AND c > 'v5'",
        "SELECT a FROM partly WHERE a < 77",
        "SELECT * FROM guarded WHERE c = 'v5'",
        "SELECT * FROM guarded WHERE pg_temp.leak(c)",
        "SELECT * FROM fenced WHERE c LIKE 'v5%' AND pg_temp.leak(c)",
        "INSERT INTO written SELECT a FROM partly",
    ] {
        let shown = reader.text(&format!("EXPLAIN (FORMAT JSON) {query}"));
        let cost = reader.number(&format!(
            "SELECT cost_before FROM indexpilot.what_if($q${query}$q$)"
        ));
        assert!(
            shown.contains(&format!("\"Total Cost\": {cost:.2}")),
            "{query}: {cost}\n{shown}"
        );
        assert!(reader.notices().is_empty(), "{query}");
    }
}
