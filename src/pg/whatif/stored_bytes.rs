//! Bytes of values as an index stores them (indextuple.c, heaptuple.c).

use crate::pg::compat::planner as compat;
use pgrx::pg_sys;
use pgrx::varlena::{varatt_is_4b_u, varsize_any};

/// Larger values are compressed when they can be (`TOAST_INDEX_TARGET`).
const COMPRESS_ABOVE: usize = 508;

/// Bytes of a value that is not null: short values of variable length get a one-byte header,
/// long ones are compressed.
///
/// # Safety
/// `value` is a value, not out of line, of a type with this length.
pub(super) unsafe fn datum_bytes(value: pg_sys::Datum, length: i16) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        match length {
            -1 => {
                let pointer = value.cast_mut_ptr::<pg_sys::varlena>();
                let size = varsize_any(pointer);
                if !varatt_is_4b_u(pointer) {
                    return size as f64;
                }
                if size > COMPRESS_ABOVE {
                    let packed = compat::compress(value).cast_mut_ptr::<pg_sys::varlena>();
                    if !packed.is_null() {
                        return varsize_any(packed) as f64;
                    }
                }
                // VARHDRSZ less VARHDRSZ_SHORT, if it fits into seven bits.
                if size - 3 <= 127 {
                    (size - 3) as f64
                } else {
                    size as f64
                }
            }
            -2 => {
                std::ffi::CStr::from_ptr(value.cast_mut_ptr())
                    .to_bytes()
                    .len() as f64
                    + 1.0
            }
            fixed => f64::from(fixed),
        }
    }
}
