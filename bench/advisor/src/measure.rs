//! Times of plans. Two sets under which a statement has the very same plan do the same work,
//! so a plan is run once a round, and counts for every set that has it.

use crate::Query;
use indexpilot_tests::Session;
use std::collections::BTreeMap;

/// CPU seconds that the session's backend has used (`/proc`, in nanoseconds).
pub fn backend_seconds(session: &mut Session) -> f64 {
    let pid = session.pid();
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    let first = text.split_ascii_whitespace().next().expect("a number");
    first.parse::<f64>().expect("nanoseconds") / 1e9
}

/// The built indexes: definition and name.
pub type Built = BTreeMap<String, String>;

/// Lets the planner see only these of the built indexes: as the server itself does while an
/// index is not yet valid. Queries only read here, so no index misses a row.
pub fn show(session: &mut Session, built: &Built, set: &[String]) {
    let names: Vec<String> = set.iter().map(|d| format!("'{}'", built[d])).collect();
    let shown = if names.is_empty() {
        "false".to_owned()
    } else {
        format!("c.relname IN ({})", names.join(", "))
    };
    session.run(&format!(
        "UPDATE pg_index AS i SET indisvalid = ({shown}) FROM pg_class AS c
         WHERE c.oid = i.indexrelid AND c.relname LIKE 'judged\\_%' AND indisvalid <> ({shown})"
    ));
}

/// The plan of a statement as text: equal texts are equal plans.
pub fn plan(session: &mut Session, query: &Query) -> String {
    let rows = session.rows(&format!("EXPLAIN (COSTS OFF, VERBOSE) {}", query.sql));
    let lines: Vec<String> = rows.into_iter().filter_map(|row| row[0].clone()).collect();
    lines.join("\n")
}

/// A plan of a statement, with what it took.
pub struct Timed {
    /// The statement's number.
    pub query: usize,
    /// The plan.
    pub plan: String,
    /// Indexes under which it comes out.
    pub set: Vec<String>,
    /// CPU seconds, one a round.
    pub seconds: Vec<f64>,
}

/// All plans that were met.
#[derive(Default)]
pub struct Plans {
    /// By number.
    pub list: Vec<Timed>,
}

impl Plans {
    /// The numbers of the plans of all statements under `set`, which is shown by this.
    pub fn of(
        &mut self,
        session: &mut Session,
        built: &Built,
        queries: &[Query],
        set: &[String],
    ) -> Vec<usize> {
        show(session, built, set);
        let mut numbers = Vec::new();
        for (number, query) in queries.iter().enumerate() {
            let plan = plan(session, query);
            let known = self
                .list
                .iter()
                .position(|timed| timed.query == number && timed.plan == plan);
            numbers.push(known.unwrap_or_else(|| {
                self.list.push(Timed {
                    query: number,
                    plan,
                    set: set.to_vec(),
                    seconds: Vec::new(),
                });
                self.list.len() - 1
            }));
        }
        numbers
    }

    /// Runs a plan once; CPU seconds.
    pub fn run(
        &self,
        session: &mut Session,
        built: &Built,
        queries: &[Query],
        number: usize,
    ) -> f64 {
        let timed = &self.list[number];
        let query = &queries[timed.query];
        show(session, built, &timed.set);
        // This also brings the changed catalog into the backend's caches.
        assert_eq!(plan(session, query), timed.plan, "the plan has changed");
        let start = backend_seconds(session);
        session.rows(&query.sql);
        backend_seconds(session) - start
    }
}

/// The middle of a few numbers.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
