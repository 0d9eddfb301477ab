//! A report for a terminal: headings, aligned tables, the query below each.

use crate::{Report, Section, Unit, shown};
use std::fmt::Write;

/// Characters that a cell may take; longer ones are cut with `…`.
const WIDEST: usize = 70;

pub(crate) fn write(report: &Report) -> String {
    let mut out = format!(
        "{}\nmade {}, IndexPilot {}\n",
        report.title, report.made_at, report.version
    );
    for section in &report.sections {
        let _ = write!(
            out,
            "\n{}\n{}\n{}\n\n",
            section.title,
            "=".repeat(section.title.chars().count()),
            section.about
        );
        table(&mut out, section);
        let _ = write!(out, "\n  query: {}\n", one_line(&section.query));
    }
    out
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= WIDEST {
        return text;
    }
    let mut short: String = text.chars().take(WIDEST - 1).collect();
    short.push('…');
    short
}

fn table(out: &mut String, section: &Section) {
    if let Some(why) = &section.missing {
        let _ = writeln!(out, "  nothing: {why}");
        return;
    }
    if section.rows.is_empty() {
        out.push_str("  nothing yet\n");
        return;
    }
    let heads: Vec<String> = (section.columns.iter())
        .map(|column| column.name.replace('_', " "))
        .collect();
    let rows: Vec<Vec<String>> = (section.rows.iter())
        .map(|row| {
            row.iter()
                .zip(&section.columns)
                .map(|(value, column)| cut(&shown(value, column.unit)))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|place| {
            rows.iter()
                .filter_map(|row| row.get(place))
                .chain([&heads[place]])
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut line = |cells: &[String]| {
        let mut text = String::from("  ");
        for (place, cell) in cells.iter().enumerate() {
            let fill = " ".repeat(widths[place].saturating_sub(cell.chars().count()));
            if section.columns[place].unit == Unit::Text {
                let _ = write!(text, "{cell}{fill}  ");
            } else {
                let _ = write!(text, "{fill}{cell}  ");
            }
        }
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(&heads);
    line(
        &widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>(),
    );
    for row in &rows {
        line(row);
    }
}
