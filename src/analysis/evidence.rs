//! What `explain()` shows beside the numbers: the plans of the statements that gain most, now
//! and under the whole choice. The worker asks for them when it has chosen, because nobody
//! else plans other people's statements. Values are taken out: whoever owns a table is not
//! whoever ran the statement.

use crate::pg::transaction;
use crate::pg::whatif::{Format, Planner};
use crate::store::captured::Captured;
use indexpilot_model::normalize::normalize;
use indexpilot_model::{CandidateId, IntentKind, Oid, StatementId, WhatIf};
use indexpilot_pipeline::Analysis;
use std::collections::HashMap;

/// Statements of a recommendation whose plans are kept.
const STATEMENTS: usize = 3;
/// Statements of a run whose plans are kept.
const MOST: usize = 60;
/// Longest plan that is kept, bytes.
const LONGEST: usize = 8_000;

/// Adds keys of statements, and plans, to what is recommended. Outside a transaction.
pub fn add(planner: &mut Planner, analysis: &mut Analysis, captured: &[Captured]) {
    let keys: HashMap<StatementId, &str> = captured
        .iter()
        .map(|one| (one.id, one.key.as_str()))
        .collect();
    let mut with: Vec<CandidateId> = Vec::new();
    let mut names: Vec<(String, String)> = Vec::new();
    let mut without: Vec<Oid> = Vec::new();
    for recommendation in &analysis.recommendations {
        match &recommendation.kind {
            IntentKind::CreateIndex { definition, name } => {
                // Known already: it was priced.
                let registered = transaction::run(|| planner.register(definition));
                if let Ok(Ok((id, _))) = registered {
                    with.push(id);
                    names.push((
                        format!("\"<hypothetical {}>\"", id.0 + 1),
                        format!("{name} (hypothetical)"),
                    ));
                }
            }
            IntentKind::DropIndex { index, .. } => without.push(*index),
            _ => {}
        }
    }
    let mut plans: HashMap<StatementId, Option<(String, String)>> = HashMap::new();
    for recommendation in &mut analysis.recommendations {
        for (place, gain) in recommendation.statements.iter_mut().enumerate() {
            gain.key = keys.get(&gain.statement).map(|key| (*key).to_owned());
            if place >= STATEMENTS {
                continue;
            }
            if !plans.contains_key(&gain.statement) && plans.len() < MOST {
                let mut ask = |with: &[CandidateId], without: &[Oid]| {
                    let plan = transaction::run(|| {
                        planner.evaluate(gain.statement, with, without, Some(Format::Text))
                    });
                    // A plan that cannot be had now is missed by nobody but the reader.
                    Some(shown(&plan.ok()?.ok()?.plans, &names))
                };
                let found = ask(&[], &[]).zip(ask(&with, &without));
                plans.insert(gain.statement, found);
            }
            gain.plans = plans.get(&gain.statement).cloned().flatten();
        }
    }
}

/// Plans as they are kept: hypothetical indexes under the names they would have, conditions
/// without values.
fn shown(plans: &[String], names: &[(String, String)]) -> String {
    let mut text = String::new();
    for line in plans.iter().flat_map(|plan| plan.lines()) {
        let line = match line.split_once(": ") {
            Some((head, rest)) if !line.contains("  (cost=") => {
                format!("{head}: {}", normalize(rest).text)
            }
            _ => line.to_owned(),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for (placeholder, name) in names {
        text = text.replace(placeholder, name);
    }
    indexpilot_model::identifier::clip(&text, LONGEST).to_owned()
}
