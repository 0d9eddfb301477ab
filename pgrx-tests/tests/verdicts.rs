//! Verdicts on what was done, from histories put into the tables as capture would have.

mod jobs;

use indexpilot_tests::{PATIENCE, past_traffic, wait_for};
use jobs::Ground;

/// The statement whose history is made up.
fn statement(ground: &Ground) {
    ground.session().run(
        "INSERT INTO indexpilot.statement (id, system_identifier, database_oid, identity, memory_id,
             query_id, role_name, role_oid, top_level, kind, query, relations, first_seen,
             last_seen, errors, plannings, planning_ms)
         SELECT gen_random_uuid(), c.system_identifier, d.oid, 4711, 1, 1, 'postgres', 10, true,
             'select', 'q', ARRAY['\"crm\".\"contacts\"'], now(), now(), 0, 1, 1
         FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()",
    );
}

/// [`made_up`], and a look at it.
fn history(ground: &Ground, factor: f64, read: bool, job: &str) {
    made_up(ground, factor, read, job);
    ground
        .session()
        .run("UPDATE indexpilot.verification SET next_look = now()");
}

/// History is put into the tables as capture would have: half a day of five-minute blocks
/// before and two hours after, with another plan and `factor` times the latency. The plan
/// after reads the index if `read`. Nobody looks at it of himself.
fn made_up(ground: &Ground, factor: f64, read: bool, job: &str) {
    statement(ground);
    ground.session().run(&format!(
        "UPDATE indexpilot.verification SET before_until = now() - interval '2 hours',
             after_from = now() - interval '2 hours', next_look = now() + interval '1 day'
         WHERE mutation = (SELECT mutation FROM indexpilot.job WHERE id = '{job}');
         INSERT INTO indexpilot.statement_stats (statement, bucket, plan, calls, rows, total_ms,
             square_ms, min_ms, max_ms, cost, shared_hit, shared_read, shared_dirtied,
             shared_written, temp_read, temp_written, wal_bytes, histogram)
         SELECT s.id, now() - make_interval(mins => b * 5),
             CASE WHEN b <= 23 THEN 2 ELSE 1 END, 100, 100, 100, 100, 1, 1, 100, 100, 0, 0, 0, 0,
             0, 0, jsonb_build_object(
                 (160 + CASE WHEN b <= 23 THEN (16 * ln({factor}) / ln(2))::int ELSE 0 END
                  + b % 3)::text, 100)
         FROM indexpilot.statement AS s, generate_series(1, 140) AS b
         WHERE s.identity = 4711 AND b <> 24;
         INSERT INTO indexpilot.statement_plan
         SELECT s.id, p, CASE WHEN p = 2 AND {read} THEN ARRAY[v.index_oid] ELSE '{{}}' END
         FROM indexpilot.statement AS s, indexpilot.verification AS v, generate_series(1, 2) AS p
         WHERE s.identity = 4711"
    ));
}

#[test]
fn an_index_that_hurts_is_taken_back_and_one_that_helps_is_kept() {
    for (factor, state) in [(3.0, "reverted"), (0.25, "kept")] {
        let ground = Ground::new();
        let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
        ground.ends(&job, "succeeded");
        history(&ground, factor, true, &job);
        let wanted = if state == "kept" {
            "kept true"
        } else {
            "reverted false"
        };
        // A look that was under way may have put the next one a minute off.
        wait_for(wanted, PATIENCE, || {
            let mut session = ground.session();
            session.run(
                "UPDATE indexpilot.verification SET next_look = now() WHERE state = 'measuring'",
            );
            let found = session.rows(
                "SELECT state || ' ' || coalesce((gain BETWEEN 0.6 AND 0.8)::text, ''), reason
                 FROM indexpilot.verification",
            );
            if found[0][0].as_deref() == Some(wanted) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        });
        let exists = "SELECT to_regclass('crm.ip_contacts_email') IS NOT NULL";
        ground
            .cluster
            .wait(exists, if state == "kept" { "t" } else { "f" });
        ground.cluster.wait(
            "SELECT count(*) FROM indexpilot.mutation_log WHERE phase = 'verdict'",
            "1",
        );
        if state == "reverted" {
            // And not rebuilt.
            let again = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
            ground.ends_or_waits(&again, "dwell:");
        }
        ground.is_clean();
    }
}

