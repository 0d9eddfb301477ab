//! What sizes need to know of a column's values in a sample: how many bytes each takes and
//! which are equal. Made once a column, because hundreds of candidates share them.

use super::keys::alignment;
use super::projection::KeyValues;
use super::stored_bytes::datum_bytes;
use crate::pg::compat::planner as compat;
use indexpilot_sizing::KeyGroup;
use indexpilot_sizing::duplicates::{self, Place};
use indexpilot_sizing::page::TUPLE_HEADER;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// One column's values, one a row.
pub(super) struct Column {
    /// Of the type; negative where values vary.
    length: i16,
    /// Bytes.
    alignment: u64,
    /// Equal values have equal hashes; a null has one of its own.
    hashes: Vec<u32>,
    /// As an index stores them.
    bytes: Vec<u32>,
    nulls: Vec<bool>,
    /// No nulls, and all values take the same room.
    uniform: bool,
}

/// A null's hash.
const NULL: u32 = 0x9e37_79b9;

impl Column {
    fn empty(length: i16, align: u8) -> Self {
        Column {
            length,
            alignment: alignment(align) as u64,
            hashes: Vec::new(),
            bytes: Vec::new(),
            nulls: Vec::new(),
            uniform: length > 0,
        }
    }

    /// # Safety
    /// `value` is null or a complete value of the type.
    unsafe fn push(&mut self, value: pg_sys::Datum, null: bool, by_value: bool) {
        self.nulls.push(null);
        if null {
            self.hashes.push(NULL);
            self.bytes.push(0);
            self.uniform = false;
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.hashes
                .push(compat::datum_hash(value, by_value, self.length));
            self.bytes.push(datum_bytes(value, self.length) as u32);
        }
    }

    /// Hashes by row, and where there is no value.
    pub(super) fn values(&self) -> (&[u32], &[bool]) {
        (&self.hashes, &self.nulls)
    }

    /// Of values that were computed.
    pub(super) fn of_values(key: &KeyValues) -> Self {
        let mut column = Column::empty(key.length, key.alignment);
        for (value, null) in key.values.iter().zip(&key.nulls) {
            // SAFETY: values of the key's type.
            unsafe { column.push(*value, *null, key.by_value) };
        }
        column
    }

    /// Of an attribute, in the order of the tuples.
    ///
    /// # Safety
    /// The relation is open, and the tuples are complete rows of it.
    unsafe fn of_attribute(
        relation: pg_sys::Relation,
        number: i16,
        tuples: &[pg_sys::HeapTuple],
    ) -> Self {
        // SAFETY: the caller's promise; the arrays have room for every attribute.
        unsafe {
            let desc = (*relation).rd_att;
            let attribute = &*compat::attribute(desc, number);
            let mut column = Column::empty(attribute.attlen, attribute.attalign as u8);
            let attributes = (*desc).natts as usize;
            let mut values = vec![pg_sys::Datum::null(); attributes];
            let mut nulls = vec![true; attributes];
            for (row, tuple) in tuples.iter().enumerate() {
                if row % 1024 == 0 {
                    pgrx::check_for_interrupts!();
                }
                pg_sys::heap_deform_tuple(*tuple, desc, values.as_mut_ptr(), nulls.as_mut_ptr());
                let position = number as usize - 1;
                column.push(values[position], nulls[position], attribute.attbyval);
            }
            column
        }
    }
}

/// By attributes and a limit: rows that have the same values in them.
type Groups = HashMap<(Vec<i16>, u64), Rc<[KeyGroup]>>;

/// The columns of one sample that were asked for, and how often their combinations repeat.
#[derive(Default)]
pub(super) struct Columns {
    made: RefCell<HashMap<i16, Rc<Column>>>,
    groups: RefCell<Groups>,
}

impl Columns {
    /// # Safety
    /// As [`Column::of_attribute`]; the tuples are the same in every call.
    pub(super) unsafe fn of(
        &self,
        relation: pg_sys::Relation,
        number: i16,
        tuples: &[pg_sys::HeapTuple],
    ) -> Rc<Column> {
        if let Some(made) = self.made.borrow().get(&number) {
            return Rc::clone(made);
        }
        // SAFETY: the caller's promise.
        let column = Rc::new(unsafe { Column::of_attribute(relation, number, tuples) });
        self.made.borrow_mut().insert(number, Rc::clone(&column));
        column
    }

    /// How often the values of these attributes together repeat among `total` rows. Their
    /// order makes no difference.
    pub(super) fn groups(
        &self,
        numbers: &[i16],
        keys: &[Rc<Column>],
        places: &[Place],
        total: f64,
    ) -> Rc<[KeyGroup]> {
        let mut name = numbers.to_vec();
        name.sort_unstable();
        let name = (name, total.to_bits());
        if let Some(known) = self.groups.borrow().get(&name) {
            return Rc::clone(known);
        }
        let made: Rc<[KeyGroup]> = groups(keys, places, total).into();
        self.groups.borrow_mut().insert(name, Rc::clone(&made));
        made
    }
}

/// How often the values of `keys` together repeat among `total` rows.
pub(super) fn groups(keys: &[Rc<Column>], places: &[Place], total: f64) -> Vec<KeyGroup> {
    let hashes: Vec<u64> = (0..places.len())
        .map(|row| {
            keys.iter().fold(0u64, |hash, key| {
                mixed(
                    hash.wrapping_add(u64::from(key.hashes[row]))
                        .wrapping_add(GOLDEN),
                )
            })
        })
        .collect();
    duplicates::groups_in_order(&hashes, places, total)
}

/// SplitMix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser.
fn mixed(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Mean bytes of index tuples over `keys`, aligned (itup.h, heap_fill_tuple).
pub(super) fn mean_tuple_bytes(keys: &[Rc<Column>]) -> f64 {
    // MAXALIGN of x86-64 and arm64, and of the header with a bitmap of nulls.
    const WORD: u64 = 8;
    let header = TUPLE_HEADER as u64;
    let rows = keys.first().map_or(0, |key| key.nulls.len());
    // Fixed widths without a null: one row is like the other.
    let rows = if keys.iter().all(|key| key.uniform) {
        rows.min(1)
    } else {
        rows
    };
    let mut total = 0;
    for row in 0..rows {
        let mut any_null = false;
        let mut data = 0u64;
        for key in keys {
            if key.nulls[row] {
                any_null = true;
                continue;
            }
            let bytes = u64::from(key.bytes[row]);
            if key.length > 0 || bytes > 127 {
                data = data.next_multiple_of(key.alignment);
            }
            data += bytes;
        }
        let header = if any_null { header + WORD } else { header };
        total += (header + data).next_multiple_of(WORD);
    }
    total as f64 / rows.max(1) as f64
}
