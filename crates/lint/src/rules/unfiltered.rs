//! Statements that look at every row.

use crate::Hit;
use crate::block::{Block, Kind};
use crate::expression::function_name;
use sqlparser::ast::{Expr, GroupByExpr, SelectItem};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    // Parts of a statement are filtered by what they are joined with.
    if block.whole.is_none() || block.filter.is_some() || block.items.len() != 1 {
        return Vec::new();
    }
    let item = &block.items[0];
    let Some((_, table)) = &item.table else {
        return Vec::new();
    };
    match block.kind {
        Kind::Update => vec![Hit::new(format!("UPDATE of all of {table}")).why(
            "every row is written anew, with an entry in every index unless the update is heap-only: no index can help a statement without a condition",
        )],
        Kind::Delete => vec![Hit::new(format!("DELETE of all of {table}")).why(
            "every row is found and marked dead one by one, and vacuumed later; TRUNCATE empties a table at once, where its lock and its not firing row triggers do not matter",
        )],
        Kind::Select => {
            let Some(select) = block.select else {
                return Vec::new();
            };
            let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
            // The ends of an index answer these.
            let ends = select.projection.iter().all(|item| {
                matches!(item, SelectItem::UnnamedExpr(Expr::Function(f))
                    | SelectItem::ExprWithAlias { expr: Expr::Function(f), .. }
                    if ["min", "max"].contains(&function_name(f).to_ascii_lowercase().as_str()))
            });
            if block.limited() || (ends && !grouped) || select.into.is_some() {
                return Vec::new();
            }
            vec![Hit::new(format!("all of {table}"))]
        }
    }
}
