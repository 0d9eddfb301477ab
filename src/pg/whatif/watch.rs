//! Which relations have changed: the server's relcache invalidations, counted for the
//! relations that somebody here depends on.

use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

thread_local! {
    static EPOCH: Cell<u64> = const { Cell::new(1) };
    static EVERYTHING: Cell<u64> = const { Cell::new(0) };
    /// Epoch of the last change of each watched relation.
    static CHANGED: RefCell<HashMap<u32, u64>> = RefCell::new(HashMap::new());
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// The present epoch; every change begins a new one.
pub(super) fn epoch() -> u64 {
    register();
    EPOCH.get()
}

/// Reads the invalidations that others have sent.
pub(super) fn refresh() {
    // SAFETY: within a transaction; may rebuild cache entries, as any lock would.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Begins to watch a relation.
pub(super) fn add(relation: pg_sys::Oid) {
    CHANGED.with_borrow_mut(|changed| {
        changed.entry(relation.to_u32()).or_insert(0);
    });
}

/// Whether the relation changed after `epoch` was the present one. Changes show as soon as
/// invalidations are read, which taking a lock does.
pub(super) fn changed_since(relation: pg_sys::Oid, epoch: u64) -> bool {
    EVERYTHING.get() > epoch
        || CHANGED.with_borrow(|changed| {
            // Not watched: nothing is known, so everything may have happened.
            changed.get(&relation.to_u32()).is_none_or(|at| *at > epoch)
        })
}

fn register() {
    if !REGISTERED.replace(true) {
        // SAFETY: registered once a process; the callback lives as long as the library.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::null());
            pg_sys::CacheRegisterSyscacheCallback(
                pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
                Some(statistics_changed),
                pg_sys::Datum::null(),
            );
        }
    }
}

/// Called while invalidations are processed, perhaps in the middle of anything: it touches
/// our own memory only, allocates nothing and cannot fail.
unsafe extern "C-unwind" fn relation_changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    let now = EPOCH.get() + 1;
    EPOCH.set(now);
    if relation == pg_sys::InvalidOid {
        EVERYTHING.set(now);
        return;
    }
    CHANGED.with(|changed| {
        // Borrowed only if `add` or `changed_since` is running, which cannot invalidate.
        if let Ok(mut changed) = changed.try_borrow_mut() {
            if let Some(at) = changed.get_mut(&relation.to_u32()) {
                *at = now;
            }
        } else {
            EVERYTHING.set(now);
        }
    });
}

/// Statistics come with a hash only, which does not tell whose: all of them count.
unsafe extern "C-unwind" fn statistics_changed(
    _argument: pg_sys::Datum,
    _cache: std::ffi::c_int,
    _hash: u32,
) {
    let now = EPOCH.get() + 1;
    EPOCH.set(now);
    EVERYTHING.set(now);
}
