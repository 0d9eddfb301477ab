//! Add, drop and swap moves until none improves.
//!
//! A. Kuehn, M. Hamburger: "A Heuristic Program for Locating Warehouses", Management
//! Science 9(4), 1963 (add and drop), with the swap of M. Teitz, P. Bart, Operations
//! Research 16(5), 1968. First improvement in a fixed order, so that equal input gives
//! equal output.

use crate::effort::Effort;
use crate::program::Fix;
use crate::selection_state::{Layout, State};

/// Improves `chosen` to a local optimum under single flips and swaps, or until the effort
/// or `most_steps` of it are used up; the result is never worse.
pub fn improve(
    layout: &Layout<'_>,
    chosen: &[bool],
    most_steps: u64,
    effort: &mut Effort<'_>,
) -> Vec<bool> {
    let mut state = State::new(layout, chosen);
    let end = effort.spent().saturating_add(most_steps);
    let free: Vec<usize> = (0..chosen.len())
        .filter(|&i| layout.program.indexes[i].fix == Fix::Free)
        .collect();
    // Each round improves; the number is bounded all the same.
    for _ in 0..1_000 {
        state.refresh();
        let better = flips(&mut state, &free, end, effort)
            | swaps(layout, &mut state, &free, end, effort)
            | ejections(layout, &mut state, &free, end, effort);
        if !better || !effort.open() || effort.spent() >= end {
            break;
        }
    }
    state.chosen
}

/// Flips whatever improves, in passes, until a pass finds nothing; true if any was made.
fn flips(state: &mut State<'_, '_>, free: &[usize], end: u64, effort: &mut Effort<'_>) -> bool {
    let mut any = false;
    for _ in 0..1_000 {
        let mut now = state.score();
        let mut improved = false;
        for &i in free {
            let (after, steps) = state.peek(i);
            if !effort.spend(steps) || effort.spent() >= end {
                return any;
            }
            if after.better_than(&now) {
                state.flip(i);
                now = state.score();
                improved = true;
            }
        }
        if !improved {
            break;
        }
        any = true;
    }
    any
}

/// By what the next addition is chosen.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// What it gains.
    Gain,
    /// What it gains for its use of the first limit: where that is full, the addition that
    /// gains most is a twin of what was dropped and leaves no room for anything else.
    Density,
}

/// What each index takes of the first limit.
fn sizes(layout: &Layout<'_>) -> Vec<f64> {
    let mut size = vec![0.0; layout.program.indexes.len()];
    if let Some(limit) = layout.program.limits.first() {
        for &(i, amount) in &limit.terms {
            size[i as usize] = amount;
        }
    }
    size
}

/// Those that would improve if only there were room, most gain first.
fn wanted(state: &mut State<'_, '_>, free: &[usize], effort: &mut Effort<'_>) -> Vec<(f64, usize)> {
    let mut wanted: Vec<(f64, usize)> = Vec::new();
    let now = state.score();
    for &i in free {
        if !state.chosen[i] {
            let (after, steps) = state.peek(i);
            effort.spend(steps);
            if after.objective < now.objective && !after.feasible() {
                wanted.push((now.objective - after.objective, i));
            }
        }
    }
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    wanted.truncate(64);
    wanted
}

/// Adds the best of the candidates, three at most (more is the branch and bound's business);
/// what was added.
fn fill(
    state: &mut State<'_, '_>,
    candidates: &[usize],
    by: By,
    size: &[f64],
    effort: &mut Effort<'_>,
) -> Vec<usize> {
    let mut added = Vec::new();
    while added.len() < 3 {
        let now = state.score();
        let mut best: Option<(usize, f64)> = None;
        for &i in candidates {
            if state.chosen[i] {
                continue;
            }
            let (after, steps) = state.peek(i);
            effort.spend(steps);
            if !after.better_than(&now) {
                continue;
            }
            let gain = now.objective - after.objective;
            let worth = match by {
                By::Gain => gain,
                By::Density => gain / size[i].max(f64::MIN_POSITIVE),
            };
            if best.is_none_or(|(_, most)| worth > most) {
                best = Some((i, worth));
            }
        }
        let Some((i, _)) = best else { break };
        state.flip(i);
        added.push(i);
    }
    added
}

