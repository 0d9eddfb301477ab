//! IndexPilot as a user sees it: its extension, its settings, its tables.
use crate::cpu::BackendClock;
use crate::results::{Advice, Field, Mutation, Recommendation, Setting};
use crate::server::{Server, identifier};
use anyhow::{Context, Result, bail};
use postgres::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What the demonstration wants in the database that IndexPilot runs: name, value, why. Settings of the whole
/// server among them are not touched: it says what they should be.
const HASTE: &[(&str, &str, &str)] = &[
    (
        "indexpilot.maintenance_window",
        "always",
        "a demonstration is not at night",
    ),
    (
        "indexpilot.analysis_interval",
        "10s",
        "minutes instead of days",
    ),
    ("indexpilot.cooldown", "0s", "minutes instead of days"),
    (
        "indexpilot.max_indexes_per_table",
        "25",
        "contacts are searched in twenty ways",
    ),
    (
        "indexpilot.max_write_overhead",
        "1000",
        "reads are nine tenths of this load",
    ),
    (
        "indexpilot.max_builds_per_hour",
        "1000",
        "minutes instead of days",
    ),
    (
        "indexpilot.max_builds_per_day",
        "1000",
        "minutes instead of days",
    ),
    (
        "indexpilot.cpu_limit",
        "100",
        "the load itself takes the whole machine",
    ),
    ("indexpilot.flush_interval", "2s", "minutes instead of days"),
];

/// A clear refusal when the server has no IndexPilot.
pub fn check(admin: &mut Client) -> Result<()> {
    if admin
        .query_opt(
            "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'indexpilot'",
            &[],
        )?
        .is_none()
    {
        bail!(
            "the server has no extension \"indexpilot\"\nHINT: Install it (make install), or leave the variants observed and auto out: --variants expert."
        );
    }
    let preload: String = admin
        .query_one(
            "SELECT pg_catalog.current_setting('shared_preload_libraries')",
            &[],
        )?
        .get(0);
    if !preload
        .split(',')
        .any(|l| l.trim().trim_matches('"') == "indexpilot")
    {
        bail!(
            "indexpilot is not in shared_preload_libraries\nHINT: Add it to postgresql.conf and restart the server."
        );
    }
    Ok(())
}

/// IndexPilot in one database.
pub struct Pilot {
    client: Client,
    database: String,
    /// Secondary indexes at the last look: name and whether valid.
    known: BTreeMap<String, (String, bool)>,
}

impl Pilot {
    /// Creates the extension in a database of ours.
    pub fn install(server: &Server, database: &str) -> Result<Self> {
        let mut client = server.connect_to(database)?;
        client
            .batch_execute("CREATE EXTENSION indexpilot")
            .map_err(|e| anyhow::anyhow!("{}", crate::server::source(&e)))
            .context("creating the extension")?;
        Ok(Pilot {
            client,
            database: database.to_owned(),
            known: BTreeMap::new(),
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "ALTER DATABASE {} SET {name} = '{value}'",
                identifier(&self.database)
            ))
            .map_err(|e| anyhow::anyhow!("{}", crate::server::source(&e)))
            .with_context(|| format!("setting {name}"))
    }

    /// Capture only: nothing is built, dropped or rebuilt.
    pub fn observe_only(&mut self) -> Result<()> {
        for stage in ["create_index", "drop_index", "reindex"] {
            self.set(&format!("indexpilot.{stage}"), "off")?;
        }
        Ok(())
    }

    /// Windows and rates for a demonstration; returns what differs from the defaults, and notes on what the
    /// server's configuration would have to say.
    pub fn hasten(&mut self) -> Result<(Vec<Setting>, Vec<String>)> {
        let (mut done, mut notes) = (Vec::new(), Vec::new());
        for (name, value, why) in HASTE {
            let Some(row) = self.client.query_opt(
                "SELECT pg_catalog.current_setting(name), context, COALESCE(boot_val, ''), COALESCE(unit, '') FROM pg_catalog.pg_settings WHERE name = $1",
                &[name],
            )?
            else {
                continue;
            };
            let (current, context, default, unit): (String, String, String, String) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let mut shown = (*value).to_owned();
            if context == "superuser" || context == "user" {
                self.set(name, value)?;
            } else if current != *value {
                notes.push(format!(
                    "{name} is {current}; a short demonstration wants {value} in postgresql.conf"
                ));
                shown = current;
            }
            done.push(Setting {
                name: (*name).into(),
                value: shown,
                default: format!("{default}{unit}"),
                why: (*why).into(),
            });
        }
        Ok((done, notes))
    }

