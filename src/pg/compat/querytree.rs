//! Parts of the analysed query tree that moved between versions.

use pgrx::pg_sys;

/// The condition that joins target and source of MERGE, where it is not in the join tree
/// (17 and later keep it in `Query.mergeJoinCondition`; before, the join tree's quals are it).
///
/// # Safety
/// `query` points to an analysed query.
pub unsafe fn merge_join_condition(query: *const pg_sys::Query) -> *mut pg_sys::Node {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    {
        let _ = query;
        std::ptr::null_mut()
    }
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    {
        // SAFETY: the caller's promise.
        unsafe { (*query).mergeJoinCondition }
    }
}

/// The expressions behind the columns of an RTE_GROUP entry (18 and later); NIL otherwise.
///
/// # Safety
/// `entry` points to a range table entry.
pub unsafe fn group_expressions(entry: *const pg_sys::RangeTblEntry) -> *mut pg_sys::List {
    #[cfg(not(feature = "pg18"))]
    {
        let _ = entry;
        std::ptr::null_mut()
    }
    #[cfg(feature = "pg18")]
    {
        // SAFETY: the caller's promise.
        unsafe {
            if (*entry).rtekind == pg_sys::RTEKind::RTE_GROUP {
                (*entry).groupexprs
            } else {
                std::ptr::null_mut()
            }
        }
    }
}

/// Whether a sort by this operator is a descending one (the `>` of an ordering); false also for
/// an operator that belongs to none.
///
/// # Safety
/// Within a transaction.
pub unsafe fn sorts_descending(operator: pg_sys::Oid) -> bool {
    let (mut family, mut input) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: a catalog lookup into variables of our own. lsyscache.c speaks of the strategy of a
    // B-tree until 17, of a comparison type from 18 on.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            let mut strategy = 0;
            pg_sys::get_ordering_op_properties(operator, &mut family, &mut input, &mut strategy)
                && u32::try_from(strategy) == Ok(pg_sys::BTGreaterStrategyNumber)
        }
        #[cfg(feature = "pg18")]
        {
            let mut comparison = pg_sys::CompareType::COMPARE_INVALID;
            pg_sys::get_ordering_op_properties(operator, &mut family, &mut input, &mut comparison)
                && comparison == pg_sys::CompareType::COMPARE_GT
        }
    }
}

/// Called by the server's walkers for each node; true ends the walk.
pub type Visitor = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut std::ffi::c_void) -> bool;

// Our own declarations: the bindings would turn an ERROR into a panic, amid frames of C.
unsafe extern "C-unwind" {
    /// The server's walker over queries; `flags` are those of nodeFuncs.h.
    #[cfg_attr(not(feature = "pg15"), link_name = "query_tree_walker_impl")]
    pub fn query_tree_walker(
        query: *mut pg_sys::Query,
        visit: Visitor,
        context: *mut std::ffi::c_void,
        flags: std::ffi::c_int,
    ) -> bool;
    /// The server's walker over expressions.
    #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_walker_impl")]
    pub fn expression_tree_walker(
        node: *mut pg_sys::Node,
        visit: Visitor,
        context: *mut std::ffi::c_void,
    ) -> bool;
}
