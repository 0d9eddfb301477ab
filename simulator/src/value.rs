//! Parameter values as applications send them: bound to a prepared statement, or written into its text.
use postgres::types::{Format, IsNull, ToSql, Type};
use std::error::Error;

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A number; written without quotes in a statement's text.
    Int(i64),
    /// Anything else in PostgreSQL's text form (text, timestamps, JSON, arrays); quoted in a statement's text.
    Text(String),
}

impl Value {
    /// The value as an SQL literal. `standard_conforming_strings` is on in every supported server unless an
    /// operator switched it off; a backslash therefore gets the E'' form, which means the same either way.
    pub fn literal(&self) -> String {
        match self {
            Value::Null => "NULL".into(),
            Value::Int(n) => n.to_string(),
            Value::Text(s) => {
                let quoted = s.replace('\'', "''");
                if s.contains('\\') {
                    format!("E'{}'", quoted.replace('\\', "\\\\"))
                } else {
                    format!("'{quoted}'")
                }
            }
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}
impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::Int(n as i64)
    }
}
impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Text(s.to_owned())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Text(s)
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Value::Text(s) => out.extend_from_slice(s.as_bytes()),
        }
        Ok(IsNull::No)
    }
    // The text form suits every type, so one Value serves int4 and jsonb alike.
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
    postgres::types::to_sql_checked!();
}

/// The statement with `$n` replaced by literals, as the simple protocol sends it. Numbers inside quoted
/// strings and identifiers are left alone.
///
/// # Panics
/// When the text names a parameter that is not there: a mistake in a pattern, caught by the unit tests.
pub fn inline(sql: &str, values: &[&Value]) -> String {
    let mut out = String::with_capacity(sql.len() + 32);
    let mut rest = sql.chars().peekable();
    let mut quote: Option<char> = None;
    while let Some(c) = rest.next() {
        match quote {
            Some(q) => {
                out.push(c);
                if c == q {
                    quote = None;
                }
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                out.push(c);
            }
            None if c == '$' && rest.peek().is_some_and(char::is_ascii_digit) => {
                let mut n = 0usize;
                while let Some(d) = rest.peek().and_then(|d| d.to_digit(10)) {
                    n = n * 10 + d as usize;
                    rest.next();
                }
                out.push_str(&values[n - 1].literal());
            }
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_become_literals() {
        let (a, b) = (Value::Int(7), Value::from("O'Hara"));
        assert_eq!(
            inline("SELECT '$1', \"$2\" WHERE a = $1 AND b = $2", &[&a, &b]),
            "SELECT '$1', \"$2\" WHERE a = 7 AND b = 'O''Hara'"
        );
        assert_eq!(
            inline("$10$1", &[&a, &a, &a, &a, &a, &a, &a, &a, &a, &Value::Null]),
            "NULL7"
        );
        assert_eq!(Value::from(r"a\b").literal(), r"E'a\\b'");
    }

    proptest! {
        #[test]
        fn a_literal_ends_where_it_should(s in ".*") {
            let text = Value::Text(s.clone()).literal();
            let body = text.strip_prefix('E').unwrap_or(&text);
            let inner = &body[1..body.len() - 1];
            // Every quote inside is doubled, and undoing the escapes gives the value back.
            let back = if text.starts_with('E') { inner.replace("\\\\", "\\") } else { inner.to_owned() }.replace("''", "'");
            prop_assert_eq!(back, s);
            prop_assert_eq!(inner.matches('\'').count() % 2, 0);
        }
    }
}
