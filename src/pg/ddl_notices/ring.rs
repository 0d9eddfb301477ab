//! The ring between sessions and workers: fixed slots in shared memory, each with a state.
//! A session takes a free slot, writes, and marks it full; the worker of the database takes
//! full ones. No lock, and no waiting: without a free slot the notice is counted as lost.

use super::{Access, Notice};
use crate::pg::worker_entry::board::ADDIN_SHMEM_INIT_LOCK;
use pgrx::pg_sys;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Notices that wait at once for all workers of the cluster, 400 bytes each.
const SLOTS: usize = 1_024;

const FREE: u32 = 0;
const WRITING: u32 = 1;
const FULL: u32 = 2;
const READING: u32 = 3;

/// A short text in place, cut at a character.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Text<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// Nothing.
    pub const EMPTY: Self = Text {
        length: 0,
        bytes: [0; N],
    };

    /// A copy of a C string; nothing for NULL and for what is not UTF-8.
    ///
    /// # Safety
    /// NULL or NUL-terminated.
    pub(super) unsafe fn from_pointer(text: *const c_char) -> Self {
        if text.is_null() {
            return Self::EMPTY;
        }
        // SAFETY: by contract.
        let text = unsafe { CStr::from_ptr(text) };
        let text = indexpilot_model::identifier::clip(text.to_str().unwrap_or(""), N.min(255));
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Text {
            length: text.len() as u8,
            bytes,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }
}

impl<const N: usize> std::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[repr(C)]
struct Slot {
    state: AtomicU32,
    database: AtomicU32,
    notice: UnsafeCell<Notice>,
}

#[repr(C)]
struct Ring {
    next: AtomicU64,
    transactions: AtomicU64,
    lost: AtomicU64,
    slots: [Slot; SLOTS],
}

static RING: AtomicPtr<Ring> = AtomicPtr::new(std::ptr::null_mut());

/// Bytes of shared memory that the ring needs.
pub fn bytes() -> usize {
    std::mem::size_of::<Ring>()
}

/// Finds or makes the ring.
///
/// # Safety
/// Only from `shmem_startup_hook`.
pub unsafe fn attach() {
    // SAFETY: by contract. Zeroes are a valid ring: every slot is free, and no notice is
    // read before it was written.
    unsafe {
        let lock = &raw mut (*pg_sys::MainLWLockArray.add(ADDIN_SHMEM_INIT_LOCK)).lock;
        let mut found = false;
        pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
        let memory =
            pg_sys::ShmemInitStruct(c"indexpilot ddl notices".as_ptr(), bytes(), &mut found)
                .cast::<Ring>();
        if !found {
            std::ptr::write_bytes(memory, 0, 1);
        }
        pg_sys::LWLockRelease(lock);
        RING.store(memory, Ordering::Release);
    }
}

fn ring() -> Option<&'static Ring> {
    // SAFETY: set once, in shared memory that lives as long as the process; what is no
    // atomic is guarded by a slot's state.
    unsafe { RING.load(Ordering::Acquire).as_ref() }
}

// SAFETY: `notice` is touched only by the process that moved the state to WRITING or READING.
unsafe impl Sync for Slot {}

/// Counts notices that nobody will see.
pub(super) fn count_lost(count: u64) {
    if let Some(ring) = ring() {
        ring.lost.fetch_add(count, Ordering::Relaxed);
    }
}

/// Notices lost since the server started, in all databases.
pub fn lost() -> u64 {
    ring().map_or(0, |ring| ring.lost.load(Ordering::Relaxed))
}

/// Hands the notices of one committed transaction to the worker.
pub(super) fn publish(notices: impl Iterator<Item = Notice>) {
    let Some(ring) = ring() else { return };
    let transaction = ring.transactions.fetch_add(1, Ordering::Relaxed) + 1;
    for mut notice in notices {
        notice.transaction = transaction;
        notice.ticket = ring.next.fetch_add(1, Ordering::Relaxed);
        let free = (0..SLOTS)
            .map(|step| &ring.slots[(notice.ticket as usize + step) % SLOTS])
            .find(|slot| {
                slot.state
                    .compare_exchange(FREE, WRITING, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            });
        let Some(slot) = free else {
            ring.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        slot.database
            .store(notice.database.to_u32(), Ordering::Relaxed);
        // SAFETY: the slot is ours while its state is WRITING.
        unsafe { *slot.notice.get() = notice };
        slot.state.store(FULL, Ordering::Release);
    }
}

/// Whether notices of this database wait. Reads shared memory only.
pub fn pending(database: u32) -> bool {
    ring().is_some_and(|ring| {
        ring.slots.iter().any(|slot| {
            slot.state.load(Ordering::Acquire) == FULL
                && slot.database.load(Ordering::Relaxed) == database
        })
    })
}

/// Takes the notices of this database, in order of arrival.
pub fn drain(database: u32) -> Vec<Notice> {
    let Some(ring) = ring() else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    for slot in &ring.slots {
        if slot.state.load(Ordering::Acquire) != FULL
            || slot.database.load(Ordering::Relaxed) != database
            || slot
                .state
                .compare_exchange(FULL, READING, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            continue;
        }
        // SAFETY: the slot is ours while its state is READING, and it was written.
        notices.push(unsafe { *slot.notice.get() });
        slot.state.store(FREE, Ordering::Release);
    }
    notices.sort_by_key(|notice| notice.ticket);
    notices
}

const _: () = assert!(Access::Created as u8 == 0, "zeroes are a valid notice");
