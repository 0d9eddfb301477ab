//! Capture's memory: one block of fixed size, made by the postmaster, filled by all backends
//! with atomics alone.
//!
//! Lock rules: there are no locks. A statement's entry is found through an open-addressing
//! index of entry numbers; entries, and the chunks that carry texts and trees to the worker,
//! come from lock-free free lists. Whatever does not fit is dropped and counted. Only the
//! worker of an entry's database drains and removes it. Nothing survives a restart or a
//! crash of any backend: the postmaster makes the block anew, zeroed.

pub mod chunks;
pub mod entry;
pub mod free_list;
pub mod table;

use pgrx::pg_sys;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

pub use entry::{Drained, Entry};

/// What the block has room for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Statements (an entry is one statement of one user in one database).
    pub statements: usize,
    /// Bytes for texts, trees and samples on their way to the worker.
    pub text_bytes: usize,
    /// (statement, tenant) pairs in one flush interval.
    pub tenants: usize,
}

/// Counters of the block as a whole.
#[repr(C, align(64))]
pub struct Header {
    /// Executions whose statement found no entry.
    pub dropped_statements: AtomicU64,
    /// Texts, trees or samples that found no chunks.
    pub dropped_texts: AtomicU64,
    /// (statement, tenant) pairs that found no place.
    pub dropped_tenants: AtomicU64,
    /// Entries in use.
    pub entries: AtomicU64,
    /// Statements that failed before they were known (syntax errors, missing relations…).
    pub errors_elsewhere: AtomicU64,
    /// Grows when statistics are reset: what the worker keeps in mind is void.
    pub resets: AtomicU64,
    /// Removed to make room.
    pub evicted: AtomicU64,
    free_entries: free_list::FreeList,
    free_chunks: free_list::FreeList,
}

/// The block as this process sees it.
#[derive(Clone, Copy)]
pub struct Block {
    header: *mut Header,
    index: *mut AtomicU32,
    index_mask: usize,
    entries: *mut Entry,
    tenants: *mut entry::TenantCell,
    tenant_mask: usize,
    chunks: *mut chunks::Chunk,
    sizes: Sizes,
}

// The addresses are the same in all processes that the postmaster forks; set once in each.
static BLOCK: AtomicPtr<Block> = AtomicPtr::new(std::ptr::null_mut());

/// The block; `None` where the library was not preloaded.
#[inline]
pub fn block() -> Option<&'static Block> {
    let block = BLOCK.load(Ordering::Relaxed);
    // SAFETY: null, or a leaked box that is never freed.
    unsafe { block.as_ref() }
}

const ALIGN: usize = 64;

fn aligned(bytes: usize) -> usize {
    bytes.div_ceil(ALIGN) * ALIGN
}

/// Offsets of the parts, and the total.
struct Layout {
    index_slots: usize,
    tenant_slots: usize,
    chunks: usize,
    index: usize,
    entries: usize,
    tenants: usize,
    chunk_area: usize,
    total: usize,
}

fn layout(sizes: &Sizes) -> Layout {
    // Twice as many index slots as entries keep probe chains short.
    let index_slots = (sizes.statements * 2).next_power_of_two();
    let tenant_slots = (sizes.tenants * 2).next_power_of_two();
    let chunks = sizes.text_bytes / std::mem::size_of::<chunks::Chunk>();
    let index = aligned(std::mem::size_of::<Header>());
    let entries = index + aligned(index_slots * std::mem::size_of::<AtomicU32>());
    let tenants = entries + aligned(sizes.statements * std::mem::size_of::<Entry>());
    let chunk_area = tenants + aligned(tenant_slots * std::mem::size_of::<entry::TenantCell>());
    let total = chunk_area + aligned(chunks * std::mem::size_of::<chunks::Chunk>());
    Layout {
        index_slots,
        tenant_slots,
        chunks,
        index,
        entries,
        tenants,
        chunk_area,
        total,
    }
}

/// Bytes of shared memory for these sizes.
pub fn bytes(sizes: &Sizes) -> usize {
    layout(sizes).total
}

/// Makes the block, or finds it. Only from `shmem_startup_hook`.
///
/// # Safety
/// The postmaster asked for [`bytes`] of these sizes.
pub unsafe fn attach(sizes: Sizes) {
    let plan = layout(&sizes);
    // SAFETY: ShmemInitStruct under its lock, as every library does it; the area is zeroed
    // before anybody else can see it.
    unsafe {
        let mut found = false;
        let lock = crate::pg::compat::shared_memory::addin_shmem_init_lock();
        pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
        let base = pg_sys::ShmemInitStruct(c"indexpilot capture".as_ptr(), plan.total, &mut found)
            .cast::<u8>();
        let block = Block {
            header: base.cast(),
            index: base.add(plan.index).cast(),
            index_mask: plan.index_slots - 1,
            entries: base.add(plan.entries).cast(),
            tenants: base.add(plan.tenants).cast(),
            tenant_mask: plan.tenant_slots - 1,
            chunks: base.add(plan.chunk_area).cast(),
            sizes: Sizes {
                text_bytes: plan.chunks * std::mem::size_of::<chunks::Chunk>(),
                ..sizes
            },
        };
        if !found {
            // Fresh shared memory is zeroed by the kernel, and zero is the empty state of
            // everything; only the free lists need a beginning.
            block.header().free_entries.start(sizes.statements as u32);
            block.header().free_chunks.start(plan.chunks as u32);
        }
        pg_sys::LWLockRelease(lock);
        BLOCK.store(Box::into_raw(Box::new(block)), Ordering::Release);
    }
}

impl Block {
    /// The block's own counters.
    #[inline]
    pub fn header(&self) -> &Header {
        // SAFETY: points into the block for the life of the process.
        unsafe { &*self.header }
    }

    /// What the block has room for.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The entry with this number.
    #[inline]
    pub fn entry(&self, number: u32) -> &Entry {
        debug_assert!((number as usize) < self.sizes.statements);
        // SAFETY: numbers come from the index and the free list, both below `statements`.
        unsafe { &*self.entries.add(number as usize) }
    }

    /// All entries, in use or not.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        (0..self.sizes.statements as u32).map(|number| self.entry(number))
    }
}
