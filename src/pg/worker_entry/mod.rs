//! How the launcher and the workers come to be, are woken, stopped and connected.
//!
//! The launcher is registered at server start and starts once the server accepts writes, so
//! a standby gets one at promotion. It connects to no database: nothing it holds stands in
//! the way of DROP DATABASE, RENAME or a template copy. Workers are dynamic, one a database,
//! and only while there is work.
//!
//! SIGINT stays as the server sets it (cancel), SIGTERM becomes `die`, so that both interrupt
//! DDL where it waits; SIGHUP asks to read the configuration.

pub mod board;

use crate::pg::compat::signals;
use crate::pg::process;
use crate::pg::transaction::{self, ServerError};
use board::{CancelReason, Presence, Request, Slot, board};
use pgrx::bgworkers::{
    BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime, DynamicBackgroundWorker,
};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::{CString, c_int};
use std::sync::OnceLock;
use std::time::Duration;

/// `backend_type` of the launcher in pg_stat_activity.
pub const LAUNCHER: &str = "indexpilot launcher";
/// `backend_type` of a worker.
pub const WORKER: &str = "indexpilot worker";

/// What the rooms above do in these processes.
#[derive(Clone, Copy)]
pub struct Bodies {
    /// Runs the launcher; returns when it has to be started anew.
    pub launcher: fn(),
    /// Runs a worker, connected to its database; returns when there is no more to do.
    pub worker: fn(),
}

static BODIES: OnceLock<Bodies> = OnceLock::new();

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

unsafe extern "C-unwind" {
    // The bindings' own versions are Rust functions and no handlers.
    fn die(signal: c_int);
    fn SignalHandlerForConfigReload(signal: c_int);
    fn kill(process: c_int, signal: c_int) -> c_int;
}

/// Registers the launcher and asks for the board's memory. Does nothing where the library is
/// not being preloaded, and in pg_upgrade, which fails while a launcher is connected.
pub fn register(bodies: Bodies) {
    if !process::preloading() || process::in_binary_upgrade() {
        return;
    }
    // SAFETY: plain globals, read and written in the postmaster's only thread while it loads
    // libraries; the previous hooks are called on.
    unsafe {
        if BODIES.set(bodies).is_err() {
            return;
        }
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request_memory);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(attach_memory);
    }
    BackgroundWorkerBuilder::new(LAUNCHER)
        .set_type(LAUNCHER)
        .set_library("indexpilot")
        .set_function("indexpilot_launcher_main")
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(Duration::from_secs(2)))
        .load();
}

#[pg_guard]
unsafe extern "C-unwind" fn request_memory() {
    // SAFETY: the hook's own place to ask for memory; the previous hook first.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(board::bytes());
        pg_sys::RequestAddinShmemSpace(crate::pg::ddl_notices::bytes());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn attach_memory() {
    // SAFETY: the hook's own place to attach; the previous hook first.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        board::attach();
        crate::pg::ddl_notices::attach();
    }
}

/// Handlers, and the connection: to `database`, or to the shared catalogs only (0). As the
/// bootstrap superuser, whether or not it may log in by name.
fn connect(database: u32) {
    // SAFETY: a new background worker with signals still blocked. Handlers are the server's.
    unsafe {
        signals::set(pg_sys::SIGHUP as c_int, SignalHandlerForConfigReload);
        signals::set(pg_sys::SIGTERM as c_int, die);
        pg_sys::BackgroundWorkerUnblockSignals();
        if database == 0 {
            pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0);
        } else {
            pg_sys::BackgroundWorkerInitializeConnectionByOid(
                pg_sys::Oid::from(database),
                pg_sys::InvalidOid,
                0,
            );
        }
        pg_sys::pgstat_report_appname(c"indexpilot".as_ptr());
        // A SIGHUP between the fork and the handler was ignored: read the files once.
        pg_sys::ConfigReloadPending = 1;
        reread_configuration();
    }
}

