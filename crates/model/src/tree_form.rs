//! What two stored trees of one statement have in common.
//!
//! Statements that differ in their values are one, whatever the length of their lists, so the
//! values of two executions may stand for parameters in other places. They stand in the same
//! places where the trees have the same form.

use crate::hash::StableHash;

/// A hash of a tree in the server's text form (nodeToString) without the values of its constants
/// and without places in the statement's text.
pub fn tree_form(tree: &str) -> u64 {
    enum Next {
        Word,
        /// A constant's value: `<>`, or its length and its bytes in brackets.
        Value,
        /// A place in the text.
        Place,
    }
    let mut hash = StableHash::new();
    let mut next = Next::Word;
    for word in tree.split_ascii_whitespace() {
        // What closes a node stands at the end of its last word.
        let counted = match next {
            Next::Word => word,
            Next::Place => word.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()),
            Next::Value => match word.strip_prefix("<>").or_else(|| word.strip_prefix(']')) {
                Some(rest) => rest,
                None => continue,
            },
        };
        next = match counted {
            ":constvalue" => Next::Value,
            ":location" | ":stmt_location" | ":stmt_len" | ":list_start" | ":list_end" => {
                Next::Place
            }
            _ => Next::Word,
        };
        hash = hash.field(counted.as_bytes());
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::tree_form;

    fn constant(value: &str, place: i32) -> String {
        format!("{{CONST :consttype 23 :constisnull false :location {place} :constvalue {value}}}")
    }

    #[test]
    fn values_and_places_do_not_count() {
        let one = constant("4 [ 5 0 0 0 0 0 0 0 ]", 31);
        let two = constant("4 [ -7 0 0 0 0 0 0 0 ]", 128);
        assert_eq!(tree_form(&one), tree_form(&two));
        let last = "{VAR :varno 1 :location 7}";
        assert_eq!(tree_form(last), tree_form("{VAR :varno 1 :location -1}"));
    }

    #[test]
    fn everything_else_counts() {
        let value = constant("4 [ 5 0 0 0 0 0 0 0 ]", 31);
        let null = constant("<>", 31);
        let forms = [
            format!("({value} {value})"),
            format!("({value} {value} {value})"),
            format!("(({value}) {value} {value})"),
            format!("({value} {{PARAM :paramid 1 :location 3}})"),
            format!("({value} {{PARAM :paramid 2 :location 3}})"),
            format!("({value} {null})").replace("constisnull false", "constisnull true"),
        ];
        for (place, one) in forms.iter().enumerate() {
            for other in &forms[place + 1..] {
                assert_ne!(tree_form(one), tree_form(other), "{one} {other}");
            }
        }
    }
}
