//! A cluster: made, started, crashed, restarted, copied, and removed when the value is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ground::{Identity, ground};
use crate::server::{Server, run};
use crate::session::Session;
use crate::sweep::sweep;
use crate::wait::{PATIENCE, wait_for};

/// How a cluster is to be made.
#[derive(Clone, Debug)]
pub struct Builder {
    major: u32,
    preload: String,
    conf: Vec<String>,
    env: Vec<(String, String)>,
    options: String,
    own_identity: bool,
    data: Option<PathBuf>,
}

impl Builder {
    /// The major version; [`crate::major`] where it is not said.
    #[must_use]
    pub fn major(mut self, major: u32) -> Self {
        self.major = major;
        self
    }

    /// `shared_preload_libraries`; `indexpilot` where it is not said, `""` for none.
    #[must_use]
    pub fn preload(mut self, libraries: &str) -> Self {
        libraries.clone_into(&mut self.preload);
        self
    }

    /// Lines for postgresql.conf, after the harness's own.
    #[must_use]
    pub fn conf(mut self, lines: &str) -> Self {
        self.conf.push(lines.to_owned());
        self
    }

    /// A variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Command-line options of the test's own sessions (`-c name=value`), for servers whose
    /// settings would get in the way of the test too.
    #[must_use]
    pub fn session_options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.options);
        self
    }

    /// A run of initdb for this cluster alone. Clusters are otherwise copies of one template
    /// and share its system identifier.
    #[must_use]
    pub fn own_system_identifier(mut self) -> Self {
        self.own_identity = true;
        self
    }

    /// Starts from a copy of this data directory (of a cluster that was shut down) rather than
    /// from an empty one.
    #[must_use]
    pub fn copy_of(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Makes and starts the cluster.
    ///
    /// # Panics
    /// When it does not start, with the server's log.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Cluster {
        let mut cluster = self.make();
        cluster.start();
        cluster
    }

    /// Makes the cluster and leaves it stopped.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    #[track_caller]
    pub fn make(self) -> Cluster {
        let server = Server::get(self.major);
        let cluster = Cluster::at_fresh_place(server, self.env.clone(), &self.options);
        let data = cluster.data();
        if self.own_identity {
            Identity::get().make_dir(&data);
            server.initdb(&data);
        } else {
            copy_as_user(&self.data.unwrap_or_else(|| server.template()), &data);
        }
        let mut conf = cluster.base_conf();
        if !self.preload.is_empty() {
            conf.push_str(&format!("shared_preload_libraries = '{}'\n", self.preload));
        }
        for lines in &self.conf {
            conf.push_str(lines);
            conf.push('\n');
        }
        cluster.append_conf(&conf);
        cluster
    }
}

/// A private cluster. Dropping it stops the server and removes every file; when the test is
/// failing, the end of the server's log is printed first.
#[derive(Debug)]
pub struct Cluster {
    server: &'static Server,
    /// Holds `data/`, the log and the sockets.
    dir: PathBuf,
    sockets: PathBuf,
    env: Vec<(String, String)>,
    options: String,
    postmaster: Option<Child>,
}

const PORT: u16 = 5432;

