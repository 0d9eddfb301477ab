//! The HTML page: everything inline, nothing fetched.
use super::{bytes, outcome, percent, plot, significant, time};
use crate::results::{ADVISED, AUTO, BASELINE, EXPERT, OBSERVED, Results, Variant};
use crate::verify::Check;
use anyhow::Result;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// Text for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A table; cells are HTML already. Columns whose head starts with `#` are numbers and stand right.
pub(super) fn table(w: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let number = |h: &str| h.starts_with('#');
    w.push_str("<table><thead><tr>");
    for h in head {
        let _ = write!(
            w,
            "<th{}>{}</th>",
            if number(h) { " class=n" } else { "" },
            escape(h.trim_start_matches('#'))
        );
    }
    w.push_str("</tr></thead><tbody>");
    for row in rows {
        w.push_str("<tr>");
        for (h, cell) in head.iter().zip(row) {
            let _ = write!(
                w,
                "<td{}>{cell}</td>",
                if number(h) { " class=n" } else { "" }
            );
        }
        w.push_str("</tr>");
    }
    w.push_str("</tbody></table>");
}

pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

/// The page.
pub fn page(r: &Results, checks: &[Check]) -> Result<String> {
    let mut w = String::new();
    let title = format!(
        "IndexPilot on the {} ({})",
        r.application.name(),
        r.scenario.name()
    );
    let _ = write!(
        w,
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>"
    );
    let _ = write!(
        w,
        "<p class=sub>{} rows, {} tenants, {} without indexes · PostgreSQL {}, collation {} · seed {} · {} · took {:.0} s</p>",
        r.rows,
        r.tenants.len(),
        bytes(r.bytes as f64),
        r.server,
        escape(&r.collation),
        r.seed,
        escape(&r.finished_at),
        r.took
    );
    headline(&mut w, r);
    legend(&mut w, r);
    verdicts(&mut w, checks);
    learning(&mut w, r)?;
    patterns(&mut w, r)?;
    throughput(&mut w, r)?;
    outcome::indexes(&mut w, r);
    outcome::not_indexed(&mut w, r);
    outcome::advice(&mut w, r);
    outcome::costs(&mut w, r)?;
    outcome::tenants(&mut w, r)?;
    outcome::settings(&mut w, r);
    w.push_str("</main></body></html>\n");
    Ok(w)
}

fn headline(w: &mut String, r: &Results) {
    w.push_str("<div class=cards>");
    let mut card = |figure: String, text: String| {
        let _ = write!(
            w,
            "<div class=card><b>{figure}</b><span>{text}</span></div>"
        );
    };
    let main = if r.variant(AUTO).is_some() {
        AUTO
    } else {
        EXPERT
    };
    if let Some(left) = r.time_left(main) {
        card(
            percent(left),
            format!("of the baseline's time is left ({}, {main})", r.clock()),
        );
    }
    let throughput = |v: &str| {
        r.variant(v)
            .and_then(|v| v.load.as_ref())
            .map(|l| l.throughput)
    };
    if let (Some(a), Some(b)) = (throughput(main), throughput(BASELINE)) {
        card(
            format!("{} ×", significant(a / b)),
            format!(
                "the baseline's throughput under load ({} against {} operations/s)",
                significant(a),
                significant(b)
            ),
        );
    }
    if let (Some(a), Some(e)) = (r.time_left(AUTO), r.time_left(EXPERT)) {
        card(
            format!("{} ×", significant(a / e)),
            "the time of the indexes an expert made by hand".into(),
        );
    }
    if let Some(v) = r.variant(main) {
        card(
            v.indexes.len().to_string(),
            format!("indexes, {}", bytes(v.index_bytes as f64)),
        );
    }
    w.push_str("</div>");
}

fn legend(w: &mut String, r: &Results) {
    w.push_str("<p class=legend>");
    for v in &r.variants {
        let c = plot::colour(&v.name);
        let what = match v.name.as_str() {
            BASELINE => "primary keys only, the extension not created in this database",
            OBSERVED => "capture on, nothing is built",
            AUTO => "IndexPilot decides",
            ADVISED => "indexes that advise() proposed, built at once",
            EXPERT => "indexes made by hand",
            _ => "",
        };
        let _ = write!(
            w,
            "<span><i style=\"background:rgb({},{},{})\"></i>{}: {what}</span>",
            c.0, c.1, c.2, v.name
        );
    }
    w.push_str("</p>");
}

fn verdicts(w: &mut String, checks: &[Check]) {
    w.push_str("<h2>What was promised, and what is</h2>");
    table(
        w,
        &["", "check", "figures"],
        checks.iter().map(|c| {
            let mark = match c.passed {
                Some(true) => "<b class=good>pass</b>",
                Some(false) => "<b class=bad>fail</b>",
                None => "n/a",
            };
            vec![mark.to_owned(), escape(&c.name), escape(&c.detail)]
        }),
    );
}

fn learning(w: &mut String, r: &Results) -> Result<()> {
    let Some(l) = &r.learning else { return Ok(()) };
    w.push_str("<h2>Getting faster by itself</h2><p>The load runs all the time; each thin line is an index built or dropped.</p>");
    let marks: Vec<f64> = l.events.iter().map(|e| e.at).collect();
    let tps: Vec<f64> = l
        .load
        .timeline
        .iter()
        .map(|s| s.operations as f64)
        .collect();
    let mean: Vec<f64> = l
        .load
        .timeline
        .iter()
        .map(|s| {
            if s.operations == 0 {
                0.0
            } else {
                s.latency_sum / s.operations as f64 / 1e3
            }
        })
        .collect();
    w.push_str(&plot::timeline(
        "throughput",
        "operations/s",
        &tps,
        &marks,
        plot::colour(AUTO),
        false,
    )?);
    w.push_str(&plot::timeline(
        "mean latency",
        "ms",
        &mean,
        &marks,
        plot::colour(AUTO),
        true,
    )?);
    w.push_str("<details><summary>Events</summary>");
    table(
        w,
        &["#second", "what"],
        l.events
            .iter()
            .map(|e| vec![format!("{:.0}", e.at), code(&e.what)]),
    );
    w.push_str("</details>");
    Ok(())
}

