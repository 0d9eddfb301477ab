//! Cleaning up after test processes that were killed and could not do it themselves.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ground::{ground, lock};

/// Stops and removes what test processes that were killed have left behind.
pub(crate) fn sweep() {
    let _lock = lock("sweep");
    let Ok(entries) = fs::read_dir(ground().join("clusters")) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix('c')
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<i32>().ok());
        let Some(owner) = owner else { continue };
        if kill(Pid::from_raw(owner), None).is_ok() {
            continue;
        }
        let data = entry.path().join("data");
        let postmaster = fs::read_to_string(data.join("postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse::<i32>().ok())
            // The file may be stale and the number reused: the process must name this directory.
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| {
                    String::from_utf8_lossy(&cmdline).contains(&*data.to_string_lossy())
                })
            });
        if let Some(pid) = postmaster {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
            let start = Instant::now();
            while Path::new(&format!("/proc/{pid}")).exists()
                && start.elapsed() < Duration::from_secs(10)
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = fs::remove_dir_all(entry.path());
        let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("indexpilot-{name}")));
    }
}
