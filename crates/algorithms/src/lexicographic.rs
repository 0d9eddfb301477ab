//! Ordered goals with tolerances: optimise the first, turn it into a rule that allows its
//! tolerance, go on with the next.
//!
//! Lexicographic optimisation, M. Ehrgott: Multicriteria Optimization, 2nd ed., Springer
//! 2005, chapter 5; in the form that pganalyze publishes for index selection (goals and
//! rules over scans, "Constraint Programming Model"). Their published example, four scans
//! and four indexes, is a test.

use crate::branch_and_bound::{Found, Goal as Search, solve};
use crate::effort::{Effort, Pulse, Stop};
use crate::program::{Limit, Program, Score};

/// What may be minimised.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// Σ weight·cost over the queries.
    TotalCost,
    /// The greatest cost of any query, weighted or not.
    MaximumCost {
        /// Multiply each cost by its query's weight.
        weighted: bool,
    },
    /// A given amount, not negative, for each index (1, bytes).
    PerIndex(Vec<f64>),
    /// A given amount, not negative, for each index, and the update classes (lost heap-only
    /// updates).
    WriteCost(Vec<f64>),
    /// The program's own objective. As a rule it allows everything, so it belongs last.
    Objective,
}

impl Criterion {
    /// Its value under `chosen`.
    pub fn value(&self, program: &Program, chosen: &[bool]) -> f64 {
        let amount = |amounts: &[f64]| -> f64 {
            let of = amounts.iter().zip(chosen).filter(|(_, c)| **c);
            // (The sum of nothing is -0, which people would see.)
            of.fold(0.0, |sum, (a, _)| sum + a)
        };
        match self {
            Criterion::TotalCost => program.query_cost(chosen),
            Criterion::MaximumCost { weighted } => (0..program.queries.len())
                .map(|q| factor(program, q, *weighted) * program.atom_taken(q, chosen).cost)
                .fold(0.0, f64::max),
            Criterion::PerIndex(amounts) => amount(amounts),
            Criterion::WriteCost(amounts) => {
                let classes = (0..program.classes.len()).map(|u| program.class_cost(u, chosen));
                amount(amounts) + classes.sum::<f64>()
            }
            Criterion::Objective => program.score(chosen).objective,
        }
    }
}

/// A criterion and the share by which later goals may worsen it (0.1: ten per cent).
#[derive(Clone, Debug, PartialEq)]
pub struct OrderedGoal {
    /// What is minimised.
    pub criterion: Criterion,
    /// Relative tolerance, at least 0.
    pub tolerance: f64,
}

impl OrderedGoal {
    /// The limit that later goals keep once this one has reached `value`.
    pub fn allowed(&self, value: f64) -> f64 {
        value + self.tolerance.max(0.0) * value.abs()
    }
}

/// The outcome of one goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Its best value given the goals before it.
    pub value: f64,
    /// What it could not be below.
    pub bound: f64,
    /// The limit that later goals keep.
    pub allowed: f64,
}

/// Solves the goals in order under the program's own rules, each with an equal share of
/// `steps`: the last search's result and what each goal reached. Where no allowed choice is
/// found, or on a cancel, the result is of the search that ended so, and the list is short.
/// When time is up, the goals that are left choose among what is known.
///
/// # Panics
/// When there are no goals.
pub fn solve_in_order(
    program: &Program,
    goals: &[OrderedGoal],
    seeds: &[Vec<bool>],
    search: Search,
    steps: u64,
    pulse: &mut dyn FnMut() -> Pulse,
) -> (Found, Vec<Reached>) {
    assert!(!goals.is_empty(), "one goal at least");
    let mut rules = program.clone();
    let mut seeds = seeds.to_vec();
    let mut reached = Vec::new();
    let mut last: Option<Found> = None;
    let share = steps / goals.len() as u64;
    let (mut all_nodes, mut all_steps) = (0, 0);
    for goal in goals {
        let (bound, found) = match &goal.criterion {
            Criterion::MaximumCost { weighted } => {
                minimise_maximum(&rules, *weighted, &seeds, search, share, pulse)
            }
            criterion => {
                let objective = with_objective(&rules, criterion);
                let step = step(criterion);
                let search = Search {
                    gap: search.gap.max(coarse(step, &objective, &seeds)),
                    ..search
                };
                let found = solve(&objective, &seeds, search, &mut Effort::new(share, pulse));
                (next_multiple(found.bound, step), found)
            }
        };
        all_nodes += found.nodes;
        all_steps += found.steps;
        let goes_on = found.score.feasible() && found.stop != Stop::Cancelled;
        if goes_on {
            let value = goal.criterion.value(&rules, &found.chosen);
            let allowed = goal.allowed(value);
            add_rule(&mut rules, &goal.criterion, allowed);
            reached.push(Reached {
                value,
                bound: bound.min(value),
                allowed,
            });
            seeds.push(found.chosen.clone());
        }
        last = Some(found);
        if !goes_on {
            break;
        }
    }
    let mut found = last.expect("there is a goal");
    (found.nodes, found.steps) = (all_nodes, all_steps);
    (found, reached)
}

