//! [`Caution`]'s amounts from measured plans: statements that ran without our indexes and run with
//! them now, in nested loops. What the same statement took a unit before tells what a unit is;
//! what it takes now beyond the planner's cost is what its inner scans really are.
//!
//! Only such pairs count. Across statements milliseconds a unit differ by more than what is to be
//! found, and where indexes were there before us there is no "without" that was measured.

use super::caution::{Caution, Observation, inner_work};
use super::{ENOUGH_CALLS, Load, PRESENT, PlanTime};
use crate::selection::{Pulse, SelectionError};
use indexpilot_model::price::{Price, PriceError};
use indexpilot_model::{Oid, StatementId, WhatIf};

/// Statements that are asked about, at most, two planner calls each.
const MOST: usize = 200;
/// The amounts as they were found on other machines count as so many observations.
const PRIOR: f64 = 10.0;
/// A plan of the past whose mean cost is within this factor of what the planner says now is
/// the same plan: tables grow, parameters differ.
const SAME: f64 = 2.0;

/// A statement with its history, and our indexes on its relations.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// Identity for the planner port.
    pub id: StatementId,
    /// Its plans and times.
    pub load: &'a Load,
    /// Indexes that we built, on its relations.
    pub ours: Vec<Oid>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// The amounts.
    pub caution: Caution,
    /// Pairs that they come from; with none they are what was given.
    pub pairs: usize,
}

