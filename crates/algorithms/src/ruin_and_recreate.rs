//! Ruin and recreate: take a neighbourhood of the choice out, build it anew, keep what is
//! better.
//!
//! G. Schrimpf, J. Schneider, H. Stamm-Wilbrandt, G. Dueck: "Record Breaking Optimization
//! Results Using the Ruin and Recreate Principle", Journal of Computational Physics 159,
//! 2000. The neighbourhood here is the indexes that share queries with one picked at
//! random; only they (and those that a full limit kept out) are looked at again, so a round
//! costs little however large the program is. The generator is seeded by the program's
//! size: equal input gives equal output.

use crate::effort::Effort;
use crate::program::Fix;
use crate::selection_state::{Layout, State};

/// splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// Improves `chosen` until `most_steps` are used up; the result is never worse.
pub fn improve(
    layout: &Layout<'_>,
    chosen: &[bool],
    most_steps: u64,
    effort: &mut Effort<'_>,
) -> Vec<bool> {
    let free: Vec<usize> = (0..chosen.len())
        .filter(|&i| layout.program.indexes[i].fix == Fix::Free && !layout.uses_of(i).is_empty())
        .collect();
    if free.len() < 2 {
        return chosen.to_vec();
    }
    let end = effort.spent().saturating_add(most_steps);
    let mut random = Random(free.len() as u64);
    let mut state = State::new(layout, chosen);
    let mut rounds = 0u64;
    let mut fruitless = 0usize;
    // Enough that every neighbourhood had several tries since the last success.
    let most_rounds = 1_000 * free.len() as u64;
    while effort.spent() < end
        && effort.open()
        && fruitless < 12 * free.len()
        && rounds < most_rounds
    {
        rounds += 1;
        if rounds.is_multiple_of(1_000) {
            state.refresh();
        }
        let seed = free[random.below(free.len())];
        let mut near: Vec<usize> = layout
            .neighbours(seed)
            .into_iter()
            .map(|j| j as usize)
            .filter(|&j| layout.program.indexes[j].fix == Fix::Free)
            .collect();
        near.push(seed);
        // A random index from elsewhere: what a shared limit couples.
        near.push(free[random.below(free.len())]);
        effort.spend(near.len() as u64);
        let before = state.score();
        let mut log: Vec<usize> = Vec::new();
        let present: Vec<usize> = near.iter().copied().filter(|&j| state.chosen[j]).collect();
        for &j in &present {
            // Half of a neighbourhood at most stays; a small one goes as a whole.
            if state.chosen[j] && (present.len() <= 3 || random.below(2) == 0) {
                effort.spend(state.flip(j));
                log.push(j);
            }
        }
        // One that was not there is put in first, so that the old choice is not simply
        // built again.
        let absent: Vec<usize> = near.iter().copied().filter(|&j| !state.chosen[j]).collect();
        if let Some(&j) = absent.get(random.below(absent.len()))
            && !present.contains(&j)
        {
            let (after, steps) = state.peek(j);
            effort.spend(steps);
            if after.feasible() || !before.feasible() {
                effort.spend(state.flip(j));
                log.push(j);
            }
        }
        loop {
            let now = state.score();
            let mut best = None;
            for &j in &near {
                let (after, steps) = state.peek(j);
                effort.spend(steps);
                if after.better_than(&now) && best.is_none_or(|(_, b)| after.better_than(&b)) {
                    best = Some((j, after));
                }
            }
            let Some((j, _)) = best else { break };
            effort.spend(state.flip(j));
            log.push(j);
            if log.len() > 4 * near.len() || !effort.open() {
                break;
            }
        }
        if state.score().better_than(&before) {
            fruitless = 0;
        } else {
            fruitless += 1;
            for &j in log.iter().rev() {
                effort.spend(state.flip(j));
            }
        }
    }
    let result = state.chosen;
    // Sums drift; the exact scores decide.
    let exact = |c: &[bool]| layout.program.score(c);
    if exact(&result).better_than(&exact(chosen)) {
        result
    } else {
        chosen.to_vec()
    }
}