/// State and reason of the only verification, once it was looked at with everything in place.
fn looked_at(ground: &Ground) -> Vec<Option<String>> {
    let mut session = ground.session();
    let looks = session.number("SELECT looks FROM indexpilot.verification");
    wait_for("another look", PATIENCE, || {
        session
            .run("UPDATE indexpilot.verification SET next_look = now() WHERE state = 'measuring'");
        let mut rows = session.rows("SELECT looks, state, reason FROM indexpilot.verification");
        let row = rows.remove(0);
        let now: f64 = row[0].as_ref().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        // The first look after this moment may have begun before it.
        if now > looks + 1.0 || row[1].as_deref() != Some("measuring") {
            Ok(row[1..].to_vec())
        } else {
            Err(format!("{row:?}"))
        }
    })
}

#[test]
fn a_plan_that_changed_to_something_else_blames_nobody() {
    let ground = Ground::new();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    history(&ground, 3.0, false, &job);
    let found = looked_at(&ground);
    assert_eq!(found[0].as_deref(), Some("measuring"), "{found:?}");
    assert!(
        found[1]
            .as_deref()
            .is_some_and(|reason| reason.contains("no plan has changed to use it")),
        "{found:?}"
    );
}

/// Two tenants, the second ten times as slow as the first, share the statement's executions:
/// `before` and `after` are what the first has of a hundred; `factor` is what the second takes
/// after against before.
fn tenants(ground: &Ground, before: u32, after: u32, factor: f64) {
    ground.session().run(&format!(
        "DELETE FROM indexpilot.statement_stats;
         INSERT INTO indexpilot.tenant_stats (system_identifier, database_oid, bucket, tenant,
             statement, calls, rows, total_ms)
         SELECT s.system_identifier, s.database_oid, b.bucket, t.tenant, s.id, t.calls, t.calls,
             t.calls * t.ms * (1 + 0.02 * (b.n % 3))
         FROM indexpilot.statement AS s
         CROSS JOIN (SELECT n, n <= 23 AS later, date_bin('5 minutes', now(), 'epoch')
                 - make_interval(mins => n * 5) AS bucket
             FROM generate_series(1, 140) AS n WHERE n NOT IN (23, 24, 25)) AS b
         CROSS JOIN LATERAL (VALUES
             ('small', CASE WHEN b.later THEN {after} ELSE {before} END, 1.0),
             ('large', 100 - CASE WHEN b.later THEN {after} ELSE {before} END,
              10.0 * CASE WHEN b.later THEN {factor} ELSE 1 END)) AS t (tenant, calls, ms)
         WHERE s.identity = 4711;
         INSERT INTO indexpilot.statement_stats (statement, bucket, plan, calls, rows, total_ms,
             square_ms, min_ms, max_ms, cost, shared_hit, shared_read, shared_dirtied,
             shared_written, temp_read, temp_written, wal_bytes, histogram)
         SELECT t.statement, t.bucket,
             CASE WHEN t.bucket > now() - interval '118 minutes' THEN 2 ELSE 1 END, sum(t.calls),
             100, sum(t.total_ms), 100, 1, 1, 100, 100, 0, 0, 0, 0, 0, 0,
             jsonb_object_agg(CASE WHEN t.tenant = 'small' THEN 320
                 ELSE 320 + (16 * ln(t.total_ms / t.calls) / ln(2))::int END, t.calls)
         FROM indexpilot.tenant_stats AS t GROUP BY t.statement, t.bucket"
    ));
}

