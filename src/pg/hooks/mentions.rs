//! Whether a statement can name its tenant at all: reading its shape costs a look-up for each
//! name in it, and most statements of most databases have no tenant to be found.

use crate::pg::compat::querytree::{expression_tree_walker, query_tree_walker};
use crate::pg::nodes::tag;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{CString, c_int, c_void};

/// Relations that are looked at; a statement with more of them may name anything.
const MOST: usize = 64;
/// pg_proc.oid of current_setting(text) and current_setting(text, bool).
const CURRENT_SETTING: [u32; 2] = [2077, 3294];

struct Mentioned {
    relations: [pg_sys::Oid; MOST],
    count: usize,
    reads_settings: bool,
}

/// Whether a relation of the statement, at any depth, has an attribute of that name, or, where
/// settings tell tenants, whether the statement reads a setting.
///
/// # Safety
/// The planner's argument, in a transaction, below a guard: catalog look-ups may raise.
pub(super) unsafe fn any(query: *mut pg_sys::Query, column: &str, by_setting: bool) -> bool {
    let mut mentioned = Mentioned {
        relations: [pg_sys::InvalidOid; MOST],
        count: 0,
        reads_settings: false,
    };
    // SAFETY: a whole tree; the visitor gets this structure as its context.
    unsafe {
        visit(query.cast(), (&raw mut mentioned).cast());
    }
    if by_setting && mentioned.reads_settings || mentioned.count > MOST {
        return true;
    }
    let Ok(name) = CString::new(column) else {
        return true;
    };
    !column.is_empty()
        && mentioned.relations[..mentioned.count]
            .iter()
            // SAFETY: a catalog look-up; 0 where there is no such attribute.
            .any(|&relation| unsafe { pg_sys::get_attnum(relation, name.as_ptr()) } != 0)
}

// Nothing in here panics: C frames of the walkers lie between.
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: called by the walkers with nodes, and with the context of `any`.
    unsafe {
        let mentioned = context.cast::<Mentioned>();
        match tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_Query => query_tree_walker(
                node.cast(),
                visit,
                context,
                pg_sys::QTW_EXAMINE_RTES_BEFORE as c_int,
            ),
            NodeTag::T_RangeTblEntry => {
                let entry = node.cast::<pg_sys::RangeTblEntry>();
                if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                    if (*mentioned).count < MOST {
                        (*mentioned).relations[(*mentioned).count] = (*entry).relid;
                    }
                    (*mentioned).count += 1;
                }
                // The walker goes on into subqueries by itself.
                false
            }
            kind => {
                if kind == NodeTag::T_FuncExpr {
                    let function = (*node.cast::<pg_sys::FuncExpr>()).funcid.to_u32();
                    (*mentioned).reads_settings |= CURRENT_SETTING.contains(&function);
                }
                expression_tree_walker(node, visit, context)
            }
        }
    }
}
