//! What this backend is executing: a stack of the queries that have run and not ended, with
//! what they have used so far, and the nesting depth.
//!
//! Portals interleave, so a query is found by its address and not only on top. The depth is
//! raised around everything that can run statements inside a statement; an ERROR jumps over
//! the lowering, and the (sub)transaction callbacks mend it.

use crate::pg::raw;
use crate::pg::shmem::entry::Spent;
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
    /// Depth while it runs, 0 between two fetches.
    running: u32,
    query: Finished,
}

/// What is left of a query that has ended.
#[derive(Clone, Copy)]
pub struct Finished {
    /// Key of its entry.
    pub key: u64,
    /// Whether a client sent it.
    pub top_level: bool,
    /// Time and resources of all its runs. While it runs: what clock and counters showed at the
    /// beginning, less what the runs before took. So beginning and end of a run are one
    /// subtraction each, and a first run begins with plain copies.
    pub spent: Spent,
}

/// Counters of the backend (pgBufferUsage, pgWalUsage), as in [`Spent::resources`].
#[inline(always)]
unsafe fn counters() -> [u64; 7] {
    // SAFETY: plain globals of this process.
    unsafe {
        let buffers = &raw const pg_sys::pgBufferUsage;
        [
            (*buffers).shared_blks_hit as u64,
            (*buffers).shared_blks_read as u64,
            (*buffers).shared_blks_dirtied as u64,
            (*buffers).shared_blks_written as u64,
            (*buffers).temp_blks_read as u64,
            (*buffers).temp_blks_written as u64,
            pg_sys::pgWalUsage.wal_bytes,
        ]
    }
}

/// The first run begins.
#[inline(always)]
fn start(spent: &mut Spent) {
    // SAFETY: reads counters and the clock.
    unsafe {
        spent.resources = counters();
        spent.nanoseconds = raw::nanoseconds();
    }
}

/// A later run begins.
#[inline(always)]
fn resume(spent: &mut Spent) {
    // SAFETY: reads counters.
    let counters = unsafe { counters() };
    subtract(spent, &counters);
    // SAFETY: reads the clock.
    spent.nanoseconds = unsafe { raw::nanoseconds() }.wrapping_sub(spent.nanoseconds);
}

/// A run ends.
#[inline(always)]
fn pause(spent: &mut Spent) {
    // SAFETY: reads counters and the clock.
    let (now, counters) = unsafe { (raw::nanoseconds(), counters()) };
    spent.nanoseconds = now.wrapping_sub(spent.nanoseconds);
    subtract(spent, &counters);
}

#[inline(always)]
fn subtract(spent: &mut Spent, counters: &[u64; 7]) {
    for (mark, counter) in spent.resources.iter_mut().zip(counters) {
        *mark = counter.wrapping_sub(*mark);
    }
}

const EMPTY: Frame = Frame {
    desc: std::ptr::null_mut(),
    running: 0,
    query: Finished {
        key: 0,
        top_level: false,
        spent: Spent::NONE,
    },
};

// A backend has one thread, and no reference into these outlives the call that took it.
static mut STACK: [Frame; FRAMES] = [EMPTY; FRAMES];
/// The place behind the last frame in use.
static mut TOP: *mut Frame = (&raw mut STACK).cast();
static mut DEPTH: u32 = 0;

struct Subtransactions {
    /// Identifier, and the depth at which it started.
    started: [(u32, u32); SUBTRANSACTIONS],
    count: usize,
}

static mut SUBTRANSACTIONS_OPEN: Subtransactions = Subtransactions {
    started: [(0, 0); SUBTRANSACTIONS],
    count: 0,
};

#[inline(always)]
fn bottom() -> *mut Frame {
    (&raw mut STACK).cast()
}

#[inline(always)]
fn top() -> *mut Frame {
    // SAFETY: as the statics say; always within STACK or behind it.
    unsafe { TOP }
}

