//! The judge: one database, one session, one ANALYZE sample for all sets.

use crate::Query;
use crate::advisors::{Advice, OURS, OURS_VERIFIED, cost};
use crate::measure::{Built, Plans, show};
use crate::progress;
use crate::verification::{self, Undone};
use indexpilot_tests::{Cluster, Session};
use std::collections::BTreeSet;
use std::time::Instant;

/// A set, judged. Times are by statement, in the order of the statements.
pub struct Judged {
    /// The set.
    pub advice: Advice,
    /// What verification took back to arrive at it.
    pub undone: Vec<Undone>,
    /// Size really, MB.
    pub size: f64,
    /// Sum of the planner's costs by HypoPG.
    pub estimated: f64,
    /// With the indexes really there.
    pub built: f64,
    /// CPU seconds of the backend, by statement and round.
    pub times: Vec<Vec<f64>>,
}

/// Bounds of the measurement.
pub struct Limits {
    /// Start of the run.
    pub start: Instant,
    /// Measured rounds.
    pub rounds: usize,
    /// Minutes for the whole run: where they are short, rounds are left out, down to two.
    pub minutes: f64,
}

/// Costs by HypoPG, and with the indexes really there nothing yet.
fn estimate(session: &mut Session, queries: &[Query], advice: Advice) -> Judged {
    for definition in &advice.definitions {
        // (HypoPG knows fewer kinds of indexes than there are; what it cannot make is not
        // in its estimate.)
        let _ = session.try_rows(&format!("SELECT hypopg_create_index($q${definition}$q$)"));
    }
    let judged = Judged {
        advice,
        undone: Vec::new(),
        size: 0.0,
        estimated: queries.iter().map(|q| cost(session, &q.sql)).sum(),
        built: 0.0,
        times: Vec::new(),
    };
    session.run("SELECT hypopg_reset()");
    judged
}

/// Builds every index of all sets once.
fn build(session: &mut Session, advice: &[Advice], start: Instant) -> Built {
    let mut built = Built::new();
    let all: BTreeSet<&String> = advice.iter().flat_map(|one| &one.definitions).collect();
    for (number, definition) in all.iter().enumerate() {
        let name = format!("judged_{number}");
        progress(
            start,
            &format!("building {} of {}: {definition}", number + 1, all.len()),
        );
        let named = definition.replacen("CREATE INDEX ON", &format!("CREATE INDEX {name} ON"), 1);
        session.run(&named);
        built.insert((*definition).clone(), name);
    }
    built
}

/// Judges all sets, the empty one first, and IndexPilot's also after verification. Returns
/// how many rounds were measured.
pub fn judge(
    cluster: &Cluster,
    queries: &[Query],
    advice: Vec<Advice>,
    limits: &Limits,
) -> (Vec<Judged>, usize) {
    let mut session = cluster.session_in("judge");
    session.run("CREATE EXTENSION hypopg");
    let built = build(&mut session, &advice, limits.start);
    show(&mut session, &built, &[]);
    let none = Advice {
        tool: "none".to_owned(),
        budget: 0.0,
        definitions: Vec::new(),
        seconds: 0.0,
        calls: None,
    };
    let mut judged: Vec<Judged> = Vec::new();
    for one in std::iter::once(none).chain(advice) {
        judged.push(estimate(&mut session, queries, one));
    }
    let mut plans = Plans::default();
    let mut verified = Vec::new();
    for one in judged.iter().filter(|one| one.advice.tool == OURS) {
        progress(
            limits.start,
            &format!("verifying IndexPilot's set at {} MB", one.advice.budget),
        );
        let (definitions, undone) = verification::verify(
            &mut session,
            &built,
            queries,
            &mut plans,
            &one.advice.definitions,
        );
        verified.push((
            Advice {
                tool: OURS_VERIFIED.to_owned(),
                definitions,
                ..one.advice.clone()
            },
            undone,
        ));
    }
    show(&mut session, &built, &[]);
    for (place, (advice, undone)) in verified.into_iter().enumerate() {
        let mut one = estimate(&mut session, queries, advice);
        one.undone = undone;
        let ours = judged.iter().filter(|j| j.advice.tool == OURS).count();
        judged.insert(1 + ours + place, one);
    }
    let mut numbers = Vec::new();
    for one in &mut judged {
        numbers.push(plans.of(&mut session, &built, queries, &one.advice.definitions));
        one.built = queries.iter().map(|q| cost(&mut session, &q.sql)).sum();
        for definition in &one.advice.definitions {
            let name = &built[definition];
            one.size += session.number(&format!("SELECT pg_relation_size('{name}')")) / 1e6;
        }
    }
    let rounds = measure(&mut session, &built, queries, &mut plans, &numbers, limits);
    for (one, numbers) in judged.iter_mut().zip(&numbers) {
        one.times = numbers
            .iter()
            .map(|number| plans.list[*number].seconds.clone())
            .collect();
    }
    (judged, rounds)
}

/// Runs every plan that a set has, round after round, after one round that only warms.
fn measure(
    session: &mut Session,
    built: &Built,
    queries: &[Query],
    plans: &mut Plans,
    numbers: &[Vec<usize>],
    limits: &Limits,
) -> usize {
    // By statement: plans of the same statement follow each other.
    let mut needed: Vec<usize> = numbers.iter().flatten().copied().collect();
    needed.sort_unstable_by_key(|number| (plans.list[*number].query, *number));
    needed.dedup();
    for timed in &mut plans.list {
        timed.seconds.clear();
    }
    let mut rounds = limits.rounds;
    let mut round = 0;
    while round <= rounds {
        let begin = Instant::now();
        progress(
            limits.start,
            &match round {
                0 => format!("warming {} plans", needed.len()),
                _ => format!("round {round} of {rounds}, {} plans", needed.len()),
            },
        );
        for &number in &needed {
            let seconds = plans.run(session, built, queries, number);
            if round > 0 {
                plans.list[number].seconds.push(seconds);
            }
        }
        if round == 0 {
            let left = limits.minutes * 60.0 - limits.start.elapsed().as_secs_f64();
            let fit = (left / begin.elapsed().as_secs_f64().max(1e-3)) as usize;
            if fit < rounds {
                rounds = rounds.min(fit.max(2));
                eprintln!("{} minutes have room for {rounds} rounds", limits.minutes);
            }
        }
        round += 1;
    }
    rounds
}
