//! Advice on TPC-H at four storage budgets: IndexPilot, a simple greedy, pg_qualstats' advisor and
//! postgres-mcp's DTA. Nobody is judged by itself: the sets are estimated by HypoPG, really
//! built in a database that no advisor has seen, and timed there in turn.
//!
//! Environment: SCALE, ROUNDS, BUDGETS (MB, separated by spaces), INDEXPILOT_PEERS.

mod advisors;
#[path = "../../whatif/src/data.rs"]
mod data;
mod judge;
mod report;

use advisors::Advice;
use indexpilot_tests::{Cluster, Server, Session};
use std::path::{Path, PathBuf};

/// A setting from the environment.
fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A statement.
pub struct Query {
    /// q1 to q22.
    pub name: String,
    /// Its text.
    pub sql: String,
}

fn queries() -> Vec<Query> {
    let mut found: Vec<Query> = Vec::new();
    for line in include_str!("../queries.sql").lines() {
        let name = line.strip_prefix("-- q");
        if let Some(name) = name.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())) {
            found.push(Query {
                name: format!("q{name}"),
                sql: String::new(),
            });
        } else if let Some(query) = found.last_mut() {
            query.sql.push_str(line.trim_end_matches(';'));
            query.sql.push('\n');
        }
    }
    found
}

/// Puts a package's files into the private server; false where there is none.
fn add_qualstats(server: &Server, peers: &Path) -> bool {
    let root = peers.join("qualstats/usr");
    let copy = |from: PathBuf, to: &Path| -> std::io::Result<()> {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy(root.join("lib/postgresql/15/lib"), &server.lib)
        .and_then(|()| {
            copy(
                root.join("share/postgresql/15/extension"),
                &server.share.join("extension"),
            )
        })
        .is_ok()
}

fn main() {
    let scale: f64 = setting("SCALE", 1.0);
    let rounds: usize = setting("ROUNDS", 5);
    let budgets: Vec<f64> = match std::env::var("BUDGETS") {
        Ok(list) => list
            .split_whitespace()
            .filter_map(|b| b.parse().ok())
            .collect(),
        Err(_) => [250.0, 500.0, 1000.0, 2000.0].map(|mb| mb * scale).into(),
    };
    let out = indexpilot_tests::workspace().join("target/bench-advisor");
    std::fs::create_dir_all(&out).expect("target/bench-advisor");
    let peers = std::env::var("INDEXPILOT_PEERS").ok().map(PathBuf::from);
    let server = Server::get(15);
    let qualstats = peers.as_ref().is_some_and(|dir| add_qualstats(server, dir));
    let libraries = if qualstats {
        "indexpilot, hypopg, pg_qualstats"
    } else {
        "indexpilot, hypopg"
    };
    let cluster = Cluster::builder()
        .preload(libraries)
        .conf(
            "shared_buffers = '4GB'\neffective_cache_size = '8GB'\nwork_mem = '64MB'
             maintenance_work_mem = '512MB'\nautovacuum = off\nfsync = off\nmax_wal_size = '16GB'
             max_parallel_workers_per_gather = 0\njit = off
             pg_qualstats.enabled = off\npg_qualstats.sample_rate = 1
             indexpilot.disabled_modules = 'capture, worker'",
        )
        .start();
    let queries = queries();
    eprintln!("loading TPC-H, scale factor {scale}");
    let mut session = cluster.session();
    data::tpch(&mut session, scale);
    session.run("VACUUM (FREEZE, ANALYZE)");
    drop(session);
    // The judge's database is a copy with the very same statistics.
    let mut admin = cluster.session_in("template1");
    admin.run("CREATE DATABASE judge TEMPLATE postgres STRATEGY file_copy");
    drop(admin);
    let mut advice: Vec<Advice> = Vec::new();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot; CREATE EXTENSION hypopg");
    for &budget in &budgets {
        eprintln!("advice at {budget} MB");
        advice.push(advisors::indexpilot(&mut session, &queries, budget));
        advice.push(advisors::greedy(&mut session, &queries, budget));
    }
    if qualstats {
        eprintln!("pg_qualstats");
        let all = advisors::qualstats(&mut session, &queries);
        for &budget in &budgets {
            advice.push(advisors::cut(&mut session, &all, budget));
        }
    }
    if let Some(dir) = peers.filter(|dir| dir.join("venv/ready").exists()) {
        for &budget in &budgets {
            eprintln!("postgres-mcp at {budget} MB");
            advice.extend(advisors::dta(&cluster, &dir, &out, &queries, budget));
        }
    }
    drop(session);
    for one in &advice {
        eprintln!("{} at {} MB:", one.tool, one.budget);
        for definition in &one.definitions {
            eprintln!("    {definition}");
        }
    }
    let judged = judge::judge(&cluster, &queries, &advice, rounds);
    report::write(&out, scale, rounds, &queries, &judged);
}

/// Runs SQL that says nothing.
pub fn quiet(session: &mut Session, sql: &str) {
    session.run(sql);
    let _ = session.notices();
}
