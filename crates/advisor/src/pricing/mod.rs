//! Pricing: what statements cost under sets of indexes, with as few planner calls as
//! possible, and the loop from prices to a verified choice.
//!
//! Planner calls are nine tenths and more of an advisor's time (J. Kossmann, S. Halfpap,
//! M. Jankrift, R. Schlosser: "Magic mirror in my hand, which is the best in the land?",
//! PVLDB 13(12), 2020), so each call is made to tell as much as it can. Calls are made with
//! *many* indexes at once, and the plan says which of them it uses: the plan with set S
//! that uses U ⊆ S is the plan of every set between U and S. Taking the used ones away and
//! asking again lists the plans from the best downwards ([`explore`]); what is not used is
//! never asked about. The rest follows from bounds: a price lies between those of a larger
//! and of a smaller set (W. Wang et al.: "Wii: Dynamic Budget Reallocation In Index
//! Tuning", SIGMOD 2024). Whatever is chosen is priced for real in the end ([`verify`]).

pub mod advise;
pub mod calibration;
pub mod caution;
pub mod explore;
pub mod lattice;
pub mod option_set;
pub mod retreat;
pub mod verify;

pub use advise::{Advice, PricingLimits, StatementReport, advise};
pub use caution::{Caution, Observation};

use crate::selection::{IndexOption, Rules, TableState, UpdateGroup};
use indexpilot_model::{CandidateId, Oid, StatementId};

/// How much a statement weighs.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Measured time under the present indexes, milliseconds a day: calibrates the
    /// statement's milliseconds for each cost unit.
    Measured {
        /// Milliseconds a day.
        ms_per_day: f64,
    },
    /// Measured plan by plan, some of which may be history: an index that was built last
    /// week must not be credited again with what the statement took before.
    Plans {
        /// Calls a day.
        calls_per_day: f64,
        /// What ran.
        plans: Vec<PlanTime>,
    },
    /// Not measured: calls a day and an assumed number of milliseconds a cost unit.
    Assumed {
        /// Calls a day.
        calls_per_day: f64,
        /// Milliseconds for each planner cost unit.
        ms_per_unit: f64,
    },
}

/// Executions of one plan of a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanTime {
    /// How many.
    pub calls: f64,
    /// Their time, milliseconds.
    pub ms: f64,
    /// The planner's cost, summed over them; 0 where it is unknown (imported history).
    pub cost: f64,
}

/// Plans whose cost is at most this many times the present one are the present plan, or as
/// good: parameters make a factor, an index that is there now and was not makes more.
const PRESENT: f64 = 3.0;
/// Executions of present plans from which on their own time is believed.
const ENOUGH_CALLS: f64 = 5.0;

impl Load {
    /// Milliseconds a day under the present indexes, where the planner says `cost` of the
    /// present plan; `None` where nothing was measured.
    ///
    /// The time of the present plans themselves where they ran often enough; else all that
    /// was measured, in proportion to the planner's costs.
    pub fn measured_ms(&self, cost: f64) -> Option<f64> {
        match self {
            Load::Measured { ms_per_day } => Some(ms_per_day.max(0.0)),
            Load::Assumed { .. } => None,
            Load::Plans {
                calls_per_day,
                plans,
            } => {
                let total = |among: &dyn Fn(&PlanTime) -> bool| {
                    plans
                        .iter()
                        .filter(|plan| plan.calls > 0.0 && among(plan))
                        .fold((0.0, 0.0, 0.0), |(calls, ms, sum), plan| {
                            (calls + plan.calls, ms + plan.ms, sum + plan.cost)
                        })
                };
                let (calls, ms, _) =
                    total(&|plan| plan.cost > 0.0 && plan.cost <= PRESENT * cost * plan.calls);
                if calls >= ENOUGH_CALLS {
                    return Some(calls_per_day * ms / calls);
                }
                let (_, known_ms, sum) = total(&|plan| plan.cost > 0.0);
                let (calls, ms, _) = total(&|_| true);
                let per_call = if sum > 0.0 && cost > 0.0 {
                    known_ms / sum * cost
                } else if calls > 0.0 {
                    ms / calls
                } else {
                    return None;
                };
                Some(calls_per_day * per_call)
            }
        }
    }

    /// Milliseconds a day over all that was measured, history included.
    pub fn seen_ms(&self) -> Option<f64> {
        match self {
            Load::Measured { ms_per_day } => Some(ms_per_day.max(0.0)),
            Load::Assumed { .. } => None,
            Load::Plans {
                calls_per_day,
                plans,
            } => {
                let calls: f64 = plans.iter().map(|plan| plan.calls).sum();
                let ms: f64 = plans.iter().map(|plan| plan.ms).sum();
                (calls > 0.0).then(|| calls_per_day * ms / calls)
            }
        }
    }
}

/// One statement of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadStatement {
    /// Identity for the planner port.
    pub id: StatementId,
    /// For people.
    pub label: String,
    /// How much it weighs.
    pub load: Load,
    /// Own `max_regression`, where it is protected.
    pub max_regression: Option<f64>,
    /// Options that could serve it at all, by number (those on its relations whose leading
    /// key, predicate or order the statement mentions; all on its relations is right too).
    pub relevant: Vec<usize>,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// A hypothetical index, registered with the port.
    Hypothetical(CandidateId),
    /// A real index, hidden where it is not chosen.
    Real(Oid),
}

/// An option of the problem and its handle.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedOption {
    /// What is known of it.
    pub option: IndexOption,
    /// How the planner port knows it.
    pub handle: Handle,
    /// What past actions of its kind saved of what was predicted
    /// ([`crate::verification::gamma`]); 1 where there were none.
    pub gamma: f64,
}

/// Everything that [`advise`] needs beside the port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Options by number.
    pub options: Vec<PricedOption>,
    /// Statements by number.
    pub statements: Vec<WorkloadStatement>,
    /// Update groups over the options.
    pub updates: Vec<UpdateGroup>,
    /// Tables with options.
    pub tables: Vec<TableState>,
    /// Limits.
    pub rules: Rules,
    /// What was advised last time, by option.
    pub previous: Option<Vec<bool>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(calls: f64, ms: f64, cost: f64) -> PlanTime {
        PlanTime {
            calls,
            ms: calls * ms,
            cost: calls * cost,
        }
    }

    #[test]
    fn history_does_not_count_as_present_time() {
        let load = |plans| Load::Plans {
            calls_per_day: 1_000.0,
            plans,
        };
        let both = load(vec![plan(100.0, 50.0, 20_000.0), plan(300.0, 0.1, 80.0)]);
        // The index is there: its own time.
        assert!((both.measured_ms(85.0).unwrap() - 100.0).abs() < 1e-9);
        // The index is gone: everything qualifies as present.
        assert!(both.measured_ms(20_000.0).unwrap() > 10_000.0);
        // The index has just been built and did not run yet: in proportion.
        let before = load(vec![plan(100.0, 50.0, 20_000.0)]);
        assert!((before.measured_ms(80.0).unwrap() - 200.0).abs() < 1e-9);
        assert!((before.seen_ms().unwrap() - 50_000.0).abs() < 1e-9);
        // Imported history has no costs: it counts where nothing else is known.
        let imported = plan(1_000.0, 7.0, 0.0);
        assert!((load(vec![imported]).measured_ms(80.0).unwrap() - 7_000.0).abs() < 1e-9);
        let with = load(vec![imported, plan(100.0, 50.0, 20_000.0)]);
        assert!((with.measured_ms(80.0).unwrap() - 200.0).abs() < 1e-9);
        assert_eq!(load(vec![]).measured_ms(1.0), None);
    }
}
