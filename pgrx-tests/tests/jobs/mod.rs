//! What tests of jobs share: a table, jobs put straight into the queue, and the checks that
//! every fault has to pass.
#![allow(dead_code, reason = "each test file uses a part")]

use indexpilot_tests::{Builder, Cluster, Session, Signal, wait_for};
use std::time::Duration;

/// A cluster with a table and everything set to act at once.
pub struct Ground {
    pub cluster: Cluster,
    database: String,
}

const SETTINGS: &str = "indexpilot.create_index = 'auto'
indexpilot.drop_index = 'auto'
indexpilot.reindex = 'auto'
indexpilot.maintenance_window = '00:00-24:00'
indexpilot.cpu_limit = 100
indexpilot.cooldown = 0
indexpilot.max_builds_per_hour = 1000
indexpilot.max_builds_per_day = 1000
indexpilot.flush_interval = 1";

impl Ground {
    pub fn new() -> Self {
        Self::with("")
    }

    pub fn with(conf: &str) -> Self {
        Self::made(conf, "postgres")
    }

    pub fn in_database(database: &str) -> Self {
        Self::made("", database)
    }

    fn made(conf: &str, database: &str) -> Self {
        Self::on(
            Cluster::builder().conf(SETTINGS).conf(conf).start(),
            database,
        )
    }

    /// A ground on a cluster that the test describes further.
    pub fn built(builder: Builder, database: &str) -> Self {
        Self::on(builder.conf(SETTINGS).start(), database)
    }

    fn on(cluster: Cluster, database: &str) -> Self {
        if database != "postgres" {
            cluster
                .session()
                .run(&format!("CREATE DATABASE {database}"));
        }
        let ground = Ground {
            cluster,
            database: database.into(),
        };
        ground.session().run(
            "CREATE SCHEMA crm;
             CREATE TABLE crm.contacts (id int PRIMARY KEY, email text, name text);
             INSERT INTO crm.contacts SELECT g, 'e' || g, 'n' || g % 10
             FROM generate_series(1, 5000) AS g;
             CREATE FUNCTION crm.gate(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
                 'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN value; END';
             CREATE EXTENSION indexpilot",
        );
        ground
    }

    /// The ground that a copy of this one's cluster holds.
    pub fn of(&self, cluster: Cluster) -> Self {
        Ground {
            cluster,
            database: self.database.clone(),
        }
    }

    pub fn session(&self) -> Session {
        self.cluster.session_in(&self.database)
    }

    fn relation(&self, table: &str) -> String {
        let oid = self
            .session()
            .text(&format!("SELECT 'crm.{table}'::regclass::oid"));
        format!(r#"{{"oid":{oid},"schema":"crm","name":"{table}"}}"#)
    }

    fn definition(&self, table: &str, keys: &[(i16, &str)], unique: bool) -> String {
        let keys: Vec<String> = keys
            .iter()
            .map(|(number, name)| {
                format!(
                    r#"{{"element":{{"attribute":{{"number":{number},"name":"{name}"}}}},"opclass":null,"collation":null,"descending":false,"nulls_first":false}}"#
                )
            })
            .collect();
        format!(
            r#"{{"relation":{},"method":"btree","keys":[{}],"include":[],"predicate":null,"unique":{unique},"nulls_not_distinct":false,"options":[],"tablespace":null}}"#,
            self.relation(table),
            keys.join(",")
        )
    }

    fn intent(&self, table: &str, kind: &str) -> String {
        format!(
            r#"{{"kind":{kind},"relation":{},"reason":"a test","recommendation":null,"bytes":100000,"saving_ms_per_day":1.0,"urgent":false}}"#,
            self.relation(table)
        )
    }

    pub fn create_intent(
        &self,
        table: &str,
        keys: &[(i16, &str)],
        name: &str,
        unique: bool,
    ) -> String {
        let definition = self.definition(table, keys, unique);
        self.intent(
            table,
            &format!(r#"{{"action":"create_index","definition":{definition},"name":"{name}"}}"#),
        )
    }

    /// An intent to build an index on `crm.gate(email)`: while a session holds the advisory
    /// lock 77, the scan of the table waits in that function.
    pub fn gated_intent(&self, name: &str, tablespace: Option<&str>) -> String {
        let relation = self.relation("contacts");
        let tablespace = tablespace.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""));
        self.intent(
            "contacts",
            &format!(
                r#"{{"action":"create_index","definition":{{"relation":{relation},"method":"btree","keys":[{{"element":{{"function":{{"name":{{"schema":"crm","name":"gate"}},"arguments":[{{"attribute":{{"number":2,"name":"email"}}}}]}}}},"opclass":null,"collation":null,"descending":false,"nulls_first":false}}],"include":[],"predicate":null,"unique":false,"nulls_not_distinct":false,"options":[],"tablespace":{tablespace}}},"name":"{name}"}}"#
            ),
        )
    }

    /// Queues an intent and gives the job.
    pub fn job(&self, table: &str, intent: &str) -> String {
        self.queued(table, intent, "advice")
    }

    /// The same for a purpose: an operator's jobs run under the stage `advise` too.
    pub fn queued(&self, table: &str, intent: &str, purpose: &str) -> String {
        self.session().text(&format!(
            "INSERT INTO indexpilot.job (id, system_identifier, database_oid, requested_at,
                 requested_by, purpose, intent, relation_oid, schema_name, relation_name, state,
                 phase, attempts, not_before, bystanders)
             SELECT gen_random_uuid(), c.system_identifier, d.oid, now(), 'postgres', '{purpose}',
                 '{intent}', 'crm.{table}'::regclass, 'crm', '{table}', 'queued', 'queued', 0,
                 now(), '{{}}'
             FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()
             RETURNING id"
        ))
    }