/// The other way round: for each index that would improve if there were room, put it in, drop
/// what costs least for the excess it takes away until every limit is kept, and fill what is
/// left; keep the chain where it improves. (A large index that several others make room for:
/// ejection chains, F. Glover, Discrete Applied Mathematics 65, 1996.)
fn ejections(
    layout: &Layout<'_>,
    state: &mut State<'_, '_>,
    free: &[usize],
    end: u64,
    effort: &mut Effort<'_>,
) -> bool {
    /// Indexes that may give way to one.
    const MOST: usize = 12;
    let mut any = false;
    let size = sizes(layout);
    let wanted = wanted(state, free, effort);
    for &(_, new) in &wanted {
        if !effort.open() || effort.spent() >= end {
            break;
        }
        if state.chosen[new] {
            continue;
        }
        let before = state.score();
        effort.spend(state.flip(new));
        let mut log = vec![new];
        while !state.score().feasible() && log.len() <= MOST {
            let now = state.score();
            let mut best: Option<(usize, f64)> = None;
            for &i in free {
                if !state.chosen[i] || i == new {
                    continue;
                }
                let (after, steps) = state.peek(i);
                effort.spend(steps);
                let relief = now.violation - after.violation;
                if relief <= 0.0 {
                    continue;
                }
                let price = (after.objective - now.objective) / relief;
                if best.is_none_or(|(_, least)| price < least) {
                    best = Some((i, price));
                }
            }
            let Some((i, _)) = best else { break };
            effort.spend(state.flip(i));
            log.push(i);
        }
        if state.score().feasible() {
            let mut candidates: Vec<usize> = log[1..]
                .iter()
                .flat_map(|&i| layout.neighbours(i))
                .map(|j| j as usize)
                .chain(wanted.iter().map(|w| w.1))
                .chain(log[1..].iter().copied())
                .filter(|&i| layout.program.indexes[i].fix == Fix::Free)
                .collect();
            candidates.sort_unstable();
            candidates.dedup();
            log.extend(fill(state, &candidates, By::Density, &size, effort));
        }
        if state.score().better_than(&before) {
            any = true;
        } else {
            for &i in log.iter().rev() {
                effort.spend(state.flip(i));
            }
        }
    }
    any
}

/// For each chosen index: drop it and fill the room with the best additions; keep the
/// exchange where it improves. (A swap where one addition is enough; more where a large
/// index gives way to several small ones.) Additions are looked for among the indexes that
/// share a query with it, and where a limit is full among all that gained most when last
/// looked at; then the best are those of most gain, and those of most gain for their room
/// (G. Dantzig's rule for the knapsack, Operations Research 5(2), 1957).
fn swaps(
    layout: &Layout<'_>,
    state: &mut State<'_, '_>,
    free: &[usize],
    end: u64,
    effort: &mut Effort<'_>,
) -> bool {
    let mut any = false;
    // Looked at for every exchange.
    let wanted = wanted(state, free, effort);
    let size = sizes(layout);
    let rules: &[By] = if wanted.is_empty() {
        &[By::Gain]
    } else {
        &[By::Gain, By::Density]
    };
    for (&out, &by) in free
        .iter()
        .flat_map(|out| rules.iter().map(move |by| (out, by)))
    {
        if !state.chosen[out] {
            continue;
        }
        if !effort.open() || effort.spent() >= end {
            break;
        }
        let before = state.score();
        effort.spend(state.flip(out));
        let mut candidates: Vec<usize> = layout
            .neighbours(out)
            .into_iter()
            .map(|j| j as usize)
            .collect();
        candidates.extend(wanted.iter().map(|w| w.1));
        candidates.retain(|&i| i != out && layout.program.indexes[i].fix == Fix::Free);
        let added = fill(state, &candidates, by, &size, effort);
        if state.score().better_than(&before) {
            any = true;
        } else {
            for i in added {
                state.flip(i);
            }
            state.flip(out);
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Pulse;
    use crate::program::{Atom, IndexTerm, Limit, Program, QueryTerm};

    /// Six small indexes fill the limit; one large one is worth more than all of them.
    #[test]
    fn a_large_index_gets_the_room_of_many_small_ones() {
        let mut program = Program::default();
        for i in 0..7u32 {
            let (saves, size) = if i == 6 { (100.0, 60.0) } else { (12.0, 10.0) };
            program.indexes.push(IndexTerm {
                linear: 0.0,
                fix: Fix::Free,
            });
            program.queries.push(QueryTerm {
                weight: 1.0,
                ceiling: f64::INFINITY,
                atoms: vec![Atom::new(vec![i], 1.0), Atom::new(Vec::new(), 1.0 + saves)],
            });
            let limit = || Limit {
                terms: Vec::new(),
                classes: Vec::new(),
                at_most: 60.0,
            };
            if program.limits.is_empty() {
                program.limits.push(limit());
            }
            program.limits[0].terms.push((i, size));
        }
        program.check().expect("meant");
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(1_000_000, &mut go_on);
        let small: Vec<bool> = (0..7).map(|i| i < 6).collect();
        let found = improve(&Layout::new(&program), &small, u64::MAX, &mut effort);
        assert_eq!(found, (0..7).map(|i| i == 6).collect::<Vec<_>>());
    }
}
