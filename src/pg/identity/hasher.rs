//! The mixing function of identities, and what of a value goes into them.
//!
//! Each word costs a multiplication (multiply and fold, as in wyhash): nothing is written to
//! memory on the way. Identities need no resistance to an adversary: whoever finds two
//! statements with one hash has made his own two statements share a counter.

use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// A hash under way.
pub struct Hasher {
    state: u64,
    /// How deep the walk is.
    pub(super) depth: u32,
    /// The walk is inside of a condition: truth values tell statements apart.
    pub(super) in_condition: bool,
}

impl Hasher {
    #[inline(always)]
    pub fn new() -> Self {
        Hasher {
            state: SEED,
            depth: 0,
            in_condition: false,
        }
    }

    /// Adds a word; order counts.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        let wide = u128::from(self.state ^ word).wrapping_mul(u128::from(FACTOR));
        // A zero word counts too.
        self.state = ((wide as u64) ^ ((wide >> 64) as u64)).wrapping_add(SEED);
    }

    /// Adds the bytes of a string, and where it ends.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// Adds a C string, or that there is none.
    ///
    /// # Safety
    /// Null, or NUL-terminated.
    pub unsafe fn name(&mut self, name: *const c_char) {
        if name.is_null() {
            self.word(u64::MAX);
        } else {
            // SAFETY: the caller's promise.
            self.bytes(unsafe { CStr::from_ptr(name) }.to_bytes());
        }
    }

    /// The hash of what was added.
    #[inline(always)]
    pub fn finish(&self) -> u64 {
        self.state
    }
}

/// A field of a node that is no pointer.
pub(crate) trait Scalar: Copy {
    fn bits(self) -> u64;
}

macro_rules! scalar {
    ($($kind:ty),*) => {$(
        impl Scalar for $kind {
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "one form for all widths")]
            fn bits(self) -> u64 {
                self as u64
            }
        }
    )*};
}
scalar!(bool, i8, u8, i16, i32, u32);

impl Scalar for pg_sys::Oid {
    #[inline(always)]
    fn bits(self) -> u64 {
        u64::from(self.to_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::Hasher;

    fn of(words: &[u64]) -> u64 {
        let mut hasher = Hasher::new();
        words.iter().for_each(|&word| hasher.word(word));
        hasher.finish()
    }

    #[test]
    fn order_number_and_zeros_count() {
        let all = [
            of(&[]),
            of(&[0]),
            of(&[0, 0]),
            of(&[1]),
            of(&[1, 0]),
            of(&[0, 1]),
            of(&[1, 2]),
            of(&[2, 1]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }
}
