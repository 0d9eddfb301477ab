//! The switches that hooks and workers read before anything else.
//!
//! They live in shared memory, because a busy backend would not see a changed setting before
//! its next command. There are two levels: one word for the whole server, which the
//! postmaster writes as soon as it has read its configuration, and one word for each database
//! in which the extension was seen, written by `enable()`, `disable()` and the launcher. A
//! database without a word is off: nothing is known of it, it may not have the extension.
//!
//! Readers take no lock. Each word is one atomic value and entries never move, so a backend
//! keeps a pointer to its own; at each reading it is checked against the database's OID, which
//! is half of the word. Writers of entries hold AddinShmemInitLock.

use indexpilot_model::{Module, ModuleSet};
use pgrx::pg_sys;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Databases that can have a word of their own. More are possible in a cluster; those that
/// find no room stay off, and `status()` says so.
pub const MAX_DATABASES: usize = 1024;

/// Database OID in the upper half, modules that are off in the lower.
type Word = AtomicU64;

#[repr(C)]
struct Switches {
    /// Modules that the configuration switches off, for the whole server.
    server_off: AtomicU32,
    /// Grows with each entry that is made, so that a backend without one knows to look again.
    generation: AtomicU32,
    entries: [Word; MAX_DATABASES],
}

static SWITCHES: AtomicPtr<Switches> = AtomicPtr::new(ptr::null_mut());

/// This process's entry, and the generation at which there was none.
static ENTRY: AtomicPtr<Word> = AtomicPtr::new(ptr::null_mut());
static LOOKED_AT: AtomicU32 = AtomicU32::new(u32::MAX);

/// What the settings say in this process: by `enabled`, and by `disabled_modules`.
static ENABLED_OFF: AtomicU32 = AtomicU32::new(0);
static MODULES_OFF: AtomicU32 = AtomicU32::new(0);

/// Called in the postmaster with the modules off before and after a change of configuration.
type Changed = fn(ModuleSet, ModuleSet);
static CHANGED: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

static mut NEXT_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut NEXT_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Asks for the shared memory. Called once, while the library is preloaded; `changed` is
/// called in the postmaster after each change of configuration that switches something.
pub fn install(changed: Changed) {
    CHANGED.store(changed as *mut (), Ordering::Relaxed);
    // SAFETY: hooks are chained in the postmaster's main thread while it preloads libraries.
    unsafe {
        NEXT_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request);
        NEXT_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

unsafe extern "C-unwind" fn request() {
    // SAFETY: the server calls this while shared memory is being sized; the chain is kept.
    unsafe {
        if let Some(next) = NEXT_REQUEST {
            next();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Switches>());
    }
}

/// Runs at start, and again after a crash has re-initialised shared memory.
unsafe extern "C-unwind" fn startup() {
    // SAFETY: the server calls this while it creates shared memory; the chain is kept. The
    // area is as large as the struct and, being made of plain integers, valid as zeroes.
    unsafe {
        if let Some(next) = NEXT_STARTUP {
            next();
        }
        let writers = WritersLock::take();
        let mut found = false;
        let area = pg_sys::ShmemInitStruct(
            c"indexpilot switches".as_ptr(),
            size_of::<Switches>(),
            &mut found,
        )
        .cast::<Switches>();
        if !found {
            ptr::write_bytes(area, 0, 1);
            (*area)
                .server_off
                .store(configured().bits(), Ordering::Relaxed);
        }
        SWITCHES.store(area, Ordering::Release);
        drop(writers);
    }
}

/// AddinShmemInitLock, exclusively, until dropped. Held for a few instructions.
struct WritersLock(*mut pg_sys::LWLock);

impl WritersLock {
    fn take() -> Self {
        // SAFETY: the array exists wherever shared memory is attached, which the callers
        // have made sure of; the lock is released when the value is dropped, and by the
        // server when an ERROR ends the transaction.
        unsafe {
            let lock = super::compat::shared_memory::addin_shmem_init_lock();
            pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
            WritersLock(lock)
        }
    }
}

impl Drop for WritersLock {
    fn drop(&mut self) {
        // SAFETY: taken by `take`, in this process.
        unsafe { pg_sys::LWLockRelease(self.0) };
    }
}

fn shared() -> Option<&'static Switches> {
    // SAFETY: null, or the area made in `startup`, which lives as long as the process.
    unsafe { SWITCHES.load(Ordering::Relaxed).as_ref() }
}

/// What this process's settings switch off.
pub fn configured() -> ModuleSet {
    ModuleSet::from_bits(ENABLED_OFF.load(Ordering::Relaxed) | MODULES_OFF.load(Ordering::Relaxed))
}

