//! The three success criteria and the bars of the demonstration, checked against `results.json`.
use crate::results::{ADVISED, AUTO, BASELINE, EXPERT, Results};
use serde::{Deserialize, Serialize};

/// Largest share of the baseline's time that IndexPilot may leave.
pub const TIME_LEFT: f64 = 0.05;
/// How many times the expert's time IndexPilot may take in the short demonstration.
pub const BEHIND_EXPERT: f64 = 1.25;
/// How many times the expert's time may be left by the indexes that `advise()` proposes.
pub const AS_GOOD: f64 = 1.0;
/// How many times slower a pattern may get.
pub const SLOWER: f64 = 1.10;
/// Share (0–1) of the heavy filters' time that must go.
pub const HEAVY_FALL: f64 = 0.5;

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is asked.
    pub name: String,
    /// Whether it holds; `None` where the run has nothing to judge it by.
    pub passed: Option<bool>,
    /// The figures.
    pub detail: String,
}

fn check(name: &str, passed: impl Into<Option<bool>>, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        passed: passed.into(),
        detail,
    }
}

/// The first few of a list, and how many more there are.
fn some(list: &[String]) -> String {
    const SHOWN: usize = 6;
    match list.len() {
        n if n > SHOWN => format!("{} and {} more", list[..SHOWN].join(", "), n - SHOWN),
        _ => list.join(", "),
    }
}

/// All checks, criteria first.
pub fn checks(r: &Results) -> Vec<Check> {
    let Some(auto) = r.variant(AUTO) else {
        let mut list = advice(r);
        if list.is_empty() {
            list.push(check(
                "IndexPilot ran",
                None,
                "the results hold no variant \"auto\"".into(),
            ));
        }
        return list;
    };
    let baseline = r.variant(BASELINE).expect("every result has a baseline");
    let mut list = Vec::new();

    // 1. Latencies of heavy filters fall.
    let heavy = r.heavy();
    let fall = |p: usize| auto.times[p].latency.mean / baseline.times[p].latency.mean;
    let stubborn: Vec<String> = heavy
        .iter()
        .filter(|p| fall(**p) > HEAVY_FALL)
        .map(|p| format!("{} ({:.0} % left)", r.patterns[*p].name, fall(*p) * 100.0))
        .collect();
    let detail = if heavy.is_empty() {
        "no pattern took a millisecond at the baseline".to_owned()
    } else if stubborn.is_empty() {
        format!("all {} heavy patterns fell to half or less", heavy.len())
    } else {
        format!(
            "{} of {} heavy patterns did not fall to half: {}",
            stubborn.len(),
            heavy.len(),
            some(&stubborn)
        )
    };
    list.push(check(
        "latencies of heavy filters fall",
        if heavy.is_empty() {
            None
        } else {
            Some(stubborn.is_empty())
        },
        detail,
    ));

    // 2. Nothing is indexed for rarely used fields.
    let wrong: Vec<String> = auto
        .indexes
        .iter()
        .filter(|i| i.columns.iter().any(|c| r.rare_columns.contains(c)))
        .map(|i| i.definition.clone())
        .collect();
    list.push(check(
        "nothing is indexed for rarely used fields",
        wrong.is_empty(),
        if wrong.is_empty() {
            format!("no index on {}", r.rare_columns.join(", "))
        } else {
            some(&wrong)
        },
    ));

    // 3. The mutation log explains every change.
    let mutations = r.learning.as_ref().map_or(&[][..], |l| &l.mutations[..]);
    let before: Vec<&str> = baseline.indexes.iter().map(|i| i.name.as_str()).collect();
    let names = |index: &str| {
        index
            .rsplit('.')
            .next()
            .unwrap_or(index)
            .trim_matches('"')
            .to_owned()
    };
    let unexplained: Vec<String> = auto
        .indexes
        .iter()
        .filter(|i| !before.contains(&i.name.as_str()))
        .filter(|i| {
            !mutations
                .iter()
                .any(|m| names(&m.index) == names(&i.name) && !m.reason.is_empty())
        })
        .map(|i| i.name.clone())
        .collect();
    let without_reason = mutations.iter().filter(|m| m.reason.is_empty()).count();
    let new = auto.indexes.len().saturating_sub(before.len());
    let detail = format!(
        "{new} indexes are new, {} records{}{}",
        mutations.len(),
        if unexplained.is_empty() {
            String::new()
        } else {
            format!("; no record with a reason for {}", some(&unexplained))
        },
        if without_reason == 0 {
            String::new()
        } else {
            format!("; {without_reason} records give no reason")
        }
    );
    list.push(check(
        "the mutation log explains every change",
        new > 0 && unexplained.is_empty() && without_reason == 0,
        detail,
    ));

    // The bars.
    if let Some(left) = r.time_left(AUTO) {
        list.push(check(
            "the workload takes at most 5 % of the baseline's time",
            left <= TIME_LEFT,
            format!("{:.2} % of the {} is left", left * 100.0, r.clock()),
        ));
        if let Some(expert) = r.time_left(EXPERT) {
            list.push(check(
                "within 1.25 times the expert's time",
                left <= expert * BEHIND_EXPERT,
                format!(
                    "{:.2} times; the expert leaves {:.2} %",
                    left / expert,
                    expert * 100.0
                ),
            ));
        }
    }
    list.extend(advice(r));
    let slower: Vec<String> = (0..r.patterns.len())
        .filter_map(|p| {
            let bound = r.slower(AUTO, p)?;
            (bound > SLOWER)
                .then(|| format!("{} (at least {:.2} times)", r.patterns[p].name, bound))
        })
        .collect();
    list.push(check(
        "no pattern is slower by more than 10 %",
        slower.is_empty(),
        if slower.is_empty() {
            "no slowdown with 95 % confidence, over paired executions".into()
        } else {
            some(&slower)
        },
    ));
    if let Some(load) = r.learning.as_ref().map(|l| &l.load) {
        list.push(check(
            "no statement failed while IndexPilot worked",
            load.errors == 0,
            if load.errors == 0 {
                format!("{} operations", load.operations)
            } else {
                format!("{:?}", load.error_kinds)
            },
        ));
    }
    list
}

