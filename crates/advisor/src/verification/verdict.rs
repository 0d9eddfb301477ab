//! The verdict over an action from the effects on its statements.

use super::effect::{Control, Effect, Measure, effect};
use super::latency::Cell;
use indexpilot_model::Verdict;
use indexpilot_model::ids::StatementId;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one statement that the action concerns.
#[derive(Clone, Debug)]
pub struct StatementEvidence {
    /// The statement.
    pub statement: StatementId,
    /// It reads (a plan can change) or writes (the index has to be kept up).
    pub writes: bool,
    /// It carries a share of the load that matters, or an operator protects it.
    pub important: bool,
    /// Before the action.
    pub before: Vec<Cell>,
    /// After it.
    pub after: Vec<Cell>,
    /// The same executions by tenant, before and after, where they are counted so. A mean of
    /// a tenant's executions in a block stands for each of them.
    pub by_tenant: Option<(Vec<Cell>, Vec<Cell>)>,
    /// Plans of which the indexes are known, and whether the index is among them. A plan that
    /// is missing says nothing.
    pub reads_index: BTreeMap<u64, bool>,
}

impl StatementEvidence {
    fn calls(cells: &[Cell]) -> f64 {
        cells.iter().map(|cell| cell.calls).sum()
    }

    /// The cells to compare: by tenant where they are there, because a tenant that comes to
    /// run more often is no change of the statement.
    fn comparable(&self) -> (&[Cell], &[Cell]) {
        match &self.by_tenant {
            Some((before, after)) => (before, after),
            None => (&self.before, &self.after),
        }
    }

    /// Share of the executions after the action that ran a plan which had not run before.
    pub fn changed_share(&self) -> f64 {
        let old: BTreeSet<u64> = self.before.iter().map(|cell| cell.plan).collect();
        let changed: f64 = self
            .after
            .iter()
            .filter(|cell| cell.plan != 0 && !old.contains(&cell.plan))
            .map(|cell| cell.calls)
            .sum();
        changed / Self::calls(&self.after).max(1.0)
    }

    /// Share of executions whose plan reads the index: of those after a build, or before a
    /// drop. Executions of plans of which nobody knows do not count; `None` where all are.
    pub fn used_share(&self, dropped: bool) -> Option<f64> {
        let cells = if dropped { &self.before } else { &self.after };
        let (mut used, mut known) = (0.0, 0.0);
        for cell in cells {
            if let Some(reads) = self.reads_index.get(&cell.plan) {
                known += cell.calls;
                used += if *reads { cell.calls } else { 0.0 };
            }
        }
        (known > 0.0).then(|| used / known)
    }

    /// The action can have changed it: it writes, or a plan reads the index (or read it). A
    /// plan that changed to something else was changed by something else. Where no plan is
    /// known, one that changed is taken for one that reads it.
    fn is_concerned(&self, dropped: bool) -> bool {
        let share = self
            .used_share(dropped)
            .unwrap_or_else(|| self.changed_share());
        self.writes || share > 0.01
    }
}

/// The rules of judgement.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `max_regression`, share.
    pub max_regression: f64,
    /// `max_write_overhead`, share.
    pub max_write_overhead: f64,
    /// Executions that each side needs.
    pub fewest_calls: f64,
    /// It is the last look: after it there is no more waiting.
    pub last: bool,
    /// A drop, not a build: no gain is expected, only no loss.
    pub dropped: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            max_regression: 0.10,
            max_write_overhead: 0.20,
            fewest_calls: 30.0,
            last: false,
            dropped: false,
        }
    }
}

/// The effects behind a verdict.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Measured share of the statements' time that is saved (negative: lost).
    pub gain: f64,
    /// Lower and upper bound of it.
    pub bounds: (f64, f64),
    /// The effect on each statement that could be judged (typical execution).
    pub effects: Vec<(StatementId, Effect)>,
    /// Share of executions whose plan uses the index, over all readers.
    pub used: f64,
}

/// One-sided error of a revert by one look at one statement, before it is divided by the
/// number of statements. Looks are repeated as data come in; the margin of
/// `max_regression` on top keeps repeated looks from adding up (see the simulations).
const ALPHA: f64 = 0.002;
/// One-sided error of "kept" by one look.
const ALPHA_KEPT: f64 = 0.01;
/// One-sided error of "net loss" by one look, and the loss that is not worth a revert.
const ALPHA_LOSS: f64 = 0.0005;
const LOSS: f64 = 0.02;

/// Share of a statement's executions from which on a stratum is judged by itself.
const LARGE_STRATUM: f64 = 0.10;

/// Strata (tenants) that are large enough on both sides to be judged by themselves; none
/// where there is only one.
fn large_strata(statement: &StatementEvidence) -> Vec<u64> {
    let share = |cells: &[Cell], stratum: u64| {
        let own: f64 = cells
            .iter()
            .filter(|cell| cell.stratum == stratum)
            .map(|cell| cell.calls)
            .sum();
        own / StatementEvidence::calls(cells).max(1.0)
    };
    let (before, after) = statement.comparable();
    let all: BTreeSet<u64> = after.iter().map(|cell| cell.stratum).collect();
    if all.len() < 2 {
        return Vec::new();
    }
    all.into_iter()
        .filter(|stratum| {
            share(before, *stratum) >= LARGE_STRATUM && share(after, *stratum) >= LARGE_STRATUM
        })
        .collect()
}

