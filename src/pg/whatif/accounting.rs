//! What was priced, how often from the cache, and what went wrong: counted in shared memory
//! for the whole cluster where the library is preloaded, else in this process alone.

use indexpilot_model::PriceError;
use nix::time::{ClockId, clock_gettime};
use pgrx::pg_guard;
use pgrx::pg_sys;
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// CPU time is measured for one round of evaluations in so many: reading the clock costs as much as a
/// tenth of a small plan.
const TIMED_ONE_IN: u64 = 16;

/// The counters. All of them only grow.
#[derive(Default)]
#[repr(C)]
pub struct Counters {
    /// Prices asked for.
    pub requests: AtomicU64,
    /// Answered from the cache.
    pub cache_hits: AtomicU64,
    /// Planner calls.
    pub planner_calls: AtomicU64,
    /// Tried again after a lock timeout.
    pub retries: AtomicU64,
    /// Failures: cannot be planned.
    pub not_plannable: AtomicU64,
    /// Failures: lock timeout, after all retries.
    pub lock_timeout: AtomicU64,
    /// Failures: cancelled.
    pub cancelled: AtomicU64,
    /// Failures: the index definition.
    pub invalid_index: AtomicU64,
    /// Failures: rights.
    pub insufficient_privilege: AtomicU64,
    /// Failures: anything else.
    pub other: AtomicU64,
    /// Evaluations whose CPU time was measured.
    pub timed: AtomicU64,
    /// Their CPU time, nanoseconds.
    pub timed_ns: AtomicU64,
    /// Of that, copying the query and the planner itself.
    pub timed_planner_ns: AtomicU64,
}

static LOCAL: Counters = Counters {
    requests: AtomicU64::new(0),
    cache_hits: AtomicU64::new(0),
    planner_calls: AtomicU64::new(0),
    retries: AtomicU64::new(0),
    not_plannable: AtomicU64::new(0),
    lock_timeout: AtomicU64::new(0),
    cancelled: AtomicU64::new(0),
    invalid_index: AtomicU64::new(0),
    insufficient_privilege: AtomicU64::new(0),
    other: AtomicU64::new(0),
    timed: AtomicU64::new(0),
    timed_ns: AtomicU64::new(0),
    timed_planner_ns: AtomicU64::new(0),
};
static SHARED: AtomicPtr<Counters> = AtomicPtr::new(std::ptr::null_mut());

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Asks for shared memory. Once, from `_PG_init`, while libraries are preloaded.
pub(super) fn install() {
    // SAFETY: _PG_init runs once, in the main thread.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress {
            return;
        }
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn request() {
    // SAFETY: called by the postmaster where requests are allowed.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(std::mem::size_of::<Counters>());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn startup() {
    // SAFETY: zeroes, which the server gives, are valid counters; atomics need no lock.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        let mut found = false;
        let place = pg_sys::ShmemInitStruct(
            c"indexpilot what-if accounting".as_ptr(),
            std::mem::size_of::<Counters>(),
            &mut found,
        )
        .cast::<Counters>();
        if !found {
            place.write(Counters::default());
        }
        SHARED.store(place, Ordering::Relaxed);
    }
}

/// The counters, and whether they are the whole cluster's.
pub fn counters() -> (&'static Counters, bool) {
    let shared = SHARED.load(Ordering::Relaxed);
    if shared.is_null() {
        (&LOCAL, false)
    } else {
        // SAFETY: shared memory of the cluster, mapped as long as the process lives.
        (unsafe { &*shared }, true)
    }
}

pub(super) fn count(counter: impl FnOnce(&Counters) -> &AtomicU64, by: u64) {
    counter(counters().0).fetch_add(by, Ordering::Relaxed);
}

pub(super) fn count_failure(error: &PriceError) {
    count(
        |all| match error {
            PriceError::NotPlannable(_) => &all.not_plannable,
            PriceError::LockTimeout => &all.lock_timeout,
            PriceError::Cancelled => &all.cancelled,
            PriceError::InvalidIndex(_) => &all.invalid_index,
            PriceError::InsufficientPrivilege(_) => &all.insufficient_privilege,
            PriceError::Other(_) => &all.other,
        },
        1,
    );
}

thread_local! {
    static SEQUENCE: Cell<u64> = const { Cell::new(0) };
}

/// Measures the CPU time of one round of evaluations in [`TIMED_ONE_IN`].
pub(super) struct Stopwatch {
    started: Option<u64>,
    planner: Cell<u64>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let number = SEQUENCE.get();
        SEQUENCE.set(number.wrapping_add(1));
        Stopwatch {
            started: number.is_multiple_of(TIMED_ONE_IN).then(cpu_ns),
            planner: Cell::new(0),
        }
    }

    /// Runs a part that counts as the planner's.
    pub(super) fn planner<R>(&self, body: impl FnOnce() -> R) -> R {
        if self.started.is_none() {
            return body();
        }
        let before = cpu_ns();
        let result = body();
        self.planner.set(self.planner.get() + cpu_ns() - before);
        result
    }

    /// Ends with so many evaluations made.
    pub(super) fn stop(self, evaluations: u64) {
        if let Some(started) = self.started {
            count(|all| &all.timed, evaluations);
            count(|all| &all.timed_ns, cpu_ns() - started);
            count(|all| &all.timed_planner_ns, self.planner.get());
        }
    }
}

/// CPU time of this process, nanoseconds; 0 where the system has no such clock.
fn cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(|time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        .unwrap_or(0)
}
