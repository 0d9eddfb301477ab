//! Capture's hooks: every statement's plan, execution, end and failure, counted in shared
//! memory.
//!
//! None of them is guarded by pgrx: an ERROR of a statement passes through as the server
//! raised it. So no value with a destructor is alive in a frame that calls on, our own code
//! raises nothing once a statement is known, and what runs at its first sight is caught.

mod constants;
mod executor;
pub mod filters;
mod follow;
mod frames;
mod join_filters;
pub mod planner;
mod settings;
mod source;
pub mod tenant;
mod tenant_qual;
mod transaction;
mod utility;

pub use source::{Source, decode};

use crate::pg::raw;
use crate::pg::shmem::{self, Block, Sizes};
use crate::pg::switch;
use indexpilot_model::Module;
use pgrx::pg_sys;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What the rooms above decide.
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// Sizes of the memory, read when the server starts.
    pub sizes: fn() -> Sizes,
    /// Whether parameter values may be kept now.
    pub sample_parameters: fn() -> bool,
}

static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();
/// The memory that this process counts in; null where it never does. Set once, before there
/// are statements.
static WATCHED: AtomicPtr<Block> = AtomicPtr::new(std::ptr::null_mut());

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Installs the hooks and asks for memory. Does nothing where the library is not preloaded,
/// and in pg_upgrade.
pub fn install(callbacks: Callbacks) {
    // SAFETY: hook variables are written once, by the postmaster's only thread, while it
    // loads libraries.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress
            || pg_sys::IsBinaryUpgrade
            || CALLBACKS.set(callbacks).is_err()
        {
            return;
        }
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request_memory);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(attach_memory);
        planner::install();
        executor::install();
        utility::install();
        transaction::install();
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn request_memory() {
    // SAFETY: the hook's own place to ask for memory; the previous hook first.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        if let Some(callbacks) = CALLBACKS.get() {
            pg_sys::RequestAddinShmemSpace(shmem::bytes(&(callbacks.sizes)()));
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn attach_memory() {
    // SAFETY: the hook's own place to attach; the previous hook first.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        if let Some(callbacks) = CALLBACKS.get() {
            shmem::attach((callbacks.sizes)());
            let block = shmem::block().map_or(std::ptr::null(), std::ptr::from_ref);
            WATCHED.store(block.cast_mut(), Ordering::Relaxed);
        }
    }
}

/// This process does nothing that is worth counting (our own workers).
pub fn suspend() {
    WATCHED.store(std::ptr::null_mut(), Ordering::Relaxed);
}

/// The memory, where this process counts at all.
#[inline(always)]
fn watched() -> Option<&'static Block> {
    // SAFETY: null, or the block of `shmem::block`, which is never freed.
    unsafe { WATCHED.load(Ordering::Relaxed).as_ref() }
}

/// The memory, where this process counts at present.
#[inline(always)]
fn watching() -> Option<&'static Block> {
    let block = watched()?;
    // SAFETY: ParallelWorkerNumber is a plain global: −1 outside parallel workers.
    let leader = unsafe { pg_sys::ParallelWorkerNumber } < 0;
    (leader && switch::is_on(Module::Capture)).then_some(block)
}

/// Key of a statement of the present user in this database.
#[inline(always)]
fn key(id: u64, top_level: bool) -> u64 {
    // SAFETY: plain globals of this process.
    unsafe {
        shmem::table::key(
            id,
            pg_sys::MyDatabaseId.to_u32(),
            raw::GetUserId().to_u32(),
            top_level,
        )
    }
}
