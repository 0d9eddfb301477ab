//! From prices to the selection problem, and the check of its answer by the planner.

use super::explore::{Asker, Halt, Pricing};
use super::lattice::Known;
use super::option_set::OptionSet;
use super::{Load, Workload, WorkloadStatement};
use crate::selection::{Atom, Problem, StatementCosts, Status};
use std::collections::BTreeMap;

/// At most this many atoms a statement enter the program.
const MOST_ATOMS: usize = 64;

/// A set for which the planner was asked and did otherwise than what it said about other
/// sets lets expect (it is not monotone: an index more can raise its cost).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    /// Exactly these options of the statement.
    pub set: OptionSet,
    /// What we believe the plan costs.
    pub believed: f64,
}

/// Milliseconds a day for each cost unit.
pub fn weight(load: &Load, now: Option<Known>) -> f64 {
    match load {
        Load::Assumed {
            calls_per_day,
            ms_per_unit,
        } => (calls_per_day * ms_per_unit).max(0.0),
        measured => match now {
            Some(now) if now.believed > 0.0 => {
                (measured.measured_ms(now.cost).unwrap_or(0.0) / now.believed).max(0.0)
            }
            _ => 0.0,
        },
    }
}

/// The atoms of one statement: its distinct plans, then the corrections.
pub fn atoms(pricing: &Pricing, corrections: &[Correction]) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = Vec::new();
    for plan in pricing.lattice.plans() {
        let options = pricing.global(&plan.used);
        // Plans come best first; one that a better one's indexes already allow is never taken.
        let covered = atoms
            .iter()
            .any(|a| a.options.iter().all(|o| options.contains(o)));
        if !covered {
            atoms.push(Atom {
                options,
                planner: plan.cost,
                believed: plan.believed,
            });
        }
    }
    if !atoms.iter().any(|a| a.options.is_empty()) {
        // The statement was never priced without options (it failed): its plan is constant.
        let worst = atoms.iter().map(|a| a.planner).fold(0.0, f64::max);
        let believed = atoms.iter().map(|a| a.believed).fold(0.0, f64::max);
        atoms.push(Atom {
            options: Vec::new(),
            planner: worst,
            believed,
        });
    }
    // Cheapest first, but small sets before large ones of nearly the same price.
    if atoms.len() > MOST_ATOMS {
        let empty = atoms.iter().position(|a| a.options.is_empty());
        let mut order: Vec<usize> = (0..atoms.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |k: usize| {
                (
                    Some(k) != empty,
                    atoms[k].options.len() > 1 && k >= MOST_ATOMS / 2,
                    k,
                )
            };
            key(a).cmp(&key(b))
        });
        order.truncate(MOST_ATOMS);
        atoms = order.into_iter().map(|k| atoms[k].clone()).collect();
    }
    let mut sorted = corrections.to_vec();
    sorted.sort_by_key(|c| c.set.len());
    for correction in sorted {
        let options = pricing.global(&correction.set);
        // Taken exactly where all of its options are there: preferred to every atom that
        // consists of some of them.
        let preferred = atoms
            .iter()
            .filter(|a| a.options.iter().all(|o| options.contains(o)))
            .map(|a| a.planner)
            .fold(f64::INFINITY, f64::min);
        if options.is_empty() {
            continue;
        }
        atoms.retain(|a| a.options != options);
        atoms.push(Atom {
            options,
            planner: preferred - 1e-9 * preferred.abs() - 1e-12,
            believed: correction.believed,
        });
    }
    atoms
}

/// The selection problem that the prices amount to.
pub fn problem(
    workload: &Workload,
    pricings: &[Pricing],
    corrections: &[Vec<Correction>],
) -> Problem {
    let statements = workload
        .statements
        .iter()
        .zip(pricings)
        .zip(corrections)
        .map(|((statement, pricing), corrections)| {
            let now = pricing.lattice.price(&pricing.current);
            if pricing.failed.is_some() || now.is_none() {
                // Not priced: a constant, its measured time where that is known.
                let ms = statement.load.seen_ms().unwrap_or(0.0);
                return StatementCosts {
                    label: statement.label.clone(),
                    weight: ms,
                    max_regression: None,
                    atoms: vec![Atom {
                        options: Vec::new(),
                        planner: 1.0,
                        believed: 1.0,
                    }],
                };
            }
            StatementCosts {
                label: statement.label.clone(),
                weight: weight(&statement.load, now),
                max_regression: statement.max_regression,
                atoms: atoms(pricing, corrections),
            }
        })
        .collect();
    Problem {
        options: workload.options.iter().map(|o| o.option.clone()).collect(),
        statements,
        updates: workload.updates.clone(),
        tables: workload.tables.clone(),
        rules: workload.rules.clone(),
        base_ms: None,
        previous: workload.previous.clone(),
    }
}

