//! How the advisor's work grows with the workload: CPU seconds, memory, planner calls.
//!
//!     cargo run --release -p indexpilot-advisor --example growth -- [out.svg [most]]
//!
//! The planner is the tests' synthetic one, so that what is measured is the advisor's own
//! share; the calls are counted, and what they would take at a given time a call is shown
//! beside it. Five statements and twelve options a table, half of the statements joins of
//! two or three tables. Prints a table, writes an SVG plot.

#[path = "../tests/common/mod.rs"]
mod common;

use indexpilot_advisor::pricing::{Caution, PricingLimits, advise};
use indexpilot_advisor::selection::Pulse;
use std::fmt::Write;

/// CPU time of this thread, seconds (Linux: /proc/thread-self/schedstat, nanoseconds).
fn cpu() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|s| {
            s.split_whitespace()
                .next()
                .and_then(|n| n.parse::<f64>().ok())
        })
        .map_or(f64::NAN, |ns| ns / 1e9)
}

/// Largest resident size so far, megabytes.
fn peak() -> f64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|s| {
            s.lines()
                .find_map(|l| l.strip_prefix("VmHWM:").map(str::to_owned))
        })
        .and_then(|l| {
            l.split_whitespace()
                .next()
                .and_then(|n| n.parse::<f64>().ok())
        })
        .map_or(f64::NAN, |kb| kb / 1024.0)
}

struct Row {
    statements: usize,
    cpu: f64,
    calls: u64,
}

/// In-process planning: 0.1 ms for a point query to 0.3 ms in the mean of TPC-H.
const PLAN_SECONDS: f64 = 0.0003;

fn main() {
    let out = std::env::args().nth(1);
    let most: usize = std::env::args()
        .nth(2)
        .and_then(|n| n.parse().ok())
        .unwrap_or(5_000);
    println!(
        "statements  tables  options  calls  own CPU s  CPU s with 0.3 ms a call  peak MB  gap %  stop      rounds  longest step ms"
    );
    let mut rows = Vec::new();
    for statements in [50, 100, 250, 500, 1_000, 2_000, 3_500, 5_000] {
        if statements > most {
            break;
        }
        let tables = statements / 5;
        let (workload, mut planner) = common::random_workload(42, tables, 12, statements, 0.0);
        let start = cpu();
        let mut last = cpu();
        let mut longest = 0.0f64;
        // The longest stretch between two questions "may I go on?": what a cancel waits for.
        let mut pulse = || {
            let now = cpu();
            longest = longest.max(now - last);
            last = now;
            Pulse::Continue
        };
        let advice = advise(
            &mut planner,
            &workload,
            Caution::default(),
            PricingLimits::default(),
            &mut pulse,
        )
        .expect("the random workload has an answer");
        let used = cpu() - start;
        println!(
            "{statements:>10} {tables:>7} {:>8} {:>6} {used:>10.2} {:>25.2} {:>8.0} {:>6.2}  {:<9} {:>6} {:>16.1}",
            workload.options.len(),
            advice.calls,
            used + PLAN_SECONDS * advice.calls as f64,
            peak(),
            100.0 * advice.solution.gap,
            format!("{:?}", advice.solution.stop),
            advice.rounds,
            1e3 * longest,
        );
        rows.push(Row {
            statements,
            cpu: used,
            calls: advice.calls,
        });
    }
    if let Some(path) = out {
        std::fs::write(&path, plot(&rows)).expect("the plot can be written");
        println!("plot: {path}");
    }
}

/// Two lines over the number of statements, logarithmic both ways.
fn plot(rows: &[Row]) -> String {
    let (width, height, margin) = (640.0, 400.0, 60.0);
    let x = |n: usize| margin + (n as f64 / 50.0).log10() / 2.0 * (width - 2.0 * margin);
    let y =
        |s: f64| height - margin - ((s.max(1e-3)).log10() + 3.0) / 5.0 * (height - 2.0 * margin);
    let line = |value: &dyn Fn(&Row) -> f64| {
        rows.iter()
            .map(|r| format!("{:.1},{:.1}", x(r.statements), y(value(r))))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{margin}\" y=\"24\" font-size=\"14\">Advisor: CPU seconds over statements (five statements a table)</text>\n"
    );
    for decade in -3..=2 {
        let at = y(10f64.powi(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{margin}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"8\" y=\"{at:.1}\">{} s</text>",
            width - margin,
            10f64.powi(decade)
        );
    }
    for row in rows {
        let at = x(row.statements);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{margin}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#eee\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            height - margin,
            at - 10.0,
            height - margin + 16.0,
            row.statements
        );
    }
    for (label, colour, k, value) in [
        (
            "own CPU",
            "#1f77b4",
            0.0,
            &(|r: &Row| r.cpu) as &dyn Fn(&Row) -> f64,
        ),
        ("with 0.3 ms a planner call", "#d62728", 1.0, &|r: &Row| {
            r.cpu + PLAN_SECONDS * r.calls as f64
        }),
    ] {
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            line(value)
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{label}</text>",
            margin + 10.0,
            margin + 16.0 * (k + 1.0)
        );
    }
    // The bars: 10 s at 500 statements, 60 s at 5,000.
    for (n, seconds) in [(500, 10.0), (5_000, 60.0)] {
        let _ = writeln!(
            svg,
            "<path d=\"M {:.1} {:.1} h 16\" stroke=\"black\" stroke-width=\"2\"/>",
            x(n) - 8.0,
            y(seconds)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
