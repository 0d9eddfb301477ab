//! The whole way from a workload to a verified choice.

use super::caution::Caution;
use super::explore::{Asker, Halt, Pricing};
use super::verify::{self, Correction};
use super::{Load, Workload, lattice::Known};
use crate::selection::solve::{best_of, solve_from};
use crate::selection::{Problem, Pulse, SearchLimits, SelectionError, Solution, Status};
use indexpilot_model::WhatIf;
use std::collections::HashSet;

/// Bounds on the work.
#[derive(Clone, Copy, Debug)]
pub struct PricingLimits {
    /// Planner calls altogether.
    pub calls: u64,
    /// Planner calls to explore one statement.
    pub calls_per_statement: u64,
    /// Planner calls to explore all of them: in long lists each gets an equal share, because
    /// the first calls tell most.
    pub exploring_calls: u64,
    /// Share of the possible saving that the statements looked at closely must hold.
    pub coverage: f64,
    /// Statements looked at closely, at most.
    pub statements: usize,
    /// Up to this many statements are all looked at closely: leaving some out saves nothing
    /// that anyone would notice, and what is left out is priced pessimistically.
    pub few: usize,
    /// Bounds closer than this stand in for a call.
    pub tolerance: f64,
    /// Rounds of solve and check.
    pub rounds: usize,
    /// Options probed around a choice, a round.
    pub probes: usize,
    /// The search's own limits.
    pub search: SearchLimits,
}

impl Default for PricingLimits {
    fn default() -> Self {
        PricingLimits {
            calls: 200_000,
            calls_per_statement: 48,
            exploring_calls: 96_000,
            // Where full scans dominate, a good set leaves a hundredth of the time: the last
            // hundredth that could be saved would be as much again.
            coverage: 0.999,
            statements: 5_000,
            few: 400,
            // The median error of a hypothetical price is about a per cent; two are noise.
            tolerance: 0.02,
            rounds: 12,
            probes: 12,
            search: SearchLimits::default(),
        }
    }
}

/// Agreement of the model and the planner where goals are kept: beyond round-off of sums.
const EXACT: f64 = 1e-6;

/// What became of one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementReport {
    /// The planner's cost under the present indexes; `None` where it was not priced.
    pub cost_before: Option<f64>,
    /// The planner's cost under the choice (asked, not derived, where `verified`).
    pub cost_after: Option<f64>,
    /// Milliseconds a day now.
    pub ms_before: f64,
    /// Milliseconds a day under the choice, as we believe.
    pub ms_after: f64,
    /// The planner was asked for exactly this set.
    pub verified: bool,
    /// Looked at closely (not among the statements that hold the last per cent).
    pub explored: bool,
    /// Why there is no price.
    pub failed: Option<String>,
}

/// The answer with its accounting.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The choice.
    pub solution: Solution,
    /// The problem it answers, with the prices.
    pub problem: Problem,
    /// By statement.
    pub statements: Vec<StatementReport>,
    /// Planner calls made.
    pub calls: u64,
    /// Prices that followed without a call.
    pub derived: u64,
    /// Rounds of solve and check.
    pub rounds: usize,
    /// Share of the possible saving that explored statements hold.
    pub coverage: f64,
    /// True where every statement's price under the choice was asked for and agrees.
    pub verified: bool,
}

