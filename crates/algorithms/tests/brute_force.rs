//! Every random program of up to 15 indexes, with every kind of term and limit, is solved
//! to the optimum that brute force finds; the fast state equals the slow definition.

mod common;

use common::{Dice, brute_force, random_program};
use indexpilot_algorithms::branch_and_bound::{Goal, solve};
use indexpilot_algorithms::effort::{Effort, Pulse};
use indexpilot_algorithms::lexicographic::{Criterion, OrderedGoal, best_in_order, solve_in_order};
use indexpilot_algorithms::presolve::reduce;
use indexpilot_algorithms::program::{Fix, Program};
use indexpilot_algorithms::selection_state::{Layout, State};
use indexpilot_algorithms::volume::Relaxation;
use proptest::prelude::*;

fn exact() -> Goal {
    Goal {
        gap: 0.0,
        ..Goal::default()
    }
}

fn check_against_brute_force(seed: u64, most: u64) {
    let program = random_program(seed, most);
    program.check().unwrap();
    let mut go_on = || Pulse::Continue;
    let mut effort = Effort::new(u64::MAX, &mut go_on);
    let found = solve(&program, &[], exact(), &mut effort);
    match brute_force(&program) {
        None => assert!(
            !found.score.feasible(),
            "seed {seed}: found {:?}, but nothing is allowed",
            found.score
        ),
        Some((best, chosen)) => {
            assert!(
                found.score.feasible(),
                "seed {seed}: {chosen:?} is allowed, none was found"
            );
            let slack = 1e-7 * best.abs().max(1.0);
            assert!(
                (found.score.objective - best).abs() <= slack,
                "seed {seed}: {} instead of {best} ({chosen:?})",
                found.score.objective
            );
            assert!(
                found.bound <= best + slack,
                "seed {seed}: bound {} above {best}",
                found.bound
            );
            assert!(found.gap() <= 1e-6, "seed {seed}: gap {}", found.gap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn solve_equals_brute_force(seed in any::<u64>()) {
        check_against_brute_force(seed, 9);
    }

    #[test]
    fn counters_equal_the_definition(seed in any::<u64>()) {
        let program = random_program(seed, 12);
        let layout = Layout::new(&program);
        let n = program.indexes.len();
        let mut dice = Dice(seed ^ 1);
        let mut state = State::new(&layout, &vec![false; n]);
        for _ in 0..40 {
            let i = dice.below(n as u64) as usize;
            let (peeked, _) = state.peek(i);
            state.flip(i);
            let exact = program.score(&state.chosen);
            for score in [peeked, state.score()] {
                prop_assert!((score.objective - exact.objective).abs() <= 1e-7 * exact.objective.abs().max(1.0), "seed {seed}");
                prop_assert!((score.violation - exact.violation).abs() <= 1e-6 * exact.violation.max(1.0), "seed {seed}");
                prop_assert_eq!(score.feasible(), exact.feasible(), "seed {}", seed);
            }
        }
    }

    #[test]
    fn presolve_keeps_the_optimum(seed in any::<u64>()) {
        let program = random_program(seed, 9);
        let reduced = reduce(&program);
        let whole = brute_force(&program);
        let small = brute_force(&reduced.program);
        match (whole, small) {
            (None, None) => {}
            (Some((a, _)), Some((b, chosen))) => {
                prop_assert!((a - b).abs() <= 1e-7 * a.abs().max(1.0), "seed {seed}: {a} {b}");
                let lifted = program.score(&reduced.lift(&chosen));
                prop_assert!(lifted.feasible() && (lifted.objective - a).abs() <= 1e-7 * a.abs().max(1.0), "seed {seed}");
            }
            (a, b) => prop_assert!(false, "seed {seed}: {a:?} {b:?}"),
        }
    }

    #[test]
    fn the_bound_is_a_bound(seed in any::<u64>()) {
        let program = random_program(seed, 9);
        let layout = Layout::new(&program);
        let relaxation = Relaxation::new(&layout);
        let fix: Vec<Fix> = program.indexes.iter().map(|t| t.fix).collect();
        let mut at = relaxation.start();
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        let bound = relaxation.bound(&fix, &relaxation.class_states(&fix, &[]), &mut at, f64::INFINITY, 0.0, 100, &mut effort);
        if let Some((best, _)) = brute_force(&program) {
            prop_assert!(bound.value <= best + 1e-7 * best.abs().max(1.0), "seed {seed}: {} above {best}", bound.value);
        }
    }
}

/// Fifteen indexes, fewer cases (32,768 choices each).
#[test]
fn fifteen_indexes() {
    let mut done = 0;
    let mut seed = 1_000;
    while done < 60 {
        if random_program(seed, 15).indexes.len() == 15 {
            check_against_brute_force(seed, 15);
            done += 1;
        }
        seed += 1;
    }
}

/// The random programs are worth solving: most allow something, most optima choose some
/// and leave some, and nothing simpler than the search reaches all of them.
#[test]
fn the_random_programs_are_not_trivial() {
    use indexpilot_algorithms::greedy::{Measure, construct};
    let (mut feasible, mut mixed, mut greedy_misses, mut order_matters) = (0, 0, 0, 0);
    for seed in 0..400 {
        let program = random_program(seed, 9);
        let Some((best, chosen)) = brute_force(&program) else {
            continue;
        };
        feasible += 1;
        mixed += usize::from(chosen.iter().any(|&c| c) && chosen.iter().any(|&c| !c));
        let layout = Layout::new(&program);
        let must: Vec<bool> = program.indexes.iter().map(|t| t.fix == Fix::In).collect();
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(u64::MAX, &mut go_on);
        let reached = [Measure::Gain, Measure::GainPerShare]
            .map(|m| program.score(&construct(&layout, &must, m, &mut effort)))
            .into_iter()
            .any(|s| s.feasible() && s.objective <= best + 1e-6 * best.abs());
        greedy_misses += usize::from(!reached);
        // With the planner's order ignored (the cheapest atom is taken) the answer differs.
        let mut agreeing = program.clone();
        agreeing
            .queries
            .iter_mut()
            .flat_map(|q| &mut q.atoms)
            .for_each(|a| a.rank = a.cost);
        order_matters += usize::from(
            brute_force(&agreeing).is_none_or(|(b, _)| (b - best).abs() > 1e-6 * best.abs()),
        );
    }
    println!(
        "of 400: {feasible} feasible, {mixed} mixed optima, greedy misses {greedy_misses}, order matters {order_matters}"
    );
    assert!(feasible > 240 && mixed > 180 && greedy_misses > 10 && order_matters > 40);
}

/// What the goals reach in order, by looking at every choice.
fn in_order_by_brute_force(program: &Program, goals: &[OrderedGoal]) -> Option<Vec<f64>> {
    let n = program.indexes.len();
    let allowed: Vec<Vec<bool>> = (0u32..1 << n)
        .map(|mask| (0..n).map(|k| mask >> k & 1 == 1).collect::<Vec<bool>>())
        .filter(|chosen| program.score(chosen).feasible())
        .collect();
    let (_, reached) = best_in_order(program, goals, &allowed)?;
    Some(reached.iter().map(|r| r.value).collect())
}

/// Goals in a random order with random tolerances, the program's own objective last.
fn random_goals(program: &Program, dice: &mut Dice) -> Vec<OrderedGoal> {
    let n = program.indexes.len();
    let mut criteria = vec![
        Criterion::TotalCost,
        Criterion::MaximumCost { weighted: false },
        Criterion::MaximumCost { weighted: true },
        Criterion::PerIndex(vec![1.0; n]),
        Criterion::PerIndex((0..n).map(|_| (1 + dice.below(100)) as f64).collect()),
        Criterion::WriteCost((0..n).map(|_| 30.0 * dice.unit()).collect()),
    ];
    let mut goals = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(criteria.len() as u64) as usize;
        goals.push(OrderedGoal {
            criterion: criteria.remove(at),
            tolerance: if dice.chance(0.3) {
                0.0
            } else {
                0.3 * dice.unit()
            },
        });
    }
    goals.push(OrderedGoal {
        criterion: Criterion::Objective,
        tolerance: 0.0,
    });
    goals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each goal reaches the best that the goals before it leave, its bound is one, and the
    /// choice keeps what all of them allow.
    #[test]
    fn goals_in_order_equal_brute_force(seed in any::<u64>()) {
        let program = random_program(seed, 8);
        let goals = random_goals(&program, &mut Dice(seed ^ 2));
        let mut go_on = || Pulse::Continue;
        let (found, reached) =
            solve_in_order(&program, &goals, &[], exact(), u64::MAX, &mut go_on);
        let Some(best) = in_order_by_brute_force(&program, &goals) else {
            prop_assert!(!found.score.feasible(), "seed {seed}: found, but nothing is allowed");
            return Ok(());
        };
        prop_assert_eq!(reached.len(), goals.len(), "seed {}", seed);
        for ((goal, reached), best) in goals.iter().zip(&reached).zip(best) {
            let slack = 1e-6 * best.abs().max(1.0);
            prop_assert!((reached.value - best).abs() <= slack, "seed {seed}: {goal:?}: {} instead of {best}", reached.value);
            prop_assert!(reached.bound <= best + slack, "seed {seed}: {goal:?}: bound {} above {best}", reached.bound);
            let last = goal.criterion.value(&program, &found.chosen);
            prop_assert!(last <= reached.allowed + slack, "seed {seed}: {goal:?}: {last} is not allowed by {}", reached.allowed);
        }
        prop_assert!(program.score(&found.chosen).feasible(), "seed {seed}");
    }
}
