//! A column inside a function, a cast or a calculation.

use crate::Hit;
use crate::block::{Block, Found};
use crate::expression::{
    arguments, bare, constant, function_name, integer, mirrored, string, volatile,
};
use sqlparser::ast::{BinaryOperator as Op, Expr};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        let sides = match condition {
            Expr::BinaryOp {
                left,
                op: op @ (Op::Eq | Op::Lt | Op::Gt | Op::LtEq | Op::GtEq),
                right,
            } => {
                if constant(right) {
                    Some((bare(left), Some(op.clone()), Some(bare(right))))
                } else if constant(left) {
                    Some((bare(right), mirrored(op), Some(bare(left))))
                } else {
                    // A join: one side's wrapper hides that side's index.
                    [left, right]
                        .into_iter()
                        .map(|side| bare(side))
                        .find(|side| wrapped(side).is_some())
                        .map(|side| (side, None, None))
                }
            }
            Expr::InList { expr, list, .. } if list.iter().all(constant) => {
                Some((bare(expr), None, None))
            }
            Expr::Between {
                expr, low, high, ..
            } if constant(low) && constant(high) => Some((bare(expr), None, None)),
            Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. }
                if constant(pattern) =>
            {
                Some((bare(expr), None, None))
            }
            _ => None,
        };
        let Some((side, op, other)) = sides else {
            continue;
        };
        let Some(inner) = wrapped(side) else {
            continue;
        };
        let Some(found) = block.column(inner) else {
            continue;
        };
        let hit = Hit::new(condition);
        let text = match (op, other) {
            (Some(op), Some(other)) if !volatile(other) => rewrite(side, inner, &found, &op, other),
            _ => None,
        };
        hits.push(match text {
            Some(text) => hit.rewrite(text),
            None => hit,
        });
    }
    hits
}

/// The column that an expression wraps. JSON and array access are left out: there the
/// expression is the field.
fn wrapped(expr: &Expr) -> Option<&Expr> {
    let column = |inner| crate::expression::names(inner).map(|_| bare(inner));
    match bare(expr) {
        Expr::Function(function) => {
            let all = arguments(function)?;
            let mut columns = all.iter().filter(|arg| !constant(arg));
            let only = columns.next()?;
            columns.next().is_none().then(|| column(only)).flatten()
        }
        Expr::Cast { expr, .. }
        | Expr::Extract { expr, .. }
        | Expr::Ceil { expr, .. }
        | Expr::Floor { expr, .. }
        | Expr::Trim { expr, .. }
        | Expr::Substring { expr, .. } => column(expr),
        Expr::AtTimeZone { timestamp, .. } => column(timestamp),
        Expr::BinaryOp {
            left,
            op: Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::StringConcat,
            right,
        } => match (constant(left), constant(right)) {
            (false, true) => column(left),
            (true, false) => column(right),
            _ => None,
        },
        _ => None,
    }
}

/// The same condition with the column alone on its side, where that holds for all values.
fn rewrite(side: &Expr, column: &Expr, found: &Found<'_>, op: &Op, other: &Expr) -> Option<String> {
    let type_name = found.column.map(|column| column.type_name.as_str())?;
    let zoneless = type_name == "timestamp without time zone";
    let moment = zoneless || type_name == "timestamp with time zone";
    let whole = ["smallint", "integer", "bigint"].contains(&type_name);
    match side {
        // ts::date = d, date(ts) = d
        Expr::Cast { data_type, .. } if moment && is(data_type, "date") => day(column, op, other),
        Expr::Function(f)
            if moment && function_name(f).eq_ignore_ascii_case("date") && *op == Op::Eq =>
        {
            day(column, op, other)
        }
        // n::text = '42'
        Expr::Cast { data_type, .. }
            if whole && *op == Op::Eq && (is(data_type, "text") || is(data_type, "varchar")) =>
        {
            let text = string(other)?;
            let number: i32 = text.parse().ok()?;
            (number.to_string() == text).then(|| format!("{column} = {number}"))
        }
        // date_trunc('month', ts) = m
        Expr::Function(f) if zoneless && function_name(f).eq_ignore_ascii_case("date_trunc") => {
            let all = arguments(f)?;
            let unit = string(all.first()?)?.to_ascii_lowercase();
            let units = ["second", "minute", "hour", "day", "week", "month", "year"];
            if *op != Op::Eq || all.len() != 2 || !units.contains(&unit.as_str()) {
                return None;
            }
            let from = format!("({other})::timestamp");
            Some(format!(
                "({column} >= {from} AND {column} < {from} + interval '1 {unit}' AND date_trunc('{unit}', {from}) = {from})"
            ))
        }
        // extract(year FROM ts) = 2024
        Expr::Extract { field, .. }
            if (moment || type_name == "date")
                && *op == Op::Eq
                && field.to_string().eq_ignore_ascii_case("year") =>
        {
            let year = integer(other).filter(|year| (1..=9_998).contains(year))?;
            Some(format!(
                "({column} >= '{year:04}-01-01' AND {column} < '{:04}-01-01')",
                year + 1
            ))
        }
        // n + 1 = 5
        Expr::BinaryOp {
            op: calculation @ (Op::Plus | Op::Minus),
            right,
            ..
        } if whole && constant(right) => {
            // Constants small enough that nothing overflows, on either side.
            let small = |expr: &Expr| integer(expr).filter(|n| n.abs() < 1_000_000_000);
            let moved = small(right)?;
            let moved = if *calculation == Op::Plus {
                -moved
            } else {
                moved
            };
            Some(format!("{column} {op} {}", small(other)? + moved))
        }
        // coalesce(column, x) = x
        Expr::Function(f) if function_name(f).eq_ignore_ascii_case("coalesce") && *op == Op::Eq => {
            let all = arguments(f)?;
            let [_, default] = all[..] else {
                return None;
            };
            if !std::ptr::eq(bare(all[0]), column) || !matches!(bare(other), Expr::Value(_)) {
                return None;
            }
            if bare(default).to_string() == other.to_string() {
                return Some(format!("({column} = {other} OR {column} IS NULL)"));
            }
            match (integer(default), integer(other)) {
                (Some(a), Some(b)) if a != b => Some(format!("{column} = {other}")),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is(data_type: &sqlparser::ast::DataType, name: &str) -> bool {
    data_type.to_string().eq_ignore_ascii_case(name)
}

/// A day as a span of moments. Not for the days 'infinity' and '-infinity', which are no span.
fn day(column: &Expr, op: &Op, other: &Expr) -> Option<String> {
    if string(other).is_some_and(|text| text.to_ascii_lowercase().contains("inf")) {
        return None;
    }
    let from = format!("({other})::date");
    Some(match op {
        Op::Eq => format!("({column} >= {from} AND {column} < {from} + 1)"),
        Op::Lt => format!("{column} < {from}"),
        Op::GtEq => format!("{column} >= {from}"),
        Op::Gt => format!("{column} >= {from} + 1"),
        Op::LtEq => format!("{column} < {from} + 1"),
        _ => return None,
    })
}
