//! Sections of the page on what was built, what was not, what it costs and whom it helps.
use super::html::{code, escape, table};
use super::{bytes, percent, plot, significant, time};
use crate::pattern::Kind;
use crate::results::{AUTO, BASELINE, EXPERT, OBSERVED, Results, Variant};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) fn indexes(w: &mut String, r: &Results) {
    let Some(auto) = r.variant(AUTO).or_else(|| r.variant(EXPERT)) else {
        return;
    };
    let _ = write!(w, "<h2>Indexes that are there ({})</h2>", auto.name);
    let mutations = r.learning.as_ref().map_or(&[][..], |l| &l.mutations[..]);
    let short = |name: &str| {
        name.rsplit('.')
            .next()
            .unwrap_or(name)
            .trim_matches('"')
            .to_owned()
    };
    table(
        w,
        &["definition", "#size", "#scans", "why"],
        auto.indexes.iter().map(|i| {
            let why = mutations
                .iter()
                .find(|m| short(&m.index) == short(&i.name) && !m.reason.is_empty())
                .map(|m| escape(&m.reason))
                .unwrap_or_default();
            vec![
                code(i.definition.trim_start_matches("CREATE ")),
                bytes(i.bytes as f64),
                i.scans.to_string(),
                why,
            ]
        }),
    );
    if !mutations.is_empty() {
        w.push_str(
            "<details><summary>The mutation log: built, kept, reverted</summary><div class=wide>",
        );
        table(
            w,
            &["when", "action", "outcome", "definition", "reason"],
            mutations.iter().map(|m| {
                vec![
                    escape(&m.at),
                    escape(&m.action),
                    escape(&m.outcome),
                    code(if m.definition.is_empty() {
                        &m.index
                    } else {
                        &m.definition
                    }),
                    escape(&m.reason),
                ]
            }),
        );
        w.push_str("</div></details>");
    }
}

/// Fields that capture has seen in statements and that no index reads.
fn unread_fields(w: &mut String, r: &Results, indexed: &[&String]) {
    let Some(l) = &r.learning else { return };
    let fields: Vec<_> = l
        .fields
        .iter()
        .filter(|f| !indexed.contains(&&f.column))
        .collect();
    if fields.is_empty() {
        return;
    }
    w.push_str(
        "<details><summary>Fields that statements use and no index reads, as captured</summary>",
    );
    table(
        w,
        &[
            "field",
            "use",
            "#calls",
            "#time of the statements",
            "#tenants",
        ],
        fields.iter().map(|f| {
            vec![
                code(&f.column),
                escape(&f.role),
                f.calls.to_string(),
                time(f.total_ms * 1e3),
                f.tenants.to_string(),
            ]
        }),
    );
    w.push_str("</details>");
}

/// What `advise()` proposed.
pub(super) fn advice(w: &mut String, r: &Results) {
    let Some(a) = &r.advice else { return };
    let _ = write!(
        w,
        "<h2>What advise() proposed</h2><p>{} indexes for {} statements in {:.1} s{}.</p><div class=wide>",
        a.indexes.len(),
        a.statements,
        a.seconds,
        a.cpu
            .map(|c| format!(" ({c:.1} s of CPU time)"))
            .unwrap_or_default()
    );
    table(
        w,
        &["definition", "why"],
        a.indexes
            .iter()
            .map(|i| vec![code(&i.definition), escape(&i.reason)]),
    );
    w.push_str("</div>");
}

pub(super) fn not_indexed(w: &mut String, r: &Results) {
    let Some(l) = &r.learning else { return };
    w.push_str("<h2>What is not indexed, and why</h2>");
    let indexed: Vec<&String> = r
        .variant(AUTO)
        .map(|v| v.indexes.iter().flat_map(|i| &i.columns).collect())
        .unwrap_or_default();
    let _ = write!(
        w,
        "<p>Fields that only rare statements filter on: {}.</p>",
        r.rare_columns
            .iter()
            .map(|c| format!(
                "{} ({})",
                code(c),
                if indexed.contains(&c) {
                    "<b class=bad>indexed</b>"
                } else {
                    "not indexed"
                }
            ))
            .collect::<Vec<_>>()
            .join(", ")
    );
    unread_fields(w, r, &indexed);
    let rest: Vec<_> = l
        .recommendations
        .iter()
        .filter(|x| !["kept", "validating", "building"].contains(&x.status.as_str()))
        .collect();
    if rest.is_empty() {
        w.push_str("<p>No recommendation was left open or rejected.</p>");
    } else {
        w.push_str("<div class=wide>");
        table(
            w,
            &["action", "definition", "status", "reason"],
            rest.iter().map(|x| {
                vec![
                    escape(&x.action),
                    code(if x.definition.is_empty() {
                        &x.table
                    } else {
                        &x.definition
                    }),
                    escape(&x.status),
                    escape(&x.reason),
                ]
            }),
        );
        w.push_str("</div>");
    }
}

