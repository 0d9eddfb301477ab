//! Cost, access path and size against the index really built, for both tools.

use crate::pairs::Case;
use indexpilot_tests::{Session, SqlError};
use serde_json::Value;
use std::collections::BTreeMap;

/// One tool's answers.
#[derive(Default)]
pub struct Answers {
    /// Deviations of cost, 0 is exact.
    pub costs: Vec<f64>,
    /// Deviations of size by access method.
    pub sizes: BTreeMap<&'static str, Vec<f64>>,
    pub same_path: usize,
    /// Pairs that the tool could not price.
    pub refused: usize,
    /// The worst, for people.
    pub worst: Vec<(f64, String)>,
}

pub struct Accuracy {
    pub ours: Answers,
    pub hypopg: Answers,
    pub pairs: usize,
}

struct Plan {
    cost: f64,
    paths: Vec<String>,
}

impl Plan {
    fn of(plan: &Value) -> Plan {
        let root = plan.get(0).unwrap_or(plan);
        let root = root.get("Plan").unwrap_or(root);
        let mut paths = Vec::new();
        scans(root, &mut paths);
        paths.sort();
        Plan {
            cost: root["Total Cost"].as_f64().expect("a cost"),
            paths,
        }
    }
}

/// Scans of a plan: node, relation and index, the index in question under one name.
fn scans(node: &Value, found: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or("");
    if kind.contains("Scan") {
        let index = node["Index Name"].as_str().unwrap_or("");
        let index = if index.starts_with('<') || index == "bench_real" {
            "*"
        } else {
            index
        };
        let relation = node["Alias"].as_str().unwrap_or("");
        found.push(format!("{kind} {relation} {index}"));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        scans(child, found);
    }
}

fn explain(session: &mut Session, query: &str) -> Result<Plan, SqlError> {
    let rows = session.try_rows(&format!("EXPLAIN (FORMAT JSON) {query}"))?;
    let text = rows[0][0].as_deref().expect("a plan");
    Ok(Plan::of(&serde_json::from_str(text).expect("JSON")))
}

pub fn measure(session: &mut Session, cases: &[Case]) -> Accuracy {
    let mut all = Accuracy {
        ours: Answers::default(),
        hypopg: Answers::default(),
        pairs: 0,
    };
    for case in cases {
        let definition = format!("CREATE INDEX {}", case.definition);
        // In one transaction: the statistics that ANALYZE takes for the real index are the
        // ones that both tools work with, and go with it.
        session.run("BEGIN");
        session.run(&format!("CREATE INDEX bench_real {}", case.definition));
        if case.expression {
            session.run(&format!("ANALYZE {}", case.table));
        }
        let bytes = session.number("SELECT pg_relation_size('bench_real')");
        let real: Vec<Plan> = case
            .queries
            .iter()
            .map(|query| match explain(session, query) {
                Ok(plan) => plan,
                Err(e) => panic!("{query}\n{e}"),
            })
            .collect();
        session.run("DROP INDEX bench_real; SAVEPOINT tools");
        let size = session.number(&format!(
            "SELECT bytes FROM indexpilot.index_size_estimate($q${definition}$q$)"
        ));
        all.ours
            .sizes
            .entry(case.method)
            .or_default()
            .push(size / bytes - 1.0);
        if (size / bytes - 1.0).abs() > 0.2 {
            println!(
                "    size {:+.0}% {definition}",
                100.0 * (size / bytes - 1.0)
            );
        }
        for (query, real) in case.queries.iter().zip(&real) {
            all.pairs += 1;
            let plan = session.text(&format!(
                "SELECT plan_after FROM indexpilot.what_if($q${query}$q$, ARRAY[$q${definition}$q$])"
            ));
            let plan = Plan::of(&serde_json::from_str(&plan).expect("JSON"));
            note(
                &mut all.ours,
                &plan,
                real,
                &format!("{definition} / {query}"),
            );
        }
        match session.try_rows(&format!(
            "SELECT hypopg_relation_size(indexrelid) FROM hypopg_create_index($q${definition}$q$)"
        )) {
            Ok(rows) if !rows.is_empty() => {
                let size: f64 = rows[0][0]
                    .as_deref()
                    .and_then(|t| t.parse().ok())
                    .unwrap_or(0.0);
                all.hypopg
                    .sizes
                    .entry(case.method)
                    .or_default()
                    .push(size / bytes - 1.0);
                for (query, real) in case.queries.iter().zip(&real) {
                    match explain(session, query) {
                        Ok(plan) => note(
                            &mut all.hypopg,
                            &plan,
                            real,
                            &format!("{definition} / {query}"),
                        ),
                        Err(_) => {
                            all.hypopg.refused += 1;
                            session.run("ROLLBACK TO tools");
                        }
                    }
                }
            }
            _ => {
                all.hypopg.refused += case.queries.len();
                session.run("ROLLBACK TO tools");
            }
        }
        session.run("ROLLBACK");
        session.run("SELECT hypopg_reset()");
    }
    all
}

fn note(answers: &mut Answers, plan: &Plan, real: &Plan, what: &str) {
    let deviation = plan.cost / real.cost - 1.0;
    answers.costs.push(deviation);
    let same = plan.paths == real.paths;
    answers.same_path += usize::from(same);
    answers.worst.push((
        deviation.abs() + if same { 0.0 } else { 1e-9 },
        format!(
            "{:+.1}% {:.1} / {:.1} {what}\n      {:?}\n      {:?}",
            100.0 * deviation,
            plan.cost,
            real.cost,
            plan.paths,
            real.paths
        ),
    ));
}

/// The value below which this share of the deviations' magnitudes lies, in percent.
pub fn quantile(deviations: &[f64], share: f64) -> f64 {
    let mut sizes: Vec<f64> = deviations.iter().map(|d| 100.0 * d.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    if sizes.is_empty() {
        return f64::NAN;
    }
    sizes[((sizes.len() - 1) as f64 * share).round() as usize]
}
