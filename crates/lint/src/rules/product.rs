//! Relations that no condition joins.

use super::disjunction::column_names;
use crate::Hit;
use crate::block::Block;

pub fn check(block: &Block<'_>) -> Vec<Hit> {
    let count = block.items.len();
    let mut group: Vec<usize> = (0..count).collect();
    let join = |group: &mut Vec<usize>, a: usize, b: usize| {
        let (from, to) = (group[a], group[b]);
        for g in group.iter_mut() {
            if *g == from {
                *g = to;
            }
        }
    };
    for &item in &block.linked {
        if item > 0 {
            join(&mut group, item, item - 1);
        }
    }
    for condition in &block.conditions {
        let items = block.items_of(condition);
        // A name whose relation is not known may be anybody's: no guess.
        if items.contains(&None) && column_names(condition).len() > 1 {
            return Vec::new();
        }
        let known: Vec<usize> = items.into_iter().flatten().collect();
        for pair in known.windows(2) {
            join(&mut group, pair[0], pair[1]);
        }
    }
    let mut apart: Vec<usize> = Vec::new();
    for (item, it) in block.items.iter().enumerate() {
        if !it.free && !apart.iter().any(|&seen| group[seen] == group[item]) {
            apart.push(item);
        }
    }
    if apart.len() < 2 {
        return Vec::new();
    }
    // An equality with the same constant on both sides joins them as well as any.
    let fixed = |item: usize| {
        block.conditions.iter().any(|condition| {
            matches!(
                condition,
                sqlparser::ast::Expr::BinaryOp {
                    op: sqlparser::ast::BinaryOperator::Eq,
                    ..
                }
            ) && block.items_of(condition).into_iter().eq([Some(item)])
        })
    };
    if apart.iter().filter(|&&item| !fixed(item)).count() < 2 {
        return Vec::new();
    }
    let names: Vec<String> = apart
        .iter()
        .filter_map(|&item| block.qualifier(item))
        .collect();
    vec![Hit::new(names.join(", "))]
}
