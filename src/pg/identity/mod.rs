//! What tells statements apart while they are counted: a hash of the rewritten query tree,
//! made when it is planned, and handed to its executions with the plan.
//!
//! It is ours and not the server's for three reasons: the server's costs five times as much
//! (it writes a second form of the tree and hashes that), it changes its meaning between
//! majors (from 18 on it leaves the schemas of relations out), and it takes two fields of one
//! JSON document for one.
//!
//! - Where nobody has the server identify queries (`compute_query_id = auto`, and no library
//!   asked), ours stands in `Query.queryId` and `PlannedStmt.queryId`, the documented place
//!   for it: pg_stat_activity, EXPLAIN (VERBOSE) and `%Q` show it.
//! - Where the server or another library does, their identifier stays where it is, because
//!   others join on it. Ours is mixed with it, so that no two of theirs are ever one of ours,
//!   and travels in the plan's list of invalidation items.
//! - With `compute_query_id = off` nothing is shown, and ours travels in the same way.
//!
//! A plan that was made while nobody watched carries nothing; it goes by the query identifier
//! alone, if it has one, until it is planned again.

mod hasher;
mod keys;
mod walk;

pub use hasher::Hasher;
#[allow(
    unused_imports,
    reason = "only majors after 15 have nodes of their own"
)]
pub(crate) use walk::fields;

use crate::pg::compat::{executor, identity as compat};
use crate::pg::nodes::tag;
use crate::pg::raw;
use pgrx::pg_sys::{self, NodeTag};

/// Identities have 63 bits: one of an invalidation item's says that it is ours.
const BITS: u64 = u64::MAX >> 1;

/// Identifies a statement that is about to be planned, and shows the identity as its query
/// identifier where there is none and none is to come. Never 0.
///
/// # Safety
/// Points to a rewritten query tree that is no utility statement's. No destructor is alive in
/// the callers' frames: an ERROR (no memory for a node of unknown kind) passes.
#[inline(always)]
pub unsafe fn of_query(query: *mut pg_sys::Query, top_level: bool) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut hasher = Hasher::new();
        hasher.query(query);
        let given = compat::given(query);
        if given != 0 {
            // Somebody identifies queries: never coarser than they do.
            hasher.word(given);
            return finished(&hasher);
        }
        let id = finished(&hasher);
        if compat::nobody_identifies() {
            compat::show(query, id, top_level);
        }
        id
    }
}

#[inline(always)]
fn finished(hasher: &Hasher) -> u64 {
    (hasher.finish() & BITS).max(1)
}

/// Hands the identity on to the executions of a plan, where its query identifier does not.
///
/// # Safety
/// A statement that was just planned, or null; the current memory context is the plan's.
#[inline(always)]
pub unsafe fn hand_on(planned: *mut pg_sys::PlannedStmt, id: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if !planned.is_null() && of_plan(planned) != id {
            carry(planned, id);
        }
    }
}

/// Puts the identity in front of the plan's invalidation items, in one of a cache that does not
/// exist: its number is negative. The server copies the list with the plan, compares
/// cache numbers when a cache changes (plancache.c, PlanCacheObjectCallback), and leaves
/// the list out of what it sends to parallel workers.
#[cold]
#[inline(never)]
unsafe fn carry(planned: *mut pg_sys::PlannedStmt, id: u64) {
    // SAFETY: a plan that nobody else reads yet; raw functions, no destructor is alive.
    unsafe {
        let item = raw::palloc0(size_of::<pg_sys::PlanInvalItem>()).cast::<pg_sys::PlanInvalItem>();
        (*item).type_ = NodeTag::T_PlanInvalItem;
        (*item).cacheId = ((id >> 32) as u32 | 1 << 31).cast_signed();
        (*item).hashValue = id as u32;
        (*planned).invalItems = raw::lcons(item.cast(), (*planned).invalItems);
    }
}

/// Identifies a statement that is executed, as [`of_query`] did when it was planned; 0 where
/// nothing is known of it.
///
/// # Safety
/// Points to a planned statement.
#[inline(always)]
pub unsafe fn of_plan(planned: *const pg_sys::PlannedStmt) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let items = (*planned).invalItems;
        if !items.is_null()
            && let Some(id) = carried(items)
        {
            return id;
        }
        executor::query_id(planned)
    }
}

/// Ours is the first item, if it is there.
#[inline(always)]
unsafe fn carried(items: *const pg_sys::List) -> Option<u64> {
    // SAFETY: a list that is not empty, of nodes.
    unsafe {
        let first = (*(*items).elements)
            .ptr_value
            .cast::<pg_sys::PlanInvalItem>();
        if tag(first) != NodeTag::T_PlanInvalItem || (*first).cacheId >= 0 {
            return None;
        }
        let upper = u64::from((*first).cacheId.cast_unsigned() & 0x7fff_ffff);
        Some(upper << 32 | u64::from((*first).hashValue))
    }
}