#[test]
fn one_tenant_that_suffers_is_enough() {
    let ground = Ground::new();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    history(&ground, 1.0, true, &job);
    // 30 of 100 executions take three times as long, and the others as long as before.
    tenants(&ground, 70, 70, 3.0);
    let found = looked_at(&ground);
    assert_eq!(found[0].as_deref(), Some("reverted"), "{found:?}");
}

#[test]
fn tenants_that_come_and_go_blame_nobody() {
    let ground = Ground::new();
    let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
    ground.ends(&job, "succeeded");
    history(&ground, 1.0, true, &job);
    // The slow tenant runs four times as often: the mean doubles, and nobody is slower.
    tenants(&ground, 90, 60, 1.0);
    let found = looked_at(&ground);
    assert_eq!(found[0].as_deref(), Some("measuring"), "{found:?}");
}

/// A block of traffic of one statement, filed under an hour that has passed.
fn block(ground: &Ground, statement: &str, minutes: i32) {
    let statements = vec![statement.to_owned(); 40];
    past_traffic(
        &mut ground.session(),
        &mut ground.session(),
        &statements,
        "%crm.orders%LIMIT%",
        minutes,
    );
}

/// A plan trap: the planner believes that walking the new index backwards finds five rows of
/// the customer at once, and they are all at its other end.
#[test]
fn a_plan_trap_is_taken_back_by_itself_and_not_built_again() {
    let ground = Ground::with("max_parallel_workers_per_gather = 0");
    let mut session = ground.session();
    session.run(
        "CREATE TABLE crm.orders (id int PRIMARY KEY, customer int, at int, note text);
         INSERT INTO crm.orders SELECT g, CASE WHEN g <= 2000 THEN 7 ELSE 100 + g % 99 END, g,
             repeat('x', 40) FROM generate_series(1, 150000) AS g;
         CREATE INDEX orders_customer ON crm.orders (customer)",
    );
    session.run("VACUUM ANALYZE crm.orders");
    let statement = "SELECT * FROM crm.orders WHERE customer = 7 ORDER BY at DESC LIMIT 5";
    for number in 0..6 {
        block(&ground, statement, 600 - 10 * number);
    }
    let job = ground.create_index("orders", &[(3, "at")], "ip_orders_at");
    ground.ends(&job, "succeeded");
    let plan = session.column(&format!("EXPLAIN {statement}")).join("\n");
    assert!(plan.contains("ip_orders_at"), "no trap:\n{plan}");
    session.run(
        "UPDATE indexpilot.verification SET before_until = before_until - interval '5 hours',
             after_from = after_from - interval '5 hours'",
    );
    for number in 0..6 {
        block(&ground, statement, 200 - 10 * number);
    }
    let found = looked_at(&ground);
    assert_eq!(found[0].as_deref(), Some("reverted"), "{found:?}");
    ground
        .cluster
        .wait("SELECT to_regclass('crm.ip_orders_at') IS NULL", "t");
    // What it did stands in the log, and the same index is not built again.
    assert_eq!(
        session.column(
            "SELECT m.kind || ' ' || m.phase || ' ' || m.cause FROM indexpilot.mutation_log AS m
             WHERE m.index_name = 'ip_orders_at' AND m.phase = 'intent' ORDER BY m.sequence"
        ),
        [
            "CREATE_INDEX intent recommendation",
            "DROP_INDEX intent revert"
        ]
    );
    let again = ground.create_index("orders", &[(3, "at")], "ip_orders_at");
    ground.ends_or_waits(&again, "dwell:");
    // Taking it back is measured too: it was no false alarm.
    wait_for("the revert to be under measurement", PATIENCE, || {
        let found =
            session.column("SELECT state FROM indexpilot.verification WHERE kind = 'revert'");
        if found == ["measuring"] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    session.run(
        "UPDATE indexpilot.verification SET before_until = now() - interval '100 minutes',
             after_from = now() - interval '90 minutes' WHERE kind = 'revert'",
    );
    for number in 0..6 {
        block(&ground, statement, 70 - 10 * number);
    }
    wait_for("the revert to be confirmed", PATIENCE, || {
        session
            .run("UPDATE indexpilot.verification SET next_look = now() WHERE state = 'measuring'");
        let found = session.rows(
            "SELECT reverted, reverts_confirmed, reverts_refuted FROM indexpilot.safeguard_summary",
        );
        if found == [["1", "1", "0"].map(|text| Some(text.to_owned()))] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    assert_eq!(
        session.number("SELECT reverted FROM indexpilot.safeguards WHERE name = 'verification'"),
        1.0
    );
    ground.is_clean();
}

/// Ten executions' worth of blocks, `from` to `to` blocks of five minutes ago, with a plan and a
/// bucket of the histogram.
fn blocks(ground: &Ground, from: i32, to: i32, plan: i32, bucket: i32) {
    ground.session().run(&format!(
        "DELETE FROM indexpilot.statement_stats AS t USING generate_series({to}, {from}) AS b
         WHERE t.bucket = date_bin('5 minutes', now(), 'epoch') - make_interval(mins => b * 5);
         INSERT INTO indexpilot.statement_stats (statement, bucket, plan, calls, rows, total_ms,
             square_ms, min_ms, max_ms, cost, shared_hit, shared_read, shared_dirtied,
             shared_written, temp_read, temp_written, wal_bytes, histogram)
         SELECT s.id, date_bin('5 minutes', now(), 'epoch') - make_interval(mins => b * 5), {plan},
             100, 100, 100, 100, 1, 1, 100, 100, 0, 0, 0, 0, 0, 0,
             jsonb_build_object(({bucket} + b % 3)::text, 100)
         FROM indexpilot.statement AS s, generate_series({to}, {from}) AS b
         WHERE s.identity = 4711"
    ));
}

/// State and reason of the build of `name`, once it is what `wanted` says; looks are asked for
/// until then.
fn judged(ground: &Ground, name: &str, wanted: impl Fn(&str, &str) -> bool) {
    wait_for(&format!("the verdict on {name}"), PATIENCE, || {
        let mut session = ground.session();
        session
            .run("UPDATE indexpilot.verification SET next_look = now() WHERE state = 'measuring'");
        let rows = session.rows(&format!(
            "SELECT state, reason FROM indexpilot.verification
             WHERE kind <> 'revert' AND intent #>> '{{kind,name}}' = '{name}'"
        ));
        let text = |i: usize| rows[0][i].clone().unwrap_or_default();
        if wanted(&text(0), &text(1)) {
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        }
    });
}

/// Two indexes of one night, of which a plan reads both and takes eight times as long as before.
/// One is taken back; the other, which was not judged yet, is judged by the plan that is left.
#[test]
fn what_is_not_judged_yet_is_judged_by_what_follows_a_revert() {
    for (later, state) in [(150, "kept"), (208, "reverted")] {
        let ground = Ground::new();
        let mut session = ground.session();
        let first = ground.create_index("contacts", &[(2, "email")], "ip_first");
        ground.ends(&first, "succeeded");
        let second = ground.create_index("contacts", &[(3, "name")], "ip_second");
        ground.ends(&second, "succeeded");
        statement(&ground);
        // A look before the history is whole would see half of it.
        session.run(
            "UPDATE indexpilot.verification SET next_look = now() + interval '1 day',
                 before_until = now() - interval '125 minutes',
                 after_from = now() - interval '120 minutes';
             INSERT INTO indexpilot.statement_plan
             SELECT s.id, p, coalesce((SELECT array_agg(v.index_oid)
                 FROM indexpilot.verification AS v
                 WHERE p = 2 OR p = 3 AND v.intent #>> '{kind,name}' = 'ip_second'), '{}')
             FROM indexpilot.statement AS s, generate_series(1, 3) AS p
             WHERE s.identity = 4711",
        );
        blocks(&ground, 140, 26, 1, 160);
        blocks(&ground, 23, 12, 2, 208);
        session.run(
            "UPDATE indexpilot.verification SET next_look = now()
             WHERE intent #>> '{kind,name}' = 'ip_first'",
        );
        ground
            .cluster
            .wait("SELECT to_regclass('crm.ip_first') IS NULL", "t");
        ground.cluster.wait(
            "SELECT count(*) FROM indexpilot.verification WHERE kind = 'revert'",
            "1",
        );
        // What the plan took that is gone does not count any more.
        judged(&ground, "ip_second", |state, reason| {
            state == "measuring" && reason.starts_with("none of its statements has run")
        });
        session.run(
            "UPDATE indexpilot.verification SET before_until = now() - interval '60 minutes',
                 after_from = now() - interval '58 minutes' WHERE kind = 'revert'",
        );
        // Without the first the plan reads the second alone, and is fast, or as slow as before.
        blocks(&ground, 11, 1, 3, later);
        judged(&ground, "ip_second", |now, _| now == state);
        let gone = if state == "kept" { "f" } else { "t" };
        ground
            .cluster
            .wait("SELECT to_regclass('crm.ip_second') IS NULL", gone);
        if state == "kept" {
            // An hour of bad plans after a night of good ones: it did help to take it back.
            wait_for("the revert to be confirmed", PATIENCE, || {
                session.run(
                    "UPDATE indexpilot.verification SET next_look = now()
                     WHERE state = 'measuring'",
                );
                let found = session.column(
                    "SELECT state || ': ' || reason FROM indexpilot.verification
                     WHERE kind = 'revert'",
                );
                if found[0].starts_with("confirmed: taking it back saved 9") {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            });
        }
        ground.is_clean();
    }
}

/// A statement with next to no part of the load becomes three times as slow while one with nearly
/// all of it becomes four times as fast. Who waits for the small one says so.
#[test]
fn a_protected_statement_counts_however_small_it_is() {
    for protected in [false, true] {
        let ground = Ground::new();
        let mut session = ground.session();
        let job = ground.create_index("contacts", &[(2, "email")], "ip_contacts_email");
        ground.ends(&job, "succeeded");
        // Alone in the tables it would have all of the load.
        made_up(&ground, 3.0, true, &job);
        session.run(
            "INSERT INTO indexpilot.statement
             SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(),
                 'identity', 4712))).* FROM indexpilot.statement AS s WHERE s.identity = 4711;
             INSERT INTO indexpilot.statement_stats
             SELECT (jsonb_populate_record(t, jsonb_build_object('statement', l.id,
                 'total_ms', 1e6, 'histogram', jsonb_build_object((400
                     - CASE t.plan WHEN 2 THEN 32 ELSE 0 END
                     + EXTRACT(minute FROM t.bucket)::int / 5 % 3)::text, 100)))).*
             FROM indexpilot.statement AS l, indexpilot.statement AS s
             JOIN indexpilot.statement_stats AS t ON t.statement = s.id
             WHERE l.identity = 4712 AND s.identity = 4711;
             INSERT INTO indexpilot.statement_plan
             SELECT l.id, p.plan, p.indexes
             FROM indexpilot.statement AS l, indexpilot.statement AS s
             JOIN indexpilot.statement_plan AS p ON p.statement = s.id
             WHERE l.identity = 4712 AND s.identity = 4711",
        );
        if protected {
            let outdated = ground.cluster.pids_of("indexpilot worker");
            session.run(
                "DO $$BEGIN EXECUTE format(
                     'ALTER DATABASE postgres SET indexpilot.protected_statements = %L',
                     (SELECT id FROM indexpilot.statement WHERE identity = 4711)); END$$",
            );
            // A worker reads the settings of its database when it comes.
            for pid in outdated {
                ground.cluster.wait(
                    &format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"),
                    "0",
                );
            }
        }
        let state = if protected { "reverted" } else { "kept" };
        judged(&ground, "ip_contacts_email", |now, reason| {
            assert!(now == "measuring" || now == state, "{now}: {reason}");
            now == state
        });
        ground.is_clean();
    }
}
