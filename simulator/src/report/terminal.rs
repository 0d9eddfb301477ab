//! The summary at the end of a demonstration, in plain text that lines up.
use super::{bytes, percent, significant, time};
use crate::results::{BASELINE, Results};
use crate::verify::Check;
use std::fmt::Write;

/// Patterns that are shown one by one.
const SHOWN: usize = 12;

/// The summary.
pub fn summary(r: &Results, checks: &[Check]) -> String {
    let mut out = String::new();
    let w = &mut out;
    let _ = writeln!(
        w,
        "\n{} {}, {} rows, {} tenants, {}; PostgreSQL {}, collation {}; seed {}",
        r.application.name(),
        r.scenario.name(),
        r.rows,
        r.tenants.len(),
        bytes(r.bytes as f64),
        r.server,
        r.collation,
        r.seed
    );
    let _ = writeln!(
        w,
        "\n{:10} {:>12} {:>10} {:>12} {:>12} {:>14} {:>10} {:>12}",
        "variant",
        "time/op",
        "left",
        "p95 (load)",
        "ops/s (load)",
        "× baseline",
        "indexes",
        "WAL/1k ops"
    );
    let throughput = |name: &str| {
        r.variant(name)
            .and_then(|v| v.load.as_ref())
            .map(|l| l.throughput)
    };
    for v in &r.variants {
        let total = r
            .total_cpu(&v.name)
            .or_else(|| r.total_latency(&v.name))
            .unwrap_or(f64::NAN);
        let _ = writeln!(
            w,
            "{:10} {:>12} {:>10} {:>12} {:>12} {:>14} {:>10} {:>12}",
            v.name,
            time(total),
            r.time_left(&v.name).map(percent).unwrap_or_default(),
            v.load
                .as_ref()
                .map(|l| time(l.latency.p95))
                .unwrap_or_else(|| "–".into()),
            v.load
                .as_ref()
                .map(|l| significant(l.throughput))
                .unwrap_or_else(|| "–".into()),
            throughput(&v.name)
                .zip(throughput(BASELINE))
                .map(|(a, b)| significant(a / b))
                .unwrap_or_else(|| "–".into()),
            if v.indexes.is_empty() {
                "–".to_owned()
            } else {
                bytes(v.index_bytes as f64)
            },
            v.wal_per_thousand.map(bytes).unwrap_or_else(|| "–".into()),
        );
    }
    let _ = writeln!(
        w,
        "time/op is {} of one operation of the real mix, in the fixed comparison.",
        r.clock()
    );

    let mut order: Vec<usize> = (0..r.patterns.len()).collect();
    let baseline = &r.variants[0];
    let share = |p: usize| r.patterns[p].frequency * baseline.times[p].latency.mean;
    order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let _ = write!(w, "\n{:34} {:>7}", "pattern (mean latency)", "share");
    for v in &r.variants {
        let _ = write!(w, " {:>10}", v.name);
    }
    let _ = writeln!(w);
    let total: f64 = (0..r.patterns.len()).map(share).sum();
    for p in order.iter().take(SHOWN) {
        let _ = write!(
            w,
            "{:34} {:>7}",
            r.patterns[*p].name,
            percent(share(*p) / total)
        );
        for v in &r.variants {
            let _ = write!(w, " {:>10}", time(v.times[*p].latency.mean));
        }
        let _ = writeln!(w);
    }
    if order.len() > SHOWN {
        let _ = writeln!(w, "… and {} more in the report.", order.len() - SHOWN);
    }
    if let Some(l) = &r.learning {
        let _ = writeln!(
            w,
            "\n{} changes while learning for {:.0} s; {} records in the mutation log; {} operations, {} failed.",
            l.events.len().saturating_sub(1),
            l.load.seconds,
            l.mutations.len(),
            l.load.operations,
            l.load.errors
        );
    }
    for note in &r.notes {
        let _ = writeln!(w, "note: {note}");
    }
    let _ = writeln!(w);
    for c in checks {
        let mark = match c.passed {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "n/a ",
        };
        let _ = writeln!(w, "{mark}  {:56} {}", c.name, c.detail);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::results;

    #[test]
    fn columns_line_up() {
        let r = results();
        let text = summary(&r, &crate::verify::checks(&r));
        let widths: Vec<usize> = text
            .lines()
            .skip_while(|l| !l.starts_with("variant"))
            .take(5)
            .map(|l| l.chars().count())
            .collect();
        assert_eq!(widths.len(), 5);
        assert!(widths.iter().all(|w| *w == widths[0]), "{widths:?}\n{text}");
        let widths: Vec<usize> = text
            .lines()
            .skip_while(|l| !l.starts_with("pattern"))
            .take(4)
            .map(|l| l.chars().count())
            .collect();
        assert!(widths.iter().all(|w| *w == widths[0]), "{widths:?}\n{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
