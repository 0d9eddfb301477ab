//! Utility statements: counted by command tag, and a level around the statements that they
//! run (CALL, DO, CREATE TABLE AS, EXPLAIN ANALYZE, FETCH, COPY …). EXECUTE is none: what it
//! executes is counted as what it is, as pg_stat_statements does.
//!
//! The one ProcessUtility hook of the library: it also tells `ddl_notices` which command runs,
//! and `database_ddl` of statements that need a database without our worker.

use super::{frames, key, source, watching};
use crate::pg::boundary::contained;
use crate::pg::nodes::tag;
use crate::pg::raw;
use crate::pg::shmem::table::About;
use crate::pg::{database_ddl, ddl_notices};
use indexpilot_model::hash::StableHash;
use indexpilot_model::query::StatementKind;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{CStr, c_char};

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// Puts the hook in place.
///
/// # Safety
/// Only while the postmaster loads libraries.
pub(super) unsafe fn install() {
    // SAFETY: the caller's promise.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(hook);
    }
}

#[allow(clippy::too_many_arguments, reason = "the server's signature")]
unsafe extern "C-unwind" fn hook(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the arguments are the server's and are handed on as they came. No value with a
    // destructor is alive in this frame: errors of the server jump over it. The statement may
    // be gone after the next function (COMMIT in a procedure): everything that is needed of
    // it is read before.
    unsafe {
        let run = before((*statement).utilityStmt);
        let next = PREVIOUS.unwrap_or(raw::standard_ProcessUtility);
        next(
            statement,
            text,
            read_only,
            context,
            parameters,
            environment,
            destination,
            completion,
        );
        after(run, completion);
    }
}

/// What is known of a utility statement before it runs.
#[derive(Clone, Copy)]
struct Run {
    /// Its command tag, a static string of the server; null where nothing of it matters.
    name: *const c_char,
    query_id: u64,
    /// The nesting level, where it was raised.
    depth: Option<u32>,
    /// Whether it has a frame.
    counted: bool,
    creates_extension: bool,
}

#[inline(always)]
unsafe fn before(node: *mut pg_sys::Node) -> Run {
    let mut run = Run {
        name: std::ptr::null(),
        query_id: 0,
        depth: None,
        counted: false,
        creates_extension: false,
    };
    // SAFETY: a utility statement's tree. No destructor is alive while raw functions run.
    unsafe {
        if matches!(
            tag(node),
            NodeTag::T_Invalid
                | NodeTag::T_ExecuteStmt
                | NodeTag::T_PrepareStmt
                | NodeTag::T_DeallocateStmt
        ) {
            return run;
        }
        run.name = raw::GetCommandTagName(raw::CreateCommandTag(node));
        ddl_notices::about_to_run(run.name);
        if database_ddl::concerns(node) {
            database_ddl::before(node);
            run.creates_extension = tag(node) == NodeTag::T_CreateExtensionStmt;
        }
        if watching().is_some() {
            run.query_id = tag_id(run.name);
            run.counted = frames::begin_other(|top_level| key(run.query_id, top_level));
            run.depth = Some(frames::deeper());
        }
        run
    }
}

#[inline(always)]
unsafe fn after(run: Run, completion: *const pg_sys::QueryCompletion) {
    if let Some(depth) = run.depth {
        frames::back_to(depth);
    }
    if run.counted {
        let rows = if completion.is_null() {
            0
        } else {
            // SAFETY: not null, so filled in by the statement that just ended.
            unsafe { processed(completion) }
        };
        // SAFETY: a static string of the server.
        let _ = contained(|| unsafe { count(run.name, run.query_id, rows) });
    }
    if run.creates_extension {
        database_ddl::after_create_extension();
    }
}

/// Rows of the utility statements that have some.
unsafe fn processed(completion: *const pg_sys::QueryCompletion) -> u64 {
    // SAFETY: filled in by the statement that just ended.
    unsafe {
        match (*completion).commandTag {
            pg_sys::CommandTag::CMDTAG_COPY
            | pg_sys::CommandTag::CMDTAG_FETCH
            | pg_sys::CommandTag::CMDTAG_SELECT
            | pg_sys::CommandTag::CMDTAG_REFRESH_MATERIALIZED_VIEW => (*completion).nprocessed,
            _ => 0,
        }
    }
}

/// Stands for the query identifier: utility statements' texts are not kept, so all of one tag
/// are one statement.
unsafe fn tag_id(name: *const c_char) -> u64 {
    // SAFETY: a static string of the server.
    let name = unsafe { CStr::from_ptr(name) };
    StableHash::new()
        .field(b"utility")
        .field(name.to_bytes())
        .finish()
        .max(1)
}

unsafe fn count(name: *const c_char, query_id: u64, rows: u64) {
    let Some(frame) = frames::finish_other() else {
        return;
    };
    let Some(block) = watching() else { return };
    if let Some(entry) = block.find(frame.key) {
        entry.add(rows, 0, &frame.spent);
        return;
    }
    // SAFETY: globals of this process; a static string of the server.
    unsafe {
        let about = About {
            id: query_id,
            query_id,
            database: pg_sys::MyDatabaseId.to_u32(),
            user: raw::GetUserId().to_u32(),
            top_level: frame.top_level,
            kind: StatementKind::Utility as u32,
            now: crate::pg::clock::now(),
        };
        let Some((entry, _)) = block.find_or_make(frame.key, &about) else {
            return block.count_dropped();
        };
        entry.add(rows, 0, &frame.spent);
        source::tag_only(block, entry, name);
    }
}