/// The advice given at once for the whole workload, beside the expert's set: as little time
/// left, in no more room.
fn advice(r: &Results) -> Vec<Check> {
    let (Some(advised), Some(expert)) = (r.variant(ADVISED), r.variant(EXPERT)) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    if let (Some(left), Some(theirs)) = (r.time_left(ADVISED), r.time_left(EXPERT)) {
        list.push(check(
            "advice leaves no more time than the expert",
            left <= theirs * AS_GOOD,
            format!(
                "{:.2} times: {:.2} % beside {:.2} % of the {}",
                left / theirs,
                left * 100.0,
                theirs * 100.0,
                r.clock()
            ),
        ));
    }
    list.push(check(
        "advice takes no more room than the expert",
        advised.index_bytes <= expert.index_bytes,
        format!(
            "{} beside {}",
            crate::report::bytes(advised.index_bytes as f64),
            crate::report::bytes(expert.index_bytes as f64)
        ),
    ));
    list
}

/// Whether no check failed and at least the criteria could be judged.
pub fn passed(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.passed != Some(false)) && checks.iter().any(|c| c.passed == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::results;
    use crate::results::{IndexInfo, Mutation};

    fn named(r: &Results, part: &str) -> Option<bool> {
        checks(r)
            .into_iter()
            .find(|c| c.name.contains(part))
            .expect("check exists")
            .passed
    }

    #[test]
    fn a_good_run_passes() {
        let r = results();
        let c = checks(&r);
        assert!(passed(&c), "{c:#?}");
    }

    #[test]
    fn each_criterion_can_fail() {
        let mut r = results();
        r.variants[2].times[0].latency.mean = 9_000.0;
        assert_eq!(named(&r, "heavy filters"), Some(false));

        let mut r = results();
        r.variants[2].indexes.push(IndexInfo {
            name: "crm.x".into(),
            table: "crm.contacts".into(),
            definition: "CREATE INDEX x".into(),
            columns: vec!["crm.contacts.fax".into()],
            bytes: 1,
            scans: 0,
        });
        assert_eq!(named(&r, "rarely used"), Some(false));
        assert_eq!(named(&r, "mutation log"), Some(false));

        let mut r = results();
        r.learning
            .as_mut()
            .expect("there")
            .mutations
            .push(Mutation::default());
        assert_eq!(named(&r, "mutation log"), Some(false));

        let mut r = results();
        r.variants[2].times[0].cpu = Some(5_000.0);
        assert_eq!(named(&r, "5 %"), Some(false));
        assert_eq!(named(&r, "expert"), Some(false));

        let mut r = results();
        for (i, p) in r.variants[0].samples.pattern.clone().iter().enumerate() {
            if *p == 1 {
                r.variants[2].samples.latency[i] = r.variants[0].samples.latency[i] * 1.5;
            }
        }
        assert_eq!(named(&r, "slower"), Some(false));
    }

    #[test]
    fn without_auto_nothing_is_proven() {
        let mut r = results();
        r.variants.retain(|v| v.name != AUTO);
        assert!(!passed(&checks(&r)));
    }
}
