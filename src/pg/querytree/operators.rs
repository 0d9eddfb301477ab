//! Which role a comparison plays: by the operator's selectivity estimator where it has a
//! telling one (pg_operator.oprrest), otherwise by the operand's type and the symbol.

use super::names::{self, Operator};
use crate::pg::estimators::{
    EQSEL, ICLIKESEL, ICNLIKESEL, ICREGEXEQSEL, ICREGEXNESEL, LIKESEL, NEQSEL, NLIKESEL, PREFIXSEL,
    REGEXEQSEL, REGEXNESEL, SCALARGESEL, SCALARGTSEL, SCALARLESEL, SCALARLTSEL,
};
use indexpilot_model::query::FieldRole;
use pgrx::pg_sys;

/// How a LIKE pattern begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// At least one fixed character comes first.
    Prefix,
    /// A wildcard comes first.
    Infix,
    /// Not known (a parameter without sample, a field).
    Unknown,
}

/// Classifies a LIKE pattern with the default escape character.
pub fn like_pattern(pattern: &str) -> Pattern {
    match pattern.chars().next() {
        Some('%' | '_') => Pattern::Infix,
        _ => Pattern::Prefix,
    }
}

/// Whether the type belongs to one of the families whose containment operators have roles of
/// their own.
unsafe fn containment_role(operand: pg_sys::Oid) -> Option<FieldRole> {
    if operand == pg_sys::JSONBOID || operand == pg_sys::JSONOID {
        return Some(FieldRole::Json);
    }
    if operand == pg_sys::TSVECTOROID || operand == pg_sys::TSQUERYOID {
        return Some(FieldRole::FullText);
    }
    let (category, kind) = names::type_class(operand)?;
    match (category, kind) {
        (b'A', _) => Some(FieldRole::Array),
        // Geometric, network and range categories; typtype 'r' and 'm' are ranges of any name.
        (b'G' | b'I' | b'R', _) | (_, b'r' | b'm') => Some(FieldRole::RangeType),
        (b'P', _) if operand == pg_sys::ANYARRAYOID => Some(FieldRole::Array),
        (b'P', _) => Some(FieldRole::RangeType),
        _ => match names::type_name(operand)?.name.as_str() {
            "hstore" => Some(FieldRole::Json),
            "intset" | "query_int" => Some(FieldRole::Array),
            "geometry" | "geography" | "cube" | "seg" | "ltree" | "box2df" => {
                Some(FieldRole::RangeType)
            }
            _ => None,
        },
    }
}

/// The role of `field operator value`, where the value is outside the field's relation.
/// `operand` is the actual type on the field's side, `pattern` what is known of the right side.
pub unsafe fn role(operator: &Operator, operand: pg_sys::Oid, pattern: Pattern) -> FieldRole {
    let symbol = operator.name.name.as_str();
    let like = || match pattern {
        // Unknown patterns count as prefixes: a b-tree is the cheaper thing to hope for, and
        // the planner prices it with real parameter values.
        Pattern::Prefix | Pattern::Unknown => FieldRole::PrefixLike,
        Pattern::Infix => FieldRole::InfixLike,
    };
    match operator.estimator {
        EQSEL if matches!(symbol, "=") => return FieldRole::Equality,
        NEQSEL | NLIKESEL | ICNLIKESEL | REGEXNESEL | ICREGEXNESEL => return FieldRole::Inequality,
        SCALARLTSEL | SCALARLESEL | SCALARGTSEL | SCALARGESEL => return FieldRole::Range,
        LIKESEL | ICLIKESEL => return like(),
        PREFIXSEL => return FieldRole::PrefixLike,
        REGEXEQSEL | ICREGEXEQSEL => return FieldRole::Regex,
        _ => {}
    }
    match symbol {
        "=" => return FieldRole::Equality,
        "<>" => return FieldRole::Inequality,
        "<" | "<=" | ">" | ">=" if containment_role(operand) != Some(FieldRole::FullText) => {
            return FieldRole::Range;
        }
        "~<~" | "~<=~" | "~>~" | "~>=~" => return FieldRole::Range,
        "@@" | "@@@" if operand == pg_sys::JSONBOID => return FieldRole::Json,
        "@@" | "@@@" => {
            return match containment_role(operand) {
                Some(FieldRole::Array) => FieldRole::Array,
                _ => FieldRole::FullText,
            };
        }
        "%" | "<%" | "%>" | "<<%" | "%>>" => {
            let text = names::type_class(operand).is_some_and(|(category, _)| category == b'S');
            if text {
                return FieldRole::Similarity;
            }
        }
        _ => {}
    }
    match containment_role(operand).or(containment_role(operator.left)) {
        Some(role) => role,
        None => FieldRole::Opaque,
    }
}

/// The role of a field on the right of an operator without commutator. No index serves it
/// (indxpath.c, match_opclause_to_indexcol), but what the statement does is known; only where
/// the field is the pattern of a match there is no name for it.
pub unsafe fn mirrored(operator: &Operator, operand: pg_sys::Oid) -> FieldRole {
    match role(operator, operand, Pattern::Unknown) {
        FieldRole::Equality if operator.name.name == "=" => FieldRole::Equality,
        known @ (FieldRole::Range
        | FieldRole::Json
        | FieldRole::Array
        | FieldRole::RangeType
        | FieldRole::FullText) => known,
        _ => FieldRole::Opaque,
    }
}

/// True for operators by which an index can return rows in order of distance.
pub fn is_distance(symbol: &str) -> bool {
    matches!(
        symbol,
        "<->" | "<<->" | "<->>" | "<<<->" | "<->>>" | "<#>" | "<=>" | "<+>" | "|=|" | "<~>"
    )
}
