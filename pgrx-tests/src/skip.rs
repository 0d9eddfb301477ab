//! Tests that cannot run on this machine: they are counted, never passed over in silence.

use std::fs::OpenOptions;
use std::io::Write;

use crate::{Server, Session};

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

/// Whether the server under test comes without a contrib module, in which case the calling
/// test is skipped (the servers for 16 to 18 are packed by others, who leave some out).
#[track_caller]
pub fn lacks_module(name: &str) -> bool {
    let server = Server::get(crate::major());
    let missing = !server.lib.join(format!("{name}.so")).exists();
    if missing {
        skip(&format!("this server comes without {name}"));
    }
    missing
}

/// Whether the server is built without ICU, in which case the calling test is skipped.
#[track_caller]
pub fn lacks_icu(session: &mut Session) -> bool {
    let missing =
        session.number("SELECT count(*) FROM pg_collation WHERE collname = 'en-x-icu'") == 0.0;
    if missing {
        skip("this server is built without ICU");
    }
    missing
}
