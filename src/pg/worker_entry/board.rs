//! The notice board: what launcher, workers and sessions tell one another, in shared memory.
//!
//! One slot a database that may hold the extension. Everything is a plain atomic: whoever
//! reads a stale value acts a tick later, and nothing here decides about data. The truth
//! about jobs lives in tables, because a crash of any process resets this memory.

use pgrx::pg_sys;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Databases that can be attended to at once in one cluster. One more is left alone, which
/// the launcher says in the log.
pub const SLOTS: usize = 256;

/// Whether a database holds the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody has looked yet, or something changed.
    Unknown,
    /// It is there.
    Present,
    /// It is not.
    Absent,
}

/// Something a session asks a worker for; bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Request {
    /// End as soon as possible.
    Stop = 1,
    /// Analyse now, not at the next interval.
    Analyze = 2,
    /// There are jobs to take.
    Jobs = 4,
    /// Save the counters now.
    Flush = 8,
}

/// Why somebody cancelled what the worker was doing. The worker sees only a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CancelReason {
    /// Not by us: an operator, or nobody.
    None = 0,
    /// A client waited for a lock of ours.
    ClientWaited = 1,
    /// `cancel(job)`.
    Operator = 2,
    /// `indexpilot.enabled` was switched off.
    Disabled = 3,
    /// The database is about to be dropped, renamed or copied.
    DatabaseNeeded = 4,
    /// The launcher ended, and with it the watchdog.
    WatchdogGone = 5,
}

impl CancelReason {
    fn from_u32(value: u32) -> Self {
        match value {
            1 => CancelReason::ClientWaited,
            2 => CancelReason::Operator,
            3 => CancelReason::Disabled,
            4 => CancelReason::DatabaseNeeded,
            5 => CancelReason::WatchdogGone,
            _ => CancelReason::None,
        }
    }
}

/// One database.
#[repr(C)]
pub struct Slot {
    database: AtomicU32,
    presence: AtomicU32,
    worker: AtomicI32,
    requests: AtomicU32,
    /// The worker runs DDL that takes locks: the watchdog looks after it.
    building: AtomicU32,
    cancel_reason: AtomicU32,
    /// Somebody needs the database without connections: no worker is started before this moment
    /// (microseconds since the Unix epoch). Passes by itself; the worker that leaves for it does
    /// not take it back.
    held_until: AtomicI64,
    /// A worker was started: should it fail at once, the next one waits until this moment. Taken
    /// back by the worker when it ends well.
    paused_until: AtomicI64,
    /// Moment of the next analysis (microseconds since the Unix epoch); 0 is at once.
    analysis_due: AtomicI64,
    /// Moment of the next job (microseconds since the Unix epoch); 0 is none.
    jobs_due: AtomicI64,
    /// Analyses begun since the server started; they are numbered from 1.
    analyses_begun: AtomicU64,
    /// Number of the last analysis that is finished.
    analyses: AtomicU64,
}

