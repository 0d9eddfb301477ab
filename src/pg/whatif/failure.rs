//! Errors of the server, caught, with the fields that people need.

use indexpilot_model::PriceError;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;

/// A caught error: what kind of failure it is for the advisor, and the fields for a client.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind, with the server's message.
    pub error: PriceError,
    /// SQLSTATE.
    pub code: PgSqlErrorCode,
    /// Primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of our own making.
    pub fn new(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Failure {
            error: classify(code, &message),
            code,
            message,
            detail: None,
            hint: None,
        }
    }

    /// A definition that cannot be an index.
    pub fn index(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Failure {
            error: PriceError::InvalidIndex(message.clone()),
            ..Failure::new(code, message)
        }
    }

    /// With a DETAIL.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a HINT.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks an ordinary failure as the index definition's fault; lock timeouts, cancels and
    /// missing privileges stay what they are.
    pub fn of_index(mut self) -> Self {
        if let PriceError::NotPlannable(reason) | PriceError::Other(reason) = self.error {
            self.error = PriceError::InvalidIndex(reason);
        }
        self
    }

    /// Raises the failure as the server's error, with its SQLSTATE, DETAIL and HINT.
    pub fn raise(self) -> ! {
        let mut report =
            pgrx::pg_sys::panic::ErrorReport::new(self.code, self.message, pgrx::function_name!());
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(PgLogLevel::ERROR);
        unreachable!("an ERROR report does not return")
    }

    /// Takes the fields out of what pgrx caught. A Rust panic of ours becomes an internal
    /// error with its message.
    pub(super) fn caught(error: CaughtError) -> Self {
        match error {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                Failure::from_report(&report)
            }
            CaughtError::RustPanic { ereport, .. } => Failure::from_report(&ereport),
        }
    }

    fn from_report(report: &ErrorReportWithLevel) -> Self {
        Failure {
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
            ..Failure::new(report.sql_error_code(), report.message())
        }
    }
}

impl From<Failure> for PriceError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What an SQLSTATE means for the advisor (manual: PostgreSQL Error Codes).
fn classify(code: PgSqlErrorCode, message: &str) -> PriceError {
    use PgSqlErrorCode as Code;
    match code {
        // A deadlock, like a lock timeout, says nothing about the statement.
        Code::ERRCODE_LOCK_NOT_AVAILABLE | Code::ERRCODE_T_R_DEADLOCK_DETECTED => {
            PriceError::LockTimeout
        }
        Code::ERRCODE_QUERY_CANCELED | Code::ERRCODE_ADMIN_SHUTDOWN => PriceError::Cancelled,
        Code::ERRCODE_INSUFFICIENT_PRIVILEGE => PriceError::InsufficientPrivilege(message.into()),
        _ if not_plannable(code) => PriceError::NotPlannable(message.into()),
        _ => PriceError::Other(message.into()),
    }
}

/// Classes 42 (syntax, missing objects), 22 (data), 0A (not supported), 3F and 3D (missing
/// schema, database).
fn not_plannable(code: PgSqlErrorCode) -> bool {
    // SQLSTATE packs five characters of six bits each, the first in the lowest bits
    // (elog.h, MAKE_SQLSTATE).
    let packed = code as i32;
    let character = |position: i32| (((packed >> (6 * position)) & 0x3f) as u8) + b'0';
    matches!(
        [character(0), character(1)],
        [b'4', b'2'] | [b'2', b'2'] | [b'0', b'A'] | [b'3', b'F'] | [b'3', b'D']
    )
}
