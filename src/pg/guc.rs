//! What pgrx has no safe wrapper for in the GUC machinery: reserving our prefix and the
//! details of a refused value.

use pgrx::pg_sys;
use std::ffi::CStr;

/// Refuses unknown `indexpilot.*` settings from now on, and removes those that were set
/// before we came (guc.c, MarkGUCPrefixReserved).
pub fn reserve_prefix(prefix: &'static CStr) {
    // SAFETY: the string is NUL-terminated and static; called once, from _PG_init, in the
    // main thread, after all our settings were defined.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}

/// True while the server loads `shared_preload_libraries`: only then may shared memory be
/// asked for and PGC_POSTMASTER settings be defined.
pub fn preloading() -> bool {
    // SAFETY: a plain global that only the main thread writes.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}