/// Settings that the site may have made hostile, put right for a process of ours.
fn own_settings() {
    const SETTINGS: &[(&str, &str)] = &[
        ("search_path", "pg_catalog, pg_temp"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("transaction_timeout", "0"),
        ("default_transaction_read_only", "off"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_deferrable", "off"),
        ("row_security", "off"),
        ("session_replication_role", "origin"),
        ("default_tablespace", ""),
        ("default_toast_compression", "pglz"),
        ("check_function_bodies", "on"),
        ("standard_conforming_strings", "on"),
        ("client_min_messages", "warning"),
        ("synchronous_commit", "on"),
        // Ours is the deadlock that is found first, so a client is not the one to suffer.
        ("deadlock_timeout", "100ms"),
    ];
    for (name, value) in SETTINGS {
        // Not every major has every setting.
        let _ = set(name, value);
    }
}

/// Changes a setting of this process for good.
///
/// # Errors
/// The server's, where the setting or the value is unknown.
pub fn set(name: &str, value: &str) -> Result<(), ServerError> {
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
        return Ok(());
    };
    // SAFETY: both strings live over the call; the server copies them.
    transaction::attempt(|| unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
    })
}

/// Entry point of the launcher.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn indexpilot_launcher_main(_argument: pg_sys::Datum) {
    connect(0);
    let (Some(bodies), Some(board)) = (BODIES.get(), board()) else {
        return;
    };
    // SAFETY: registered once in this process; the callback touches shared atomics alone.
    unsafe { pg_sys::before_shmem_exit(Some(launcher_leaves), pg_sys::Datum::from(0)) };
    board.set_launcher(process::id());
    (bodies.launcher)();
    // An exit code other than 0 makes the postmaster start the next launcher.
    // SAFETY: outside a transaction, at the end of the process.
    unsafe { pg_sys::proc_exit(1) };
}

/// Without a launcher there is no watchdog: builds that go on would be unwatched.
#[pg_guard]
unsafe extern "C-unwind" fn launcher_leaves(_code: c_int, _argument: pg_sys::Datum) {
    if let Some(board) = board() {
        board.set_launcher(0);
        for slot in board.taken().filter(|slot| slot.building()) {
            cancel(slot, CancelReason::WatchdogGone);
        }
    }
}

/// Entry point of a worker; the argument is the database's OID.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn indexpilot_worker_main(argument: pg_sys::Datum) {
    connect(argument.value() as u32);
    let Some(bodies) = BODIES.get() else { return };
    let Some(slot) = own_slot() else { return };
    if !slot.enter(process::id()) {
        return;
    }
    // SAFETY: as for the launcher.
    unsafe { pg_sys::before_shmem_exit(Some(worker_leaves), pg_sys::Datum::from(0)) };
    own_settings();
    (bodies.worker)();
}

#[pg_guard]
unsafe extern "C-unwind" fn worker_leaves(code: c_int, _argument: pg_sys::Datum) {
    if let Some(slot) = own_slot() {
        // It was terminated, perhaps in the middle of a job: the next one has to look.
        if code != 0 {
            slot.set_jobs_due(Some(1));
        }
        slot.leave(process::id());
    }
    wake_launcher();
}

/// The slot of the database that this process is connected to.
pub fn own_slot() -> Option<&'static Slot> {
    board()?.find_or_take(crate::pg::spi::database())
}

/// A worker that was asked for.
pub struct Started(DynamicBackgroundWorker);

impl Started {
    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        matches!(
            self.0.pid(),
            Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied)
        )
    }
}

/// Asks the postmaster for a worker of a database; `None` when all of
/// `max_worker_processes` are in use. The launcher's alone: it is told when the worker ends.
pub fn start_worker(database: pg_sys::Oid) -> Option<Started> {
    BackgroundWorkerBuilder::new(&format!("{WORKER} of database {}", database.to_u32()))
        .set_type(WORKER)
        .set_library("indexpilot")
        .set_function("indexpilot_worker_main")
        .set_argument(Some(pg_sys::Datum::from(database)))
        .set_notify_pid(process::id())
        .enable_spi_access()
        .set_restart_time(None)
        .load_dynamic()
        .ok()
        .map(Started)
}

