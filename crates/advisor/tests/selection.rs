//! Selection in the advisor's words: rules, reasons, stability, cancel.

use indexpilot_advisor::selection::*;
use indexpilot_model::goal::{Goal, OrderedGoal};

fn candidate(label: &str, bytes: u64, write_ms: f64) -> IndexOption {
    IndexOption {
        label: label.into(),
        table: 1,
        status: Status::Candidate,
        ours: false,
        bytes,
        bytes_at_most: bytes,
        occupies: bytes,
        write_ms,
        build_ms: 1_000.0,
    }
}

fn atom(options: &[usize], cost: f64) -> Atom {
    Atom {
        options: options.to_vec(),
        planner: cost,
        believed: cost,
    }
}

fn statement(label: &str, weight: f64, atoms: Vec<Atom>) -> StatementCosts {
    StatementCosts {
        label: label.into(),
        weight,
        max_regression: None,
        atoms,
    }
}

fn go_on() -> Pulse {
    Pulse::Continue
}

fn answer(problem: &Problem) -> Solution {
    let limits = SearchLimits {
        gap: 0.0,
        ..SearchLimits::default()
    };
    solve(problem, limits, &mut go_on).expect("solvable")
}

/// One table, one candidate on a column that is updated all the time.
fn hot_problem(updates: f64) -> Problem {
    Problem {
        options: vec![candidate("contacts (last_seen)", 1 << 20, 5.0)],
        statements: vec![statement(
            "SELECT … ORDER BY last_seen",
            10.0,
            vec![atom(&[], 1_000.0), atom(&[0], 10.0)],
        )],
        updates: vec![UpdateGroup {
            label: "last_seen".into(),
            table: 1,
            updates,
            triggers: vec![0],
            already_lost: false,
            base_ms: updates * 0.05,
            outside: 3,
            per_option: vec![(0, updates * 0.015)],
        }],
        tables: vec![TableState {
            table: 1,
            label: "contacts".into(),
            indexes_outside: 3,
            bytes: 1 << 30,
            write_ms_now: 1e6,
        }],
        ..Problem::default()
    }
}

#[test]
fn a_hot_updated_column_is_refused_and_chosen_without_the_updates() {
    let with = answer(&hot_problem(500_000.0));
    assert_eq!(with.chosen, [false]);
    let decision = &with.why[0];
    assert!(
        matches!(decision.reason, Reason::LosesHot { indexes: 4, .. }),
        "{decision:?}"
    );
    assert!(
        decision
            .sentence
            .contains("500000 HOT updates a day into non-HOT, charging 4 index"),
        "{}",
        decision.sentence
    );
    let without = answer(&hot_problem(0.0));
    assert_eq!(without.chosen, [true]);
    assert_eq!(without.why[0].action, Action::Create);
    assert!((without.why[0].saving_ms - 9_900.0).abs() < 1e-6);
}

#[test]
fn an_index_that_the_planner_falls_for_is_refused() {
    // The planner prefers the plan with option 0, which we believe to be three times as dear.
    let mut problem = hot_problem(0.0);
    problem.statements.push(StatementCosts {
        atoms: vec![
            atom(&[], 100.0),
            Atom {
                options: vec![0],
                planner: 80.0,
                believed: 300.0,
            },
        ],
        ..statement("SELECT … big join", 0.001, vec![])
    });
    let solution = answer(&problem);
    assert_eq!(solution.chosen, [false]);
    assert!(
        matches!(&solution.why[0].reason, Reason::Regresses { statement, factor } if statement == "SELECT … big join" && (*factor - 3.0).abs() < 1e-9)
    );
    // Where that statement may get worse, the total decides.
    problem.statements[1].max_regression = Some(5.0);
    assert_eq!(answer(&problem).chosen, [true]);
}

