//! Parts of the server's shared memory that are macros in C.

use pgrx::pg_sys;

/// AddinShmemInitLock: a macro over place 21 of the array (lwlocknames.txt, lwlocklist.h) in
/// 15 to 18.
///
/// # Safety
/// With shared memory attached.
pub unsafe fn addin_shmem_init_lock() -> *mut pg_sys::LWLock {
    const PLACE: usize = 21;
    // SAFETY: the array has all individual locks once shared memory is attached.
    unsafe { &raw mut (*pg_sys::MainLWLockArray.add(PLACE)).lock }
}
