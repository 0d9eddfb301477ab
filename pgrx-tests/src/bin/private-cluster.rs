//! Runs a command beside a private cluster that has the extension preloaded:
//!
//! ```text
//! private-cluster [--conf LINE]… COMMAND [ARGUMENT]…
//! ```
//!
//! The command finds the cluster by PGHOST, PGPORT, PGUSER and PGDATABASE, and the server's
//! programs first in PATH. The cluster is gone when the command ends; its exit status is ours.

use std::process::{Command, ExitCode};

use indexpilot_tests::Cluster;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let mut builder = Cluster::builder();
    while arguments.peek().is_some_and(|word| word == "--conf") {
        arguments.next();
        let line = arguments.next().expect("--conf is followed by a line");
        builder = builder.conf(&line.to_string_lossy());
    }
    let Some(program) = arguments.next() else {
        eprintln!("usage: private-cluster [--conf LINE]... COMMAND [ARGUMENT]...");
        return ExitCode::from(2);
    };
    let cluster = builder.start();
    let mut path = cluster.server().bin.clone().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let status = Command::new(&program)
        .args(arguments)
        .env("PATH", path)
        .env("PGHOST", cluster.sockets())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres")
        .status();
    // Dropped here, not at the process's end: exit codes do not run destructors.
    drop(cluster);
    match status {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(e) => {
            eprintln!("{}: {e}", program.to_string_lossy());
            ExitCode::from(127)
        }
    }
}
