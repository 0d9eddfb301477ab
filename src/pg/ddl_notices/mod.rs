//! Who changed which relation of the schema: noticed through `object_access_hook`, kept
//! until the transaction commits, and handed to the worker through a ring in shared memory.
//!
//! The hook (objectaccess.h) tells the OID of every object that DDL creates, alters or
//! drops, also inside functions and by CASCADE, which a statement's text does not. It is
//! called for every namespace search and function execution too: these return after one
//! comparison. What the server raises in a lookup (a cancel, above all) passes through as it is;
//! a panic of ours costs the notice, which is counted, and the worker finds the change by
//! comparing catalogs.

mod ring;

pub use ring::{attach, bytes, drain, lost, pending};

use crate::pg::boundary::contained;
use crate::pg::{clock, raw, spi};
use pgrx::pg_sys;
use ring::Text;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// Notices that a transaction keeps; what is more is counted as lost.
const KEPT: usize = 2_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// It was made.
    Created = 0,
    /// It is gone.
    Dropped = 1,
    /// It was changed.
    Altered = 2,
}

/// One change of one object by a committed transaction.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// Order of arrival; notices of one transaction follow one another.
    pub ticket: u64,
    /// The same for all notices of one transaction.
    pub transaction: u64,
    /// The database.
    pub database: pg_sys::Oid,
    /// `current_user`.
    pub role: pg_sys::Oid,
    /// `session_user`.
    pub session_role: pg_sys::Oid,
    /// When, microseconds since the Unix epoch.
    pub at: i64,
    /// What.
    pub access: Access,
    /// Catalog of the object (pg_class, pg_trigger, pg_constraint, pg_namespace).
    pub class: pg_sys::Oid,
    /// The object.
    pub object: pg_sys::Oid,
    /// Attribute number, or 0 for the whole object.
    pub attribute: i32,
    /// `relkind` for relations, else 0.
    pub kind: u8,
    /// The command, as in a command tag (`ALTER TABLE`).
    pub command: Text<32>,
    /// Schema of the relation before a change, or after it was made.
    pub schema: Text<64>,
    /// Name of the relation, likewise.
    pub name: Text<64>,
    /// Name of the attribute, likewise.
    pub field: Text<64>,
    /// `application_name`.
    pub application: Text<64>,
}

struct Pending {
    /// Nesting of the subtransaction that it happened in.
    level: i32,
    /// Whether it did not live to the commit.
    gone: bool,
    notice: Notice,
}

thread_local! {
    static PENDING: RefCell<Vec<Pending>> = const { RefCell::new(Vec::new()) };
    /// A static string of the server, or null.
    static COMMAND: Cell<*const c_char> = const { Cell::new(std::ptr::null()) };
}

/// Whether this transaction has kept a notice: what the ends of all others look at, which are
/// many. Looking into [`PENDING`] itself takes ten times the instructions.
static KEEPS: AtomicBool = AtomicBool::new(false);

static mut PREVIOUS: pg_sys::object_access_hook_type = None;

/// Installs the hook. Only while the library is preloaded. Ends of transactions are told by
/// `hooks::transaction`: one callback for the whole library.
pub fn install() {
    // SAFETY: hook variables are written once, by the postmaster, while it loads libraries.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress || pg_sys::IsBinaryUpgrade {
            return;
        }
        PREVIOUS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(hook);
    }
}

/// Remembers the command that the notices to come belong to. From the utility hook.
///
/// # Safety
/// A static string of the server (GetCommandTagName).
#[inline(always)]
pub unsafe fn about_to_run(command: *const c_char) {
    COMMAND.set(command);
}

unsafe extern "C-unwind" fn hook(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    attribute: c_int,
    argument: *mut c_void,
) {
    // SAFETY: the arguments are the server's and are handed on as they came; no value with
    // a destructor is alive while the previous hook runs.
    unsafe {
        // Most calls are about looking at things and running functions.
        if access > pg_sys::ObjectAccessType::OAT_POST_ALTER {
            if let Some(previous) = PREVIOUS {
                previous(access, class, object, attribute, argument);
            }
            return;
        }
        changed(access, class, object, attribute, argument);
    }
}

/// An object was made, altered or dropped.
#[inline(never)]
unsafe fn changed(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    attribute: c_int,
    argument: *mut c_void,
) {
    // SAFETY: the hook's arguments; no value with a destructor is alive while the previous
    // hook runs.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(access, class, object, attribute, argument);
        }
        // Off also in databases without the extension, which nobody has made known.
        if !super::switch::is_on(indexpilot_model::Module::Lineage) {
            return;
        }
        let Some(facts) = gather(access, class, object, attribute, argument) else {
            return;
        };
        if contained(|| keep(facts)).is_none() {
            ring::count_lost(1);
        }
    }
}

/// `pg_constraint`.
const CONSTRAINT: u32 = 2606;
/// First OID that initdb does not give (transam.h).
const FIRST_NORMAL: u32 = 16384;

