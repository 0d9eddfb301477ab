//! Expressions and predicates of existing indexes as typed values.

use crate::pg::nodes::items;
use crate::pg::querytree;
use indexpilot_model::{Expression, Oid};
use pgrx::pg_sys;

/// Key expressions in order and the predicate of an index; `None` where the index is gone or
/// has parts that have no typed form.
///
/// The relcache gives both as the planner sees them: constants folded, operators canonical.
/// Folding can run functions of the index, as any planning of a statement on the table does.
pub(super) fn of_index(oid: Oid) -> Option<(Vec<Expression>, Option<Expression>)> {
    // SAFETY: inside a transaction; the relation is opened and closed here, and the trees are
    // copies in the current memory context.
    unsafe {
        let index =
            pg_sys::try_relation_open(pg_sys::Oid::from(oid), pg_sys::AccessShareLock as i32);
        if index.is_null() {
            return None;
        }
        let relation = (*(*index).rd_index).indrelid;
        let expressions: Option<Vec<Expression>> =
            items::<pg_sys::Node>(pg_sys::RelationGetIndexExpressions(index))
                .map(|node| querytree::over_relation(relation, node))
                .collect();
        let conjuncts: Option<Vec<Expression>> =
            items::<pg_sys::Node>(pg_sys::RelationGetIndexPredicate(index))
                .map(|node| querytree::over_relation(relation, node))
                .collect();
        pg_sys::relation_close(index, pg_sys::AccessShareLock as i32);
        let mut conjuncts = conjuncts?;
        let predicate = match conjuncts.len() {
            0 => None,
            1 => conjuncts.pop(),
            _ => {
                conjuncts.sort();
                Some(Expression::And(conjuncts))
            }
        };
        Some((expressions?, predicate))
    }
}
