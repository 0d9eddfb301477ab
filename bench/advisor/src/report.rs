//! One table and one plot.

use crate::Query;
use crate::judge::Judged;
use std::fmt::Write;
use std::path::Path;

/// Mean and half of the 95 % interval (Student) of a few numbers.
fn interval(values: &[f64]) -> (f64, f64) {
    const T: [f64; 10] = [
        f64::INFINITY,
        12.706,
        4.303,
        3.182,
        2.776,
        2.571,
        2.447,
        2.365,
        2.306,
        2.262,
    ];
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let t = T
        .get(values.len().saturating_sub(1))
        .copied()
        .unwrap_or(2.0);
    (mean, t * (variance / n).sqrt())
}

/// Totals of the rounds.
fn totals(one: &Judged) -> Vec<f64> {
    let rounds = one.times.first().map_or(0, Vec::len);
    (0..rounds)
        .map(|round| one.times.iter().map(|times| times[round]).sum())
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Statements that take more than 1.1 times as long as without any index, with the factor.
fn slower(one: &Judged, none: &Judged, queries: &[Query]) -> Vec<String> {
    queries
        .iter()
        .enumerate()
        .filter_map(|(number, query)| {
            let factor = median(&one.times[number]) / median(&none.times[number]);
            (factor > 1.1).then(|| format!("{} {factor:.2}", query.name))
        })
        .collect()
}

/// Writes `results.md` and `plot.svg`, and shows the table.
pub fn write(out: &Path, scale: f64, rounds: usize, queries: &[Query], judged: &[Judged]) {
    let none = &judged[0];
    let base = interval(&totals(none));
    let mut text = format!(
        "TPC-H scale factor {scale}, {} statements, {rounds} measured runs in turn; without indexes {:.2} ± {:.2} CPU s.\n\
         Estimated, built and measured are relative to that; ± is the 95 % interval.\n\n\
         | tool | budget MB | indexes | size MB (HypoPG) | estimated | built | measured | slower by > 10 % | CPU s | planner calls |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        queries.len(),
        base.0,
        base.1
    );
    for one in &judged[1..] {
        let (mean, half) = interval(&totals(one));
        let slow = slower(one, none, queries);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.0} ({:.0}) | {:.3} | {:.3} | {:.3} ± {:.3} | {} | {:.2} | {} |",
            one.advice.tool,
            one.advice.budget,
            one.advice.definitions.len(),
            one.size,
            one.size_hypopg,
            one.estimated / none.estimated,
            one.built / none.built,
            mean / base.0,
            half / base.0,
            if slow.is_empty() {
                "none".into()
            } else {
                slow.join(", ")
            },
            one.advice.seconds,
            one.advice
                .calls
                .map_or("?".into(), |calls| format!("{calls:.0}")),
        );
    }
    text.push_str("\nBy statement, median CPU ms:\n\n| tool | budget |");
    for query in queries {
        let _ = write!(text, " {} |", query.name);
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(queries.len()));
    text.push('\n');
    for one in judged {
        let _ = write!(text, "| {} | {:.0} |", one.advice.tool, one.advice.budget);
        for times in &one.times {
            let _ = write!(text, " {:.0} |", 1e3 * median(times));
        }
        text.push('\n');
    }
    println!("{text}");
    std::fs::write(out.join("results.md"), &text).expect("results.md");
    std::fs::write(out.join("plot.svg"), plot(judged, base.0)).expect("plot.svg");
    println!("{}", out.join("plot.svg").display());
}

/// Measured time by budget, a line a tool, with the intervals.
fn plot(judged: &[Judged], base: f64) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 380.0;
    const COLOURS: [&str; 5] = ["#d1495b", "#33658a", "#758e4f", "#f6ae2d", "#86bbd8"];
    let points = |tool: &str| -> Vec<(f64, f64, f64)> {
        judged[1..]
            .iter()
            .filter(|one| one.advice.tool == tool)
            .map(|one| {
                let (mean, half) = interval(&totals(one));
                (one.advice.budget, mean / base, half / base)
            })
            .collect()
    };
    let mut tools: Vec<&str> = Vec::new();
    for one in &judged[1..] {
        if !tools.contains(&one.advice.tool) {
            tools.push(one.advice.tool);
        }
    }
    let all: Vec<(f64, f64, f64)> = tools.iter().flat_map(|tool| points(tool)).collect();
    let most = all.iter().fold(1.0_f64, |most, p| most.max(p.0));
    let least = all.iter().fold(most, |least, p| least.min(p.0));
    let low = all.iter().fold(1.0_f64, |low, p| low.min(p.1 - p.2)) - 0.02;
    let high = all.iter().fold(1.0_f64, |high, p| high.max(p.1 + p.2)) + 0.02;
    // Budgets double: a logarithmic axis sets them apart evenly.
    let x = |b: f64| 60.0 + (WIDTH - 200.0) * (b / least).ln() / (most / least).ln().max(1e-9);
    let y = |v: f64| 20.0 + (HEIGHT - 70.0) * (high - v) / (high - low);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' font-family='sans-serif' font-size='12'>\
         <rect width='100%' height='100%' fill='white'/>\
         <text x='60' y='{:.0}'>storage budget, MB</text>\
         <text x='8' y='14'>measured time, relative to no index</text>",
        HEIGHT - 8.0
    );
    let mut tick = (low * 20.0).ceil() / 20.0;
    while tick <= high {
        let _ = write!(
            svg,
            "<line x1='60' x2='{:.0}' y1='{1:.1}' y2='{1:.1}' stroke='#ddd'/><text x='24' y='{2:.1}'>{tick:.2}</text>",
            WIDTH - 140.0,
            y(tick),
            y(tick) + 4.0
        );
        tick += 0.05;
    }
    for (number, tool) in tools.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut line = String::new();
        for (budget, mean, half) in points(tool) {
            let _ = write!(line, "{:.1},{:.1} ", x(budget), y(mean));
            let _ = write!(
                svg,
                "<line x1='{0:.1}' x2='{0:.1}' y1='{1:.1}' y2='{2:.1}' stroke='{colour}'/><circle cx='{0:.1}' cy='{3:.1}' r='3' fill='{colour}'/>",
                x(budget),
                y(mean - half),
                y(mean + half),
                y(mean)
            );
            if number == 0 {
                let _ = write!(
                    svg,
                    "<text x='{:.1}' y='{:.0}' text-anchor='middle'>{budget:.0}</text>",
                    x(budget),
                    HEIGHT - 28.0
                );
            }
        }
        let _ = write!(
            svg,
            "<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='2'/><text x='{:.0}' y='{:.0}' fill='{colour}'>{tool}</text>",
            WIDTH - 130.0,
            30.0 + 18.0 * number as f64
        );
    }
    svg.push_str("</svg>\n");
    svg
}
