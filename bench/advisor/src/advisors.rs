//! The advisors, each as its users call it. What an advisor costs is the CPU time of its
//! backend, and of its client where that is where it thinks.

use crate::Query;
use crate::measure::backend_seconds;
use indexpilot_tests::Session;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Our advice, as `advise()` gives it.
pub const OURS: &str = "IndexPilot";
/// What verification leaves of it.
pub const OURS_VERIFIED: &str = "IndexPilot, verified";

/// A set of indexes.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Who.
    pub tool: String,
    /// MB (10⁶ bytes); infinite where the tool knows no budget.
    pub budget: f64,
    /// CREATE INDEX statements without a name.
    pub definitions: Vec<String>,
    /// CPU seconds.
    pub seconds: f64,
    /// Planner calls; `None` where they cannot be counted.
    pub calls: Option<f64>,
}

/// A definition without CONCURRENTLY and without a name, so that equal ones look equal.
fn anonymous(definition: &str) -> String {
    let rest = definition
        .trim()
        .trim_end_matches(';')
        .trim_start_matches("CREATE INDEX ")
        .trim_start_matches("CONCURRENTLY ");
    let on = if rest.starts_with("ON ") {
        0
    } else {
        rest.find(" ON ").expect("ON") + 1
    };
    format!("CREATE INDEX {}", &rest[on..])
}

fn quoted(queries: &[Query]) -> String {
    let texts: Vec<String> = queries
        .iter()
        .map(|query| format!("$q${}$q$", query.sql))
        .collect();
    texts.join(", ")
}

/// `indexpilot.advise()`.
pub fn indexpilot(session: &mut Session, queries: &[Query], budget: f64) -> Advice {
    let calls = "SELECT planner_calls FROM indexpilot.what_if_activity";
    let (before, start) = (session.number(calls), backend_seconds(session));
    let rows = session.column(&format!(
        "SELECT definition FROM indexpilot.advise(ARRAY[{}], storage_budget => {})",
        quoted(queries),
        (budget * 1e6) as i64
    ));
    Advice {
        tool: OURS.to_owned(),
        budget,
        definitions: rows.iter().map(|d| anonymous(d)).collect(),
        seconds: backend_seconds(session) - start,
        calls: Some(session.number(calls) - before),
    }
}

/// Columns that a statement names, by table.
fn columns(session: &mut Session, sql: &str) -> BTreeMap<String, Vec<String>> {
    let words: BTreeSet<&str> = sql
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .collect();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in session.rows(
        "SELECT c.relname, a.attname FROM pg_class AS c
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1, a.attnum",
    ) {
        let (table, column) = (
            row[0].clone().expect("a name"),
            row[1].clone().expect("a name"),
        );
        // What is only asked for is searched by nobody.
        if words.contains(column.as_str()) && !column.ends_with("_comment") {
            found.entry(table).or_default().push(column);
        }
    }
    found
}

/// What a plan costs now.
pub fn cost(session: &mut Session, sql: &str) -> f64 {
    let plan = session.text(&format!("EXPLAIN (FORMAT JSON) {sql}"));
    let plan: Value = serde_json::from_str(&plan).expect("a plan");
    plan[0]["Plan"]["Total Cost"].as_f64().expect("a cost")
}

/// All indexes on one or two columns that a statement names; the one with most benefit a byte
/// by HypoPG is taken, until nothing fits or nothing helps.
pub fn greedy(session: &mut Session, queries: &[Query], budget: f64) -> Advice {
    let start = backend_seconds(session);
    let mut candidates: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (number, query) in queries.iter().enumerate() {
        for (table, columns) in columns(session, &query.sql) {
            for a in &columns {
                let mut add = |keys: String| {
                    let definition = format!("CREATE INDEX ON {table} ({keys})");
                    candidates.entry(definition).or_default().insert(number);
                };
                add(a.clone());
                for b in columns.iter().filter(|b| *b != a) {
                    add(format!("{a}, {b}"));
                }
            }
        }
    }
    let mut calls = 0.0;
    let mut costs: Vec<f64> = queries.iter().map(|q| cost(session, &q.sql)).collect();
    calls += costs.len() as f64;
    let mut room = budget * 1e6;
    let mut chosen = Vec::new();
    // Benefits only shrink as indexes are added, but for rare pairs: the best of the last
    // round is asked again first, and is taken while it stays ahead.
    let mut queue: Vec<(f64, f64, String)> = candidates
        .keys()
        .map(|definition| (f64::INFINITY, 0.0, definition.clone()))
        .collect();
    let mut fresh: BTreeSet<String> = BTreeSet::new();
    while let Some((score, size, definition)) = queue.pop() {
        if score <= 0.0 {
            break;
        }
        if fresh.contains(&definition) {
            if size > room {
                continue;
            }
            session.run(&format!("SELECT hypopg_create_index('{definition}')"));
            for &number in &candidates[&definition] {
                costs[number] = cost(session, &queries[number].sql);
                calls += 1.0;
            }
            room -= size;
            chosen.push(definition);
            fresh.clear();
            continue;
        }
        let oid = session.text(&format!(
            "SELECT indexrelid FROM hypopg_create_index('{definition}')"
        ));
        let size = session.number(&format!("SELECT hypopg_relation_size({oid})"));
        let mut benefit = 0.0;
        for &number in &candidates[&definition] {
            benefit += costs[number] - cost(session, &queries[number].sql);
            calls += 1.0;
        }
        session.run(&format!("SELECT hypopg_drop_index({oid})"));
        fresh.insert(definition.clone());
        let score = benefit / size.max(1.0);
        let place = queue.partition_point(|other| other.0 <= score);
        queue.insert(place, (score, size, definition));
    }
    session.run("SELECT hypopg_reset()");
    Advice {
        tool: "greedy".to_owned(),
        budget,
        definitions: chosen,
        seconds: backend_seconds(session) - start,
        calls: Some(calls),
    }
}

/// pg_qualstats' advisor, after it has seen every statement twice.
pub fn qualstats(session: &mut Session, queries: &[Query]) -> Advice {
    session.run("CREATE EXTENSION pg_qualstats; SET pg_qualstats.enabled = on");
    for _ in 0..2 {
        for query in queries {
            session.rows(&query.sql);
        }
    }
    session.run("SET pg_qualstats.enabled = off");
    let start = backend_seconds(session);
    let found = session.column(
        "SELECT v #>> '{}' FROM json_array_elements(
             pg_qualstats_index_advisor(min_filter => 0, min_selectivity => 0)->'indexes') AS v",
    );
    Advice {
        tool: "pg_qualstats".to_owned(),
        budget: f64::INFINITY,
        definitions: found.iter().map(|d| anonymous(d)).collect(),
        seconds: backend_seconds(session) - start,
        calls: Some(0.0),
    }
}

/// As many of the advised indexes, in their order, as fit by HypoPG's sizes.
pub fn cut(session: &mut Session, all: &Advice, budget: f64) -> Advice {
    let mut room = budget * 1e6;
    let mut definitions = Vec::new();
    for definition in &all.definitions {
        let size = session
            .try_rows(&format!(
                "SELECT hypopg_relation_size(indexrelid) FROM hypopg_create_index('{definition}')"
            ))
            .ok()
            .and_then(|rows| rows.first()?.first()?.as_ref()?.parse::<f64>().ok());
        if let Some(size) = size.filter(|size| *size <= room) {
            room -= size;
            definitions.push(definition.clone());
        }
    }
    session.run("SELECT hypopg_reset()");
    Advice {
        budget,
        definitions,
        ..all.clone()
    }
}
