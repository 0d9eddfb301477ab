//! `value = ANY (array column)`.

use crate::Hit;
use crate::block::Block;
use crate::expression::{bare, constant};
use sqlparser::ast::{BinaryOperator, Expr};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        let Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } = condition
        else {
            continue;
        };
        let Some(found) = block.column(right) else {
            continue;
        };
        if !constant(left) {
            continue;
        }
        let hit = Hit::new(condition);
        hits.push(match found.column {
            // The array's type has to be the column's: containment has no other operator.
            Some(column) if column.type_name.ends_with("[]") => hit.rewrite(format!(
                "{} @> ARRAY[{left}]::{}",
                bare(right),
                column.type_name
            )),
            _ => hit,
        });
    }
    hits
}
