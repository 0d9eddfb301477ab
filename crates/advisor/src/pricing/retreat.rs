//! The way back from a choice under which the planner makes a statement slower than the rules
//! allow: what that statement's plan reads is given up until every statement keeps its limit.
//!
//! Each solve avoids what was seen to harm and finds something else; in a long list, or where
//! joins are planned anew for every set, something else always is. Giving up converges, because
//! nothing comes back; it ends, at the latest, at what exists now. Every step is asked of the
//! planner.

use super::Workload;
use super::explore::{Asker, Halt, Pricing};
use super::option_set::OptionSet;
use super::verify::{self, Correction};
use crate::selection::Problem;

/// Passes over the statements that are too slow.
const PASSES: usize = 12;
/// In so many of them only one index of a plan is given up, the one that is missed least.
const CAREFUL: usize = 6;

/// Gives up options of `chosen`, all of which was asked for, until no statement is over its
/// ceiling; the set that is left was asked for too. `None`: it did not come to that.
pub fn retreat(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    corrections: &mut [Vec<Correction>],
    chosen: &[bool],
    tolerance: f64,
) -> Result<Option<Vec<bool>>, Halt> {
    let mut chosen = chosen.to_vec();
    for pass in 0..PASSES {
        verify::recheck(pricings, corrections, &chosen);
        let problem = verify::problem(workload, pricings, corrections);
        let slow = too_slow(&problem, &chosen);
        if slow.is_empty() {
            return Ok(Some(chosen));
        }
        let current = problem.current();
        let mut next = chosen.clone();
        for q in slow {
            let pricing = &mut pricings[q];
            let set = pricing.local(&next);
            let statement = &workload.statements[q];
            let Some(plan) = asker.ask(statement, pricing, set)? else {
                continue;
            };
            if plan.believed <= verify::ceiling(&problem, q, &current) {
                // Mended by what was given up for another one.
                continue;
            }
            let lured: OptionSet = plan
                .used
                .iter()
                .filter(|&k| !current[pricing.options[k]])
                .collect();
            if lured.is_empty() {
                // It misses what was dropped.
                for &o in pricing.options.iter().filter(|o| current[**o]) {
                    next[o] = true;
                }
            } else if pass >= CAREFUL {
                for k in lured.iter() {
                    next[pricing.options[k]] = false;
                }
            } else {
                let mut best: Option<((bool, f64), usize)> = None;
                for k in lured.iter() {
                    let Some(without) = asker.ask(statement, pricing, set.without(k))? else {
                        continue;
                    };
                    let option = pricing.options[k];
                    let mut rest = next.clone();
                    rest[option] = false;
                    // Still too slow or not, then what all statements take.
                    let rank = (
                        without.believed > verify::ceiling(&problem, q, &current),
                        verify::model_ms(&problem, &rest)
                            + problem.statements[q].weight
                                * (without.believed - verify::model_cost(&problem, q, &rest)),
                    );
                    if best.is_none_or(|(least, _)| rank < least) {
                        best = Some((rank, option));
                    }
                }
                if let Some((_, option)) = best {
                    next[option] = false;
                }
            }
        }
        if next == chosen {
            return Ok(None);
        }
        chosen = next;
        verify::check(
            asker,
            workload,
            pricings,
            corrections,
            &problem,
            &chosen,
            tolerance,
        )?;
    }
    Ok(None)
}

/// The statements over their ceilings, the furthest first.
fn too_slow(problem: &Problem, chosen: &[bool]) -> Vec<usize> {
    let current = problem.current();
    let mut slow: Vec<(f64, usize)> = (0..problem.statements.len())
        .map(|q| {
            let ceiling = verify::ceiling(problem, q, &current);
            let cost = verify::model_cost(problem, q, chosen);
            (cost / ceiling.max(f64::MIN_POSITIVE), q)
        })
        .filter(|(excess, _)| *excess > 1.0)
        .collect();
    slow.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    slow.into_iter().map(|(_, q)| q).collect()
}
