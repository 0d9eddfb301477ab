//! Whose execution this is: the session's own word first, then a qualifier on the tenant
//! column, evaluated for each execution, then what is fixed by role or schema.

use super::constants;
use super::tenant_qual::{self, Found, Wanted};
use crate::pg::boundary::{Miss, tolerated};
use crate::pg::compat::custom_setting;
use crate::pg::shmem::Block;
use crate::pg::shmem::entry::{Entry, Label, SharedLabel};
use indexpilot_model::TenantKey;
use pgrx::pg_sys::{self, ffi::pg_guard_ffi_boundary};
use std::ffi::{CStr, CString, c_char};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How tenants are told apart where the session does not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Source {
    /// By a qualifier on the tenant column or against the tenant setting.
    Column = 0,
    /// The schema of the statement's relations.
    Schema = 1,
    /// The role.
    Role = 2,
}

// What an entry's `tenant_source` says; a parameter's number stands in the lower half.
/// Nobody has looked yet.
const UNKNOWN: u32 = 0;
/// The statement does not say it.
const NONE: u32 = 1;
const PARAMETER: u32 = 1 << 16;
const CONSTANT: u32 = 2 << 16;
const SETTING: u32 = 3 << 16;
const FIXED: u32 = 4 << 16;

/// Key of `indexpilot.tenant_id`, 0 where it is empty.
static SESSION: AtomicU64 = AtomicU64::new(0);
static SOURCE: AtomicU32 = AtomicU32::new(0);
// Written by a reload or SET in this process, read at first sights only.
static COLUMN: Mutex<Option<CString>> = Mutex::new(None);
/// Name of the tenant setting: null, or a leaked CString that only `set_setting` frees.
static SETTING_NAME: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
static SESSION_LABEL: Mutex<String> = Mutex::new(String::new());

/// Takes over `indexpilot.tenant_id`.
pub fn set_session(value: &str) {
    let key = if value.is_empty() {
        TenantKey::NONE
    } else {
        TenantKey::from_text(value.as_bytes())
    };
    value.clone_into(&mut SESSION_LABEL.lock().unwrap_or_else(PoisonError::into_inner));
    SESSION.store(key.0, Ordering::Relaxed);
}

/// Takes over `indexpilot.tenant_column`.
pub fn set_column(name: &str) {
    *COLUMN.lock().unwrap_or_else(PoisonError::into_inner) =
        CString::new(name).ok().filter(|name| !name.is_empty());
}

/// Takes over `indexpilot.tenant_setting`.
pub fn set_setting(name: &str) {
    let new = CString::new(name)
        .ok()
        .filter(|name| !name.is_empty())
        .map_or(std::ptr::null_mut(), CString::into_raw);
    let old = SETTING_NAME.swap(new, Ordering::Relaxed);
    custom_setting::forget();
    if !old.is_null() {
        // SAFETY: made by `into_raw` above. Assign hooks run between uses: a process has one
        // thread, and nobody keeps the pointer over a call of the server.
        drop(unsafe { CString::from_raw(old) });
    }
}

/// The name of the tenant setting.
fn setting_name() -> Option<&'static CStr> {
    let name = SETTING_NAME.load(Ordering::Relaxed);
    // SAFETY: null, or a string that lives until the setting changes.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}

/// Takes over `indexpilot.tenant_source`.
pub fn set_source(source: Source) {
    SOURCE.store(source as u32, Ordering::Relaxed);
}

/// A tenant as it was met: its key, and where its name can be had.
#[derive(Clone, Copy)]
pub struct Met {
    /// Never 0.
    pub key: u64,
    name: Name,
}

/// Small: it is handed around at each execution, and asked for at the first of a pair.
#[derive(Clone, Copy)]
enum Name {
    Session,
    Integer(i64),
    Uuid([u8; 16]),
    /// Bytes that live as long as the execution.
    Text(*const u8, usize),
    /// A label that lives as long as the execution.
    Kept(*const Label),
    /// The fixed tenant of an entry.
    Fixed(*const SharedLabel),
}

impl Met {
    /// The tenant for longer than the value lives: a name that is a text becomes a label in
    /// `place`, which lives as long as what is given.
    pub(super) fn kept(self, place: &mut Label) -> Met {
        if !matches!(self.name, Name::Text(..)) {
            return self;
        }
        *place = self.label();
        Met {
            name: Name::Kept(&raw const *place),
            ..self
        }
    }

