//! The value of somebody's custom setting, read for each execution: by its record where that
//! can be had without a search (15), by the server's hash table from 16 on.
//!
//! A record goes away when an extension defines the setting properly or reserves its prefix,
//! so it is kept as its place in guc.c's array and looked at again each time.
//! 16 has no such array any more (guc_hashtab is not exported), and nothing tells when a record
//! is freed: a pointer kept over statements could not be trusted, so the search stays. It takes some
//! 480 instructions an execution, as much as current_setting() in the statement itself.

use std::ffi::{CStr, c_char};

unsafe extern "C-unwind" {
    fn GetConfigOption(name: *const c_char, missing_ok: bool, restricted: bool) -> *const c_char;
}

/// The present value; null where the setting is not there.
///
/// # Safety
/// In a backend. The value lives until the setting changes.
#[inline]
pub unsafe fn value(name: &CStr) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        {
            array::value(name)
        }
        #[cfg(not(feature = "pg15"))]
        {
            // Missing settings are nothing to raise an error for.
            GetConfigOption(name.as_ptr(), true, false)
        }
    }
}

/// The name has changed: what was kept is void.
pub fn forget() {
    #[cfg(feature = "pg15")]
    array::forget();
}

#[cfg(feature = "pg15")]
mod array {
    use super::{CStr, GetConfigOption, c_char};
    use pgrx::pg_sys;
    use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

    unsafe extern "C-unwind" {
        fn get_guc_variables() -> *mut *mut pg_sys::config_generic;
        fn GetNumConfigOptions() -> i32;
    }

    /// Where the record stood when it was found, -1 is unknown.
    static PLACE: AtomicI32 = AtomicI32::new(-1);
    static NAME: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
    static RECORD: AtomicPtr<pg_sys::config_generic> = AtomicPtr::new(std::ptr::null_mut());

    pub fn forget() {
        PLACE.store(-1, Ordering::Relaxed);
    }

    #[inline]
    pub unsafe fn value(name: &CStr) -> *const c_char {
        // SAFETY: the array holds as many records as the server says; a record in it is alive.
        unsafe {
            let place = PLACE.load(Ordering::Relaxed);
            if place >= 0 && place < GetNumConfigOptions() {
                let record = *get_guc_variables().add(place as usize);
                // The name too: a freed record's memory may hold another one.
                if record == RECORD.load(Ordering::Relaxed)
                    && (*record).name == NAME.load(Ordering::Relaxed).cast_const()
                    && (*record).vartype == pg_sys::config_type::PGC_STRING
                {
                    return *(*record.cast::<pg_sys::config_string>()).variable;
                }
            }
            search(name)
        }
    }

    #[cold]
    unsafe fn search(name: &CStr) -> *const c_char {
        // SAFETY: as above; names are NUL-terminated.
        unsafe {
            let value = GetConfigOption(name.as_ptr(), true, false);
            if value.is_null() {
                return value;
            }
            let (records, count) = (get_guc_variables(), GetNumConfigOptions());
            for place in 0..count {
                let record = *records.add(place as usize);
                if CStr::from_ptr((*record).name)
                    .to_bytes()
                    .eq_ignore_ascii_case(name.to_bytes())
                {
                    RECORD.store(record, Ordering::Relaxed);
                    PLACE.store(place, Ordering::Relaxed);
                    NAME.store((*record).name.cast_mut(), Ordering::Relaxed);
                    break;
                }
            }
            value
        }
    }
}
