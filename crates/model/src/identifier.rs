//! Quoting of identifiers and literals, as `quote_identifier()` and `quote_literal()` of
//! the server do it (src/backend/utils/adt/ruleutils.c, quote.c), but never trusting a
//! word to be unreserved: every identifier is quoted unless it is plainly safe.

use std::fmt::Write;

/// Bytes an identifier may have before the server cuts it (NAMEDATALEN − 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// An identifier in double quotes, inner quotes doubled.
pub fn quote_identifier(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for character in name.chars() {
        if character == '"' {
            out.push('"');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// A string literal that reads the same under either setting of
/// `standard_conforming_strings`: with backslashes it becomes an `E''` string.
pub fn quote_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    if text.contains('\\') {
        out.push_str(" E");
    }
    out.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('\'');
    out
}

/// A schema-qualified object name (relation, function, operator class, collation, type…).
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct QualifiedName {
    /// Schema; never empty.
    pub schema: String,
    /// Name within the schema.
    pub name: String,
}

impl QualifiedName {
    /// Makes a qualified name.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// A name in `pg_catalog`.
    pub fn catalog(name: impl Into<String>) -> Self {
        Self::new("pg_catalog", name)
    }
}

impl std::fmt::Display for QualifiedName {
    /// Quoted: `"schema"."name"`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

/// Cuts a name to at most `bytes` bytes on a character boundary.
pub fn clip(name: &str, bytes: usize) -> &str {
    if name.len() <= bytes {
        return name;
    }
    let mut end = bytes;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Joins displayable parts with a separator.
pub(crate) fn join<T: std::fmt::Display>(parts: &[T], separator: &str) -> String {
    let mut out = String::new();
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            out.push_str(separator);
        }
        let _ = write!(out, "{part}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(quote_identifier("a"), "\"a\"");
        assert_eq!(quote_identifier("we\"ird"), "\"we\"\"ird\"");
    }

    #[test]
    fn literals_survive_either_string_setting() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\b"), r" E'a\\b'");
    }

    #[test]
    fn clipping_respects_characters() {
        assert_eq!(clip("äöü", 3), "ä");
        assert_eq!(clip("abc", 3), "abc");
    }
}