/// Milliseconds a day that all statements take under `chosen`, as the model says.
pub fn model_ms(problem: &Problem, chosen: &[bool]) -> f64 {
    (0..problem.statements.len())
        .map(|q| problem.statements[q].weight * model_cost(problem, q, chosen))
        .sum()
}

/// What the model says statement `q` costs under `chosen` (believed).
pub fn model_cost(problem: &Problem, q: usize, chosen: &[bool]) -> f64 {
    problem.statements[q]
        .atoms
        .iter()
        .filter(|a| a.options.iter().all(|&o| chosen[o]))
        .min_by(|a, b| {
            a.planner
                .total_cmp(&b.planner)
                .then(a.believed.total_cmp(&b.believed))
        })
        .map_or(0.0, |a| a.believed)
}

/// What statement `q` may cost at most (believed): what it costs under `current`, and by as
/// much more as the rules allow.
pub fn ceiling(problem: &Problem, q: usize, current: &[bool]) -> f64 {
    let allowed = problem.statements[q]
        .max_regression
        .unwrap_or(problem.rules.max_regression);
    model_cost(problem, q, current) * (1.0 + allowed.max(0.0)) * (1.0 + 1e-9)
}

/// Prices every statement for real under `chosen`. Where the answer differs by more than
/// `tolerance` from the model's, it is added; returns how many differed.
pub fn check(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    corrections: &mut [Vec<Correction>],
    problem: &Problem,
    chosen: &[bool],
    tolerance: f64,
) -> Result<usize, Halt> {
    let mut differing = 0;
    let current = problem.current();
    for (q, statement) in workload.statements.iter().enumerate() {
        let pricing = &mut pricings[q];
        if pricing.options.is_empty() || pricing.failed.is_some() {
            continue;
        }
        let set = pricing.local(chosen);
        let Some(real) = asker.ask(statement, pricing, set)? else {
            continue;
        };
        let model = model_cost(problem, q, chosen);
        // Within the tolerance a difference is noise, unless it hides a broken rule.
        let ceiling = ceiling(problem, q, &current);
        let tolerance = if real.believed > ceiling && model <= ceiling {
            0.0
        } else {
            tolerance
        };
        if (model - real.believed).abs() > tolerance * real.believed.max(1e-9) {
            differing += 1;
            correct(pricing, &mut corrections[q], set, &real, tolerance);
        }
    }
    Ok(differing)
}

/// Makes the model agree with every answer that was given for exactly `chosen`: what was
/// learned since may have moved it. Asks nothing;
/// true where something changed.
pub fn recheck(pricings: &[Pricing], corrections: &mut [Vec<Correction>], chosen: &[bool]) -> bool {
    let mut changed = false;
    for (pricing, corrections) in pricings.iter().zip(corrections) {
        let set = pricing.local(chosen);
        if let Some(real) = pricing.lattice.asked(&set) {
            changed |= correct(pricing, corrections, set, real, 1e-6);
        }
    }
    changed
}

/// The answer is learned already (a new plan is a new atom); where that alone does not
/// give it, the exact set is added.
fn correct(
    pricing: &Pricing,
    corrections: &mut Vec<Correction>,
    set: OptionSet,
    real: &Known,
    tolerance: f64,
) -> bool {
    let options = pricing.global(&set);
    let given = |corrections: &[Correction]| {
        atoms(pricing, corrections)
            .iter()
            .filter(|a| a.options.iter().all(|o| options.contains(o)))
            .min_by(|a, b| {
                a.planner
                    .total_cmp(&b.planner)
                    .then(a.believed.total_cmp(&b.believed))
            })
            .map_or(0.0, |a| a.believed)
    };
    let differs = |cost: f64| (cost - real.believed).abs() > tolerance * real.believed.max(1e-9);
    if !differs(given(corrections)) {
        return false;
    }
    corrections.retain(|c| c.set != set);
    if differs(given(corrections)) {
        corrections.push(Correction {
            set,
            believed: real.believed,
        });
    }
    true
}

