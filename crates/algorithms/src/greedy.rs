//! The two greedy constructions that commercial and published advisors use.
//!
//! By absolute benefit: S. Chaudhuri, V. Narasayya: "An Efficient, Cost-Driven Index
//! Selection Tool for Microsoft SQL Server" (AutoAdmin), VLDB 1997. By benefit per byte:
//! R. Schlosser, J. Kossmann, M. Boissier: "Efficient Scalable Multi-Attribute Index
//! Selection Using Recursive Strategies" (Extend), ICDE 2019. Neither is safe alone: on
//! the published Join Order Benchmark matrix at 2.5 GB the ratio greedy leaves .582 of
//! the cost where .432 is possible, on TPC-H at 10 GB both leave ~.70 against .676. They
//! seed the search here.

use crate::effort::Effort;
use crate::program::Fix;
use crate::selection_state::{Layout, State};

/// What a greedy step maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The gain itself.
    Gain,
    /// The gain divided by the share of the limits that the step uses up.
    GainPerShare,
}

/// Adds atoms (an index, or the indexes that an atom still misses) to `start`, best
/// first, while the score improves; the choice stays as allowed as it was.
pub fn construct(
    layout: &Layout<'_>,
    start: &[bool],
    measure: Measure,
    effort: &mut Effort<'_>,
) -> Vec<bool> {
    let mut state = State::new(layout, start);
    // Sets worth adding at once: every index, and every larger atom (the pairs that help
    // only together, which adding one index at a time never finds).
    let n = layout.program.indexes.len();
    let free = |i: u32| layout.program.indexes[i as usize].fix == Fix::Free;
    let mut groups: Vec<Vec<u32>> = (0..n as u32)
        .filter(|&i| free(i))
        .map(|i| vec![i])
        .collect();
    let mut larger: Vec<Vec<u32>> = (0..layout.cost.len())
        .map(|a| layout.members_of(a))
        .filter(|m| {
            m.len() > 1
                && m.iter()
                    .all(|&i| layout.program.indexes[i as usize].fix != Fix::Out)
        })
        .map(<[u32]>::to_vec)
        .collect();
    larger.sort_unstable();
    larger.dedup();
    groups.extend(larger);
    // Gains mostly shrink as the choice grows, so a stale gain is an optimistic one:
    // re-evaluate lazily (Minoux 1978). Where indexes help each other the order may be
    // off by a step; local search repairs that.
    let mut stale: Vec<(f64, usize)> = Vec::with_capacity(groups.len());
    for (g, group) in groups.iter().enumerate() {
        match try_group(layout, &mut state, group, measure, effort) {
            Some(value) => stale.push((value, g)),
            None if !effort.open() => return state.chosen,
            None => {}
        }
    }
    let mut heap: std::collections::BinaryHeap<Ranked> = stale
        .into_iter()
        .map(|(value, g)| Ranked {
            value,
            group: g,
            round: 0,
        })
        .collect();
    let mut round = 0;
    while let Some(top) = heap.pop() {
        if top.round == round {
            for &i in &groups[top.group] {
                if !state.chosen[i as usize] {
                    state.flip(i as usize);
                }
            }
            round += 1;
            continue;
        }
        if let Some(value) = try_group(layout, &mut state, &groups[top.group], measure, effort) {
            heap.push(Ranked {
                value,
                group: top.group,
                round,
            });
        }
        if !effort.open() {
            break;
        }
    }
    state.chosen
}

/// Value of adding `group`; `None` where it does not improve or is not allowed.
fn try_group(
    layout: &Layout<'_>,
    state: &mut State<'_, '_>,
    group: &[u32],
    measure: Measure,
    effort: &mut Effort<'_>,
) -> Option<f64> {
    let before = state.score();
    let missing: Vec<u32> = group
        .iter()
        .copied()
        .filter(|&i| !state.chosen[i as usize])
        .collect();
    if missing.is_empty() {
        return None;
    }
    let after = if let [i] = missing[..] {
        let (after, steps) = state.peek(i as usize);
        effort.spend(steps);
        after
    } else {
        let mut steps = 0;
        for &i in &missing {
            steps += state.flip(i as usize);
        }
        let after = state.score();
        for &i in &missing {
            steps += state.flip(i as usize);
        }
        effort.spend(steps);
        after
    };
    if !after.better_than(&before) {
        return None;
    }
    // While something is violated, the violation is what has to shrink.
    let gain = if before.feasible() {
        before.objective - after.objective
    } else {
        1e30 * (before.violation - after.violation) + (before.objective - after.objective).max(0.0)
    };
    let value = match measure {
        Measure::Gain => gain,
        Measure::GainPerShare => {
            let share: f64 = missing
                .iter()
                .flat_map(|&i| layout.limits_of(i as usize))
                .map(|&(r, c)| c / layout.program.limits[r as usize].at_most.max(1e-12))
                .fold(0.0, |sum, s| sum + s);
            gain / share.max(1e-9)
        }
    };
    value.is_finite().then_some(value)
}

struct Ranked {
    value: f64,
    group: usize,
    round: u32,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Ties go to the lower number, so that a result does not depend on heap order.
        self.value
            .total_cmp(&other.value)
            .then(other.group.cmp(&self.group))
    }
}
