//! What is kept below target/ from one run to the next: the loaded database, with one
//! ANALYZE sample for all, and what the other advisors said of it. Neither depends on the
//! code that is measured; `rm -r target/bench-advisor` makes both anew.

use crate::advisors::Advice;
use crate::data;
use indexpilot_tests::{Builder, Cluster, Signal};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where it is.
pub struct Kept {
    data: PathBuf,
    peers: PathBuf,
}

/// Everything lies in memory, one process works, and nothing happens meanwhile.
fn builder(libraries: &str) -> Builder {
    Cluster::builder().major(15).preload(libraries).conf(
        "shared_buffers = '8GB'\neffective_cache_size = '12GB'\nwork_mem = '64MB'
         maintenance_work_mem = '512MB'\nautovacuum = off\nfsync = off\nmax_wal_size = '16GB'
         checkpoint_timeout = '1h'\nmax_parallel_workers_per_gather = 0\njit = off
         pg_qualstats.enabled = off\npg_qualstats.sample_rate = 1
         indexpilot.disabled_modules = 'capture, worker'",
    )
}

impl Kept {
    /// For one scale factor.
    pub fn new(out: &Path, scale: f64) -> Self {
        Kept {
            data: out.join(format!("tpch-{scale}")),
            peers: out.join(format!("peers-{scale}.json")),
        }
    }

    /// Whether the data were loaded by an earlier run.
    pub fn is_there(&self) -> bool {
        self.data.join("PG_VERSION").exists()
    }

    /// Loads the data; the judge's database is a copy with the very same statistics.
    pub fn load(&self, scale: f64) {
        let _ = std::fs::remove_file(&self.peers);
        let mut cluster = builder("").start();
        let mut session = cluster.session();
        data::tpch(&mut session, scale);
        session.run("VACUUM (FREEZE, ANALYZE)");
        drop(session);
        let mut admin = cluster.session_in("template1");
        admin.run("CREATE DATABASE judge TEMPLATE postgres STRATEGY file_copy");
        drop(admin);
        cluster.stop(Signal::SIGINT);
        cluster.keep_data(&self.data);
    }

    /// A cluster with the data.
    pub fn cluster(&self, libraries: &str) -> Cluster {
        builder(libraries).copy_of(&self.data).start()
    }

    /// What others advised: from the file, where it holds these budgets.
    pub fn peers(
        &self,
        budgets: &[f64],
        qualstats: bool,
        ask: impl FnOnce() -> Vec<Advice>,
    ) -> Vec<Advice> {
        let name = json!({ "budgets": budgets, "pg_qualstats": qualstats });
        if let Ok(text) = std::fs::read_to_string(&self.peers)
            && let Ok(known) = serde_json::from_str::<Value>(&text)
            && known["name"] == name
            && let Some(advice) = known["advice"].as_array()
        {
            eprintln!("what others advise: {}", self.peers.display());
            return advice.iter().map(from_json).collect();
        }
        let advice = ask();
        let list: Vec<Value> = advice.iter().map(to_json).collect();
        let text = json!({ "name": name, "advice": list }).to_string();
        std::fs::write(&self.peers, text).expect("what others advise");
        advice
    }
}

fn to_json(advice: &Advice) -> Value {
    json!({
        "tool": advice.tool, "budget": advice.budget, "definitions": advice.definitions,
        "seconds": advice.seconds, "calls": advice.calls,
    })
}

fn from_json(value: &Value) -> Advice {
    Advice {
        tool: value["tool"].as_str().unwrap_or_default().to_owned(),
        budget: value["budget"].as_f64().unwrap_or(f64::INFINITY),
        definitions: value["definitions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|definition| definition.as_str().map(str::to_owned))
            .collect(),
        seconds: value["seconds"].as_f64().unwrap_or(f64::NAN),
        calls: value["calls"].as_f64(),
    }
}
