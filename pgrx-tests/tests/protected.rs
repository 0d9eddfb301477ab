//! Statements that must not get slower are looked at however seldom they run.

use indexpilot_tests::{Cluster, PATIENCE, past_traffic, wait_for};

#[test]
fn a_rare_statement_is_left_out_until_it_is_protected() {
    let cluster = Cluster::builder()
        .conf("indexpilot.flush_interval = 1")
        .start();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
         INSERT INTO orders SELECT g, g % 500, repeat('x', 50) FROM generate_series(1, 20000) AS g;
         ANALYZE orders;
         CREATE EXTENSION indexpilot",
    );
    let mut statements = vec!["SELECT count(*) FROM orders WHERE customer = 7".to_owned(); 40];
    statements.push("SELECT note FROM orders WHERE id = 1".to_owned());
    past_traffic(
        &mut cluster.session(),
        &mut session,
        &statements,
        "%orders WHERE%",
        60,
    );
    let rare = "SELECT count(*) FROM indexpilot.not_analysed
                WHERE what LIKE 'SELECT note%' AND why LIKE 'it is rare%'";
    for (wanted, protect) in [(1.0, true), (0.0, false)] {
        wait_for("an analysis", PATIENCE, || {
            session.run("SELECT * FROM indexpilot.analyze()");
            let found = session.number(rare);
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{found}"))
            }
        });
        if protect {
            session.run(
                "DO $$BEGIN EXECUTE format(
                     'ALTER DATABASE postgres SET indexpilot.protected_statements = %L',
                     (SELECT id FROM indexpilot.statements WHERE query LIKE 'SELECT note%')); END$$",
            );
        }
    }
}
