//! Questions about expressions. None of these walks more levels than [`crate::limits`] lets
//! through.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
    Value, visit_expressions,
};
use std::ops::ControlFlow;

/// Without parentheses around it.
pub fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// What is joined by `op` (AND or OR) at the top.
pub fn parts<'a>(expr: &'a Expr, op: &BinaryOperator) -> Vec<&'a Expr> {
    let (mut todo, mut found) = (vec![expr], Vec::new());
    while let Some(next) = todo.pop() {
        match bare(next) {
            Expr::BinaryOp {
                left,
                op: has,
                right,
            } if has == op => {
                todo.push(right);
                todo.push(left);
            }
            other => found.push(other),
        }
    }
    found
}

/// The names of a column reference: `a`, or `t`, `a`, or `s`, `t`, `a`.
pub fn names(expr: &Expr) -> Option<Vec<&sqlparser::ast::Ident>> {
    match bare(expr) {
        Expr::Identifier(name) if !is_value_word(&name.value) || name.quote_style.is_some() => {
            Some(vec![name])
        }
        Expr::CompoundIdentifier(names) => Some(names.iter().collect()),
        _ => None,
    }
}

/// Words that are functions without parentheses.
fn is_value_word(word: &str) -> bool {
    [
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_schema",
        "current_catalog",
    ]
    .contains(&word.to_ascii_lowercase().as_str())
}

/// Whether no column and no subquery is in it: the same for every row (volatile functions
/// aside, for which see [`volatile`]).
pub fn constant(expr: &Expr) -> bool {
    visit_expressions(expr, |inner| {
        let varies = names(inner).is_some()
            || matches!(
                inner,
                Expr::Subquery(_)
                    | Expr::Exists { .. }
                    | Expr::InSubquery { .. }
                    | Expr::CompoundFieldAccess { .. }
                    | Expr::MatchAgainst { .. }
            );
        if varies {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_continue()
}

/// Whether a function is called that is not surely free of effects and the same each time. Only
/// what is known is taken for stable.
pub fn volatile(expr: &Expr) -> bool {
    const STABLE: &[&str] = &[
        "lower",
        "upper",
        "now",
        "abs",
        "length",
        "coalesce",
        "date_trunc",
        "make_date",
        "date",
        "round",
        "substr",
        "substring",
        "left",
        "right",
        "replace",
        "trim",
        "greatest",
        "least",
        "nullif",
        "to_char",
        "concat",
        "reverse",
    ];
    visit_expressions(expr, |inner| match inner {
        Expr::Function(function)
            if !STABLE.contains(&function_name(function).to_ascii_lowercase().as_str()) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The last part of a function's name.
pub fn function_name(function: &Function) -> String {
    function
        .name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .map(|name| name.value.clone())
        .unwrap_or_default()
}

/// Unnamed arguments of a function; `None` where it has others, or a filter, or a window.
pub fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    if function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty() {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// A string literal's contents.
pub fn string(expr: &Expr) -> Option<&str> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number written as one.
pub fn integer(expr: &Expr) -> Option<i64> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, false) => text.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match bare(expr) {
            Expr::UnaryOp { .. } => None,
            inner => integer(inner).map(|number| -number),
        },
        _ => None,
    }
}

/// The word NULL.
pub fn null(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(value) if value.value == Value::Null)
}

/// Whether a pattern of LIKE begins with something other than a literal character.
pub fn begins_with_wildcard(pattern: &str) -> bool {
    pattern.starts_with(['%', '_'])
}

/// The same comparison seen from the other side.
pub fn mirrored(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}
