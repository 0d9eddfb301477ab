//! What slow operators really cost.
//!
//! The planner takes every operator of the core to cost one `cpu_operator_cost` (`procost` is 1
//! for an integer's equality and for a case-insensitive search through a text alike). Under an
//! ICU collation ILIKE takes a hundred times as long, so that a scan which evaluates it for
//! each row is priced at a small part of what it takes, and the index that spares it with it.
//! Operators that search within a value are therefore timed here, on values of the column's
//! own statistics, as the planner's estimators run them on these (selfuncs.c, mcv_selectivity
//! and histogram_selectivity; like_support.c, patternsel).
//!
//! Which plan is taken is not touched by it: the planner does not know. The plan that was taken
//! is priced once more with the measured cost ([`super::warm`]). The planner keeps the cost of
//! a condition in its RestrictInfo (costsize.c, cost_qual_eval_walker) and charges it in every
//! kind of scan. It is put there between the estimate of rows and that of costs (costsize.c,
//! set_baserel_size_estimates): while the estimators ask for statistics.

use crate::pg::estimators;
use crate::pg::nodes::{items, stripped, tag};
use crate::pg::raw;
use pgrx::pg_sys::{self, NodeTag};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Instant;

/// Nanoseconds of a planner cost unit with pages in memory (measured on TPC-H, see
/// [`super::warm`]).
const UNIT_NS: f64 = 5_000.0;
/// Values of a column that an operator is timed on, at most, and times that each is tried.
const MOST_VALUES: usize = 32;
const ROUNDS: usize = 5;
/// Fewer values tell nothing.
const LEAST_VALUES: usize = 8;
/// An operator that takes less than this many times what the planner thinks is left alone: a
/// call from here is dearer than one from an expression's steps.
const LEAST_FACTOR: f64 = 16.0;
/// Columns and operators that are remembered at most.
const MOST_KNOWN: usize = 10_000;

/// Operators that are estimated by one of these search within a value.
const SEARCHING: [u32; 10] = [
    estimators::ICLIKESEL,
    estimators::ICNLIKESEL,
    estimators::REGEXEQSEL,
    estimators::LIKESEL,
    estimators::ICREGEXEQSEL,
    estimators::REGEXNESEL,
    estimators::NLIKESEL,
    estimators::ICREGEXNESEL,
    estimators::ARRAYCONTSEL,
    estimators::MATCHINGSEL,
];

/// Function, collation, relation and attribute.
type Key = (pg_sys::Oid, pg_sys::Oid, pg_sys::Oid, i16);

/// The operators timed so far.
#[derive(Default)]
pub(super) struct Operators {
    /// Cost of a call, planner cost units; `None` for what is not slow.
    known: RefCell<HashMap<Key, Option<f64>>>,
    /// Whether the running planner call came across a slow one.
    seen: Cell<bool>,
    /// An estimate that is asked for from here asks for statistics itself.
    within: Cell<bool>,
}

/// A condition `column operator constant`.
struct Condition {
    function: pg_sys::Oid,
    collation: pg_sys::Oid,
    attribute: i16,
    constant: pg_sys::Datum,
}

impl Operators {
    /// Whether the planner came across a slow operator since this was asked last.
    pub(super) fn take_seen(&self) -> bool {
        self.seen.replace(false)
    }

    /// Puts the cost of a relation's slow conditions where the planner looks for it: `step` of
    /// the way from what the planner would charge to what was measured (at 0 it is left as it
    /// is). `relation` is the relation's OID, `is_visible` whether its user may see all its rows.
    ///
    /// # Safety
    /// Called by the planner's statistics hook, for a base relation of `root`.
    pub(super) unsafe fn charge(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        relation: pg_sys::Oid,
        step: f64,
        is_visible: impl FnOnce() -> bool,
    ) {
        if self.within.get() {
            return;
        }
        // SAFETY: the list holds RestrictInfos; each cast follows the tag.
        unsafe {
            let conditions = (*rel).baserestrictinfo;
            let is_new = |info: *mut pg_sys::RestrictInfo| (*info).eval_cost.startup < 0.0;
            let mut searching = items::<pg_sys::RestrictInfo>(conditions)
                .filter(|info| is_new(*info) && condition((**info).clause.cast()).is_some())
                .peekable();
            if searching.peek().is_none() || !is_visible() {
                return;
            }
            let _within = Within::enter(&self.within);
            for info in searching {
                let Some(condition) = condition((*info).clause.cast()) else {
                    continue;
                };
                let Some(cost) = self.cost(relation, &condition) else {
                    continue;
                };
                self.seen.set(true);
                if step <= 0.0 {
                    continue;
                }
                // Conditions before this one are evaluated first, and spare it for the rows
                // that they throw away (ExecQual; the order is that of the list where all
                // cost the same, createplan.c, order_qual_clauses).
                let mut reached = 1.0;
                for before in items::<pg_sys::RestrictInfo>(conditions) {
                    if before == info {
                        break;
                    }
                    reached *= pg_sys::clause_selectivity(
                        root,
                        before.cast(),
                        0,
                        pg_sys::JoinType::JOIN_INNER,
                        std::ptr::null_mut(),
                    );
                }
                let usual = pg_sys::cpu_operator_cost;
                (*info).eval_cost = pg_sys::QualCost {
                    startup: 0.0,
                    per_tuple: usual + step * (reached * cost - usual).max(0.0),
                };
            }
        }
    }

