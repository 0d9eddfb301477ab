//! Keys of documents (JSON, hstore) in a tree: with another key it is another field, and so another
//! statement (`indexpilot_model::json_key` tells names from values).
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "every function here reads the nodes of one valid tree; the promise is made once, at `Hasher::query`"
)]

use super::hasher::Hasher;
use crate::pg::nodes::tag;
use crate::pg::raw;
use indexpilot_model::json_key;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands before a key of JSON.
const KEY: u64 = 4 << 40;

// OIDs of operators that take a field out of a document (pg_operator.dat).
const JSON_EXTRACTION: std::ops::RangeInclusive<u32> = 3962..=3967;
const JSONB_EXTRACTION: [u32; 6] = [3206, 3211, 3212, 3213, 3477, 3481];
/// OIDs of json(b)_extract_path and json(b)_extract_path_text (pg_proc.dat).
pub(super) const PATHS: [u32; 4] = [3217, 3940, 3951, 3953];

/// First OID of user-defined objects (transam.h, FirstNormalObjectId).
pub(super) const FIRST_NORMAL_OID: u32 = 16_384;

/// Operators of extensions that were looked at, by their OID's last bits: the OID above the bit
/// that says whether it is called `->` or `->>`. An operator keeps its name for as long as
/// statements with it are kept.
static LOOKED_AT: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Whether an operator takes a field out of something, by its name, as the text is read.
unsafe fn fetches(operator: pg_sys::Oid) -> bool {
    let number = u64::from(operator.to_u32());
    let place = &LOOKED_AT[number as usize % LOOKED_AT.len()];
    let found = place.load(Ordering::Relaxed);
    if found >> 1 == number {
        return found & 1 == 1;
    }
    let name = raw::get_opname(operator);
    let fetches = !name.is_null() && {
        let read = CStr::from_ptr(name);
        read == c"->" || read == c"->>"
    };
    if !name.is_null() {
        raw::pfree(name.cast());
    }
    place.store(number << 1 | u64::from(fetches), Ordering::Relaxed);
    fetches
}

impl Hasher {
    /// The key behind an operator of an extension (hstore's `->`).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn foreign_extraction(&mut self, operation: &pg_sys::OpExpr) {
        if operation.args.is_null() || (*operation.args).length != 2 {
            return;
        }
        let key: *mut pg_sys::Const = (*(*operation.args).elements.add(1)).ptr_value.cast();
        if tag(key) == NodeTag::T_Const
            && (*key).consttype == pg_sys::TEXTOID
            && fetches(operation.opno)
        {
            self.key(key.cast());
        }
    }

    /// The key that a document's field is extracted by.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn extraction(&mut self, operation: &pg_sys::OpExpr) {
        let number = operation.opno.to_u32();
        if !(JSON_EXTRACTION.contains(&number) || JSONB_EXTRACTION.contains(&number))
            || operation.args.is_null()
            || (*operation.args).length != 2
        {
            return;
        }
        self.key((*(*operation.args).elements.add(1)).ptr_value.cast());
    }

    /// The keys that json(b)_extract_path(_text) is called with, if all of them are constants
    /// that name fields.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn path_arguments(&mut self, call: &pg_sys::FuncExpr) {
        if call.args.is_null() || (*call.args).length != 2 {
            return;
        }
        // The parser makes an array of them; one that was given as such is a value.
        let array: *mut pg_sys::ArrayExpr = (*(*call.args).elements.add(1)).ptr_value.cast();
        if tag(array) != NodeTag::T_ArrayExpr || (*array).elements.is_null() {
            return;
        }
        let elements = &*(*array).elements;
        let mut path = Hasher::new();
        for place in 0..elements.length as usize {
            let key: *mut pg_sys::Const = (*elements.elements.add(place)).ptr_value.cast();
            if tag(key) != NodeTag::T_Const
                || (*key).constisnull
                || (*key).consttype != pg_sys::TEXTOID
            {
                return;
            }
            match text((*key).constvalue.cast_mut_ptr()) {
                Some(name) if json_key::is_step(name) => path.bytes(name),
                _ => return,
            }
        }
        self.word(KEY);
        self.word(path.finish());
    }

    /// Adds a key that names a field; a key that is a value adds nothing.
    pub(super) unsafe fn key(&mut self, node: *mut pg_sys::Node) {
        if tag(node) != NodeTag::T_Const {
            return;
        }
        let key = &*node.cast::<pg_sys::Const>();
        if key.constisnull {
            return;
        }
        match key.consttype {
            pg_sys::INT4OID => {
                let number = i64::from(key.constvalue.value() as i32);
                if json_key::is_place(number) {
                    self.word(KEY);
                    self.word(number as u64);
                }
            }
            pg_sys::TEXTOID => {
                if let Some(name) = text(key.constvalue.cast_mut_ptr())
                    && json_key::is_name(name)
                {
                    self.word(KEY);
                    self.bytes(name);
                }
            }
            pg_sys::TEXTARRAYOID => self.path(key.constvalue.cast_mut_ptr()),
            _ => {}
        }
    }

    /// Adds a path of keys, if all of them name fields.
    unsafe fn path(&mut self, array: *mut pg_sys::ArrayType) {
        let mut path = Hasher::new();
        let datum = array.cast::<pg_sys::varlena>();
        if pgrx::varatt_is_1b(datum) || pgrx::varatt_is_4b_c(datum) {
            return;
        }
        // One dimension, no NULLs (array.h): header, length and lower bound, then texts.
        if (*array).ndim != 1 || (*array).dataoffset != 0 {
            return;
        }
        let length = *array.add(1).cast::<i32>();
        let end = array.cast::<u8>().add(pgrx::varsize_any(datum));
        let mut at = array.cast::<u8>().add(size_of::<pg_sys::ArrayType>() + 8);
        for _ in 0..length {
            let element = at.cast::<pg_sys::varlena>();
            if at >= end {
                return;
            }
            let Some(name) = text(element) else { return };
            if !json_key::is_step(name) {
                return;
            }
            path.bytes(name);
            let size = pgrx::varsize_any(element);
            at = at.add(size.next_multiple_of(4));
        }
        self.word(KEY);
        self.word(path.finish());
    }
}

/// The bytes of a text that lies in memory as it is.
unsafe fn text<'a>(value: *mut pg_sys::varlena) -> Option<&'a [u8]> {
    if value.is_null() || pgrx::varatt_is_1b_e(value) || pgrx::varatt_is_4b_c(value) {
        return None;
    }
    let length = pgrx::varsize_any_exhdr(value);
    Some(std::slice::from_raw_parts(
        pgrx::vardata_any(value).cast::<u8>(),
        length,
    ))
}
