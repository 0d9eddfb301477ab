//! What IndexPilot's verification does to a set, replayed: the worker builds one index at a
//! time, in the order of the advice, and compares each statement whose plan reads the new
//! index with what it took before. An index that makes one slower by more than
//! `max_regression` is taken back.

use crate::Query;
use crate::measure::{Built, Plans, median};
use indexpilot_tests::Session;

/// `max_regression` as it comes.
const MAX_REGRESSION: f64 = 0.10;
/// Runs of either plan that are compared, after one that warms.
const RUNS: usize = 3;

/// An index that was taken back.
#[derive(Clone, Debug)]
pub struct Undone {
    /// Its definition.
    pub definition: String,
    /// The statement that it made slower.
    pub query: usize,
    /// By which factor.
    pub factor: f64,
}

/// The set that stays, and what was taken back.
pub fn verify(
    session: &mut Session,
    built: &Built,
    queries: &[Query],
    plans: &mut Plans,
    advised: &[String],
) -> (Vec<String>, Vec<Undone>) {
    let mut stays: Vec<String> = Vec::new();
    let mut undone = Vec::new();
    let mut before = plans.of(session, built, queries, &stays);
    for definition in advised {
        let mut with = stays.clone();
        with.push(definition.clone());
        let after = plans.of(session, built, queries, &with);
        let mut worst: Option<(usize, f64)> = None;
        for query in 0..queries.len() {
            // Only a plan that reads the index blames it.
            if before[query] == after[query]
                || !plans.list[after[query]].plan.contains(&built[definition])
            {
                continue;
            }
            let factor = compare(session, built, queries, plans, before[query], after[query]);
            if factor > 1.0 + MAX_REGRESSION && worst.is_none_or(|(_, most)| factor > most) {
                worst = Some((query, factor));
            }
        }
        match worst {
            Some((query, factor)) => undone.push(Undone {
                definition: definition.clone(),
                query,
                factor,
            }),
            None => (stays, before) = (with, after),
        }
    }
    (stays, undone)
}

/// How many times as long the plan `after` takes as `before`; runs in turn.
fn compare(
    session: &mut Session,
    built: &Built,
    queries: &[Query],
    plans: &mut Plans,
    before: usize,
    after: usize,
) -> f64 {
    for number in [before, after] {
        // What an earlier comparison measured stands.
        while plans.list[number].seconds.len() <= RUNS {
            let seconds = plans.run(session, built, queries, number);
            plans.list[number].seconds.push(seconds);
        }
    }
    let typical = |number: usize| median(&plans.list[number].seconds[1..]);
    typical(after) / typical(before)
}
