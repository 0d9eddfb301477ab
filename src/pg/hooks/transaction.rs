//! What an ERROR jumped over is mended when its (sub)transaction aborts.
//!
//! The one pair of callbacks of the library at the ends of all transactions: it also tells
//! `ddl_notices`.

use super::{frames, watching};
use crate::pg::ddl_notices;
use pgrx::pg_sys;
use std::ffi::c_void;
use std::sync::atomic::Ordering;

static mut PREVIOUS_LOG: pg_sys::emit_log_hook_type = None;

/// Registers the callbacks.
///
/// # Safety
/// Only while the postmaster loads libraries.
pub(super) unsafe fn install() {
    // SAFETY: the caller's promise; registered callbacks are inherited by every backend.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(subtransaction), std::ptr::null_mut());
        PREVIOUS_LOG = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(log);
    }
}

fn failed(key: u64) {
    if let Some(entry) = watching().and_then(|block| block.find(key)) {
        entry.errors.fetch_add(1, Ordering::Relaxed);
    }
}

unsafe extern "C-unwind" fn transaction(event: pg_sys::XactEvent::Type, _: *mut c_void) {
    ddl_notices::at_end_of_transaction(event);
    if event == pg_sys::XactEvent::XACT_EVENT_COMMIT
        || event == pg_sys::XactEvent::XACT_EVENT_PREPARE
    {
        frames::transaction_ended();
    } else if event == pg_sys::XactEvent::XACT_EVENT_ABORT {
        aborted();
    }
}

#[cold]
#[inline(never)]
fn aborted() {
    // In a procedure that rolls back, the statements around it go on; after an ERROR the
    // portal is no longer active (PortalRun restores it on the way up).
    // SAFETY: a plain global.
    if unsafe { pg_sys::ActivePortal }.is_null() {
        frames::unwind(0, failed);
    }
    frames::transaction_ended();
}

unsafe extern "C-unwind" fn subtransaction(
    event: pg_sys::SubXactEvent::Type,
    id: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _: *mut c_void,
) {
    ddl_notices::at_end_of_subtransaction(event);
    match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_START_SUB => frames::subtransaction_started(id),
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => {
            let _ = frames::subtransaction_ended(id);
        }
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => {
            if let Some(depth) = frames::subtransaction_ended(id) {
                frames::unwind(depth, failed);
            }
        }
        _ => {}
    }
}

/// Errors that reach the client while no known statement runs: syntax, missing relations,
/// statements in a failed transaction.
unsafe extern "C-unwind" fn log(data: *mut pg_sys::ErrorData) {
    // SAFETY: called with the error's data.
    unsafe {
        if (*data).elevel == pgrx::PgLogLevel::ERROR as i32
            && let Some(block) = watching()
            && !frames::running()
        {
            block
                .header()
                .errors_elsewhere
                .fetch_add(1, Ordering::Relaxed);
        }
        if let Some(previous) = PREVIOUS_LOG {
            previous(data);
        }
    }
}