#[inline(always)]
fn set_top(top: *mut Frame) {
    // SAFETY: as the statics say.
    unsafe { TOP = top }
}

#[inline(always)]
fn subtransactions() -> &'static mut Subtransactions {
    let open = &raw mut SUBTRANSACTIONS_OPEN;
    // SAFETY: as the statics say.
    unsafe { &mut *open }
}

/// The frames in use, from the bottom.
fn in_use() -> &'static mut [Frame] {
    // SAFETY: as the statics say; TOP is never below the bottom.
    unsafe { std::slice::from_raw_parts_mut(bottom(), top().offset_from(bottom()) as usize) }
}

/// The present nesting depth; 0 where the next statement comes from the client.
#[inline(always)]
pub fn depth() -> u32 {
    // SAFETY: as the statics say.
    unsafe { DEPTH }
}

/// Raises the depth; gives what it was, for [`back_to`].
#[inline(always)]
pub fn deeper() -> u32 {
    let depth = depth();
    back_to(depth + 1);
    depth
}

/// What ran deeper is over.
#[inline(always)]
pub fn back_to(depth: u32) {
    // SAFETY: as the statics say.
    unsafe { DEPTH = depth }
}

/// Whether queries are under way.
#[inline(always)]
pub fn any() -> bool {
    top() != bottom()
}

/// The frame of a query, the innermost one of several without descriptor; null where it has
/// none.
#[inline(always)]
fn of(desc: *mut pg_sys::QueryDesc) -> *mut Frame {
    let mut frame = top();
    while frame != bottom() {
        // SAFETY: above the bottom, so the one below is in use.
        unsafe {
            frame = frame.sub(1);
            if (*frame).desc == desc {
                return frame;
            }
        }
    }
    std::ptr::null_mut()
}

/// A run that has begun: the place of its frame, where it has one.
#[derive(Clone, Copy)]
pub struct Run(*mut Frame);

/// A run of the query begins: takes time and counters. `key` gives the entry's key when the
/// query is new.
#[inline(always)]
pub fn begin(desc: *mut pg_sys::QueryDesc, key: impl FnOnce(bool) -> u64) -> Run {
    if any() {
        let frame = of(desc);
        if !frame.is_null() {
            again(frame);
            return Run(frame);
        }
    }
    Run(push(desc, key))
}

impl Run {
    /// A run that is not counted.
    pub const NONE: Run = Run(std::ptr::null_mut());
}

/// A new frame; null where there is no room.
#[inline(always)]
fn push(desc: *mut pg_sys::QueryDesc, key: impl FnOnce(bool) -> u64) -> *mut Frame {
    let frame = top();
    // SAFETY: not beyond the end of STACK, so a frame; as the statics say.
    unsafe {
        if frame == bottom().add(FRAMES) {
            return std::ptr::null_mut();
        }
        set_top(frame.add(1));
        let depth = depth();
        (*frame).desc = desc;
        (*frame).running = depth + 1;
        (*frame).query.top_level = depth == 0;
        (*frame).query.key = key(depth == 0);
        start(&mut (*frame).query.spent);
    }
    frame
}

/// One more fetch of a cursor, or what runs at the end of a statement that writes.
#[inline(never)]
fn again(frame: *mut Frame) {
    // SAFETY: a frame in use.
    let frame = unsafe { &mut *frame };
    if frame.running == 0 {
        resume(&mut frame.query.spent);
    } else {
        // An ERROR took the end of the last run away: how long it took is not known.
        start(&mut frame.query.spent);
    }
    frame.running = depth() + 1;
}

/// The run ends without error.
#[inline(always)]
pub fn end(desc: *mut pg_sys::QueryDesc, run: Run) {
    let mut frame = run.0;
    if frame.is_null() {
        return;
    }
    // SAFETY: a place in STACK, whoever's it is now; what ran inside may have moved the frame.
    unsafe {
        if frame >= top() || (*frame).desc != desc {
            frame = of(desc);
            if frame.is_null() {
                return;
            }
        }
        pause(&mut (*frame).query.spent);
        (*frame).running = 0;
    }
}

