//! A statement pattern: one thing that an application does, with its text, protocol and frequency.
use serde::{Deserialize, Serialize};

/// What part of an application a pattern belongs to. Personas differ by how much they use each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Sessions, sign-in: comes with every request.
    Session,
    /// Single rows by their key.
    Lookup,
    /// Case-insensitive or exact e-mail.
    Email,
    /// Beginning of a name, as a type-ahead box sends it.
    NameSearch,
    /// A fragment anywhere in a text.
    Infix,
    /// Telephone numbers.
    Phone,
    /// Pages of a list, newest first.
    Listing,
    /// Another system fetching what changed.
    Sync,
    /// Filters on industry, city, status, source.
    Segment,
    /// Custom field of large customers.
    CustomCode,
    /// Custom field of niche customers.
    CustomMember,
    /// Containment in custom fields.
    CustomTags,
    /// The history of one contact.
    Timeline,
    /// Tasks and reminders.
    Tasks,
    /// Webhooks and e-mail threads.
    Integration,
    /// Sales.
    Sales,
    /// Sums and counts.
    Reporting,
    /// Changes by people.
    Edit,
    /// Columns that change all the time.
    Hot,
    /// Deletes.
    Remove,
    /// Once a month.
    Rare,
}

/// How the statement travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Prepared once in a connection and executed with parameters.
    Prepared,
    /// Text with the values written into it.
    Simple,
}

/// Whether a pattern changes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Reads only.
    Read,
    /// Writes (and perhaps reads).
    Write,
}

/// One statement of a pattern.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Text with `$1`, `$2`, … for parameters.
    pub sql: &'static str,
    /// Which of the drawn values are `$1`, `$2`, …; empty means all of them in order.
    pub values: &'static [usize],
}

/// One thing that an application does.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Short name, unique in its application.
    pub name: &'static str,
    /// Part of the application.
    pub area: Area,
    /// Reads or writes.
    pub kind: Kind,
    /// Prepared or simple.
    pub protocol: Protocol,
    /// Frequency before personas, relative to the other patterns of the application.
    pub weight: f64,
    /// The statements; more than one run in a transaction.
    pub steps: &'static [Step],
}

impl Pattern {
    /// A pattern of one statement.
    pub const fn one(
        name: &'static str,
        area: Area,
        kind: Kind,
        protocol: Protocol,
        weight: f64,
        steps: &'static [Step],
    ) -> Self {
        Pattern {
            name,
            area,
            kind,
            protocol,
            weight,
            steps,
        }
    }

    /// Whether it comes so seldom that nothing should be built for it.
    pub fn is_rare(&self) -> bool {
        self.area == Area::Rare
    }

    /// Position in the drawn values of each parameter of a step, given how many were drawn.
    pub fn arguments(step: &Step, drawn: usize) -> Vec<usize> {
        if step.values.is_empty() && step.sql.contains("$1") {
            (0..drawn).collect()
        } else {
            step.values.to_vec()
        }
    }
}

/// The highest `$n` in a statement, zero without parameters.
pub fn parameter_count(sql: &str) -> usize {
    let mut most = 0;
    for (at, _) in sql.match_indices('$') {
        let digits: String = sql[at + 1..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        most = most.max(digits.parse().unwrap_or(0));
    }
    most
}
