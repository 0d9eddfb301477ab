//! Identities. An `Oid` is the server's and dies with its object; a `StatementId` and a
//! `TenantKey` are ours and last over restarts, dumps and major versions.

use crate::hash::StableHash;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An object identifier of the server (`pg_catalog`), valid within one database.
pub type Oid = u32;

/// The lasting identity of a statement: a hash of its normalised text, the
/// schema-qualified names of its relations and the `search_path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StatementId(pub u64);

/// The identity of a tenant: a hash of the canonical bytes of its key, so that
/// `int4 42`, `int8 42` and `'42'` are one tenant. Zero means "no tenant known".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TenantKey(pub u64);

impl TenantKey {
    /// Work that could not be attributed to a tenant.
    pub const NONE: TenantKey = TenantKey(0);

    /// The key of an integer of any width.
    #[inline]
    pub fn from_integer(value: i64) -> Self {
        // As `from_parts(b'i', &value.to_le_bytes())`; the zeros of small numbers in one step.
        TenantKey(
            StableHash::new()
                .bytes(b"i")
                .small_number(value.cast_unsigned())
                .finish()
                .max(1),
        )
    }

    /// The key of a UUID.
    #[inline]
    pub fn from_uuid(bytes: &[u8; 16]) -> Self {
        Self::from_parts(b'u', bytes)
    }

    /// The key of a text. A text that an integer's or a UUID's output function would write
    /// gives that integer's or UUID's key: `'42'` is 42, `'042'` is not.
    pub fn from_text(text: &[u8]) -> Self {
        if let Some(value) = canonical_integer(text) {
            return Self::from_integer(value);
        }
        if let Some(bytes) = canonical_uuid(text) {
            return Self::from_uuid(&bytes);
        }
        Self::from_parts(b't', text)
    }

    #[inline]
    fn from_parts(kind: u8, bytes: &[u8]) -> Self {
        let hash = StableHash::new().bytes(&[kind]).bytes(bytes).finish();
        // Zero is taken.
        TenantKey(hash.max(1))
    }
}

/// The decimal form of an integer as bytes in little-endian words, filled up with zeros: the
/// labels of tenants, without allocating.
pub fn decimal_words(value: i64) -> [u64; 3] {
    let mut words = [0u64; 3];
    // At most 20 characters, the last one first.
    let mut put = |character: u8| {
        words[2] = words[2] << 8 | words[1] >> 56;
        words[1] = words[1] << 8 | words[0] >> 56;
        words[0] = words[0] << 8 | u64::from(character);
    };
    let mut rest = value.unsigned_abs();
    loop {
        put(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        put(b'-');
    }
    words
}

/// The integer that prints exactly as `text`.
fn canonical_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.first() == Some(&b'0') && (digits.len() > 1 || text.len() > 1) {
        return None;
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The UUID that prints exactly as `text`: lower case, 8-4-4-4-12.
fn canonical_uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0_u8; 16];
    let mut nibbles = 0;
    for (position, &character) in text.iter().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if character != b'-' {
                return None;
            }
            continue;
        }
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        bytes[nibbles / 2] = bytes[nibbles / 2] << 4 | value;
        nibbles += 1;
    }
    Some(bytes)
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_a_key_leads_to_the_same() {
        for value in [0, 1, -1, 255, 256, 65_536, i64::MAX, i64::MIN, 1 << 40] {
            assert_eq!(
                TenantKey::from_integer(value),
                TenantKey::from_parts(b'i', &value.to_le_bytes())
            );
        }
    }

    #[test]
    fn integers_are_written_in_decimal() {
        let mut all = vec![0, i64::MAX, i64::MIN];
        for power in 0..19 {
            let value = 10i64.pow(power);
            all.extend([value - 1, value, value + 7, -value]);
        }
        for value in all {
            let bytes: Vec<u8> = decimal_words(value)
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .take_while(|&byte| byte != 0)
                .collect();
            assert_eq!(String::from_utf8_lossy(&bytes), value.to_string());
        }
    }

    #[test]
    fn one_tenant_has_one_key_whatever_its_type() {
        assert_eq!(TenantKey::from_text(b"42"), TenantKey::from_integer(42));
        assert_eq!(TenantKey::from_text(b"-7"), TenantKey::from_integer(-7));
        assert_eq!(TenantKey::from_text(b"0"), TenantKey::from_integer(0));
        let bytes = *b"\x0a\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11";
        let text = b"0aeebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        assert_eq!(TenantKey::from_text(text), TenantKey::from_uuid(&bytes));
        for other in ["042", "-0", "+42", " 42", "", "-", "99999999999999999999"] {
            let key = TenantKey::from_text(other.as_bytes());
            assert_ne!(key, TenantKey::NONE);
            assert_eq!(
                key,
                TenantKey::from_parts(b't', other.as_bytes()),
                "{other}"
            );
        }
    }

    #[test]
    fn tenant_keys_are_frozen() {
        // Stored: must never change.
        assert_eq!(TenantKey::from_integer(42).to_string(), "e6c6085b016de4f4");
    }
}
