//! DROP, RENAME and copying of a database need it without connections. Our worker is one,
//! so it is stopped before such a statement runs; and CREATE EXTENSION in a database makes
//! the launcher look at it.
//!
//! Called by the utility hook (`hooks::utility`). What the server raises in here (a cancel
//! while a name is looked up) passes through as it is.

use crate::pg::boundary;
use crate::pg::compat::ownership;
use crate::pg::nodes::{items, tag};
use crate::pg::raw;
use crate::pg::worker_entry::board::{CancelReason, Presence, Request, board};
use crate::pg::worker_entry::{self, wake_launcher};
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{CStr, c_char};

/// Seconds for which no worker comes back to a database that somebody needs empty.
const HOLD_SECONDS: i64 = 10;
/// How long the statement waits for our worker to end before it goes on anyway.
const PATIENCE_MS: i64 = 3_000;

/// Whether a statement needs [`before`] or [`after`]: the only price for all others.
///
/// # Safety
/// Null or a utility statement's parse tree.
#[inline(always)]
pub unsafe fn concerns(node: *mut pg_sys::Node) -> bool {
    matches!(
        // SAFETY: the caller's promise.
        unsafe { tag(node) },
        NodeTag::T_DropdbStmt
            | NodeTag::T_RenameStmt
            | NodeTag::T_CreatedbStmt
            | NodeTag::T_AlterDatabaseStmt
            | NodeTag::T_CreateExtensionStmt
    )
}

/// Frees the database that a statement is about to need.
///
/// # Safety
/// A utility statement's parse tree. An ERROR jumps over the caller's frames.
#[cold]
pub unsafe fn before(node: *mut pg_sys::Node) {
    // SAFETY: the tag says which struct it is; strings in parse trees are NUL-terminated. No
    // destructor is alive in this frame.
    unsafe {
        let name = match tag(node) {
            NodeTag::T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            NodeTag::T_RenameStmt => {
                let rename = node.cast::<pg_sys::RenameStmt>();
                if (*rename).renameType != pg_sys::ObjectType::OBJECT_DATABASE {
                    return;
                }
                (*rename).subname
            }
            NodeTag::T_CreatedbStmt => {
                option((*node.cast::<pg_sys::CreatedbStmt>()).options, c"template")
            }
            NodeTag::T_AlterDatabaseStmt => {
                let alter = node.cast::<pg_sys::AlterDatabaseStmt>();
                if option((*alter).options, c"tablespace").is_null() {
                    return;
                }
                (*alter).dbname
            }
            _ => return,
        };
        if name.is_null() || !raw::IsTransactionState() {
            return;
        }
        let database = raw::get_database_oid(name, true);
        // Whom the statement will refuse must not be able to stop our worker with it.
        if database != pg_sys::InvalidOid
            && ownership::owns_database_raw(database, raw::GetUserId())
        {
            let _ = boundary::contained(|| free_database(database));
        }
    }
}

/// After CREATE EXTENSION, of whichever.
#[cold]
pub fn after_create_extension() {
    let _ = boundary::contained(look_at_commit);
}

/// The string value of an option in a list of `DefElem`; NULL where it is not there.
unsafe fn option(options: *mut pg_sys::List, wanted: &CStr) -> *mut c_char {
    // SAFETY: a list of DefElem, as the grammar makes it for these statements.
    unsafe {
        for element in items::<pg_sys::DefElem>(options) {
            if CStr::from_ptr((*element).defname) == wanted && !(*element).arg.is_null() {
                return raw::defGetString(element);
            }
        }
        std::ptr::null_mut()
    }
}

/// Keeps workers away from a database for a while and ends the one that is there.
fn free_database(database: pg_sys::Oid) {
    let Some(slot) = board().and_then(|board| board.find(database)) else {
        return;
    };
    let now = crate::pg::clock::now();
    slot.hold_until(now + HOLD_SECONDS * 1_000_000);
    if slot.worker() == 0 {
        return;
    }
    slot.request(Request::Stop);
    worker_entry::cancel(slot, CancelReason::DatabaseNeeded);
    worker_entry::ask(database, Request::Stop);
    let mut waited = 0;
    while slot.worker() != 0 && waited < PATIENCE_MS {
        // SAFETY: a plain pause; interrupts are handled by the statement that follows.
        unsafe {
            if pg_sys::InterruptPending != 0 {
                return;
            }
            pg_sys::pg_usleep(10_000);
        }
        waited += 10;
    }
    if slot.worker() != 0 {
        worker_entry::terminate(slot);
    }
}

/// The extension may be here now: let the launcher look when this commits.
fn look_at_commit() {
    let database = crate::pg::spi::database();
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || {
        if let Some(slot) = board().and_then(|board| board.find_or_take(database)) {
            slot.set_presence(Presence::Unknown);
            wake_launcher();
        }
    });
}
