//! The judge: one database, one session, one ANALYZE sample for all sets.

use crate::Query;
use crate::advisors::{Advice, cost};
use indexpilot_tests::{Cluster, Session};
use std::collections::BTreeMap;

/// A set, judged. Costs and times are by statement, in the order of the statements.
pub struct Judged {
    /// The set.
    pub advice: Advice,
    /// Size by HypoPG, MB; NaN where it knows no such index.
    pub size_hypopg: f64,
    /// Size really, MB.
    pub size: f64,
    /// Sum of the planner's costs by HypoPG.
    pub estimated: f64,
    /// With the indexes really there.
    pub built: f64,
    /// CPU seconds of the backend, by statement and round.
    pub times: Vec<Vec<f64>>,
}

/// CPU seconds that the session's backend has used (`/proc`, in nanoseconds).
pub fn backend_seconds(session: &mut Session) -> f64 {
    let pid = session.pid();
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    let first = text.split_ascii_whitespace().next().expect("a number");
    first.parse::<f64>().expect("nanoseconds") / 1e9
}

/// Lets the planner see only these of the built indexes: as the server itself does while an
/// index is not yet valid. Queries only read here, so no index misses a row.
fn show(session: &mut Session, all: &BTreeMap<String, String>, set: &[String]) {
    let names: Vec<String> = set.iter().map(|d| format!("'{}'", all[d])).collect();
    let shown = if names.is_empty() {
        "false".to_owned()
    } else {
        format!("c.relname IN ({})", names.join(", "))
    };
    session.run(&format!(
        "UPDATE pg_index AS i SET indisvalid = ({shown}) FROM pg_class AS c
         WHERE c.oid = i.indexrelid AND c.relname LIKE 'judged\\_%' AND indisvalid <> ({shown})"
    ));
}

/// Judges all sets, and the empty one first.
pub fn judge(
    cluster: &Cluster,
    queries: &[Query],
    advice: &[Advice],
    rounds: usize,
) -> Vec<Judged> {
    let mut session = cluster.session_in("judge");
    session.run("CREATE EXTENSION hypopg");
    let none = Advice {
        tool: "none",
        budget: 0.0,
        definitions: Vec::new(),
        seconds: 0.0,
        calls: None,
    };
    let mut judged: Vec<Judged> = Vec::new();
    for one in std::iter::once(&none).chain(advice) {
        let mut size = 0.0;
        for definition in &one.definitions {
            let found = session.try_rows(&format!(
                "SELECT hypopg_relation_size(indexrelid) FROM hypopg_create_index($q${definition}$q$)"
            ));
            size += found
                .ok()
                .and_then(|rows| rows.first()?.first()?.as_ref()?.parse::<f64>().ok())
                .unwrap_or(f64::NAN);
        }
        judged.push(Judged {
            advice: one.clone(),
            size_hypopg: size / 1e6,
            size: 0.0,
            estimated: queries.iter().map(|q| cost(&mut session, &q.sql)).sum(),
            built: 0.0,
            times: vec![Vec::new(); queries.len()],
        });
        session.run("SELECT hypopg_reset()");
    }
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for definition in advice.iter().flat_map(|one| &one.definitions) {
        if all.contains_key(definition) {
            continue;
        }
        let name = format!("judged_{}", all.len());
        eprintln!("building {name}: {definition}");
        session.run(&definition.replacen("CREATE INDEX ON", &format!("CREATE INDEX {name} ON"), 1));
        all.insert(definition.clone(), name);
    }
    for one in &mut judged {
        show(&mut session, &all, &one.advice.definitions);
        one.built = queries.iter().map(|q| cost(&mut session, &q.sql)).sum();
        for definition in &one.advice.definitions {
            one.size +=
                session.number(&format!("SELECT pg_relation_size('{}')", all[definition])) / 1e6;
        }
    }
    // One round more, in front, that only warms the cache.
    for round in 0..=rounds {
        eprintln!("round {round} of {rounds}");
        for one in &mut judged {
            show(&mut session, &all, &one.advice.definitions);
            for (query, times) in queries.iter().zip(&mut one.times) {
                let start = backend_seconds(&mut session);
                session.rows(&query.sql);
                let spent = backend_seconds(&mut session) - start;
                if round > 0 {
                    times.push(spent);
                }
            }
        }
    }
    judged
}
