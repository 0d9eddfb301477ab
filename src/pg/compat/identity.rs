//! What the majors do differently with query identifiers, and what newer ones add to query
//! trees (`pg::identity`).
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "every function here reads a node of the valid tree that `pg::identity` walks"
)]

use crate::pg::identity::Hasher;
#[cfg(not(feature = "pg15"))]
use crate::pg::identity::fields;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::c_int;

#[cfg(not(feature = "pg18"))]
type QueryId = u64;
#[cfg(feature = "pg18")]
type QueryId = i64;

unsafe extern "C-unwind" {
    // Our own declaration: the binding would guard against an ERROR that this never raises.
    fn pgstat_report_query_id(id: QueryId, force: bool);
}

/// The identifier that the server or another library gave; 0 is none.
///
/// # Safety
/// Points to a query.
#[inline(always)]
#[allow(clippy::unnecessary_cast, reason = "signed from 18 on")]
pub unsafe fn given(query: *const pg_sys::Query) -> u64 {
    (*query).queryId as u64
}

/// Whether the server identifies no queries and was not told that none are to be identified
/// (queryjumble.h, IsQueryIdEnabled).
///
/// # Safety
/// In a backend.
#[inline(always)]
pub unsafe fn nobody_identifies() -> bool {
    use pg_sys::ComputeQueryIdType::{COMPUTE_QUERY_ID_AUTO, COMPUTE_QUERY_ID_REGRESS};
    let asked = pg_sys::compute_query_id;
    !pg_sys::query_id_enabled
        && (asked == COMPUTE_QUERY_ID_AUTO as c_int || asked == COMPUTE_QUERY_ID_REGRESS as c_int)
}

/// Makes an identity the query's identifier, and that of the session's activity where a client
/// sent the statement: functions that planning folds would report theirs first.
///
/// # Safety
/// A query that is about to be planned.
#[inline(always)]
pub unsafe fn show(query: *mut pg_sys::Query, id: u64, top_level: bool) {
    #[cfg(not(feature = "pg18"))]
    {
        (*query).queryId = id;
    }
    #[cfg(feature = "pg18")]
    {
        (*query).queryId = id.cast_signed();
    }
    if top_level {
        pgstat_report_query_id((*query).queryId, false);
    }
}

/// How a row comparison compares.
#[inline(always)]
pub unsafe fn row_comparison(comparison: *const pg_sys::RowCompareExpr) -> u32 {
    #[cfg(not(feature = "pg18"))]
    {
        (*comparison).rctype
    }
    #[cfg(feature = "pg18")]
    {
        (*comparison).cmptype
    }
}

/// For which rows an action of MERGE is.
#[inline(always)]
pub unsafe fn merge_match(action: *const pg_sys::MergeAction) -> u32 {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    {
        u32::from((*action).matched)
    }
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    {
        (*action).matchKind
    }
}

/// What a query has beside the parts that it has in all majors.
#[inline(always)]
pub unsafe fn query_parts(hasher: &mut Hasher, query: *const pg_sys::Query) {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let _ = (hasher, query);
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    if !(*query).mergeJoinCondition.is_null() {
        hasher.child((*query).mergeJoinCondition);
    }
}

/// What a field reference has more.
#[inline(always)]
pub unsafe fn var_parts(hasher: &mut Hasher, var: &pg_sys::Var) {
    #[cfg(not(feature = "pg18"))]
    let _ = (hasher, var);
    #[cfg(feature = "pg18")]
    if var.varreturningtype != pg_sys::VarReturningType::VAR_RETURNING_DEFAULT {
        hasher.field(var.varreturningtype);
    }
}

/// Range table entries of kinds that not all majors have.
#[inline(always)]
pub unsafe fn entry_parts(hasher: &mut Hasher, entry: *const pg_sys::RangeTblEntry) {
    #[cfg(not(feature = "pg18"))]
    let _ = (hasher, entry);
    #[cfg(feature = "pg18")]
    hasher.child((*entry).groupexprs.cast());
}

/// What XMLTABLE and JSON_TABLE have more.
pub unsafe fn table_function_parts(hasher: &mut Hasher, table: *mut pg_sys::TableFunc) {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let _ = (hasher, table);
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    fields!(hasher, table, TableFunc: functype; colvalexprs, passingvalexprs, plan);
}

/// Adds a node that not all majors have; false for one that none has.
pub unsafe fn newer_node(hasher: &mut Hasher, node: *mut pg_sys::Node, kind: NodeTag) -> bool {
    #[cfg(not(feature = "pg15"))]
    match kind {
        NodeTag::T_JsonFormat => {
            fields!(hasher, node, JsonFormat: format_type, encoding;);
            return true;
        }
        NodeTag::T_JsonReturning => {
            fields!(hasher, node, JsonReturning: typid, typmod; format);
            return true;
        }
        NodeTag::T_JsonValueExpr => {
            fields!(hasher, node, JsonValueExpr: ; raw_expr, formatted_expr, format);
            return true;
        }
        NodeTag::T_JsonConstructorExpr => {
            fields!(hasher, node, JsonConstructorExpr: type_, absent_on_null, unique;
                args, func, coercion, returning);
            return true;
        }
        NodeTag::T_JsonIsPredicate => {
            fields!(hasher, node, JsonIsPredicate: item_type, unique_keys; expr, format);
            return true;
        }
        _ => {}
    }
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    match kind {
        NodeTag::T_MergeSupportFunc => {
            fields!(hasher, node, MergeSupportFunc: msftype;);
            return true;
        }
        NodeTag::T_JsonBehavior => {
            fields!(hasher, node, JsonBehavior: btype, coerce; expr);
            return true;
        }
        NodeTag::T_JsonExpr => {
            fields!(hasher, node, JsonExpr: op, wrapper, omit_quotes;
                formatted_expr, format, path_spec, returning, passing_names, passing_values,
                on_empty, on_error);
            return true;
        }
        NodeTag::T_JsonTablePath => {
            fields!(hasher, node, JsonTablePath: ; value);
            return true;
        }
        NodeTag::T_JsonTablePathScan => {
            fields!(hasher, node, JsonTablePathScan: errorOnError, colMin, colMax; path, child);
            return true;
        }
        NodeTag::T_JsonTableSiblingJoin => {
            fields!(hasher, node, JsonTableSiblingJoin: ; lplan, rplan);
            return true;
        }
        _ => {}
    }
    #[cfg(feature = "pg18")]
    if kind == NodeTag::T_ReturningExpr {
        fields!(hasher, node, ReturningExpr: retlevelsup, retold; retexpr);
        return true;
    }
    #[cfg(feature = "pg15")]
    let _ = (hasher, node, kind);
    false
}
