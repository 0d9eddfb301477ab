//! Comparisons that convert the column.

use crate::Hit;
use crate::block::Block;
use crate::expression::bare;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

const INTEGERS: [&str; 3] = ["smallint", "integer", "bigint"];

/// An integer column against a number with a fraction, or a constant of a wider type.
pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        let Expr::BinaryOp { left, op, right } = condition else {
            continue;
        };
        use BinaryOperator as Op;
        if !matches!(op, Op::Eq | Op::Lt | Op::Gt | Op::LtEq | Op::GtEq) {
            continue;
        }
        for (column, other, column_first) in [(left, right, true), (right, left, false)] {
            let Some(found) = block.column(column).and_then(|found| found.column) else {
                continue;
            };
            let name = found.type_name.as_str();
            if INTEGERS.contains(&name)
                && let Some(number) = fraction(other)
            {
                let hit = Hit::new(condition);
                let whole = number
                    .split_once('.')
                    .filter(|(_, after)| after.bytes().all(|b| b == b'0'))
                    .map(|(before, _)| before);
                hits.push(
                    match whole.filter(|w| w.trim_start_matches('-').parse::<i32>().is_ok()) {
                        Some(whole) if column_first => {
                            hit.rewrite(format!("{column} {op} {whole}"))
                        }
                        Some(whole) => hit.rewrite(format!("{whole} {op} {column}")),
                        None => hit,
                    },
                );
            } else if (INTEGERS.contains(&name) && widened(other))
                || (["character varying", "text"].contains(&name)
                    && cast_to(other, &["char", "bpchar", "character"]))
            {
                hits.push(Hit::new(condition));
            }
        }
    }
    hits
}

/// A number written with a point, sign included.
fn fraction(expr: &Expr) -> Option<String> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, false)
                if text.contains('.')
                    && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                    && text.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                Some(text.clone())
            }
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } if !matches!(bare(expr), Expr::UnaryOp { .. }) => {
            fraction(expr).map(|text| format!("-{text}"))
        }
        _ => None,
    }
}

fn widened(expr: &Expr) -> bool {
    cast_to(
        expr,
        &[
            "numeric",
            "decimal",
            "real",
            "float",
            "float4",
            "float8",
            "double precision",
        ],
    )
}

fn cast_to(expr: &Expr, types: &[&str]) -> bool {
    matches!(bare(expr), Expr::Cast { data_type, .. } if {
        let name = data_type.to_string().to_ascii_lowercase();
        types.contains(&name.split('(').next().unwrap_or_default().trim())
    })
}
