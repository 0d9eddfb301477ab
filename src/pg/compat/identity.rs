//! What tells statements apart while they are counted.
//!
//! Up to 17 the server's query identifier holds the OIDs of relations. From 18 on it holds
//! their names without the schema (queryjumblefuncs.c), so that `SELECT a FROM t` of a hundred
//! tenants' schemas is one statement, whose fields would be counted for the schema seen first.
//! There the OIDs are mixed in: hashed when a statement is planned, and handed to its
//! executions in `PlannedStmt.planId`, which the server leaves to plugins. Where another
//! plugin has taken it, the query identifier alone has to do.

use pgrx::pg_sys;

/// Identifies a statement that is about to be planned; 0 where the server gave no identifier.
///
/// # Safety
/// Points to a rewritten query tree. No destructor is alive in the callers' frames: an ERROR
/// (a tree too deep) passes.
#[inline(always)]
#[allow(clippy::unnecessary_cast, reason = "signed from 18 on")]
pub unsafe fn of_query(query: *mut pg_sys::Query) -> Planned {
    // SAFETY: the caller's promise.
    unsafe {
        let id = (*query).queryId as u64;
        #[cfg(feature = "pg18")]
        if id != 0 {
            let relations = relations::hash(query);
            return Planned {
                id: relations::mixed(id, relations),
                relations,
            };
        }
        Planned {
            id,
            #[cfg(feature = "pg18")]
            relations: 0,
        }
    }
}

/// What [`of_query`] found.
#[derive(Clone, Copy)]
pub struct Planned {
    /// Tells the statement apart.
    pub id: u64,
    /// Of the relations that it names.
    #[cfg(feature = "pg18")]
    relations: u64,
}

/// Hands the identity on to the executions of a plan.
///
/// # Safety
/// A statement that was just planned, or null.
#[inline(always)]
pub unsafe fn hand_on(planned: *mut pg_sys::PlannedStmt, found: Planned) {
    #[cfg(not(feature = "pg18"))]
    let _ = (planned, found);
    #[cfg(feature = "pg18")]
    // SAFETY: the caller's promise.
    unsafe {
        if !planned.is_null() && found.id != 0 && (*planned).planId == 0 {
            (*planned).planId = relations::tagged(found.relations);
        }
    }
}

/// Identifies a statement that is executed, as [`of_query`] did when it was planned.
///
/// # Safety
/// Points to a planned statement.
#[inline(always)]
pub unsafe fn of_plan(planned: *const pg_sys::PlannedStmt) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let id = super::executor::query_id(planned);
        #[cfg(feature = "pg18")]
        if id != 0
            && let Some(relations) = relations::untagged((*planned).planId)
        {
            return relations::mixed(id, relations);
        }
        id
    }
}

#[cfg(feature = "pg18")]
mod relations {
    use crate::pg::nodes::tag;
    use pgrx::pg_sys::{self, NodeTag};
    use std::ffi::{c_int, c_void};

    type Visitor = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> bool;

    // Our own declarations: the bindings would turn an ERROR into a panic.
    unsafe extern "C-unwind" {
        fn query_tree_walker_impl(
            query: *mut pg_sys::Query,
            visit: Visitor,
            context: *mut c_void,
            flags: c_int,
        ) -> bool;
        fn expression_tree_walker_impl(
            node: *mut pg_sys::Node,
            visit: Visitor,
            context: *mut c_void,
        ) -> bool;
    }

    /// Says in the upper bits that a plan identifier is ours.
    const TAG: u64 = 0x1d9f << 48;
    const BITS: u64 = (1 << 48) - 1;

    pub(super) fn tagged(relations: u64) -> i64 {
        (TAG | (relations & BITS)).cast_signed()
    }

    pub(super) fn untagged(plan: i64) -> Option<u64> {
        let plan = plan.cast_unsigned();
        (plan & !BITS == TAG).then_some(plan & BITS)
    }

    pub(super) fn mixed(id: u64, relations: u64) -> u64 {
        (id ^ (relations & BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)
    }

    /// Of the OIDs of all relations in a query tree, in the order in which they stand.
    pub(super) unsafe fn hash(query: *mut pg_sys::Query) -> u64 {
        let mut hash: u64 = 0;
        // SAFETY: a complete query tree; the visitor gets the hash as its context.
        unsafe {
            visit(query.cast(), (&raw mut hash).cast());
        }
        hash & BITS
    }

    // Nothing in here panics: C frames of the walkers lie between.
    unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        // SAFETY: called by the walkers with nodes, and with the context of `hash`.
        unsafe {
            match tag(node) {
                NodeTag::T_Invalid => false,
                NodeTag::T_Query => query_tree_walker_impl(
                    node.cast(),
                    visit,
                    context,
                    pg_sys::QTW_EXAMINE_RTES_BEFORE as c_int,
                ),
                NodeTag::T_RangeTblEntry => {
                    let entry = node.cast::<pg_sys::RangeTblEntry>();
                    if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                        let hash = &mut *context.cast::<u64>();
                        *hash = (*hash ^ u64::from((*entry).relid.to_u32()))
                            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                            .rotate_left(29);
                    }
                    // The walker goes on into subqueries by itself.
                    false
                }
                _ => expression_tree_walker_impl(node, visit, context),
            }
        }
    }
}
