//! The table of rules. A rule looks at one block and says what it found; the words on why it
//! matters stand in the table.

mod disjunction;
mod existence;
mod membership;
mod not_in;
mod null;
mod paging;
mod pattern;
mod product;
mod projection;
mod types;
mod unfiltered;
mod wrapped;

use crate::Check;

/// A rule.
pub struct Rule {
    /// Its name, as it is shown.
    pub name: &'static str,
    /// Why the pattern matters.
    pub why: &'static str,
    pub(crate) check: Check,
}

/// All rules, in the order in which findings are shown.
pub const RULES: &[Rule] = &[
    Rule {
        name: "cartesian_product",
        why: "no condition joins these relations: every row of one meets every row of the other, and no index changes that",
        check: product::check,
    },
    Rule {
        name: "missing_where",
        why: "every row is read: no index can help a statement without a condition",
        check: unfiltered::check,
    },
    Rule {
        name: "not_in_subquery",
        why: "NOT IN with a subquery cannot become an anti-join, because a single NULL in the subquery makes it never true: the list is searched for every row",
        check: not_in::check,
    },
    Rule {
        name: "wrapped_column",
        why: "the column stands inside a function, a cast or a calculation: only an index on that very expression helps, not one on the column",
        check: wrapped::check,
    },
    Rule {
        name: "implicit_cast",
        why: "the column is converted to the type of what it is compared with, row by row: an index on the column is not used",
        check: types::check,
    },
    Rule {
        name: "leading_wildcard",
        why: "the pattern does not begin with literal characters: a b-tree cannot find where to start; only a trigram index (pg_trgm) can serve it",
        check: pattern::check,
    },
    Rule {
        name: "or_over_tables",
        why: "the arms of the OR look at different relations: no index of either can narrow the join down",
        check: disjunction::check,
    },
    Rule {
        name: "or_over_columns",
        why: "the arms of the OR look at different columns: each arm needs an index of its own, and one arm without it makes the whole a scan; sorted output under a LIMIT cannot come from such a combination",
        check: disjunction::columns,
    },
    Rule {
        name: "negation",
        why: "what is asked for is everything but one value: no index narrows it down, unless nearly all rows have that value; then a partial index with this condition does",
        check: null::negation,
    },
    Rule {
        name: "null_comparison",
        why: "a comparison with NULL is never true, whatever the column holds; IS NULL was probably meant",
        check: null::comparison,
    },
    Rule {
        name: "not_distinct",
        why: "IS NOT DISTINCT FROM cannot use an index",
        check: null::not_distinct,
    },
    Rule {
        name: "any_of_array_column",
        why: "= ANY (column) cannot use an index on the array; containment can use a GIN index",
        check: membership::check,
    },
    Rule {
        name: "offset_paging",
        why: "all rows that are skipped are still read and thrown away, more with every page; remember the last key shown and ask for the rows behind it (WHERE (key) > (last key) ORDER BY key LIMIT n)",
        check: paging::offset,
    },
    Rule {
        name: "random_order",
        why: "all rows are read and sorted by a number that no index knows; TABLESAMPLE, or a random key to start from, reads few",
        check: paging::random,
    },
    Rule {
        name: "count_to_exist",
        why: "all rows are counted to learn whether there is one; EXISTS stops at the first, and can become a semi-join",
        check: existence::check,
    },
    Rule {
        name: "distinct_over_join",
        why: "the join multiplies rows that DISTINCT throws away again; EXISTS reads each row once",
        check: projection::distinct,
    },
    Rule {
        name: "select_star",
        why: "all columns are asked for: an index can find the rows but never answer alone (no index-only scan)",
        check: projection::star,
    },
];
