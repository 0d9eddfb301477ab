//! One table and one plot.

use crate::Query;
use crate::advisors::{OURS, OURS_VERIFIED};
use crate::judge::Judged;
use crate::measure::median;
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

/// The measured total of `one` less that of `other`, round by round, relative to `base`: mean
/// and half of the 95 % interval.
fn difference(one: &Judged, other: &Judged, base: f64) -> (f64, f64) {
    let pairs: Vec<f64> = totals(one)
        .iter()
        .zip(totals(other))
        .map(|(a, b)| (a - b) / base)
        .collect();
    interval(&pairs)
}

/// Ours after verification beside the best of the others, at each budget.
fn against_others(judged: &[Judged], base: f64) -> String {
    let mut text = String::from(
        "\nIndexPilot after verification less the best of the others, as a share of the time without indexes:\n\n\
         | budget MB | best other | difference |\n|---|---|---|\n",
    );
    for one in judged.iter().filter(|j| j.advice.tool == OURS_VERIFIED) {
        let others = judged[1..].iter().filter(|other| {
            other.advice.budget == one.advice.budget
                && other.advice.tool != OURS
                && other.advice.tool != OURS_VERIFIED
        });
        let total = |j: &Judged| interval(&totals(j)).0;
        if let Some(best) = others.min_by(|a, b| total(a).total_cmp(&total(b))) {
            let (mean, half) = difference(one, best, base);
            let _ = writeln!(
                text,
                "| {:.0} | {} | {mean:+.3} ± {half:.3} |",
                one.advice.budget, best.advice.tool
            );
        }
    }
    text
}

/// What verification took back, and the sets that stay.
fn sets(judged: &[Judged], queries: &[Query]) -> String {
    let mut text = String::from("\nWhat verification took back:\n\n");
    let mut none = true;
    for one in judged {
        for undone in &one.undone {
            none = false;
            let _ = writeln!(
                text,
                "- at {:.0} MB `{}`: {} took {:.2} times as long",
                one.advice.budget, undone.definition, queries[undone.query].name, undone.factor
            );
        }
    }
    if none {
        text.push_str("nothing\n");
    }
    text.push_str("\nThe sets:\n");
    for one in &judged[1..] {
        let _ = writeln!(
            text,
            "\n{} at {:.0} MB\n",
            one.advice.tool, one.advice.budget
        );
        for definition in &one.advice.definitions {
            let _ = writeln!(text, "    {definition}");
        }
    }
    text
}

/// Writes `results.md` and `plot.svg`, and shows the table.
pub fn write(out: &Path, scale: f64, rounds: usize, queries: &[Query], judged: &[Judged]) {
    let none = &judged[0];
    let base = interval(&totals(none));
    let mut text = format!(
        "TPC-H scale factor {scale}, {} statements, {rounds} measured runs in turn; without indexes {:.2} ± {:.2} CPU s.\n\
         Estimated (HypoPG), built (the planner, with the indexes there) and measured are relative to that; ± is the 95 % interval.\n\n\
         | budget MB | advisor | estimated | built | measured | statements slower by > 10 % | indexes | size MB, of budget | advisor CPU s | planner calls |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        queries.len(),
        base.0,
        base.1
    );
    let mut rows: Vec<&Judged> = judged[1..].iter().collect();
    // By budget; within one in the order in which they were judged.
    rows.sort_by(|a, b| a.advice.budget.total_cmp(&b.advice.budget));
    for one in rows {
        let (mean, half) = interval(&totals(one));
        let slow = slower(one, none, queries);
        let _ = writeln!(
            text,
            "| {:.0} | {} | {:.3} | {:.3} | {:.3} ± {:.3} | {} | {} | {:.0}, {:.0} % | {:.2} | {} |",
            one.advice.budget,
            one.advice.tool,
            one.estimated / none.estimated,
            one.built / none.built,
            mean / base.0,
            half / base.0,
            if slow.is_empty() {
                "none".into()
            } else {
                slow.join(", ")
            },
            one.advice.definitions.len(),
            one.size,
            100.0 * one.size / one.advice.budget,
            one.advice.seconds,
            one.advice
                .calls
                .map_or("?".into(), |calls| format!("{calls:.0}")),
        );
    }
    text.push_str(&against_others(judged, base.0));
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
    text.push_str(&sets(judged, queries));
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
        if !tools.contains(&one.advice.tool.as_str()) {
            tools.push(&one.advice.tool);
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