    pub fn create_index(&self, table: &str, keys: &[(i16, &str)], name: &str) -> String {
        self.job(table, &self.create_intent(table, keys, name, false))
    }

    /// A session that closes the gate, for as long as it lives or until [`Ground::open`].
    pub fn close(&self) -> Session {
        let mut session = self.session();
        session.run("SELECT pg_advisory_lock(77)");
        session
    }

    /// The worker waits in the gate, in the middle of the scan.
    pub fn waits_in_gate(&self) {
        self.hurry_all();
        self.wait(
            "SELECT count(*) FROM pg_stat_activity
             WHERE backend_type = 'indexpilot worker' AND wait_event = 'advisory'",
            "1",
        );
    }

    /// The worker waits for somebody's transaction while the server reports this phase.
    pub fn waits_in(&self, phase: &str) {
        self.hurry_all();
        self.wait(
            &format!(
                "SELECT count(*) FROM pg_stat_progress_create_index AS p
                 JOIN pg_stat_activity AS a ON a.pid = p.pid
                 WHERE a.wait_event_type = 'Lock' AND p.phase = '{phase}'"
            ),
            "1",
        );
    }

    fn index_oid(&self, name: &str) -> String {
        self.session()
            .text(&format!("SELECT 'crm.{name}'::regclass::oid"))
    }

    pub fn drop_index(&self, table: &str, keys: &[(i16, &str)], name: &str) -> String {
        // What was built is not dropped for a week: let it be older than that.
        self.session().run(
            "UPDATE indexpilot.job SET finished_at = finished_at - interval '30 days'
             WHERE state = 'succeeded'",
        );
        let kind = format!(
            r#"{{"action":"drop_index","index":{},"name":{{"schema":"crm","name":"{name}"}},"definition":{}}}"#,
            self.index_oid(name),
            self.definition(table, keys, false)
        );
        self.job(table, &self.intent(table, &kind))
    }

