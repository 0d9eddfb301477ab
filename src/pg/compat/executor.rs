//! Executor entry points: signatures that changed, and the rows a statement has processed.

use pgrx::pg_sys;

/// What the previous ExecutorRun hook or the standard function is called with.
#[derive(Clone, Copy)]
pub struct RunArguments {
    /// The query.
    pub desc: *mut pg_sys::QueryDesc,
    /// Scan direction.
    pub direction: pg_sys::ScanDirection::Type,
    /// Row limit, 0 for all.
    pub count: u64,
    /// The plan is run once (15 to 17).
    pub once: bool,
}

unsafe extern "C-unwind" {
    // Our own declaration: the binding would turn an ERROR into a panic and back.
    #[cfg(not(feature = "pg18"))]
    fn standard_ExecutorRun(
        desc: *mut pg_sys::QueryDesc,
        direction: pg_sys::ScanDirection::Type,
        count: u64,
        once: bool,
    );
    #[cfg(feature = "pg18")]
    fn standard_ExecutorRun(
        desc: *mut pg_sys::QueryDesc,
        direction: pg_sys::ScanDirection::Type,
        count: u64,
    );
}

/// Calls the hook that was there before ours, or the standard function. An ERROR passes
/// through: no destructor may be alive in the frames of the callers.
///
/// # Safety
/// The arguments are those of our own hook.
#[inline(always)]
pub unsafe fn run_next(previous: pg_sys::ExecutorRun_hook_type, arguments: RunArguments) {
    let RunArguments {
        desc,
        direction,
        count,
        once,
    } = arguments;
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        match previous {
            Some(previous) => previous(desc, direction, count, once),
            None => standard_ExecutorRun(desc, direction, count, once),
        }
        #[cfg(feature = "pg18")]
        {
            let _ = once;
            match previous {
                Some(previous) => previous(desc, direction, count),
                None => standard_ExecutorRun(desc, direction, count),
            }
        }
    }
}

/// Defines `$name`, an ExecutorRun hook that hands its arguments to `$body`.
macro_rules! executor_run_hook {
    ($name:ident, $body:path) => {
        #[cfg(not(feature = "pg18"))]
        unsafe extern "C-unwind" fn $name(
            desc: *mut pgrx::pg_sys::QueryDesc,
            direction: pgrx::pg_sys::ScanDirection::Type,
            count: u64,
            once: bool,
        ) {
            // SAFETY: called by the executor with its arguments.
            unsafe {
                $body(crate::pg::compat::executor::RunArguments {
                    desc,
                    direction,
                    count,
                    once,
                });
            }
        }
        #[cfg(feature = "pg18")]
        unsafe extern "C-unwind" fn $name(
            desc: *mut pgrx::pg_sys::QueryDesc,
            direction: pgrx::pg_sys::ScanDirection::Type,
            count: u64,
        ) {
            // SAFETY: called by the executor with its arguments.
            unsafe {
                $body(crate::pg::compat::executor::RunArguments {
                    desc,
                    direction,
                    count,
                    once: false,
                });
            }
        }
    };
}
pub(crate) use executor_run_hook;

/// Rows processed so far. 15 forgets earlier fetches of a cursor (es_processed is of the last
/// ExecutorRun); 16 and later sum them up.
///
/// # Safety
/// The query has been started and not ended.
#[inline(always)]
pub unsafe fn rows(desc: *const pg_sys::QueryDesc) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        {
            (*(*desc).estate).es_processed
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*(*desc).estate).es_total_processed
        }
    }
}

/// The statement's identifier, as computed after parse analysis; 0 is none.
///
/// # Safety
/// Points to a planned statement.
#[inline(always)]
#[allow(clippy::unnecessary_cast, reason = "signed from 18 on")]
pub unsafe fn query_id(statement: *const pg_sys::PlannedStmt) -> u64 {
    // SAFETY: the caller's promise. Signed from 18 on; the bits are what counts.
    unsafe { (*statement).queryId as u64 }
}
