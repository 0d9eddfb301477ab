//! What this backend is executing: a stack of the queries that have run and not ended, with
//! what they have used so far, and the nesting depth.
//!
//! Portals interleave, so a query is found by its address and not only on top. The depth is
//! raised around everything that can run statements inside a statement; an ERROR jumps over
//! the lowering, and the (sub)transaction callbacks mend it.

use crate::pg::raw;
use crate::pg::shmem::entry::Execution;
use pgrx::pg_sys;

/// Queries under way at most in one backend; what comes on top is not counted.
const FRAMES: usize = 512;
/// Subtransactions whose depth is remembered; deeper ones take that of the last remembered.
const SUBTRANSACTIONS: usize = 256;

/// One query under way.
#[derive(Clone, Copy)]
struct Frame {
    /// The executor's descriptor; null for planning and for utility statements.
    desc: *mut pg_sys::QueryDesc,
    /// Key of its entry.
    key: u64,
    /// Depth while it runs, 0 between two fetches.
    running: u32,
    /// Whether a client sent it.
    top_level: bool,
    /// Sum of the finished runs.
    nanoseconds: u64,
    started: u64,
    before: Usage,
    used: Usage,
}

/// What is left of a query that has ended.
#[derive(Clone, Copy)]
pub struct Finished {
    /// Key of its entry.
    pub key: u64,
    /// Whether a client sent it.
    pub top_level: bool,
    /// Time of all its runs.
    pub nanoseconds: u64,
    used: [u64; 7],
}

/// Counters of the backend (pgBufferUsage, pgWalUsage).
#[derive(Clone, Copy)]
struct Usage([u64; 7]);

impl Usage {
    const NONE: Usage = Usage([0; 7]);

    #[inline(always)]
    unsafe fn now() -> Usage {
        // SAFETY: plain globals of this process.
        unsafe {
            let buffers = &raw const pg_sys::pgBufferUsage;
            Usage([
                (*buffers).shared_blks_hit as u64,
                (*buffers).shared_blks_read as u64,
                (*buffers).shared_blks_dirtied as u64,
                (*buffers).shared_blks_written as u64,
                (*buffers).temp_blks_read as u64,
                (*buffers).temp_blks_written as u64,
                pg_sys::pgWalUsage.wal_bytes,
            ])
        }
    }
}

struct Stack {
    frames: [Frame; FRAMES],
    count: usize,
    depth: u32,
    subtransactions: [(u32, u32); SUBTRANSACTIONS],
    subtransaction_count: usize,
}

const EMPTY: Frame = Frame {
    desc: std::ptr::null_mut(),
    key: 0,
    running: 0,
    top_level: false,
    nanoseconds: 0,
    started: 0,
    before: Usage::NONE,
    used: Usage::NONE,
};

static mut STACK: Stack = Stack {
    frames: [EMPTY; FRAMES],
    count: 0,
    depth: 0,
    subtransactions: [(0, 0); SUBTRANSACTIONS],
    subtransaction_count: 0,
};

#[inline(always)]
fn stack() -> &'static mut Stack {
    let stack = &raw mut STACK;
    // SAFETY: a backend has one thread, and no reference outlives the call that took it.
    unsafe { &mut *stack }
}

/// The present nesting depth; 0 where the next statement comes from the client.
#[inline(always)]
pub fn depth() -> u32 {
    stack().depth
}

/// Raises the depth.
#[inline(always)]
pub fn deeper() {
    stack().depth += 1;
}

/// Lowers the depth again.
#[inline(always)]
pub fn shallower() {
    let stack = stack();
    stack.depth = stack.depth.saturating_sub(1);
}

/// Number of queries under way.
#[inline(always)]
pub fn count() -> usize {
    stack().count
}

#[inline(always)]
fn position(stack: &Stack, desc: *mut pg_sys::QueryDesc) -> Option<usize> {
    let mut position = stack.count.min(FRAMES);
    while position > 0 {
        position -= 1;
        if stack.frames[position].desc == desc {
            return Some(position);
        }
    }
    None
}

/// A run of the query begins: takes time and counters. Gives its place for [`end`]; `None` where
/// there is no room.
///
/// # Safety
/// `key` gives the entry's key when the query is new.
#[inline(always)]
pub unsafe fn begin(desc: *mut pg_sys::QueryDesc, key: impl FnOnce(bool) -> u64) -> Option<usize> {
    let stack = stack();
    let position = match position(stack, desc) {
        Some(position) => position,
        None if stack.count < FRAMES => {
            let position = stack.count;
            stack.count += 1;
            let top_level = stack.depth == 0;
            let frame = &mut stack.frames[position];
            frame.desc = desc;
            frame.key = key(top_level);
            frame.top_level = top_level;
            frame.nanoseconds = 0;
            frame.used = Usage::NONE;
            position
        }
        None => return None,
    };
    let depth = stack.depth + 1;
    let frame = &mut stack.frames[position];
    frame.running = depth;
    // SAFETY: reads counters and the clock.
    unsafe {
        frame.before = Usage::now();
        frame.started = raw::nanoseconds();
    }
    Some(position)
}

