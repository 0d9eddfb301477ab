//! OFFSET and random order.

use crate::Hit;
use crate::block::Block;
use crate::expression::{function_name, integer};
use sqlparser::ast::{Expr, OrderByKind};

/// A skip below this reads next to nothing.
const SHALLOW: i64 = 100;

/// OFFSET, unless it is written and small.
pub fn offset(block: &Block<'_>) -> Vec<Hit> {
    match block.offset() {
        Some(value) if integer(value).is_none_or(|rows| rows >= SHALLOW) => {
            vec![Hit::new(format!("OFFSET {value}"))]
        }
        _ => Vec::new(),
    }
}

/// ORDER BY random().
pub fn random(block: &Block<'_>) -> Vec<Hit> {
    let Some(order) = block.order_by() else {
        return Vec::new();
    };
    let OrderByKind::Expressions(keys) = &order.kind else {
        return Vec::new();
    };
    keys.iter()
        .filter(|key| {
            matches!(&key.expr, Expr::Function(f)
                if ["random", "gen_random_uuid"].contains(&function_name(f).to_ascii_lowercase().as_str()))
        })
        .map(|key| Hit::new(format!("ORDER BY {}", key.expr)))
        .collect()
}
