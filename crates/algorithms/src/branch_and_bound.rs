//! Exact search: best first branch and bound on Lagrangian bounds.
//!
//! A. Land, A. Doig: "An Automatic Method of Solving Discrete Programming Problems",
//! Econometrica 28(3), 1960; bounds and reduced-cost fixing after A. Geoffrion:
//! "Lagrangean relaxation for integer programming", Mathematical Programming Study 2,
//! 1974. Seeds from both greedies and local search, so that a good choice is there within
//! milliseconds and everything later only improves it or proves it. Memory is bounded by
//! the number of open nodes; the search ends with a proven gap whenever it is stopped.

use crate::effort::{Effort, Stop};
use crate::greedy::{Measure, construct};
use crate::local_search::improve;
use crate::presolve::{Reduced, reduce};
use crate::price_directed;
use crate::program::{Fix, Program, Score};
use crate::ruin_and_recreate;
use crate::selection_state::{Layout, State};
use crate::volume::{ClassState, Multipliers, Relaxation};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;

/// When to be content.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Stop at this relative gap (0.005: half a per cent).
    pub gap: f64,
    /// At most this many open nodes (about 100 bytes each, plus shared multipliers).
    pub nodes: usize,
    /// Rounds of the volume algorithm at the root.
    pub root_rounds: usize,
    /// Rounds at every other node.
    pub node_rounds: usize,
}

impl Default for Goal {
    fn default() -> Self {
        // Half a per cent: below what planner estimates themselves mean (research: the
        // hypothetical cost deviates by about 1 % in the median).
        Self {
            gap: 0.005,
            nodes: 20_000,
            root_rounds: 600,
            node_rounds: 40,
        }
    }
}

/// What the search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best choice.
    pub chosen: Vec<bool>,
    /// Its exact score. Not feasible: no allowed choice was found.
    pub score: Score,
    /// No allowed choice has a smaller objective. Infinite: none is allowed.
    pub bound: f64,
    /// Why the search ended.
    pub stop: Stop,
    /// Nodes bounded.
    pub nodes: u64,
    /// Elementary steps.
    pub steps: u64,
    /// Indexes still undecided after presolve and reduced-cost fixing at the root.
    pub core: usize,
}

impl Found {
    /// (objective − bound) / |objective|, at least 0; infinite while nothing allowed is known.
    pub fn gap(&self) -> f64 {
        if !self.score.feasible() {
            return f64::INFINITY;
        }
        ((self.score.objective - self.bound) / self.score.objective.abs().max(1e-9)).max(0.0)
    }
}

/// Solves a checked program. `seeds` are choices to start from (what is there now, what
/// was advised last time); wrong or forbidden ones do no harm.
pub fn solve(program: &Program, seeds: &[Vec<bool>], goal: Goal, effort: &mut Effort<'_>) -> Found {
    let layout = Layout::new(program);
    let (mut best, mut best_score) = incumbent(&layout, seeds, effort);
    let mut bound = f64::NEG_INFINITY;
    let mut fixed = program.clone();
    // Presolve counts no steps; a whole stride before and after asks the pulse.
    effort.spend(Effort::STRIDE);
    let mut reduced = reduce(&fixed);
    effort.spend(Effort::STRIDE);
    let mut nodes = 1;
    // Root: bound, fix by reduced cost, shrink, again while that pays.
    for pass in 0..4 {
        let small = Layout::new(&reduced.program);
        let relaxation = Relaxation::new(&small);
        let mut at = relaxation.start();
        let fix = vec![Fix::Free; reduced.old.len()];
        let classes = relaxation.class_states(&fix, &[]);
        let tolerance = goal.gap * best_score.objective.abs().max(1e-9);
        let target = if best_score.feasible() {
            best_score.objective
        } else {
            f64::INFINITY
        };
        let rounds = goal.root_rounds;
        let result = relaxation.bound(&fix, &classes, &mut at, target, tolerance, rounds, effort);
        // Fixing below removes only what cannot beat the incumbent.
        bound = bound.max(result.value.min(target));
        let candidate = round(&small, &result.primal, effort);
        offer(
            &layout,
            reduced.lift(&candidate),
            &mut best,
            &mut best_score,
            effort,
        );
        if !effort.open() || bound >= best_score.objective - tolerance && best_score.feasible() {
            let stop = effort.stopped().unwrap_or(Stop::Gap);
            return found(
                best,
                best_score,
                bound,
                stop,
                nodes,
                effort,
                reduced.old.len(),
            );
        }
        if !best_score.feasible() {
            break;
        }
        let mut newly = 0;
        for (i, &rc) in result.reduced.iter().enumerate() {
            if result.value + rc.abs() > best_score.objective {
                fixed.indexes[reduced.old[i] as usize].fix =
                    if rc > 0.0 { Fix::Out } else { Fix::In };
                newly += 1;
            }
        }
        let before = reduced.old.len();
        reduced = reduce(&fixed);
        effort.spend(Effort::STRIDE);
        if newly == 0 || reduced.old.len() * 10 > before * 9 || pass == 3 {
            break;
        }
    }
    let core = reduced.old.len();
    let search = Search {
        goal,
        layout: &layout,
        reduced: &reduced,
    };
    let (tree_bound, stop) = search.run(bound, &mut best, &mut best_score, &mut nodes, effort);
    found(best, best_score, tree_bound, stop, nodes, effort, core)
}

