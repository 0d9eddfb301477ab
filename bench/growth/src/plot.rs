//! CPU seconds and memory over the number of statements, logarithmic both ways, with the bars.

use crate::Row;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;

/// 50 to 10,000 statements.
fn x(statements: usize) -> f64 {
    let share = (statements as f64 / 50.0).log10() / 200f64.log10();
    MARGIN + share * (WIDTH - 2.0 * MARGIN)
}

/// 0.1 to 1,000 (seconds, megabytes).
fn y(value: f64) -> f64 {
    HEIGHT - MARGIN - (value.max(0.1).log10() + 1.0) / 4.0 * (HEIGHT - 2.0 * MARGIN)
}

/// The plot.
pub fn svg(rows: &[Row]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">advise() over 100 tables: the backend's CPU time and own memory by statements</text>\n"
    );
    for decade in -1..=3 {
        let value = 10f64.powi(decade);
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"20\" y=\"{at:.1}\">{value}</text>",
            WIDTH - MARGIN
        );
    }
    for row in rows {
        let at = x(row.statements);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at - 10.0,
            HEIGHT - MARGIN + 16.0,
            row.statements
        );
    }
    let line = |value: &dyn Fn(&Row) -> f64| {
        let points = rows
            .iter()
            .map(|row| format!("{:.1},{:.1}", x(row.statements), y(value(row))));
        points.collect::<Vec<_>>().join(" ")
    };
    let seconds = line(&|row| row.seconds);
    let memory = line(&|row| row.megabytes);
    for (label, colour, place, points) in [
        ("CPU seconds", "#1f77b4", 1.0, seconds),
        ("own memory, MB", "#d62728", 2.0, memory),
    ] {
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{points}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{label}</text>",
            MARGIN + 10.0,
            MARGIN + 16.0 * place
        );
    }
    // What it is meant to stay below: 10 s and 256 MB at 500 statements, 60 s at 5,000.
    for (statements, value, colour) in [
        (500, 10.0, "#1f77b4"),
        (5_000, 60.0, "#1f77b4"),
        (500, 256.0, "#d62728"),
    ] {
        let _ = writeln!(
            svg,
            "<path d=\"M {:.1} {:.1} h 16\" stroke=\"{colour}\" stroke-width=\"3\"/>",
            x(statements) - 8.0,
            y(value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