    /// What a call costs, if it is slow.
    unsafe fn cost(&self, relation: pg_sys::Oid, condition: &Condition) -> Option<f64> {
        let key = (
            condition.function,
            condition.collation,
            relation,
            condition.attribute,
        );
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        // SAFETY: within the planner's call; the relation is locked.
        let ns = unsafe { time(relation, condition) };
        let cost = ns.map(|ns| rounded(ns) / UNIT_NS).filter(|cost| {
            // SAFETY: a setting of this backend.
            *cost > LEAST_FACTOR * unsafe { pg_sys::cpu_operator_cost }
        });
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, cost);
        cost
    }
}

/// Marks that an estimate is asked for from here, until it goes, by return or by unwinding.
struct Within<'a>(&'a Cell<bool>);

impl<'a> Within<'a> {
    fn enter(cell: &'a Cell<bool>) -> Self {
        cell.set(true);
        Within(cell)
    }
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// To the next power of the fourth root of two: the same operator costs the same in the next run, as a
/// rule, and what is left of the noise is less than the cost model's own error.
fn rounded(ns: f64) -> f64 {
    ((ns.max(1.0).log2() * 4.0).round() / 4.0).exp2()
}

/// The condition, if it searches within a column for a constant by a function of the core.
unsafe fn condition(clause: *mut pg_sys::Node) -> Option<Condition> {
    // SAFETY: each cast follows the tag.
    unsafe {
        if tag(clause) != NodeTag::T_OpExpr {
            return None;
        }
        let operation = clause.cast::<pg_sys::OpExpr>();
        let mut arguments = items::<pg_sys::Node>((*operation).args);
        let (left, right) = (stripped(arguments.next()?), stripped(arguments.next()?));
        if tag(left) != NodeTag::T_Var || tag(right) != NodeTag::T_Const {
            return None;
        }
        let variable = left.cast::<pg_sys::Var>();
        let constant = right.cast::<pg_sys::Const>();
        let function = pg_sys::get_opcode((*operation).opno);
        // Functions of users and extensions may do anything; those of the core that operators
        // are made of do nothing but answer.
        if (*variable).varattno <= 0
            || (*variable).varlevelsup != 0
            || (*constant).constisnull
            // (Nothing is searched for that fits a machine word.)
            || (*constant).constbyval
            || function.to_u32() >= pg_sys::FirstGenbkiObjectId
            || !SEARCHING.contains(&pg_sys::get_oprrest((*operation).opno).to_u32())
        {
            return None;
        }
        Some(Condition {
            function,
            collation: (*operation).inputcollid,
            attribute: (*variable).varattno,
            constant: (*constant).constvalue,
        })
    }
}

/// Nanoseconds of one call, the least over the rounds; `None` where the column has too few
/// known values. An error of the function is raised: executing the statement would raise it.
unsafe fn time(relation: pg_sys::Oid, condition: &Condition) -> Option<f64> {
    // SAFETY: the tuple is checked and released, the slot freed. An error leaves both to the
    // resource owner and the context of the evaluation.
    unsafe {
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            pg_sys::Datum::from(relation),
            pg_sys::Datum::from(condition.attribute),
            pg_sys::Datum::from(false),
        );
        if tuple.is_null() {
            return None;
        }
        let mut least = None;
        for kind in [pg_sys::STATISTIC_KIND_HISTOGRAM, pg_sys::STATISTIC_KIND_MCV] {
            let mut slot = pg_sys::AttStatsSlot::default();
            if !pg_sys::get_attstatsslot(
                &raw mut slot,
                tuple,
                kind as i32,
                pg_sys::InvalidOid,
                pg_sys::ATTSTATSSLOT_VALUES as i32,
            ) {
                continue;
            }
            let values = slot.nvalues.max(0) as usize;
            if values >= LEAST_VALUES {
                least = Some(fastest(condition, slot.values, values));
            }
            pg_sys::free_attstatsslot(&raw mut slot);
            if least.is_some() {
                break;
            }
        }
        pg_sys::ReleaseSysCache(tuple);
        least
    }
}

/// The fastest of several rounds over values spread over the slot.
unsafe fn fastest(condition: &Condition, values: *const pg_sys::Datum, length: usize) -> f64 {
    // SAFETY: the function takes two arguments of these types (it is the operator's).
    unsafe {
        let mut function = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(condition.function, &raw mut function);
        let tried = length.min(MOST_VALUES);
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for k in 0..tried {
                let value = *values.add(k * length / tried);
                raw::FunctionCall2Coll(
                    &raw mut function,
                    condition.collation,
                    value,
                    condition.constant,
                );
            }
            least = least.min(start.elapsed().as_nanos() as f64 / tried as f64);
        }
        least
    }
}
