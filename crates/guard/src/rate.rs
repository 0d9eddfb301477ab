//! The rate limiter: token buckets per hour, per day and per relation, and a pause between
//! two actions.
//!
//! The buckets have no state of their own: they are replayed from the log, so they hold
//! over restarts, crashes and a change of the limits.

use crate::situation::{DAY, HOUR, Purpose, Refusal, SECOND, Safeguard, Situation};
use indexpilot_model::Intent;
use indexpilot_model::ports::Timestamp;

/// A token bucket: full at first, refilled evenly, one token an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenBucket {
    capacity: f64,
    /// Microseconds for one token.
    interval: f64,
    tokens: f64,
    at: Timestamp,
}

impl TokenBucket {
    /// A full bucket of `capacity` tokens that refills within `period` microseconds.
    pub fn full(capacity: u32, period: i64, at: Timestamp) -> Self {
        let capacity = f64::from(capacity);
        TokenBucket {
            capacity,
            interval: period as f64 / capacity.max(f64::MIN_POSITIVE),
            tokens: capacity,
            at,
        }
    }

    /// The bucket after these actions (any order). It may be in debt, where a limit was
    /// lowered or an operator overruled it; a debt is never deeper than one filling.
    pub fn replay(capacity: u32, period: i64, actions: &[Timestamp], now: Timestamp) -> Self {
        let mut sorted: Vec<Timestamp> = actions.iter().copied().filter(|at| *at <= now).collect();
        sorted.sort_unstable();
        let first = sorted.first().copied().unwrap_or(now);
        let mut bucket = Self::full(capacity, period, first);
        for action in sorted {
            bucket.refill(action);
            bucket.tokens = (bucket.tokens - 1.0).max(-bucket.capacity);
        }
        bucket.refill(now);
        bucket
    }

    fn refill(&mut self, now: Timestamp) {
        if self.capacity > 0.0 {
            let gained = (now - self.at).max(0) as f64 / self.interval;
            self.tokens = (self.tokens + gained).min(self.capacity);
        }
        self.at = self.at.max(now);
    }

    /// When a whole token is there: now, later, or never (a bucket of no capacity).
    pub fn available(&self) -> Option<Timestamp> {
        if self.capacity < 1.0 {
            None
        } else if self.tokens >= 1.0 {
            Some(self.at)
        } else {
            Some(self.at + ((1.0 - self.tokens) * self.interval).ceil() as i64)
        }
    }
}

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    if intent.urgent || purpose == Purpose::Revert {
        return Ok(());
    }
    let config = &situation.config;
    let now = situation.now;
    let all: Vec<Timestamp> = situation.past.iter().map(|action| action.at).collect();
    let here: Vec<Timestamp> = situation
        .past
        .iter()
        .filter(|action| action.relation == intent.relation.oid)
        .map(|action| action.at)
        .collect();
    // A table gets at most half of an hour's actions, so that one busy table does not
    // starve the others.
    let per_table = config.max_builds_per_hour.div_ceil(2);
    let buckets = [
        (
            "max_builds_per_hour",
            config.max_builds_per_hour,
            HOUR,
            &all,
        ),
        ("max_builds_per_day", config.max_builds_per_day, DAY, &all),
        ("max_builds_per_hour, for one table", per_table, HOUR, &here),
    ];
    for (name, capacity, period, actions) in buckets {
        match TokenBucket::replay(capacity, period, actions, now).available() {
            Some(moment) if moment <= now => {}
            Some(moment) => {
                return Err(Refusal::until(
                    Safeguard::Rate,
                    format!("the limit \"indexpilot.{name}\" ({capacity}) is reached"),
                    moment,
                ));
            }
            None => {
                return Err(Refusal::never(
                    Safeguard::Rate,
                    format!("\"indexpilot.{name}\" is 0"),
                ));
            }
        }
    }
    let rested = all
        .iter()
        .max()
        .map_or(i64::MIN, |last| last + i64::from(config.cooldown) * SECOND);
    if rested > now {
        return Err(Refusal::until(
            Safeguard::Rate,
            format!(
                "less than \"indexpilot.cooldown\" ({} s) since the last action",
                config.cooldown
            ),
            rested,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Asked whenever it says that a token is there, it lets through no more than
        /// 2 × capacity actions in any window of one period (a full bucket, then the refill),
        /// and never starves: within one period there is a token.
        #[test]
        fn never_more_than_a_burst_and_a_refill(capacity in 1_u32..12, gaps in prop::collection::vec(0_i64..HOUR, 1..80)) {
            let mut taken: Vec<i64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap / 8;
                let bucket = TokenBucket::replay(capacity, HOUR, &taken, now);
                let next = bucket.available().expect("a capacity");
                prop_assert!(next - now <= HOUR + 1);
                if next <= now {
                    taken.push(now);
                }
            }
            for start in &taken {
                let within = taken.iter().filter(|at| (*start..*start + HOUR).contains(at)).count();
                prop_assert!(within <= 2 * capacity as usize);
            }
        }

        /// What it says is true: a microsecond before there is no token, then there is.
        #[test]
        fn says_when(capacity in 1_u32..6, actions in prop::collection::vec(0_i64..HOUR, 0..12)) {
            let bucket = TokenBucket::replay(capacity, HOUR, &actions, HOUR);
            let moment = bucket.available().expect("a capacity");
            let at = |now| TokenBucket::replay(capacity, HOUR, &actions, now).available().expect("a capacity");
            prop_assert!(at(moment + 2) <= moment + 2);
            if moment > HOUR + 2 {
                prop_assert!(at(moment - 2) > moment - 2);
            }
        }
    }

    #[test]
    fn nothing_at_zero() {
        assert_eq!(TokenBucket::replay(0, HOUR, &[], 0).available(), None);
    }
}
