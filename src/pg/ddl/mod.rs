//! The port that executes DDL. It takes a [`Permit`] and nothing else, and writes each
//! statement out from typed values.
//!
//! Concurrent DDL has to be a top-level statement and commits several transactions of its
//! own, so SPI cannot run it. Here a statement runs the way a client's simple query does
//! (postgres.c, exec_simple_query): parse, plan, portal, run, without a client.

mod step;

pub use step::Step;

use crate::pg::compat::portal;
use crate::pg::transaction::{self, ServerError};
use crate::pg::worker_entry;
use crate::pg::worker_entry::board::CancelReason;
use indexpilot_guard::Permit;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CString;

/// Longest wait for a lock that blocks others, milliseconds; see [`Step::is_strong`].
const STRONG_LOCK_TIMEOUT: u32 = 100;

/// A lock on a relation that this process keeps over transactions, in the mode that
/// concurrent DDL takes (SHARE UPDATE EXCLUSIVE). It is taken under `lock_timeout` before
/// the statement, so that the statement itself finds it held and needs no timeout, which
/// would also strike its harmless waits for old transactions.
struct SessionLock(pg_sys::LockRelId);

impl SessionLock {
    /// Takes it, or gives 55P03 when it was not to be had in the permit's time.
    fn take(permit: &Permit, relation: u32) -> Result<Self, ServerError> {
        worker_entry::set("lock_timeout", &permit.lock_timeout().to_string())?;
        let result = transaction::run(|| {
            // SAFETY: inside a transaction; the relation may be gone by now, which the
            // statement that follows finds out.
            unsafe {
                let mut id = pg_sys::LockRelId {
                    relId: pg_sys::Oid::from(relation),
                    dbId: pg_sys::MyDatabaseId,
                };
                pg_sys::LockRelationIdForSession(
                    &mut id,
                    pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE,
                );
                SessionLock(id)
            }
        });
        worker_entry::set("lock_timeout", "0")?;
        result
    }
}

impl SessionLock {
    /// Gives it back after the statement went well.
    fn release(mut self) {
        // SAFETY: held since `take`. After an ERROR there is nothing to give back: the abort
        // of a transaction releases session locks too (proc.c, ProcReleaseLocks), which is
        // why values are dropped without ado then.
        unsafe {
            pg_sys::UnlockRelationIdForSession(
                &mut self.0,
                pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE,
            );
        }
    }
}

/// Takes the relation's [`SessionLock`], runs a step under it, and gives it back.
///
/// # Errors
/// As [`execute`], and 55P03 when the lock was not to be had in time.
pub fn execute_locked(permit: &Permit, relation: u32, step: &Step<'_>) -> Result<(), ServerError> {
    let lock = SessionLock::take(permit, relation)?;
    execute(permit, step)?;
    lock.release();
    Ok(())
}

/// As [`execute_locked`], cancelled after `milliseconds`.
///
/// # Errors
/// As there.
pub fn execute_locked_within(
    permit: &Permit,
    relation: u32,
    step: &Step<'_>,
    milliseconds: u32,
) -> Result<(), ServerError> {
    let lock = SessionLock::take(permit, relation)?;
    execute_within(permit, step, milliseconds)?;
    lock.release();
    Ok(())
}

/// Runs a step under its permit, outside a transaction. While it runs the watchdog looks
/// after it.
///
/// # Errors
/// The server's ERROR. 57014 is a cancel: [`cancelled_because`] says whose. 42501 when the
/// permit does not cover the step.
pub fn execute(permit: &Permit, step: &Step<'_>) -> Result<(), ServerError> {
    execute_within(permit, step, permit.build_timeout().saturating_mul(1_000))
}

/// As [`execute`], cancelled after `milliseconds` instead of the permit's build timeout.
///
/// # Errors
/// As there.
fn execute_within(permit: &Permit, step: &Step<'_>, milliseconds: u32) -> Result<(), ServerError> {
    let sql = step.sql();
    if !step.is_covered_by(permit) {
        return Err(ServerError {
            sqlstate: "42501".into(),
            message: format!("the safeguards did not permit this: {sql}"),
            detail: None,
            hint: None,
        });
    }
    let Some(slot) = worker_entry::own_slot() else {
        return Err(ServerError {
            sqlstate: "55000".into(),
            message: "index builds run in the worker only".into(),
            detail: None,
            hint: None,
        });
    };
    if step.is_strong() {
        let short = permit.lock_timeout().min(STRONG_LOCK_TIMEOUT);
        worker_entry::set("lock_timeout", &short.to_string())?;
    }
    clear_pending_cancel();
    slot.set_building(true);
    portal::arm_statement_timeout(milliseconds);
    let result = transaction::attempt(|| run_top_level(&sql));
    portal::disarm_statement_timeout();
    slot.set_building(false);
    worker_entry::set("lock_timeout", "0")?;
    worker_entry::report_activity(None);
    result
}

