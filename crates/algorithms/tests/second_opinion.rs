//! An independent solver agrees: the same program as a mixed-integer program in the strong
//! formulation, solved by microlp.

mod common;

use indexpilot_algorithms::branch_and_bound::{Goal, solve};
use indexpilot_algorithms::effort::{Effort, Pulse};
use indexpilot_algorithms::program::{Fix, Program};
use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem, SolveOptions, Variable};

/// The optimum by microlp, or `None` where nothing is allowed. Programs whose planner order
/// disagrees with the cost order cannot be written this way.
fn by_microlp(program: &Program) -> Option<f64> {
    let mut mip = Problem::new(OptimizationDirection::Minimize);
    let x: Vec<Variable> = program
        .indexes
        .iter()
        .map(|t| mip.add_binary_var(t.linear))
        .collect();
    for (i, term) in program.indexes.iter().enumerate() {
        match term.fix {
            Fix::Free => {}
            Fix::In => mip.add_constraint([(x[i], 1.0)], ComparisonOp::Eq, 1.0),
            Fix::Out => mip.add_constraint([(x[i], 1.0)], ComparisonOp::Eq, 0.0),
        }
    }
    for query in &program.queries {
        let mut one = LinearExpr::empty();
        let mut uses: Vec<(u32, LinearExpr)> = Vec::new();
        for atom in query.atoms.iter().filter(|a| a.cost <= query.ceiling) {
            let y = mip.add_var(query.weight * atom.cost, (0.0, 1.0));
            one.add(y, 1.0);
            for &i in &atom.indexes {
                match uses.iter_mut().find(|(j, _)| *j == i) {
                    Some((_, row)) => row.add(y, 1.0),
                    None => {
                        let mut row = LinearExpr::empty();
                        row.add(y, 1.0);
                        uses.push((i, row));
                    }
                }
            }
        }
        mip.add_constraint(one, ComparisonOp::Eq, 1.0);
        for (i, mut row) in uses {
            row.add(x[i as usize], -1.0);
            mip.add_constraint(row, ComparisonOp::Le, 0.0);
        }
    }
    for limit in program.limits.iter().filter(|l| l.classes.is_empty()) {
        let scale = limit.at_most.abs().max(1.0);
        let mut row = LinearExpr::empty();
        limit
            .terms
            .iter()
            .for_each(|&(i, c)| row.add(x[i as usize], c / scale));
        mip.add_constraint(row, ComparisonOp::Le, limit.at_most / scale);
    }
    let mut options = SolveOptions::default();
    options.mip_gap = 1e-6;
    match mip.solve_with(options) {
        Ok(outcome) => {
            Some(program.constant + outcome.solution().expect("no limit was set").objective())
        }
        Err(microlp::Error::Infeasible) => None,
        Err(error) => panic!("{error}"),
    }
}

fn ours(program: &Program) -> Option<f64> {
    let mut go_on = || Pulse::Continue;
    let mut effort = Effort::new(u64::MAX, &mut go_on);
    let found = solve(
        program,
        &[],
        Goal {
            gap: 1e-7,
            ..Goal::default()
        },
        &mut effort,
    );
    found.score.feasible().then_some(found.score.objective)
}

#[test]
fn on_random_programs_too_large_for_brute_force() {
    let mut solved = 0;
    for seed in 0..80 {
        let mut program = common::random_program(seed, 40);
        program.classes.clear();
        program.limits.iter_mut().for_each(|l| l.classes.clear());
        program.query_cap = f64::INFINITY;
        program
            .queries
            .iter_mut()
            .flat_map(|q| &mut q.atoms)
            .for_each(|a| a.rank = a.cost);
        let (theirs, ours) = (by_microlp(&program), ours(&program));
        match (theirs, ours) {
            (None, None) => {}
            (Some(t), Some(o)) => {
                solved += 1;
                assert!(
                    (t - o).abs() <= 1e-5 * t.abs().max(1.0),
                    "seed {seed}: {o}, microlp {t}"
                );
            }
            (t, o) => panic!("seed {seed}: {o:?}, microlp {t:?}"),
        }
    }
    assert!(solved > 40, "{solved} of 80 are feasible");
}

/// The published instance at its smallest and largest budget: what we call optimal is.
#[test]
fn on_the_published_instance() {
    let Some(text) = common::published_tpch() else {
        return;
    };
    let published = common::parse_ampl(&text).unwrap();
    for gigabytes in [0.5, 10.0] {
        let mut program = published.program(gigabytes * 1e9);
        // Costs of 10¹⁰ beside variables of 1 are outside what the other solver likes.
        program
            .queries
            .iter_mut()
            .flat_map(|q| &mut q.atoms)
            .for_each(|a| {
                a.cost *= 1e-6;
                a.rank = a.cost;
            });
        let (theirs, ours) = (by_microlp(&program).unwrap(), ours(&program).unwrap());
        println!("{gigabytes} GB: {ours:.4}, microlp {theirs:.4}");
        assert!((theirs - ours).abs() <= 1e-5 * theirs);
    }
}
