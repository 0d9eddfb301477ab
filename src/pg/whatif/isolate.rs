//! A place where anything of the server may be called and nothing of it remains: an internal
//! subtransaction that is always rolled back.
//!
//! Planning can run users' functions, and those can raise errors anywhere: with relations
//! open, buffers pinned, a GUC level pushed, SPI connected, another user set. Only the end of
//! a subtransaction knows how to undo all of that (xact.c, AbortSubTransaction). Rolling back
//! in the good case too releases the locks that analysis and planning took, so that they are
//! held for one evaluation and not until the caller commits.

use super::failure::Failure;
use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;

/// How long an evaluation waits for a lock, milliseconds: long enough for a passing
/// statement, far too short to queue anyone behind us for noticeable time.
const LOCK_TIMEOUT_MS: i32 = 100;

/// Under whose name, and with which settings, something runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// The user; the present one if `None`.
    pub user: Option<pg_sys::Oid>,
    /// Settings that stand as long as the evaluation.
    pub settings: Vec<(CString, CString)>,
}

impl Identity {
    /// The caller, with the session's settings.
    pub(super) const CALLER: Identity = Identity {
        user: None,
        settings: Vec::new(),
    };
}

/// Runs `body` in a subtransaction that is rolled back afterwards, as the given user in a
/// security-restricted operation, under a short lock timeout. Errors of the server and panics
/// come back as [`Failure`]s.
///
/// The current memory context inside is the one outside; what `body` returns must not point
/// into memory of the subtransaction.
pub(super) fn isolated<R>(
    identity: &Identity,
    body: impl FnOnce() -> Result<R, Failure>,
) -> Result<R, Failure> {
    // SAFETY: plain globals of the main thread, read and put back around the subtransaction
    // the way plpgsql's exception blocks do (pl_exec.c, exec_stmt_block).
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        let patience = pg_sys::LockTimeout;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        if patience == 0 || patience > LOCK_TIMEOUT_MS {
            // The variable behind the GUC: only ProcSleep reads it, and it is back before
            // anybody could look. SET LOCAL would cost more than a small plan.
            pg_sys::LockTimeout = LOCK_TIMEOUT_MS;
        }
        let result = PgTryBuilder::new(AssertUnwindSafe(|| {
            for (name, value) in &identity.settings {
                set(name, value);
            }
            restrict(identity.user);
            if !pg_sys::ActiveSnapshotSet() {
                // Folding a function that reads a table needs one; the rollback pops it.
                pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            }
            body()
        }))
        .catch_rust_panic(|error| Err(Failure::caught(error)))
        .catch_others(|error| Err(Failure::caught(error)))
        .execute();
        // The rollback restores user, security context, GUC levels, snapshots and locks.
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::LockTimeout = patience;
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// Waits, unless somebody wants us to stop.
pub(super) fn pause(milliseconds: u64) -> Result<(), Failure> {
    isolated(&Identity::CALLER, || {
        // SAFETY: the latch is this process's own.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
                milliseconds as std::ffi::c_long,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pgrx::check_for_interrupts!();
        Ok(())
    })
}

/// Sets a setting until the subtransaction ends, unless it has that value already.
///
/// # Safety
/// Within a subtransaction of [`isolated`].
unsafe fn set(name: &CStr, value: &CStr) {
    // SAFETY: the strings are copied by the server; the present value is valid until then.
    unsafe {
        let present = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if !present.is_null() && CStr::from_ptr(present) == value {
            return;
        }
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        );
    }
}

/// Becomes `user` (the present one if `None`) in a security-restricted operation: no SET of
/// settings, no temporary objects, no deferred triggers can outlive it. Only within
/// [`isolated`], whose rollback undoes it.
pub(super) fn restrict(user: Option<pg_sys::Oid>) {
    let mut now = pg_sys::InvalidOid;
    let mut flags = 0;
    // SAFETY: both functions read and write globals only (miscinit.c).
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut now, &mut flags);
        pg_sys::SetUserIdAndSecContext(
            user.unwrap_or(now),
            flags
                | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32
                | pg_sys::SECURITY_RESTRICTED_OPERATION as i32,
        );
    }
}