fn found(
    chosen: Vec<bool>,
    score: Score,
    bound: f64,
    stop: Stop,
    nodes: u64,
    effort: &Effort<'_>,
    core: usize,
) -> Found {
    let bound = if score.feasible() {
        bound.min(score.objective)
    } else {
        bound
    };
    Found {
        chosen,
        score,
        bound,
        stop,
        nodes,
        steps: effort.spent(),
        core,
    }
}

/// The best of the seeds, nothing, both greedies and what prices for room make, each improved
/// by local search.
fn incumbent(
    layout: &Layout<'_>,
    seeds: &[Vec<bool>],
    effort: &mut Effort<'_>,
) -> (Vec<bool>, Score) {
    let program = layout.program;
    let must: Vec<bool> = program.indexes.iter().map(|t| t.fix == Fix::In).collect();
    let mut best = must.clone();
    let mut best_score = program.score(&best);
    for seed in seeds.iter().filter(|s| s.len() == must.len()) {
        let seed: Vec<bool> = seed
            .iter()
            .zip(&program.indexes)
            .map(|(&s, t)| match t.fix {
                Fix::Free => s,
                Fix::In => true,
                Fix::Out => false,
            })
            .collect();
        offer(layout, seed, &mut best, &mut best_score, effort);
    }
    for measure in [Measure::Gain, Measure::GainPerShare] {
        let built = construct(layout, &must, measure, effort);
        offer(layout, built, &mut best, &mut best_score, effort);
        if !effort.open() {
            break;
        }
    }
    // A fifth of the work: where room is short this is where good choices come from.
    for chosen in price_directed::choices(program, &best, effort.limit() / 5, effort) {
        offer(layout, chosen, &mut best, &mut best_score, effort);
    }
    if effort.open() {
        let shaken = ruin_and_recreate::improve(layout, &best, effort.limit() / 10, effort);
        offer(layout, shaken, &mut best, &mut best_score, effort);
    }
    (best, best_score)
}

/// Takes `candidate` (first as it is, then improved) where it beats the best.
fn offer(
    layout: &Layout<'_>,
    candidate: Vec<bool>,
    best: &mut Vec<bool>,
    best_score: &mut Score,
    effort: &mut Effort<'_>,
) {
    let score = layout.program.score(&candidate);
    if score.better_than(best_score) {
        (*best, *best_score) = (candidate.clone(), score);
    }
    if !effort.open() {
        return;
    }
    // A twentieth of the work at most for one start: the rest is for the proof.
    let improved = improve(layout, &candidate, effort.limit() / 20, effort);
    let score = layout.program.score(&improved);
    if score.better_than(best_score) {
        (*best, *best_score) = (improved, score);
    }
}

/// Rounds a fractional solution: indexes in falling order, each if it improves the score.
fn round(layout: &Layout<'_>, primal: &[f64], effort: &mut Effort<'_>) -> Vec<bool> {
    let mut order: Vec<usize> = (0..primal.len()).filter(|&i| primal[i] > 0.05).collect();
    order.sort_by(|&a, &b| primal[b].total_cmp(&primal[a]).then(a.cmp(&b)));
    // All that are surely in first, so that partners of a pair meet.
    let start: Vec<bool> = primal.iter().map(|&p| p > 0.9).collect();
    let mut state = State::new(layout, &start);
    for i in order {
        let now = state.score();
        let (after, steps) = state.peek(i);
        effort.spend(steps);
        if after.better_than(&now) {
            state.flip(i);
        }
    }
    state.chosen
}

