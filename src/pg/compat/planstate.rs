//! Walking running plans and the expressions in them. The walkers of the server are functions
//! until 15 and macros over `…_impl` from 16 on.

use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{c_int, c_void};

type StateWalker = unsafe extern "C-unwind" fn(*mut pg_sys::PlanState, *mut c_void) -> bool;
type NodeWalker = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> bool;

// Declared anew: an ERROR (too deep a plan) passes as the server raised it.
unsafe extern "C-unwind" {
    #[cfg_attr(not(feature = "pg15"), link_name = "planstate_tree_walker_impl")]
    fn planstate_tree_walker(
        state: *mut pg_sys::PlanState,
        walker: StateWalker,
        context: *mut c_void,
    ) -> bool;
    #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_walker_impl")]
    fn expression_tree_walker(
        node: *mut pg_sys::Node,
        walker: NodeWalker,
        context: *mut c_void,
    ) -> bool;
}

/// Calls `visit` for every node of a running plan, subplans included.
///
/// # Safety
/// A plan's state. `visit` does not panic; an ERROR jumps over it.
pub unsafe fn walk(
    state: *mut pg_sys::PlanState,
    mut visit: &mut dyn FnMut(*mut pg_sys::PlanState),
) {
    unsafe extern "C-unwind" fn step(state: *mut pg_sys::PlanState, context: *mut c_void) -> bool {
        // SAFETY: the context is the one handed over below.
        unsafe {
            let visit = &mut *context.cast::<&mut dyn FnMut(*mut pg_sys::PlanState)>();
            visit(state);
            planstate_tree_walker(state, step, context)
        }
    }
    if state.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        step(state, (&raw mut visit).cast());
    }
}

struct Search<'a> {
    relation: c_int,
    visit: &'a mut dyn FnMut(c_int),
}

/// Calls `visit` for every attribute of a range-table entry in an expression of a plan.
///
/// # Safety
/// As [`walk`]; a node or a list of nodes, or null.
pub unsafe fn attributes(node: *mut pg_sys::Node, relation: c_int, visit: &mut dyn FnMut(c_int)) {
    unsafe extern "C-unwind" fn step(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: the context is the one handed over below; the tag says what the node is.
        unsafe {
            if (*node).type_ == NodeTag::T_Var {
                let variable = &*node.cast::<pg_sys::Var>();
                let search = &mut *context.cast::<Search<'_>>();
                #[allow(clippy::unnecessary_cast, reason = "unsigned until 15")]
                if variable.varno as c_int == search.relation && variable.varlevelsup == 0 {
                    (search.visit)(c_int::from(variable.varattno));
                }
                return false;
            }
            expression_tree_walker(node, step, context)
        }
    }
    let mut search = Search { relation, visit };
    // SAFETY: the caller's promise.
    unsafe {
        step(node, (&raw mut search).cast());
    }
}
