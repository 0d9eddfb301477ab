//! OR over several columns or relations.

use crate::Hit;
use crate::block::{Block, folded};
use crate::expression::{bare, names, parts, volatile};
use sqlparser::ast::{BinaryOperator, Expr, visit_expressions};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The names of columns in an expression.
pub fn column_names(expr: &Expr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _ = visit_expressions(expr, |inner| {
        if let Some(path) = names(inner) {
            found.insert(
                path.iter()
                    .map(|name| folded(name))
                    .collect::<Vec<_>>()
                    .join("."),
            );
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn has_subquery(expr: &Expr) -> bool {
    visit_expressions(expr, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Arms that look at different relations.
pub fn check(block: &Block<'_>) -> Vec<Hit> {
    find(block, |block, arms| {
        let items: Vec<_> = arms.iter().map(|arm| block.items_of(arm)).collect();
        items.iter().all(|of| of.len() == 1 && !of.contains(&None))
            && items.iter().any(|of| *of != items[0])
    })
}

/// Arms that look at different columns of one relation.
pub fn columns(block: &Block<'_>) -> Vec<Hit> {
    find(block, |block, arms| {
        let items: BTreeSet<_> = arms.iter().flat_map(|arm| block.items_of(arm)).collect();
        let names: Vec<_> = arms.iter().map(|arm| column_names(arm)).collect();
        items.len() == 1
            && names.iter().all(|of| of.len() == 1)
            && names.iter().any(|of| *of != names[0])
    })
}

fn find(block: &Block<'_>, concerns: impl Fn(&Block<'_>, &[&Expr]) -> bool) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let arms = parts(condition, &BinaryOperator::Or);
        if arms.len() < 2 || arms.iter().any(|arm| has_subquery(arm)) || !concerns(block, &arms) {
            continue;
        }
        match rewrite(block, condition, &arms) {
            // Both stand for the whole statement.
            Some((found, text)) => hits.push(Hit::new(found).rewrite(text)),
            None => hits.push(Hit::new(bare(condition))),
        }
    }
    hits
}

/// One SELECT for each arm, without the rows that an earlier arm gave. Duplicates stay, because
/// each row of the join passes exactly one of them.
fn rewrite(block: &Block<'_>, condition: &Expr, arms: &[&Expr]) -> Option<(String, String)> {
    let whole = block.whole?;
    if !block.plain() || block.inner || arms.len() > 4 {
        return None;
    }
    let filter = block.filter?;
    if volatile(filter)
        || !parts(filter, &BinaryOperator::And)
            .iter()
            .any(|p| std::ptr::eq(*p, bare(condition)))
    {
        return None;
    }
    let select = block.select?;
    let rest: Vec<String> = parts(filter, &BinaryOperator::And)
        .into_iter()
        .filter(|part| !std::ptr::eq(*part, bare(condition)))
        .map(|part| format!("({part})"))
        .collect();
    let mut texts = Vec::new();
    for (number, arm) in arms.iter().enumerate() {
        let mut conditions = vec![format!("({arm})")];
        conditions.extend(rest.iter().cloned());
        for earlier in &arms[..number] {
            conditions.push(format!("({earlier}) IS NOT TRUE"));
        }
        let mut copy = select.clone();
        copy.selection = None;
        texts.push(format!("{copy} WHERE {}", conditions.join(" AND ")));
    }
    Some((whole.to_string(), texts.join(" UNION ALL ")))
}
