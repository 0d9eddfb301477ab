//! Finding, making and removing entries.

use super::{Block, Entry};
use std::sync::atomic::Ordering;

/// An index slot whose entry was removed: probing goes on behind it.
const REMOVED: u32 = u32::MAX;
/// Probing ends here: a table this crowded drops.
const MAX_PROBES: usize = 256;

/// The identity of an entry in memory. Two statements with one key would share counters: with
/// 64 bits and thousands of entries that does not happen.
#[inline]
pub fn key(id: u64, database: u32, user: u32, top_level: bool) -> u64 {
    // `id` is a hash already; an odd factor keeps different `who` different.
    let who = (u64::from(database) << 33) ^ (u64::from(user) << 1) ^ u64::from(top_level);
    (id ^ who.wrapping_mul(0xd6e8_feb8_6659_fd93)).max(1)
}

/// What a new entry is about.
#[derive(Clone, Copy)]
pub struct About {
    /// Tells it apart (`pg::identity`).
    pub id: u64,
    /// Its query identifier as shown; 0 is none.
    pub query_id: u64,
    /// pg_database.oid.
    pub database: u32,
    /// pg_authid.oid.
    pub user: u32,
    /// Whether a client sent it.
    pub top_level: bool,
    /// `model::query::StatementKind` as a number.
    pub kind: u32,
    /// Microseconds since the Unix epoch.
    pub now: i64,
}

impl Block {
    /// The entry with this key.
    #[inline]
    pub fn find(&self, key: u64) -> Option<&Entry> {
        let mut slot = key as usize & self.index_mask;
        for _ in 0..MAX_PROBES {
            // SAFETY: masked to the index's size.
            let number = unsafe { &*self.index.add(slot) }.load(Ordering::Acquire);
            if number == 0 {
                return None;
            }
            if number != REMOVED {
                let entry = self.entry(number - 1);
                if entry.key.load(Ordering::Relaxed) == key {
                    return Some(entry);
                }
            }
            slot = (slot + 1) & self.index_mask;
        }
        None
    }

    /// The entry with this key, made where it is missing: (entry, whether it is new). `None`
    /// where there is no room; whoever wanted to count an execution counts it as dropped.
    pub fn find_or_make(&self, key: u64, about: &About) -> Option<(&Entry, bool)> {
        if let Some(entry) = self.find(key) {
            return Some((entry, false));
        }
        let header = self.header();
        let next = |number| &self.entry(number).next;
        let number = header.free_entries.pop(next)?;
        let entry = self.entry(number);
        entry.id.store(about.id, Ordering::Relaxed);
        entry.query_id.store(about.query_id, Ordering::Relaxed);
        entry.database.store(about.database, Ordering::Relaxed);
        entry.user.store(about.user, Ordering::Relaxed);
        entry
            .top_level
            .store(u32::from(about.top_level), Ordering::Relaxed);
        entry.kind.store(about.kind, Ordering::Relaxed);
        entry.first_seen.store(about.now, Ordering::Relaxed);
        entry.last_moved.store(about.now, Ordering::Relaxed);
        entry
            .wants
            .store(super::entry::Wants::SOURCE, Ordering::Relaxed);
        entry.key.store(key, Ordering::Relaxed);
        entry.state.store(1, Ordering::Release);
        let mut slot = key as usize & self.index_mask;
        for _ in 0..MAX_PROBES {
            // SAFETY: masked to the index's size.
            let place = unsafe { &*self.index.add(slot) };
            match place.compare_exchange(0, number + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    header.entries.fetch_add(1, Ordering::Relaxed);
                    return Some((entry, true));
                }
                Err(other) if other != REMOVED => {
                    let other = self.entry(other - 1);
                    if other.key.load(Ordering::Relaxed) == key {
                        // Another backend was faster.
                        self.give_back(number);
                        return Some((other, false));
                    }
                }
                Err(_) => {
                    // A removed slot may be taken; should the key stand further on, made by
                    // another backend just now, the two are merged when they are saved.
                    if place
                        .compare_exchange(REMOVED, number + 1, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok()
                    {
                        header.entries.fetch_add(1, Ordering::Relaxed);
                        return Some((entry, true));
                    }
                }
            }
            slot = (slot + 1) & self.index_mask;
        }
        self.give_back(number);
        None
    }

    /// Counts an execution whose statement found no room.
    pub fn count_dropped(&self) {
        self.header()
            .dropped_statements
            .fetch_add(1, Ordering::Relaxed);
    }

    fn give_back(&self, number: u32) {
        let entry = self.entry(number);
        entry.key.store(0, Ordering::Relaxed);
        entry.state.store(0, Ordering::Relaxed);
        self.header()
            .free_entries
            .push(number, |number| &self.entry(number).next);
    }

