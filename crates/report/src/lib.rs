//! A report is a list of sections; a section is a table, the query that gave it, and perhaps
//! a plot of its columns. Because a section holds nothing but its query's result, every
//! number in a report can be traced: run the query.
//!
//! Three ways of writing it out: text for a terminal, JSON for programs, and one HTML file
//! without anything external (plots are inline SVG), which can be mailed.

mod html;
mod plot;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the values of a column read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Words.
    Text,
    /// A count.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// A share, 0…1, shown in per cent.
    Share,
    /// A number without a unit.
    Number,
}

/// A column of a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the query's result.
    pub name: String,
    /// How its values read.
    pub unit: Unit,
}

/// Horizontal bars: one group a row, one bar a value column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plot {
    /// Column with the labels.
    pub label: String,
    /// Columns with the values; all of one unit.
    pub values: Vec<String>,
}

/// A table with the query that gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// A word to refer to it by.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What the numbers mean, and which of them are estimates.
    pub about: String,
    /// The query that gives the rows.
    pub query: String,
    /// Columns, in order.
    pub columns: Vec<Column>,
    /// Rows of JSON scalars, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
    /// What to plot.
    pub plot: Option<Plot>,
    /// Why there is nothing to show, where the query could not be run.
    pub missing: Option<String>,
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is about.
    pub title: String,
    /// When it was made, as the server writes it.
    pub made_at: String,
    /// Version of the extension.
    pub version: String,
    /// Its sections.
    pub sections: Vec<Section>,
}

impl Report {
    /// As text for a terminal.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// As one HTML file.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// A value as people read it; nothing for NULL.
pub(crate) fn shown(value: &Value, unit: Unit) -> String {
    let Some(number) = value.as_f64() else {
        return match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".into(),
            Value::Bool(false) => "no".into(),
            other => other.to_string(),
        };
    };
    match unit {
        Unit::Text | Unit::Number => round(number, 3),
        Unit::Count => grouped(number),
        Unit::Milliseconds if number.abs() >= 86_400_000.0 => {
            format!("{} d", round(number / 86_400_000.0, 1))
        }
        Unit::Milliseconds if number.abs() >= 60_000.0 => {
            format!("{} min", round(number / 60_000.0, 1))
        }
        Unit::Milliseconds if number.abs() >= 1_000.0 => {
            format!("{} s", round(number / 1_000.0, 2))
        }
        Unit::Milliseconds => format!("{} ms", round(number, 3)),
        Unit::Bytes => bytes(number),
        Unit::Share => format!("{} %", round(number * 100.0, 1)),
    }
}

/// Rounded, without needless zeroes.
fn round(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

/// Whole, with a thin grouping of thousands.
fn grouped(number: f64) -> String {
    if number.fract() != 0.0 {
        return round(number, 1);
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = number;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", round(value, 1), UNITS[unit])
}
