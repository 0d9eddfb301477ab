//! From a Var of a rewritten tree to the attribute or the expression that it stands for,
//! through subqueries, views, CTEs, joins and groupings, as `querytree::resolve` follows it, but
//! without allocating anything: for what is asked while statements run.

use crate::pg::compat::querytree as compat;
use crate::pg::nodes::{items, length, tag};
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::CStr;

/// Queries in queries, and aliases of aliases: what is deeper is left alone.
pub(super) const MAX_DEPTH: u32 = 32;

/// A query and those around it.
pub(super) struct Scope<'outer> {
    pub(super) query: *mut pg_sys::Query,
    outer: Option<&'outer Scope<'outer>>,
    pub(super) depth: u32,
}

impl<'outer> Scope<'outer> {
    pub(super) fn of(query: *mut pg_sys::Query, outer: Option<&'outer Scope<'outer>>) -> Self {
        Scope {
            query,
            outer,
            depth: outer.map_or(0, |outer| outer.depth + 1),
        }
    }

    /// The scope `levels` further out.
    fn up(&self, levels: u32) -> Option<&Scope<'outer>> {
        let mut scope = self;
        for _ in 0..levels {
            scope = scope.outer?;
        }
        Some(scope)
    }
}

/// Where an expression leads to.
pub(super) enum Leaf<'scope> {
    Attribute(pg_sys::Oid, i16),
    /// No Var, in the scope where it was written.
    Node(*mut pg_sys::Node, &'scope Scope<'scope>),
}

/// Follows a Var to the attribute or the expression that it stands for; of a set operation
/// the first arm's. Relabelling and collations on the way do not count.
pub(super) unsafe fn follow(
    node: *mut pg_sys::Node,
    scope: &Scope<'_>,
    depth: u32,
    end: &mut dyn FnMut(Leaf<'_>),
) {
    // SAFETY: a whole tree; tags say what nodes are.
    unsafe {
        let mut node = node;
        while matches!(tag(node), NodeTag::T_RelabelType | NodeTag::T_CollateExpr) {
            let Some(inner) = below_cast(node) else {
                return;
            };
            node = inner;
        }
        if tag(node) != NodeTag::T_Var {
            return end(Leaf::Node(node, scope));
        }
        if depth > MAX_DEPTH {
            return;
        }
        let variable = &*node.cast::<pg_sys::Var>();
        let (number, place) = (variable.varattno, variable.varno);
        let Some(scope) = scope.up(variable.varlevelsup) else {
            return;
        };
        let Ok(place) = usize::try_from(place) else {
            return;
        };
        let Some(entry) = nth::<pg_sys::RangeTblEntry>((*scope.query).rtable, place) else {
            return;
        };
        let column = usize::try_from(number).unwrap_or(0);
        match (*entry).rtekind {
            pg_sys::RTEKind::RTE_RELATION => end(Leaf::Attribute((*entry).relid, number)),
            pg_sys::RTEKind::RTE_SUBQUERY => {
                follow_output((*entry).subquery, number, scope, depth, end);
            }
            pg_sys::RTEKind::RTE_CTE => {
                let Some(owner) = scope.up((*entry).ctelevelsup) else {
                    return;
                };
                let name = CStr::from_ptr((*entry).ctename);
                let body = items::<pg_sys::CommonTableExpr>((*owner.query).cteList)
                    .find(|&cte| CStr::from_ptr((*cte).ctename) == name)
                    .map(|cte| (*cte).ctequery);
                if let Some(body) = body
                    && tag(body) == NodeTag::T_Query
                {
                    follow_output(body.cast(), number, owner, depth, end);
                }
            }
            pg_sys::RTEKind::RTE_JOIN => {
                if let Some(alias) = nth::<pg_sys::Node>((*entry).joinaliasvars, column)
                    && !alias.is_null()
                {
                    follow(alias, scope, depth + 1, end);
                }
            }
            pg_sys::RTEKind::RTE_VALUES => {
                // Of one row, which the planner pulls up.
                let mut rows = items::<pg_sys::List>((*entry).values_lists);
                if let (Some(row), None) = (rows.next(), rows.next())
                    && let Some(value) = nth(row, column)
                {
                    follow(value, scope, depth + 1, end);
                }
            }
            _ => {
                if let Some(grouped) = nth(compat::group_expressions(entry), column) {
                    follow(grouped, scope, depth + 1, end);
                }
            }
        }
    }
}

/// Follows an output column of a query inside another.
unsafe fn follow_output(
    query: *mut pg_sys::Query,
    number: i16,
    outer: &Scope<'_>,
    depth: u32,
    end: &mut dyn FnMut(Leaf<'_>),
) {
    // SAFETY: a whole tree.
    unsafe {
        if query.is_null() {
            return;
        }
        // A data-modifying CTE returns its RETURNING list.
        let list = if (*query).commandType == pg_sys::CmdType::CMD_SELECT {
            (*query).targetList
        } else {
            (*query).returningList
        };
        let output = items::<pg_sys::TargetEntry>(list)
            .find(|&output| (*output).resno == number && !(*output).resjunk);
        if let Some(output) = output {
            let inner = Scope::of(query, Some(outer));
            follow((*output).expr.cast(), &inner, depth + 1, end);
        }
    }
}

/// The element of a list with this number, from 1.
unsafe fn nth<T>(list: *const pg_sys::List, number: usize) -> Option<*mut T> {
    // SAFETY: null or a list of pointers; within its length.
    unsafe {
        if number == 0 || number > length(list) {
            return None;
        }
        Some((*(*list).elements.add(number - 1)).ptr_value.cast::<T>())
    }
}

/// The argument of a node that changes a value's type or collation; `None` for any other.
pub(super) unsafe fn below_cast(node: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    // SAFETY: a node; the tag says what it is.
    unsafe {
        Some(match tag(node) {
            NodeTag::T_RelabelType => (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
            NodeTag::T_CollateExpr => (*node.cast::<pg_sys::CollateExpr>()).arg.cast(),
            NodeTag::T_CoerceViaIO => (*node.cast::<pg_sys::CoerceViaIO>()).arg.cast(),
            NodeTag::T_CoerceToDomain => (*node.cast::<pg_sys::CoerceToDomain>()).arg.cast(),
            _ => return None,
        })
    }
}