/// Sets the latch of a process of this server; nothing happens where it is gone.
fn wake(pid: i32) {
    if pid == 0 {
        return;
    }
    // SAFETY: PGPROC entries are never freed; one that was reused gets a needless wake-up,
    // which every latch loop bears.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        if !process.is_null() {
            pg_sys::SetLatch(&mut (*process).procLatch);
        }
    }
}

/// Wakes the launcher.
pub fn wake_launcher() {
    if let Some(board) = board() {
        wake(board.launcher());
    }
}

/// Sends SIGINT to the worker of a slot, with a reason that it finds on the board. Only a
/// process of this server is ever signalled.
pub fn cancel(slot: &Slot, reason: CancelReason) {
    slot.set_cancel_reason(reason);
    signal(slot.worker(), pg_sys::SIGINT as c_int);
}

/// Sends SIGTERM to the worker of a slot.
pub fn terminate(slot: &Slot) {
    signal(slot.worker(), pg_sys::SIGTERM as c_int);
}

fn signal(pid: i32, signal: c_int) {
    if pid <= 0 {
        return;
    }
    // SAFETY: looked up in the process array first, so the id belongs to this server.
    unsafe {
        if !pg_sys::BackendPidGetProc(pid).is_null() {
            kill(pid, signal);
        }
    }
}

/// Leaves a request for the worker of a database and wakes it, or the launcher, which
/// starts it. False where there is no board or no slot.
pub fn ask(database: pg_sys::Oid, request: Request) -> bool {
    let Some(board) = board() else { return false };
    let Some(slot) = board.find_or_take(database) else {
        return false;
    };
    if slot.presence() == Presence::Absent {
        slot.set_presence(Presence::Unknown);
    }
    slot.request(request);
    wake(slot.worker());
    wake(board.launcher());
    true
}

/// As [`ask`] for this database, when the present transaction commits: the worker must see
/// what it wrote.
pub fn ask_at_commit(request: Request) {
    let database = crate::pg::spi::database();
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || {
        ask(database, request);
    });
}

/// Waits for the latch, a signal or the end of `patience`, then reads the configuration if
/// that was asked for. Returns early on any wake-up.
///
/// # Errors
/// A cancel that arrived meanwhile; the caller goes on.
pub fn wait(patience: Duration) -> Result<(), ServerError> {
    let milliseconds = patience.as_millis().min(3_600_000) as std::ffi::c_long;
    transaction::attempt(|| {
        // SAFETY: our own latch, in the main thread, outside a transaction.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as c_int,
                milliseconds,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pg_sys::check_for_interrupts!();
        reread_configuration();
    })
}

/// Reads the configuration files if SIGHUP came.
pub fn reread_configuration() {
    // SAFETY: the flag is set by the handler and cleared here, as the server's own loops do.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Shows in pg_stat_activity what this process does; `None` is idle.
pub fn report_activity(what: Option<&str>) {
    let text = what.and_then(|what| CString::new(what).ok());
    // SAFETY: the string is copied by the server.
    unsafe {
        match &text {
            Some(text) => {
                pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr())
            }
            None => {
                pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null())
            }
        }
    }
}

/// Databases that accept connections and are no templates. Outside a transaction, in the
/// launcher (no database is needed: pg_database is shared).
///
/// # Errors
/// The server's.
pub fn databases() -> Result<Vec<pg_sys::Oid>, ServerError> {
    transaction::attempt(|| {
        let mut found = Vec::new();
        // SAFETY: as autovacuum's get_database_list(): a transaction for the snapshot, a
        // sequential scan of a shared catalog, everything closed before the commit.
        unsafe {
            pg_sys::StartTransactionCommand();
            pg_sys::GetTransactionSnapshot();
            let relation = pg_sys::table_open(
                pg_sys::DatabaseRelationId,
                pg_sys::AccessShareLock as pg_sys::LOCKMODE,
            );
            let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    break;
                }
                let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
                if (*row).datallowconn && !(*row).datistemplate && (*row).datconnlimit != -2 {
                    found.push((*row).oid);
                }
            }
            pg_sys::table_endscan(scan);
            pg_sys::table_close(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            pg_sys::CommitTransactionCommand();
        }
        found
    })
}