fn compared(r: &Results) -> Vec<&Variant> {
    [BASELINE, AUTO, ADVISED, EXPERT]
        .iter()
        .filter_map(|n| r.variant(n))
        .collect()
}

fn patterns(w: &mut String, r: &Results) -> Result<()> {
    w.push_str("<h2>Statement by statement</h2><p>Mean client latency in the fixed comparison: the same operations with the same parameters on every database, in rounds that take turns.</p>");
    let variants = compared(r);
    let mut order: Vec<usize> = (0..r.patterns.len())
        .filter(|p| r.variants[0].times[*p].latency.count > 0)
        .collect();
    let share = |p: usize| r.patterns[p].frequency * r.variants[0].times[p].latency.mean;
    order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let rows: Vec<plot::Row> = order
        .iter()
        .map(|p| plot::Row {
            name: r.patterns[*p].name.clone(),
            values: variants
                .iter()
                .map(|v| (v.name.clone(), v.times[*p].latency.mean / 1e3))
                .collect(),
        })
        .collect();
    w.push_str(&plot::dots(
        "mean latency, ms, by share of the baseline's time",
        "ms",
        &rows,
    )?);
    let total: f64 = order.iter().map(|p| share(*p)).sum();
    let mut head = vec!["pattern".to_owned(), "#calls".into(), "#time".into()];
    for v in &variants {
        for what in ["mean", "p95", "p99"] {
            head.push(format!("#{} {what}", v.name));
        }
    }
    head.push("#after/before".into());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    w.push_str("<details open><summary>Figures of the comparison</summary><div class=wide>");
    table(
        w,
        &head,
        order.iter().map(|p| {
            let info = &r.patterns[*p];
            let mut row = vec![
                format!(
                    "<span title=\"{}\">{}</span>",
                    escape(&info.sql.join("; ")),
                    escape(&info.name)
                ),
                percent(info.frequency),
                percent(share(*p) / total),
            ];
            for v in &variants {
                let t = v.times[*p].latency;
                row.extend([time(t.mean), time(t.p95), time(t.p99)]);
            }
            row.push(
                variants
                    .iter()
                    .find(|v| v.name == AUTO)
                    .or(variants.last())
                    .map(|v| {
                        significant(v.times[*p].latency.mean / variants[0].times[*p].latency.mean)
                    })
                    .unwrap_or_default(),
            );
            row
        }),
    );
    w.push_str("</div></details><details><summary>The same under load</summary><div class=wide>");
    let mut head = vec!["pattern".to_owned()];
    for v in &variants {
        for what in ["/s", "mean", "p95", "p99"] {
            head.push(format!("#{} {what}", v.name));
        }
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(
        w,
        &head,
        order.iter().map(|p| {
            let mut row = vec![escape(&r.patterns[*p].name)];
            for v in &variants {
                match &v.load {
                    Some(l) => {
                        let t = l.patterns[*p].latency;
                        row.extend([
                            significant(t.count as f64 / l.seconds),
                            time(t.mean),
                            time(t.p95),
                            time(t.p99),
                        ]);
                    }
                    None => row.extend(std::iter::repeat_n("–".to_owned(), 4)),
                }
            }
            row
        }),
    );
    w.push_str("</div></details>");
    Ok(())
}

fn throughput(w: &mut String, r: &Results) -> Result<()> {
    let rows: Vec<(String, f64, String)> = r
        .variants
        .iter()
        .filter_map(|v| {
            v.load.as_ref().map(|l| {
                (
                    v.name.clone(),
                    l.throughput,
                    format!(
                        "{} operations/s, p95 {}, p99 {}, {} errors",
                        significant(l.throughput),
                        time(l.latency.p95),
                        time(l.latency.p99),
                        l.errors
                    ),
                )
            })
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(
            w,
            "<h2>Under load</h2><p>{} clients, closed loop, no think time.</p>",
            r.clients
        );
        w.push_str(&plot::bars("throughput", &rows)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::results;

    #[test]
    fn the_page_is_whole_and_self_contained() {
        let r = results();
        let html = page(&r, &crate::verify::checks(&r)).expect("rendered");
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
        assert_eq!(
            html.matches("<table>").count(),
            html.matches("</table>").count()
        );
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.matches("<svg").count() >= 6);
        // Nothing is fetched; SVG's namespace is a name, not an address.
        assert!(
            !html
                .replace("http://www.w3.org/2000/svg", "")
                .contains("http")
        );
        assert!(!html.contains("<script") && !html.contains("NaN"));
        // Statement texts are escaped.
        assert!(html.contains("&lt;b&gt;") && !html.contains("contact_by_email <b>"));
        assert!(html.contains("contact_by_email took 15 ms"));
    }

    #[test]
    fn results_without_auto_still_make_a_page() {
        let mut r = results();
        r.variants
            .retain(|v| v.name == BASELINE || v.name == EXPERT);
        r.learning = None;
        assert!(
            page(&r, &crate::verify::checks(&r))
                .expect("rendered")
                .contains("expert")
        );
    }
}
