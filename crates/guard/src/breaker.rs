//! The circuit breaker (M. Nygard, Release It!, 2007): after several failures or reverts in a
//! row nothing is tried for a while, then one thing is (half-open); success closes it.
//!
//! Like the rate limiter it is computed from the log and has no state to lose. Giving way to
//! a client is no failure.

use crate::situation::{DAY, Ending, HOUR, PastAction, Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::Intent;
use indexpilot_model::ports::Timestamp;

/// Failures or reverts in a row that open it.
const THRESHOLD: usize = 3;
/// How long it is open at first; every further failure doubles it.
const OPEN_FOR: i64 = HOUR;
/// The longest it is ever open.
const LONGEST: i64 = DAY;

/// What the breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets through.
    Closed,
    /// Lets nothing through before this moment.
    Open(Timestamp),
    /// Lets one action through, whose ending decides.
    HalfOpen,
}

/// The state that follows from the past.
pub fn state(past: &[PastAction], now: Timestamp) -> BreakerState {
    let mut sorted: Vec<&PastAction> = past
        .iter()
        .filter(|action| action.ending != Ending::GaveWay && action.at <= now)
        .collect();
    sorted.sort_by_key(|action| action.at);
    let bad = sorted
        .iter()
        .rev()
        .take_while(|action| matches!(action.ending, Ending::Failed | Ending::Reverted))
        .count();
    if bad < THRESHOLD {
        return BreakerState::Closed;
    }
    let last = sorted.last().map_or(now, |action| action.at);
    let doublings = (bad - THRESHOLD).min(20) as u32;
    let until = last + (OPEN_FOR << doublings).min(LONGEST);
    if until > now {
        BreakerState::Open(until)
    } else {
        BreakerState::HalfOpen
    }
}

pub(crate) fn check(
    _intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    if matches!(purpose, Purpose::Operator | Purpose::Revert) {
        return Ok(());
    }
    match state(&situation.past, situation.now) {
        BreakerState::Open(until) => Err(Refusal::until(
            Safeguard::Breaker,
            format!("the last {THRESHOLD} actions or more failed or had to be reverted"),
            until,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situation::MINUTE;

    fn past(endings: &[Ending]) -> Vec<PastAction> {
        endings
            .iter()
            .enumerate()
            .map(|(place, ending)| PastAction {
                at: place as i64 * MINUTE,
                relation: 1,
                ending: *ending,
            })
            .collect()
    }

    #[test]
    fn opens_half_opens_and_closes() {
        use Ending::{Failed, GaveWay, Reverted, Succeeded};
        let at = |endings: &[Ending], now| state(&past(endings), now);
        assert_eq!(at(&[Failed, Reverted], HOUR), BreakerState::Closed);
        let three = [Succeeded, Failed, GaveWay, Reverted, Failed];
        assert_eq!(
            at(&three, 10 * MINUTE),
            BreakerState::Open(4 * MINUTE + HOUR)
        );
        assert_eq!(at(&three, 4 * MINUTE + HOUR), BreakerState::HalfOpen);
        let again = [Failed, Failed, Failed, Failed];
        assert_eq!(
            at(&again, 10 * MINUTE),
            BreakerState::Open(3 * MINUTE + 2 * HOUR)
        );
        let closed = [Failed, Failed, Failed, Succeeded];
        assert_eq!(at(&closed, 10 * MINUTE), BreakerState::Closed);
        assert_eq!(
            at(&[Failed; 60], 100 * MINUTE),
            BreakerState::Open(59 * MINUTE + DAY)
        );
    }
}
