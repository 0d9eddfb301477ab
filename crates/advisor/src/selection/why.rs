//! Why each option is chosen or not: one rule, in a sentence.

use super::goals::{self, GoalReached};
use super::lower::{LimitKind, Lowered, group_cost};
use super::problem::{Problem, Status};
use indexpilot_algorithms::program::Score;
use indexpilot_model::goal::Goal;
use std::fmt::Write;

/// What is to be done about an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Build it.
    Create,
    /// It exists and stays.
    Keep,
    /// It exists and goes.
    Drop,
    /// It does not exist and is not built.
    Refuse,
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It saves more than it costs.
    Pays,
    /// It exists and costs less than dropping it.
    WorthKeeping,
    /// Something outside the problem decides (constraint, pinned, dwell time, ban, dismissal).
    Decided(String),
    /// No statement gets cheaper by `min_improvement`; the best share it reaches.
    TooLittleImprovement(f64),
    /// It saves less than `min_share` of the time that all statements take under the choice; the
    /// share it saves at most.
    TooSmallShare(f64),
    /// What is chosen already serves the same statements.
    NothingLeftToGain,
    /// Upkeep (and build) exceed the gain, milliseconds a day.
    CostsMore {
        /// What it would still save.
        gain: f64,
        /// What it would cost.
        cost: f64,
    },
    /// It would lose heap-only updates whose price exceeds the gain.
    LosesHot {
        /// Updates a day.
        updates: f64,
        /// Indexes that each of them would have to touch.
        indexes: u32,
        /// What it would still save, milliseconds a day.
        gain: f64,
        /// What the lost updates cost, milliseconds a day.
        cost: f64,
    },
    /// It does not fit a limit beside what pays more.
    NoRoom(LimitKind),
    /// It would make a statement worse than `max_regression` allows.
    Regresses {
        /// The statement's label.
        statement: String,
        /// Times its present cost.
        factor: f64,
    },
    /// It would pay, and a goal does not allow it: the goal, its value with the index, and what
    /// is allowed.
    Goal(Goal, f64, f64),
    /// It would pay by a little, within the gap that the search was content with.
    WithinGap,
}

/// What was decided about one option.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The option's number.
    pub option: usize,
    /// What to do.
    pub action: Action,
    /// Which rule decided.
    pub reason: Reason,
    /// The reason as a sentence.
    pub sentence: String,
    /// Statement time that it saves beside the rest of the choice (chosen) or would save
    /// (not chosen), milliseconds a day.
    pub saving_ms: f64,
    /// Its upkeep, lost heap-only updates included, milliseconds a day.
    pub write_ms: f64,
    /// Statements that it makes cheaper: number and milliseconds a day, greatest first.
    pub statements: Vec<(usize, f64)>,
    /// Statements that it makes dearer (the planner falls for it): same form.
    pub worsened: Vec<(usize, f64)>,
}

/// One decision for each option; `goals` is what the goals came to under the choice.
pub fn explain(
    problem: &Problem,
    lowered: &Lowered,
    chosen: &[bool],
    goals: &[GoalReached],
) -> Vec<Decision> {
    let mut uses: Vec<Vec<usize>> = vec![Vec::new(); problem.options.len()];
    for (q, statement) in problem.statements.iter().enumerate() {
        for atom in &statement.atoms {
            for &o in &atom.options {
                if uses[o].last() != Some(&q) {
                    uses[o].push(q);
                }
            }
        }
    }
    let mut around = Around {
        used: (0..lowered.limits.len())
            .map(|r| lowered.program.limit_use(r, chosen))
            .collect(),
        uses,
        groups: vec![Vec::new(); problem.options.len()],
        limits: vec![Vec::new(); problem.options.len()],
        goals,
    };
    for (u, group) in problem.updates.iter().enumerate() {
        for o in group
            .triggers
            .iter()
            .chain(group.per_option.iter().map(|(o, _)| o))
        {
            if around.groups[*o].last() != Some(&u) {
                around.groups[*o].push(u);
            }
        }
    }
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); problem.updates.len()];
    for (r, limit) in lowered.program.limits.iter().enumerate() {
        limit
            .terms
            .iter()
            .for_each(|(o, _)| around.limits[*o as usize].push(r));
        limit
            .classes
            .iter()
            .for_each(|(u, _)| of_class[*u as usize].push(r));
    }
    for o in 0..problem.options.len() {
        let more: Vec<usize> = around.groups[o]
            .iter()
            .flat_map(|&u| of_class[u].clone())
            .collect();
        around.limits[o].extend(more);
        around.limits[o].sort_unstable();
        around.limits[o].dedup();
    }
    let mut chosen = chosen.to_vec();
    (0..problem.options.len())
        .map(|o| decide(problem, lowered, &mut chosen, &around, o))
        .collect()
}

