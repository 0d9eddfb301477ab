//! Dwell time: nothing built is dropped, and nothing dropped is rebuilt, within a cool-down
//! that doubles each time the same index comes and goes. It ends fights with an application,
//! and with ourselves.

use crate::situation::{DAY, Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::ports::Timestamp;
use indexpilot_model::{Intent, IntentKind};

/// The first cool-down.
pub const COOL_DOWN: i64 = 7 * DAY;
/// The longest.
const LONGEST: i64 = 365 * DAY;

/// What became of a definition before. It remembers by definition, not by OID or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// `IndexDefinition::identity()`.
    pub identity: u64,
    /// When it was last built or dropped.
    pub at: Timestamp,
    /// The last thing was a drop (of any index of that definition, also by somebody else).
    pub dropped: bool,
    /// How often it was built and dropped again.
    pub rounds: u32,
}

/// Microseconds that must pass after `rounds` rounds (at least one).
pub fn cool_down(rounds: u32) -> i64 {
    (COOL_DOWN << rounds.saturating_sub(1).min(10)).min(LONGEST)
}

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    if matches!(purpose, Purpose::Operator | Purpose::Revert) {
        return Ok(());
    }
    let (identity, dropping) = match &intent.kind {
        IntentKind::CreateIndex { definition, .. } => (definition.identity(), false),
        IntentKind::DropIndex { definition, .. } => (definition.identity(), true),
        IntentKind::Reindex { .. }
        | IntentKind::Analyze
        | IntentKind::CreateStatistics(_)
        | IntentKind::DropStatistics(_) => return Ok(()),
    };
    let latest = situation
        .tombstones
        .iter()
        .filter(|stone| stone.identity == identity)
        .max_by_key(|stone| stone.at);
    let Some(stone) = latest else { return Ok(()) };
    let until = stone.at + cool_down(stone.rounds.max(1));
    if stone.dropped == dropping || until <= situation.now {
        return Ok(());
    }
    let days = (until - situation.now) / DAY + 1;
    let reason = if dropping {
        format!("it was built recently, and stays for {days} more days")
    } else {
        format!("the same index was dropped before, and is not rebuilt for {days} more days")
    };
    Err(Refusal::until(Safeguard::Dwell, reason, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, drop_of, situation};

    fn stone(dropped: bool, rounds: u32) -> Tombstone {
        let IntentKind::CreateIndex { definition, .. } = create(1).kind else {
            unreachable!("an intent to create");
        };
        Tombstone {
            identity: definition.identity(),
            at: 0,
            dropped,
            rounds,
        }
    }

    #[test]
    fn neither_rebuilt_nor_dropped_too_soon() {
        let mut now = situation();
        let at = |now: &mut Situation, moment: i64| {
            now.now = moment;
            (
                check(&create(1), Purpose::Advice, now).is_ok(),
                check(&drop_of(1), Purpose::Advice, now).is_ok(),
            )
        };
        now.tombstones = vec![stone(true, 1)];
        assert_eq!(at(&mut now, 6 * DAY), (false, true));
        assert_eq!(at(&mut now, 7 * DAY), (true, true));
        now.tombstones = vec![stone(true, 3)];
        assert_eq!(at(&mut now, 27 * DAY), (false, true));
        assert_eq!(at(&mut now, 28 * DAY), (true, true));
        now.tombstones = vec![stone(false, 0)];
        assert_eq!(at(&mut now, 6 * DAY), (true, false));
        assert!(check(&drop_of(1), Purpose::Revert, &now).is_ok());
        assert!((1..40).map(cool_down).collect::<Vec<_>>().is_sorted());
    }
}
