//! The time.

use indexpilot_model::ports::Timestamp;
use pgrx::pg_sys;

/// Microseconds between the Unix epoch and the server's (2000-01-01).
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Now, in microseconds since the Unix epoch.
pub fn now() -> Timestamp {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() + POSTGRES_EPOCH }
}