impl Slot {
    /// The database.
    pub fn database(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.database.load(Ordering::Acquire))
    }

    /// Whether it holds the extension.
    pub fn presence(&self) -> Presence {
        match self.presence.load(Ordering::Acquire) {
            1 => Presence::Present,
            2 => Presence::Absent,
            _ => Presence::Unknown,
        }
    }

    /// Records whether it holds the extension.
    pub fn set_presence(&self, presence: Presence) {
        let value = match presence {
            Presence::Unknown => 0,
            Presence::Present => 1,
            Presence::Absent => 2,
        };
        self.presence.store(value, Ordering::Release);
    }

    /// Process id of its worker; 0 is none.
    pub fn worker(&self) -> i32 {
        self.worker.load(Ordering::Acquire)
    }

    /// Makes this process the worker; false when there is one already.
    pub fn enter(&self, pid: i32) -> bool {
        self.worker
            .compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The worker ends.
    pub fn leave(&self, pid: i32) {
        self.building.store(0, Ordering::Release);
        let _ = self
            .worker
            .compare_exchange(pid, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Leaves a request, and says nothing: see [`super::ask`].
    pub fn request(&self, request: Request) {
        self.requests.fetch_or(request as u32, Ordering::AcqRel);
    }

    /// Takes a request back: whether it was there.
    pub fn take(&self, request: Request) -> bool {
        self.requests.fetch_and(!(request as u32), Ordering::AcqRel) & request as u32 != 0
    }

    /// Whether the request is there.
    pub fn asked(&self, request: Request) -> bool {
        self.requests.load(Ordering::Acquire) & request as u32 != 0
    }

    /// Whether any request is there.
    pub fn asked_anything(&self) -> bool {
        self.requests.load(Ordering::Acquire) != 0
    }

    /// Whether the worker runs DDL now.
    pub fn building(&self) -> bool {
        self.building.load(Ordering::Acquire) != 0
    }

    /// The worker starts or ends DDL.
    pub fn set_building(&self, building: bool) {
        if building {
            self.cancel_reason.store(0, Ordering::Release);
        }
        self.building.store(u32::from(building), Ordering::Release);
    }

    /// Says why a cancel is about to be sent.
    pub fn set_cancel_reason(&self, reason: CancelReason) {
        self.cancel_reason.store(reason as u32, Ordering::Release);
    }

    /// Why the last cancel was sent.
    pub fn cancel_reason(&self) -> CancelReason {
        CancelReason::from_u32(self.cancel_reason.load(Ordering::Acquire))
    }

    /// Somebody needs the database until `moment`: no worker is started before it.
    pub fn hold_until(&self, moment: i64) {
        self.held_until.store(moment, Ordering::Release);
    }

    /// Whether somebody needs the database at `now`: a worker leaves.
    pub fn is_needed(&self, now: i64) -> bool {
        self.held_until.load(Ordering::Acquire) > now
    }

    /// No worker is started before `moment`, or, with 0, one may be as far as that goes.
    pub fn pause_until(&self, moment: i64) {
        self.paused_until.store(moment, Ordering::Release);
    }

    /// The moment before which no worker is started.
    pub fn not_before(&self) -> i64 {
        let held = self.held_until.load(Ordering::Acquire);
        held.max(self.paused_until.load(Ordering::Acquire))
    }

    /// When the next analysis is due.
    pub fn analysis_due(&self) -> i64 {
        self.analysis_due.load(Ordering::Acquire)
    }

    /// An analysis is due at `moment`.
    pub fn set_analysis_due(&self, moment: i64) {
        self.analysis_due.store(moment, Ordering::Release);
    }

    /// When the next job is due; `None` where none waits.
    pub fn jobs_due(&self) -> Option<i64> {
        match self.jobs_due.load(Ordering::Acquire) {
            0 => None,
            moment => Some(moment),
        }
    }

    /// The next job is due at `moment`.
    pub fn set_jobs_due(&self, moment: Option<i64>) {
        self.jobs_due.store(moment.unwrap_or(0), Ordering::Release);
    }

    /// Analyses begun since the server started.
    pub fn analyses_begun(&self) -> u64 {
        self.analyses_begun.load(Ordering::Acquire)
    }

    /// Number of the last analysis that is finished.
    pub fn analyses_finished(&self) -> u64 {
        self.analyses.load(Ordering::Acquire)
    }

    /// An analysis begins: it has read nothing yet. The worker alone says so.
    pub fn begin_analysis(&self) {
        self.analyses_begun.fetch_add(1, Ordering::AcqRel);
    }

    /// The analysis that was begun last is finished.
    pub fn finish_analysis(&self) {
        self.analyses
            .store(self.analyses_begun(), Ordering::Release);
    }

    fn clear(&self) {
        self.presence.store(0, Ordering::Release);
        self.requests.store(0, Ordering::Release);
        self.building.store(0, Ordering::Release);
        self.held_until.store(0, Ordering::Release);
        self.paused_until.store(0, Ordering::Release);
        self.analysis_due.store(0, Ordering::Release);
        self.jobs_due.store(0, Ordering::Release);
        self.analyses_begun.store(0, Ordering::Release);
        self.analyses.store(0, Ordering::Release);
    }
}

/// The board.
#[repr(C)]
pub struct Board {
    launcher: AtomicI32,
    slots: [Slot; SLOTS],
}

static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());

impl Board {
    /// Process id of the launcher; 0 is none.
    pub fn launcher(&self) -> i32 {
        self.launcher.load(Ordering::Acquire)
    }

    /// The launcher comes (its process id) or goes (0).
    pub fn set_launcher(&self, pid: i32) {
        self.launcher.store(pid, Ordering::Release);
    }

    /// The slot of a database.
    pub fn find(&self, database: pg_sys::Oid) -> Option<&Slot> {
        let wanted = database.to_u32();
        self.slots
            .iter()
            .find(|slot| wanted != 0 && slot.database.load(Ordering::Acquire) == wanted)
    }

    /// The slot of a database, taken where it has none; `None` when all are taken. Two
    /// processes may each take one for the same database in the same moment: the launcher
    /// and the sessions then find the first, and [`Board::retain`] frees the other.
    pub fn find_or_take(&self, database: pg_sys::Oid) -> Option<&Slot> {
        if let Some(slot) = self.find(database) {
            return Some(slot);
        }
        let wanted = database.to_u32();
        for slot in &self.slots {
            if slot
                .database
                .compare_exchange(0, wanted, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                break;
            }
        }
        self.find(database)
    }

    /// Slots that are taken.
    pub fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.slots
            .iter()
            .filter(|slot| slot.database.load(Ordering::Acquire) != 0)
    }

    /// Frees the slots of databases that are gone, and second slots. The launcher's alone.
    pub fn retain(&self, databases: &[pg_sys::Oid]) {
        let mut seen = Vec::new();
        for slot in self.taken() {
            let database = slot.database();
            if (!databases.contains(&database) || seen.contains(&database)) && slot.worker() == 0 {
                slot.clear();
                slot.database.store(0, Ordering::Release);
            }
            seen.push(database);
        }
    }
}

/// The board; `None` where the library was not preloaded.
pub fn board() -> Option<&'static Board> {
    // SAFETY: set once, in shared memory that lives as long as the process; all fields are
    // atomics.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }
}

/// Bytes of shared memory that the board needs.
pub(super) fn bytes() -> usize {
    std::mem::size_of::<Board>()
}

/// Finds or makes the board.
///
/// # Safety
/// Only from `shmem_startup_hook`.
pub(super) unsafe fn attach() {
    // SAFETY: called while shared memory is set up. The lock keeps two processes from
    // initialising (EXEC_BACKEND); zeroes are a valid empty board.
    unsafe {
        let lock = &raw mut (*pg_sys::MainLWLockArray.add(ADDIN_SHMEM_INIT_LOCK)).lock;
        let mut found = false;
        pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
        let memory = pg_sys::ShmemInitStruct(c"indexpilot board".as_ptr(), bytes(), &mut found)
            .cast::<Board>();
        if !found {
            std::ptr::write_bytes(memory, 0, 1);
        }
        pg_sys::LWLockRelease(lock);
        BOARD.store(memory, Ordering::Release);
    }
}

/// AddinShmemInitLock's place in `MainLWLockArray` (lwlocknames.txt), the same in 15 to 18.
pub(in crate::pg) const ADDIN_SHMEM_INIT_LOCK: usize = 21;
