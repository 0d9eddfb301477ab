//! Signal handlers: `pqsignal` is a macro from 18 on (port.h).

use pgrx::pg_sys;
use std::ffi::c_int;

/// Installs a handler of the server's kind.
///
/// # Safety
/// `handler` must be async-signal-safe and fit the process it is installed in.
pub unsafe fn set(signal: c_int, handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
        pg_sys::pqsignal(signal, Some(handler));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(signal, Some(handler));
    }
}
