//! All three ways of writing tell the same, and HTML stays HTML whatever the cells hold.

use indexpilot_report::{Column, Plot, Report, Section, Unit};
use proptest::prelude::*;
use serde_json::{Value, json};

fn column(name: &str, unit: Unit) -> Column {
    Column {
        name: name.into(),
        unit,
    }
}

fn report(rows: Vec<Vec<Value>>) -> Report {
    Report {
        title: "crm".into(),
        made_at: "2026-01-01 00:00:00+00".into(),
        version: "0.1.0".into(),
        sections: vec![Section {
            id: "latency".into(),
            title: "Before and after".into(),
            about: "Measured.".into(),
            query: "SELECT 1 < 2".into(),
            columns: vec![
                column("statement", Unit::Text),
                column("before", Unit::Milliseconds),
                column("after", Unit::Milliseconds),
                column("size", Unit::Bytes),
                column("share", Unit::Share),
            ],
            rows,
            plot: Some(Plot {
                label: "statement".into(),
                values: vec!["before".into(), "after".into()],
            }),
            missing: None,
        }],
    }
}

#[test]
fn numbers_are_written_with_their_units() {
    let report = report(vec![
        vec![
            json!("a"),
            json!(1234.5),
            json!(0.25),
            json!(8192),
            json!(0.125),
        ],
        vec![
            json!("b"),
            json!(null),
            json!(90_000_000),
            json!(3),
            json!(1),
        ],
    ]);
    let text = report.text();
    for part in [
        "1.23 s",
        "0.25 ms",
        "8 kB",
        "12.5 %",
        "1 d",
        "100 %",
        "query: SELECT 1 < 2",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let html = report.html();
    assert!(html.contains("<td class=\"n\">1.23 s</td>") && html.contains("SELECT 1 &lt; 2"));
    assert_eq!(
        html.matches("<rect").count(),
        2 + 3,
        "a legend, and a bar for each number"
    );
    assert_eq!(report.json()["sections"][0]["rows"][0][1], json!(1234.5));
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let mut empty = report(Vec::new());
    assert!(empty.text().contains("nothing yet") && empty.html().contains("Nothing yet."));
    empty.sections[0].missing = Some("not measured".into());
    assert!(empty.text().contains("nothing: not measured"));
}

proptest! {
    #[test]
    fn html_stays_well_formed_and_self_contained(
        cells in prop::collection::vec((".*", any::<f64>(), any::<i64>()), 0..20)
    ) {
        let rows = cells
            .iter()
            .map(|(text, float, whole)| {
                vec![json!(text), json!(float), json!(whole), json!(whole), json!(float)]
            })
            .collect();
        let report = report(rows);
        let html = report.html();
        let text = report.text();
        prop_assert!(text.lines().count() > 4);
        // Tags are ours alone: as many opened as closed, and none that loads anything.
        for tag in ["table", "tr", "td", "th", "svg", "text", "p", "h2", "pre", "details"] {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            prop_assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{}", tag);
        }
        for outside in ["<script", "<img", "<link", "src=", "url(", "@import"] {
            let in_cells = cells.iter().any(|(text, _, _)| text.contains(outside.trim_start_matches('<')));
            prop_assert!(in_cells || !html.contains(outside), "{}", outside);
        }
    }
}