/// What touches each option, so that a decision looks at nothing else.
struct Around<'g> {
    /// Statements with atoms that contain it.
    uses: Vec<Vec<usize>>,
    /// Update groups that it triggers or that charge it.
    groups: Vec<Vec<usize>>,
    /// Limits that it or its groups count in.
    limits: Vec<Vec<usize>>,
    /// Use of each limit under the choice.
    used: Vec<f64>,
    /// What the goals came to.
    goals: &'g [GoalReached],
}

fn decide(
    problem: &Problem,
    lowered: &Lowered,
    chosen: &mut [bool],
    around: &Around<'_>,
    o: usize,
) -> Decision {
    let program = &lowered.program;
    let is = chosen[o];
    let look = |chosen: &[bool]| -> (Vec<f64>, Vec<f64>) {
        (
            around.uses[o]
                .iter()
                .map(|&q| program.atom_taken(q, chosen).cost)
                .collect(),
            around.groups[o]
                .iter()
                .map(|&u| group_cost(problem, u, chosen))
                .collect(),
        )
    };
    chosen[o] = true;
    let (costs_with, hot_with) = look(chosen);
    chosen[o] = false;
    let (costs_without, hot_without) = look(chosen);
    let (mut statements, mut worsened) = (Vec::new(), Vec::new());
    let mut saving = 0.0;
    let mut regressing: Option<(usize, f64)> = None;
    for (k, &q) in around.uses[o].iter().enumerate() {
        let gain = problem.statements[q].weight * (costs_without[k] - costs_with[k]);
        saving += gain;
        if gain > 0.0 {
            statements.push((q, gain));
        } else if gain < 0.0 {
            worsened.push((q, -gain));
        }
        let factor = costs_with[k] / program.queries[q].ceiling.max(1e-300);
        if factor > 1.0 + 1e-9 && regressing.is_none_or(|(_, f)| factor > f) {
            regressing = Some((q, factor));
        }
    }
    statements.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    worsened.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let changes: Vec<f64> = hot_with
        .iter()
        .zip(&hot_without)
        .map(|(w, v)| w - v)
        .collect();
    let hot: f64 = changes.iter().sum();
    let option = &problem.options[o];
    let write = option.write_ms + hot;
    let (action, reason) = match (&option.status, is) {
        (Status::Candidate | Status::Banned { .. }, true) => (Action::Create, Reason::Pays),
        (Status::Stays { why }, _) => (Action::Keep, Reason::Decided(why.clone())),
        (Status::Droppable { .. }, true) => (Action::Keep, Reason::WorthKeeping),
        (Status::Banned { why }, false) => (Action::Refuse, Reason::Decided(why.clone())),
        (Status::Droppable { .. }, false) => {
            let reason = if saving <= 0.0 {
                Reason::NothingLeftToGain
            } else if let Some(reason) = forbidden(around, option, saving, write) {
                reason
            } else {
                Reason::CostsMore {
                    gain: saving,
                    cost: write,
                }
            };
            (Action::Drop, reason)
        }
        (Status::Candidate, false) => {
            let hope = Hope {
                saving,
                hot,
                changes: &changes,
                regressing,
            };
            (
                Action::Refuse,
                refusal(problem, lowered, chosen, around, o, hope),
            )
        }
    };
    chosen[o] = is;
    let mut decision = Decision {
        option: o,
        action,
        reason,
        sentence: String::new(),
        saving_ms: saving,
        write_ms: write,
        statements,
        worsened,
    };
    decision.sentence = sentence(problem, &decision);
    decision
}

