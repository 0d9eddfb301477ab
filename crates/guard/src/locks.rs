//! Locks: one build at a time in a database, no build behind an old transaction (it would
//! wait for it), none without the watchdog; and pauses that double after each attempt that
//! had to give way, up to a limit.

use crate::situation::{MINUTE, Purpose, Refusal, SECOND, Safeguard, Situation};
use indexpilot_model::{Intent, IntentKind};

/// Attempts after which an intent is given up.
pub const GIVE_UP_AFTER: u32 = 8;
/// First pause after giving way, seconds.
const FIRST_PAUSE: i64 = 30;
/// Longest pause, seconds.
const LONGEST_PAUSE: i64 = 6 * 3_600;
/// Age of a transaction behind which no build is started, seconds. A concurrent build waits
/// for every older transaction three times over.
const OLD_TRANSACTION: f64 = 60.0;

/// Seconds to wait after the `attempts`-th attempt (from 1) gave way; `None`: give up.
pub fn backoff(attempts: u32) -> Option<i64> {
    if attempts >= GIVE_UP_AFTER {
        return None;
    }
    let doubled = FIRST_PAUSE << attempts.saturating_sub(1).min(20);
    Some(doubled.min(LONGEST_PAUSE))
}

pub(crate) fn check(
    intent: &Intent,
    _purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    let locks = &situation.locks;
    let soon = |seconds: i64| situation.now + seconds * SECOND;
    if situation.attempts >= GIVE_UP_AFTER {
        return Err(Refusal::never(
            Safeguard::Locks,
            format!("given up after {GIVE_UP_AFTER} attempts"),
        ));
    }
    if !locks.watchdog {
        return Err(Refusal::until(
            Safeguard::Locks,
            "the launcher, which watches over clients that wait, is not running",
            soon(5),
        ));
    }
    // Statistics are made and dropped in a moment, and in no way of readers or writers.
    if matches!(
        intent.kind,
        IntentKind::Analyze | IntentKind::CreateStatistics(_) | IntentKind::DropStatistics(_)
    ) {
        return Ok(());
    }
    if locks.other_build {
        return Err(Refusal::until(
            Safeguard::Locks,
            "another index build is running in this database",
            soon(30),
        ));
    }
    if locks.oldest_transaction_seconds > OLD_TRANSACTION {
        return Err(Refusal::until(
            Safeguard::Locks,
            format!(
                "a transaction has been open for {:.0} s, and a concurrent build would wait for it",
                locks.oldest_transaction_seconds
            ),
            situation.now + MINUTE,
        ));
    }
    if locks.relation_locked {
        return Err(Refusal::until(
            Safeguard::Locks,
            format!("{} is locked", intent.relation.qualified()),
            soon(30),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, situation};

    #[test]
    fn pauses_double_and_end() {
        assert_eq!(backoff(1), Some(30));
        assert_eq!(backoff(2), Some(60));
        assert_eq!(backoff(GIVE_UP_AFTER), None);
        let all: Vec<i64> = (1..GIVE_UP_AFTER).filter_map(backoff).collect();
        assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn each_obstacle_refuses() {
        let check = |change: &dyn Fn(&mut Situation)| {
            let mut now = situation();
            change(&mut now);
            check(&create(1), Purpose::Revert, &now).is_ok()
        };
        assert!(check(&|_| {}));
        assert!(!check(&|now| now.locks.other_build = true));
        assert!(!check(&|now| now.locks.oldest_transaction_seconds = 61.0));
        assert!(!check(&|now| now.locks.relation_locked = true));
        assert!(!check(&|now| now.locks.watchdog = false));
        assert!(!check(&|now| now.attempts = GIVE_UP_AFTER));
    }
}