/// What is known of a change, without destructors: strings are the server's.
#[derive(Clone, Copy)]
struct Facts {
    level: i32,
    access: Access,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    attribute: c_int,
    relation: Found,
    field: *const c_char,
    role: pg_sys::Oid,
    session_role: pg_sys::Oid,
}

/// Kind, schema and name of a relation.
#[derive(Clone, Copy)]
struct Found {
    kind: u8,
    schema: *const c_char,
    name: *const c_char,
}

impl Found {
    const NOTHING: Found = Found {
        kind: 0,
        schema: std::ptr::null(),
        name: std::ptr::null(),
    };
}

/// Looks up what the notice says. What the lookups raise jumps over this frame, which has no
/// destructors.
unsafe fn gather(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    attribute: c_int,
    argument: *mut c_void,
) -> Option<Facts> {
    let class_number = class.to_u32();
    let relation = class == pg_sys::RelationRelationId;
    if !relation
        && class != pg_sys::NamespaceRelationId
        && class != pg_sys::TriggerRelationId
        && class_number != CONSTRAINT
    {
        return None;
    }
    // SAFETY: plain globals of the backend; `argument` is the struct that goes with the
    // kind of access, or NULL.
    unsafe {
        if object.to_u32() < FIRST_NORMAL
            || !raw::IsTransactionState()
            || is_our_process()
            || is_our_script()
            || is_internal(access, argument)
        {
            return None;
        }
        let what = match access {
            pg_sys::ObjectAccessType::OAT_POST_CREATE => Access::Created,
            pg_sys::ObjectAccessType::OAT_DROP => Access::Dropped,
            _ => Access::Altered,
        };
        // A new relation cannot be looked up before the transaction's next command; that is
        // made good for at commit.
        let (mut found, mut field) = (Found::NOTHING, std::ptr::null());
        if relation && !(what == Access::Created && attribute == 0) {
            found = look_up(object)?;
            if (1..=c_int::from(i16::MAX)).contains(&attribute) {
                field = raw::get_attname(object, attribute as i16, true).cast_const();
            }
        }
        if nothing_pending() && !is_kept_here() {
            return None;
        }
        Some(Facts {
            level: raw::GetCurrentTransactionNestLevel(),
            access: what,
            class,
            object,
            attribute,
            relation: found,
            field,
            role: raw::GetUserId(),
            session_role: raw::GetSessionUserId(),
        })
    }
}

fn nothing_pending() -> bool {
    contained(|| PENDING.with_borrow(Vec::is_empty)).unwrap_or(true)
}

/// Whether the extension is in this database.
unsafe fn is_kept_here() -> bool {
    // SAFETY: syscache lookups inside a transaction.
    unsafe {
        let schema = raw::get_namespace_oid(c"indexpilot".as_ptr(), true);
        schema != pg_sys::InvalidOid
            && raw::get_relname_relid(c"mutation_log".as_ptr(), schema) != pg_sys::InvalidOid
    }
}

/// Keeps a notice until the transaction ends. Calls nothing of the server that raises.
fn keep(facts: Facts) {
    // SAFETY: strings of the server: null or NUL-terminated, alive in this call.
    let notice = unsafe {
        let schema: Text<64> = Text::from_pointer(facts.relation.schema);
        if is_foreign_ground(&schema) {
            return;
        }
        Notice {
            ticket: 0,
            transaction: 0,
            database: spi::database(),
            role: facts.role,
            session_role: facts.session_role,
            at: clock::now(),
            access: facts.access,
            class: facts.class,
            object: facts.object,
            attribute: facts.attribute,
            kind: facts.relation.kind,
            command: Text::from_pointer(COMMAND.get()),
            schema,
            name: Text::from_pointer(facts.relation.name),
            field: Text::from_pointer(facts.field),
            application: Text::from_pointer(pg_sys::application_name),
        }
    };
    PENDING.with_borrow_mut(|pending| {
        if pending.len() >= KEPT {
            ring::count_lost(1);
        } else {
            KEEPS.store(true, Ordering::Relaxed);
            pending.push(Pending {
                level: facts.level,
                gone: false,
                notice,
            });
        }
    });
}

/// Schemas that nobody's schema history is about.
fn is_foreign_ground(schema: &Text<64>) -> bool {
    schema.as_str() == "pg_catalog" || schema.as_str().starts_with("pg_temp")
}

/// Whether this is a process of ours: what it does is logged with its reason.
fn is_our_process() -> bool {
    // SAFETY: set once when a background worker starts, else NULL.
    unsafe {
        let entry = pg_sys::MyBgworkerEntry;
        !entry.is_null()
            && CStr::from_ptr((&raw const (*entry).bgw_library_name).cast()) == c"indexpilot"
    }
}

/// Whether CREATE or ALTER EXTENSION runs our own script.
fn is_our_script() -> bool {
    // SAFETY: plain globals of the backend; a lookup by name inside a transaction.
    unsafe {
        pg_sys::creating_extension
            && pg_sys::CurrentExtensionObject
                == raw::get_extension_oid(c"indexpilot".as_ptr(), true)
    }
}

