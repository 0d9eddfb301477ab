//! What the simulator needs to know about an application: its schema, its rows, its statements, and the
//! indexes that an expert would give it.
use crate::pattern::Pattern;
use crate::persona::Tenants;
use crate::random::Stream;
use crate::scenario::Scenario;
use crate::value::Value;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A table to load.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// Schema-qualified name.
    pub table: &'static str,
    /// Columns in the order of the COPY lines.
    pub columns: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// Identity column whose sequence continues after the last row, if any.
    pub identity: Option<&'static str>,
}

/// Where the drawing of one operation's parameters stands.
pub struct Draw<'a> {
    /// Randomness of this operation.
    pub rng: &'a mut Stream,
    /// Position of the tenant in [`Tenants::list`].
    pub tenant: usize,
    /// Seconds after the end of the seeded history, for new rows.
    pub elapsed: i64,
    /// A number that no other operation of the same run has, for unique values.
    pub serial: u64,
}

/// An application under test.
pub trait Application: Send + Sync {
    /// Name on the command line; also its schema in the database.
    fn name(&self) -> &'static str;
    /// CREATE SCHEMA and CREATE TABLE with primary keys only, no foreign keys.
    fn schema_sql(&self) -> &'static str;
    /// Foreign keys, added after the load. They create no indexes.
    fn foreign_keys_sql(&self) -> &'static str;
    /// Tables in load order.
    fn tables(&self) -> Vec<TableRows>;
    /// Appends one line of COPY text format for row `row` (from 1) of table number `table`.
    fn copy_line(&self, table: usize, row: u64, out: &mut String);
    /// The statements.
    fn patterns(&self) -> Vec<Pattern>;
    /// Parameter values for one execution of a pattern.
    fn values(&self, pattern: usize, draw: &mut Draw<'_>) -> Vec<Value>;
    /// The CREATE INDEX statements of an expert who knows the statements and their frequencies.
    fn expert_sql(&self) -> &'static str;
    /// Columns (schema.table.column) that only rare patterns filter on: nothing should be built for them.
    fn rare_columns(&self) -> &'static [&'static str];
    /// The customers.
    fn tenants(&self) -> &Tenants;
}

/// The applications that the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A multi-tenant customer-relationship manager.
    Crm,
    /// A shop platform.
    Shop,
    /// A star schema for analytics.
    Star,
}

impl Kind {
    /// The application at a size, as a function of the seed.
    pub fn build(self, scenario: Scenario, seed: u64) -> Box<dyn Application> {
        match self {
            Kind::Crm => Box::new(crate::crm::Crm::new(scenario, seed)),
            Kind::Shop => Box::new(crate::shop::Shop::new(scenario, seed)),
            Kind::Star => Box::new(crate::star::Star::new(scenario, seed)),
        }
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Crm => "crm",
            Kind::Shop => "shop",
            Kind::Star => "star",
        }
    }
}

/// How often each pattern comes, tenants and personas taken into account; the sum is 1.
pub fn frequencies(application: &dyn Application) -> Vec<f64> {
    let tenants = application.tenants();
    let patterns = application.patterns();
    let mut sums = vec![0.0; patterns.len()];
    for t in tenants.list() {
        let mix: Vec<f64> = patterns
            .iter()
            .map(|p| p.weight * t.persona.uses(p.area))
            .collect();
        let total: f64 = mix.iter().sum();
        for (s, m) in sums.iter_mut().zip(&mix) {
            *s += t.size * t.persona.activity() * m / total;
        }
    }
    let total: f64 = sums.iter().sum();
    sums.into_iter().map(|s| s / total).collect()
}

/// For each pattern, how its executions divide over tenants (unnormalised weights by tenant position).
pub fn tenants_of_pattern(application: &dyn Application, pattern: &Pattern) -> Vec<f64> {
    let all = application.patterns();
    application
        .tenants()
        .list()
        .iter()
        .map(|t| {
            let total: f64 = all.iter().map(|p| p.weight * t.persona.uses(p.area)).sum();
            t.size * t.persona.activity() * pattern.weight * t.persona.uses(pattern.area) / total
        })
        .collect()
}

/// Rows of a table grouped by an owner: which rows belong to owner `o`, in row order.
pub struct Grouped {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Grouped {
    /// `owner[i]` is the owner (from 0) of row `i + 1`.
    pub fn new(owners: usize, owner: &[u32]) -> Self {
        let mut starts = vec![0u32; owners + 1];
        for o in owner {
            starts[*o as usize + 1] += 1;
        }
        for i in 0..owners {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; owner.len()];
        for (i, o) in owner.iter().enumerate() {
            let at = &mut next[*o as usize];
            rows[*at as usize] = i as u32 + 1;
            *at += 1;
        }
        Grouped { starts, rows }
    }

    /// Rows (from 1) of an owner, ascending.
    pub fn of(&self, owner: usize) -> &[u32] {
        &self.rows[self.starts[owner] as usize..self.starts[owner + 1] as usize]
    }
}

/// Owners of `rows` rows: the first rows go round so that every owner has one, the rest by `draw`.
pub fn owners(owners: usize, rows: u64, mut draw: impl FnMut(u64) -> usize) -> Vec<u32> {
    (1..=rows)
        .map(|row| {
            if row <= owners as u64 {
                (row - 1) as u32
            } else {
                draw(row) as u32
            }
        })
        .collect()
}

/// The end of the seeded history: 2026-06-30 00:00 UTC, in seconds since 1970. Rows are older, traffic newer.
pub const EPOCH: i64 = 1_782_777_600;

/// A timestamp (seconds since 1970) in PostgreSQL's text form, UTC.
pub fn timestamp(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .expect("within the years of the simulator")
        .format("%Y-%m-%d %H:%M:%S+00")
        .to_string()
}

/// A date (seconds since 1970) in ISO form.
pub fn date(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .expect("within the years of the simulator")
        .format("%Y-%m-%d")
        .to_string()
}

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A pattern together with how an application draws its parameters.
pub(crate) struct Entry<A: 'static> {
    /// The statement pattern.
    pub pattern: Pattern,
    /// Parameter values of one execution.
    pub values: fn(&A, &mut Draw<'_>) -> Vec<Value>,
}