/// Of `choices`, all of them allowed, the one that the goals prefer, and what each goal reached
/// among them (its bound is that of the search, which the caller knows). `None` where there is
/// none.
pub fn best_in_order(
    program: &Program,
    goals: &[OrderedGoal],
    choices: &[Vec<bool>],
) -> Option<(usize, Vec<Reached>)> {
    let mut left: Vec<usize> = (0..choices.len()).collect();
    let mut reached = Vec::new();
    let mut first = *left.first()?;
    for goal in goals {
        let value = |k: usize| goal.criterion.value(program, &choices[k]);
        first = left
            .iter()
            .copied()
            .min_by(|&a, &b| value(a).total_cmp(&value(b)))?;
        let value_reached = value(first);
        let allowed = goal.allowed(value_reached);
        left.retain(|&k| value(k) <= allowed + Score::SLACK * allowed.abs());
        reached.push(Reached {
            value: value_reached,
            bound: f64::NEG_INFINITY,
            allowed,
        });
    }
    Some((first, reached))
}

/// What the values of a criterion are multiples of; 0 where nothing is known of them.
fn step(criterion: &Criterion) -> f64 {
    match criterion {
        Criterion::PerIndex(amounts) => {
            let mut used = amounts.iter().copied().filter(|a| *a > 0.0);
            let first = used.next().unwrap_or(0.0);
            if used.all(|a| a == first) { first } else { 0.0 }
        }
        _ => 0.0,
    }
}

/// The gap at which nothing better can be left, because it would be better by a whole step.
/// The best seed stands for what will be found, which is not more.
fn coarse(step: f64, objective: &Program, seeds: &[Vec<bool>]) -> f64 {
    let n = objective.indexes.len();
    let scores = seeds.iter().filter(|s| s.len() == n);
    let known = scores
        .map(|s| objective.score(s))
        .filter(|s| s.feasible() && s.objective > 0.0)
        .map(|s| s.objective)
        .fold(f64::INFINITY, f64::min);
    if step > 0.0 {
        0.999 * step / known
    } else {
        0.0
    }
}

/// The least multiple of `step` that is not below `bound`.
fn next_multiple(bound: f64, step: f64) -> f64 {
    if step > 0.0 && bound.is_finite() {
        step * (bound / step - 1e-6).ceil()
    } else {
        bound
    }
}

/// The program with one criterion as its objective.
fn with_objective(program: &Program, criterion: &Criterion) -> Program {
    let mut p = program.clone();
    if *criterion == Criterion::Objective {
        return p;
    }
    p.constant = 0.0;
    p.query_scale = 0.0;
    p.class_scale = 0.0;
    p.indexes.iter_mut().for_each(|t| t.linear = 0.0);
    match criterion {
        Criterion::TotalCost => p.query_scale = 1.0,
        Criterion::PerIndex(amounts) => charge(&mut p, amounts),
        Criterion::WriteCost(amounts) => {
            charge(&mut p, amounts);
            p.class_scale = 1.0;
        }
        Criterion::MaximumCost { .. } | Criterion::Objective => {}
    }
    p
}

fn charge(program: &mut Program, amounts: &[f64]) {
    let terms = program.indexes.iter_mut().zip(amounts);
    terms.for_each(|(term, amount)| term.linear = *amount);
}

