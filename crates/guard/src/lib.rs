//! The safeguards: every change that IndexPilot wants to make has to pass all of them.
//!
//! [`decide`] takes an intent and everything that was observed (time, load, locks, space,
//! history) and gives a [`Permit`], or every reason against it. A `Permit` has private
//! fields and is made nowhere else; the port that executes DDL takes nothing else. So "no
//! DDL without safeguards" is checked by the compiler.
//!
//! One safeguard a file, each a pure function of the same two values. All of them are asked,
//! also after the first refusal, so that a person sees every reason at once.

mod breaker;
mod bypass;
mod dwell;
mod load;
mod locks;
mod permit;
mod rate;
mod schedule;
mod scope;
mod situation;
mod space;
mod window;

pub use breaker::{BreakerState, state as breaker_state};
pub use dwell::{COOL_DOWN, Tombstone, cool_down};
pub use locks::{GIVE_UP_AFTER, backoff};
pub use permit::{Leftover, Permit, Work, decide, permit_cleanup};
pub use rate::TokenBucket;
pub use schedule::next_turn;
pub use situation::{
    Ending, Load, LockSituation, PastAction, Purpose, Refusal, Retry, Safeguard, Situation, Space,
};
pub use window::next_opening;

#[cfg(test)]
mod fixtures;
