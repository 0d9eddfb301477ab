//! Published answers reached: the TPC-H instance of hyrise/index_selection_evaluation.

mod common;

use indexpilot_algorithms::branch_and_bound::{Goal, solve};
use indexpilot_algorithms::effort::{Effort, Pulse};

#[test]
fn tpch_sf10_width3_at_every_published_budget() {
    let Some(text) = common::published_tpch() else {
        return;
    };
    let published = common::parse_ampl(&text).expect("the file parses");
    assert_eq!(published.sizes.len(), 1215);
    assert_eq!(published.queries.len(), 19);
    for (gigabytes, answer) in [(0.5, 0.973), (2.5, 0.801), (5.0, 0.721), (10.0, 0.676)] {
        let program = published.program(gigabytes * 1e9);
        program.check().unwrap();
        let nothing = program.score(&vec![false; 1215]).objective;
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(4_000_000_000, &mut go_on);
        let goal = Goal {
            gap: 1e-5,
            ..Goal::default()
        };
        let started = std::time::Instant::now();
        let found = solve(&program, &[], goal, &mut effort);
        let relative = found.score.objective / nothing;
        println!(
            "{gigabytes} GB: {relative:.5} (published {answer}), gap {:.6}, {} nodes, core {}, {:?}, {} M steps, {:?}",
            found.gap(),
            found.nodes,
            found.core,
            found.stop,
            found.steps / 1_000_000,
            started.elapsed(),
        );
        assert!(found.score.feasible());
        // The published figure has three digits.
        assert!(
            relative <= (answer + 0.0005) * 1.0001,
            "{relative} at {gigabytes} GB"
        );
        assert!(
            found.gap() <= 0.005,
            "gap {} at {gigabytes} GB",
            found.gap()
        );
    }
}