    /// Asks for the best indexes for statements with weights, in at most `budget` bytes, and
    /// builds them.
    pub fn advise(&mut self, statements: &[(String, f64)], budget: Option<i64>) -> Result<Advice> {
        // The same limits as where it decides by itself; ALTER DATABASE would reach later sessions only.
        for (name, value, _) in HASTE {
            let there = self.client.query_opt(
                "SELECT 1 FROM pg_catalog.pg_settings WHERE name = $1 AND context IN ('superuser', 'user')",
                &[name],
            )?;
            if there.is_some() {
                self.client
                    .batch_execute(&format!("SET {name} = '{value}'"))?;
            }
        }
        let (queries, weights): (Vec<&str>, Vec<f64>) =
            statements.iter().map(|(q, w)| (q.as_str(), *w)).unzip();
        let mut clock = BackendClock::of(&mut self.client);
        let started = Instant::now();
        let rows = self
            .client
            .query(
                "SELECT pg_catalog.to_jsonb(a)::text FROM indexpilot.advise($1, $2, $3, time_limit => 300) a",
                &[&queries, &weights, &budget],
            )
            .map_err(|e| anyhow::anyhow!("{}", crate::server::source(&e)))
            .context("asking for advice")?;
        let mut advice = Advice {
            seconds: started.elapsed().as_secs_f64(),
            cpu: clock.as_mut().map(|c| c.lap() as f64 / 1e9),
            statements: statements.len(),
            indexes: Vec::new(),
        };
        for row in rows {
            let row: Value = serde_json::from_str(row.get(0))?;
            let definition = text(&row, &["definition"]);
            self.client
                .batch_execute(&definition)
                .map_err(|e| anyhow::anyhow!("{}", crate::server::source(&e)))
                .with_context(|| format!("building \"{definition}\""))?;
            advice.indexes.push(Recommendation {
                action: "create_index".into(),
                table: text(&row, &["table_name"]),
                definition,
                status: "built".into(),
                reason: text(&row, &["reason"]),
                row,
            });
        }
        self.client.batch_execute("VACUUM (ANALYZE)")?;
        Ok(advice)
    }

    /// Lets it act.
    pub fn allow(&mut self) -> Result<()> {
        for stage in ["create_index", "drop_index"] {
            self.set(&format!("indexpilot.{stage}"), "auto")?;
        }
        Ok(())
    }

