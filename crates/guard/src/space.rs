//! Space: free disk, the storage budget, the number of indexes on a table, and what they
//! cost its writes.

use crate::situation::{DAY, HOUR, Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::{Intent, IntentKind};

/// Bytes that must be free for each byte of the new index: itself, its sort files, and WAL.
const FREE_PER_BYTE: u64 = 3;
/// Bytes that must stay free whatever the index's size.
const RESERVE: u64 = 256 << 20;

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    let space = &situation.space;
    let config = &situation.config;
    let builds = match intent.kind {
        IntentKind::CreateIndex { .. } => true,
        IntentKind::Reindex { .. } => false,
        IntentKind::DropIndex { .. }
        | IntentKind::Analyze
        | IntentKind::CreateStatistics(_)
        | IntentKind::DropStatistics(_) => return Ok(()),
    };
    if let Some(free) = space.free {
        let needed = intent
            .bytes
            .saturating_mul(FREE_PER_BYTE)
            .saturating_add(RESERVE);
        if free < needed {
            return Err(Refusal::until(
                Safeguard::Space,
                format!(
                    "{} MB are free, and building {} MB needs {} MB",
                    free >> 20,
                    intent.bytes >> 20,
                    needed >> 20
                ),
                situation.now + HOUR,
            ));
        }
    }
    // The inverse of our own drop puts back what was there.
    if !builds || purpose == Purpose::Revert {
        return Ok(());
    }
    if let Some(budget) = config.storage_budget {
        let wanted = space.ours.saturating_add(intent.bytes);
        if wanted > budget {
            return Err(Refusal::never(
                Safeguard::Space,
                format!(
                    "our indexes would take {} MB, more than \"indexpilot.storage_budget\" ({} MB)",
                    wanted >> 20,
                    budget >> 20
                ),
            ));
        }
    }
    if space.indexes >= config.max_indexes_per_table {
        return Err(Refusal::never(
            Safeguard::Space,
            format!(
                "{} has {} indexes, and \"indexpilot.max_indexes_per_table\" is {}",
                intent.relation.qualified(),
                space.indexes,
                config.max_indexes_per_table
            ),
        ));
    }
    // Not for good: it is the traffic of the last day that speaks against it.
    if space.write_overhead > config.max_write_overhead {
        return Err(Refusal::until(
            Safeguard::Space,
            format!(
                "writes of {} would get {:.0} % dearer, more than \"indexpilot.max_write_overhead\" ({:.0} %)",
                intent.relation.qualified(),
                space.write_overhead * 100.0,
                config.max_write_overhead * 100.0
            ),
            situation.now + DAY,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, situation};

    #[test]
    fn each_limit_refuses() {
        let check = |change: &dyn Fn(&mut Situation)| {
            let mut now = situation();
            let mut intent = create(1);
            intent.bytes = 100 << 20;
            change(&mut now);
            check(&intent, Purpose::Operator, &now).is_ok()
        };
        assert!(check(&|_| {}));
        assert!(!check(&|now| now.space.free = Some(500 << 20)));
        assert!(!check(&|now| now.config.storage_budget = Some(99 << 20)));
        assert!(check(&|now| now.config.storage_budget = Some(100 << 20)));
        assert!(!check(&|now| now.space.indexes = 10));
        assert!(!check(&|now| now.space.write_overhead = 0.21));
    }
}
