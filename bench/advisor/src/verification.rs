//! What IndexPilot's verification does to a set, replayed: the indexes of one night are built,
//! each statement whose plan reads one of them is compared with what it took the day before, and
//! where it is slower by more than `max_regression` the indexes that its plan reads are taken
//! back. Then the plans are others, and are compared again.

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
    let mut stays: Vec<String> = advised.to_vec();
    let mut undone = Vec::new();
    let before = plans.of(session, built, queries, &[]);
    loop {
        let after = plans.of(session, built, queries, &stays);
        let known = undone.len();
        for query in 0..queries.len() {
            if before[query] == after[query] {
                continue;
            }
            let factor = compare(session, built, queries, plans, before[query], after[query]);
            if factor <= 1.0 + MAX_REGRESSION {
                continue;
            }
            let plan = &plans.list[after[query]].plan;
            let (blamed, kept): (Vec<String>, Vec<String>) = stays
                .into_iter()
                .partition(|definition| reads(plan, &built[definition]));
            stays = kept;
            undone.extend(blamed.into_iter().map(|definition| Undone {
                definition,
                query,
                factor,
            }));
        }
        if undone.len() == known {
            return (stays, undone);
        }
    }
}

/// Whether a plan names an index.
fn reads(plan: &str, index: &str) -> bool {
    plan.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| word == index)
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