impl Cluster {
    /// A cluster to be described further.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            major: crate::major(),
            preload: "indexpilot".into(),
            conf: Vec::new(),
            env: Vec::new(),
            options: String::new(),
            own_identity: false,
            data: None,
        }
    }

    /// A running cluster with the library preloaded and nothing else said.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn started() -> Self {
        Self::builder().start()
    }

    /// A running cluster with the library preloaded and the extension in database `postgres`.
    ///
    /// # Panics
    /// When it does not start or the extension cannot be created.
    #[must_use]
    #[track_caller]
    pub fn with_extension() -> Self {
        let cluster = Self::started();
        cluster.session().run("CREATE EXTENSION indexpilot");
        cluster
    }

    fn at_fresh_place(server: &'static Server, env: Vec<(String, String)>, options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let name = format!(
            "c{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let dir = ground().join("clusters").join(&name);
        Identity::get().make_dir(&dir);
        // A socket's path has room for 107 bytes; a deep source tree may leave too few.
        let mut sockets = dir.clone();
        if sockets.as_os_str().len() > 80 {
            sockets = std::env::temp_dir().join(format!("indexpilot-{name}"));
            Identity::get().make_dir(&sockets);
        }
        Self {
            server,
            dir,
            sockets,
            env,
            options: options.to_owned(),
            postmaster: None,
        }
    }

    fn base_conf(&self) -> String {
        format!(
            "listen_addresses = ''\n\
             unix_socket_directories = '{}'\n\
             port = {PORT}\n\
             max_connections = 40\n\
             shared_buffers = '16MB'\n\
             fsync = off\n\
             log_line_prefix = '%m [%p] %b %q%d '\n\
             log_lock_waits = on\n",
            self.sockets.display()
        )
    }

    /// The server that this cluster runs on.
    #[must_use]
    pub fn server(&self) -> &'static Server {
        self.server
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The directory of the Unix sockets: the `host` for clients.
    #[must_use]
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// The port, which names the socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// A directory of this cluster for other files, owned by the server's account.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        Identity::get().make_dir(&path);
        path
    }

    /// The whole server log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.dir.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The postmaster's process id.
    ///
    /// # Panics
    /// When the cluster is stopped.
    #[must_use]
    pub fn postmaster_pid(&self) -> i32 {
        let child = self.postmaster.as_ref().expect("a running cluster");
        i32::try_from(child.id()).expect("process ids fit")
    }

    /// Adds lines to postgresql.conf; [`Cluster::reload`] or a restart makes them count.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn append_conf(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        text.push_str(lines);
        text.push('\n');
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Starts a stopped cluster and waits until it accepts connections.
    ///
    /// # Panics
    /// When it does not start, with its log.
    #[track_caller]
    pub fn start(&mut self) {
        if let Err(log) = self.try_start() {
            panic!("the server did not start:\n{log}");
        }
    }

    /// Starts a stopped cluster; when the postmaster ends instead, gives the log.
    ///
    /// # Errors
    /// The whole log, when the server ended before it accepted connections.
    ///
    /// # Panics
    /// When the cluster is running.
    #[track_caller]
    pub fn try_start(&mut self) -> Result<(), String> {
        assert!(self.postmaster.is_none(), "the cluster is running");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("the log file");
        let mut command = Identity::get().command(self.server.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log);
        for (name, value) in &self.env {
            command.env(name, value);
        }
        self.postmaster = Some(command.spawn().expect("start postgres"));
        let start = Instant::now();
        loop {
            let child = self.postmaster.as_mut().expect("just started");
            if child.try_wait().expect("the postmaster's state").is_some() {
                self.postmaster = None;
                return Err(self.log());
            }
            // As pg_ctl does it: a connection that comes too early leaves a FATAL in the log.
            if self.accepts_connections() && self.try_session("postgres").is_ok() {
                return Ok(());
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no connection within {PATIENCE:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the postmaster has written `ready` into the last line of its lock file.
    fn accepts_connections(&self) -> bool {
        fs::read_to_string(self.data().join("postmaster.pid")).is_ok_and(|text| {
            text.lines()
                .nth(7)
                .is_some_and(|line| line.trim() == "ready")
        })
    }

    /// Stops the cluster: `SIGTERM` smart, `SIGINT` fast, `SIGQUIT` immediate (a crash).
    ///
    /// # Panics
    /// When the server does not end in time.
    #[track_caller]
    pub fn stop(&mut self, how: Signal) {
        let pid = self.postmaster_pid();
        kill(Pid::from_raw(pid), how).expect("signal the postmaster");
        let log = self.dir.join("log");
        let child = self.postmaster.as_mut().expect("a running cluster");
        wait_for("the server's end", PATIENCE, || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!(
                "{other:?}\n{}",
                tail(&fs::read_to_string(&log).unwrap_or_default(), 30)
            )),
        });
        self.postmaster = None;
    }

    /// A fast stop and a start.
    ///
    /// # Panics
    /// When either fails.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop(Signal::SIGINT);
        self.start();
    }

    /// Keeps a copy of the data directory of a stopped cluster, for [`Builder::copy_of`].
    ///
    /// # Panics
    /// When the cluster is running, or the copy fails.
    pub fn keep_data(&self, to: &Path) {
        assert!(self.postmaster.is_none(), "the cluster is running");
        let part = to.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        let _ = fs::remove_dir_all(to);
        let parent = to.parent().expect("a directory in the source tree");
        fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        run(Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(self.data())
            .arg(&part));
        fs::rename(&part, to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    }

    /// Makes the server read its configuration, and waits until the postmaster has.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn reload(&self) {
        let mut session = self.session();
        let before = session.text("SELECT pg_catalog.pg_conf_load_time()");
        session.run("SELECT pg_catalog.pg_reload_conf()");
        drop(session);
        // A new session inherits the postmaster's settings, so it shows whether it has read them.
        wait_for("the reload", PATIENCE, || {
            let now = self.session().text("SELECT pg_catalog.pg_conf_load_time()");
            if now == before { Err(now) } else { Ok(()) }
        });
    }

    /// A session of `postgres` in database `postgres`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn session(&self) -> Session {
        self.session_in("postgres")
    }

    /// A session of `postgres` in a database.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn session_in(&self, database: &str) -> Session {
        match self.try_session(database) {
            Ok(session) => session,
            Err(e) => panic!("connect to {database}: {e:?}\n{}", tail(&self.log(), 30)),
        }
    }

    /// A session of some user in a database.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn session_as(&self, user: &str, database: &str) -> Session {
        match Session::open(&self.sockets, PORT, database, user, &self.options) {
            Ok(session) => session,
            Err(e) => panic!("connect to {database} as {user}: {e:?}"),
        }
    }

    /// A session, or the client library's error.
    ///
    /// # Errors
    /// Whatever connecting gave.
    pub fn try_session(&self, database: &str) -> Result<Session, postgres::Error> {
        Session::open(&self.sockets, PORT, database, "postgres", &self.options)
    }

    /// Sends a signal to a backend or worker.
    ///
    /// # Panics
    /// When there is no such process.
    #[track_caller]
    pub fn kill(&self, pid: i32, signal: Signal) {
        assert!(pid > 1, "no backend has process id {pid}");
        if let Err(e) = kill(Pid::from_raw(pid), signal) {
            panic!("send {signal} to {pid}: {e}");
        }
    }

    /// Kills a process with SIGKILL and waits until the server has recovered from it.
    ///
    /// # Panics
    /// When the server does not come back.
    #[track_caller]
    pub fn crash(&self, pid: i32) {
        let ready = "database system is ready to accept connections";
        let count = |log: &str| log.matches(ready).count();
        let before = count(&self.log());
        self.kill(pid, Signal::SIGKILL);
        wait_for("recovery after the crash", PATIENCE, || {
            let log = self.log();
            if count(&log) > before && self.try_session("postgres").is_ok() {
                Ok(())
            } else {
                Err(tail(&log, 20))
            }
        });
    }

    /// The process ids of this server's processes of a `backend_type`
    /// (`pg_stat_activity`), for example `indexpilot launcher`.
    ///
    /// # Panics
    /// When the query fails.
    #[must_use]
    pub fn pids_of(&self, backend_type: &str) -> Vec<i32> {
        let quoted = backend_type.replace('\'', "''");
        self.session()
            .column(&format!(
                "SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = '{quoted}' ORDER BY pid"
            ))
            .iter()
            .map(|pid| pid.parse().expect("a process id"))
            .collect()
    }

    /// A running streaming standby of this cluster, made by pg_basebackup.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    #[track_caller]
    pub fn standby(&self) -> Self {
        let mut standby = Self::at_fresh_place(self.server, self.env.clone(), &self.options);
        run(self
            .program("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
            .arg(standby.data()));
        // The copied configuration names the primary's sockets; later lines win.
        standby.append_conf(&format!(
            "unix_socket_directories = '{}'",
            standby.sockets.display()
        ));
        standby.start();
        standby
    }

    /// Promotes a standby and waits until it writes.
    ///
    /// # Panics
    /// When it does not promote.
    #[track_caller]
    pub fn promote(&self) {
        self.session().run("SELECT pg_catalog.pg_promote(true, 60)");
        self.wait("SELECT pg_catalog.pg_is_in_recovery()", "f");
    }

    /// Runs statements on a stopped cluster in single-user mode.
    ///
    /// # Panics
    /// When the cluster is running.
    pub fn single_user(&self, database: &str, sql: &str) -> crate::Output {
        assert!(self.postmaster.is_none(), "the cluster is running");
        let mut command = Identity::get().command(self.server.bin.join("postgres"));
        command
            .args(["--single", "-D"])
            .arg(self.data())
            .arg(database);
        self.output(&mut command, sql)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- end of the server's log ({}) ---\n{}",
                self.dir.display(),
                tail(&self.log(), 60)
            );
        }
        if let Some(mut child) = self.postmaster.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
            if pid.as_raw() > 1 && kill(pid, Signal::SIGQUIT).is_ok() {
                let start = Instant::now();
                while matches!(child.try_wait(), Ok(None)) {
                    if start.elapsed() > Duration::from_secs(10) {
                        let _ = child.kill();
                        let _ = child.wait();
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        if std::env::var_os("INDEXPILOT_KEEP_CLUSTERS").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
            let _ = fs::remove_dir_all(&self.sockets);
        }
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn copy_as_user(from: &Path, to: &Path) {
    run(Identity::get()
        .command("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from)
        .arg(to));
}