/// Makes the prices around `chosen` exact where they matter: for each option, what its
/// statements would cost with it gone (chosen) or added (not chosen), if the bounds leave
/// it open and the hope is worth the upkeep. At most `most` options a kind. With these the
/// next exact solve is at least as good as a local search by real calls.
pub fn probe(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    problem: &Problem,
    chosen: &[bool],
    most: usize,
) -> Result<u64, Halt> {
    let before = asker.calls;
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); workload.options.len()];
    for (q, pricing) in pricings.iter().enumerate() {
        if pricing.failed.is_none() {
            pricing.options.iter().for_each(|&o| of[o].push(q));
        }
    }
    let flipped = |pricing: &Pricing, o: usize| -> OptionSet {
        let set = pricing.local(chosen);
        let k = pricing
            .options
            .iter()
            .position(|&p| p == o)
            .expect("the option is the statement's");
        if set.has(k) {
            set.without(k)
        } else {
            set.with(k)
        }
    };
    // Hope of an addition: the model's cost now less the lower bound with it.
    let mut hopes: Vec<(f64, usize)> = Vec::new();
    for (o, statements) in of.iter().enumerate() {
        let option = &workload.options[o].option;
        let open: Vec<usize> = statements
            .iter()
            .copied()
            .filter(|&q| {
                pricings[q]
                    .lattice
                    .price(&flipped(&pricings[q], o))
                    .is_none()
            })
            .collect();
        if open.is_empty() || matches!(option.status, Status::Stays { .. }) {
            continue;
        }
        let hope: f64 = open
            .iter()
            .map(|&q| {
                let (lower, upper) = pricings[q].lattice.bounds(&flipped(&pricings[q], o));
                let now = model_cost(problem, q, chosen);
                let gap = if chosen[o] {
                    upper.min(1e300) - lower
                } else {
                    now - lower
                };
                problem.statements[q].weight * gap.max(0.0)
            })
            .sum();
        if chosen[o] || hope > option.write_ms {
            hopes.push((hope, o));
        }
    }
    hopes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, o) in hopes.into_iter().take(most) {
        for &q in &of[o] {
            let set = flipped(&pricings[q], o);
            let statement: &WorkloadStatement = &workload.statements[q];
            asker.price(statement, &mut pricings[q], set, 0.0)?;
        }
    }
    exchange(asker, workload, pricings, chosen, most)?;
    Ok(asker.calls - before)
}

/// Stand-ins that are tried for one chosen option.
const STAND_INS: usize = 3;

/// Asks what statements would cost if a smaller index of the same table stood in for one that
/// was chosen. As long as the larger one is there nobody learns what the smaller one is worth,
/// and listing plans from the best downwards may end before it comes up. At most `most` chosen
/// options, the largest first.
fn exchange(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    chosen: &[bool],
    most: usize,
) -> Result<(), Halt> {
    let option = |o: usize| &workload.options[o].option;
    let mut large: Vec<usize> = (0..chosen.len())
        .filter(|&o| chosen[o] && matches!(option(o).status, Status::Candidate))
        .collect();
    large.sort_by_key(|&o| (std::cmp::Reverse(option(o).bytes), o));
    for &o in large.iter().take(most) {
        // Statements that run on it, with its place among their options.
        let users: Vec<(usize, usize)> = (0..pricings.len())
            .filter_map(|q| {
                let pricing = &pricings[q];
                let k = pricing.options.iter().position(|&p| p == o)?;
                let plan = pricing.lattice.price(&pricing.local(chosen))?;
                (pricing.failed.is_none() && plan.used.has(k)).then_some((q, k))
            })
            .collect();
        let mut served: BTreeMap<usize, usize> = BTreeMap::new();
        for &(q, _) in &users {
            for &p in &pricings[q].options {
                let smaller = option(p).table == option(o).table
                    && option(p).bytes < option(o).bytes
                    && matches!(option(p).status, Status::Candidate);
                if smaller && !chosen[p] {
                    *served.entry(p).or_default() += 1;
                }
            }
        }
        let mut stand_ins: Vec<(usize, usize)> = served.into_iter().collect();
        // What serves most of its statements, and of those the largest: next to it.
        stand_ins.sort_by_key(|&(p, n)| (std::cmp::Reverse((n, option(p).bytes)), p));
        for (p, _) in stand_ins.into_iter().take(STAND_INS) {
            for &(q, k) in &users {
                let pricing = &mut pricings[q];
                let Some(at) = pricing.options.iter().position(|&other| other == p) else {
                    continue;
                };
                let set = pricing.local(chosen).without(k).with(at);
                asker.price(&workload.statements[q], pricing, set, 0.0)?;
            }
        }
    }
    Ok(())
}