/// The first goal that does not allow an option beside the choice, in which it is not: it saves
/// `saving` and costs writes `write`, milliseconds a day. Nothing where upkeep eats the saving.
fn forbidden(
    around: &Around<'_>,
    option: &super::problem::IndexOption,
    saving: f64,
    write: f64,
) -> Option<Reason> {
    if saving <= write {
        return None;
    }
    around.goals.iter().find_map(|g| {
        let with = g.reached
            + match g.goal.goal {
                Goal::TotalCost => -saving,
                Goal::IndexBytes => option.occupies as f64,
                Goal::IndexCount => 1.0,
                Goal::WriteCost => write,
                // What it makes worse shows as a regression.
                Goal::MaxCost => 0.0,
            };
        let most = g.allowed + Score::SLACK * g.allowed.abs();
        (with > most).then_some(Reason::Goal(g.goal.goal, with, g.allowed))
    })
}

/// What an option that is not chosen would bring.
struct Hope<'c> {
    saving: f64,
    hot: f64,
    /// Change of each of its update groups.
    changes: &'c [f64],
    /// The statement that it makes worst, and how far above its ceiling.
    regressing: Option<(usize, f64)>,
}

/// Why a candidate is refused; `without` is the choice, in which it is not.
fn refusal(
    problem: &Problem,
    lowered: &Lowered,
    without: &[bool],
    around: &Around<'_>,
    o: usize,
    hope: Hope<'_>,
) -> Reason {
    let Hope {
        saving,
        hot,
        changes,
        regressing,
    } = hope;
    if let Some(&share) = lowered.too_little.get(&o) {
        return Reason::TooLittleImprovement(share);
    }
    if let Some(&share) = lowered.too_rare.get(&o) {
        return Reason::TooSmallShare(share);
    }
    if saving <= 0.0 && regressing.is_none() {
        return Reason::NothingLeftToGain;
    }
    if let Some((q, factor)) = regressing {
        let allowed = problem.statements[q]
            .max_regression
            .unwrap_or(problem.rules.max_regression);
        return Reason::Regresses {
            statement: problem.statements[q].label.clone(),
            factor: factor * (1.0 + allowed),
        };
    }
    let program = &lowered.program;
    let own = program.indexes[o].linear;
    if saving < own + hot {
        // Without the lost updates it would pay: they are the reason.
        if saving >= own && hot > 0.0 {
            let lost: Vec<&super::problem::UpdateGroup> = around.groups[o]
                .iter()
                .map(|&u| &problem.updates[u])
                .filter(|g| {
                    !g.already_lost
                        && g.triggers.contains(&o)
                        && !g.triggers.iter().any(|&t| without[t])
                })
                .collect();
            let updates: f64 = lost.iter().map(|g| g.updates).sum();
            let charged = |g: &&super::problem::UpdateGroup| {
                let options = g
                    .per_option
                    .iter()
                    .filter(|(k, _)| *k == o || without[*k])
                    .count();
                g.outside + options as u32
            };
            if updates > 0.0 {
                let indexes = lost.iter().map(charged).max().unwrap_or(0);
                return Reason::LosesHot {
                    updates,
                    indexes,
                    gain: saving,
                    cost: hot,
                };
            }
        }
        return Reason::CostsMore {
            gain: saving,
            cost: own + hot,
        };
    }
    for &r in &around.limits[o] {
        let limit = &program.limits[r];
        let own: f64 = if r == 0 {
            problem.options[o].bytes as f64
        } else {
            limit
                .terms
                .iter()
                .filter(|(k, _)| *k as usize == o)
                .map(|(_, c)| c)
                .sum()
        };
        let groups: f64 = around.groups[o]
            .iter()
            .zip(changes)
            .map(|(u, change)| {
                let scale: f64 = limit
                    .classes
                    .iter()
                    .filter(|(v, _)| *v as usize == *u)
                    .map(|(_, s)| s)
                    .sum();
                scale * change
            })
            .sum();
        if around.used[r] + own + groups > limit.at_most + Score::SLACK * limit.at_most.abs() {
            return Reason::NoRoom(lowered.limits[r].clone());
        }
    }
    let write = problem.options[o].write_ms + hot;
    forbidden(around, &problem.options[o], saving, write).unwrap_or(Reason::WithinGap)
}

