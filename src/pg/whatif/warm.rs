//! What a plan costs with its pages in memory.
//!
//! The planner's page costs (`seq_page_cost`, `random_page_cost`) are those of a server that
//! reads most pages from disk. Where the data lies in memory they overstate what an index
//! scan has left to do by an order of magnitude, and with it what a covering index would
//! still save. The manual (Planner Cost Constants) says to lower both towards the CPU costs
//! then. Which plan is taken is still decided by the settings of the statement's session;
//! here the plan that was taken is priced once more, with the costs of memory.
//!
//! To plan again under those costs would price another plan: the one that the planner would
//! take if it knew, not the one that it takes, and the harm of a nested loop over cold-looking
//! pages would not show. The cost of one plan is linear in the page costs, so it is planned
//! again a small step towards them, where the same plan wins still, and the difference is
//! carried on to the end of the way. (Where another plan wins already, the least cost is a
//! concave function of the step, so what is carried on is too dear rather than too cheap.)

use super::operators::Operators;
use super::scope::{self, Scope};
use crate::pg::planwalk::{self, NestedScan, Reading};
use indexpilot_model::StatementId;
use indexpilot_model::price::EarlyStop;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_char;

/// Cost of a page that lies in memory: finding, pinning and checking it takes about as long
/// as processing ten tuples (`cpu_tuple_cost`) where pages come in order, and twice that where
/// they do not, because processor caches miss. (Measured on TPC-H: a unit is 5 µs there, a page
/// of a bitmap scan 1 to 1.5 µs.)
const MEMORY_PAGE: f64 = 0.1;
const SCATTERED_MEMORY_PAGE: f64 = 0.2;
/// How far towards the costs of memory a plan is priced again; a shorter step is tried where
/// that makes another plan.
const STEPS: [f64; 2] = [0.05, 0.002];
/// A plan in memory costs at least this share of what it costs from disk: the costs of pages
/// differ by a factor of forty at most.
const LEAST: f64 = 0.02;
/// Costs that are remembered at most.
const MOST_KNOWN: usize = 100_000;

/// Which plan of which statement: sample, query, fingerprint.
type Key = (StatementId, usize, usize, u64);

/// What a plan costs with its pages in memory and its slow operators measured.
#[derive(Clone, Debug)]
pub(super) struct Warm {
    pub cost: f64,
    /// Where a LIMIT ends its scans, in the same units.
    pub early_stops: Vec<EarlyStop>,
    /// Of each repeated index scan: rows that one run fetches, before filters.
    pub fetched: Vec<f64>,
}

/// The share of pages in memory, and the plans priced under it.
#[derive(Default)]
pub(super) struct Warmth {
    share: f64,
    operators: Operators,
    known: RefCell<HashMap<Key, Warm>>,
}

impl Warmth {
    /// With `share` of the pages (0…1) in memory.
    pub(super) fn new(share: f64) -> Self {
        Warmth {
            share: share.clamp(0.0, 1.0),
            operators: Operators::default(),
            known: RefCell::default(),
        }
    }

    /// The operators timed so far.
    pub(super) fn operators(&self) -> &Operators {
        &self.operators
    }