/// `base`, calibrated by those of `measured` that ran both with and without our indexes.
///
/// # Errors
/// [`SelectionError::Cancelled`]. What cannot be priced tells nothing, and is left out.
pub fn calibrated(
    port: &mut dyn WhatIf,
    measured: &[Measured<'_>],
    base: Caution,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Calibrated, SelectionError> {
    let mut observations = Vec::new();
    let mut asked = 0;
    for one in measured {
        let Load::Plans { plans, .. } = one.load else {
            continue;
        };
        // Two plans at least, or there is no pair.
        if one.ours.is_empty() || plans.iter().filter(|plan| plan.cost > 0.0).count() < 2 {
            continue;
        }
        match pulse() {
            Pulse::Continue if asked < MOST => asked += 1,
            Pulse::Cancel => return Err(SelectionError::Cancelled),
            _ => break,
        }
        let mut price = |without: &[Oid]| match port.price(one.id, &[], without) {
            Ok(price) => Ok(Some(price)),
            Err(PriceError::Cancelled) => Err(SelectionError::Cancelled),
            Err(_) => Ok(None),
        };
        let Some(now) = price(&[])? else { continue };
        if inner_work(&now.traits).iter().sum::<f64>() <= 0.0 {
            continue;
        }
        let Some(before) = price(&one.ours)? else {
            continue;
        };
        observations.extend(observation(plans, &now, &before, &base));
    }
    Ok(Calibrated {
        caution: base.calibrate(&observations, PRIOR),
        pairs: observations.len(),
    })
}

/// The pair, where both plans were measured and nothing else makes their costs uncertain.
fn observation(
    plans: &[PlanTime],
    now: &Price,
    before: &Price,
    base: &Caution,
) -> Option<Observation> {
    let sure = |price: &Price| price.cost > 0.0 && price.traits.early_stops.is_empty();
    let plain = inner_work(&before.traits).iter().sum::<f64>() <= 0.0;
    // (Nor is it a pair where one measured plan could count as either.)
    let apart = before.cost > SAME * PRESENT * now.cost;
    if !sure(now) || !sure(before) || !plain || !apart {
        return None;
    }
    let mean_ms = |same: &dyn Fn(f64) -> bool| {
        let (calls, ms) = plans
            .iter()
            .filter(|plan| plan.calls > 0.0 && plan.cost > 0.0 && same(plan.cost / plan.calls))
            .fold((0.0, 0.0), |(calls, ms), plan| {
                (calls + plan.calls, ms + plan.ms)
            });
        (calls >= ENOUGH_CALLS).then(|| ms / calls)
    };
    let with = mean_ms(&|cost| cost <= PRESENT * now.cost)?;
    let without = mean_ms(&|cost| (before.cost / SAME..=before.cost * SAME).contains(&cost))?;
    Some(Observation {
        cost: now.warm + base.fixed,
        inner: inner_work(&now.traits),
        ms: with,
        ms_per_unit: without / base.believed(before),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexpilot_model::price::{InnerScan, PlanTraits, SizeEstimate};
    use indexpilot_model::{CandidateId, IndexDefinition};

    const OURS: Oid = 77;

    /// Every statement: a hash join without our index, a nested loop with it.
    struct Join {
        before_loops: f64,
        calls: u64,
    }

    fn price(cost: f64, loops: f64) -> Price {
        Price {
            cost,
            warm: cost,
            spread: (cost, cost),
            used: vec![],
            used_existing: vec![],
            rows: 1.0,
            traits: PlanTraits {
                inner_scans: vec![InnerScan {
                    index: OURS,
                    candidate: None,
                    loops,
                    rows: 1.0,
                    correlation: None,
                    index_only: false,
                    scattered: false,
                }],
                ..PlanTraits::default()
            },
            fingerprint: 0,
        }
    }

    fn cost_now(id: StatementId) -> (f64, f64) {
        let loops = 500.0 + 40.0 * f64::from(id.0 as u32);
        (100.0 + loops, loops)
    }

    impl WhatIf for Join {
        fn register(
            &mut self,
            _: &IndexDefinition,
        ) -> Result<(CandidateId, SizeEstimate), PriceError> {
            unreachable!("nothing is registered")
        }

        fn price(
            &mut self,
            id: StatementId,
            _: &[CandidateId],
            without: &[Oid],
        ) -> Result<Price, PriceError> {
            self.calls += 1;
            let (cost, loops) = cost_now(id);
            Ok(if without.contains(&OURS) {
                price(20_000.0, self.before_loops)
            } else {
                price(cost, loops)
            })
        }

        fn planner_calls(&self) -> u64 {
            self.calls
        }
    }

    /// Times as if each fetch cost `fetch` units of 0.01 ms.
    fn loads(fetch: f64) -> Vec<Load> {
        (0..40)
            .map(|k| {
                let (cost, loops) = cost_now(StatementId(k));
                let base = Caution::default();
                let units = cost + base.fixed + (fetch + base.descent) * loops;
                let plan = |cost: f64, units: f64| PlanTime {
                    calls: 20.0,
                    ms: 20.0 * 0.01 * units,
                    cost: 20.0 * cost,
                };
                Load::Plans {
                    calls_per_day: 20.0,
                    plans: vec![plan(20_000.0, 20_000.0 + base.fixed), plan(cost, units)],
                }
            })
            .collect()
    }

    /// What a loop of such a join is found to cost beyond the planner's price.
    fn loop_found(loads: &[Load], ours: &[Oid], join: &mut Join) -> f64 {
        let measured: Vec<Measured<'_>> = loads
            .iter()
            .enumerate()
            .map(|(k, load)| Measured {
                id: StatementId(k as _),
                load,
                ours: ours.to_vec(),
            })
            .collect();
        let found = calibrated(join, &measured, Caution::default(), &mut || Pulse::Continue);
        a_loop(&found.expect("nobody cancels").caution)
    }

    fn a_loop(caution: &Caution) -> f64 {
        caution.descent + caution.scattered_fetch
    }

    #[test]
    fn pairs_tell_what_a_fetch_costs() {
        let base = Caution::default();
        for fetch in [0.0, 0.2, 2.0] {
            let mut join = Join {
                before_loops: 0.0,
                calls: 0,
            };
            let found = loop_found(&loads(fetch), &[OURS], &mut join);
            let truth = fetch + base.descent;
            // Forty pairs outweigh what is believed without any.
            let left = (found - truth).abs();
            assert!(
                left <= 0.25 * (a_loop(&base) - truth).abs() + 1e-3,
                "{fetch}: {found}"
            );
        }
    }

    #[test]
    fn what_is_no_pair_tells_nothing() {
        let base = a_loop(&Caution::default());
        let mut join = Join {
            before_loops: 0.0,
            calls: 0,
        };
        assert_eq!(loop_found(&loads(2.0), &[], &mut join), base);
        assert_eq!(join.calls, 0, "nobody is asked where we built nothing");
        // Nested loops before as well.
        join.before_loops = 900.0;
        assert_eq!(loop_found(&loads(2.0), &[OURS], &mut join), base);
        // The plan without our index was never measured.
        join.before_loops = 0.0;
        let unseen: Vec<Load> = loads(2.0)
            .into_iter()
            .map(|load| match load {
                Load::Plans {
                    calls_per_day,
                    mut plans,
                } => {
                    plans[0].cost *= 10.0;
                    Load::Plans {
                        calls_per_day,
                        plans,
                    }
                }
                other => other,
            })
            .collect();
        assert_eq!(loop_found(&unseen, &[OURS], &mut join), base);
        // One plan between the two costs could be either.
        let (cost, loops) = cost_now(StatementId(0));
        let (now, before) = (price(cost, loops), price(4.0 * cost, 0.0));
        let between = [PlanTime {
            calls: 20.0,
            ms: 20.0,
            cost: 20.0 * 2.5 * cost,
        }];
        let caution = Caution::default();
        assert_eq!(observation(&between, &now, &before, &caution), None);
    }

    #[test]
    fn a_cancel_ends_it() {
        let loads = loads(1.0);
        let measured = [Measured {
            id: StatementId(0),
            load: &loads[0],
            ours: vec![OURS],
        }];
        let mut join = Join {
            before_loops: 0.0,
            calls: 0,
        };
        let result = calibrated(&mut join, &measured, Caution::default(), &mut || {
            Pulse::Cancel
        });
        assert!(matches!(result, Err(SelectionError::Cancelled)));
    }
}
