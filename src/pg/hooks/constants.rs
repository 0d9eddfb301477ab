//! Tenants that stand in statements' texts as constants, by statement and text.
//!
//! Statements that differ in constants only are one, and a plan may be kept and run long after
//! other statements were planned. So what planning finds is kept under the statement's key
//! and its own text, which an execution has as well: the constant is a function of both.

use super::tenant::Met;
use crate::pg::shmem::entry::Label;
use std::ffi::{CStr, c_char, c_int};

/// Texts in one set of places; the oldest makes room. As many keys as a cache line holds.
const WAYS: usize = 8;
/// A power of two.
const SETS: usize = 128;
/// Longer texts are not looked at, bytes: what is done here grows with them.
const MAX_TEXT: usize = 32 * 1024;

#[derive(Clone, Copy)]
struct Place {
    found: Option<Met>,
    /// The name, where it is a text.
    label: Label,
}

const FREE: Place = Place {
    found: None,
    label: Label::EMPTY,
};
#[repr(align(64))]
struct Keys([[u64; WAYS]; SETS]);

/// What the places are about; 0 is free.
static mut KEYS: Keys = Keys([[0; WAYS]; SETS]);
static mut PLACES: [[Place; WAYS]; SETS] = [[FREE; WAYS]; SETS];
/// The place that the next text of a set takes.
static mut NEXT: [u8; SETS] = [0; SETS];

/// The key of a statement and the attribute that tells its tenant, together with its own part
/// of a query string; `None` for texts that are too long.
///
/// # Safety
/// A query string or null, with place and length as the server counts them (parsenodes.h).
pub unsafe fn own_key(
    (key, attribute): (u64, u64),
    text: *const c_char,
    location: c_int,
    length: c_int,
) -> Option<u64> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; a part beyond the string's end is cut.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let start = usize::try_from(location).unwrap_or(0).min(bytes.len());
    let rest = &bytes[start..];
    let own = match usize::try_from(length) {
        Ok(length) if length > 0 => &rest[..length.min(rest.len())],
        _ => rest,
    };
    (own.len() <= MAX_TEXT).then(|| mixed(key ^ attribute.rotate_left(32), own))
}

/// A multiplicative hash, eight bytes a step: of one backend, for itself only.
fn mixed(key: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = key ^ (bytes.len() as u64).wrapping_mul(ODD);
    let mut step = |word: u64| hash = (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        step(u64::from_le_bytes(*word));
    }
    // What is left, with bytes before it where there are any: the length tells them apart.
    step(match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest
            .iter()
            .fold(0, |word, &byte| word << 8 | u64::from(byte)),
    });
    // 0 is a free place.
    (hash ^ hash >> 29) | 1
}

fn set_of(key: u64) -> usize {
    (key >> 32) as usize % SETS
}

#[inline(always)]
fn position(key: u64) -> Option<usize> {
    let keys = &raw const KEYS;
    // SAFETY: a backend has one thread, and no reference outlives this call.
    let keys = unsafe { &(*keys).0[set_of(key)] };
    keys.iter().position(|&other| other == key)
}

/// Whether planning has looked for this key.
#[inline(always)]
pub fn knows(key: u64) -> bool {
    position(key).is_some()
}

/// What planning found for this key. Its name is good until something else is kept.
#[inline(always)]
pub fn find(key: u64) -> Option<Met> {
    let position = position(key)?;
    let places = &raw const PLACES;
    // SAFETY: a backend has one thread, and no reference outlives this call.
    unsafe { (&(*places)[set_of(key)])[position].found }
}

/// Keeps what planning found.
pub fn keep(key: u64, found: Option<Met>) {
    let set = set_of(key);
    let (keys, places, next) = (&raw mut KEYS, &raw mut PLACES, &raw mut NEXT);
    // SAFETY: a backend has one thread, and no reference outlives this call.
    let (keys, places, next) =
        unsafe { (&mut (*keys).0[set], &mut (*places)[set], &mut (*next)[set]) };
    let position = position(key).unwrap_or_else(|| {
        *next = (*next + 1) % WAYS as u8;
        usize::from(*next)
    });
    keys[position] = key;
    let place = &mut places[position];
    place.found = found.map(|met| met.kept(&mut place.label));
}