    /// Queues the drop of an index as the advisor would: with the definition that the catalog
    /// gives, here of an index on (lower(email) DESC, name) in tablespace `elsewhere`.
    pub fn drop_exactly(&self, table: &str, name: &str) -> String {
        let relation = self.relation(table);
        let key = |element: &str, descending: bool| {
            format!(
                r#"{{"element":{element},"opclass":null,"collation":null,"descending":{descending},"nulls_first":{descending}}}"#
            )
        };
        let lower = r#"{"function":{"name":{"schema":"pg_catalog","name":"lower"},"arguments":[{"attribute":{"number":2,"name":"email"}}]}}"#;
        let definition = format!(
            r#"{{"relation":{relation},"method":"btree","keys":[{},{}],"include":[],"predicate":null,"unique":false,"nulls_not_distinct":false,"options":[["fillfactor","70"]],"tablespace":"elsewhere"}}"#,
            key(lower, true),
            key(r#"{"attribute":{"number":3,"name":"name"}}"#, false),
        );
        let kind = format!(
            r#"{{"action":"drop_index","index":{},"name":{{"schema":"crm","name":"{name}"}},"definition":{definition}}}"#,
            self.index_oid(name),
        );
        self.job(table, &self.intent(table, &kind))
    }

    pub fn reindex(&self, table: &str, name: &str) -> String {
        let kind = format!(
            r#"{{"action":"reindex","index":{},"name":{{"schema":"crm","name":"{name}"}}}}"#,
            self.index_oid(name)
        );
        self.job(table, &self.intent(table, &kind))
    }

    fn wait(&self, sql: &str, wanted: &str) {
        self.cluster.wait_in(&self.database, sql, wanted);
    }

    pub fn ends(&self, job: &str, state: &str) {
        wait_for(
            &format!("job to be {state}"),
            Duration::from_secs(90),
            || {
                // The server may be recovering from a crash.
                let Ok(mut session) = self.cluster.try_session(&self.database) else {
                    return Err("no connection".into());
                };
                let rows = session
                .try_rows(&format!(
                    "SELECT state, phase, reason, attempts FROM indexpilot.job WHERE id = '{job}'"
                ))
                .map_err(|e| e.to_string())?;
                if rows[0][0].as_deref() == Some(state) {
                    Ok(())
                } else {
                    Err(format!("{rows:?}"))
                }
            },
        );
    }

    /// As [`Ground::ends`], without waiting for back-offs and pauses between attempts.
    pub fn ends_soon(&self, job: &str, state: &str) {
        wait_for(
            &format!("job to be {state}"),
            Duration::from_secs(120),
            || {
                let Ok(mut session) = self.cluster.try_session(&self.database) else {
                    return Err("no connection".into());
                };
                session
                    .try_rows(&format!(
                        "UPDATE indexpilot.job SET not_before = now()
                         WHERE id = '{job}' AND not_before > now()
                           AND state IN ('queued', 'waiting', 'cleaning')"
                    ))
                    .map_err(|e| e.to_string())?;
                let rows = session
                    .try_rows(&format!(
                        "SELECT state, phase, reason, attempts FROM indexpilot.job
                         WHERE id = '{job}'"
                    ))
                    .map_err(|e| e.to_string())?;
                if rows[0][0].as_deref() == Some(state) {
                    Ok(())
                } else {
                    Err(format!("{rows:?}"))
                }
            },
        );
    }

    pub fn job_is_over(&self, job: &str) {
        // It finds its table gone at the next attempt.
        self.hurry(job);
        self.ends(job, "failed");
    }

    pub fn reason(&self, job: &str) -> String {
        self.session()
            .value(&format!(
                "SELECT reason FROM indexpilot.job WHERE id = '{job}'"
            ))
            .unwrap_or_default()
    }

    pub fn says(&self, job: &str, words: &str) {
        self.wait(
            &format!("SELECT reason LIKE '%{words}%' FROM indexpilot.job WHERE id = '{job}'"),
            "t",
        );
    }

    /// The server waits inside CREATE INDEX CONCURRENTLY for somebody's transaction.
    pub fn waits_in_build(&self) {
        self.wait(
            "SELECT count(*) FROM pg_stat_progress_create_index AS p
             JOIN pg_stat_activity AS a ON a.pid = p.pid
             WHERE a.wait_event_type = 'Lock'",
            "1",
        );
    }

    pub fn stop_at(&self, point: &str) {
        self.session()
            .run(&format!("ALTER SYSTEM SET indexpilot.stop_at = '{point}'"));
        self.cluster.reload();
    }

    pub fn waits_at(&self, point: &str) {
        self.hurry_all();
        self.wait(
            &format!(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type = 'indexpilot worker' AND query = 'stop point: {point}'"
            ),
            "1",
        );
    }

    /// A job waits for a reason that begins so.
    pub fn ends_or_waits(&self, job: &str, words: &str) {
        self.wait(
            &format!(
                "SELECT state || (reason LIKE '%{words}%')::text FROM indexpilot.job WHERE id = '{job}'"
            ),
            "waitingtrue",
        );
    }

    /// Sends a signal to the worker, and waits until it took effect: with SIGKILL for the
    /// server's recovery, with SIGTERM for its end.
    pub fn strike(&self, how: Signal) {
        let pid = self.cluster.pids_of("indexpilot worker")[0];
        match how {
            Signal::SIGKILL => self.cluster.crash(pid),
            Signal::SIGTERM => {
                self.cluster.kill(pid, how);
                self.wait(
                    &format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"),
                    "0",
                );
            }
            _ => self.cluster.kill(pid, how),
        }
    }

    fn hurry_all(&self) {
        self.session().run(
            "UPDATE indexpilot.job SET not_before = now()
                  WHERE state IN ('queued', 'waiting', 'cleaning')",
        );
    }

    /// Lets a job that backs off be tried at once.
    pub fn hurry(&self, job: &str) {
        wait_for("the job to wait", Duration::from_secs(60), || {
            let Ok(mut session) = self.cluster.try_session(&self.database) else {
                return Err("no connection".into());
            };
            let state = session
                .try_rows(&format!(
                    "UPDATE indexpilot.job SET not_before = now()
                     WHERE id = '{job}' AND state <> 'running' RETURNING state"
                ))
                .map_err(|e| e.to_string())?;
            if state.is_empty() {
                Err("running".into())
            } else {
                Ok(())
            }
        });
    }

    /// No invalid index, also not a little later.
    pub fn invalid_indexes_go(&self) {
        self.wait(
            "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid > 16383",
            "0",
        );
    }

    /// What every fault has to end with: no invalid index, no orphan file, no lost log row,
    /// a working server.
    pub fn is_clean(&self) {
        self.nothing_is_left();
        let mut session = self.session();
        assert_eq!(
            session.number(
                "SELECT count(*) FROM indexpilot.mutation_log AS m
                 WHERE m.phase = 'intent' AND NOT EXISTS (SELECT FROM indexpilot.mutation_log AS o
                     WHERE o.parent = m.id AND o.phase = 'outcome')"
            ),
            0.0,
            "intents without an outcome"
        );
        assert_eq!(
            session.number("SELECT count(*) FROM indexpilot.verify_log()"),
            0.0,
            "the log is whole"
        );
    }

    /// No invalid index, no file that belongs to nothing, and the server works.
    pub fn nothing_is_left(&self) {
        self.invalid_indexes_go();
        let mut session = self.session();
        assert_eq!(
            session.number("SELECT count(*) FROM pg_class WHERE relname ~ '_cc(new|old)[0-9]*$'"),
            0.0
        );
        session.run("CHECKPOINT");
        assert_eq!(
            session.column(
                "SELECT f.name FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database
                     WHERE datname = current_database())) AS f(name)
                 WHERE f.name ~ '^[0-9]+$' AND f.name::oid > 16383
                   AND NOT EXISTS (SELECT FROM pg_class
                       WHERE pg_relation_filenode(oid) = f.name::oid)"
            ),
            Vec::<String>::new(),
            "orphan files"
        );
        session.run("CREATE TABLE crm.works AS SELECT 1; DROP TABLE crm.works");
    }
}
