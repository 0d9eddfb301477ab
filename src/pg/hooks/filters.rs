//! Rows that scans read and filters threw away: counted by the executor's own instrumentation
//! (instrument.h) in a sample of executions, the first of each statement and then one in
//! `filter_sampling`, and summed by relation and by the attributes that the filter looks at.
//! What joins throw away is in `join_filters`.

use super::join_filters;
use crate::pg::compat::planstate;
use crate::pg::nodes::{items, tag};
use crate::pg::shmem::Entry;
use crate::pg::shmem::entry::{Filtered, JOINED};
use pgrx::pg_sys::{self, NodeTag};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// One execution in so many is sampled; 0 is none.
static RATE: AtomicU32 = AtomicU32::new(0);
/// Executions until the next sample.
static LEFT: AtomicU32 = AtomicU32::new(u32::MAX);
static RANDOM: AtomicU64 = AtomicU64::new(0);
/// The query that is being sampled: one at a time.
static SAMPLED: AtomicPtr<pg_sys::QueryDesc> = AtomicPtr::new(std::ptr::null_mut());

/// Takes over `indexpilot.filter_sampling`.
pub fn set_rate(rate: u32) {
    RATE.store(rate, Ordering::Relaxed);
    // The postmaster's children differ from one another at their first draw.
    LEFT.store(if rate == 0 { u32::MAX } else { 1 }, Ordering::Relaxed);
}

/// The next execution is sampled: a statement was met for the first time.
pub fn sample_next() {
    if RATE.load(Ordering::Relaxed) != 0 {
        LEFT.store(1, Ordering::Relaxed);
    }
}

/// Whether there is nothing to do for a query that starts, in which case it is counted.
/// Otherwise [`forget`] and [`started`] are called.
#[inline(always)]
pub fn passes() -> bool {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    let passes = left != 0 && SAMPLED.load(Ordering::Relaxed).is_null();
    if passes {
        LEFT.store(left, Ordering::Relaxed);
    }
    passes
}

/// A query starts: whether it is to be instrumented.
///
/// # Safety
/// Before `standard_ExecutorStart`.
#[inline]
pub unsafe fn started(desc: *mut pg_sys::QueryDesc) {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    LEFT.store(left, Ordering::Relaxed);
    if left == 0 {
        // SAFETY: the caller's promise.
        unsafe { sample(desc) };
    }
}

#[cold]
#[inline(never)]
unsafe fn sample(desc: *mut pg_sys::QueryDesc) {
    let rate = RATE.load(Ordering::Relaxed);
    LEFT.store(gap(rate), Ordering::Relaxed);
    if rate == 0 || super::watching().is_none() {
        return;
    }
    SAMPLED.store(desc, Ordering::Relaxed);
    // SAFETY: the caller's promise: the executor reads it next. What others asked for stays.
    unsafe { (*desc).instrument_options |= pg_sys::InstrumentOption::INSTRUMENT_ROWS as i32 };
}

