//! Keys of JSON documents: which of them name a field, and which are values of the
//! application (documents that map users or orders to something).
//!
//! A statement that extracts another field is another statement; one that looks up another
//! user is the same statement with another value. Nothing tells the two for certain, so a
//! rule does, the same for the tree (`pg::identity`) and for the text ([`crate::normalize`]).

/// Longer keys are values, bytes (as long as an identifier of the server may be).
const MOST_BYTES: usize = 63;
/// Names have a year or a number in them at most; identifiers of rows have more digits.
const MOST_DIGITS: usize = 4;

/// Whether a text key reads like the name of a field: letters, up to four digits, and
/// `_ - . : / $` and spaces between them; not a number, an address, a UUID.
pub fn is_name(key: &[u8]) -> bool {
    let Some(first) = key.first() else {
        return false;
    };
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80;
    let digits = key.iter().filter(|byte| byte.is_ascii_digit()).count();
    key.len() <= MOST_BYTES
        && digits <= MOST_DIGITS
        && (letter(*first) || matches!(first, b'$' | b'/'))
        && key.iter().all(|&byte| {
            letter(byte)
                || byte.is_ascii_digit()
                || matches!(byte, b'-' | b'.' | b':' | b'/' | b'$' | b' ')
        })
}

/// Whether a number reads like a place in an array that is a field of its own: the first ten.
pub fn is_place(number: i64) -> bool {
    (0..10).contains(&number)
}

/// Whether a step of a path, written as a text, is such a name or place.
pub fn is_step(step: &[u8]) -> bool {
    let place = std::str::from_utf8(step)
        .ok()
        .and_then(|text| text.parse().ok());
    is_name(step) || place.is_some_and(is_place)
}

/// Whether a path in array form (`{a,0,b}`) consists of such names and places.
pub fn is_path(path: &str) -> bool {
    path.strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| {
            inner.split(',').all(|part| {
                let part = part.trim();
                let name = part
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
                    .unwrap_or(part);
                is_step(name.as_bytes())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_values() {
        for name in [
            "a",
            "_id",
            "utm_2024",
            "first name",
            "$ref",
            "Größe",
            "x-forwarded-for",
        ] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for value in [
            "",
            "42",
            "jane@example.com",
            "user_48213",
            "a3bb189e-8bf9-3888-9912-ace4e6543002",
            "it's",
            "a\nb",
            &"k".repeat(64),
        ] {
            assert!(!is_name(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn paths_are_made_of_names_and_places() {
        for path in ["{a}", "{a,b}", "{items, 0, \"unit price\"}"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "a", "{}", "{a,10}", "{users,jane@example.com}"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
