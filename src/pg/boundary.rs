//! What our own code may let out of a hook: the server's errors with every field, never a
//! panic.
//!
//! Three ways, in the order in which they are to be preferred:
//!
//! - Calls of [`super::raw`] stand in frames without destructors and outside of everything
//!   here: an ERROR jumps over them to the server's own handler, as if we were not there.
//! - [`contained`] is for code of ours that calls nothing of the server that could raise.
//!   A panic ends there.
//! - [`tolerated`] is for work whose failure must not become the statement's: it runs in a
//!   subtransaction, whose rollback gives back locks, pins, snapshots and memory. A cancel
//!   is not ours to tolerate; it is raised again.

use super::raw;
use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};

/// Why tolerated work gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No subtransaction can start here (no transaction, or a parallel operation runs).
    NotNow,
    /// It failed; the same again would fail again.
    Failed,
}

/// An ERROR that is to be raised again.
struct Kept {
    sqlstate: c_int,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// Runs code of ours that calls nothing that raises; `None` after a panic, which is said in
/// the server's log. An ERROR of the server that came nevertheless is raised again. The
/// caller's frame has no destructors.
#[inline(always)]
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => Some(value),
        Err(payload) => {
            after_panic(payload);
            None
        }
    }
}

#[cold]
#[inline(never)]
fn after_panic(payload: Box<dyn std::any::Any + Send>) {
    if let Some(kept) = server_error(payload) {
        // SAFETY: the payload is gone; no destructor is alive in this frame.
        unsafe { raise(kept) }
    }
    say("a panic was caught", None);
}

/// The server's error in a payload of pgrx; `None` for a panic of ours.
fn server_error(payload: Box<dyn std::any::Any + Send>) -> Option<Kept> {
    match payload.downcast::<CaughtError>() {
        Ok(caught) => match *caught {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                Some(keep(&report))
            }
            CaughtError::RustPanic { .. } => None,
        },
        Err(payload) => payload
            .downcast::<ErrorReportWithLevel>()
            .ok()
            .map(|report| keep(&report)),
    }
}

fn keep(report: &ErrorReportWithLevel) -> Kept {
    Kept {
        sqlstate: report.sql_error_code() as c_int,
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
        hint: report.hint().map(str::to_owned),
    }
}

/// A copy in ErrorContext, which the server empties once the error is dealt with; null where
/// memory has run out.
pub fn copied(text: &CString) -> *mut c_char {
    let bytes = text.as_bytes_with_nul();
    // SAFETY: the context exists in every process; with this flag nothing is raised.
    unsafe {
        let place = raw::MemoryContextAllocExtended(
            pg_sys::ErrorContext,
            bytes.len(),
            pg_sys::MCXT_ALLOC_NO_OOM as c_int,
        )
        .cast::<c_char>();
        if !place.is_null() {
            std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), place, bytes.len());
        }
        place
    }
}

/// The texts of an ERROR in memory of the server.
#[derive(Clone, Copy)]
struct Ready {
    sqlstate: c_int,
    message: *const c_char,
    detail: *const c_char,
    hint: *const c_char,
}

impl Ready {
    /// Made last: ErrorContext is emptied whenever an error is dealt with.
    fn of(kept: Kept) -> Ready {
        let copy = |text: Option<String>| {
            text.map_or(std::ptr::null(), |text| {
                let text = CString::new(text.replace('\0', "")).unwrap_or_default();
                copied(&text).cast_const()
            })
        };
        Ready {
            sqlstate: kept.sqlstate,
            message: copy(Some(kept.message)),
            detail: copy(kept.detail),
            hint: copy(kept.hint),
        }
    }
}

/// Raises an ERROR as the server does (elog.h, ereport): it jumps out of here. The CONTEXT is
/// made anew by the callbacks of whoever is above us.
unsafe fn raise(kept: Kept) -> ! {
    let ready = Ready::of(kept);
    // SAFETY: errstart says yes at this level; texts are null or NUL-terminated; nothing in
    // this frame has a destructor any more.
    unsafe {
        raw::errstart(pgrx::PgLogLevel::ERROR as c_int, std::ptr::null());
        raw::errcode(ready.sqlstate);
        let message = if ready.message.is_null() {
            c"out of memory".as_ptr()
        } else {
            ready.message
        };
        raw::errmsg_internal(c"%s".as_ptr(), message);
        if !ready.detail.is_null() {
            raw::errdetail_internal(c"%s".as_ptr(), ready.detail);
        }
        if !ready.hint.is_null() {
            raw::errhint(c"%s".as_ptr(), ready.hint);
        }
        raw::errfinish(c"boundary.rs".as_ptr(), line!() as c_int, c"raise".as_ptr());
    }
    unreachable!("an ERROR does not return")
}