fn add_rule(rules: &mut Program, criterion: &Criterion, allowed: f64) {
    let each = |amounts: &[f64]| {
        let numbered = amounts.iter().enumerate();
        numbered.map(|(i, a)| (i as u32, *a)).collect()
    };
    match criterion {
        Criterion::TotalCost => rules.query_cap = rules.query_cap.min(allowed),
        Criterion::MaximumCost { weighted } => ceilings(rules, *weighted, allowed),
        Criterion::PerIndex(amounts) => rules.limits.push(Limit {
            terms: each(amounts),
            classes: Vec::new(),
            at_most: allowed,
        }),
        Criterion::WriteCost(amounts) => rules.limits.push(Limit {
            terms: each(amounts),
            classes: (0..rules.classes.len() as u32).map(|u| (u, 1.0)).collect(),
            at_most: allowed,
        }),
        Criterion::Objective => {}
    }
}

fn ceilings(program: &mut Program, weighted: bool, at_most: f64) {
    for query in &mut program.queries {
        let ceiling = match (weighted, query.weight > 0.0) {
            (false, _) => at_most,
            (true, true) => at_most / query.weight,
            (true, false) => f64::INFINITY,
        };
        query.ceiling = query.ceiling.min(ceiling);
    }
}

/// What the cost of query `q` counts for in the greatest cost.
fn factor(program: &Program, q: usize, weighted: bool) -> f64 {
    if weighted {
        program.queries[q].weight
    } else {
        1.0
    }
}

/// The least greatest cost: bisection over the values it can have. Gives what it is proven not
/// to be below (a search that ran out of steps proves nothing) and the choice.
fn minimise_maximum(
    program: &Program,
    weighted: bool,
    seeds: &[Vec<bool>],
    search: Search,
    steps: u64,
    pulse: &mut dyn FnMut() -> Pulse,
) -> (f64, Found) {
    let mut values: Vec<f64> = (0..program.queries.len())
        .flat_map(|q| {
            let factor = factor(program, q, weighted);
            program.queries[q]
                .atoms
                .iter()
                .map(move |a| factor * a.cost)
        })
        .collect();
    values.push(0.0);
    values.sort_by(f64::total_cmp);
    values.dedup();
    let share = steps / u64::from(values.len().ilog2() + 2);
    // Only whether there is any choice matters, so any gap will do.
    let any = Search { gap: 1.0, ..search };
    let mut attempt = |value: f64| {
        let mut p = with_objective(program, &Criterion::TotalCost);
        ceilings(&mut p, weighted, value * (1.0 + 1e-12));
        solve(&p, seeds, any, &mut Effort::new(share, pulse))
    };
    let criterion = Criterion::MaximumCost { weighted };
    let (mut low, mut high) = (0, values.len() - 1);
    let mut best = attempt(values[high]);
    let mut proven = 0;
    let ended = |found: &Found| matches!(found.stop, Stop::Cancelled | Stop::Deadline);
    let (mut nodes, mut spent) = (best.nodes, best.steps);
    let mut stop = best.stop;
    while best.score.feasible() && low < high && !ended(&best) {
        // What was found may be better than what was asked for.
        let reached = criterion.value(program, &best.chosen);
        high = high.min(values.partition_point(|v| *v < reached));
        if low >= high {
            break;
        }
        let middle = (low + high) / 2;
        let found = attempt(values[middle]);
        nodes += found.nodes;
        spent += found.steps;
        if found.score.feasible() {
            high = middle;
            best = found;
        } else {
            if found.bound == f64::INFINITY {
                proven = middle + 1;
            }
            if ended(&found) {
                stop = found.stop;
                break;
            }
            low = middle + 1;
        }
    }
    if ended(&best) {
        stop = best.stop;
    }
    (best.nodes, best.steps, best.stop) = (nodes, spent, stop);
    (values[proven], best)
}

