//! Where clusters live and as whom they run.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the source tree.
#[must_use]
pub fn workspace() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("pgrx-tests/ stands in the workspace")
            .to_path_buf()
    })
}

/// The account that servers run as. PostgreSQL refuses to run as root, so root's tests use
/// `postgres` (or `INDEXPILOT_TEST_USER`); everyone else uses their own account.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Present when this process is root and has to change to another account.
    switch_to: Option<(u32, u32)>,
}

impl Identity {
    /// The account for this process.
    ///
    /// # Panics
    /// When this is root and there is no account to change to.
    #[must_use]
    pub fn get() -> &'static Self {
        static IDENTITY: OnceLock<Identity> = OnceLock::new();
        IDENTITY.get_or_init(|| {
            if !nix::unistd::Uid::effective().is_root() {
                return Self { switch_to: None };
            }
            let name = std::env::var("INDEXPILOT_TEST_USER").unwrap_or_else(|_| "postgres".into());
            let user = nix::unistd::User::from_name(&name)
                .ok()
                .flatten()
                .unwrap_or_else(|| {
                    panic!("PostgreSQL does not run as root, and there is no user \"{name}\" here: create it or set INDEXPILOT_TEST_USER")
                });
            Self {
                switch_to: Some((user.uid.as_raw(), user.gid.as_raw())),
            }
        })
    }

    /// A command that runs as this account, in a directory it may enter.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.switch_to {
            // The standard library drops root's supplementary groups along with the uid.
            command.uid(uid).gid(gid);
        }
        command.current_dir("/");
        // What the caller's shell holds must not reach a private server or its clients.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env_remove("INDEXPILOT_BYPASS");
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    /// Gives `path` to this account.
    pub(crate) fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.switch_to {
            chown(path, Some(uid), Some(gid))
                .unwrap_or_else(|e| panic!("chown {}: {e}", path.display()));
        }
    }

    /// Makes a directory that only this account uses, with its parents.
    pub(crate) fn make_dir(&self, path: &Path) {
        fs::create_dir_all(path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        self.own(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .unwrap_or_else(|e| panic!("chmod {}: {e}", path.display()));
    }
}

/// The directory that holds server copies and clusters: `target/pgtest`, or, where the test
/// account may not enter the source tree (a clone below root's home), one below the
/// system's temporary directory.
pub(crate) fn ground() -> &'static Path {
    static GROUND: OnceLock<PathBuf> = OnceLock::new();
    GROUND.get_or_init(|| {
        let wanted = std::env::var_os("INDEXPILOT_TEST_DIR")
            .map_or_else(|| workspace().join("target").join("pgtest"), PathBuf::from);
        fs::create_dir_all(&wanted).unwrap_or_else(|e| panic!("mkdir {}: {e}", wanted.display()));
        let enterable = Identity::get()
            .command("/bin/sh")
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(&wanted)
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        if enterable {
            return wanted;
        }
        let mut name = String::from("indexpilot");
        for part in workspace().components().skip(1) {
            name.push('-');
            name.push_str(&part.as_os_str().to_string_lossy());
        }
        let elsewhere = std::env::temp_dir().join(name);
        fs::create_dir_all(&elsewhere)
            .unwrap_or_else(|e| panic!("mkdir {}: {e}", elsewhere.display()));
        elsewhere
    })
}

/// Holds the lock `name` of the ground among all test processes until the value is dropped.
pub(crate) fn lock(name: &str) -> File {
    let path = ground().join(format!("{name}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
    file.lock()
        .unwrap_or_else(|e| panic!("lock {}: {e}", path.display()));
    file
}