#[test]
fn every_rule_gives_its_reason() {
    let mut problem = Problem {
        options: vec![
            candidate("a", 100, 1.0),
            candidate("b", 100, 1.0),
            candidate("twin of a", 120, 2.0),
            candidate("no use", 10, 1.0),
            candidate("dear", 10, 50_000.0),
            IndexOption {
                status: Status::Banned {
                    why: "dropped 3 days ago; not again before 27 days".into(),
                },
                ..candidate("banned", 1, 0.0)
            },
            IndexOption {
                status: Status::Droppable { price_ms: 10.0 },
                ..candidate("unused", 50, 400.0)
            },
            IndexOption {
                status: Status::Droppable { price_ms: 10.0 },
                ..candidate("used", 50, 1.0)
            },
            candidate("a little", 1, 0.1),
        ],
        statements: vec![
            statement(
                "q0",
                10.0,
                vec![
                    atom(&[], 1_000.0),
                    atom(&[0], 10.0),
                    atom(&[2], 10.5),
                    atom(&[5], 1.0),
                ],
            ),
            statement(
                "q1",
                5.0,
                vec![
                    atom(&[], 1_000.0),
                    atom(&[1], 10.0),
                    atom(&[4], 12.0),
                    atom(&[7], 500.0),
                ],
            ),
            statement("q2", 5.0, vec![atom(&[], 1_000.0), atom(&[8], 900.0)]),
        ],
        tables: vec![TableState {
            table: 1,
            label: "t".into(),
            indexes_outside: 1,
            bytes: 1 << 30,
            write_ms_now: 1_000.0,
        }],
        ..Problem::default()
    };
    problem.rules.storage_budget = Some(1_000);
    let solution = answer(&problem);
    assert_eq!(
        solution.chosen,
        [true, true, false, false, false, false, false, false, false]
    );
    let action = |k: usize| solution.why[k].action;
    assert_eq!(action(0), Action::Create);
    assert!(matches!(solution.why[2].reason, Reason::NothingLeftToGain));
    assert!(matches!(solution.why[3].reason, Reason::TooLittleImprovement(s) if s == 0.0));
    assert!(
        matches!(&solution.why[5].reason, Reason::Decided(w) if w.starts_with("dropped 3 days ago"))
    );
    assert_eq!(action(6), Action::Drop);
    assert!(
        matches!(solution.why[8].reason, Reason::TooLittleImprovement(s) if (s - 0.1).abs() < 1e-9)
    );
    // A budget for one: the better for its size.
    problem.rules.storage_budget = Some(199);
    let solution = answer(&problem);
    assert!(solution.chosen[0] && !solution.chosen[1]);
    // With room for one index on the table beside the three that are there.
    problem.rules.storage_budget = None;
    problem.rules.max_indexes_per_table = Some(1);
    let solution = answer(&problem);
    assert_eq!(
        solution.chosen.iter().filter(|c| **c).count(),
        2,
        "never fewer than exist, never more"
    );
    // Upkeep that breaks the write cap.
    problem.rules.max_indexes_per_table = None;
    problem.rules.max_write_overhead = Some(0.2);
    problem.statements[1].weight = 1e6;
    problem.options[1].status = Status::Banned { why: "test".into() };
    let solution = answer(&problem);
    assert!(!solution.chosen[4]);
    assert!(
        matches!(solution.why[4].reason, Reason::NoRoom(_)),
        "{:?}",
        solution.why[4].reason
    );
    assert!(solution.why[4].sentence.contains("max_write_overhead"));
}

#[test]
fn what_hardly_ever_runs_gets_no_index() {
    let mut problem = hot_problem(0.0);
    let chosen = answer(&problem).chosen;
    let wanted = chosen.iter().position(|c| *c).expect("one pays");
    // Whatever it saves is less than everything twice over.
    problem.rules.min_share = 2.0;
    let solution = answer(&problem);
    assert!(!solution.chosen[wanted]);
    assert!(matches!(
        solution.why[wanted].reason,
        Reason::TooSmallShare(share) if share > 0.0 && share <= 1.0
    ));
    // Measured by the time that is left when full scans are gone, the same saving is much.
    problem.base_ms = Some(1e-6);
    assert_eq!(answer(&problem).chosen, chosen);
    problem.base_ms = None;
    // A share that it does save changes nothing.
    problem.rules.min_share = 1e-9;
    assert_eq!(answer(&problem).chosen, chosen);
}

