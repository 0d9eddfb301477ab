//! Advice on TPC-H at four storage budgets: IndexPilot, a simple greedy and pg_qualstats'
//! advisor. Nobody is judged by itself: the sets are estimated by HypoPG, really built in a
//! database that no advisor has seen, and timed there in turn. IndexPilot's set is judged a
//! second time as its verification leaves it: what made a statement slower is taken back.
//!
//! Environment: SCALE, ROUNDS, MINUTES, BUDGETS (MB, separated by spaces), INDEXPILOT_PEERS.

mod advisors;
#[path = "../../whatif/src/data.rs"]
mod data;
mod judge;
mod kept;
mod measure;
mod report;
mod verification;

use indexpilot_tests::Server;
use std::path::{Path, PathBuf};
use std::time::Instant;

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

/// Says how far the run is, with the minutes since its start.
pub fn progress(start: Instant, what: &str) {
    eprintln!("[{:5.1} min] {what}", start.elapsed().as_secs_f64() / 60.0);
}

fn main() {
    let start = Instant::now();
    let scale: f64 = setting("SCALE", 1.0);
    let rounds: usize = setting("ROUNDS", 5);
    let minutes: f64 = setting("MINUTES", 45.0);
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
    let kept = kept::Kept::new(&out, scale);
    if !kept.is_there() {
        progress(start, &format!("loading TPC-H, scale factor {scale}"));
        kept.load(scale);
    }
    progress(start, "starting from a copy of the loaded data");
    let libraries = if qualstats {
        "indexpilot, hypopg, pg_qualstats"
    } else {
        "indexpilot, hypopg"
    };
    let cluster = kept.cluster(libraries);
    let queries = queries();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot; CREATE EXTENSION hypopg");
    let mut advice = Vec::new();
    for &budget in &budgets {
        let ours = advisors::indexpilot(&mut session, &queries, budget);
        progress(
            start,
            &format!(
                "IndexPilot at {budget} MB: {} indexes, {:.2} CPU s, {:.0} planner calls",
                ours.definitions.len(),
                ours.seconds,
                ours.calls.unwrap_or(f64::NAN)
            ),
        );
        advice.push(ours);
    }
    let others = kept.peers(&budgets, qualstats, || {
        let mut advice = Vec::new();
        for &budget in &budgets {
            progress(start, &format!("greedy at {budget} MB"));
            advice.push(advisors::greedy(&mut session, &queries, budget));
        }
        if qualstats {
            progress(start, "pg_qualstats");
            let all = advisors::qualstats(&mut session, &queries);
            for &budget in &budgets {
                advice.push(advisors::cut(&mut session, &all, budget));
            }
        }
        advice
    });
    advice.extend(others);
    drop(session);
    for one in &advice {
        eprintln!("{} at {} MB:", one.tool, one.budget);
        for definition in &one.definitions {
            eprintln!("    {definition}");
        }
    }
    let limits = judge::Limits {
        start,
        rounds,
        minutes,
    };
    let (judged, rounds) = judge::judge(&cluster, &queries, advice, &limits);
    report::write(&out, scale, rounds, &queries, &judged);
    progress(start, "done");
}
