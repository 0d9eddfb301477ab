//! Executor hooks: time and resources of every run, and the counting at the end.
//!
//! The path of a known statement: no allocation, no lock, nothing that raises.

use super::{filters, frames, key, source, tenant, watching};
use crate::pg::compat::executor::{self as compat, RunArguments};
use crate::pg::identity;
use crate::pg::raw;
use crate::pg::shmem::Block;
use crate::pg::shmem::entry::Wants;
use crate::pg::shmem::table::About;
use pgrx::pg_sys;
use std::ffi::c_int;
use std::sync::atomic::Ordering;

static mut PREVIOUS_START: pg_sys::ExecutorStart_hook_type = None;
static mut PREVIOUS_RUN: pg_sys::ExecutorRun_hook_type = None;
static mut PREVIOUS_FINISH: pg_sys::ExecutorFinish_hook_type = None;
static mut PREVIOUS_END: pg_sys::ExecutorEnd_hook_type = None;

/// Puts the hooks in place.
///
/// # Safety
/// Only while the postmaster loads libraries.
pub(super) unsafe fn install() {
    // SAFETY: the caller's promise.
    unsafe {
        PREVIOUS_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(start_hook);
        PREVIOUS_RUN = pg_sys::ExecutorRun_hook;
        pg_sys::ExecutorRun_hook = Some(run_hook);
        PREVIOUS_FINISH = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(finish_hook);
        PREVIOUS_END = pg_sys::ExecutorEnd_hook;
        pg_sys::ExecutorEnd_hook = Some(end_hook);
    }
}

unsafe extern "C-unwind" fn start_hook(desc: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: the arguments are the server's and are handed on as they came.
    unsafe {
        let explained = flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as c_int != 0;
        // Most queries come alone and are no sample: nothing is called for them, and no
        // register saved.
        if explained || frames::any() || !filters::passes() {
            start(desc, flags, explained);
        } else {
            start_next(desc, flags);
        }
    }
}

#[inline(never)]
unsafe fn start(desc: *mut pg_sys::QueryDesc, flags: c_int, explained: bool) {
    frames::forget(desc);
    filters::forget(desc);
    // SAFETY: the arguments are the server's and are handed on as they came.
    unsafe {
        if !explained {
            filters::started(desc);
        }
        start_next(desc, flags);
    }
}

#[inline(always)]
unsafe fn start_next(desc: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: the server's arguments, handed on as they came.
    unsafe {
        match PREVIOUS_START {
            Some(previous) => previous(desc, flags),
            None => raw::standard_ExecutorStart(desc, flags),
        }
    }
}

crate::pg::compat::executor::executor_run_hook!(run_hook, run);

#[inline(always)]
unsafe fn run(arguments: RunArguments) {
    let desc = arguments.desc;
    // SAFETY: a started query.
    unsafe {
        let run = begin(desc);
        let depth = frames::deeper();
        compat::run_next(PREVIOUS_RUN, arguments);
        frames::back_to(depth);
        frames::end(desc, run);
    }
}

/// Begins a run, where it is counted.
#[inline(always)]
unsafe fn begin(desc: *mut pg_sys::QueryDesc) -> frames::Run {
    // SAFETY: a started query.
    unsafe {
        let id = identity::of_plan((*desc).plannedstmt);
        if id == 0 || watching().is_none() {
            return frames::Run::NONE;
        }
        frames::begin(desc, |top_level| key(id, top_level))
    }
}

unsafe extern "C-unwind" fn finish_hook(desc: *mut pg_sys::QueryDesc) {
    // SAFETY: a query that has run.
    unsafe {
        // Only what writes has triggers to fire and CTEs to run to their end. In all else the
        // server runs nothing: neither counted nor a level.
        if (*desc).operation != pg_sys::CmdType::CMD_SELECT
            || (*(*desc).plannedstmt).hasModifyingCTE
        {
            finish(desc);
        } else {
            finish_next(desc);
        }
    }
}

#[inline(never)]
unsafe fn finish(desc: *mut pg_sys::QueryDesc) {
    // SAFETY: a query that has run.
    unsafe {
        let run = begin(desc);
        let depth = frames::deeper();
        finish_next(desc);
        frames::back_to(depth);
        frames::end(desc, run);
    }
}

#[inline(always)]
unsafe fn finish_next(desc: *mut pg_sys::QueryDesc) {
    // SAFETY: the server's argument, handed on as it came.
    unsafe {
        match PREVIOUS_FINISH {
            Some(previous) => previous(desc),
            None => raw::standard_ExecutorFinish(desc),
        }
    }
}

unsafe extern "C-unwind" fn end_hook(desc: *mut pg_sys::QueryDesc) {
    // SAFETY: a started query.
    unsafe {
        // What has a frame was watched when it began.
        if frames::any()
            && let Some(block) = super::watched()
            && let Some(frame) = frames::finish(desc)
        {
            count(block, desc, frame);
        }
        match PREVIOUS_END {
            Some(previous) => previous(desc),
            None => raw::standard_ExecutorEnd(desc),
        }
    }
}

#[inline(always)]
unsafe fn count(block: &Block, desc: *mut pg_sys::QueryDesc, frame: &frames::Finished) {
    // SAFETY: a started query whose plan is there until it ends.
    unsafe {
        let key = frame.key;
        let Some(entry) = block.find(key) else {
            return first_met(block, desc, frame);
        };
        let rows = compat::rows(desc);
        let nanoseconds = frame.spent.nanoseconds;
        entry.add(rows, cost_bits(desc), &frame.spent);
        if filters::is_sampled(desc) {
            filters::collect(entry, desc);
        }
        tenant::count(block, entry, key, desc, (rows, nanoseconds));
        if entry.wants.load(Ordering::Relaxed) & Wants::SAMPLE != 0 {
            source::sample(block, entry, (*desc).params);
        }
    }
}

/// What the planner thinks that the query costs.
#[inline(always)]
unsafe fn cost_bits(desc: *const pg_sys::QueryDesc) -> u64 {
    // SAFETY: a started query.
    unsafe { (*(*(*desc).plannedstmt).planTree).total_cost.to_bits() }
}

/// A plan that was cached before we had room for its statement, or whose entry was removed.
#[cold]
#[inline(never)]
unsafe fn first_met(block: &Block, desc: *mut pg_sys::QueryDesc, frame: &frames::Finished) {
    // SAFETY: a started query; globals of this process.
    unsafe {
        let about = About {
            id: identity::of_plan((*desc).plannedstmt),
            query_id: compat::query_id((*desc).plannedstmt),
            database: pg_sys::MyDatabaseId.to_u32(),
            user: raw::GetUserId().to_u32(),
            top_level: frame.top_level,
            kind: crate::pg::querytree::kind((*desc).operation) as u32,
            now: crate::pg::clock::now(),
        };
        let Some((entry, _)) = block.find_or_make(frame.key, &about) else {
            return block.count_dropped();
        };
        entry.add(compat::rows(desc), cost_bits(desc), &frame.spent);
        let statement = (*desc).plannedstmt;
        source::text_only(
            block,
            entry,
            (*desc).sourceText,
            (*statement).stmt_location,
            (*statement).stmt_len,
        );
    }
}
