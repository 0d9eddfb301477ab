//! What a plan costs with its pages in memory.
//!
//! The planner's page costs (`seq_page_cost`, `random_page_cost`) are those of a server that
//! reads most pages from disk. Where the data lies in memory they overstate what an index
//! scan has left to do by an order of magnitude, and with it what a covering index would
//! still save. The manual (Planner Cost Constants) says to lower both towards the CPU costs
//! then. Which plan is taken is still decided by the settings of the statement's session;
//! here the plan that was taken is priced once more, with the costs of memory.

use super::scope::{self, Scope};
use crate::pg::planwalk::{self, Reading};
use indexpilot_model::StatementId;
use indexpilot_model::price::EarlyStop;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_char;

/// Cost of a page that lies in memory: finding, pinning and checking it takes about as long
/// as processing ten tuples (`cpu_tuple_cost`).
const MEMORY_PAGE: f64 = 0.1;
/// Costs that are remembered at most.
const MOST_KNOWN: usize = 100_000;

/// Which plan of which statement: sample, query, fingerprint.
type Key = (StatementId, usize, usize, u64);

/// What a plan costs, and where a LIMIT ends its scans, in the same units.
#[derive(Clone, Debug)]
pub(super) struct Warm {
    pub cost: f64,
    pub early_stops: Vec<EarlyStop>,
}

/// The share of pages in memory, and the plans priced under it.
#[derive(Default)]
pub(super) struct Warmth {
    share: f64,
    known: RefCell<HashMap<Key, Warm>>,
}

impl Warmth {
    /// With `share` of the pages (0…1) in memory.
    pub(super) fn new(share: f64) -> Self {
        Warmth {
            share: share.clamp(0.0, 1.0),
            known: RefCell::default(),
        }
    }

    /// The cost of the plan in `reading` with pages as warm as this. A plan that was priced
    /// before costs no planner call; else the query is planned again, with the indexes that
    /// the plan uses and the real ones only. `early_stops` judges a reading's scans. Returns the
    /// cost and the planner calls made.
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
        if self.share <= 0.0 {
            let cold = Warm {
                cost: reading.cost,
                early_stops: early_stops(reading),
            };
            return (cold, 0);
        }
        if let Some(warm) = self.known.borrow().get(&key) {
            return (warm.clone(), 0);
        }
        let used = reading.indexes();
        let parts: Vec<_> = scope
            .parts
            .iter()
            .copied()
            // SAFETY: parts are alive during the evaluation.
            .filter(|part| used.contains(&unsafe { &**part }.template.indexoid.to_u32()))
            .collect();
        let mut calls = 0;
        let mut again = |only| {
            let narrow = Scope {
                parts: &parts,
                carriers: scope.carriers,
                hidden: scope.hidden,
                only,
                params: scope.params,
            };
            calls += 1;
            // SAFETY: the caller's promise; the copy is the planner's to scribble on.
            unsafe {
                let _costs = PageCosts::towards_memory(self.share);
                let copy = pg_sys::copyObjectImpl(query.cast()).cast();
                scope::plan(copy, source, &narrow)
            }
        };
        let mut planned = again(None);
        // With pages this cheap another index may look better than the one that is taken; what
        // is asked is what that one costs.
        // SAFETY: both are plans of this call.
        unsafe {
            if planwalk::fingerprint(planned).0 != key.3 {
                let same = again(Some(&used));
                if planwalk::fingerprint(same).0 == key.3 {
                    planned = same;
                }
            }
        }
        // SAFETY: as above.
        let reading = unsafe { planwalk::read(planned) };
        let warm = Warm {
            cost: reading.cost,
            early_stops: early_stops(&reading),
        };
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
            let mixed = |cost: f64| share * MEMORY_PAGE.min(cost) + (1.0 - share) * cost;
            pg_sys::seq_page_cost = mixed(before.sequential);
            pg_sys::random_page_cost = mixed(before.random);
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
