//! What pgrx has no safe wrapper for in the GUC machinery: reserving our prefix, checking
//! values with DETAIL and HINT, and being told of a change.

use indexpilot_model::setting::Refusal;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::catch_unwind;

/// Refuses unknown `indexpilot.*` settings from now on, and removes those that were set
/// before we came (guc.c, MarkGUCPrefixReserved).
pub fn reserve_prefix(prefix: &'static CStr) {
    // SAFETY: the string is NUL-terminated and static; called once, from _PG_init, in the
    // main thread, after all our settings were defined.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}

/// A setting whose value is checked before it counts. No method may raise an ERROR or touch
/// anything but its arguments and this process's memory: the postmaster calls them too.
pub trait Checked<T: ?Sized> {
    /// Accepts a value, or says why not.
    ///
    /// # Errors
    /// The DETAIL and HINT of the refusal.
    fn check(value: &T) -> Result<(), Refusal> {
        let _ = value;
        Ok(())
    }

    /// Hears of a value that was accepted and is about to count: the default at first, then
    /// each change. A check has passed before.
    fn assigned(value: &T) {
        let _ = value;
    }
}

/// Defines a text setting; see [`Checked`].
pub fn define_text<S: Checked<str>>(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
    context: GucContext,
    flags: GucFlags,
) {
    // SAFETY: the hooks catch panics and are of the type the server calls.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            short,
            long,
            setting,
            context,
            flags,
            Some(check_text::<S>),
            Some(assign_text::<S>),
            None,
        );
    }
}

/// Defines a whole-number setting whose values are checked beyond a range.
pub fn define_int<S: Checked<i32>>(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<i32>,
    range: (i32, i32),
    context: GucContext,
    flags: GucFlags,
) {
    // SAFETY: the hooks catch panics and are of the type the server calls.
    unsafe {
        GucRegistry::define_int_guc_with_hooks(
            name,
            short,
            long,
            setting,
            range.0,
            range.1,
            context,
            flags,
            Some(check_int::<S>),
            Some(assign_int::<S>),
            None,
        );
    }
}

/// Defines an on/off setting whose changes are heard.
pub fn define_bool<S: Checked<bool>>(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<bool>,
    context: GucContext,
    flags: GucFlags,
) {
    // SAFETY: the hook catches panics and is of the type the server calls.
    unsafe {
        GucRegistry::define_bool_guc_with_hooks(
            name,
            short,
            long,
            setting,
            context,
            flags,
            None,
            Some(assign_bool::<S>),
            None,
        );
    }
}

/// Hands DETAIL and HINT to guc.c, which raises the error (GUC_check_errdetail,
/// GUC_check_errhint in guc.h are macros over these two variables).
fn refuse(refusal: &Refusal) {
    let copy = |text: &str| {
        let text = CString::new(text.replace('\0', "")).unwrap_or_default();
        // guc.c reads the copy at once, and the context is reset with the error.
        super::boundary::copied(&text)
    };
    let (detail, hint) = (copy(&refusal.detail), copy(&refusal.hint));
    // SAFETY: guc.c sets both to NULL before each check and reads them after it.
    unsafe {
        pg_sys::GUC_check_errdetail_string = detail;
        pg_sys::GUC_check_errhint_string = hint;
    }
}

/// True when `check` accepts; a panic counts as a refusal without words.
fn accepted(check: impl FnOnce() -> Result<(), Refusal> + std::panic::UnwindSafe) -> bool {
    match catch_unwind(check) {
        Ok(Ok(())) => true,
        Ok(Err(refusal)) => {
            refuse(&refusal);
            false
        }
        Err(_) => false,
    }
}

/// The text behind a pointer of guc.c; NULL is the empty text.
fn text_of(value: *const c_char) -> Result<String, Refusal> {
    if value.is_null() {
        return Ok(String::new());
    }
    // SAFETY: guc.c hands NUL-terminated strings that live over the call.
    let text = unsafe { CStr::from_ptr(value) };
    text.to_str().map(str::to_owned).map_err(|_| Refusal {
        detail: "The value is not valid UTF-8.".into(),
        hint: "Use plain letters and digits.".into(),
    })
}

unsafe extern "C-unwind" fn check_text<S: Checked<str>>(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: guc.c passes the address of the new value.
    let value = unsafe { *value };
    accepted(|| S::check(&text_of(value)?))
}

unsafe extern "C-unwind" fn assign_text<S: Checked<str>>(value: *const c_char, _: *mut c_void) {
    let _ = catch_unwind(|| {
        if let Ok(text) = text_of(value) {
            S::assigned(&text);
        }
    });
}

unsafe extern "C-unwind" fn check_int<S: Checked<i32>>(
    value: *mut i32,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: guc.c passes the address of the new value.
    let value = unsafe { *value };
    accepted(|| S::check(&value))
}

unsafe extern "C-unwind" fn assign_int<S: Checked<i32>>(value: i32, _: *mut c_void) {
    let _ = catch_unwind(|| S::assigned(&value));
}

unsafe extern "C-unwind" fn assign_bool<S: Checked<bool>>(value: bool, _: *mut c_void) {
    let _ = catch_unwind(|| S::assigned(&value));
}
