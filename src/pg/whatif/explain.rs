//! A plan for people, by the server's own EXPLAIN machinery.

use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};

thread_local! {
    /// Names of hypothetical indexes while a plan is being shown.
    static NAMES: RefCell<HashMap<u32, CString>> = RefCell::new(HashMap::new());
}

static mut PREVIOUS_INDEX_NAME: pg_sys::explain_get_index_name_hook_type = None;

/// Puts our hook in front of whatever is there. Once, from `_PG_init`.
pub(super) fn install() {
    // SAFETY: _PG_init runs once, in the main thread.
    unsafe {
        PREVIOUS_INDEX_NAME = pg_sys::explain_get_index_name_hook;
        pg_sys::explain_get_index_name_hook = Some(index_name);
    }
}

unsafe extern "C-unwind" fn index_name(index: pg_sys::Oid) -> *const std::ffi::c_char {
    let ours = NAMES.with(|names| {
        names
            .try_borrow()
            .ok()
            .and_then(|names| names.get(&index.to_u32()).map(|name| name.as_ptr()))
    });
    // SAFETY: the name outlives the call of EXPLAIN, during which the map does not change.
    unsafe {
        match (ours, PREVIOUS_INDEX_NAME) {
            (Some(name), _) => name,
            (None, Some(previous)) => previous(index),
            (None, None) => std::ptr::null(),
        }
    }
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As EXPLAIN shows it to people.
    Text,
    /// As EXPLAIN (FORMAT JSON) does.
    Json,
}

/// The plan as EXPLAIN shows it. `names` are those of hypothetical indexes by
/// their OID in the plan. The executor is only asked for the plan's state tree, directly and
/// not through its hooks, and opens no index then (EXEC_FLAG_EXPLAIN_ONLY).
///
/// # Safety
/// Within [`super::isolate::isolated`]; the statement was planned here with `params`.
pub(super) unsafe fn show(
    format: Format,
    stmt: *mut pg_sys::PlannedStmt,
    source: &CStr,
    params: pg_sys::ParamListInfo,
    names: HashMap<u32, CString>,
) -> String {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            NAMES.with_borrow_mut(HashMap::clear);
        }
    }
    NAMES.set(names);
    let _forget = Forget;
    // SAFETY: as EXPLAIN does it (explain.c, ExplainOnePlan).
    unsafe { print(format, stmt, source.as_ptr(), params) }
}

unsafe fn print(
    format: Format,
    stmt: *mut pg_sys::PlannedStmt,
    source: *const std::ffi::c_char,
    params: pg_sys::ParamListInfo,
) -> String {
    // SAFETY: see `show`.
    unsafe {
        let state = pg_sys::NewExplainState();
        (*state).format = match format {
            Format::Text => pg_sys::ExplainFormat::EXPLAIN_FORMAT_TEXT,
            Format::Json => pg_sys::ExplainFormat::EXPLAIN_FORMAT_JSON,
        };
        (*state).costs = true;
        let desc = pg_sys::CreateQueryDesc(
            stmt,
            source,
            pg_sys::GetActiveSnapshot(),
            std::ptr::null_mut(),
            pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone),
            params,
            std::ptr::null_mut(),
            0,
        );
        pg_sys::standard_ExecutorStart(desc, pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32);
        pg_sys::ExplainBeginOutput(state);
        let query = c"Query".as_ptr();
        pg_sys::ExplainOpenGroup(query, std::ptr::null(), true, state);
        pg_sys::ExplainPrintPlan(state, desc);
        pg_sys::ExplainCloseGroup(query, std::ptr::null(), true, state);
        pg_sys::ExplainEndOutput(state);
        pg_sys::standard_ExecutorEnd(desc);
        pg_sys::FreeQueryDesc(desc);
        CStr::from_ptr((*(*state).str_).data)
            .to_string_lossy()
            .into_owned()
    }
}