/// Runs work of ours that may fail, in a subtransaction: kept when it succeeds, rolled back
/// when it does not. A cancel of the statement, by whomever, goes on its way.
///
/// # Errors
/// That it could not be tried, or failed (which is said in the log, without the server's
/// words: they could hold values).
pub fn tolerated<T>(work: impl FnOnce() -> T) -> Result<T, Miss> {
    // SAFETY: plain globals of the main thread, read and put back around the subtransaction
    // the way plpgsql's exception blocks do (pl_exec.c, exec_stmt_block). What is called raw
    // may raise while nothing with a destructor is alive but `work`, which borrows.
    unsafe {
        if !raw::IsTransactionState() || raw::IsInParallelMode() {
            return Err(Miss::NotNow);
        }
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        let holdoff = pg_sys::InterruptHoldoffCount;
        raw::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
            .catch_others(|caught| Err(judge(&caught)))
            .catch_rust_panic(|caught| Err(judge(&caught)))
            .execute();
        if outcome.is_ok() {
            raw::ReleaseCurrentSubTransaction();
        } else {
            raw::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::InterruptHoldoffCount = holdoff;
        }
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        match outcome {
            Ok(value) => Ok(value),
            Err(None) => Err(Miss::Failed),
            Err(Some(kept)) => raise(kept),
        }
    }
}

/// What must not be swallowed; `None` where the failure stays with us.
fn judge(caught: &CaughtError) -> Option<Kept> {
    match caught {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            if is_interrupt(report.sql_error_code() as c_int) {
                return Some(keep(report));
            }
            say("the server raised an error", Some(report));
        }
        CaughtError::RustPanic { .. } => say("a panic was caught", None),
    }
    None
}

/// Whether an error means that somebody wants the statement or the session to end: operator
/// intervention (class 57: cancels, timeouts, shutdowns), and a conflict with recovery.
fn is_interrupt(sqlstate: c_int) -> bool {
    // Five characters of six bits each, the first in the lowest bits (elog.h, MAKE_SQLSTATE).
    let character = |place: c_int| (((sqlstate >> (6 * place)) & 0x3f) as u8) + b'0';
    let code: [u8; 5] = std::array::from_fn(|place| character(place as c_int));
    code.starts_with(b"57") || code == *b"40001"
}

/// Says it in the log, at most once a minute in each session.
pub fn say(what: &str, report: Option<&ErrorReportWithLevel>) {
    const MINUTE: i64 = 60 * 1_000_000;
    static SAID: AtomicI64 = AtomicI64::new(0);
    let now = super::clock::now();
    if now - SAID.swap(now, Ordering::Relaxed) < MINUTE {
        return;
    }
    let detail = match report {
        Some(report) => {
            let state = report.sql_error_code() as c_int;
            let code: String = (0..5)
                .map(|place| char::from((((state >> (6 * place)) & 0x3f) as u8) + b'0'))
                .collect();
            format!("SQLSTATE {code}; the statement itself is not concerned.")
        }
        None => String::from("The statement itself is not concerned."),
    };
    pgrx::ereport!(
        pgrx::PgLogLevel::LOG,
        pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("indexpilot could not record a statement: {what}"),
        detail
    );
}

#[cfg(test)]
mod tests {
    use super::is_interrupt;

    fn packed(code: &str) -> i32 {
        code.bytes()
            .enumerate()
            .map(|(place, byte)| i32::from((byte - b'0') & 0x3f) << (6 * place))
            .sum()
    }

    #[test]
    fn cancels_and_shutdowns_are_told_from_failures() {
        for code in ["57014", "57P01", "57P02", "57P05", "40001"] {
            assert!(is_interrupt(packed(code)), "{code}");
        }
        for code in ["54001", "53200", "55P03", "40P01", "XX000", "22P02"] {
            assert!(!is_interrupt(packed(code)), "{code}");
        }
    }
}
