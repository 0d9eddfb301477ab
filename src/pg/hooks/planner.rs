//! The planner hook: first sight of a statement (its text, tree and settings go to the
//! worker), planning time, and which plan shape a cost stands for.

use super::{filters, frames, key, source, tenant, watching};
use crate::pg::compat;
use crate::pg::identity;
use crate::pg::planwalk;
use crate::pg::raw;
use crate::pg::shmem::Block;
use crate::pg::shmem::entry::{Entry, Wants};
use crate::pg::shmem::table::About;
use pgrx::pg_sys;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicPtr, Ordering};

static mut PREVIOUS: pg_sys::planner_hook_type = None;

/// Puts the hook in place.
///
/// # Safety
/// Only while the postmaster loads libraries.
pub(super) unsafe fn install() {
    // SAFETY: the caller's promise.
    unsafe {
        PREVIOUS = pg_sys::planner_hook;
        pg_sys::planner_hook = Some(hook);
    }
}

/// The query that is being planned for ourselves.
static UNCOUNTED: AtomicPtr<pg_sys::Query> = AtomicPtr::new(std::ptr::null_mut());

/// Has `work` plan a query that nobody runs (a price, an estimate): it is not counted. What
/// is planned on the way (functions that are folded) is.
pub fn uncounted<T>(query: *mut pg_sys::Query, work: impl FnOnce() -> T) -> T {
    struct Ends(*mut pg_sys::Query);
    impl Drop for Ends {
        fn drop(&mut self) {
            UNCOUNTED.store(self.0, Ordering::Relaxed);
        }
    }
    let _ends = Ends(UNCOUNTED.swap(query, Ordering::Relaxed));
    work()
}

unsafe extern "C-unwind" fn hook(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the arguments are the server's and are handed on as they came; no value with a
    // destructor is alive in this frame while the next planner runs.
    unsafe {
        let block = if UNCOUNTED.load(Ordering::Relaxed) == query {
            None
        } else {
            watching()
        };
        let (id, counted) = match block {
            Some(block) => {
                let id = identity::of_query(query, frames::depth() == 0);
                let counted = frames::begin_other(|top_level| key(id, top_level));
                if counted {
                    before(block, query, text, parameters, id);
                }
                (id, counted)
            }
            None => (0, false),
        };
        let depth = frames::deeper();
        let planned = match PREVIOUS {
            Some(previous) => previous(query, text, options, parameters),
            None => raw::standard_planner(query, text, options, parameters),
        };
        frames::back_to(depth);
        if id != 0 {
            identity::hand_on(planned, id);
        }
        if counted && let Some(frame) = frames::finish_other() {
            after(planned, frame);
        }
        planned
    }
}

/// The planner scribbles on the tree, so what is kept of it is taken before.
#[inline(always)]
unsafe fn before(
    block: &Block,
    query: *mut pg_sys::Query,
    text: *const c_char,
    parameters: pg_sys::ParamListInfo,
    id: u64,
) {
    let top_level = frames::depth() == 0;
    // SAFETY: the planner's arguments.
    unsafe {
        let key = key(id, top_level);
        match block.find(key) {
            Some(entry) if entry.wants.load(Ordering::Relaxed) == 0 => {
                tenant::planned(entry, key, query, text);
            }
            known => first_sight(block, known, (id, key), query, text, parameters, top_level),
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn first_sight(
    block: &Block,
    known: Option<&Entry>,
    (id, key): (u64, u64),
    query: *mut pg_sys::Query,
    text: *const c_char,
    parameters: pg_sys::ParamListInfo,
    top_level: bool,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: the planner's arguments; globals of this process.
    unsafe {
        let entry = match known {
            Some(entry) => entry,
            None => {
                let about = About {
                    id,
                    query_id: compat::identity::given(query),
                    database: pg_sys::MyDatabaseId.to_u32(),
                    user: raw::GetUserId().to_u32(),
                    top_level,
                    kind: crate::pg::querytree::kind((*query).commandType) as u32,
                    now: crate::pg::clock::now(),
                };
                match block.find_or_make(key, &about) {
                    Some((entry, _)) => entry,
                    None => return,
                }
            }
        };
        let wants = entry.wants.load(Ordering::Relaxed);
        if known.is_none() {
            filters::sample_next();
        }
        if wants & Wants::SOURCE != 0 {
            // One backend is enough. An ERROR that passes (a cancel) leaves the rest undone:
            // the worker asks again for what it never got.
            if entry.wants.fetch_and(!Wants::SOURCE, Ordering::AcqRel) & Wants::SOURCE != 0
                && source::whole(block, entry, query, text, parameters) == source::Sent::Later
            {
                entry.wants.fetch_or(Wants::SOURCE, Ordering::AcqRel);
            }
            tenant::planned(entry, key, query, text);
            return;
        }
        tenant::planned(entry, key, query, text);
        if wants & Wants::SAMPLE != 0 {
            source::sample_at_planning(block, entry, query, parameters);
        }
    }
}

#[inline(always)]
unsafe fn after(planned: *mut pg_sys::PlannedStmt, frame: &frames::Finished) {
    // SAFETY: a planned statement, just made.
    unsafe {
        if planned.is_null() {
            return;
        }
        let Some(entry) = watching().and_then(|block| block.find(frame.key)) else {
            return;
        };
        entry.plannings.fetch_add(1, Ordering::Relaxed);
        entry
            .planning_nanoseconds
            .fetch_add(frame.spent.nanoseconds, Ordering::Relaxed);
        let cost_bits = (*(*planned).planTree).total_cost.to_bits();
        if !entry.knows_cost(cost_bits) {
            let (fingerprint, indexes) = planwalk::fingerprint(planned);
            entry.learn_cost(cost_bits, fingerprint, &indexes);
        }
    }
}
