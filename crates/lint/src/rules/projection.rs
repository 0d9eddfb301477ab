//! What is asked for: all columns, or distinct rows of a join.

use crate::Hit;
use crate::block::{Block, Kind};
use crate::expression::{names, volatile};
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, SelectItem,
    SelectItemQualifiedWildcardKind, visit_expressions,
};
use std::ops::ControlFlow;

/// With fewer columns an index can hold them all.
const FEW: usize = 4;

/// `SELECT *` where an index could find the rows.
pub fn star(block: &Block<'_>) -> Vec<Hit> {
    let Some(select) = block.select else {
        return Vec::new();
    };
    let searched = !block.conditions.is_empty() || block.limited();
    if block.kind != Kind::Select || block.exists || !searched {
        return Vec::new();
    }
    let narrow = |item: usize| block.items[item].columns.is_some_and(|c| c.len() < FEW);
    select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::Wildcard(_) => {
                let tables = block.items.iter().enumerate();
                tables
                    .filter(|(_, item)| item.table.is_some())
                    .any(|(number, _)| !narrow(number))
                    .then(|| Hit::new("*"))
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let number = block.items.iter().position(|item| {
                    item.table.is_some()
                        && item
                            .alias
                            .is_some_and(|alias| alias.to_string() == name.to_string())
                })?;
                (!narrow(number)).then(|| Hit::new(format!("{name}.*")))
            }
            _ => None,
        })
        .collect()
}

/// `SELECT DISTINCT a.… FROM a JOIN b ON …`, with nothing of b asked for.
pub fn distinct(block: &Block<'_>) -> Vec<Hit> {
    let (Some(select), Some(whole)) = (block.select, block.whole) else {
        return Vec::new();
    };
    let Some(query) = block.query else {
        return Vec::new();
    };
    let plain = matches!(select.distinct, Some(Distinct::Distinct))
        && query.with.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, more)
            if by.is_empty() && more.is_empty());
    let [from] = &select.from[..] else {
        return Vec::new();
    };
    let [join] = &from.joins[..] else {
        return Vec::new();
    };
    let (JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on))) =
        &join.join_operator
    else {
        return Vec::new();
    };
    if !plain || block.items.len() != 2 || block.items[1].table.is_none() {
        return Vec::new();
    }
    // Everything outside the join's condition and WHERE has to name the first relation.
    let first =
        |expr: &Expr| block.items_of(expr).into_iter().all(|item| item == Some(0)) && simple(expr);
    let asked = select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => first(expr),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            block
                .qualifier(0)
                .is_some_and(|alias| alias == name.to_string())
        }
        _ => false,
    });
    let conditions_known = std::iter::once(on)
        .chain(select.selection.as_ref())
        .all(|expr| !block.items_of(expr).contains(&None) && simple(expr) && !volatile(expr));
    if !asked || !conditions_known {
        return Vec::new();
    }
    let hit = Hit::new(whole);
    let mut copy = query.clone();
    let sqlparser::ast::SetExpr::Select(inner) = &mut *copy.body else {
        return vec![hit];
    };
    inner.from[0].joins.clear();
    let filter = select
        .selection
        .as_ref()
        .map(|filter| format!(" AND ({filter})"))
        .unwrap_or_default();
    inner.selection = None;
    let exists = format!(
        " WHERE EXISTS (SELECT FROM {} WHERE ({on}){filter})",
        join.relation
    );
    let text = inner.to_string();
    // ORDER BY and LIMIT stand behind.
    let tail = copy.to_string()[text.len()..].to_owned();
    vec![hit.rewrite(format!("{text}{exists}{tail}"))]
}

/// Without subqueries, whose names cannot be told apart here.
fn simple(expr: &Expr) -> bool {
    visit_expressions(expr, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        inner if names(inner).is_some() => ControlFlow::Continue(()),
        _ => ControlFlow::Continue(()),
    })
    .is_continue()
}
