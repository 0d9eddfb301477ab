//! The way back from a choice under which the planner makes a statement slower than the rules
//! allow: what that statement's plan uses is given up, index by index, until every statement
//! keeps its limit. A join planned anew for every set answers each set a little differently,
//! so the search may go from one broken set to the next; this way ends, at the latest at what
//! exists now, and every step of it is asked of the planner.

use super::Workload;
use super::explore::{Asker, Halt, Pricing};
use super::verify::{self, Correction};
use crate::selection::{Problem, Status};

/// Gives up options of `chosen`, all of which was asked for, until no statement is over its
/// ceiling; the set that is left was asked for too. `None`: a statement is too slow for
/// another reason than an option that could be given up.
pub fn retreat(
    asker: &mut Asker<'_>,
    workload: &Workload,
    pricings: &mut [Pricing],
    corrections: &mut [Vec<Correction>],
    chosen: &[bool],
    tolerance: f64,
) -> Result<Option<Vec<bool>>, Halt> {
    let mut chosen = chosen.to_vec();
    let may_go = |o: usize| matches!(workload.options[o].option.status, Status::Candidate);
    for _ in 0..chosen.len() {
        verify::recheck(pricings, corrections, &chosen);
        let problem = verify::problem(workload, pricings, corrections);
        let Some(q) = worst(&problem, &chosen) else {
            return Ok(Some(chosen));
        };
        let pricing = &mut pricings[q];
        let set = pricing.local(&chosen);
        let Some(plan) = pricing.lattice.asked(&set).copied() else {
            return Ok(None);
        };
        let ceiling = verify::ceiling(&problem, q, &problem.current());
        // (Whether it is still too slow, what all statements take then, the option.)
        let mut best: Option<(bool, f64, usize)> = None;
        for k in plan.used.iter() {
            let option = pricing.options[k];
            if !may_go(option) {
                continue;
            }
            let statement = &workload.statements[q];
            let Some(without) = asker.ask(statement, pricing, set.without(k))? else {
                return Ok(None);
            };
            let mut rest = chosen.clone();
            rest[option] = false;
            let key = (
                without.believed > ceiling,
                verify::model_ms(&problem, &rest)
                    + problem.statements[q].weight
                        * (without.believed - verify::model_cost(&problem, q, &rest)),
                option,
            );
            if best.is_none_or(|b| (key.0, key.1) < (b.0, b.1)) {
                best = Some(key);
            }
        }
        let Some((_, _, option)) = best else {
            return Ok(None);
        };
        chosen[option] = false;
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

/// The statement that is furthest over its ceiling.
fn worst(problem: &Problem, chosen: &[bool]) -> Option<usize> {
    let current = problem.current();
    (0..problem.statements.len())
        .map(|q| {
            let ceiling = verify::ceiling(problem, q, &current);
            (
                verify::model_cost(problem, q, chosen) / ceiling.max(1e-300),
                q,
            )
        })
        .filter(|(excess, _)| *excess > 1.0)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
        .map(|(_, q)| q)
}
