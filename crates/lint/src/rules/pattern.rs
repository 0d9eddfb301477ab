//! Patterns that begin with a wildcard.

use crate::Hit;
use crate::block::Block;
use crate::expression::{bare, begins_with_wildcard, string};
use sqlparser::ast::{BinaryOperator, Expr};

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for condition in &block.conditions {
        let condition = bare(condition);
        match condition {
            Expr::Like {
                negated: false,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => {
                let Some(text) = string(pattern).filter(|text| begins_with_wildcard(text)) else {
                    continue;
                };
                let hit = Hit::new(condition);
                // The end of a text is the beginning of the reversed text.
                let end = text
                    .strip_prefix('%')
                    .filter(|rest| !rest.is_empty() && !rest.contains(['%', '_', '\\']));
                hits.push(match (end, block.column(expr)) {
                    (Some(end), Some(found))
                        if found.column.is_some_and(|column| {
                            ["text", "character varying"].contains(&column.type_name.as_str())
                        }) =>
                    {
                        let reversed: String = end.chars().rev().collect();
                        hit.why("the pattern begins with a wildcard and ends with literal characters: reversed, it is a prefix, which an index on reverse(column) with text_pattern_ops serves; a trigram index (pg_trgm) serves it as it is")
                            .rewrite(format!(
                                "reverse({expr}) LIKE '{}%'",
                                reversed.replace('\'', "''")
                            ))
                    }
                    _ => hit,
                });
            }
            Expr::ILike {
                negated: false,
                any: false,
                pattern,
                ..
            } if string(pattern).is_some_and(begins_with_wildcard) => {
                hits.push(Hit::new(condition));
            }
            Expr::BinaryOp {
                op: BinaryOperator::PGRegexMatch | BinaryOperator::PGRegexIMatch,
                right,
                ..
            } if string(right).is_some_and(|text| !text.starts_with('^')) => {
                hits.push(Hit::new(condition));
            }
            _ => {}
        }
    }
    hits
}