fn sentence(problem: &Problem, d: &Decision) -> String {
    let mut s = String::new();
    let write = |s: &mut String| {
        if d.write_ms > 0.0 {
            let _ = write!(s, ", for {} a day of upkeep", duration(d.write_ms));
        }
    };
    match &d.reason {
        Reason::Pays | Reason::WorthKeeping => {
            let _ = write!(
                s,
                "saves {} a day in {} statement(s)",
                duration(d.saving_ms),
                d.statements.len()
            );
            if let Some((q, ms)) = d.statements.first() {
                let _ = write!(
                    s,
                    ", most in {} ({})",
                    problem.statements[*q].label,
                    duration(*ms)
                );
            }
            write(&mut s);
            if let Some((q, ms)) = d.worsened.first() {
                let _ = write!(
                    s,
                    "; {} gets dearer by {} a day",
                    problem.statements[*q].label,
                    duration(*ms)
                );
            }
        }
        Reason::Decided(why) => s.push_str(why),
        Reason::TooLittleImprovement(share) => {
            let _ = write!(
                s,
                "makes no statement cheaper by {:.0} % (min_improvement); the best is {:.1} %",
                100.0 * problem.rules.min_improvement,
                100.0 * share.max(0.0)
            );
        }
        Reason::TooSmallShare(share) => {
            let _ = write!(
                s,
                "could save {:.4} % of the time that all statements take under the choice; less than {} % is not worth an index",
                100.0 * share,
                100.0 * problem.rules.min_share
            );
        }
        Reason::NothingLeftToGain => match d.action {
            Action::Drop => {
                s.push_str("no statement needs it beside the other indexes");
                write(&mut s);
            }
            _ => s.push_str("adds nothing beside the indexes that exist or are chosen"),
        },
        Reason::CostsMore { gain, cost } => {
            let _ = write!(
                s,
                "saves {} a day and costs {} (upkeep, room, and the build or drop spread over {} days)",
                duration(*gain),
                duration(*cost),
                problem.rules.horizon_days
            );
        }
        Reason::LosesHot {
            updates,
            indexes,
            gain,
            cost,
        } => {
            let _ = write!(
                s,
                "would turn {updates:.0} HOT updates a day into non-HOT, charging {indexes} index(es) each time: {} a day against a saving of {}",
                duration(*cost),
                duration(*gain)
            );
        }
        Reason::NoRoom(kind) => match kind {
            LimitKind::Storage => {
                s.push_str("does not fit storage_budget beside what pays more for its size")
            }
            LimitKind::Count(table, most) => {
                let _ = write!(
                    s,
                    "{table} would have more than {most} indexes (max_indexes_per_table); others pay more"
                );
            }
            LimitKind::Write(table, share) => {
                let _ = write!(
                    s,
                    "writes to {table} would get dearer by more than {:.0} % (max_write_overhead)",
                    100.0 * share
                );
            }
        },
        Reason::Regresses { statement, factor } => {
            let _ = write!(
                s,
                "the planner would use it for {statement}, which gets {factor:.2} times as dear (max_regression)"
            );
        }
        Reason::Goal(goal, with, allowed) => {
            let _ = write!(
                s,
                "would save {} a day, but take {} to {}, and the goals allow {}",
                duration(d.saving_ms),
                goal.name(),
                goals::amount(*goal, *with),
                goals::amount(*goal, *allowed)
            );
        }
        Reason::WithinGap => s.push_str("would add less than the search's gap; not worth a build"),
    }
    s
}

/// Milliseconds for people.
pub fn duration(ms: f64) -> String {
    let a = ms.abs();
    if a < 1_000.0 {
        format!("{ms:.0} ms")
    } else if a < 120_000.0 {
        format!("{:.1} s", ms / 1_000.0)
    } else if a < 7_200_000.0 {
        format!("{:.1} min", ms / 60_000.0)
    } else {
        format!("{:.1} h", ms / 3_600_000.0)
    }
}