/// Evenly from 1 to twice the rate: a fixed step could fall in with the application's own.
fn gap(rate: u32) -> u32 {
    if rate == 0 {
        return u32::MAX;
    }
    // xorshift64 (Marsaglia, "Xorshift RNGs").
    let mut state = RANDOM.load(Ordering::Relaxed);
    if state == 0 {
        state = (u64::from(std::process::id()) << 20) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    RANDOM.store(state, Ordering::Relaxed);
    1 + ((state >> 33) as u32) % rate.saturating_mul(2)
}

/// Forgets a query at this address that never ended.
#[inline(always)]
pub fn forget(desc: *mut pg_sys::QueryDesc) {
    if SAMPLED.load(Ordering::Relaxed) == desc {
        SAMPLED.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Whether this query is the sampled one; it is not any more.
#[inline(always)]
pub fn is_sampled(desc: *mut pg_sys::QueryDesc) -> bool {
    let sampled = SAMPLED.load(Ordering::Relaxed) == desc;
    if sampled {
        SAMPLED.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
    sampled
}

/// Adds what the scans of a sampled query threw away to its entry.
///
/// # Safety
/// A query that ran, before `standard_ExecutorEnd`. An ERROR (memory) jumps over the caller.
#[cold]
#[inline(never)]
pub unsafe fn collect(entry: &Entry, desc: *mut pg_sys::QueryDesc) {
    // SAFETY: the caller's promise; the closure has no destructor.
    unsafe {
        let statement = (*desc).plannedstmt;
        entry.filters.sampled.fetch_add(1, Ordering::Relaxed);
        planstate::walk((*desc).planstate, &mut |state: *mut pg_sys::PlanState| {
            thrown_away(state, statement, &mut |found| entry.filters.add(found));
            join_filters::thrown_away(state, statement, &mut |found| entry.filters.add(found));
        });
    }
}

unsafe fn thrown_away(
    state: *mut pg_sys::PlanState,
    statement: *mut pg_sys::PlannedStmt,
    add: &mut dyn FnMut(Filtered),
) {
    // SAFETY: a node of a plan that ran; the tag says which struct its plan is.
    unsafe {
        let instrument = (*state).instrument;
        if instrument.is_null() {
            return;
        }
        let rows = ((*instrument).nfiltered1 + (*instrument).nfiltered2) as u64;
        let plan = (*state).plan;
        if rows == 0 || (*plan).qual.is_null() && !rechecks(plan) {
            return;
        }
        if !is_scan(tag(plan)) {
            return;
        }
        let scan = plan.cast::<pg_sys::Scan>();
        let number = (*scan).scanrelid;
        if number == 0 {
            return;
        }
        let mut attributes = Attributes(0);
        attributes.of((*plan).qual.cast(), number);
        match tag(plan) {
            NodeTag::T_IndexOnlyScan => {
                let only = plan.cast::<pg_sys::IndexOnlyScan>();
                attributes.of_index((*plan).qual.cast(), (*only).indextlist, number);
            }
            NodeTag::T_BitmapHeapScan => {
                let bitmap = plan.cast::<pg_sys::BitmapHeapScan>();
                attributes.of((*bitmap).bitmapqualorig.cast(), number);
            }
            NodeTag::T_IndexScan => {
                let index = plan.cast::<pg_sys::IndexScan>();
                if (*instrument).nfiltered2 > 0.0 {
                    attributes.of((*index).indexqualorig.cast(), number);
                }
            }
            _ => {}
        }
        // A condition with the other side of a nested loop is a join's, checked here.
        let mut joined = Attributes(0);
        for condition in items::<pg_sys::Node>((*plan).qual) {
            if planstate::has_executor_parameter(condition) {
                joined.of(condition, number);
            }
        }
        report(number, attributes, rows, statement, add);
        if joined.0 != 0 {
            report(number, Attributes(joined.0 | JOINED), rows, statement, add);
        }
    }
}

/// Hands over rows of a range-table entry, if it is a relation's.
unsafe fn report(
    number: u32,
    attributes: Attributes,
    rows: u64,
    statement: *mut pg_sys::PlannedStmt,
    add: &mut dyn FnMut(Filtered),
) {
    // SAFETY: the planned statement's own lists.
    unsafe {
        let Some(entry) = relation_of(number, (*statement).rtable) else {
            return;
        };
        let mut found = Filtered {
            relation: (*entry).relid.to_u32(),
            attributes: attributes.0,
            rows,
        };
        to_the_parent(&mut found, number, statement);
        if found.relation != 0 {
            add(found);
        }
    }
}

fn is_scan(tag: NodeTag) -> bool {
    matches!(
        tag,
        NodeTag::T_SeqScan
            | NodeTag::T_SampleScan
            | NodeTag::T_IndexScan
            | NodeTag::T_IndexOnlyScan
            | NodeTag::T_BitmapHeapScan
            | NodeTag::T_TidScan
            | NodeTag::T_TidRangeScan
            | NodeTag::T_ForeignScan
    )
}

/// Whether a node checks conditions again that are not in its `qual`.
unsafe fn rechecks(plan: *mut pg_sys::Plan) -> bool {
    matches!(
        // SAFETY: a plan node.
        unsafe { tag(plan) },
        NodeTag::T_BitmapHeapScan | NodeTag::T_IndexScan
    )
}

pub(super) unsafe fn relation_of(
    number: u32,
    table: *mut pg_sys::List,
) -> Option<*mut pg_sys::RangeTblEntry> {
    // SAFETY: a range table.
    unsafe {
        items::<pg_sys::RangeTblEntry>(table)
            .nth(number as usize - 1)
            .filter(|&entry| (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION)
    }
}

/// A partition counts for the table that the statement names.
pub(super) unsafe fn to_the_parent(
    found: &mut Filtered,
    number: u32,
    statement: *mut pg_sys::PlannedStmt,
) {
    // SAFETY: the planned statement's own lists (plannodes.h, appendRelations).
    unsafe {
        let mut number = number;
        // Partitions of partitions: as deep as anybody nests them.
        for _ in 0..32 {
            let Some(info) = items::<pg_sys::AppendRelInfo>((*statement).appendRelations)
                .find(|&info| (*info).child_relid == number)
            else {
                return;
            };
            let Some(parent) = relation_of((*info).parent_relid, (*statement).rtable) else {
                // A member of UNION ALL stands for itself.
                return;
            };
            found.relation = (*parent).relid.to_u32();
            found.attributes = Attributes(found.attributes)
                .renumbered((*info).parent_colnos, (*info).num_child_cols)
                .0;
            number = (*info).parent_relid;
        }
    }
}

/// Attribute numbers 1 to 62 as bits, 63 for all others, and [`JOINED`].
#[derive(Clone, Copy)]
pub(super) struct Attributes(pub(super) u64);

impl Attributes {
    pub(super) fn set(&mut self, attribute: i32) {
        self.0 |= 1
            << if (1..63).contains(&attribute) {
                attribute
            } else {
                63
            };
    }

    /// Those of a relation that a list of conditions looks at.
    unsafe fn of(&mut self, conditions: *mut pg_sys::Node, number: u32) {
        // SAFETY: an expression tree.
        unsafe {
            planstate::attributes(conditions, number as i32, &mut |attribute| {
                self.set(attribute);
            });
        }
    }

    /// Those of the table behind an index-only scan's columns.
    unsafe fn of_index(
        &mut self,
        conditions: *mut pg_sys::Node,
        columns: *mut pg_sys::List,
        number: u32,
    ) {
        // SAFETY: an expression tree, and the index's target list.
        unsafe {
            planstate::attributes(conditions, pg_sys::INDEX_VAR, &mut |column| {
                let Some(entry) = items::<pg_sys::TargetEntry>(columns)
                    .nth(usize::try_from(column - 1).unwrap_or(usize::MAX))
                else {
                    return;
                };
                planstate::attributes((*entry).expr.cast(), number as i32, &mut |attribute| {
                    self.set(attribute);
                });
            });
        }
    }

    unsafe fn renumbered(self, parents: *const i16, count: i32) -> Attributes {
        let mut result = Attributes(self.0 & (1 << 63 | JOINED));
        for attribute in 1..63 {
            if self.0 >> attribute & 1 == 1 && attribute <= count {
                // SAFETY: one entry for each of the child's columns; 0 where the parent has none.
                let parent = unsafe { *parents.add(attribute as usize - 1) };
                if parent > 0 {
                    result.set(i32::from(parent));
                }
            }
        }
        result
    }
}
