//! Statistics without an index: what makes the price "before" rest on the same knowledge as
//! the price "after".
//!
//! The planner looks for statistics of an expression only at the indexes of its relation. A
//! carrier is such an index for that purpose alone: it holds every expression for which there
//! are statistics and never becomes a path, because its predicate is FALSE.

use super::candidate::{Part, fake_oid, free_fake_oid};
use super::memory::Context;
use super::scope::copy_for;
use crate::pg::nodes::{items, length};
use pgrx::pg_sys::{self, NodeTag};

/// All expressions of one relation that have statistics.
pub(super) struct Carrier {
    pub relation: pg_sys::Oid,
    pub oid: pg_sys::Oid,
    /// With varno 1; in the context.
    expressions: *mut pg_sys::List,
    /// One an expression; in the context.
    pub statistics: Vec<pg_sys::HeapTuple>,
    context: Context,
}

impl Carrier {
    /// One without expressions.
    pub(super) fn new(relation: pg_sys::Oid) -> Self {
        Carrier {
            relation,
            oid: fake_oid(),
            expressions: std::ptr::null_mut(),
            statistics: Vec::new(),
            context: Context::new(c"indexpilot expression statistics"),
        }
    }

    /// Takes over the expressions of a candidate that are not there yet.
    pub(super) fn add(&mut self, part: &Part) {
        // SAFETY: the part's trees and tuples are alive; copies go to our context.
        unsafe {
            let mut expressions = items::<pg_sys::Node>(part.template.indexprs);
            for (column, statistics) in part.columns.iter().zip(&part.statistics) {
                if column.attribute != 0 {
                    continue;
                }
                let Some(expression) = expressions.next() else {
                    return;
                };
                let known = items::<pg_sys::Node>(self.expressions)
                    .any(|other| pg_sys::equal(other.cast(), expression.cast()));
                if statistics.is_null() || known {
                    continue;
                }
                self.context.within(|| {
                    let copy = pg_sys::copyObjectImpl(expression.cast());
                    self.expressions = pg_sys::lappend(self.expressions, copy);
                    self.statistics.push(pg_sys::heap_copytuple(*statistics));
                });
            }
        }
    }

    /// What the planner is shown.
    ///
    /// # Safety
    /// `rel` is a relation of a running planner call.
    pub(super) unsafe fn index_info(
        &self,
        rel: *mut pg_sys::RelOptInfo,
    ) -> *mut pg_sys::IndexOptInfo {
        // SAFETY: zeroes are valid for every field; the arrays are as long as announced.
        unsafe {
            let columns = length(self.expressions);
            let info = pg_sys::palloc0(std::mem::size_of::<pg_sys::IndexOptInfo>())
                .cast::<pg_sys::IndexOptInfo>();
            (*info).type_ = NodeTag::T_IndexOptInfo;
            (*info).indexoid = self.oid;
            (*info).rel = rel;
            (*info).hypothetical = true;
            (*info).ncolumns = columns as i32;
            (*info).indexkeys = pg_sys::palloc0(columns * std::mem::size_of::<i32>()).cast::<i32>();
            (*info).canreturn =
                pg_sys::palloc0(columns * std::mem::size_of::<bool>()).cast::<bool>();
            (*info).indexprs = copy_for(self.expressions, (*rel).relid as i32);
            (*info).indpred = pg_sys::lappend(
                std::ptr::null_mut(),
                pg_sys::makeBoolConst(false, false).cast(),
            );
            info
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        free_fake_oid(self.oid);
    }
}
