//! Memory contexts with an owner: what an evaluation allocates goes when the evaluation ends,
//! what a statement or a candidate needs lives as long as its Rust value.

use pgrx::pg_sys;
use std::ffi::CStr;

/// A memory context that is deleted with this value.
///
/// It hangs below `TopMemoryContext`, so that no end of a transaction deletes it first.
pub(super) struct Context(pg_sys::MemoryContext);

impl Context {
    /// Makes an empty one. The name must be a constant (the server keeps the pointer).
    pub(super) fn new(name: &'static CStr) -> Self {
        // SAFETY: TopMemoryContext lives as long as the process; sizes are those of
        // ALLOCSET_DEFAULT_SIZES (memutils.h).
        Context(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                name.as_ptr(),
                0,
                8 * 1024,
                8 * 1024 * 1024,
            )
        })
    }

    /// Frees everything in it.
    pub(super) fn reset(&self) {
        // SAFETY: the context is alive as long as self, and nobody allocates in it now: the
        // current context is another one whenever `within` has returned.
        unsafe { pg_sys::MemoryContextReset(self.0) };
    }

    /// Runs `body` with this as the current context; the former one comes back in any case.
    pub(super) fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Back(pg_sys::MemoryContext);
        impl Drop for Back {
            fn drop(&mut self) {
                // SAFETY: the context that was current before; it outlives this frame.
                unsafe { pg_sys::CurrentMemoryContext = self.0 };
            }
        }
        // SAFETY: a plain global of the main thread.
        let _back = Back(unsafe { pg_sys::CurrentMemoryContext });
        // SAFETY: as above; self is alive.
        unsafe { pg_sys::CurrentMemoryContext = self.0 };
        body()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: ours alone, deleted once; not current (see `within`).
        unsafe { pg_sys::MemoryContextDelete(self.0) };
    }
}
