//! What is counted, and that it is saved.

use indexpilot_tests::{Cluster, Session};

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
