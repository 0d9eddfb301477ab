//! Bytes of values as an index stores them (indextuple.c, heaptuple.c).

use super::keys::alignment;
use super::projection::KeyValues;
use crate::pg::compat::planner as compat;
use indexpilot_sizing::page::{TUPLE_HEADER, max_align};
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

/// Mean bytes of index tuples over `keys`, aligned, of rows `0..rows`.
pub(super) fn mean_tuple_bytes(keys: &[KeyValues], rows: usize) -> f64 {
    let mut total = 0.0;
    for row in 0..rows {
        let any_null = keys.iter().any(|key| key.nulls[row]);
        let mut data = 0.0f64;
        for key in keys.iter().filter(|key| !key.nulls[row]) {
            // SAFETY: a value of the key's type.
            let bytes = unsafe { datum_bytes(key.values[row], key.length) };
            let aligned = key.length > 0 || bytes > 127.0;
            if aligned {
                let boundary = alignment(key.alignment);
                data = (data / boundary).ceil() * boundary;
            }
            data += bytes;
        }
        let header = if any_null {
            max_align(TUPLE_HEADER + 4.0)
        } else {
            TUPLE_HEADER
        };
        total += max_align(header + data);
    }
    total / rows.max(1) as f64
}
