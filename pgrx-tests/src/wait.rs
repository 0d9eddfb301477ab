//! Waiting for conditions: a deadline, and the last thing seen when it passes.

use std::time::{Duration, Instant};

/// How long a condition may take before a test fails. Long, because the machine may be busy;
/// a passing test never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `probe` gives `Ok`; what it last gave as `Err` is shown when `patience` ends.
///
/// # Panics
/// When `patience` is over, with `what`, and the last value.
#[track_caller]
pub fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) if start.elapsed() >= patience => {
                panic!("waited {patience:?} for {what}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