    /// The cost of the plan in `reading` with pages as warm as this. A plan that was priced
    /// before costs no planner call; else the query is planned again, with the indexes that
    /// the plan uses and the real ones only. `early_stops` judges a reading's scans.
    /// Slow operators are those that the planner came across when it made the plan. Returns
    /// the cost and the planner calls made.
    ///
    /// # Safety
    /// As [`scope::plan`]; `query` is not scribbled on.
    pub(super) unsafe fn cost(
        &self,
        key: Key,
        reading: &Reading,
        query: *mut pg_sys::Query,
        source: *const c_char,
        scope: &Scope<'_>,
        early_stops: impl Fn(&Reading) -> Vec<EarlyStop>,
    ) -> (Warm, u64) {
        let slow = self.operators.take_seen();
        if let Some(known) = self.known.borrow().get(&key) {
            return (known.clone(), 0);
        }
        let mut warm = Warm {
            cost: reading.cost,
            early_stops: early_stops(reading),
            fetched: reading.nested.iter().map(|scan| scan.rows).collect(),
        };
        if self.share <= 0.0 && !slow {
            return (warm, 0);
        }
        let used = reading.indexes();
        let parts: Vec<_> = scope
            .parts
            .iter()
            .copied()
            // SAFETY: parts are alive during the evaluation.
            .filter(|part| used.contains(&unsafe { &**part }.template.indexoid.to_u32()))
            .collect();
        let narrow = Scope {
            parts: &parts,
            carriers: scope.carriers,
            hidden: scope.hidden,
            only: Some(&used),
            operators: None,
            params: scope.params,
        };
        let mut calls = 0;
        let mut again = |scope: &Scope<'_>| {
            calls += 1;
            // SAFETY: the caller's promise; the copy is the planner's to scribble on.
            unsafe {
                let copy = pg_sys::copyObjectImpl(query.cast()).cast();
                let planned = scope::plan(copy, source, scope);
                let same = planwalk::fingerprint(planned).0 == key.3;
                (planwalk::read(planned), same)
            }
        };
        let steps = if self.share > 0.0 { &STEPS[..] } else { &[] };
        for &step in steps {
            let costs = PageCosts::towards_memory(self.share * step);
            let (near, same) = again(&narrow);
            drop(costs);
            let saved = (reading.cost - near.cost).max(0.0) / step;
            warm.cost = (reading.cost - saved).max(LEAST * reading.cost);
            if same {
                warm.fetched = reading
                    .nested
                    .iter()
                    .zip(&near.nested)
                    .map(|(here, there)| fetched(here, there, self.share * step))
                    .collect();
                // The same plan has the same scans.
                for (stop, there) in warm.early_stops.iter_mut().zip(early_stops(&near)) {
                    stop.run -= ((stop.run - there.run) / step).clamp(0.0, stop.run);
                }
                break;
            }
        }
        // What slow operators take is linear in their cost, too.
        let steps = if slow { &STEPS[..] } else { &[] };
        let mut slower = 0.0;
        for &step in steps {
            let charged = Scope {
                operators: Some((&self.operators, step)),
                ..narrow
            };
            let (near, same) = again(&charged);
            slower = (near.cost - reading.cost).max(0.0) / step;
            if same {
                break;
            }
        }
        self.operators.take_seen();
        warm.cost += slower;
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, warm.clone());
        (warm, calls)
    }

    /// Forgets a statement's plans.
    pub(super) fn forget(&self, statement: StatementId) {
        self.known.borrow_mut().retain(|key, _| key.0 != statement);
    }
}

/// Rows that one run of an index scan fetches: the plan says how many are left by its filters.
/// What the scan costs less without a part of the page costs tells its pages, and what is left
/// is for rows (costsize.c, cost_index; selfuncs.c, genericcostestimate). `share` is that part.
fn fetched(scan: &NestedScan, cheaper: &NestedScan, share: f64) -> f64 {
    if scan.conditions.1 == 0 {
        return scan.rows;
    }
    // SAFETY: settings of this backend, read by its main thread.
    let (random, tuple, index_tuple, operator) = unsafe {
        (
            pg_sys::random_page_cost,
            pg_sys::cpu_tuple_cost,
            pg_sys::cpu_index_tuple_cost,
            pg_sys::cpu_operator_cost,
        )
    };
    let dearer = random - SCATTERED_MEMORY_PAGE.min(random);
    if dearer <= 0.0 {
        return scan.rows;
    }
    let pages = (scan.cost.0 - cheaper.cost.0).max(0.0) / (share * dearer);
    let (conditions, filters) = scan.conditions;
    let row = tuple + index_tuple + operator * (conditions + filters) as f64;
    let rows = (scan.cost.0 - scan.cost.1 - random * pages) / row.max(1e-9);
    rows.max(scan.rows)
}

/// The planner's page costs, put back when this goes, by return or by unwinding.
struct PageCosts {
    sequential: f64,
    random: f64,
}

impl PageCosts {
    fn towards_memory(share: f64) -> Self {
        // SAFETY: settings of this backend, read and written by its main thread only.
        unsafe {
            let before = PageCosts {
                sequential: pg_sys::seq_page_cost,
                random: pg_sys::random_page_cost,
            };
            let mixed = |cost: f64, memory: f64| share * memory.min(cost) + (1.0 - share) * cost;
            pg_sys::seq_page_cost = mixed(before.sequential, MEMORY_PAGE);
            pg_sys::random_page_cost = mixed(before.random, SCATTERED_MEMORY_PAGE);
            before
        }
    }
}

impl Drop for PageCosts {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            pg_sys::seq_page_cost = self.sequential;
            pg_sys::random_page_cost = self.random;
        }
    }
}
