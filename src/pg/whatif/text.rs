//! A text that somebody else ran, as an analysed tree: what capture would have kept of it.

use super::failure::Failure;
use super::isolate::{Identity, isolated};
use super::memory::Context;
use super::statement::analyse;
use crate::pg::nodes::items;
use indexpilot_model::Oid;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::{CStr, CString};

/// Analyses and rewrites one statement as `user` under `search_path`, and writes the tree as
/// the planner would get it (`nodeToString`). Nothing is planned or run, no lock stays.
/// Parameters get the types that analysis finds for them.
pub fn tree_of_text(sql: &str, user: Oid, search_path: &str) -> Result<String, Failure> {
    let zero = |_| {
        Failure::new(
            PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
            "a statement must not contain a zero byte",
        )
    };
    let text = CString::new(sql).map_err(zero)?;
    let identity = Identity {
        user: Some(pg_sys::Oid::from(user)),
        settings: vec![(
            c"search_path".to_owned(),
            CString::new(search_path).map_err(zero)?,
        )],
    };
    let scratch = Context::new(c"indexpilot text");
    scratch.within(|| {
        isolated(&identity, || {
            // SAFETY: within a transaction; the result is copied before the context goes.
            unsafe {
                let (rewritten, _) = analyse(&text)?;
                let mut queries = items::<pg_sys::Query>(rewritten);
                let (Some(query), None) = (queries.next(), queries.next()) else {
                    return Err(Failure::new(
                        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                        "rules make several statements of it",
                    ));
                };
                let tree = pg_sys::nodeToString(query.cast());
                Ok(CStr::from_ptr(tree).to_string_lossy().into_owned())
            }
        })
    })
}
