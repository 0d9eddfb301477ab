//! A lock-free list of free numbers (R. K. Treiber, "Systems Programming: Coping with
//! Parallelism", IBM RJ 5118, 1986). The head carries a counter that grows with every change,
//! so that a number taken and given back in between (ABA) is noticed.
//!
//! Numbers that were never used are handed out by counting, so that the memory behind them is
//! not touched before it is needed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The list's head: counter in the upper half, number + 1 in the lower; 0 is empty.
#[repr(C)]
pub struct FreeList {
    head: AtomicU64,
    /// Numbers from here on were never used.
    unused: AtomicU32,
    count: AtomicU32,
}

impl FreeList {
    /// All of 0..count are free.
    pub fn start(&self, count: u32) {
        self.head.store(0, Ordering::Relaxed);
        self.unused.store(0, Ordering::Relaxed);
        self.count.store(count, Ordering::Release);
    }

    /// Takes a number. `next` gives the link word of a number.
    pub fn pop<'a>(&self, next: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        while head as u32 != 0 {
            let number = head as u32 - 1;
            let after = next(number).load(Ordering::Relaxed);
            let replacement = ((head >> 32).wrapping_add(1) << 32) | u64::from(after);
            match self.head.compare_exchange_weak(
                head,
                replacement,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
        let count = self.count.load(Ordering::Relaxed);
        let mut unused = self.unused.load(Ordering::Relaxed);
        while unused < count {
            match self.unused.compare_exchange_weak(
                unused,
                unused + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(unused),
                Err(now) => unused = now,
            }
        }
        None
    }

    /// Gives a number back. Nobody else may use it any more.
    pub fn push<'a>(&self, number: u32, next: impl Fn(u32) -> &'a AtomicU32) {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            next(number).store(head as u32, Ordering::Relaxed);
            let replacement = ((head >> 32).wrapping_add(1) << 32) | u64::from(number + 1);
            match self.head.compare_exchange_weak(
                head,
                replacement,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}
