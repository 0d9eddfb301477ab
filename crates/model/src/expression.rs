//! Scalar expressions over the attributes of one relation, typed: what an index key or a
//! partial index's predicate may be. DDL is written out from these values and from
//! nothing else, so no stored text is ever executed.

use crate::hash::StableHash;
use crate::identifier::{QualifiedName, join, quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An expression over one relation. What has no variant here (subqueries, aggregates,
/// row constructors, slices of arrays…) is opaque to IndexPilot and never becomes an index key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expression {
    /// A plain attribute (`pg_attribute`).
    Attribute {
        /// `attnum`, from 1.
        number: i16,
        /// `attname`.
        name: String,
    },
    /// A constant; `text` is its output form, `None` is NULL.
    Constant {
        /// The type, without modifier.
        type_name: QualifiedName,
        /// Output form as the type's output function gives it.
        text: Option<String>,
    },
    /// A function call with ordinary arguments.
    Function {
        /// The function.
        name: QualifiedName,
        /// Arguments, in order.
        arguments: Vec<Expression>,
    },
    /// An operator; prefix operators have no left argument.
    Operator {
        /// Schema and symbol.
        name: QualifiedName,
        /// Left argument.
        left: Option<Box<Expression>>,
        /// Right argument.
        right: Box<Expression>,
    },
    /// A cast that the user sees (binary-coercible relabelling, or through I/O), without
    /// type modifier. A cast through a function is a [`Expression::Function`].
    Cast {
        /// Target type.
        to: QualifiedName,
        /// What is cast.
        argument: Box<Expression>,
    },
    /// An explicit COLLATE.
    Collate {
        /// The collation.
        collation: QualifiedName,
        /// What is collated.
        argument: Box<Expression>,
    },
    /// `scalar operator ANY (array)` or ALL.
    ArrayComparison {
        /// Operator applied to scalar and element.
        name: QualifiedName,
        /// ANY where true, ALL where false.
        any: bool,
        /// Left side.
        scalar: Box<Expression>,
        /// Right side, of array type.
        array: Box<Expression>,
    },
    /// `IS [NOT] NULL`.
    NullTest {
        /// What is tested.
        argument: Box<Expression>,
        /// IS NOT NULL where true.
        negated: bool,
    },
    /// `IS [NOT] TRUE / FALSE / UNKNOWN`.
    BooleanTest {
        /// What is tested.
        argument: Box<Expression>,
        /// `Some(true)` TRUE, `Some(false)` FALSE, `None` UNKNOWN.
        value: Option<bool>,
        /// IS NOT where true.
        negated: bool,
    },
    /// COALESCE.
    Coalesce(Vec<Expression>),
    /// An element of an array, of a fixed-length type or of a jsonb: `tags[1]`, `data['key']`.
    Subscript {
        /// What is looked into.
        container: Box<Expression>,
        /// One a dimension, or one a level of the jsonb.
        subscripts: Vec<Expression>,
    },
    /// A column of a composite value: `(address).city`.
    Component {
        /// The composite value.
        argument: Box<Expression>,
        /// The column's name.
        name: String,
    },
    /// `ARRAY[…]` of one dimension.
    Array {
        /// The array's type, not its elements'.
        type_name: QualifiedName,
        /// Elements, in order.
        elements: Vec<Expression>,
    },
    /// An array in the place of a function's variadic arguments; only as the last argument of
    /// a [`Expression::Function`].
    Variadic(Box<Expression>),
    /// CASE. With an argument, arms hold values that it is compared with by `=` of pg_catalog;
    /// without, conditions.
    Case {
        /// What is compared, in `CASE argument WHEN value …`.
        argument: Option<Box<Expression>>,
        /// (WHEN, THEN), at least one.
        arms: Vec<(Expression, Expression)>,
        /// ELSE; NULL of the result's type where it was left out.
        otherwise: Box<Expression>,
    },
    /// GREATEST or LEAST.
    Extreme {
        /// GREATEST where true.
        greatest: bool,
        /// Arguments, in order.
        arguments: Vec<Expression>,
    },
    /// `NULLIF(left, right)`, compared by `=` of pg_catalog.
    NullIf(Box<Expression>, Box<Expression>),
    /// `left IS DISTINCT FROM right`, compared by `=` of pg_catalog.
    Distinct(Box<Expression>, Box<Expression>),
    /// Conjunction of at least two.
    And(Vec<Expression>),
    /// Disjunction of at least two.
    Or(Vec<Expression>),
    /// Negation.
    Not(Box<Expression>),
}

impl Expression {
    /// A plain attribute.
    pub fn attribute(number: i16, name: impl Into<String>) -> Self {
        Expression::Attribute {
            number,
            name: name.into(),
        }
    }

    /// The attribute number if this is a plain attribute.
    pub fn as_attribute(&self) -> Option<i16> {
        match self {
            Expression::Attribute { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// Calls `visit` for this node and all below it, parents first.
    pub fn walk(&self, visit: &mut impl FnMut(&Expression)) {
        visit(self);
        match self {
            Expression::Attribute { .. } | Expression::Constant { .. } => {}
            Expression::Function {
                arguments: parts, ..
            }
            | Expression::Coalesce(parts)
            | Expression::Array {
                elements: parts, ..
            }
            | Expression::Extreme {
                arguments: parts, ..
            }
            | Expression::And(parts)
            | Expression::Or(parts) => parts.iter().for_each(|part| part.walk(visit)),
            Expression::Subscript {
                container,
                subscripts,
            } => {
                container.walk(visit);
                subscripts.iter().for_each(|part| part.walk(visit));
            }
            Expression::Case {
                argument,
                arms,
                otherwise,
            } => {
                if let Some(argument) = argument {
                    argument.walk(visit);
                }
                for (when, then) in arms {
                    when.walk(visit);
                    then.walk(visit);
                }
                otherwise.walk(visit);
            }
            Expression::NullIf(left, right) | Expression::Distinct(left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Expression::Operator { left, right, .. } => {
                if let Some(left) = left {
                    left.walk(visit);
                }
                right.walk(visit);
            }
            Expression::ArrayComparison { scalar, array, .. } => {
                scalar.walk(visit);
                array.walk(visit);
            }
            Expression::Cast { argument, .. }
            | Expression::Collate { argument, .. }
            | Expression::NullTest { argument, .. }
            | Expression::BooleanTest { argument, .. }
            | Expression::Component { argument, .. }
            | Expression::Variadic(argument)
            | Expression::Not(argument) => argument.walk(visit),
        }
    }

    /// The attributes used, ascending, each once.
    pub fn attributes(&self) -> Vec<i16> {
        let mut numbers = Vec::new();
        self.walk(&mut |node| {
            if let Expression::Attribute { number, .. } = node {
                numbers.push(*number);
            }
        });
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// A hash of the canonical text; the same for equal expressions on any host.
    pub fn fingerprint(&self) -> u64 {
        StableHash::new()
            .bytes(self.to_string().as_bytes())
            .finish()
    }

    /// Text for people: without the schema `pg_catalog` and without quotes where a name
    /// needs none. Never to be executed.
    pub fn for_people(&self) -> String {
        readable(&self.to_string())
    }
}

/// Drops `pg_catalog.` and needless quotes from SQL that was written by this crate. For
/// display only.
pub fn readable(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql.replace("\"pg_catalog\".", "");
    // `OPERATOR(=)` is how a schema-qualified operator has to be written; people write `=`.
    while let Some(start) = rest.find("OPERATOR(") {
        let after = start + "OPERATOR(".len();
        let Some(end) = rest[after..].find(')') else {
            break;
        };
        let symbol = rest[after..after + end].to_string();
        rest.replace_range(start..=after + end, &symbol);
    }
    let mut characters = rest.chars().peekable();
    let mut in_literal = false;
    while let Some(character) = characters.next() {
        if character == '\'' {
            in_literal = !in_literal;
        }
        if character != '"' || in_literal {
            out.push(character);
            continue;
        }
        let mut name = String::new();
        let mut plain = true;
        while let Some(inner) = characters.next() {
            if inner == '"' {
                if characters.peek() == Some(&'"') {
                    characters.next();
                    name.push_str("\"\"");
                    plain = false;
                    continue;
                }
                break;
            }
            name.push(inner);
        }
        plain = plain
            && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain {
            out.push_str(&name);
        } else {
            out.push('"');
            out.push_str(&name);
            out.push('"');
        }
    }
    out
}

impl fmt::Display for Expression {
    /// SQL, every name qualified and quoted, every operator in parentheses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Attribute { name, .. } => f.write_str(&quote_identifier(name)),
            Expression::Constant { type_name, text } => match text {
                Some(text) => write!(f, "{}::{type_name}", quote_literal(text)),
                None => write!(f, "NULL::{type_name}"),
            },
            Expression::Function { name, arguments } => {
                write!(f, "{name}({})", join(arguments, ", "))
            }
            Expression::Operator { name, left, right } => {
                f.write_str("(")?;
                if let Some(left) = left {
                    write!(f, "{left} ")?;
                }
                write!(
                    f,
                    "OPERATOR({}.{}) {right})",
                    quote_identifier(&name.schema),
                    name.name
                )
            }
            Expression::Cast { to, argument } => write!(f, "({argument})::{to}"),
            Expression::Collate {
                collation,
                argument,
            } => {
                write!(f, "({argument} COLLATE {collation})")
            }
            Expression::ArrayComparison {
                name,
                any,
                scalar,
                array,
            } => write!(
                f,
                "({scalar} OPERATOR({}.{}) {} ({array}))",
                quote_identifier(&name.schema),
                name.name,
                if *any { "ANY" } else { "ALL" }
            ),
            Expression::NullTest { argument, negated } => {
                write!(
                    f,
                    "({argument} IS {}NULL)",
                    if *negated { "NOT " } else { "" }
                )
            }
            Expression::BooleanTest {
                argument,
                value,
                negated,
            } => write!(
                f,
                "({argument} IS {}{})",
                if *negated { "NOT " } else { "" },
                match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                }
            ),
            Expression::Coalesce(parts) => write!(f, "COALESCE({})", join(parts, ", ")),
            Expression::Subscript {
                container,
                subscripts,
            } => {
                write!(f, "({container})")?;
                subscripts.iter().try_for_each(|part| write!(f, "[{part}]"))
            }
            Expression::Component { argument, name } => {
                write!(f, "({argument}).{}", quote_identifier(name))
            }
            Expression::Array {
                type_name,
                elements,
            } => write!(f, "ARRAY[{}]::{type_name}", join(elements, ", ")),
            Expression::Variadic(argument) => write!(f, "VARIADIC {argument}"),
            Expression::Case {
                argument,
                arms,
                otherwise,
            } => {
                f.write_str("CASE")?;
                if let Some(argument) = argument {
                    write!(f, " {argument}")?;
                }
                for (when, then) in arms {
                    write!(f, " WHEN {when} THEN {then}")?;
                }
                write!(f, " ELSE {otherwise} END")
            }
            Expression::Extreme {
                greatest,
                arguments,
            } => write!(
                f,
                "{}({})",
                if *greatest { "GREATEST" } else { "LEAST" },
                join(arguments, ", ")
            ),
            Expression::NullIf(left, right) => write!(f, "NULLIF({left}, {right})"),
            Expression::Distinct(left, right) => {
                write!(f, "({left} IS DISTINCT FROM {right})")
            }
            Expression::And(parts) => write!(f, "({})", join(parts, " AND ")),
            Expression::Or(parts) => write!(f, "({})", join(parts, " OR ")),
            Expression::Not(argument) => write!(f, "(NOT {argument})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower_email() -> Expression {
        Expression::Function {
            name: QualifiedName::catalog("lower"),
            arguments: vec![Expression::Cast {
                to: QualifiedName::catalog("text"),
                argument: Box::new(Expression::attribute(3, "email")),
            }],
        }
    }

    #[test]
    fn writes_qualified_sql() {
        assert_eq!(
            lower_email().to_string(),
            r#""pg_catalog"."lower"(("email")::"pg_catalog"."text")"#
        );
    }

    #[test]
    fn writes_for_people() {
        let equal = Expression::Operator {
            name: QualifiedName::catalog("="),
            left: Some(Box::new(lower_email())),
            right: Box::new(Expression::Constant {
                type_name: QualifiedName::catalog("text"),
                text: Some("say \"A\"".into()),
            }),
        };
        assert_eq!(
            equal.for_people(),
            r#"(lower((email)::text) = 'say "A"'::text)"#
        );
    }

    #[test]
    fn writes_every_construct() {
        let integer = |text: &str| Expression::Constant {
            type_name: QualifiedName::catalog("int4"),
            text: Some(text.into()),
        };
        let a = || Expression::attribute(1, "a");
        let cases = [
            (
                Expression::Subscript {
                    container: Box::new(a()),
                    subscripts: vec![integer("1"), integer("2")],
                },
                "(a)['1'::int4]['2'::int4]",
            ),
            (
                Expression::Component {
                    argument: Box::new(a()),
                    name: "City".into(),
                },
                "(a).\"City\"",
            ),
            (
                Expression::Function {
                    name: QualifiedName::catalog("f"),
                    arguments: vec![Expression::Variadic(Box::new(Expression::Array {
                        type_name: QualifiedName::catalog("_int4"),
                        elements: vec![a(), integer("3")],
                    }))],
                },
                "f(VARIADIC ARRAY[a, '3'::int4]::_int4)",
            ),
            (
                Expression::Case {
                    argument: Some(Box::new(a())),
                    arms: vec![(integer("1"), integer("2"))],
                    otherwise: Box::new(a()),
                },
                "CASE a WHEN '1'::int4 THEN '2'::int4 ELSE a END",
            ),
            (
                Expression::Extreme {
                    greatest: false,
                    arguments: vec![a(), integer("1")],
                },
                "LEAST(a, '1'::int4)",
            ),
            (
                Expression::NullIf(Box::new(a()), Box::new(integer("1"))),
                "NULLIF(a, '1'::int4)",
            ),
            (
                Expression::Distinct(Box::new(a()), Box::new(integer("1"))),
                "(a IS DISTINCT FROM '1'::int4)",
            ),
        ];
        for (expression, text) in cases {
            assert_eq!(expression.for_people(), text);
            assert_eq!(expression.attributes(), vec![1]);
        }
    }

    #[test]
    fn knows_its_attributes() {
        let both = Expression::And(vec![lower_email(), Expression::attribute(1, "id")]);
        assert_eq!(both.attributes(), vec![1, 3]);
    }
}
