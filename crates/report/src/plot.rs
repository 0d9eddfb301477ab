//! Plots as inline SVG: horizontal bars, drawn from a section's own cells.

use crate::html::escape;
use crate::{Section, shown};
use std::fmt::Write;

/// Rows that are plotted; the table has them all.
const ROWS: usize = 15;
const LABEL: f64 = 260.0;
const BARS: f64 = 420.0;
const VALUE: f64 = 110.0;
const BAR: f64 = 16.0;
const COLOURS: [&str; 4] = ["#33658a", "#f6ae2d", "#758e4f", "#86bbd8"];

/// The plot of a section; empty when there is nothing to plot.
pub(crate) fn svg(section: &Section) -> String {
    let Some(plot) = &section.plot else {
        return String::new();
    };
    let place = |name: &String| {
        section
            .columns
            .iter()
            .position(|column| column.name == *name)
    };
    let Some(label) = place(&plot.label) else {
        return String::new();
    };
    let values: Vec<usize> = plot.values.iter().filter_map(place).collect();
    let rows = &section.rows[..section.rows.len().min(ROWS)];
    let largest = rows
        .iter()
        .flat_map(|row| values.iter().filter_map(|value| row[*value].as_f64()))
        .fold(0.0_f64, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return String::new();
    }
    let group = BAR * values.len() as f64 + 8.0;
    let legend = if values.len() > 1 { 22.0 } else { 0.0 };
    let height = group * rows.len() as f64 + legend;
    let width = LABEL + BARS + VALUE;
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\">",
        escape(&section.title)
    );
    if values.len() > 1 {
        for (series, value) in values.iter().enumerate() {
            let x = LABEL + 130.0 * series as f64;
            let _ = write!(
                out,
                "<rect x=\"{x}\" y=\"2\" width=\"12\" height=\"12\" fill=\"{}\"/>\
                 <text x=\"{}\" y=\"13\">{}</text>",
                COLOURS[series % COLOURS.len()],
                x + 17.0,
                escape(&section.columns[*value].name.replace('_', " "))
            );
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let top = legend + group * number as f64;
        let full = shown(&row[label], section.columns[label].unit);
        let mut name: String = full.chars().take(38).collect();
        if name.len() < full.len() {
            name.push('…');
        }
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABEL - 8.0,
            top + (group - 8.0) / 2.0 + 5.0,
            escape(&name)
        );
        for (series, value) in values.iter().enumerate() {
            let Some(amount) = row[*value].as_f64() else {
                continue;
            };
            let length = (BARS * amount.max(0.0) / largest).max(1.0);
            let y = top + BAR * series as f64;
            let _ = write!(
                out,
                "<rect x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{}</text>",
                BAR - 3.0,
                COLOURS[series % COLOURS.len()],
                LABEL + length + 5.0,
                y + 11.0,
                escape(&shown(&row[*value], section.columns[*value].unit))
            );
        }
    }
    out.push_str("</svg>");
    out
}