/// Why the last step was cancelled, as far as one of our processes did it.
pub fn cancelled_because() -> CancelReason {
    worker_entry::own_slot().map_or(CancelReason::None, |slot| slot.cancel_reason())
}

/// A cancel that arrived after the statement it was meant for had ended must not strike the
/// next one.
fn clear_pending_cancel() {
    // SAFETY: a flag of this process, written by its signal handler and read by its main
    // thread, which this is.
    unsafe { pg_sys::QueryCancelPending = 0 };
}

/// Parses, plans and runs one statement as a client's would be. Raises the server's ERRORs.
fn run_top_level(sql: &str) {
    let Ok(text) = CString::new(sql) else {
        error!("a statement with a zero byte");
    };
    worker_entry::report_activity(Some(sql));
    // SAFETY: the sequence of exec_simple_query(). Trees live in a context of their own that
    // outlasts the transactions which the statement commits; the text outlives the portal;
    // on an ERROR the caller aborts, which drops the portal, and the context goes with the
    // next call.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::debug_query_string = text.as_ptr();
        let _text = DebugText;
        pg_sys::StartTransactionCommand();
        let context = statement_context();
        pg_sys::MemoryContextSwitchTo(context);
        let statements = pg_sys::pg_parse_query(text.as_ptr());
        if statements.is_null() || (*statements).length != 1 {
            error!("expected one statement");
        }
        let raw = (*(*statements).elements)
            .ptr_value
            .cast::<pg_sys::RawStmt>();
        let tag = pg_sys::CreateCommandTag((*raw).stmt);
        let snapshot = pg_sys::analyze_requires_snapshot(raw);
        if snapshot {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let queries = pg_sys::pg_analyze_and_rewrite_fixedparams(
            raw,
            text.as_ptr(),
            std::ptr::null(),
            0,
            std::ptr::null_mut(),
        );
        let plans = pg_sys::pg_plan_queries(queries, text.as_ptr(), 0, std::ptr::null_mut());
        if snapshot {
            pg_sys::PopActiveSnapshot();
        }
        let portal = pg_sys::CreatePortal(c"".as_ptr(), true, true);
        (*portal).visible = false;
        pg_sys::PortalDefineQuery(
            portal,
            std::ptr::null(),
            text.as_ptr(),
            tag,
            plans,
            std::ptr::null_mut(),
        );
        pg_sys::PortalStart(portal, std::ptr::null_mut(), 0, std::ptr::null_mut());
        pg_sys::MemoryContextSwitchTo((*portal).portalContext);
        let mut completion = pg_sys::QueryCompletion::default();
        pg_sys::InitializeQueryCompletion(&mut completion);
        portal::run_to_end(portal, &mut completion);
        pg_sys::PortalDrop(portal, false);
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(false);
    }
}

/// Takes the text back before it is freed, also on unwind.
struct DebugText;

impl Drop for DebugText {
    fn drop(&mut self) {
        // SAFETY: a global of this process.
        unsafe { pg_sys::debug_query_string = std::ptr::null() };
    }
}

/// The context for parse and plan trees, emptied of the last statement's.
fn statement_context() -> pg_sys::MemoryContext {
    static CONTEXT: std::sync::atomic::AtomicPtr<pg_sys::MemoryContextData> =
        std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
    use std::sync::atomic::Ordering::Relaxed;
    // SAFETY: made once in this process, below a context that is never reset.
    unsafe {
        if CONTEXT.load(Relaxed).is_null() {
            CONTEXT.store(
                pg_sys::AllocSetContextCreateExtended(
                    pg_sys::TopMemoryContext,
                    c"indexpilot statement".as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                ),
                Relaxed,
            );
        }
        let context = CONTEXT.load(Relaxed);
        pg_sys::MemoryContextReset(context);
        context
    }
}
