//! A report as one HTML file: no script, no font, no image, no address of anything.

use crate::{Report, Section, Unit, plot, shown};
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;\
color:#222}h1{font-size:1.6rem;margin-bottom:0}h2{margin:2.2rem 0 .2rem;font-size:1.2rem}\
p{margin:.2rem 0 .8rem;color:#444}table{border-collapse:collapse;display:block;overflow-x:auto}\
th,td{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}\
th{border-bottom:2px solid #888;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap}\
svg{display:block;margin:.6rem 0;max-width:100%;height:auto;font:12px system-ui,sans-serif}\
details{margin:.5rem 0;color:#555}pre{white-space:pre-wrap;background:#f6f6f4;padding:.6rem}\
nav a{margin-right:1rem}.none{color:#777}";

/// Text made safe for an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No control character belongs into HTML; a page must not change direction.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn write(report: &Report) -> String {
    let title = escape(&report.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>made {}, IndexPilot {}</p>\n<nav>",
        escape(&report.made_at),
        escape(&report.version)
    );
    for section in &report.sections {
        let _ = write!(
            out,
            "<a href=\"#{}\">{}</a>",
            escape(&section.id),
            escape(&section.title)
        );
    }
    out.push_str("</nav>\n");
    for section in &report.sections {
        one(&mut out, section);
    }
    out.push_str("</body></html>\n");
    out
}

fn one(out: &mut String, section: &Section) {
    let _ = write!(
        out,
        "<h2 id=\"{}\">{}</h2>\n<p>{}</p>\n",
        escape(&section.id),
        escape(&section.title),
        escape(&section.about)
    );
    if let Some(why) = &section.missing {
        let _ = writeln!(out, "<p class=\"none\">Nothing: {}</p>", escape(why));
    } else if section.rows.is_empty() {
        out.push_str("<p class=\"none\">Nothing yet.</p>\n");
    } else {
        out.push_str(&plot::svg(section));
        table(out, section);
    }
    let _ = writeln!(
        out,
        "<details><summary>where these numbers come from</summary><pre>{}</pre></details>",
        escape(&section.query)
    );
}

fn table(out: &mut String, section: &Section) {
    let class = |unit: Unit| {
        if unit == Unit::Text {
            ""
        } else {
            " class=\"n\""
        }
    };
    out.push_str("<table><tr>");
    for column in &section.columns {
        let _ = write!(
            out,
            "<th{}>{}</th>",
            class(column.unit),
            escape(&column.name.replace('_', " "))
        );
    }
    out.push_str("</tr>\n");
    for row in &section.rows {
        out.push_str("<tr>");
        for (value, column) in row.iter().zip(&section.columns) {
            let _ = write!(
                out,
                "<td{}>{}</td>",
                class(column.unit),
                escape(&shown(value, column.unit))
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}
