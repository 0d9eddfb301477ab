//! What kind of process this is and what state the server is in.

use pgrx::pg_sys;
use std::ffi::CStr;

/// True while the server loads `shared_preload_libraries`: only then may shared memory be
/// asked for and PGC_POSTMASTER settings be defined.
pub fn preloading() -> bool {
    // SAFETY: a plain global that only the main thread writes.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// True when pg_upgrade runs this server (`postgres -b`).
pub fn in_binary_upgrade() -> bool {
    // SAFETY: a plain global, set from the command line.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// True in the postmaster itself, while it starts or runs.
pub fn is_postmaster() -> bool {
    // SAFETY: plain globals that only the main thread writes.
    unsafe { pg_sys::IsPostmasterEnvironment && !pg_sys::IsUnderPostmaster }
}

/// True without a postmaster: single-user mode (`postgres --single`) and bootstrap.
pub fn is_single_user() -> bool {
    // SAFETY: a plain global, set when the process starts.
    unsafe { !pg_sys::IsPostmasterEnvironment }
}

/// True on a standby, and while a server recovers from a crash.
pub fn in_recovery() -> bool {
    // SAFETY: reads shared memory of xlog.c; callable wherever shared memory is attached.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Id of this process.
pub fn id() -> i32 {
    // SAFETY: a global set at fork.
    unsafe { pg_sys::MyProcPid }
}

/// OID of the connected database, 0 in a process without one.
pub fn database() -> u32 {
    // SAFETY: a global that does not change once a backend is connected.
    unsafe { pg_sys::MyDatabaseId.to_u32() }
}

/// Whether the role whose rights apply now is a superuser or owns the connected database.
pub fn may_administer_database() -> bool {
    // SAFETY: reads the current user's id.
    let role = unsafe { pg_sys::GetUserId() };
    super::compat::ownership::owns_database(super::spi::database(), role)
}

/// Name of the connected database.
pub fn database_name() -> String {
    // SAFETY: a catalog lookup inside a transaction; the palloc'd name is copied at once.
    unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        if name.is_null() {
            return String::new();
        }
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Raises the server's own ERROR (25006) where nothing can be written: on a standby, and in
/// a read-only transaction.
pub fn refuse_if_read_only(function: &'static CStr) {
    // SAFETY: reads the transaction's state; the name is NUL-terminated and static.
    unsafe { pg_sys::PreventCommandIfReadOnly(function.as_ptr()) };
}
