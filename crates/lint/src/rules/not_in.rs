//! NOT IN (SELECT …).

use crate::Hit;
use crate::block::Block;
use crate::expression::{bare, names};
use sqlparser::ast::{Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let Expr::InSubquery {
            expr,
            subquery,
            negated: true,
        } = bare(condition)
        else {
            continue;
        };
        let hit = Hit::new(bare(condition));
        hits.push(match rewrite(block, expr, subquery) {
            Some(text) => hit.rewrite(text),
            None => hit,
        });
    }
    hits
}

/// `x NOT IN (S)` is true where S is empty, or where x is not NULL, no y of S is NULL and none
/// equals x. Each of these three is a question that an index answers.
fn rewrite(block: &Block<'_>, outer: &Expr, query: &Query) -> Option<String> {
    let found = names(outer)?;
    // Inside the subquery an unqualified name could be one of its own.
    let outer_name = match &found[..] {
        [name] if block.items.len() == 1 => format!("{}.{name}", block.qualifier(0)?),
        [_, ..] if found.len() > 1 => outer.to_string(),
        _ => return None,
    };
    let (select, table) = single(query)?;
    let [SelectItem::UnnamedExpr(inner)] = &select.projection[..] else {
        return None;
    };
    let path = names(inner)?;
    let inner_name = match &path[..] {
        [name] => format!("{}.{name}", alias(table)?),
        _ => inner.to_string(),
    };
    if block.items.iter().any(|item| {
        item.alias
            .is_some_and(|a| alias(table).is_some_and(|b| a.to_string().eq_ignore_ascii_case(&b)))
    }) {
        // The same name inside and outside: which is meant could not be said.
        return None;
    }
    let filter = select
        .selection
        .as_ref()
        .map(|filter| format!(" AND ({filter})"))
        .unwrap_or_default();
    let alone = select
        .selection
        .as_ref()
        .map(|filter| format!(" WHERE {filter}"))
        .unwrap_or_default();
    Some(format!(
        "NOT EXISTS (SELECT FROM {table} WHERE {inner_name} = {outer_name}{filter}) \
         AND NOT EXISTS (SELECT FROM {table} WHERE {inner_name} IS NULL{filter}) \
         AND ({outer_name} IS NOT NULL OR NOT EXISTS (SELECT FROM {table}{alone}))"
    ))
}

fn alias(table: &TableFactor) -> Option<String> {
    match table {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.to_string()),
            None => name.0.last().map(ToString::to_string),
        },
        _ => None,
    }
}

/// A SELECT from one table without anything that changes which rows there are.
fn single(query: &Query) -> Option<(&Select, &TableFactor)> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let plain = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    match &select.from[..] {
        [from] if plain && from.joins.is_empty() => match &from.relation {
            table @ TableFactor::Table {
                args: None,
                sample: None,
                ..
            } => Some((select, table)),
            _ => None,
        },
        _ => None,
    }
}
