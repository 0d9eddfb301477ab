//! The server's own programs against a cluster: psql, pg_dump, pgbench, pg_restore…

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Cluster;
use crate::ground::Identity;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Whether the exit status was 0.
    pub ok: bool,
}

impl Cluster {
    /// A program of this cluster's server, with host, port and user set in its environment.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Identity::get().command(self.server().bin.join(name));
        command
            .env("PGHOST", self.sockets())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres");
        command
    }

    /// Runs such a program with `input` on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn output(&self, command: &mut Command, input: &str) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().to_string_lossy()));
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        let text = input.to_owned();
        // From another thread, because the program may fill its output pipe before it reads.
        let writer = std::thread::spawn(move || {
            // A program that stops reading early is judged by its exit status.
            let _ = stdin.write_all(text.as_bytes());
        });
        let out = child.wait_with_output().expect("the program's end");
        writer.join().expect("the writer of the input");
        Output {
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
            ok: out.status.success(),
        }
    }

    /// Runs a script through psql, stopping at the first error, without psqlrc.
    ///
    /// # Panics
    /// When psql cannot be started.
    pub fn psql(&self, database: &str, script: &str) -> Output {
        let mut psql = self.program("psql");
        psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", database]);
        self.output(&mut psql, script)
    }
}
