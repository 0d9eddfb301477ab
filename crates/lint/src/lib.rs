//! Patterns in statements that no index can help, or that hide an index there is: each with
//! why, and with a rewrite that returns the same rows where there is one.
//!
//! The text is read by `sqlparser` in the dialect of PostgreSQL, within [`limits`], so that no
//! statement can exhaust the stack or run on. What cannot be read within them is not guessed
//! at: [`parse`] says why not. What types and nullability decide is asked of a [`Schema`]; where
//! that does not know a table, rules that need it stay silent.
//!
//! A rewrite is given only where it returns the same rows for all data, NULLs and duplicates
//! included; tests run every one of them on a server.

mod block;
mod expression;
mod limits;
mod rules;

pub use limits::{MOST_BYTES, MOST_NESTING, MOST_OPERATORS, MOST_TOKENS};
pub use rules::{RULES, Rule};

use block::Block;
use sqlparser::ast::Statement;
use std::collections::BTreeSet;

/// A column as far as rules ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type without modifier, as `format_type` writes it: `integer`, `text[]`.
    pub type_name: String,
    /// Declared NOT NULL.
    pub not_null: bool,
}

/// What is known of tables.
pub trait Schema {
    /// The columns of a table or view in order; `None` where it is not known.
    fn columns(&self, schema: Option<&str>, table: &str) -> Option<&[Column]>;
}

/// Knows no table.
pub struct NoSchema;

impl Schema for NoSchema {
    fn columns(&self, _: Option<&str>, _: &str) -> Option<&[Column]> {
        None
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule ([`RULES`]).
    pub rule: &'static str,
    /// The part of the statement it is about, as it is read.
    pub found: String,
    /// Why it matters, in a sentence or two.
    pub why: String,
    /// What to write in place of `found`; returns the same rows. `None` where nothing does.
    pub rewrite: Option<String>,
}

/// A statement that was read.
pub struct Parsed(Statement);

/// Reads one statement.
///
/// # Errors
/// Why it is not linted, to be read after "not linted because".
pub fn parse(text: &str) -> Result<Parsed, String> {
    limits::parse(text).map(Parsed)
}

impl Parsed {
    /// The tables it names, with their schema where that is written: what a [`Schema`] may be
    /// asked for.
    pub fn tables(&self) -> BTreeSet<(Option<String>, String)> {
        let mut names = BTreeSet::new();
        for block in block::blocks(&self.0, &NoSchema) {
            for item in &block.items {
                if let Some(table) = &item.table {
                    names.insert(table.clone());
                }
            }
        }
        names
    }

    /// What the rules find, in the order of the table of rules; each once.
    pub fn lint(&self, schema: &dyn Schema) -> Vec<Finding> {
        let blocks = block::blocks(&self.0, schema);
        let mut findings: Vec<Finding> = Vec::new();
        for rule in RULES {
            for block in &blocks {
                for hit in (rule.check)(block) {
                    let finding = Finding {
                        rule: rule.name,
                        found: hit.found,
                        why: hit.why.unwrap_or_else(|| rule.why.to_owned()),
                        rewrite: hit.rewrite,
                    };
                    if !findings.contains(&finding) {
                        findings.push(finding);
                    }
                }
            }
        }
        findings
    }

    /// The whole statement with a finding's rewrite in its place. `None` where it has none, or
    /// where the same words stand in more than one place.
    pub fn rewritten(&self, finding: &Finding) -> Option<String> {
        let rewrite = finding.rewrite.as_ref()?;
        let whole = self.0.to_string();
        let mut places = whole.match_indices(&finding.found);
        let (start, _) = places.next()?;
        if places.next().is_some() {
            return None;
        }
        let end = start + finding.found.len();
        Some(format!("{}{rewrite}{}", &whole[..start], &whole[end..]))
    }
}

/// What a rule hands back.
struct Hit {
    found: String,
    /// In place of the rule's own words.
    why: Option<String>,
    rewrite: Option<String>,
}

impl Hit {
    fn new(found: impl ToString) -> Self {
        Hit {
            found: found.to_string(),
            why: None,
            rewrite: None,
        }
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn rewrite(mut self, rewrite: impl Into<String>) -> Self {
        self.rewrite = Some(rewrite.into());
        self
    }
}

type Check = fn(&Block<'_>) -> Vec<Hit>;
