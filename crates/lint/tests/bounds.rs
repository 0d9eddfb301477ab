//! No text makes the reader panic, overflow a small stack, or run on.

use indexpilot_lint::{MOST_NESTING, MOST_OPERATORS, NoSchema, parse};
use proptest::prelude::*;

/// Half of the default of `max_stack_depth`, for code that is not optimised.
const STACK: usize = 1024 * 1024;

/// Reads and lints on a small stack; an overflow ends the process, and so the test.
fn on_a_small_stack(texts: Vec<String>) {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            for text in &texts {
                if let Ok(parsed) = parse(text) {
                    let _ = parsed.tables();
                    for finding in parsed.lint(&NoSchema) {
                        let _ = parsed.rewritten(&finding);
                    }
                }
            }
        })
        .expect("a thread")
        .join()
        .expect("no panic");
}

#[test]
fn deep_statements_fit_a_small_stack() {
    let repeat =
        |head: &str, one: &str, tail: &str, n: usize| format!("{head}{}{tail}", one.repeat(n));
    let mut texts = Vec::new();
    // At the limits, and far beyond them.
    for n in [
        MOST_OPERATORS / 3,
        MOST_OPERATORS / 2 - 3,
        MOST_OPERATORS - 5,
        30_000,
        200_000,
    ] {
        for one in [
            " AND a = 1",
            " OR a = 1",
            " AND NOT a",
            " + 1",
            " || b",
            " :: int",
            " - - 1",
            " IS NULL",
            " COLLATE x",
            " AT TIME ZONE x",
            " [1]",
            " ->> 'a'",
            " . b",
        ] {
            texts.push(repeat("SELECT a FROM t WHERE a", one, "", n));
        }
        for one in [" UNION SELECT 1", " UNION ALL SELECT a FROM t WHERE a = 1"] {
            texts.push(repeat("SELECT 1", one, "", n));
        }
        texts.push(repeat("SELECT a FROM t", " JOIN u ON a = b", "", n));
        texts.push(repeat("SELECT a FROM t", " , u", " WHERE a = 1", n));
        texts.push(repeat("SELECT ", "NOT ", "a", n));
        texts.push(repeat("SELECT ", "- ", "1", n));
        texts.push(repeat("SELECT ", "+", "1", n));
        texts.push(repeat("SELECT ", "~ ", "1", n));
        texts.push(repeat("SELECT ", "@ ", "1", n));
        texts.push(repeat("SELECT ", "CASE WHEN a THEN ", "1", n));
        texts.push(repeat("SELECT a FROM t WHERE a IN (1", ", 1", ")", n));
        texts.push(repeat("SELECT ", "interval ", "'1 day'", n));
        texts.push(repeat("SELECT ", "date ", "'1 day'", n));
        texts.push(repeat("SELECT ", "EXISTS ", "a", n));
        texts.push(repeat("", "EXPLAIN ", "SELECT 1", n));
        texts.push(repeat("", "WITH a AS NOT ", "SELECT 1", n));
        texts.push(repeat("SELECT 1::", "int[]", "", n));
    }
    for n in [
        MOST_NESTING / 2,
        MOST_NESTING - 1,
        MOST_NESTING,
        1_000,
        50_000,
    ] {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("(SELECT ", "1", ")"),
            ("f(", "1", ")"),
            ("ARRAY[", "1", "]"),
            ("(a = (", "1", "))"),
            ("EXISTS (SELECT ", "1", ")"),
            ("a IN (SELECT ", "1", ")"),
            ("CAST(", "1", " AS int)"),
            ("CASE WHEN ", "1", " THEN 2 END"),
            ("ROW(", "1", ")"),
            ("(1, ", "1", ")"),
            ("NOT (", "1", ")"),
            ("trim(", "a", ")"),
            ("(1 + ", "1", ")"),
        ] {
            texts.push(format!(
                "SELECT {}{middle}{}",
                open.repeat(n),
                close.repeat(n)
            ));
            texts.push(format!(
                "SELECT a FROM t WHERE a = {}{middle}{}",
                open.repeat(n),
                close.repeat(n)
            ));
        }
        for (open, middle, close) in [
            ("(", "a", ")"),
            ("(SELECT * FROM ", "a", ") AS x"),
            ("(a JOIN ", "a", " ON true)"),
            ("LATERAL (SELECT * FROM ", "a", ") AS x"),
        ] {
            texts.push(format!(
                "SELECT * FROM {}{middle}{}",
                open.repeat(n),
                close.repeat(n)
            ));
            // Unbalanced: whatever is tried twice at each level is tried in vain.
            texts.push(format!("SELECT * FROM {}{middle}", open.repeat(n)));
        }
        texts.push(format!("{}SELECT 1{}", "(".repeat(n), ")".repeat(n)));
        texts.push(format!("{}1", "WITH a AS (".repeat(n)));
    }
    on_a_small_stack(texts);
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "(",
    ")",
    "a",
    "b",
    "t",
    "u",
    ",",
    ".",
    "=",
    "<>",
    "LIKE",
    "'%x'",
    "1",
    "2.0",
    "$1",
    "JOIN",
    "ON",
    "USING",
    "LEFT",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "UNION",
    "ALL",
    "EXISTS",
    "ANY",
    "*",
    "count(*)",
    "lower(",
    "::",
    "date",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "NULL",
    "IS",
    "DISTINCT",
    "UPDATE",
    "SET",
    "DELETE",
    "INSERT INTO",
    "VALUES",
    "WITH",
    "AS",
    "LATERAL",
    "[",
    "]",
    "->>",
    "@>",
    "||",
    "-",
    "+",
    "interval",
    "'1 day'",
    "\"Q\"",
    "BETWEEN",
    "COLLATE",
    "OVER",
    "FILTER",
    "MERGE",
    "INTO",
    "RETURNING",
    "é",
    "''",
    "--x\n",
    "/*",
    "*/",
    "E'\\n'",
    "$$a$$",
    "~",
    "^",
    "EXTRACT(",
    "CAST(",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        on_a_small_stack(vec![text]);
    }

    #[test]
    fn any_row_of_words_is_read_or_refused(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        on_a_small_stack(vec![words.join(" "), format!("SELECT a FROM t WHERE {}", words.join(" "))]);
    }

    /// Statements that can be read, with conditions of every kind.
    #[test]
    fn conditions_are_linted(conditions in prop::collection::vec(prop::sample::select(vec![
        "a = 1", "lower(a) = 'x'", "a::date = $1", "a NOT IN (SELECT b FROM u)", "a LIKE '%x'",
        "(a = 1 OR b = 2)", "a <> 1", "a IS NOT DISTINCT FROM b", "1 = ANY (a)",
        "(SELECT count(*) FROM u) > 0", "a = NULL", "EXISTS (SELECT * FROM u WHERE u.b = t.a)",
        "extract(year from a) = 2024", "a + 1 = 2", "coalesce(a, 1) = 1", "a = 1.0", "t.a = u.b",
    ]), 1..8), more in any::<bool>()) {
        let from = if more { "t, u" } else { "t" };
        let text = format!("SELECT * FROM {from} WHERE {} ORDER BY a OFFSET 500", conditions.join(" AND "));
        let parsed = parse(&text).map_err(TestCaseError::fail)?;
        for finding in parsed.lint(&NoSchema) {
            if let Some(whole) = parsed.rewritten(&finding) {
                // What is proposed is a statement.
                prop_assert!(parse(&whole).is_ok() || whole.len() > 10_000, "{whole}");
            }
        }
    }
}
