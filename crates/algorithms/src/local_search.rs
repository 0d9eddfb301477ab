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
/// is used up; the result is never worse.
pub fn improve(layout: &Layout<'_>, chosen: &[bool], effort: &mut Effort<'_>) -> Vec<bool> {
    let mut state = State::new(layout, chosen);
    let free: Vec<usize> = (0..chosen.len())
        .filter(|&i| layout.program.indexes[i].fix == Fix::Free)
        .collect();
    loop {
        state.refresh();
        if !(flips(&mut state, &free, effort) | swaps(&mut state, &free, effort)) || !effort.open()
        {
            return state.chosen;
        }
    }
}

/// Best single flip, again and again; true if any was made.
fn flips(state: &mut State<'_, '_>, free: &[usize], effort: &mut Effort<'_>) -> bool {
    let mut any = false;
    loop {
        let now = state.score();
        let mut best = None;
        for &i in free {
            let (after, steps) = state.peek(i);
            if !effort.spend(steps) {
                return any;
            }
            if after.better_than(&now) && best.is_none_or(|(_, b)| after.better_than(&b)) {
                best = Some((i, after));
            }
        }
        let Some((i, _)) = best else { return any };
        state.flip(i);
        any = true;
    }
}

/// For each chosen index: drop it and fill the room with the best additions; keep the
/// exchange where it improves. (A swap where one addition is enough; more where a large
/// index gives way to several small ones.)
fn swaps(state: &mut State<'_, '_>, free: &[usize], effort: &mut Effort<'_>) -> bool {
    let mut any = false;
    for &out in free {
        if !state.chosen[out] {
            continue;
        }
        let before = state.score();
        effort.spend(state.flip(out));
        let mut added = Vec::new();
        // Three additions for one drop; more is the branch and bound's business.
        while added.len() < 3 {
            let now = state.score();
            let mut best = None;
            for &i in free {
                if i == out || state.chosen[i] {
                    continue;
                }
                let (after, steps) = state.peek(i);
                effort.spend(steps);
                if after.better_than(&now) && best.is_none_or(|(_, b)| after.better_than(&b)) {
                    best = Some((i, after));
                }
            }
            let Some((i, _)) = best else { break };
            state.flip(i);
            added.push(i);
            if !effort.open() {
                break;
            }
        }
        if state.score().better_than(&before) {
            any = true;
        } else {
            for i in added {
                state.flip(i);
            }
            state.flip(out);
        }
        if !effort.open() {
            break;
        }
    }
    any
}
