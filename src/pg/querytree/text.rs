//! From a statement's text to its analysed, rewritten queries, as the caller would run it.

use crate::pg::nodes::items;
use indexpilot_model::query::QueryShape;
use pgrx::pg_sys;
use std::ffi::CString;

/// Parses, analyses and rewrites every statement of a text, with types of `$1`, `$2`… inferred.
/// Utility statements are left out. Trees live in the current memory context.
///
/// # Safety
/// A transaction is open and a snapshot is set; errors of the statements are raised as usual,
/// so this is called below a pgrx guard and as the user who is to run the text.
pub unsafe fn analysed(sql: &CString) -> Vec<*mut pg_sys::Query> {
    let mut queries = Vec::new();
    for raw in items::<pg_sys::RawStmt>(pg_sys::pg_parse_query(sql.as_ptr())) {
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        let rewritten = pg_sys::pg_analyze_and_rewrite_varparams(
            raw,
            sql.as_ptr(),
            &mut types,
            &mut count,
            std::ptr::null_mut(),
        );
        queries.extend(
            items::<pg_sys::Query>(rewritten)
                .filter(|&query| (*query).commandType != pg_sys::CmdType::CMD_UTILITY),
        );
    }
    queries
}

/// The shapes of all plannable statements in a text of the caller's own.
/// Errors of the text (syntax, missing relations, rights) are raised as the server raises them.
pub fn shapes_of_text(sql: &str) -> Vec<QueryShape> {
    let Ok(sql) = CString::new(sql) else {
        return Vec::new();
    };
    // SAFETY: called from a SQL function, so a transaction and a snapshot are there and pgrx
    // guards us; the trees were just made by the server.
    unsafe {
        analysed(&sql)
            .into_iter()
            .map(|query| super::shape(query, &[]))
            .collect()
    }
}
