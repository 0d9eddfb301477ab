//! Ordered goals with tolerances: optimise the first, turn it into a rule that allows its
//! tolerance, go on with the next.
//!
//! Lexicographic optimisation, M. Ehrgott: Multicriteria Optimization, 2nd ed., Springer
//! 2005, chapter 5; in the form that pganalyze publishes for index selection (goals and
//! rules over scans, "Constraint Programming Model"). Their published example, four scans
//! and four indexes, is a test.

use crate::branch_and_bound::{Found, Goal as Search, solve};
use crate::effort::Effort;
use crate::program::{Limit, Program};

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
    /// Number of chosen indexes.
    IndexCount,
    /// A given amount for each index (bytes, write cost).
    PerIndex(Vec<f64>),
    /// The cost of the update classes (lost heap-only updates).
    UpdateClasses,
}

/// A criterion and the share by which later goals may worsen it (0.1: ten per cent).
#[derive(Clone, Debug, PartialEq)]
pub struct OrderedGoal {
    /// What is minimised.
    pub criterion: Criterion,
    /// Relative tolerance, at least 0.
    pub tolerance: f64,
}

/// The outcome of one goal.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Its best value given the goals before it.
    pub value: f64,
    /// What it could not be below.
    pub bound: f64,
    /// The limit that later goals keep.
    pub allowed: f64,
}

/// Solves the goals in order under the program's own rules. The last search's result and
/// what each goal reached; `None` when the rules allow nothing.
pub fn solve_in_order(
    program: &Program,
    goals: &[OrderedGoal],
    seeds: &[Vec<bool>],
    search: Search,
    effort: &mut Effort<'_>,
) -> Option<(Found, Vec<Reached>)> {
    let mut rules = program.clone();
    let mut seeds = seeds.to_vec();
    let mut reached = Vec::new();
    let mut last = None;
    for goal in goals {
        let found = match &goal.criterion {
            Criterion::MaximumCost { weighted } => {
                minimise_maximum(&rules, *weighted, &seeds, search, effort)?
            }
            criterion => {
                let found = solve(&with_objective(&rules, criterion), &seeds, search, effort);
                if !found.score.feasible() {
                    return None;
                }
                (found.score.objective, found.bound, found)
            }
        };
        let (value, bound, found) = found;
        let allowed = value + goal.tolerance.max(0.0) * value.abs();
        add_rule(&mut rules, &goal.criterion, allowed);
        reached.push(Reached {
            value,
            bound,
            allowed,
        });
        seeds.push(found.chosen.clone());
        last = Some(found);
        if !effort.open() {
            break;
        }
    }
    last.map(|found| (found, reached))
}

/// The program with one criterion as its objective.
fn with_objective(program: &Program, criterion: &Criterion) -> Program {
    let mut p = program.clone();
    p.constant = 0.0;
    p.query_scale = 0.0;
    p.class_scale = 0.0;
    p.indexes.iter_mut().for_each(|t| t.linear = 0.0);
    match criterion {
        Criterion::TotalCost => p.query_scale = 1.0,
        Criterion::IndexCount => p.indexes.iter_mut().for_each(|t| t.linear = 1.0),
        Criterion::PerIndex(amounts) => p
            .indexes
            .iter_mut()
            .zip(amounts)
            .for_each(|(t, a)| t.linear = *a),
        Criterion::UpdateClasses => p.class_scale = 1.0,
        Criterion::MaximumCost { .. } => {}
    }
    p
}

fn add_rule(rules: &mut Program, criterion: &Criterion, allowed: f64) {
    let n = rules.indexes.len() as u32;
    match criterion {
        Criterion::TotalCost => rules.query_cap = rules.query_cap.min(allowed),
        Criterion::MaximumCost { weighted } => ceilings(rules, *weighted, allowed),
        Criterion::IndexCount => rules.limits.push(Limit {
            terms: (0..n).map(|i| (i, 1.0)).collect(),
            classes: Vec::new(),
            at_most: allowed,
        }),
        Criterion::PerIndex(amounts) => rules.limits.push(Limit {
            terms: amounts
                .iter()
                .enumerate()
                .map(|(i, a)| (i as u32, *a))
                .collect(),
            classes: Vec::new(),
            at_most: allowed,
        }),
        Criterion::UpdateClasses => rules.limits.push(Limit {
            terms: Vec::new(),
            classes: (0..rules.classes.len() as u32).map(|u| (u, 1.0)).collect(),
            at_most: allowed,
        }),
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

/// The least greatest cost: bisection over the values it can have.
fn minimise_maximum(
    program: &Program,
    weighted: bool,
    seeds: &[Vec<bool>],
    search: Search,
    effort: &mut Effort<'_>,
) -> Option<(f64, f64, Found)> {
    let factor = |q: &crate::program::QueryTerm| if weighted { q.weight } else { 1.0 };
    let mut values: Vec<f64> = program
        .queries
        .iter()
        .flat_map(|q| q.atoms.iter().map(|a| factor(q) * a.cost))
        .collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let attempt = |value: f64, effort: &mut Effort<'_>| {
        let mut p = with_objective(program, &Criterion::TotalCost);
        ceilings(&mut p, weighted, value * (1.0 + 1e-12));
        // Only whether there is any choice matters, so any gap will do.
        solve(&p, seeds, Search { gap: 1.0, ..search }, effort)
    };
    let (mut low, mut high) = (0, values.len().checked_sub(1)?);
    let mut best = attempt(values[high], effort);
    if !best.score.feasible() {
        return None;
    }
    while low < high && effort.open() {
        let middle = (low + high) / 2;
        let found = attempt(values[middle], effort);
        if found.score.feasible() {
            high = middle;
            best = found;
        } else {
            low = middle + 1;
        }
    }
    Some((values[high], values[low], best))
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
    use crate::effort::Pulse;
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

    #[test]
    fn published_example() {
        let program = published();
        assert_eq!(program.score(&[false; 4]).objective, 136.0);
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        let mut pair = program.clone();
        pair.limits.push(Limit {
            terms: (0..4).map(|i| (i, 1.0)).collect(),
            classes: vec![],
            at_most: 2.0,
        });
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
                criterion: Criterion::IndexCount,
                tolerance: 0.0,
            },
        ];
        let (found, reached) = solve_in_order(&program, &goals, &[], exact(), &mut effort).unwrap();
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
        let (found, reached) = solve_in_order(&program, &goals, &[], exact(), &mut effort).unwrap();
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
                criterion: Criterion::IndexCount,
                tolerance: 0.0,
            },
        ];
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        let (_, reached) = solve_in_order(&published(), &goals, &[], exact(), &mut effort).unwrap();
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
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        assert!(solve_in_order(&program, &goals, &[], exact(), &mut effort).is_none());
    }
}
