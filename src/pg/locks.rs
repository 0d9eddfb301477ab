//! The lock table, read from outside: who waits for one of our processes.
//!
//! `pg_blocking_pids()` needs a database, the launcher has none; this reads the same data.

use crate::pg::transaction::{self, ServerError};
use pgrx::pg_sys;

/// Which of `pids` hold, or wait ahead in a queue for, a lock that some other process waits
/// for. Parallel workers count as their leader; waits of our own processes on one another
/// do not count.
///
/// The rule is that of `pg_blocking_pids()` (lockfuncs.c) but for the order of the queue,
/// which the copied table does not hold: a process of ours that waits itself counts as ahead
/// of everyone whose request conflicts with its own and came later.
///
/// # Errors
/// The server's, out of memory in the first place.
pub fn blocked_by(pids: &[i32]) -> Result<Vec<i32>, ServerError> {
    transaction::attempt(|| {
        // SAFETY: the copy of the lock table is palloc'd in a context of its own, read within
        // its length and freed with the context; LockData's array has `nelements` entries.
        unsafe {
            let context = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"indexpilot lock table".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let before = pg_sys::MemoryContextSwitchTo(context);
            let data = pg_sys::GetLockStatusData();
            let locks = std::slice::from_raw_parts((*data).locks, (*data).nelements as usize);
            let found = blocking(locks, pids);
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextDelete(context);
            found
        }
    })
}

fn same(a: &pg_sys::LOCKTAG, b: &pg_sys::LOCKTAG) -> bool {
    (
        a.locktag_field1,
        a.locktag_field2,
        a.locktag_field3,
        a.locktag_field4,
        a.locktag_type,
        a.locktag_lockmethodid,
    ) == (
        b.locktag_field1,
        b.locktag_field2,
        b.locktag_field3,
        b.locktag_field4,
        b.locktag_type,
        b.locktag_lockmethodid,
    )
}

/// Whether any mode of a mask conflicts with a mode. Both lock methods of the server share
/// one table of conflicts.
fn conflicts(held: pg_sys::LOCKMASK, wanted: pg_sys::LOCKMODE) -> bool {
    (1..=pg_sys::MaxLockMode as pg_sys::LOCKMODE).any(|mode| {
        // SAFETY: looks two modes up in a static table.
        held & (1 << mode) != 0 && unsafe { pg_sys::DoLockModesConflict(mode, wanted) }
    })
}

fn blocking(locks: &[pg_sys::LockInstanceData], pids: &[i32]) -> Vec<i32> {
    let ours = |lock: &pg_sys::LockInstanceData| pids.contains(&lock.leaderPid);
    let mut found = Vec::new();
    for waiter in locks
        .iter()
        .filter(|lock| lock.waitLockMode != 0 && !ours(lock))
    {
        for lock in locks.iter().filter(|lock| ours(lock)) {
            if found.contains(&lock.leaderPid) || !same(&lock.locktag, &waiter.locktag) {
                continue;
            }
            let ahead = lock.waitLockMode != 0
                && lock.waitStart != 0
                && (waiter.waitStart == 0 || lock.waitStart <= waiter.waitStart)
                && conflicts(1 << lock.waitLockMode, waiter.waitLockMode);
            if conflicts(lock.holdMask, waiter.waitLockMode) || ahead {
                found.push(lock.leaderPid);
            }
        }
    }
    found
}
