//! Who changed which relation of the schema: noticed through `object_access_hook`, kept
//! until the transaction commits, and handed to the worker through a ring in shared memory.
//!
//! The hook (objectaccess.h) tells the OID of every object that DDL creates, alters or
//! drops, also inside functions and by CASCADE, which a statement's text does not. It is
//! called for every namespace search and function execution too: these return after one
//! comparison. Nothing here raises an error; what cannot be kept is counted, and the worker
//! finds it by comparing catalogs.

mod ring;

pub use ring::{attach, bytes, drain, lost, pending};

use crate::pg::{clock, spi};
use pgrx::pg_sys;
use ring::Text;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
    notice: Notice,
}

thread_local! {
    static PENDING: RefCell<Vec<Pending>> = const { RefCell::new(Vec::new()) };
    static COMMAND: Cell<Text<32>> = const { Cell::new(Text::EMPTY) };
}

static mut PREVIOUS: pg_sys::object_access_hook_type = None;

/// Installs hook and callbacks. Only while the library is preloaded.
pub fn install() {
    // SAFETY: hook variables are written once, by the postmaster, while it loads libraries;
    // the callbacks take no argument.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress || pg_sys::IsBinaryUpgrade {
            return;
        }
        PREVIOUS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(hook);
        pg_sys::RegisterXactCallback(Some(at_end_of_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_end_of_subtransaction), std::ptr::null_mut());
    }
}

/// Remembers the command that the notices to come belong to. From ProcessUtility hooks.
///
/// # Safety
/// `node` is a utility statement's parse tree.
pub unsafe fn about_to_run(node: *mut pg_sys::Node) {
    // SAFETY: by contract; the tag's name is a static string.
    unsafe {
        let tag = pg_sys::CreateCommandTag(node);
        COMMAND.set(Text::from_pointer(pg_sys::GetCommandTagName(tag)));
    }
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
        if let Some(previous) = PREVIOUS {
            previous(access, class, object, attribute, argument);
        }
        // Off also in databases without the extension, which nobody has made known.
        if access > pg_sys::ObjectAccessType::OAT_POST_ALTER
            || !super::switch::is_on(indexpilot_model::Module::Lineage)
        {
            return;
        }
        // A panic (an ERROR of a lookup among them) costs the notice, never the statement.
        if catch_unwind(|| notice(access, class, object, attribute, argument)).is_err() {
            ring::count_lost(1);
        }
    }
}

/// `pg_constraint`.
const CONSTRAINT: u32 = 2606;
/// First OID that initdb does not give (transam.h).
const FIRST_NORMAL: u32 = 16384;

