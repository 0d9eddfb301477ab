//! How much work a search may do, counted rather than timed.
//!
//! Searches here take no clock. They count elementary steps and ask the caller's
//! [`Pulse`] every [`Effort::STRIDE`] steps (well under a millisecond) whether to go
//! on. A limit in steps makes a result repeatable on any machine; a deadline or a
//! cancel, which are the caller's business, cut it short.

/// The caller's answer to "may I go on?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Go on.
    Continue,
    /// Time is nearly up: look for nothing new, but finish what is needed for an answer.
    Hurry,
    /// Time is up: return the best found so far, with its gap.
    Deadline,
    /// The user cancelled: return at once; the caller discards the result.
    Cancel,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The gap asked for was reached (0 means proven optimal).
    Gap,
    /// The step limit was used up.
    Steps,
    /// The node limit (memory) was used up.
    Nodes,
    /// The caller's pulse said the time is up.
    Deadline,
    /// The caller's pulse said cancelled.
    Cancelled,
}

/// A counter of elementary steps with a limit and the caller's pulse.
pub struct Effort<'a> {
    spent: u64,
    limit: u64,
    next: u64,
    pulse: &'a mut dyn FnMut() -> Pulse,
    stop: Option<Stop>,
}

impl<'a> Effort<'a> {
    /// Steps between two calls of the pulse. A step is a handful of memory reads
    /// (1–5 ns), so this is below a millisecond even on a slow, shared core.
    pub const STRIDE: u64 = 100_000;

    /// At most `limit` steps; `pulse` is asked every [`Self::STRIDE`] steps.
    pub fn new(limit: u64, pulse: &'a mut dyn FnMut() -> Pulse) -> Self {
        Self {
            spent: 0,
            limit,
            next: 0,
            pulse,
            stop: None,
        }
    }

    /// Counts `steps`; false when the search has to stop now.
    pub fn spend(&mut self, steps: u64) -> bool {
        self.spent = self.spent.saturating_add(steps.max(1));
        if self.stop.is_some() {
            return false;
        }
        if self.spent >= self.next {
            self.next = self.spent + Self::STRIDE;
            match (self.pulse)() {
                Pulse::Continue | Pulse::Hurry => {}
                Pulse::Deadline => self.stop = Some(Stop::Deadline),
                Pulse::Cancel => self.stop = Some(Stop::Cancelled),
            }
            if self.stop.is_none() && self.spent >= self.limit {
                self.stop = Some(Stop::Steps);
            }
        }
        self.stop.is_none()
    }

    /// The limit in steps.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Steps counted so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Why the search has to stop, once it has.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop
    }

    /// True while there is something left to spend.
    pub fn open(&self) -> bool {
        self.stop.is_none()
    }
}
