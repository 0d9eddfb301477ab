//! A hash that is the same on every host, build and version: identities that are stored
//! must not change when a library does. FNV-1a over 64 bits with a final avalanche
//! (Fowler, Noll, Vo; finaliser of MurmurHash3).

const PRIME: u64 = 0x0000_0100_0000_01b3;
/// The prime to the power of the place.
const POWERS: [u64; 9] = {
    let mut powers = [1u64; 9];
    let mut place = 1;
    while place < 9 {
        powers[place] = powers[place - 1].wrapping_mul(PRIME);
        place += 1;
    }
    powers
};

/// An incremental stable hash; feed it with bytes, read it with [`StableHash::finish`].
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl Default for StableHash {
    fn default() -> Self {
        StableHash(0xcbf2_9ce4_8422_2325)
    }
}

impl StableHash {
    /// Starts a hash.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. Not self-delimiting: use [`StableHash::field`] for a sequence of parts.
    #[inline]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        self
    }

    /// Adds a number as [`StableHash::number`] does, in a time that grows with its size: bytes
    /// that are zero only multiply.
    #[inline]
    pub fn small_number(mut self, number: u64) -> Self {
        let mut rest = number;
        let mut zeros = 8;
        while rest != 0 {
            self.0 = (self.0 ^ (rest & 0xff)).wrapping_mul(PRIME);
            rest >>= 8;
            zeros -= 1;
        }
        self.0 = self.0.wrapping_mul(POWERS[zeros]);
        self
    }

    /// Adds one part with its length, so that ("ab","c") and ("a","bc") differ.
    pub fn field(self, part: &[u8]) -> Self {
        self.bytes(&(part.len() as u64).to_le_bytes()).bytes(part)
    }

    /// Adds a number.
    #[inline]
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The hash of all that was fed.
    #[inline]
    pub fn finish(self) -> u64 {
        let mut hash = self.0;
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::StableHash;

    #[test]
    fn parts_are_delimited() {
        let one = StableHash::new().field(b"ab").field(b"c").finish();
        let two = StableHash::new().field(b"a").field(b"bc").finish();
        assert_ne!(one, two);
    }

    #[test]
    fn small_numbers_are_numbers() {
        for shift in 0..64 {
            for number in [0, 1, 0x80, 0xff, 0x0100_00ff, u64::MAX] {
                let number = number << shift;
                assert_eq!(
                    StableHash::new().bytes(b"i").small_number(number).finish(),
                    StableHash::new().bytes(b"i").number(number).finish(),
                    "{number:#x}"
                );
            }
        }
    }

    #[test]
    fn the_value_is_frozen() {
        // Stored identities rest on this value: it must never change.
        assert_eq!(
            StableHash::new().bytes(b"indexpilot").finish(),
            0x387b_2342_ef66_b2a3
        );
    }
}