unsafe fn notice(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    attribute: c_int,
    argument: *mut c_void,
) {
    let class_number = class.to_u32();
    let relation = class == pg_sys::RelationRelationId;
    if !relation
        && class != pg_sys::NamespaceRelationId
        && class != pg_sys::TriggerRelationId
        && class_number != CONSTRAINT
    {
        return;
    }
    // SAFETY: plain globals of the backend; `argument` is the struct that goes with the
    // kind of access, or NULL.
    unsafe {
        if object.to_u32() < FIRST_NORMAL
            || !pg_sys::IsTransactionState()
            || is_our_process()
            || is_our_script()
            || is_internal(access, argument)
        {
            return;
        }
        let mut kind = 0;
        let (mut schema, mut name, mut field) = (Text::EMPTY, Text::EMPTY, Text::EMPTY);
        let what = match access {
            pg_sys::ObjectAccessType::OAT_POST_CREATE => Access::Created,
            pg_sys::ObjectAccessType::OAT_DROP => Access::Dropped,
            _ => Access::Altered,
        };
        // A new relation cannot be looked up before the transaction's next command; that is
        // made good for at commit.
        if relation && !(what == Access::Created && attribute == 0) {
            let Some(found) = look_up(object) else { return };
            (kind, schema, name) = found;
            let attname = match i16::try_from(attribute) {
                Ok(number) if number > 0 => pg_sys::get_attname(object, number, true),
                _ => std::ptr::null_mut(),
            };
            field = Text::from_pointer(attname);
        }
        if PENDING.with_borrow(Vec::is_empty) && spi::our_relation(c"mutation_log").is_none() {
            return;
        }
        let level = pg_sys::GetCurrentTransactionNestLevel();
        let notice = Notice {
            ticket: 0,
            transaction: 0,
            database: spi::database(),
            role: pg_sys::GetUserId(),
            session_role: pg_sys::GetSessionUserId(),
            at: clock::now(),
            access: what,
            class,
            object,
            attribute,
            kind,
            command: COMMAND.get(),
            schema,
            name,
            field,
            application: Text::from_pointer(pg_sys::application_name),
        };
        PENDING.with_borrow_mut(|pending| {
            if pending.len() >= KEPT {
                ring::count_lost(1);
            } else {
                pending.push(Pending { level, notice });
            }
        });
    }
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
                == pg_sys::get_extension_oid(c"indexpilot".as_ptr(), true)
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

/// Kind, schema and name of a relation that matters: no temporary, TOAST, composite or
/// sequence.
unsafe fn look_up(relation: pg_sys::Oid) -> Option<(u8, Text<64>, Text<64>)> {
    // SAFETY: syscache lookups inside a transaction; the strings are copied at once.
    unsafe {
        let schema = pg_sys::get_rel_namespace(relation);
        if schema == pg_sys::InvalidOid || pg_sys::isTempOrTempToastNamespace(schema) {
            return None;
        }
        let kind = pg_sys::get_rel_relkind(relation) as u8;
        if !b"rpvmfiI".contains(&kind) {
            return None;
        }
        let schema: Text<64> = Text::from_pointer(pg_sys::get_namespace_name(schema));
        if schema.as_str() == "pg_catalog" || schema.as_str().starts_with("pg_temp") {
            return None;
        }
        let name: *mut c_char = pg_sys::get_rel_name(relation);
        Some((kind, schema, Text::from_pointer(name)))
    }
}

unsafe extern "C-unwind" fn at_end_of_transaction(
    event: pg_sys::XactEvent::Type,
    _argument: *mut c_void,
) {
    if PENDING.with_borrow(Vec::is_empty) {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| match event {
        // The last moment at which catalogs can be read.
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => name_the_new(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            let pending = PENDING.take();
            ring::publish(pending.into_iter().map(|kept| kept.notice));
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT => drop(PENDING.take()),
        // It will commit in another session, if ever: the comparison of catalogs finds it.
        pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            ring::count_lost(PENDING.take().len() as u64);
        }
        _ => {}
    }));
    if outcome.is_err() {
        ring::count_lost(1);
    }
}

/// Looks up what was new when it was noticed, and forgets what did not live to the commit.
fn name_the_new() {
    PENDING.with_borrow_mut(|pending| {
        pending.retain_mut(|kept| {
            let notice = &mut kept.notice;
            if notice.class != pg_sys::RelationRelationId
                || notice.access != Access::Created
                || notice.attribute != 0
            {
                return true;
            }
            // SAFETY: before the commit, inside the transaction.
            match unsafe { look_up(notice.object) } {
                Some((kind, schema, name)) => {
                    (notice.kind, notice.schema, notice.name) = (kind, schema, name);
                    true
                }
                None => false,
            }
        });
    });
}

unsafe extern "C-unwind" fn at_end_of_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if PENDING.with_borrow(Vec::is_empty) {
        return;
    }
    // SAFETY: reads the state of the present transaction.
    let level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    PENDING.with_borrow_mut(|pending| match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => pending.retain(|kept| kept.level < level),
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => {
            for kept in pending.iter_mut().filter(|kept| kept.level >= level) {
                kept.level = level - 1;
            }
        }
        _ => {}
    });
}