struct Open {
    bound: f64,
    number: u64,
    /// Index decided in or out; numbers from the count of indexes up: update class decided
    /// triggered or quiet.
    decisions: Vec<(u32, bool)>,
    at: Option<Rc<Multipliers>>,
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Open {}
impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        // Smallest bound first; of equals the deeper, then the older.
        other
            .bound
            .total_cmp(&self.bound)
            .then(self.decisions.len().cmp(&other.decisions.len()))
            .then(other.number.cmp(&self.number))
    }
}

struct Search<'s, 'p> {
    goal: Goal,
    layout: &'s Layout<'p>,
    reduced: &'s Reduced,
}

impl Search<'_, '_> {
    fn run(
        &self,
        root_bound: f64,
        best: &mut Vec<bool>,
        best_score: &mut Score,
        nodes: &mut u64,
        effort: &mut Effort<'_>,
    ) -> (f64, Stop) {
        let small = Layout::new(&self.reduced.program);
        let relaxation = Relaxation::new(&small);
        let mut heap = BinaryHeap::new();
        heap.push(Open {
            bound: root_bound,
            number: 0,
            decisions: Vec::new(),
            at: None,
        });
        // The least bound of any branch that was cut off because it cannot improve by more
        // than the gap.
        let mut cut = f64::INFINITY;
        // Multipliers are shared by the two children of a node; copies stay below 32 MB.
        let keep_multipliers = (32 << 20) / (8 * relaxation.start().len().max(1));
        let mut number = 0;
        while let Some(node) = heap.pop() {
            let tolerance = self.goal.gap * best_score.objective.abs().max(1e-9);
            let target = if best_score.feasible() {
                best_score.objective
            } else {
                f64::INFINITY
            };
            let lower = node.bound.min(cut);
            if node.bound >= target - tolerance {
                // Best first: every open node is at least as far.
                return (lower.min(target), Stop::Gap);
            }
            if !effort.open() {
                return (lower, effort.stopped().unwrap_or(Stop::Steps));
            }
            if heap.len() >= self.goal.nodes {
                return (lower, Stop::Nodes);
            }
            let Some(fix) = self.propagate(&small, &node.decisions) else {
                continue;
            };
            let n = fix.len() as u32;
            let decided: Vec<(u32, bool)> = node
                .decisions
                .iter()
                .filter(|d| d.0 >= n)
                .map(|&(k, v)| (k - n, v))
                .collect();
            let classes = relaxation.class_states(&fix, &decided);
            let mut at = node
                .at
                .as_deref()
                .cloned()
                .unwrap_or_else(|| relaxation.start());
            let rounds = if node.decisions.is_empty() {
                self.goal.root_rounds
            } else {
                self.goal.node_rounds
            };
            let result =
                relaxation.bound(&fix, &classes, &mut at, target, tolerance, rounds, effort);
            *nodes += 1;
            let bound = result.value.max(node.bound);
            if bound == f64::INFINITY {
                continue;
            }
            if !effort.open() {
                return (lower, effort.stopped().unwrap_or(Stop::Steps));
            }
            if *nodes < 64 || nodes.is_multiple_of(16) {
                let mut primal = result.primal.clone();
                primal.iter_mut().zip(&fix).for_each(|(p, f)| {
                    *p = match f {
                        Fix::In => 1.0,
                        Fix::Out => 0.0,
                        Fix::Free => p.min(0.89),
                    }
                });
                let rounded = self.reduced.lift(&round(&small, &primal, effort));
                if self.layout.program.score(&rounded).better_than(best_score) {
                    offer(self.layout, rounded, best, best_score, effort);
                }
            }
            let target = if best_score.feasible() {
                best_score.objective
            } else {
                f64::INFINITY
            };
            if bound >= target - tolerance {
                cut = cut.min(bound);
                continue;
            }
            match self.branch_on(&small, &fix, &classes, &result.primal, &result.reduced) {
                None => {
                    // Everything is decided: the exact value.
                    let chosen: Vec<bool> = fix.iter().map(|f| *f == Fix::In).collect();
                    let chosen = self.reduced.lift(&chosen);
                    let score = self.layout.program.score(&chosen);
                    if score.better_than(best_score) {
                        (*best, *best_score) = (chosen, score);
                    }
                }
                Some(i) => {
                    let at = (heap.len() < keep_multipliers).then(|| Rc::new(at));
                    // Reduced-cost fixing inside the tree travels with the decisions.
                    let mut decisions = node.decisions;
                    for (k, &rc) in result.reduced.iter().enumerate() {
                        if fix[k] == Fix::Free && k != i && result.value + rc.abs() > target {
                            decisions.push((k as u32, rc < 0.0));
                        }
                    }
                    for value in [true, false] {
                        number += 1;
                        let mut decisions = decisions.clone();
                        decisions.push((i as u32, value));
                        heap.push(Open {
                            bound,
                            number,
                            decisions,
                            at: at.clone(),
                        });
                    }
                }
            }
        }
        let target = if best_score.feasible() {
            best_score.objective
        } else {
            f64::INFINITY
        };
        (cut.min(target), Stop::Gap)
    }