#[test]
fn room_has_a_price_where_no_budget_says_so() {
    // A narrow index and a covering one four times as large that saves a little more.
    let mut problem = Problem {
        options: vec![
            candidate("narrow", 100 << 20, 0.0),
            candidate("covering", 400 << 20, 0.0),
        ],
        statements: vec![statement(
            "SELECT …",
            1.0,
            vec![atom(&[], 1e6), atom(&[0], 1_000.0), atom(&[1], 990.0)],
        )],
        tables: vec![TableState {
            table: 1,
            label: "t".into(),
            indexes_outside: 1,
            bytes: 1_000 << 20,
            write_ms_now: 1e6,
        }],
        ..Problem::default()
    };
    assert_eq!(answer(&problem).chosen, [false, true]);
    problem.rules.storage_share = 0.1;
    // Of what is left: three tenths of the tables' size must save three hundredths, and the
    // covering index saves one.
    problem.base_ms = Some(1_000.0);
    let solution = answer(&problem);
    assert_eq!(solution.chosen, [true, false]);
    assert!(
        solution.why[1].sentence.contains("room"),
        "{}",
        solution.why[1].sentence
    );
    // Of what it takes now nothing would be worth its room.
    problem.base_ms = None;
    problem.statements[0].weight = 1e-9;
    problem.rules.storage_share = 20.0;
    assert_eq!(answer(&problem).chosen, [false, false]);
}

/// Where a goal leaves an index out that would pay, it is named, with its figures.
#[test]
fn a_goal_is_the_reason_where_it_decides() {
    let candidates = [("a", 100 << 20), ("b", 10 << 20)];
    let mut problem = Problem {
        options: candidates.map(|(l, b)| candidate(l, b, 1.0)).to_vec(),
        statements: vec![
            statement("first", 1.0, vec![atom(&[], 1_000.0), atom(&[0], 900.0)]),
            statement("second", 1.0, vec![atom(&[], 10_000.0), atom(&[1], 100.0)]),
        ],
        ..Problem::default()
    };
    problem.rules.min_improvement = 0.0;
    assert_eq!(answer(&problem).chosen, [true, true]);
    let goal = |goal, tolerance| OrderedGoal { goal, tolerance };
    problem.rules.goals = vec![goal(Goal::TotalCost, 0.2), goal(Goal::IndexBytes, 0.5)];
    let solution = answer(&problem);
    assert_eq!(solution.chosen, [false, true]);
    let [time, bytes] = solution.goals.as_slice() else {
        panic!("{:?}", solution.goals);
    };
    assert_eq!(
        (time.before, time.best, time.reached),
        (11_000.0, 1_000.0, 1_100.0)
    );
    assert!((time.allowed - 1_200.0).abs() < 1e-9 && time.bound <= 1_000.0);
    assert_eq!(
        (bytes.best, bytes.reached),
        (f64::from(10 << 20), f64::from(10 << 20))
    );
    let refused = &solution.why[0];
    assert!(
        matches!(refused.reason, Reason::Goal(Goal::IndexBytes, ..)),
        "{refused:?}"
    );
    assert!(
        refused
            .sentence
            .contains("index_bytes to 110.0 MB, and the goals allow 15.0 MB"),
        "{refused:?}"
    );
    // The other way round nothing is the smallest.
    problem.rules.goals.reverse();
    assert_eq!(answer(&problem).chosen, [false, false]);
}

#[test]
fn a_saving_too_small_changes_nothing() {
    let mut problem = hot_problem(0.0);
    problem.rules.min_saving_ms = 20_000.0;
    let solution = answer(&problem);
    assert!(changes_nothing(&problem, &solution.chosen));
    assert_eq!(solution.after, solution.before);
}

#[test]
fn cancel_is_an_error_and_a_deadline_an_answer() {
    let problem = hot_problem(0.0);
    let cancelled = solve(&problem, SearchLimits::default(), &mut || Pulse::Cancel);
    assert_eq!(cancelled.unwrap_err(), SelectionError::Cancelled);
    let late = solve(&problem, SearchLimits::default(), &mut || Pulse::Deadline).unwrap();
    assert_eq!(late.stop, Stop::Deadline);
    assert!(late.gap.is_finite() || late.bound == f64::NEG_INFINITY);
}

#[test]
fn a_malformed_problem_is_refused() {
    let mut problem = hot_problem(0.0);
    problem.statements[0].atoms[1].options = vec![7];
    assert!(matches!(
        solve(&problem, SearchLimits::default(), &mut go_on),
        Err(SelectionError::Malformed(_))
    ));
}