/// Prices, chooses, checks, until the choice stands. The pulse is asked before each call
/// and inside the search.
pub fn advise(
    port: &mut dyn WhatIf,
    workload: &Workload,
    caution: Caution,
    limits: PricingLimits,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Advice, SelectionError> {
    check_numbers(workload)?;
    let mut pricings: Vec<Pricing> = workload
        .statements
        .iter()
        .map(|s| Pricing::new(s, &workload.options))
        .collect();
    let mut asker = Asker::new(port, pulse, caution, limits.calls);
    let mut halted = false;
    let (explored, coverage) = match first_look(&mut asker, workload, &mut pricings, &limits) {
        Ok(list) => list,
        Err(Halt::Cancelled) => return Err(SelectionError::Cancelled),
        Err(Halt::OutOfBudget | Halt::Hurry) => {
            halted = true;
            (Vec::new(), 0.0)
        }
    };
    let mut hurried = false;
    asker.set_exploring(true);
    for &q in &explored {
        if halted || hurried {
            break;
        }
        let calls = limits
            .calls_per_statement
            .min(limits.exploring_calls / explored.len() as u64);
        let tolerance = limits.tolerance / 4.0;
        match asker.explore(&workload.statements[q], &mut pricings[q], calls, tolerance) {
            Ok(()) => {}
            Err(Halt::Cancelled) => return Err(SelectionError::Cancelled),
            Err(Halt::OutOfBudget) => halted = true,
            Err(Halt::Hurry) => hurried = true,
        }
    }
    let mut corrections: Vec<Vec<Correction>> = vec![Vec::new(); workload.statements.len()];
    let mut visited: Vec<Vec<bool>> = Vec::new();
    let mut probed_around: HashSet<Vec<bool>> = HashSet::new();
    let mut rounds = 0;
    // A goal's tolerance is a promise: what the planner says under the choice has to keep it,
    // not what it would within the noise.
    let tolerance = if workload.rules.goals.is_empty() {
        limits.tolerance
    } else {
        EXACT
    };
    let mut search = limits.search;
    let least_steps = (limits.search.steps / 8).max(40_000 * workload.statements.len() as u64);
    let (mut calls, mut derived) = (asker.calls, asker.derived);
    let mut left = limits.calls.saturating_sub(calls);
    let mut settled: Option<(Problem, Solution)> = None;
    let mut base = Base::default();
    // As long as prices still change nobody needs the last per mille of an answer.
    let mut fine = false;
    while rounds < limits.rounds.max(1) {
        rounds += 1;
        search.gap = limits.search.gap * if fine { 1.0 } else { COARSE };
        let mut problem = verify::problem(workload, &pricings, &corrections);
        base.set(&mut problem);
        // (The search asks the pulse before it starts.)
        let recent = &visited[visited.len().saturating_sub(SEEDS)..];
        let mut limits_now = search;
        if !fine {
            limits_now.steps = (search.steps / COARSE_STEPS).max(least_steps);
        }
        let solution = solve_from(&problem, recent, limits_now, pulse)?;
        let priced_right = base.agrees(&problem, &solution.chosen);
        // The rounds share the steps; a later one starts from the earlier answers, but has to
        // get somewhere else where new prices say so.
        search.steps = search.steps.saturating_sub(solution.steps).max(least_steps);
        if !visited.contains(&solution.chosen) {
            visited.push(solution.chosen.clone());
        }
        if halted {
            break;
        }
        let mut asker = Asker::new(port, pulse, caution, left);
        let result = verify::check(
            &mut asker,
            workload,
            &mut pricings,
            &mut corrections,
            &problem,
            &solution.chosen,
            tolerance,
        )
        .and_then(|differing| {
            let probed = if differing == 0 && probed_around.insert(solution.chosen.clone()) {
                asker.set_exploring(true);
                let probed = verify::probe(
                    &mut asker,
                    workload,
                    &mut pricings,
                    &problem,
                    &solution.chosen,
                    limits.probes,
                );
                match probed {
                    // The choice was checked: it stands.
                    Err(Halt::Hurry) => 0,
                    other => other?,
                }
            } else {
                0
            };
            Ok(differing == 0 && probed == 0 && priced_right)
        });
        calls += asker.calls;
        derived += asker.derived;
        left = left.saturating_sub(asker.calls);
        match result {
            Ok(true) if fine || solution.gap <= limits.search.gap => {
                settled = Some((problem, solution));
                break;
            }
            Ok(true) => fine = true,
            Ok(false) => {}
            Err(Halt::Cancelled) => return Err(SelectionError::Cancelled),
            Err(Halt::OutOfBudget | Halt::Hurry) => halted = true,
        }
    }
    let (mut problem, mut solution) = match settled {
        Some(pair) => pair,
        None => {
            // Not settled: of the sets that were checked, the best that keeps the rules.
            // What exists now always is one of them; so are those that the last ones leave
            // when what makes a statement too slow is given up.
            search.gap = limits.search.gap;
            if !halted {
                let mut asker = Asker::new(port, pulse, caution, left);
                let back = way_back(
                    &mut asker,
                    workload,
                    &mut pricings,
                    &mut corrections,
                    &mut visited,
                    tolerance,
                );
                calls += asker.calls;
                derived += asker.derived;
                left = left.saturating_sub(asker.calls);
                match back {
                    Ok(()) => {}
                    Err(Halt::Cancelled) => return Err(SelectionError::Cancelled),
                    Err(Halt::OutOfBudget | Halt::Hurry) => halted = true,
                }
            }
            best_visited(
                workload,
                &pricings,
                &mut corrections,
                &base,
                visited,
                search,
                pulse,
            )?
        }
    };
    let mut verified = all_asked(&pricings, &solution.chosen);
    if !verified && !halted {
        // The last solve may have moved within the gap; ask for what is missing.
        let mut asker = Asker::new(port, pulse, caution, left);
        let result = verify::check(
            &mut asker,
            workload,
            &mut pricings,
            &mut corrections,
            &problem,
            &solution.chosen,
            tolerance,
        );
        calls += asker.calls;
        derived += asker.derived;
        match result {
            Ok(0) => {}
            Ok(_) => {
                let last = vec![solution.chosen.clone()];
                (problem, solution) = best_visited(
                    workload,
                    &pricings,
                    &mut corrections,
                    &base,
                    last,
                    search,
                    pulse,
                )?;
            }
            Err(Halt::Cancelled) => return Err(SelectionError::Cancelled),
            Err(Halt::OutOfBudget | Halt::Hurry) => {}
        }
        verified = all_asked(&pricings, &solution.chosen);
    }
    let statements = report(workload, &problem, &pricings, &solution, &explored);
    Ok(Advice {
        solution,
        problem,
        statements,
        calls,
        derived,
        rounds,
        coverage,
        verified,
    })
}

/// Earlier choices that a search starts from, the last ones: each is improved first, which
/// costs more than older ones are worth.
const SEEDS: usize = 3;

/// How many times the gap is enough for an answer that is checked and solved again, and which
/// part of the steps.
const COARSE: f64 = 4.0;
const COARSE_STEPS: u64 = 4;

/// The time that the price of room and the least share refer to: what the statements take
/// under the choice itself. What they take now would make room dear before the first index and
/// cheap after it, so that each run would buy some more; and where full scans dominate, what
/// is a ten-thousandth of the time now is a hundredth of the time that is left.
#[derive(Default)]
struct Base {
    ms: Option<f64>,
}

impl Base {
    /// Two bases this close make the same price.
    const CLOSE: f64 = 0.1;

    /// The base for the next search; for the first, what would be left if everything was there.
    fn set(&self, problem: &mut Problem) {
        problem.base_ms = Some(self.ms.unwrap_or_else(|| {
            let everything = vec![true; problem.options.len()];
            verify::model_ms(problem, &everything)
        }));
    }

    /// Whether the base that `problem` was solved with is what `chosen` leaves; else it is
    /// the next one.
    fn agrees(&mut self, problem: &Problem, chosen: &[bool]) -> bool {
        if problem.rules.storage_share <= 0.0 && problem.rules.min_share <= 0.0 {
            return true;
        }
        let left = verify::model_ms(problem, chosen);
        let close = problem
            .base_ms
            .is_some_and(|base| (left - base).abs() <= Self::CLOSE * left);
        if !close {
            self.ms = Some(left);
        }
        close
    }
}

fn check_numbers(workload: &Workload) -> Result<(), SelectionError> {
    for statement in &workload.statements {
        if let Some(o) = statement
            .relevant
            .iter()
            .find(|o| **o >= workload.options.len())
        {
            return Err(SelectionError::Malformed(format!(
                "{}: option {o} out of range",
                statement.label
            )));
        }
    }
    Ok(())
}

/// Two calls a statement (as things are, and with everything) tell what it could save; the
/// statements that hold `coverage` of all that could be saved are explored.
fn first_look(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    limits: &PricingLimits,
) -> Result<(Vec<usize>, f64), Halt> {
    let mut hopes: Vec<(f64, usize)> = Vec::new();
    // The heaviest first, as far as that is known before anything is priced.
    let mut order: Vec<usize> = (0..workload.statements.len()).collect();
    let heavy = |q: usize| {
        let load = &workload.statements[q].load;
        load.seen_ms().unwrap_or_else(|| verify::weight(load, None))
    };
    order.sort_by(|&a, &b| heavy(b).total_cmp(&heavy(a)).then(a.cmp(&b)));
    for (place, &q) in order.iter().enumerate() {
        let statement = &workload.statements[q];
        if asker.hurries() {
            // What is left is light, and without an answer for it nothing would be verified.
            for &q in &order[place..] {
                if !pricings[q].options.is_empty() {
                    pricings[q].failed = Some("time was up before it was looked at".into());
                }
            }
            break;
        }
        let pricing = &mut pricings[q];
        if pricing.options.is_empty() {
            // A constant; without a measured time its cost is worth one call.
            if matches!(statement.load, Load::Assumed { .. }) {
                asker.ask(statement, pricing, pricing.current)?;
            }
            continue;
        }
        let (current, all, must) = (pricing.current, pricing.all, pricing.must);
        let Some(now) = asker.ask(statement, pricing, current)? else {
            continue;
        };
        let Some(best) = asker.ask(statement, pricing, all)? else {
            continue;
        };
        // The program needs the plan without any option; mostly it follows.
        asker.price(statement, pricing, must, 0.0)?;
        let weight = verify::weight(&statement.load, Some(now));
        let droppable_used = now.used != must && now.used.len() > must.len();
        hopes.push((weight * (now.cost - best.cost).max(0.0), q));
        if droppable_used && let Some(last) = hopes.last_mut() {
            // What an existing index is worth has to be known before it may be dropped.
            let bare = pricing.lattice.price(&must).map_or(0.0, |k| k.cost);
            last.0 = last.0.max(weight * (bare - now.cost).max(0.0));
        }
    }
    let coverage = if hopes.len() <= limits.few {
        1.0
    } else {
        limits.coverage
    };
    Ok(compress(hopes, coverage, limits.statements))
}

/// The statements that together hold `coverage` of the total, greatest first, at most
/// `most`; and the share they hold.
pub fn compress(mut hopes: Vec<(f64, usize)>, coverage: f64, most: usize) -> (Vec<usize>, f64) {
    hopes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let total: f64 = hopes.iter().map(|h| h.0).sum();
    if total <= 0.0 {
        return (Vec::new(), 1.0);
    }
    let mut held = 0.0;
    let mut kept = Vec::new();
    for (hope, q) in hopes {
        if held >= coverage * total || kept.len() >= most || hope <= 0.0 {
            break;
        }
        held += hope;
        kept.push(q);
    }
    (kept, held / total)
}

fn all_asked(pricings: &[Pricing], chosen: &[bool]) -> bool {
    pricings
        .iter()
        .filter(|p| p.failed.is_none() && !p.options.is_empty())
        .all(|p| p.lattice.asked(&p.local(chosen)).is_some())
}

/// Adds to the visited choices what the last two become where they have to retreat.
fn way_back(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    corrections: &mut [Vec<Correction>],
    visited: &mut Vec<Vec<bool>>,
    tolerance: f64,
) -> Result<(), Halt> {
    let last: Vec<Vec<bool>> = visited.iter().rev().take(2).cloned().collect();
    for chosen in last {
        if !all_asked(pricings, &chosen) {
            continue;
        }
        if let Some(kept) =
            super::retreat::retreat(asker, workload, pricings, corrections, &chosen, tolerance)?
            && !visited.contains(&kept)
        {
            visited.push(kept);
        }
    }
    Ok(())
}

/// The best of the visited choices and of what exists now, by the planner's own answers,
/// with the bound of a full search.
fn best_visited(
    workload: &Workload,
    pricings: &[Pricing],
    corrections: &mut [Vec<Correction>],
    base: &Base,
    visited: Vec<Vec<bool>>,
    search: SearchLimits,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<(Problem, Solution), SelectionError> {
    let current: Vec<bool> = workload
        .options
        .iter()
        .map(|o| o.option.status.exists())
        .collect();
    let mut sets: Vec<Vec<bool>> = visited
        .into_iter()
        .filter(|chosen| all_asked(pricings, chosen))
        .collect();
    sets.push(current);
    // Mending one set can move another that contains it.
    for _ in 0..=sets.len() {
        let mut changed = false;
        for chosen in &sets {
            go_on(pulse)?;
            changed |= verify::recheck(pricings, corrections, chosen);
        }
        if !changed {
            break;
        }
    }
    go_on(pulse)?;
    let mut problem = verify::problem(workload, pricings, corrections);
    base.set(&mut problem);
    // (What exists now is the last of them.)
    let recent = &sets[sets.len().saturating_sub(SEEDS + 1)..];
    let bound = solve_from(&problem, recent, search, pulse)?;
    let best = best_of(&problem, sets, &bound)?;
    go_on(pulse)?;
    let none = || SelectionError::NothingAllowed("the present indexes break a rule".into());
    Ok((problem, best.ok_or_else(none)?))
}

/// Asked between steps that ask nobody themselves.
fn go_on(pulse: &mut dyn FnMut() -> Pulse) -> Result<(), SelectionError> {
    match pulse() {
        Pulse::Cancel => Err(SelectionError::Cancelled),
        Pulse::Continue | Pulse::Hurry | Pulse::Deadline => Ok(()),
    }
}

fn report(
    workload: &Workload,
    problem: &Problem,
    pricings: &[Pricing],
    solution: &Solution,
    explored: &[usize],
) -> Vec<StatementReport> {
    let current = problem.current();
    let mut close = vec![false; workload.statements.len()];
    explored.iter().for_each(|&q| close[q] = true);
    workload
        .statements
        .iter()
        .zip(pricings)
        .enumerate()
        .map(|(q, (_, pricing))| {
            let set = pricing.local(&solution.chosen);
            let asked: Option<&Known> = pricing.lattice.asked(&set);
            let weight = problem.statements[q].weight;
            let after = pricing.lattice.price(&set);
            StatementReport {
                cost_before: pricing.lattice.price(&pricing.current).map(|k| k.cost),
                cost_after: after.map(|k| k.cost),
                ms_before: weight * verify::model_cost(problem, q, &current),
                ms_after: weight
                    * asked.map_or_else(
                        || verify::model_cost(problem, q, &solution.chosen),
                        |k| k.believed,
                    ),
                verified: asked.is_some(),
                explored: close[q],
                failed: pricing.failed.clone(),
            }
        })
        .collect()
}

/// True where dropping is part of the choice (for callers that gate drops).
pub fn drops_something(problem: &Problem, chosen: &[bool]) -> bool {
    problem
        .options
        .iter()
        .zip(chosen)
        .any(|(o, &c)| matches!(o.status, Status::Droppable { .. }) && !c)
}
