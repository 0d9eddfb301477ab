//! Functions of the server, declared anew: pgrx's bindings catch every ERROR and raise it
//! again, which costs time, fields of the error, and a backtrace. These let it through, so no
//! value with a destructor may be alive in the frames that call them.

use pgrx::pg_sys;
use std::ffi::{c_char, c_int, c_void};

unsafe extern "C-unwind" {
    pub fn standard_planner(
        query: *mut pg_sys::Query,
        text: *const c_char,
        options: c_int,
        parameters: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;
    pub fn standard_ExecutorStart(desc: *mut pg_sys::QueryDesc, flags: c_int);
    pub fn standard_ExecutorFinish(desc: *mut pg_sys::QueryDesc);
    pub fn standard_ExecutorEnd(desc: *mut pg_sys::QueryDesc);
    pub fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        parameters: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
    pub fn FunctionCall2Coll(
        function: *mut pg_sys::FmgrInfo,
        collation: pg_sys::Oid,
        first: pg_sys::Datum,
        second: pg_sys::Datum,
    ) -> pg_sys::Datum;
    pub fn GetUserId() -> pg_sys::Oid;
    pub fn GetSessionUserId() -> pg_sys::Oid;
    pub fn CreateCommandTag(node: *mut pg_sys::Node) -> pg_sys::CommandTag::Type;
    pub fn GetCommandTagName(tag: pg_sys::CommandTag::Type) -> *const c_char;
    pub fn defGetString(element: *mut pg_sys::DefElem) -> *mut c_char;

    pub fn IsTransactionState() -> bool;
    pub fn IsInParallelMode() -> bool;
    pub fn GetCurrentTransactionNestLevel() -> c_int;
    pub fn BeginInternalSubTransaction(name: *const c_char);
    pub fn ReleaseCurrentSubTransaction();
    pub fn RollbackAndReleaseCurrentSubTransaction();

    pub fn get_database_oid(name: *const c_char, missing_ok: bool) -> pg_sys::Oid;
    pub fn get_extension_oid(name: *const c_char, missing_ok: bool) -> pg_sys::Oid;
    pub fn get_namespace_oid(name: *const c_char, missing_ok: bool) -> pg_sys::Oid;
    pub fn get_relname_relid(name: *const c_char, schema: pg_sys::Oid) -> pg_sys::Oid;
    pub fn get_rel_namespace(relation: pg_sys::Oid) -> pg_sys::Oid;
    pub fn get_rel_relkind(relation: pg_sys::Oid) -> c_char;
    pub fn get_rel_name(relation: pg_sys::Oid) -> *mut c_char;
    pub fn get_namespace_name(schema: pg_sys::Oid) -> *mut c_char;
    pub fn get_attnum(relation: pg_sys::Oid, name: *const c_char) -> i16;
    pub fn get_opname(operator: pg_sys::Oid) -> *mut c_char;
    pub fn get_oprrest(operator: pg_sys::Oid) -> pg_sys::Oid;
    pub fn get_attname(relation: pg_sys::Oid, number: i16, missing_ok: bool) -> *mut c_char;
    pub fn isTempOrTempToastNamespace(schema: pg_sys::Oid) -> bool;

    pub fn palloc0(size: usize) -> *mut c_void;
    pub fn pfree(pointer: *mut c_void);
    pub fn lcons(datum: *mut c_void, list: *mut pg_sys::List) -> *mut pg_sys::List;
    pub fn nodeToString(node: *const c_void) -> *mut c_char;
    pub fn stack_is_too_deep() -> bool;

    pub fn MemoryContextAllocExtended(
        context: pg_sys::MemoryContext,
        size: usize,
        flags: c_int,
    ) -> *mut c_void;
    pub fn errstart(level: c_int, domain: *const c_char) -> bool;
    pub fn errcode(sqlstate: c_int) -> c_int;
    pub fn errmsg_internal(format: *const c_char, ...) -> c_int;
    pub fn errdetail_internal(format: *const c_char, ...) -> c_int;
    pub fn errhint(format: *const c_char, ...) -> c_int;
    pub fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int;
}

const CLOCK_MONOTONIC: c_int = 1;

/// The monotonic clock.
#[inline(always)]
pub unsafe fn nanoseconds() -> u64 {
    let mut time = TimeSpec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: fills the structure; this clock always exists.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    (time.seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.nanoseconds as u64)
}
