//! Counting to learn whether there is a row.

use crate::Hit;
use crate::block::Block;
use crate::expression::{bare, function_name, integer, mirrored};
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query,
    Select, SelectItem, SetExpr,
};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        let Expr::BinaryOp { left, op, right } = condition else {
            continue;
        };
        let (query, op, number) = match (bare(left), bare(right)) {
            (Expr::Subquery(query), other) => (query, Some(op.clone()), integer(other)),
            (other, Expr::Subquery(query)) => (query, mirrored(op), integer(other)),
            _ => continue,
        };
        let exists = match (op, number) {
            (Some(BinaryOperator::Gt), Some(0)) | (Some(BinaryOperator::GtEq), Some(1)) => true,
            (Some(BinaryOperator::Eq), Some(0)) | (Some(BinaryOperator::Lt), Some(1)) => false,
            _ => continue,
        };
        let Some(select) = counted(query) else {
            continue;
        };
        let mut inner = select.clone();
        inner.projection = Vec::new();
        let word = if exists { "EXISTS" } else { "NOT EXISTS" };
        hits.push(Hit::new(condition).rewrite(format!("{word} ({inner})")));
    }
    hits
}

/// The SELECT whose rows are counted, each once.
fn counted(query: &Query) -> Option<&Select> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let plain = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.order_by.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [SelectItem::UnnamedExpr(Expr::Function(f))] = &select.projection[..] else {
        return None;
    };
    let star = matches!(&f.args, FunctionArguments::List(list)
        if matches!(list.args[..], [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]));
    (plain
        && star
        && f.filter.is_none()
        && f.over.is_none()
        && function_name(f).eq_ignore_ascii_case("count"))
    .then_some(select)
}