/// The run ends without error. What ran inside may have moved its frame.
#[inline(always)]
pub fn end(desc: *mut pg_sys::QueryDesc, at: usize) {
    let stack = stack();
    let found = if at < stack.count.min(FRAMES) && stack.frames[at].desc == desc {
        Some(at)
    } else {
        position(stack, desc)
    };
    if let Some(position) = found {
        let frame = &mut stack.frames[position];
        // SAFETY: reads counters and the clock.
        let (now, usage) = unsafe { (raw::nanoseconds(), Usage::now()) };
        frame.running = 0;
        frame.nanoseconds += now.saturating_sub(frame.started);
        for place in 0..7 {
            frame.used.0[place] += usage.0[place].wrapping_sub(frame.before.0[place]);
        }
    }
}

/// The query is over: takes its frame out.
#[inline(always)]
pub fn finish(desc: *mut pg_sys::QueryDesc) -> Option<Finished> {
    let stack = stack();
    let position = position(stack, desc)?;
    let frame = &stack.frames[position];
    let finished = Finished {
        key: frame.key,
        top_level: frame.top_level,
        nanoseconds: frame.nanoseconds,
        used: frame.used.0,
    };
    stack.count -= 1;
    if position < stack.count {
        stack
            .frames
            .copy_within(position + 1..stack.count + 1, position);
    }
    Some(finished)
}

/// Planning or a utility statement begins: something without descriptor, which ends before
/// what is under it does. False where there is no room.
///
/// # Safety
/// As [`begin`].
#[inline(always)]
pub unsafe fn begin_other(key: impl FnOnce(bool) -> u64) -> bool {
    let stack = stack();
    if stack.count >= FRAMES {
        return false;
    }
    let top_level = stack.depth == 0;
    let depth = stack.depth + 1;
    let frame = &mut stack.frames[stack.count];
    stack.count += 1;
    frame.desc = std::ptr::null_mut();
    frame.key = key(top_level);
    frame.top_level = top_level;
    frame.nanoseconds = 0;
    frame.used = Usage::NONE;
    frame.running = depth;
    // SAFETY: reads counters and the clock.
    unsafe {
        frame.before = Usage::now();
        frame.started = raw::nanoseconds();
    }
    true
}

/// The innermost planning or utility statement ends: takes its frame out.
#[inline(always)]
pub fn finish_other() -> Option<Finished> {
    // The last one, unless an ERROR took the end of something on top away.
    end(std::ptr::null_mut(), count().wrapping_sub(1));
    finish(std::ptr::null_mut())
}

/// Forgets a query at this address that never ended: an ERROR took its end away, and the
/// memory is used anew.
#[inline(always)]
pub fn forget(desc: *mut pg_sys::QueryDesc) {
    if count() != 0 {
        let _ = finish(desc);
    }
}

impl Finished {
    /// What the execution adds to its entry.
    #[inline(always)]
    pub fn execution(&self, rows: u64, cost_bits: u64) -> Execution {
        Execution {
            rows,
            nanoseconds: self.nanoseconds,
            cost_bits,
            resources: self.used,
        }
    }
}

/// Everything that runs deeper than `depth` was ended by an ERROR: `failed` gets each key.
pub fn unwind(depth: u32, mut failed: impl FnMut(u64)) {
    let stack = stack();
    stack.depth = depth;
    let mut kept = 0;
    for position in 0..stack.count.min(FRAMES) {
        let frame = stack.frames[position];
        if frame.running > depth {
            failed(frame.key);
        } else {
            stack.frames[kept] = frame;
            kept += 1;
        }
    }
    stack.count = kept;
}

/// Whether anything is running (not between two fetches).
pub fn running() -> bool {
    let stack = stack();
    stack.frames[..stack.count.min(FRAMES)]
        .iter()
        .any(|frame| frame.running != 0)
}

/// The transaction is over: no query of it is left, running ones (a procedure that commits)
/// excepted.
#[inline(always)]
pub fn transaction_ended() {
    let stack = stack();
    stack.subtransaction_count = 0;
    if stack.count != 0 {
        forget_ended(stack);
    }
}

#[cold]
#[inline(never)]
fn forget_ended(stack: &mut Stack) {
    let mut kept = 0;
    for position in 0..stack.count.min(FRAMES) {
        let frame = stack.frames[position];
        if frame.running != 0 {
            stack.frames[kept] = frame;
            kept += 1;
        }
    }
    stack.count = kept;
}

/// A subtransaction starts at the present depth.
pub fn subtransaction_started(id: u32) {
    let stack = stack();
    let position = stack.subtransaction_count.min(SUBTRANSACTIONS - 1);
    stack.subtransactions[position] = (id, stack.depth);
    stack.subtransaction_count = position + 1;
}

/// A subtransaction ends: the depth at which it started.
pub fn subtransaction_ended(id: u32) -> Option<u32> {
    let stack = stack();
    let count = stack.subtransaction_count;
    let position = stack.subtransactions[..count]
        .iter()
        .rposition(|&(other, _)| other == id)?;
    stack.subtransaction_count = position;
    Some(stack.subtransactions[position].1)
}
