//! Comparisons that NULL or negation decides.

use crate::Hit;
use crate::block::Block;
use crate::expression::{bare, constant, null};
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// `column <> constant`, NOT LIKE, NOT IN (list).
pub fn negation(block: &Block<'_>) -> Vec<Hit> {
    block
        .conditions
        .iter()
        .map(|condition| bare(condition))
        .filter(|condition| match condition {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::NotEq,
                right,
            } => {
                let one = |a, b| block.column(a).is_some() && constant(b) && !null(b);
                one(left, right) || one(right, left)
            }
            Expr::Like {
                negated: true,
                expr,
                pattern,
                ..
            }
            | Expr::ILike {
                negated: true,
                expr,
                pattern,
                ..
            } => block.column(expr).is_some() && constant(pattern),
            Expr::InList {
                negated: true,
                expr,
                list,
            } => block.column(expr).is_some() && list.iter().all(constant),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => matches!(bare(expr), Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
                if block.column(left).is_some() && constant(right)),
            _ => false,
        })
        .map(Hit::new)
        .collect()
}

/// `column = NULL`.
pub fn comparison(block: &Block<'_>) -> Vec<Hit> {
    block
        .conditions
        .iter()
        .map(|condition| bare(condition))
        .filter(|condition| {
            matches!(condition, Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq | BinaryOperator::NotEq | BinaryOperator::Lt
                    | BinaryOperator::Gt | BinaryOperator::LtEq | BinaryOperator::GtEq,
                right,
            } if null(left) || null(right))
        })
        .map(|condition| Hit::new(condition).rewrite("false"))
        .collect()
}

/// `column IS NOT DISTINCT FROM constant`.
pub fn not_distinct(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        let Expr::IsNotDistinctFrom(left, right) = condition else {
            continue;
        };
        let (column, other) = if block.column(left).is_some() {
            (left, right)
        } else {
            (right, left)
        };
        let hit = Hit::new(condition);
        if block.column(column).is_none() || !constant(other) {
            hits.push(hit);
        } else if null(other) {
            hits.push(hit.rewrite(format!("{column} IS NULL")));
        } else if matches!(bare(other), Expr::Value(value) if !matches!(value.value, Value::Placeholder(_)))
        {
            hits.push(hit.rewrite(format!("{column} = {other}")));
        } else {
            hits.push(hit.rewrite(format!(
                "({column} = {other} OR ({column} IS NULL AND {other} IS NULL))"
            )));
        }
    }
    hits
}