pub(super) fn costs(w: &mut String, r: &Results) -> Result<()> {
    w.push_str("<h2>What it costs</h2>");
    if let (Some(b), Some(o)) = (r.variant(BASELINE), r.variant(OBSERVED)) {
        let cpu = r
            .total_cpu(OBSERVED)
            .zip(r.total_cpu(BASELINE))
            .map(|(a, b)| percent(a / b - 1.0))
            .unwrap_or_else(|| "unknown".into());
        let tps = o
            .load
            .as_ref()
            .zip(b.load.as_ref())
            .map(|(a, b)| percent(a.throughput / b.throughput - 1.0))
            .unwrap_or_else(|| "unknown".into());
        let cheap: Vec<usize> = (0..r.patterns.len())
            .filter(|p| b.times[*p].latency.count > 0 && b.times[*p].latency.mean < 1_000.0)
            .collect();
        let small = |v: &Variant| {
            cheap
                .iter()
                .filter_map(|p| v.times[*p].cpu.map(|c| c * r.patterns[*p].frequency))
                .sum::<f64>()
        };
        let _ = write!(
            w,
            "<p>Capture: the observed database against the baseline: {cpu} CPU time for one operation of the mix, {} over the patterns below a millisecond, {tps} throughput under load. Differences of a few percent are noise on a shared machine; the count of instructions is in the benchmark of the capture.</p>",
            if small(b) > 0.0 {
                percent(small(o) / small(b) - 1.0)
            } else {
                "unknown".into()
            }
        );
    }
    let storage: Vec<(String, f64, String)> = r
        .variants
        .iter()
        .map(|v| {
            (
                v.name.clone(),
                v.index_bytes as f64 / 1e6,
                format!(
                    "{} in {} indexes",
                    bytes(v.index_bytes as f64),
                    v.indexes.len()
                ),
            )
        })
        .collect();
    w.push_str(&plot::bars("storage for secondary indexes", &storage)?);
    let wal: Vec<(String, f64, String)> = r
        .variants
        .iter()
        .filter_map(|v| {
            v.wal_per_thousand.map(|x| {
                (
                    v.name.clone(),
                    x / 1e6,
                    format!("{} of WAL a thousand operations", bytes(x)),
                )
            })
        })
        .collect();
    w.push_str(&plot::bars(
        "write cost: WAL, full-page images included",
        &wal,
    )?);
    w.push_str("<details><summary>Writes one by one, CPU time of the backend</summary>");
    let mut head = vec!["pattern".to_owned()];
    head.extend(r.variants.iter().map(|v| format!("#{}", v.name)));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(
        w,
        &head,
        (0..r.patterns.len())
            .filter(|p| {
                r.patterns[*p].effect == Kind::Write && r.variants[0].times[*p].latency.count > 0
            })
            .map(|p| {
                let mut row = vec![escape(&r.patterns[p].name)];
                row.extend(
                    r.variants
                        .iter()
                        .map(|v| v.times[p].cpu.map(time).unwrap_or_else(|| "–".into())),
                );
                row
            }),
    );
    w.push_str("</details>");
    Ok(())
}

pub(super) fn tenants(w: &mut String, r: &Results) -> Result<()> {
    let after = if r.variant(AUTO).is_some() {
        AUTO
    } else {
        EXPERT
    };
    if r.variant(after).is_none() {
        return Ok(());
    }
    w.push_str("<h2>Tenants: who gains, who loses</h2><p>Mean latency of each tenant's operations in the comparison.</p>");
    let times = r.by_tenant(after);
    let mut order: Vec<usize> = (0..times.len()).filter(|t| times[*t].2 > 0).collect();
    order.sort_by(|a, b| (times[*a].1 / times[*a].0).total_cmp(&(times[*b].1 / times[*b].0)));
    let mut personas: BTreeMap<&str, (f64, f64, usize, usize)> = BTreeMap::new();
    for t in &order {
        let (b, a, n) = times[*t];
        let e = personas.entry(r.tenants[*t].persona.name()).or_default();
        *e = (e.0 + b * n as f64, e.1 + a * n as f64, e.2 + n, e.3 + 1);
    }
    table(
        w,
        &[
            "persona",
            "#tenants",
            "#operations",
            "#before",
            "#after",
            "#after/before",
        ],
        personas.iter().map(|(p, (b, a, n, t))| {
            vec![
                (*p).to_owned(),
                t.to_string(),
                n.to_string(),
                time(b / *n as f64),
                time(a / *n as f64),
                significant(a / b),
            ]
        }),
    );
    let losers: Vec<usize> = order
        .iter()
        .copied()
        .filter(|t| times[*t].1 > times[*t].0)
        .collect();
    let _ = write!(
        w,
        "<p>{} of {} tenants with operations gained, {} lost.</p>",
        order.len() - losers.len(),
        order.len(),
        losers.len()
    );
    let shown: Vec<usize> = if order.len() > 30 {
        order[..15]
            .iter()
            .chain(&order[order.len() - 15..])
            .copied()
            .collect()
    } else {
        order
    };
    let rows: Vec<plot::Row> = shown
        .iter()
        .map(|t| plot::Row {
            name: format!(
                "tenant {} ({}, {})",
                r.tenants[*t].id,
                r.tenants[*t].persona.name(),
                percent(r.tenants[*t].size)
            ),
            values: vec![
                (BASELINE.into(), times[*t].0 / 1e3),
                (after.into(), times[*t].1 / 1e3),
            ],
        })
        .collect();
    w.push_str(&plot::dots(
        "largest gains first; with many tenants the first and last fifteen",
        "ms",
        &rows,
    )?);
    Ok(())
}

pub(super) fn settings(w: &mut String, r: &Results) {
    w.push_str("<h2>Settings of this short demonstration</h2>");
    table(
        w,
        &["setting", "here", "default", "why"],
        r.settings.iter().map(|s| {
            vec![
                code(&s.name),
                escape(&s.value),
                escape(&s.default),
                escape(&s.why),
            ]
        }),
    );
    for n in &r.notes {
        let _ = write!(w, "<p>Note: {}.</p>", escape(n));
    }
}
