//! Load of the host, as the kernel tells it.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// Busy and total jiffies of all CPUs since boot (proc(5), /proc/stat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jiffies {
    busy: u64,
    total: u64,
}

fn read_jiffies(text: &str) -> Option<Jiffies> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|word| word.parse().ok())
        .collect();
    if numbers.len() < 5 {
        return None;
    }
    let total = numbers.iter().sum();
    // Idle and waiting for I/O.
    let idle = numbers[3] + numbers[4];
    Some(Jiffies {
        busy: total - idle,
        total,
    })
}

/// CPU time of this process, seconds; `None` where the kernel does not count it
/// (proc(5), /proc/pid/schedstat: nanoseconds on the CPU come first).
pub fn own_cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

static LAST: Mutex<Option<(Instant, Jiffies)>> = Mutex::new(None);

/// Share of the host's CPU in use since the last call (at least a second ago), 0…1. `None`
/// at the first call, and where the kernel has no such file.
pub fn cpu_share() -> Option<f64> {
    let now = read_jiffies(&std::fs::read_to_string("/proc/stat").ok()?)?;
    let mut last = LAST.lock().ok()?;
    let previous = *last;
    match previous {
        Some((at, before)) if at.elapsed().as_millis() >= 1_000 => {
            *last = Some((Instant::now(), now));
            share(before, now)
        }
        Some((_, before)) => share(before, now),
        None => {
            *last = Some((Instant::now(), now));
            None
        }
    }
}

fn share(before: Jiffies, now: Jiffies) -> Option<f64> {
    let total = now.total.checked_sub(before.total)?;
    let busy = now.busy.saturating_sub(before.busy);
    (total > 0).then(|| busy as f64 / total as f64)
}

/// CPUs that this process may use.
pub fn cpus() -> u32 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|number| u32::try_from(number.get()).ok())
        .unwrap_or(1)
}

/// Bytes that the server's account may still write below a directory; `None` where the
/// system does not say.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    let status = nix::sys::statvfs::statvfs(directory).ok()?;
    Some(status.blocks_available() as u64 * status.fragment_size() as u64)
}

/// WAL segments that wait for archiving: `.ready` files (manual: Continuous Archiving).
/// `None` where the directory cannot be read.
pub fn archive_backlog(data_directory: &Path) -> Option<u32> {
    let files = std::fs::read_dir(data_directory.join("pg_wal/archive_status")).ok()?;
    let ready = files
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|e| e == "ready"))
        .count();
    u32::try_from(ready).ok()
}