/// Judges an action.
pub fn judge(evidence: &[StatementEvidence], control: &Control, rules: &Rules) -> Judgement {
    let concerned: Vec<&StatementEvidence> = evidence
        .iter()
        .filter(|statement| statement.is_concerned(rules.dropped))
        .filter(|statement| {
            StatementEvidence::calls(&statement.before) >= rules.fewest_calls
                && StatementEvidence::calls(&statement.after) >= rules.fewest_calls
        })
        .collect();
    let looks: usize = concerned
        .iter()
        .map(|statement| 1 + large_strata(statement).len())
        .sum();
    let confidence = 1.0 - ALPHA / (2.0 * looks.max(1) as f64);
    let mut effects = Vec::new();
    let mut worst: Option<(String, f64)> = None;
    let (mut saved, mut spent, mut uncertain) = (0.0, 0.0, 0.0);
    for statement in &concerned {
        let limit = if statement.writes {
            rules.max_write_overhead
        } else {
            rules.max_regression
        };
        let (before, after) = statement.comparable();
        for measure in [Measure::Typical, Measure::Mean] {
            let Some(found) = effect(before, after, control, measure, confidence) else {
                continue;
            };
            if statement.important && found.lower > 1.0 + limit {
                let words = format!(
                    "statement {} takes {:.2} times as long (at least {:.2} times)",
                    statement.statement, found.ratio, found.lower
                );
                if worst.as_ref().is_none_or(|(_, ratio)| found.ratio > *ratio) {
                    worst = Some((words, found.ratio));
                }
            }
            if statement.important {
                for stratum in large_strata(statement) {
                    let of = |cells: &[Cell]| -> Vec<Cell> {
                        cells
                            .iter()
                            .filter(|cell| cell.stratum == stratum)
                            .cloned()
                            .collect()
                    };
                    let part = effect(&of(before), &of(after), control, measure, confidence);
                    if let Some(part) = part
                        && part.lower > 1.0 + limit
                        && worst.as_ref().is_none_or(|(_, ratio)| part.ratio > *ratio)
                    {
                        let words = format!(
                            "statement {} takes {:.2} times as long (at least {:.2} times) for one tenant",
                            statement.statement, part.ratio, part.lower
                        );
                        worst = Some((words, part.ratio));
                    }
                }
            }
            if measure == Measure::Mean {
                // What these executions would have taken before.
                let calls = StatementEvidence::calls(&statement.after);
                let before_calls = StatementEvidence::calls(&statement.before);
                let mean: f64 = statement
                    .before
                    .iter()
                    .map(|cell| cell.calls * cell.mean)
                    .sum::<f64>()
                    / before_calls.max(1.0);
                let time = calls * mean;
                spent += time;
                saved += time * (1.0 - found.ratio);
                // What disturbs one disturbs the others: errors add up, they do not cancel.
                uncertain += time * found.ratio * found.error;
            } else {
                effects.push((statement.statement, found));
            }
        }
    }
    let spent = spent.max(f64::MIN_POSITIVE);
    let gain = saved / spent;
    let error = uncertain / spent;
    let width = |alpha: f64| super::student::quantile(1.0 - alpha, 40.0) * error;
    let bounds = (gain - width(ALPHA_KEPT), gain + width(ALPHA_KEPT));
    let least_loss = -(gain + width(ALPHA_LOSS));
    let readers = evidence.iter().filter(|statement| !statement.writes);
    let (used_calls, all_calls) = readers.fold((0.0, 0.0), |(used, all), statement| {
        let calls = StatementEvidence::calls(&statement.after);
        let share = statement.used_share(rules.dropped).unwrap_or(0.0);
        (used + calls * share, all + calls)
    });
    let used = used_calls / f64::max(all_calls, 1.0);
    let changed = concerned.iter().any(|statement| !statement.writes);
    let verdict = if let Some((reason, _)) = worst {
        Verdict::Reverted { reason }
    } else if !effects.is_empty() && least_loss > LOSS {
        Verdict::Reverted {
            reason: format!(
                "all statements together lose {:.1} % (at least {:.1} %)",
                -gain * 100.0,
                least_loss * 100.0
            ),
        }
    } else if (!rules.dropped && changed && bounds.0 > 0.0) || (rules.last && rules.dropped) {
        // A new index has to be seen to gain; a drop only has to be seen not to hurt.
        Verdict::Kept {
            gain,
            lower: bounds.0,
        }
    } else if rules.last && !rules.dropped && !changed && all_calls >= rules.fewest_calls {
        Verdict::Reverted {
            reason: "no statement changed its plan to use it".into(),
        }
    } else {
        Verdict::Inconclusive {
            reason: missing(evidence, &effects, changed),
        }
    };
    Judgement {
        verdict,
        gain,
        bounds,
        effects,
        used,
    }
}

fn missing(
    evidence: &[StatementEvidence],
    effects: &[(StatementId, Effect)],
    changed: bool,
) -> String {
    let after: f64 = evidence
        .iter()
        .map(|statement| StatementEvidence::calls(&statement.after))
        .sum();
    if after == 0.0 {
        "none of its statements has run since".into()
    } else if !changed {
        "no plan has changed to use it yet".into()
    } else if effects.is_empty() {
        format!("{after:.0} executions since are too few, or too close together in time")
    } else {
        "the difference is within what the latencies vary by anyway".into()
    }
}
