//! Tests that cannot run on this machine: they are counted, never passed over in silence.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the calling test cannot run here, and why. `scripts/test` names a file in
/// `INDEXPILOT_SKIPPED`, counts its lines, and fails for them in continuous integration.
///
/// # Panics
/// Where nobody counts (the variable is not set): a test that did not run must not pass.
#[track_caller]
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let Some(path) = std::env::var_os("INDEXPILOT_SKIPPED") else {
        panic!("{test} cannot run here: {reason}");
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .expect("the file of skipped tests");
    // One write, so that lines of tests that run beside one another stay whole.
    file.write_all(format!("{test}: {reason}\n").as_bytes())
        .expect("a line of skipped tests");
}