/// Takes over `indexpilot.enabled`.
pub fn set_enabled(enabled: bool) {
    let off = if enabled {
        ModuleSet::NONE
    } else {
        ModuleSet::ALL
    };
    ENABLED_OFF.store(off.bits(), Ordering::Relaxed);
    publish_configuration();
}

/// Takes over `indexpilot.disabled_modules`.
pub fn set_disabled_modules(off: ModuleSet) {
    MODULES_OFF.store(off.bits(), Ordering::Relaxed);
    publish_configuration();
}

/// Only the postmaster writes: it reads a changed file first, and once. It takes no lock and
/// follows no pointer that a crashed backend could have damaged.
fn publish_configuration() {
    let Some(switches) = shared() else { return };
    if !super::process::is_postmaster() {
        return;
    }
    let after = configured();
    let before = switches.server_off.swap(after.bits(), Ordering::Relaxed);
    let changed = CHANGED.load(Ordering::Relaxed);
    if before != after.bits() && !changed.is_null() {
        // SAFETY: only `install` stores there, and what it stores is of this type.
        let changed: Changed = unsafe { std::mem::transmute(changed) };
        changed(ModuleSet::from_bits(before), after);
    }
}

/// Whether the switches are there: the library was preloaded and not told to stay idle.
pub fn installed() -> bool {
    shared().is_some()
}

/// Whether a module is on in this process's database. One or two loads; callable anywhere.
#[inline]
pub fn is_on(module: Module) -> bool {
    let Some(switches) = shared() else {
        return false;
    };
    match own_word(switches) {
        Some(word) => {
            let server_off = switches.server_off.load(Ordering::Relaxed);
            !ModuleSet::from_bits(server_off | word as u32).contains(module)
        }
        None => false,
    }
}

/// What the configuration switches off in the whole server, `None` when not installed.
pub fn off_in_server() -> Option<ModuleSet> {
    shared().map(|s| ModuleSet::from_bits(s.server_off.load(Ordering::Relaxed)))
}

/// What is switched off in this process's database; `None` when nothing is known of it.
pub fn off_in_database() -> Option<ModuleSet> {
    let word = own_word(shared()?)?;
    Some(ModuleSet::from_bits(word as u32))
}

/// The same for another database: for the launcher, which is connected to none.
pub fn off_in(database: u32) -> Option<ModuleSet> {
    let word = find(shared()?, database)?;
    Some(ModuleSet::from_bits(word.load(Ordering::Relaxed) as u32))
}

/// What the word of this process's database says.
#[inline]
fn own_word(switches: &'static Switches) -> Option<u64> {
    let database = super::process::database();
    // SAFETY: null, or a pointer into the entries, which live as long as the process.
    let kept = unsafe { ENTRY.load(Ordering::Relaxed).as_ref() };
    if let Some(word) = kept {
        let word = word.load(Ordering::Relaxed);
        if (word >> 32) as u32 == database {
            return Some(word);
        }
    }
    look_for_word(switches, database, kept.is_some()).map(|word| word.load(Ordering::Relaxed))
}

#[cold]
#[inline(never)]
fn look_for_word(
    switches: &'static Switches,
    database: u32,
    another: bool,
) -> Option<&'static Word> {
    let generation = switches.generation.load(Ordering::Acquire);
    if !another && LOOKED_AT.load(Ordering::Relaxed) == generation {
        return None;
    }
    let found = find(switches, database);
    ENTRY.store(
        found.map_or(ptr::null_mut(), |word| ptr::from_ref(word).cast_mut()),
        Ordering::Relaxed,
    );
    LOOKED_AT.store(generation, Ordering::Relaxed);
    found
}

fn find(switches: &'static Switches, database: u32) -> Option<&'static Word> {
    if database == 0 {
        return None;
    }
    switches
        .entries
        .iter()
        .find(|word| (word.load(Ordering::Relaxed) >> 32) as u32 == database)
}

/// Makes known what is switched off in a database that has the extension. False when there
/// is no room for one more database, or nothing is installed.
pub fn publish(database: u32, off: ModuleSet) -> bool {
    let Some(switches) = shared() else {
        return false;
    };
    if database == 0 {
        return false;
    }
    let value = u64::from(database) << 32 | u64::from(off.bits());
    let _writers = WritersLock::take();
    if let Some(word) = find(switches, database) {
        word.store(value, Ordering::Release);
        return true;
    }
    let free = |word: &&Word| word.load(Ordering::Relaxed) == 0;
    let Some(word) = switches.entries.iter().find(free) else {
        return false;
    };
    word.store(value, Ordering::Release);
    switches.generation.fetch_add(1, Ordering::AcqRel);
    true
}

/// Forgets a database that is gone or has lost the extension: everything is off there.
pub fn forget(database: u32) {
    let Some(switches) = shared() else { return };
    let _writers = WritersLock::take();
    if let Some(word) = find(switches, database) {
        word.store(0, Ordering::Release);
    }
}
