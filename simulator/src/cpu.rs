//! CPU time of a backend, read from the kernel when the server runs on this machine.
//!
//! Wall time on a busy machine says little; the CPU time that the backend used for a statement says what the
//! statement cost. `/proc/PID/schedstat` holds it in nanoseconds for everyone to read (Linux,
//! Documentation/scheduler/sched-stats.rst).
use postgres::Client;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Reads one backend's clock.
pub struct BackendClock {
    file: File,
    last: u64,
}

impl BackendClock {
    /// The clock of the connection's backend; `None` when the server is elsewhere or the kernel does not say.
    pub fn of(client: &mut Client) -> Option<Self> {
        let pid: i32 = client
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .ok()?
            .get(0);
        // A process of that number on this machine may be anything when the server is elsewhere.
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        if !name.starts_with("postgres") {
            return None;
        }
        let mut clock = BackendClock {
            file: File::open(format!("/proc/{pid}/schedstat")).ok()?,
            last: 0,
        };
        clock.last = clock.read()?;
        // It must be the backend: its clock moves when it works.
        client
            .query_one(
                "SELECT pg_catalog.sum(n) FROM pg_catalog.generate_series(1, 2000) n",
                &[],
            )
            .ok()?;
        (clock.lap() > 0).then_some(clock)
    }

    fn read(&self) -> Option<u64> {
        let mut text = [0u8; 64];
        let n = self.file.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..n])
            .ok()?
            .split_ascii_whitespace()
            .next()?
            .parse()
            .ok()
    }

    /// Forgets what was spent up to now.
    pub fn drain(&mut self) {
        self.last = self.read().unwrap_or(self.last);
    }

    /// Nanoseconds since the last lap. The kernel books a running process at ticks and when it goes to sleep;
    /// right after an answer the backend may not sleep yet, so a lap of zero is waited for briefly.
    pub fn lap(&mut self) -> u64 {
        for _ in 0..200 {
            let now = self.read().unwrap_or(self.last);
            if now > self.last {
                let spent = now - self.last;
                self.last = now;
                return spent;
            }
            std::thread::yield_now();
        }
        0
    }
}
