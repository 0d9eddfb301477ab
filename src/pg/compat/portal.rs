//! Running a portal (`PortalRun` lost `run_once` in 18), and the server's timeouts, which
//! pgrx does not declare.

use pgrx::pg_sys;
use std::ffi::c_int;

unsafe extern "C-unwind" {
    fn enable_timeout_after(timeout: c_int, milliseconds: c_int);
    fn disable_timeout(timeout: c_int, keep_indicator: bool);
}

/// `STATEMENT_TIMEOUT` in timeout.h, 15 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

/// Cancels this process's statement after so many milliseconds. The setting of that name is
/// armed for clients' statements only.
pub fn arm_statement_timeout(milliseconds: u32) {
    let milliseconds = c_int::try_from(milliseconds).unwrap_or(c_int::MAX);
    // SAFETY: registered for every process that is connected to a database.
    unsafe { enable_timeout_after(STATEMENT_TIMEOUT, milliseconds.max(1)) };
}

/// Takes that back.
pub fn disarm_statement_timeout() {
    // SAFETY: as above; nothing happens where it is not armed.
    unsafe { disable_timeout(STATEMENT_TIMEOUT, false) };
}

/// Runs a portal to its end as a top-level statement, results thrown away.
///
/// # Safety
/// `portal` must be started.
pub unsafe fn run_to_end(portal: pg_sys::Portal, completion: &mut pg_sys::QueryCompletion) {
    // SAFETY: promised by the caller; the receiver is the server's static one.
    unsafe {
        let nowhere = pg_sys::None_Receiver;
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
        pg_sys::PortalRun(
            portal,
            std::ffi::c_long::MAX,
            true,
            true,
            nowhere,
            nowhere,
            completion,
        );
        #[cfg(feature = "pg18")]
        pg_sys::PortalRun(
            portal,
            std::ffi::c_long::MAX,
            true,
            nowhere,
            nowhere,
            completion,
        );
    }
}