/// Gives each query the ceiling `(1 + tolerance)` × the least cost it can have at all
/// (the rule "maximum per-scan cost tolerance").
pub fn cost_tolerance(program: &mut Program, tolerance: f64) {
    for query in &mut program.queries {
        let best = query
            .atoms
            .iter()
            .map(|a| a.cost)
            .fold(f64::INFINITY, f64::min);
        query.ceiling = query.ceiling.min(best * (1.0 + tolerance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Atom, Fix, IndexTerm, QueryTerm};

    /// The published example: costs of four scans without and with each of four indexes.
    fn published() -> Program {
        let read = [35.0, 22.0, 37.0, 42.0];
        let cost: [[Option<f64>; 4]; 4] = [
            [Some(15.0), None, Some(12.0), Some(27.0)],
            [None, Some(14.0), None, Some(14.0)],
            [Some(13.0), Some(11.0), Some(21.0), None],
            [Some(21.0), Some(11.0), Some(18.0), None],
        ];
        Program {
            indexes: vec![
                IndexTerm {
                    linear: 0.0,
                    fix: Fix::Free
                };
                4
            ],
            queries: (0..4)
                .map(|scan| QueryTerm {
                    weight: 1.0,
                    ceiling: f64::INFINITY,
                    atoms: std::iter::once(Atom::new(vec![], read[scan]))
                        .chain(
                            (0..4).filter_map(|i| {
                                cost[i][scan].map(|c| Atom::new(vec![i as u32], c))
                            }),
                        )
                        .collect(),
                })
                .collect(),
            ..Program::default()
        }
    }

    fn exact() -> Search {
        Search {
            gap: 0.0,
            ..Search::default()
        }
    }

    fn count() -> Criterion {
        Criterion::PerIndex(vec![1.0; 4])
    }

    #[test]
    fn published_example() {
        let program = published();
        assert_eq!(program.score(&[false; 4]).objective, 136.0);
        let mut go_on = || Pulse::Continue;
        let mut pair = program.clone();
        pair.limits.push(Limit {
            terms: (0..4).map(|i| (i, 1.0)).collect(),
            classes: vec![],
            at_most: 2.0,
        });
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        assert_eq!(
            solve(&pair, &[], exact(), &mut effort).score.objective,
            55.0
        );
        let goals = [
            OrderedGoal {
                criterion: Criterion::TotalCost,
                tolerance: 0.0,
            },
            OrderedGoal {
                criterion: count(),
                tolerance: 0.0,
            },
        ];
        let (found, reached) = solve_in_order(&program, &goals, &[], exact(), u64::MAX, &mut go_on);
        assert_eq!((reached[0].value, reached[1].value), (50.0, 3.0));
        assert_eq!(program.score(&found.chosen).objective, 50.0);
        // A tenth of tolerance (cost up to 55) saves an index.
        let goals = [
            OrderedGoal {
                tolerance: 0.1,
                ..goals[0].clone()
            },
            goals[1].clone(),
        ];
        let (found, reached) = solve_in_order(&program, &goals, &[], exact(), u64::MAX, &mut go_on);
        assert_eq!(reached[1].value, 2.0);
        assert_eq!(program.score(&found.chosen).objective, 55.0);
    }

    #[test]
    fn the_greatest_cost_first() {
        let goals = [
            OrderedGoal {
                criterion: Criterion::MaximumCost { weighted: false },
                tolerance: 0.0,
            },
            OrderedGoal {
                criterion: count(),
                tolerance: 0.0,
            },
        ];
        let mut go_on = || Pulse::Continue;
        let program = published();
        let (_, reached) = solve_in_order(&program, &goals, &[], exact(), u64::MAX, &mut go_on);
        // Scan 4 cannot be below 14, scan 2 then is 14 or 11, scans 1 and 3 13 and 12.
        assert_eq!((reached[0].value, reached[1].value), (14.0, 3.0));
    }

    #[test]
    fn impossible_rules_give_nothing() {
        let mut program = published();
        cost_tolerance(&mut program, 0.0);
        program.limits.push(Limit {
            terms: (0..4).map(|i| (i, 1.0)).collect(),
            classes: vec![],
            at_most: 2.0,
        });
        let goals = [OrderedGoal {
            criterion: Criterion::TotalCost,
            tolerance: 0.0,
        }];
        let mut go_on = || Pulse::Continue;
        let (found, reached) = solve_in_order(&program, &goals, &[], exact(), u64::MAX, &mut go_on);
        assert!(!found.score.feasible() && reached.is_empty());
    }
}