    /// Stops it from acting and waits for what it has begun.
    pub fn rest(&mut self, at_most: Duration) -> Result<()> {
        for stage in ["create_index", "drop_index", "reindex"] {
            self.set(&format!("indexpilot.{stage}"), "advise")?;
        }
        let until = Instant::now() + at_most;
        while Instant::now() < until && !self.is_settled()? {
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }

    /// What changed among the indexes since the last look, in words.
    pub fn changes(&mut self) -> Result<Vec<String>> {
        let rows = self.client.query(
            "SELECT n.nspname || '.' || i.relname, pg_catalog.pg_get_indexdef(x.indexrelid), x.indisvalid FROM pg_catalog.pg_index x \
             JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace \
             WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'indexpilot', 'information_schema') AND NOT x.indisprimary",
            &[],
        )?;
        let now: BTreeMap<String, (String, bool)> = rows
            .iter()
            .map(|r| (r.get(0), (r.get(1), r.get(2))))
            .collect();
        let mut words = Vec::new();
        for (name, (definition, valid)) in &now {
            let was = self.known.get(name).is_some_and(|(_, v)| *v);
            if *valid && !was {
                words.push(format!(
                    "built   {}",
                    definition.trim_start_matches("CREATE INDEX ")
                ));
            }
        }
        for (name, (definition, valid)) in &self.known {
            if *valid && !now.contains_key(name) {
                words.push(format!(
                    "dropped {}",
                    definition.trim_start_matches("CREATE INDEX ")
                ));
            }
        }
        self.known = now;
        Ok(words)
    }

    /// Whether nothing is being built and no job waits.
    pub fn is_settled(&mut self) -> Result<bool> {
        let building: bool = self
            .client
            .query_one("SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index WHERE datname = pg_catalog.current_database())", &[])?
            .get(0);
        if building {
            return Ok(false);
        }
        let busy = |rows: &[Value], states: &[&str]| {
            rows.iter()
                .any(|r| states.contains(&text(r, &["state"]).as_str()))
        };
        let jobs = self.rows("indexpilot.jobs")?;
        let advice = self.rows("indexpilot.recommendation")?;
        Ok(!busy(&jobs, &["queued", "waiting", "running", "cleaning"])
            && !busy(&advice, &["approved", "building"]))
    }

    fn rows(&mut self, relation: &str) -> Result<Vec<Value>> {
        let there: bool = self
            .client
            .query_one(
                "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
                &[&relation],
            )?
            .get(0);
        if !there {
            return Ok(Vec::new());
        }
        let rows = self.client.query(
            &format!("SELECT pg_catalog.to_jsonb(r)::text FROM {relation} r"),
            &[],
        )?;
        rows.iter()
            .map(|r| Ok(serde_json::from_str(r.get(0))?))
            .collect()
    }

    /// The mutation log.
    pub fn mutations(&mut self) -> Result<Vec<Mutation>> {
        let mut rows = self.rows("indexpilot.mutation_log")?;
        rows.sort_by_key(|r| r.get("sequence").and_then(Value::as_i64));
        let name = |row: &Value, schema: &str, name: &str| {
            [text(row, &[schema]), text(row, &[name])]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(".")
        };
        Ok(rows
            .into_iter()
            .map(|row| Mutation {
                at: text(&row, &["at"]),
                action: text(&row, &["kind"]),
                outcome: text(&row, &["phase"]),
                table: name(&row, "schema_name", "relation_name"),
                index: name(&row, "index_schema", "index_name"),
                definition: row
                    .get("evidence")
                    .map(|e| text(e, &["definition", "ddl", "statement"]))
                    .unwrap_or_default(),
                reason: text(&row, &["reason"]),
                row,
            })
            .collect())
    }

    /// The recommendations.
    pub fn recommendations(&mut self) -> Result<Vec<Recommendation>> {
        let rows = self.rows("indexpilot.recommendation")?;
        Ok(rows
            .into_iter()
            .map(|row| Recommendation {
                action: text(&row, &["action"]),
                table: format!(
                    "{}.{}",
                    text(&row, &["schema_name"]),
                    text(&row, &["relation_name"])
                ),
                definition: text(&row, &["definition"]),
                status: text(&row, &["state"]),
                reason: [text(&row, &["state_reason"]), text(&row, &["reason"])]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("; "),
                row,
            })
            .collect())
    }

    /// Use of fields, all tenants and times together, the most time first.
    pub fn fields(&mut self) -> Result<Vec<Field>> {
        let there: bool = self
            .client
            .query_one(
                "SELECT pg_catalog.to_regclass('indexpilot.query_stats') IS NOT NULL",
                &[],
            )?
            .get(0);
        if !there {
            return Ok(Vec::new());
        }
        let rows = self.client.query(
            "SELECT relation || '.' || field, role, pg_catalog.sum(calls)::bigint, pg_catalog.sum(total_ms)::float8, pg_catalog.count(DISTINCT tenant)::bigint \
             FROM indexpilot.query_stats GROUP BY 1, 2 ORDER BY 4 DESC",
            &[],
        )?;
        Ok(rows
            .iter()
            .map(|r| Field {
                column: r.get(0),
                role: r.get(1),
                calls: r.get(2),
                total_ms: r.get(3),
                tenants: r.get(4),
            })
            .collect())
    }
}

/// The first of these keys that holds something, as text.
fn text(row: &Value, keys: &[&str]) -> String {
    keys.iter()
        .find_map(|k| match row.get(k) {
            None | Some(Value::Null) => None,
            Some(Value::String(s)) => Some(s.clone()),
            Some(other) => Some(other.to_string()),
        })
        .unwrap_or_default()
}
