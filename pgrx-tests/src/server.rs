//! A private, relocated copy of a PostgreSQL server with the built extension in it.
//!
//! PostgreSQL finds its libraries and shared files relative to the executable
//! (`src/common/path.c`, `make_relative_path`), so a copy that keeps the directories' places
//! among one another works anywhere. Nothing is ever installed into the system's server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::ground::{Identity, ground, lock, workspace};

/// One major version, ready to make clusters from.
#[derive(Debug)]
pub struct Server {
    /// The major version, for example 15.
    pub major: u32,
    /// Where the copied programs are.
    pub bin: PathBuf,
    /// Where the copied loadable libraries are (`pg_config --pkglibdir`).
    pub lib: PathBuf,
    /// Where the copied shared files are (`pg_config --sharedir`).
    pub share: PathBuf,
}

impl Server {
    /// The server of this major version; made at first use, then shared by the whole process.
    ///
    /// # Panics
    /// When the major version is not installed, or the extension does not build.
    pub fn get(major: u32) -> &'static Self {
        static SERVERS: OnceLock<Mutex<BTreeMap<u32, &'static Server>>> = OnceLock::new();
        let mut servers = SERVERS
            .get_or_init(Mutex::default)
            .lock()
            .expect("the making of a server failed in another test");
        if let Some(server) = servers.get(&major) {
            return server;
        }
        let server: &'static Self = Box::leak(Box::new(Self::make(major)));
        servers.insert(major, server);
        server
    }

    fn make(major: u32) -> Self {
        let pg_config = pg_config(major);
        let library = build(major, &pg_config);
        let _lock = lock(&format!("server-{major}"));
        let base = ground().join(major.to_string());
        let root = base.join("root");
        let ask = |option: &str| PathBuf::from(ask(&pg_config, option));
        let (bindir, libdir, sharedir) = (ask("--bindir"), ask("--pkglibdir"), ask("--sharedir"));
        // The server's exact version: a minor upgrade of the system makes a new copy.
        let version = crate::server::ask(&pg_config, "--version");
        let stamp = base.join("server-version");
        // A server of our own (`scripts/postgres`) is one tree, libraries beside it included.
        let own = workspace().join(format!("target/postgres/{major}"));
        let own = own.canonicalize().unwrap_or(own);
        let is_own = bindir.starts_with(&own);
        let place = |dir: &Path| {
            let prefix = if is_own {
                own.as_path()
            } else {
                Path::new("/")
            };
            root.join(dir.strip_prefix(prefix).unwrap_or(dir))
        };
        if fs::read_to_string(&stamp).ok().as_deref() != Some(version.as_str()) {
            if base.exists() {
                fs::remove_dir_all(&base)
                    .unwrap_or_else(|e| panic!("rm -r {}: {e}", base.display()));
            }
            if is_own {
                copy_tree(&own, &root);
            } else {
                for dir in [&bindir, &libdir, &sharedir] {
                    copy_tree(dir, &place(dir));
                }
            }
            fs::write(&stamp, &version).unwrap_or_else(|e| panic!("write the stamp: {e}"));
        }
        let server = Self {
            major,
            bin: place(&bindir),
            lib: place(&libdir),
            share: place(&sharedir),
        };
        server.install(&library);
        server.make_template(&base);
        server
    }

    /// Puts the library, the control file and the SQL in place. Files are renamed over the
    /// old ones: a server that runs from an earlier test keeps what it has mapped.
    fn install(&self, library: &Path) {
        let same = |a: &Path, b: &Path| match (fs::metadata(a), fs::metadata(b)) {
            (Ok(a), Ok(b)) => a.len() == b.len() && a.modified().ok() == b.modified().ok(),
            _ => false,
        };
        let target = self.lib.join("indexpilot.so");
        if !same(library, &target) {
            let fresh = self.lib.join("indexpilot.so.new");
            run(Command::new("cp").arg("-p").arg(library).arg(&fresh));
            fs::rename(&fresh, &target).expect("install the library");
        }
        let extension = self.share.join("extension");
        let put = |name: &str, content: &[u8]| {
            let path = extension.join(name);
            if fs::read(&path).ok().as_deref() != Some(content) {
                let fresh = extension.join(format!("{name}.new"));
                fs::write(&fresh, content)
                    .and_then(|()| fs::rename(&fresh, &path))
                    .unwrap_or_else(|e| panic!("install {}: {e}", path.display()));
            }
        };
        let root = workspace();
        let control = fs::read(root.join("indexpilot.control")).expect("indexpilot.control");
        put("indexpilot.control", &control);
        let sql = run(&mut Command::new(root.join("scripts/install-sql")));
        put(
            &format!("indexpilot--{}.sql", env!("CARGO_PKG_VERSION")),
            &sql,
        );
        // Upgrade scripts lie flat in sql/.
        for entry in fs::read_dir(root.join("sql"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("indexpilot--") && name.ends_with(".sql") {
                put(&name, &fs::read(entry.path()).expect("an upgrade script"));
            }
        }
    }

    /// One `initdb` a server version; clusters are copies of it.
    fn make_template(&self, base: &Path) {
        let identity = Identity::get();
        let template = base.join("template");
        if template.join("PG_VERSION").exists() && base.join("template-done").exists() {
            return;
        }
        if template.exists() {
            fs::remove_dir_all(&template).expect("remove half a template");
        }
        identity.make_dir(&template);
        self.initdb(&template);
        fs::write(base.join("template-done"), "").expect("mark the template");
    }

    /// A new, empty data directory with a system identifier of its own.
    pub(crate) fn initdb(&self, data: &Path) {
        run(Identity::get()
            .command(self.bin.join("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "-D"])
            .arg(data));
    }

    /// The data directory that clusters start from.
    pub(crate) fn template(&self) -> PathBuf {
        ground().join(self.major.to_string()).join("template")
    }
}

/// The `pg_config` of a major version: `PG_CONFIG` where it is of that major, Debian's, or the
/// one that `scripts/postgres` put below `target/`.
///
/// # Panics
/// With one line on what to do when there is none.
fn pg_config(major: u32) -> PathBuf {
    let given = std::env::var_os("PG_CONFIG").map(PathBuf::from);
    // The path counts for the build: another way to the same server would rebuild everything.
    let usual = PathBuf::from("/usr/bin/pg_config");
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_config"));
    let own = workspace().join(format!("target/postgres/{major}/bin/pg_config"));
    given
        .into_iter()
        .chain([own, usual, debian])
        .find(|path| {
            Command::new(path).arg("--version").output().is_ok_and(|o| {
                String::from_utf8_lossy(&o.stdout).contains(&format!("PostgreSQL {major}."))
            })
        })
        .unwrap_or_else(|| panic!("PostgreSQL {major} is not here: run scripts/postgres {major}"))
}

fn ask(pg_config: &Path, option: &str) -> String {
    let out = run(Command::new(pg_config).arg(option));
    String::from_utf8_lossy(&out).trim().to_owned()
}

/// Builds the extension (nothing happens when it is fresh) and gives the library's path.
///
/// `INDEXPILOT_LIB` names a library to test as it is; `INDEXPILOT_PROFILE=release` builds that.
fn build(major: u32, pg_config: &Path) -> PathBuf {
    if let Some(library) = std::env::var_os("INDEXPILOT_LIB") {
        return PathBuf::from(library);
    }
    let profile = std::env::var("INDEXPILOT_PROFILE").unwrap_or_else(|_| "dev".into());
    let target = workspace().join(format!("target/pg{major}"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo test` set for this process would make the inner build look different.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "LD_LIBRARY_PATH"
        {
            cargo.env_remove(&name);
        }
    }
    run(cargo
        .current_dir(workspace())
        .env("PGRX_PG_CONFIG_PATH", pg_config)
        .args(["build", "--locked", "--quiet", "-p", "indexpilot", "--lib"])
        .args(["--no-default-features", "--features"])
        .arg(format!("pg{major},stop-points"))
        .args(["--profile", &profile, "--target-dir"])
        .arg(&target));
    let dir = if profile == "dev" { "debug" } else { &profile };
    target.join(dir).join("libindexpilot.so")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("mkdir {}: {e}", to.display()));
    run(Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from.join("."))
        .arg(to));
}

/// Runs a command that must succeed and gives its standard output.
///
/// # Panics
/// With everything the command said.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().to_string_lossy()));
    assert!(
        out.status.success(),
        "{command:?} failed ({}):\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}