    /// The name, for the first time that a pair is counted.
    #[inline(never)]
    pub fn label(&self) -> Label {
        match self.name {
            Name::Session => {
                Label::new(&SESSION_LABEL.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Name::Integer(value) => Label::of_integer(value),
            Name::Uuid(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Label::new(&format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                ))
            }
            // SAFETY: as the variant says.
            Name::Text(bytes, length) => Label::new(&String::from_utf8_lossy(unsafe {
                std::slice::from_raw_parts(bytes, length)
            })),
            // SAFETY: as the variants say.
            Name::Kept(label) => unsafe { *label },
            // SAFETY: as the variants say; shared memory stays.
            Name::Fixed(label) => unsafe { &*label }.read(),
        }
    }
}

/// The key of a value of one of the types that tenants are told by.
#[inline]
unsafe fn met(value: pg_sys::Datum, type_oid: pg_sys::Oid) -> Option<Met> {
    // SAFETY: a value of that type. Compressed or toasted texts are no tenants.
    unsafe {
        let integer = |value: i64| Met {
            key: TenantKey::from_integer(value).0,
            name: Name::Integer(value),
        };
        Some(match type_oid {
            pg_sys::INT4OID => integer(i64::from(value.value() as i32)),
            pg_sys::INT8OID => integer(value.value() as i64),
            pg_sys::INT2OID => integer(i64::from(value.value() as i16)),
            pg_sys::UUIDOID => {
                let bytes = *value.cast_mut_ptr::<[u8; 16]>();
                Met {
                    key: TenantKey::from_uuid(&bytes).0,
                    name: Name::Uuid(bytes),
                }
            }
            pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => {
                let text = value.cast_mut_ptr::<pg_sys::varlena>();
                if text.is_null() || pgrx::varatt_is_1b_e(text) || pgrx::varatt_is_4b_c(text) {
                    return None;
                }
                let length = pgrx::varsize_any_exhdr(text);
                let data = pgrx::vardata_any(text).cast::<u8>();
                Met {
                    key: TenantKey::from_text(std::slice::from_raw_parts(data, length)).0,
                    name: Name::Text(data, length),
                }
            }
            _ => return None,
        })
    }
}

/// Notes the tenant of a statement that is being planned, where its text says it.
///
/// # Safety
/// The planner's arguments, in a transaction. An ERROR (a cancel) jumps over the caller.
#[inline(always)]
pub unsafe fn planned(entry: &Entry, key: u64, query: *mut pg_sys::Query, text: *const c_char) {
    let source = entry.tenant_source.load(Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe {
        if source & !0xffff == CONSTANT {
            note_constant(entry, key, query, text);
        } else if source == UNKNOWN {
            resolve(entry, key, query, text);
        }
    }
}

/// Another backend is at the statement's first sight, and has not come as far as its tenant:
/// it is found here too, or this execution would have none.
#[cold]
#[inline(never)]
unsafe fn resolve(entry: &Entry, key: u64, query: *mut pg_sys::Query, text: *const c_char) {
    // SAFETY: the caller's promise.
    unsafe {
        if tolerated(|| find_source(entry, query)) == Err(Miss::Failed) {
            // It would fail again.
            settle(entry, NONE);
        }
        if entry.tenant_source.load(Ordering::Relaxed) & !0xffff == CONSTANT {
            note_constant(entry, key, query, text);
        }
    }
}

#[inline(never)]
unsafe fn note_constant(entry: &Entry, key: u64, query: *mut pg_sys::Query, text: *const c_char) {
    // SAFETY: the planner's arguments.
    unsafe {
        let attribute = entry.tenant_value.load(Ordering::Relaxed);
        let (location, length) = ((*query).stmt_location, (*query).stmt_len);
        let Some(own) = constants::own_key((key, attribute), text, location, length) else {
            return;
        };
        if constants::knows(own) {
            return;
        }
        let found = match tenant_qual::find(query, Wanted::Constant(attribute)) {
            Some(Found::Constant(_, constant)) => {
                met((*constant).constvalue, (*constant).consttype)
            }
            _ => None,
        };
        constants::keep(own, found);
    }
}

/// Adds an execution (rows and nanoseconds) to its tenant, if it has one.
///
/// # Safety
/// A started query.
#[inline(always)]
pub unsafe fn count(
    block: &Block,
    entry: &Entry,
    key: u64,
    desc: *const pg_sys::QueryDesc,
    spent: (u64, u64),
) {
    let session = SESSION.load(Ordering::Relaxed);
    let source = entry.tenant_source.load(Ordering::Relaxed);
    if session != 0 || source > NONE {
        // SAFETY: the caller's promise.
        unsafe { count_own(block, entry, key, desc, spent) };
    }
}

/// Apart, so that statements without a tenant pay for none of it.
#[inline(never)]
unsafe fn count_own(
    block: &Block,
    entry: &Entry,
    key: u64,
    desc: *const pg_sys::QueryDesc,
    (rows, nanoseconds): (u64, u64),
) {
    let session = SESSION.load(Ordering::Relaxed);
    let source = entry.tenant_source.load(Ordering::Relaxed);
    let tenant = if session != 0 {
        Some(Met {
            key: session,
            name: Name::Session,
        })
    } else if source & !0xffff == PARAMETER {
        // SAFETY: the caller's promise.
        match unsafe { parameter(desc, source) } {
            // The most common by far, by the shortest way.
            Some(value) if value.ptype == pg_sys::INT4OID || value.ptype == pg_sys::INT8OID => {
                let number = match value.ptype {
                    pg_sys::INT4OID => i64::from(value.value.value() as i32),
                    _ => value.value.value() as i64,
                };
                let tenant = TenantKey::from_integer(number).0;
                let label = || Label::of_integer(number);
                return block.add_tenant(key, tenant, rows, nanoseconds, label);
            }
            // SAFETY: a parameter of that type.
            Some(value) => unsafe { met(value.value, value.ptype) },
            None => None,
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { by_source(entry, source, key, desc) }
    };
    if let Some(tenant) = tenant {
        block.add_tenant(key, tenant.key, rows, nanoseconds, || tenant.label());
    }
}

/// The parameter that a source names, unless it is NULL or would have to be fetched
/// (PL/pgSQL's variables are not read).
#[inline(always)]
unsafe fn parameter<'a>(
    desc: *const pg_sys::QueryDesc,
    source: u32,
) -> Option<&'a pg_sys::ParamExternData> {
    let number = (source & 0xffff) as i32;
    // SAFETY: a started query; numParams parameters from 1 on.
    unsafe {
        let parameters = (*desc).params;
        if parameters.is_null()
            || (*parameters).paramFetch.is_some()
            || number > (*parameters).numParams
        {
            return None;
        }
        let value = &*(*parameters).params.as_ptr().add(number as usize - 1);
        (!value.isnull).then_some(value)
    }
}

/// The tenant where it is no parameter.
unsafe fn by_source(
    entry: &Entry,
    source: u32,
    key: u64,
    desc: *const pg_sys::QueryDesc,
) -> Option<Met> {
    // SAFETY: a started query.
    unsafe {
        match source & !0xffff {
            CONSTANT => {
                let statement = (*desc).plannedstmt;
                let (location, length) = ((*statement).stmt_location, (*statement).stmt_len);
                let attribute = entry.tenant_value.load(Ordering::Relaxed);
                constants::find(constants::own_key(
                    (key, attribute),
                    (*desc).sourceText,
                    location,
                    length,
                )?)
            }
            SETTING => {
                let value = custom_setting::value(setting_name()?);
                if value.is_null() || *value == 0 {
                    return None;
                }
                let bytes = CStr::from_ptr(value).to_bytes();
                Some(Met {
                    key: TenantKey::from_text(bytes).0,
                    name: Name::Text(bytes.as_ptr(), bytes.len()),
                })
            }
            FIXED => Some(Met {
                key: entry.tenant_value.load(Ordering::Relaxed),
                name: Name::Fixed(&raw const entry.tenant_label),
            }),
            _ => None,
        }
    }
}

/// Says where a statement's tenant comes from, unless that is known.
fn settle(entry: &Entry, source: u32) {
    let _ =
        entry
            .tenant_source
            .compare_exchange(UNKNOWN, source, Ordering::Release, Ordering::Relaxed);
}

/// At first sight: where this statement's tenant will come from. May raise; caught by the
/// caller.
///
/// # Safety
/// The planner's argument, in a transaction.
pub unsafe fn find_source(entry: &Entry, query: *mut pg_sys::Query) {
    let by = SOURCE.load(Ordering::Relaxed);
    if by == Source::Role as u32 {
        fix(entry, &crate::pg::spi::current_role());
    } else if by == Source::Schema as u32 {
        // SAFETY: the caller's promise; an ERROR of the catalog ends at the guard.
        let schema = unsafe { pg_guard_ffi_boundary(|| tenant_qual::only_schema(query)) };
        if schema != pg_sys::InvalidOid
            // SAFETY: a catalog look-up.
            && let Some(name) = unsafe { crate::pg::querytree::schema_name(schema) }
        {
            fix(entry, &name);
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { find_qual(entry, query) };
    }
    settle(entry, NONE);
}

/// The statement's tenant is always the same.
fn fix(entry: &Entry, name: &str) {
    entry
        .tenant_value
        .store(TenantKey::from_text(name.as_bytes()).0, Ordering::Relaxed);
    entry.tenant_label.write(Label::new(name));
    entry.tenant_source.store(FIXED, Ordering::Release);
}

unsafe fn find_qual(entry: &Entry, query: *mut pg_sys::Query) {
    let column = COLUMN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let setting = setting_name();
    if column.is_none() && setting.is_none() {
        return;
    }
    let wanted = Wanted::Names(column.as_deref(), setting);
    // SAFETY: the caller's promise; an ERROR of the catalog ends at the guard, and no
    // destructor is alive below it.
    let found = unsafe { pg_guard_ffi_boundary(|| tenant_qual::find(query, wanted)) };
    let source = match found {
        Some(Found::Parameter(number)) => PARAMETER | u32::from(number),
        Some(Found::Setting) => SETTING,
        Some(Found::Constant(attribute, _)) => {
            entry.tenant_value.store(attribute, Ordering::Relaxed);
            CONSTANT
        }
        None => return,
    };
    entry.tenant_source.store(source, Ordering::Release);
}
