//! Capture: what statements do with which field, counted inside the server.
//!
//! Backends count in shared memory (`pg::hooks`, `pg::shmem`); the worker saves
//! ([`flush()`]); tables and views show.

pub mod evidence;
pub mod fields;
pub mod flush;
mod moment;
mod usage;

pub use flush::{SAVING_LOCK, flush, unsaved};

use crate::config;
use crate::pg::hooks;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Installs the hooks. From `_PG_init`, after the settings were defined.
pub fn install() {
    hooks::install(hooks::Callbacks {
        sizes: config::capture_sizes,
        sample_parameters: samples_parameters,
    });
}

/// Whether parameter values may be kept.
pub fn samples_parameters() -> bool {
    config::sample_parameters()
}

/// Forgets statistics of this database: all, or those of a tenant.
///
/// # Errors
/// What SPI reports.
pub fn reset(tenant: Option<&str>) -> pgrx::spi::SpiResult<()> {
    crate::store::statement::forget(tenant)?;
    if tenant.is_none()
        && let Some(block) = crate::pg::shmem::block()
    {
        let database = crate::pg::spi::database().to_u32();
        for entry in block.entries() {
            if entry.state.load(Ordering::Acquire) != 0
                && entry.database.load(Ordering::Relaxed) == database
            {
                let _ = entry.drain();
                // The next planning sends the text again.
                entry
                    .wants
                    .fetch_or(crate::pg::shmem::entry::Wants::SOURCE, Ordering::AcqRel);
            }
        }
        block.header().resets.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

/// Counted in this database and not saved yet, by query identifier, role and level: calls,
/// rows, milliseconds.
pub fn pending() -> HashMap<(u64, u32, bool), (u64, u64, f64)> {
    let mut found: HashMap<_, (u64, u64, f64)> = HashMap::new();
    let database = crate::pg::spi::database().to_u32();
    for entry in crate::pg::shmem::block().iter().flat_map(|b| b.entries()) {
        if entry.state.load(Ordering::Acquire) != 0
            && entry.database.load(Ordering::Relaxed) == database
        {
            let (calls, rows, nanoseconds) = entry.pending();
            let key = (
                entry.query_id.load(Ordering::Relaxed),
                entry.user.load(Ordering::Relaxed),
                entry.top_level.load(Ordering::Relaxed) != 0,
            );
            let sum = found.entry(key).or_default();
            *sum = (
                sum.0 + calls,
                sum.1 + rows,
                sum.2 + nanoseconds as f64 / 1e6,
            );
        }
    }
    found
}

/// Bytes, statements, room for statements, evicted, dropped statements, texts and tenant
/// pairs, errors elsewhere; `None` where the library was not preloaded.
pub fn memory() -> Option<[i64; 8]> {
    let block = crate::pg::shmem::block()?;
    let header = block.header();
    let value = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed) as i64;
    Some([
        crate::pg::shmem::bytes(&block.sizes()) as i64,
        value(&header.entries),
        block.sizes().statements as i64,
        value(&header.evicted),
        value(&header.dropped_statements),
        value(&header.dropped_texts),
        value(&header.dropped_tenants),
        value(&header.errors_elsewhere),
    ])
}
