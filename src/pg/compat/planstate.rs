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

/// Calls `visit` for every variable in an expression of a plan, those below aggregates excepted.
///
/// # Safety
/// As [`walk`]; a node or a list of nodes, or null.
pub unsafe fn variables(node: *mut pg_sys::Node, mut visit: &mut dyn FnMut(*const pg_sys::Var)) {
    unsafe extern "C-unwind" fn step(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: the context is the one handed over below; the tag says what the node is.
        unsafe {
            match (*node).type_ {
                NodeTag::T_Var => {
                    let visit = &mut *context.cast::<&mut dyn FnMut(*const pg_sys::Var)>();
                    visit(node.cast());
                    false
                }
                NodeTag::T_Aggref | NodeTag::T_WindowFunc | NodeTag::T_GroupingFunc => false,
                _ => expression_tree_walker(node, step, context),
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        step(node, (&raw mut visit).cast());
    }
}

/// Calls `visit` for every attribute of a range-table entry in an expression of a plan.
///
/// # Safety
/// As [`variables`].
pub unsafe fn attributes(node: *mut pg_sys::Node, relation: c_int, visit: &mut dyn FnMut(c_int)) {
    // SAFETY: the caller's promise; what is visited is a variable.
    unsafe {
        variables(node, &mut |variable| {
            if number_of(variable) == relation && (*variable).varlevelsup == 0 {
                visit(c_int::from((*variable).varattno));
            }
        });
    }
}

/// The range-table index of a variable, or one of the special numbers.
///
/// # Safety
/// A variable.
#[allow(clippy::unnecessary_cast, reason = "unsigned until 15")]
pub unsafe fn number_of(variable: *const pg_sys::Var) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*variable).varno as c_int }
}

/// Whether an expression of a plan takes a value that the executor computes elsewhere (the outer
/// side of a nested loop, a subplan).
///
/// # Safety
/// As [`variables`].
pub unsafe fn has_executor_parameter(node: *mut pg_sys::Node) -> bool {
    unsafe extern "C-unwind" fn step(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: the tag says what the node is.
        unsafe {
            if (*node).type_ == NodeTag::T_Param {
                return (*node.cast::<pg_sys::Param>()).paramkind == pg_sys::ParamKind::PARAM_EXEC;
            }
            expression_tree_walker(node, step, context)
        }
    }
    // SAFETY: the caller's promise.
    unsafe { step(node, std::ptr::null_mut()) }
}
