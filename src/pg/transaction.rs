//! Transactions of our own processes, and the server's errors as values.
//!
//! A background worker has nobody who would abort a failed transaction for it: whatever may
//! raise an ERROR there runs through [`run`] (or [`attempt`], where the code under it opens
//! and closes transactions itself, as concurrent DDL does).

use pgrx::pg_sys;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// An ERROR of the server, caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// Primary message.
    pub message: String,
    /// DETAIL, if there is one.
    pub detail: Option<String>,
    /// HINT, if there is one.
    pub hint: Option<String>,
}

impl ServerError {
    /// Whether the SQLSTATE is this one.
    pub fn is(&self, sqlstate: &str) -> bool {
        self.sqlstate == sqlstate
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

/// The five characters that the server packs six bits each (elog.h, MAKE_SQLSTATE).
fn unpack_sqlstate(code: i32) -> String {
    (0..5)
        .map(|place| char::from(((code >> (6 * place)) & 0x3f) as u8 + b'0'))
        .collect()
}

fn describe(caught: &pg_sys::panic::CaughtError) -> ServerError {
    use pg_sys::panic::CaughtError::{ErrorReport, PostgresError, RustPanic};
    let (PostgresError(report)
    | ErrorReport(report)
    | RustPanic {
        ereport: report, ..
    }) = caught;
    ServerError {
        sqlstate: unpack_sqlstate(report.sql_error_code() as i32),
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
        hint: report.hint().map(str::to_owned),
    }
}

/// Runs `work` outside a transaction and ends whatever transaction it leaves open when it
/// fails. For code that starts and commits transactions itself. A Rust panic counts as an
/// error (SQLSTATE XX000).
///
/// # Errors
/// The ERROR that `work` raised. Locks held for the session stay held.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, ServerError> {
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|caught| Err(describe(&caught)))
        .catch_rust_panic(|caught| Err(describe(&caught)))
        .execute();
    if result.is_err() {
        // SAFETY: the error was caught and copied; the contexts are the server's own. An
        // abort outside a transaction does nothing.
        unsafe {
            pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
            pg_sys::AbortCurrentTransaction();
        }
    }
    result
}

/// Runs `work` within the caller's transaction in a subtransaction that is rolled back
/// whatever comes of it: for finding out whether the server would raise an ERROR. A cancel is
/// raised again. What `work` gives must not point into the server's memory.
///
/// # Errors
/// The ERROR that `work` raised.
pub fn undone<T>(work: impl FnOnce() -> T) -> Result<T, ServerError> {
    // SAFETY: plain globals of the main thread, put back around the subtransaction the way
    // plpgsql's exception blocks do (pl_exec.c, exec_stmt_block). The rollback ends SPI
    // connections, snapshots and locks that an ERROR in `work` leaves open.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
            .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |caught| {
                caught.rethrow()
            })
            .catch_others(|caught| Err(describe(&caught)))
            .catch_rust_panic(|caught| Err(describe(&caught)))
            .execute();
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// Runs `work` in a transaction of its own with an active snapshot, and commits it.
///
/// # Errors
/// The ERROR that `work` or the commit raised; the transaction is aborted then.
///
/// # Panics
/// Raises an ERROR when a transaction is open already.
pub fn run<T>(work: impl FnOnce() -> T) -> Result<T, ServerError> {
    attempt(|| {
        // SAFETY: our own process between statements: no transaction is open, which the
        // server checks; snapshot and transaction are paired, and on an ERROR
        // `attempt` aborts both.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let value = work();
        // SAFETY: as above. Statistics are reported as a backend does between statements.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
            pg_sys::pgstat_report_stat(false);
        }
        value
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn sqlstates_are_unpacked() {
        // ERRCODE_QUERY_CANCELED, MAKE_SQLSTATE('5','7','0','1','4').
        let packed = "57014"
            .bytes()
            .enumerate()
            .map(|(place, byte)| i32::from((byte - b'0') & 0x3f) << (6 * place))
            .sum();
        assert_eq!(super::unpack_sqlstate(packed), "57014");
    }
}
