//! The same workload gives the same advice; a shifted one changes it once and not back and
//! forth; what was built or dropped not long ago is left alone.

mod common;

use common::{Dice, Synthetic, advised, random_workload};
use indexpilot_advisor::pricing::{Load, Workload};
use indexpilot_advisor::selection::Status;

fn run(workload: &Workload, planner: &mut Synthetic) -> Vec<bool> {
    advised(planner, workload).solution.chosen
}

/// Weights as another day would measure them: each off by up to `noise`.
fn another_day(workload: &Workload, seed: u64, noise: f64) -> Workload {
    let mut dice = Dice(seed);
    let mut day = workload.clone();
    for statement in &mut day.statements {
        if let Load::Assumed { calls_per_day, .. } = &mut statement.load {
            *calls_per_day *= 1.0 + noise * (2.0 * dice.unit() - 1.0);
        }
    }
    day
}

/// What the worker would do with the advice: build and drop, then run again.
fn act(workload: &Workload, planner: &mut Synthetic, chosen: &[bool]) -> Workload {
    let mut next = workload.clone();
    planner.real = (0..chosen.len()).filter(|&o| chosen[o]).collect();
    for (o, priced) in next.options.iter_mut().enumerate() {
        priced.handle = planner.handle(o);
        priced.option.ours |= chosen[o] && priced.option.status == Status::Candidate;
        priced.option.status = match (&priced.option.status, chosen[o]) {
            (Status::Stays { why }, true) => Status::Stays { why: why.clone() },
            // Dropping something again costs lock waits and the risk of another build.
            (_, true) => Status::Droppable {
                price_ms: priced.option.build_ms,
            },
            (Status::Banned { why }, false) => Status::Banned { why: why.clone() },
            (_, false) => Status::Candidate,
        };
    }
    next.previous = Some(chosen.to_vec());
    next
}

#[test]
fn the_same_workload_twice_gives_the_same_advice() {
    for seed in 0..30 {
        let (workload, mut planner) = random_workload(seed, 4, 12, 15, 0.0);
        let first = run(&workload, &mut planner);
        assert_eq!(
            first,
            run(&workload, &mut planner),
            "seed {seed}: not repeatable"
        );
        let mut again = workload.clone();
        again.previous = Some(first.clone());
        assert_eq!(first, run(&again, &mut planner), "seed {seed}: not stable");
    }
}

/// A week of days that differ by noise only: once acted upon, nothing more is done.
#[test]
fn noise_from_day_to_day_changes_nothing() {
    let mut changed = 0;
    for seed in 0..20 {
        let (workload, mut planner) = random_workload(seed, 3, 10, 12, 0.0);
        let mut chosen = run(&workload, &mut planner);
        let mut state = act(&workload, &mut planner, &chosen);
        for day in 0..7 {
            let today = another_day(&state, 100 * seed + day, 0.05);
            let next = run(&today, &mut planner);
            changed += usize::from(next != chosen);
            chosen = next;
            state = act(&state, &mut planner, &chosen);
        }
    }
    println!("{changed} changes in 140 days");
    assert_eq!(changed, 0);
}

/// A → B → B …: the weights of half of the statements move to the other half. The advice
/// changes at most twice and then stands; no index is built and dropped again.
#[test]
fn a_shift_changes_the_advice_at_most_twice() {
    for seed in 0..20 {
        let (mut workload, mut planner) = random_workload(seed, 3, 10, 16, 0.0);
        // A budget that does not hold both halves' favourites.
        workload.rules.storage_budget =
            Some(workload.options.iter().map(|o| o.option.bytes).sum::<u64>() / 2);
        let weigh = |workload: &mut Workload, half: usize| {
            for (q, statement) in workload.statements.iter_mut().enumerate() {
                let ms_per_unit = if q % 2 == half { 1.0 } else { 0.02 };
                statement.load = Load::Assumed {
                    calls_per_day: 1.0,
                    ms_per_unit,
                };
            }
        };
        weigh(&mut workload, 0);
        let mut chosen = run(&workload, &mut planner);
        let mut state = act(&workload, &mut planner, &chosen);
        weigh(&mut state, 1);
        let mut changes = 0;
        let mut flips = vec![0; chosen.len()];
        for day in 0..8 {
            let next = run(&another_day(&state, 1_000 * seed + day, 0.03), &mut planner);
            changes += usize::from(next != chosen);
            for o in 0..chosen.len() {
                flips[o] += u32::from(next[o] != chosen[o]);
            }
            chosen = next;
            state = act(&state, &mut planner, &chosen);
        }
        assert!(changes <= 2, "seed {seed}: {changes} changes");
        assert!(flips.iter().all(|f| *f <= 1), "seed {seed}: oscillates");
    }
}

/// Dwell time and bans are obeyed whatever they cost, and named.
#[test]
fn dwell_and_ban_are_obeyed() {
    let (mut workload, mut planner) = random_workload(4, 3, 10, 12, 0.0);
    let free = run(&workload, &mut planner);
    let built = free
        .iter()
        .zip(&workload.options)
        .position(|(c, o)| *c && o.option.status == Status::Candidate)
        .unwrap();
    workload.options[built].option.status = Status::Banned {
        why: "dropped 2 days ago; not before 28 days are over".into(),
    };
    let advice = advised(&mut planner, &workload);
    assert!(!advice.solution.chosen[built]);
    assert!(
        advice.solution.why[built]
            .sentence
            .starts_with("dropped 2 days ago")
    );
    // Built yesterday, useless today: it stays until its dwell time is over.
    workload.options[built].option.status = Status::Stays {
        why: "built 1 day ago; stays 14 days at least".into(),
    };
    planner.real.push(built);
    workload.options[built].handle = planner.handle(built);
    workload.options[built].option.write_ms = 1e6;
    let advice = advised(&mut planner, &workload);
    assert!(advice.solution.chosen[built]);
    assert!(
        advice.solution.why[built]
            .sentence
            .starts_with("built 1 day ago")
    );
}