/// Whether the server does it for itself (a rewrite's transient table, a rebuilt index).
unsafe fn is_internal(access: pg_sys::ObjectAccessType::Type, argument: *mut c_void) -> bool {
    if argument.is_null() {
        return false;
    }
    // SAFETY: by the contract of object_access_hook.
    unsafe {
        match access {
            pg_sys::ObjectAccessType::OAT_POST_CREATE => {
                (*argument.cast::<pg_sys::ObjectAccessPostCreate>()).is_internal
            }
            pg_sys::ObjectAccessType::OAT_POST_ALTER => {
                (*argument.cast::<pg_sys::ObjectAccessPostAlter>()).is_internal
            }
            _ => {
                (*argument.cast::<pg_sys::ObjectAccessDrop>()).dropflags
                    & pg_sys::PERFORM_DELETION_INTERNAL as c_int
                    != 0
            }
        }
    }
}

/// A relation that matters: no temporary, TOAST, composite or sequence. What the lookups
/// raise jumps over this frame.
unsafe fn look_up(relation: pg_sys::Oid) -> Option<Found> {
    // SAFETY: syscache lookups inside a transaction; the strings are copies in the present
    // memory context.
    unsafe {
        let schema = raw::get_rel_namespace(relation);
        if schema == pg_sys::InvalidOid || raw::isTempOrTempToastNamespace(schema) {
            return None;
        }
        let kind = raw::get_rel_relkind(relation) as u8;
        if !matches!(kind, b'r' | b'p' | b'v' | b'm' | b'f' | b'i' | b'I') {
            return None;
        }
        Some(Found {
            kind,
            schema: raw::get_namespace_name(schema),
            name: raw::get_rel_name(relation),
        })
    }
}

/// What the server's callback at the end of a transaction tells.
#[inline(always)]
pub fn at_end_of_transaction(event: pg_sys::XactEvent::Type) {
    if KEEPS.load(Ordering::Relaxed) {
        end_with_notices(event);
    }
}

#[cold]
#[inline(never)]
fn end_with_notices(event: pg_sys::XactEvent::Type) {
    // The last moment at which catalogs can be read.
    if event == pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT {
        // SAFETY: before the commit, inside the transaction; no destructor is alive here.
        unsafe { name_the_new() };
        return;
    }
    let outcome = contained(|| match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            KEEPS.store(false, Ordering::Relaxed);
            let pending = PENDING.take();
            ring::publish(
                pending
                    .into_iter()
                    .filter(|kept| !kept.gone)
                    .map(|kept| kept.notice),
            );
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT => {
            KEEPS.store(false, Ordering::Relaxed);
            drop(PENDING.take());
        }
        // It will commit in another session, if ever: the comparison of catalogs finds it.
        pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            KEEPS.store(false, Ordering::Relaxed);
            ring::count_lost(PENDING.take().len() as u64);
        }
        _ => {}
    });
    if outcome.is_none() {
        ring::count_lost(1);
    }
}

/// Looks up what was new when it was noticed, and marks what did not live to the commit. The
/// lookups stand outside of every borrow: what they raise jumps over this frame.
unsafe fn name_the_new() {
    let mut place = 0;
    while let Some((at, object)) = contained(|| next_new(place)).flatten() {
        // SAFETY: before the commit, inside the transaction.
        let found = unsafe { look_up(object) };
        let _ = contained(|| name_one(at, found));
        place = at + 1;
    }
}

/// The next notice from `place` on whose relation has no name yet.
fn next_new(place: usize) -> Option<(usize, pg_sys::Oid)> {
    PENDING.with_borrow(|pending| {
        let (offset, kept) = pending.iter().skip(place).enumerate().find(|(_, kept)| {
            kept.notice.class == pg_sys::RelationRelationId
                && kept.notice.access == Access::Created
                && kept.notice.attribute == 0
        })?;
        Some((place + offset, kept.notice.object))
    })
}

fn name_one(at: usize, found: Option<Found>) {
    PENDING.with_borrow_mut(|pending| {
        let Some(kept) = pending.get_mut(at) else {
            return;
        };
        kept.gone = true;
        if let Some(found) = found {
            // SAFETY: strings of the server, alive in this call.
            let (schema, name) = unsafe {
                (
                    Text::from_pointer(found.schema),
                    Text::from_pointer(found.name),
                )
            };
            kept.gone = is_foreign_ground(&schema);
            let notice = &mut kept.notice;
            (notice.kind, notice.schema, notice.name) = (found.kind, schema, name);
        }
    });
}

/// What the server's callback at the end of a subtransaction tells.
pub fn at_end_of_subtransaction(event: pg_sys::SubXactEvent::Type) {
    if !KEEPS.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: reads the state of the present transaction; raises nothing.
    let level = unsafe { raw::GetCurrentTransactionNestLevel() };
    let _ = contained(|| {
        PENDING.with_borrow_mut(|pending| match event {
            pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => {
                pending.retain(|kept| kept.level < level);
            }
            pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => {
                for kept in pending.iter_mut().filter(|kept| kept.level >= level) {
                    kept.level = level - 1;
                }
            }
            _ => {}
        });
    });
}