/// The query is over: takes its frame out. What is given lies where the next frame begins: it
/// is to be read before another query does.
#[inline(always)]
pub fn finish(desc: *mut pg_sys::QueryDesc) -> Option<&'static Finished> {
    let frame = of(desc);
    if frame.is_null() {
        return None;
    }
    // SAFETY: a frame is in use, so there is a last one.
    unsafe {
        let last = top().sub(1);
        set_top(last);
        if frame != last || (*last).running != 0 {
            close(frame, last);
        }
        Some(&(*last).query)
    }
}

/// Moves a frame behind those that are left. One whose last run never ended has spent what
/// nobody knows.
#[cold]
#[inline(never)]
unsafe fn close(frame: *mut Frame, last: *mut Frame) {
    // SAFETY: frames of STACK, the first not behind the second.
    unsafe {
        let count = last.offset_from(frame) as usize + 1;
        std::slice::from_raw_parts_mut(frame, count).rotate_left(1);
        if (*last).running != 0 {
            (*last).running = 0;
            (*last).query.spent = Spent::NONE;
        }
    }
}

/// Planning or a utility statement begins: something without descriptor, which ends before
/// what is under it does. False where there is no room. `key` as for [`begin`].
#[inline(always)]
pub fn begin_other(key: impl FnOnce(bool) -> u64) -> bool {
    !push(std::ptr::null_mut(), key).is_null()
}

/// The innermost planning or utility statement ends: takes its frame out.
#[inline(always)]
pub fn finish_other() -> Option<&'static Finished> {
    // The last one, unless an ERROR took the end of something on top away.
    let frame = of(std::ptr::null_mut());
    end(std::ptr::null_mut(), Run(frame));
    finish(std::ptr::null_mut())
}

/// Forgets a query at this address that never ended: an ERROR took its end away, and the
/// memory is used anew.
#[inline(always)]
pub fn forget(desc: *mut pg_sys::QueryDesc) {
    if any() {
        let _ = finish(desc);
    }
}

/// Everything that runs deeper than `depth` was ended by an ERROR: `failed` gets each key.
pub fn unwind(depth: u32, mut failed: impl FnMut(u64)) {
    back_to(depth);
    keep(|frame| {
        let stays = frame.running <= depth;
        if !stays {
            failed(frame.query.key);
        }
        stays
    });
}

/// Takes out the frames that are not to be kept.
fn keep(mut stays: impl FnMut(&Frame) -> bool) {
    let frames = in_use();
    let mut kept = 0;
    for position in 0..frames.len() {
        let frame = frames[position];
        if stays(&frame) {
            frames[kept] = frame;
            kept += 1;
        }
    }
    // SAFETY: not more than there were.
    set_top(unsafe { bottom().add(kept) });
}

/// Whether anything is running (not between two fetches).
pub fn running() -> bool {
    in_use().iter().any(|frame| frame.running != 0)
}

/// The transaction is over: no query of it is left, running ones (a procedure that commits)
/// excepted.
#[inline(always)]
pub fn transaction_ended() {
    subtransactions().count = 0;
    if any() {
        forget_ended();
    }
}

#[cold]
#[inline(never)]
fn forget_ended() {
    keep(|frame| frame.running != 0);
}

/// A subtransaction starts at the present depth.
pub fn subtransaction_started(id: u32) {
    let open = subtransactions();
    let position = open.count.min(SUBTRANSACTIONS - 1);
    open.started[position] = (id, depth());
    open.count = position + 1;
}

/// A subtransaction ends: the depth at which it started.
pub fn subtransaction_ended(id: u32) -> Option<u32> {
    let open = subtransactions();
    let position = open.started[..open.count]
        .iter()
        .rposition(|&(other, _)| other == id)?;
    open.count = position;
    Some(open.started[position].1)
}