    /// Takes an entry out of the index. Backends that found it before may still add to it, so
    /// it is emptied and freed a flush interval later, by [`Block::bury`]. Only by the worker
    /// of the entry's database.
    pub fn retire(&self, entry: &Entry) {
        let key = entry.key.swap(0, Ordering::AcqRel);
        let mut slot = key as usize & self.index_mask;
        let number = self.number(entry);
        for _ in 0..MAX_PROBES {
            // SAFETY: masked to the index's size.
            let place = unsafe { &*self.index.add(slot) };
            if place
                .compare_exchange(number + 1, REMOVED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                break;
            }
            slot = (slot + 1) & self.index_mask;
        }
        self.sweep(slot);
        entry.state.store(2, Ordering::Release);
        self.header().entries.fetch_sub(1, Ordering::Relaxed);
        self.header().evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Removed slots before an empty one are empty too.
    fn sweep(&self, mut slot: usize) {
        for _ in 0..MAX_PROBES {
            // SAFETY: masked to the index's size.
            let (here, behind) = unsafe {
                (
                    &*self.index.add(slot),
                    &*self.index.add((slot + 1) & self.index_mask),
                )
            };
            if behind.load(Ordering::Acquire) != 0
                || here
                    .compare_exchange(REMOVED, 0, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
            {
                return;
            }
            slot = slot.wrapping_sub(1) & self.index_mask;
        }
    }

    /// Frees a retired entry. Its last counters have been drained.
    pub fn bury(&self, entry: &Entry) {
        for place in std::iter::once(&entry.source).chain(&entry.samples) {
            drop(self.take(place));
        }
        entry.clear();
        self.give_back(self.number(entry));
    }

    /// The entry's number.
    pub fn number(&self, entry: &Entry) -> u32 {
        let offset = std::ptr::from_ref(entry) as usize - self.entries as usize;
        (offset / std::mem::size_of::<Entry>()) as u32
    }

    /// Adds an execution to a tenant. `label` is asked for when the pair is new.
    #[inline]
    pub fn add_tenant(
        &self,
        statement: u64,
        tenant: u64,
        rows: u64,
        nanoseconds: u64,
        label: impl FnOnce() -> super::entry::Label,
    ) {
        let key = (statement ^ tenant.rotate_left(29))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .max(1);
        let mut slot = (key >> 20) as usize & self.tenant_mask;
        for _ in 0..TENANT_PROBES {
            // SAFETY: masked to the table's size.
            let cell = unsafe { &*self.tenants.add(slot) };
            let found = cell.key.load(Ordering::Acquire);
            if found == 0 {
                if cell
                    .key
                    .compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
                {
                    // Another backend took the cell: look at it again.
                    continue;
                }
                cell.statement.store(statement, Ordering::Relaxed);
                cell.tenant.store(tenant, Ordering::Relaxed);
                cell.idle.store(0, Ordering::Relaxed);
                cell.label.write(label());
            } else if found != key {
                slot = (slot + 1) & self.tenant_mask;
                continue;
            }
            cell.rows.fetch_add(rows, Ordering::Relaxed);
            cell.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
            cell.calls.fetch_add(1, Ordering::Release);
            return;
        }
        self.header()
            .dropped_tenants
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the tenants' counters of some statements out. Cells that stayed idle for three
    /// drains are freed: probe chains may then lose later cells, whose pairs begin anew.
    pub fn drain_tenants(&self, ours: impl Fn(u64) -> bool) -> Vec<DrainedTenant> {
        let mut drained = Vec::new();
        for slot in 0..=self.tenant_mask {
            // SAFETY: within the table.
            let cell = unsafe { &*self.tenants.add(slot) };
            if cell.key.load(Ordering::Acquire) == 0 {
                continue;
            }
            let statement = cell.statement.load(Ordering::Relaxed);
            if statement == 0 || !ours(statement) {
                continue;
            }
            let calls = cell.calls.swap(0, Ordering::AcqRel);
            if calls > 0 {
                cell.idle.store(0, Ordering::Relaxed);
                drained.push(DrainedTenant {
                    statement,
                    tenant: cell.label.read().text(),
                    calls,
                    rows: cell.rows.swap(0, Ordering::AcqRel),
                    nanoseconds: cell.nanoseconds.swap(0, Ordering::AcqRel),
                });
            } else if cell.idle.fetch_add(1, Ordering::Relaxed) >= 2 {
                cell.statement.store(0, Ordering::Relaxed);
                cell.key.store(0, Ordering::Release);
            }
        }
        drained
    }
}

/// Cells looked at for one pair.
const TENANT_PROBES: usize = 32;

/// Counters of one pair.
#[derive(Clone, Debug)]
pub struct DrainedTenant {
    /// The statement's key in memory.
    pub statement: u64,
    /// The tenant's name.
    pub tenant: String,
    /// Executions.
    pub calls: u64,
    /// Rows.
    pub rows: u64,
    /// Nanoseconds.
    pub nanoseconds: u64,
}
