//! A recommendation as text for people: what, why, by which rule, at which price, for whom, and
//! what was thought of in its place.

use super::lint;
use crate::store::recommendation::Stored;
use crate::store::statement_text;
use indexpilot_advisor::plan::Gain;
use indexpilot_model::IntentKind;
use pgrx::spi::SpiResult;
use std::fmt::Write;

/// Statements shown.
const STATEMENTS: usize = 10;

/// The command that carrying it out would run.
pub fn command(stored: &Stored) -> String {
    match &stored.intent.kind {
        IntentKind::CreateIndex { definition, name } => {
            definition.create_statement(name, true, false)
        }
        IntentKind::DropIndex { name, .. } => format!("DROP INDEX CONCURRENTLY {name}"),
        IntentKind::Reindex { name, .. } => format!("REINDEX INDEX CONCURRENTLY {name}"),
        IntentKind::Analyze => format!("ANALYZE {}", stored.intent.relation.qualified()),
        IntentKind::CreateStatistics(statistics) => format!(
            "{};\nANALYZE {}",
            statistics.create_statement(&stored.intent.relation),
            stored.intent.relation.qualified()
        ),
        IntentKind::DropStatistics(statistics) => format!("DROP STATISTICS {}", statistics.name),
    }
}

/// A reason without the statements that it names: for owners of tables, who need not be those
/// who ran the statements. The views do the same.
pub fn without_statements(reason: &str) -> String {
    let reason = reason
        .split_once(", most in ")
        .map_or(reason, |(before, _)| before);
    let named = "the planner would use it for ";
    match (reason.split_once(named), reason.rfind(", which gets ")) {
        (Some((before, _)), Some(at)) => {
            format!("{before}{named}a statement{}", &reason[at..])
        }
        _ => reason.to_owned(),
    }
}

/// Milliseconds in a unit that people read.
fn time(ms: f64) -> String {
    match ms.abs() {
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms if ms < 600_000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms < 36_000_000.0 => format!("{:.1} min", ms / 6e4),
        ms => format!("{:.1} h", ms / 3.6e6),
    }
}

/// The whole text. `may_read` tells whether the reader may see the statements of a role;
/// `reads_all`, whether those of all.
///
/// # Errors
/// What SPI reports.
pub fn text(
    stored: &Stored,
    reads_all: bool,
    may_read: impl Fn(&str) -> bool,
) -> SpiResult<String> {
    let told = |reason: &str| {
        if reads_all {
            reason.to_owned()
        } else {
            without_statements(reason)
        }
    };
    let figures = &stored.figures;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} ({}, advised {} time(s))",
        stored.definition,
        stored.state.name(),
        stored.times_seen
    );
    if let Some(reason) = &stored.state_reason {
        let _ = writeln!(out, "  {reason}");
    }
    let _ = writeln!(out, "Why: {}", told(&figures.reason));
    let _ = writeln!(
        out,
        "Decided by: the prices of the whole set. Rule of thumb (queries × cost > build cost): {}",
        figures.rule
    );
    let _ = writeln!(out, "Estimates:");
    let _ = writeln!(
        out,
        "  saves {:.1} % of its statements' time, {} a day",
        100.0 * figures.benefit,
        time(figures.saved_ms_per_day)
    );
    let _ = writeln!(
        out,
        "  size {:.1} MB; build {}; upkeep {} a day; confidence {:.2}",
        figures.bytes as f64 / 1e6,
        time(figures.build_ms),
        time(figures.write_ms_per_day),
        figures.confidence
    );
    if let Some(calls) = figures.break_even_calls {
        let now: f64 = figures
            .statements
            .iter()
            .map(|gain| gain.calls_per_day)
            .sum();
        let _ = writeln!(
            out,
            "  pays off above {calls:.1} calls a day at the present write rate (now {now:.0})"
        );
    }
    let _ = writeln!(out, "Statements:");
    for gain in figures.statements.iter().take(STATEMENTS) {
        one_statement(&mut out, gain, &may_read)?;
    }
    if figures.statements.len() > STATEMENTS {
        let _ = writeln!(out, "  and {} more", figures.statements.len() - STATEMENTS);
    }
    if !figures.tenants.is_empty() {
        let _ = writeln!(out, "Tenants:");
        for (tenant, share) in &figures.tenants {
            let _ = writeln!(
                out,
                "  {tenant}: {:.1} % of the saving, {} a day",
                100.0 * share,
                time(share * figures.saved_ms_per_day)
            );
        }
    }
    if !figures.alternatives.is_empty() {
        let _ = writeln!(out, "Refused alternatives:");
        for (definition, why) in &figures.alternatives {
            let _ = writeln!(out, "  {definition}: {}", told(why));
        }
    }
    let _ = writeln!(out, "It would run: {}", command(stored));
    Ok(out)
}

fn one_statement(out: &mut String, gain: &Gain, may_read: &impl Fn(&str) -> bool) -> SpiResult<()> {
    let cost = |cost: Option<f64>| cost.map_or("unknown".to_owned(), |c| format!("{c:.1}"));
    let source = match &gain.key {
        Some(key) => statement_text::text(key)?,
        None => None,
    };
    let readable = source.as_ref().is_none_or(|source| may_read(&source.role));
    let label = if readable {
        gain.label.as_str()
    } else {
        "<insufficient privilege>"
    };
    let _ = writeln!(
        out,
        "  {label}: {:.0} calls a day, planner cost {} → {} under the whole advice, {} a day saved by this",
        gain.calls_per_day,
        cost(gain.cost_before),
        cost(gain.cost_after),
        time(gain.saved_ms)
    );
    if !readable {
        return Ok(());
    }
    if let Some((before, after)) = &gain.plans {
        for (what, plan) in [("now", before), ("then", after)] {
            let _ = writeln!(out, "    {what}:");
            for line in plan.lines() {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    let Some(source) = source else {
        return Ok(());
    };
    match lint::lint(&source.text, source.search_path.as_deref())? {
        Err(why) => {
            let _ = writeln!(out, "    not linted because {why}");
        }
        Ok(findings) => {
            for linted in findings {
                let finding = linted.finding;
                let _ = writeln!(
                    out,
                    "    {} ({}): {}",
                    finding.rule, finding.found, finding.why
                );
                if let Some(rewrite) = finding.rewrite {
                    let _ = writeln!(out, "      the same rows: {rewrite}");
                }
            }
        }
    }
    Ok(())
}