    /// Fixings that follow from the decisions; `None` where they contradict a limit.
    fn propagate(&self, small: &Layout<'_>, decisions: &[(u32, bool)]) -> Option<Vec<Fix>> {
        let program = small.program;
        let n = program.indexes.len();
        let mut fix = vec![Fix::Free; n];
        for &(i, value) in decisions.iter().filter(|d| (d.0 as usize) < n) {
            fix[i as usize] = if value { Fix::In } else { Fix::Out };
        }
        for &(u, triggered) in decisions.iter().filter(|d| d.0 as usize >= n) {
            if triggered {
                continue;
            }
            for &i in &program.classes[u as usize - n].triggers {
                if fix[i as usize] == Fix::In {
                    return None;
                }
                fix[i as usize] = Fix::Out;
            }
        }
        let chosen: Vec<bool> = fix.iter().map(|f| *f == Fix::In).collect();
        for (r, limit) in program.limits.iter().enumerate() {
            // Every term is non-negative, so what is in already is a lower bound.
            let used = program.limit_use(r, &chosen);
            let room = limit.at_most - used + Score::SLACK * limit.at_most.abs().max(1e-300);
            if room < 0.0 {
                return None;
            }
            for &(i, c) in &limit.terms {
                if fix[i as usize] == Fix::Free && c > room {
                    fix[i as usize] = Fix::Out;
                }
            }
            if !limit.classes.is_empty() {
                let mut with = chosen.clone();
                for i in 0..with.len() {
                    if fix[i] == Fix::Free && !(small.triggers_of(i).is_empty()) {
                        with[i] = true;
                        if program.limit_use(r, &with)
                            > limit.at_most + Score::SLACK * limit.at_most.abs()
                        {
                            fix[i] = Fix::Out;
                        }
                        with[i] = false;
                    }
                }
            }
        }
        Some(fix)
    }

    /// What to decide next: the dearest open update class that some trigger leans to, else
    /// the most fractional free index, weighted by what it serves; `None` when all indexes
    /// are decided. (A class above the count of indexes, as in [`Open`].)
    fn branch_on(
        &self,
        small: &Layout<'_>,
        fix: &[Fix],
        classes: &[ClassState],
        primal: &[f64],
        reduced: &[f64],
    ) -> Option<usize> {
        let n = fix.len();
        let class = classes
            .iter()
            .enumerate()
            .filter(|(_, state)| **state == ClassState::Open)
            .map(|(u, _)| {
                let class = &small.program.classes[u];
                let lean = class
                    .triggers
                    .iter()
                    .map(|&i| primal[i as usize])
                    .fold(0.0, f64::max);
                let cost: f64 = class
                    .per_index
                    .iter()
                    .map(|&(j, e)| e * primal[j as usize])
                    .sum();
                (lean, class.base + cost, u)
            })
            .filter(|(lean, cost, _)| *lean > 0.02 && *cost > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.cmp(&a.2)));
        if let Some((_, _, u)) = class
            && small.program.class_scale > 0.0
        {
            return Some(n + u);
        }
        let mut best: Option<(f64, usize)> = None;
        for i in 0..n {
            if fix[i] != Fix::Free {
                continue;
            }
            let uses = small.uses_of(i).len() as f64;
            let fraction = primal[i].min(1.0 - primal[i]).max(0.0);
            let value = fraction * (1.0 + uses).ln() + 1e-6 / (1.0 + reduced[i].abs());
            if best.is_none_or(|(b, _)| value > b) {
                best = Some((value, i));
            }
        }
        best.map(|(_, i)| i)
    }
}
