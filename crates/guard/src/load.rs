//! Load: nothing is started on a busy host, a server with a queue, a standby that lags or an
//! archive that is behind. A build writes WAL of the index's size.

use crate::situation::{Purpose, Refusal, SECOND, Safeguard, Situation};
use indexpilot_model::{Intent, IntentKind};

/// Active sessions a CPU above which the server is taken as saturated.
const SESSIONS_PER_CPU: u32 = 4;
/// Replay lag above which a build would make it worse (bytes).
const REPLICATION_LAG: u64 = 256 << 20;
/// WAL segments waiting for archiving above which the archive is taken as stuck.
const ARCHIVE_BACKLOG: u32 = 64;

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    let load = &situation.load;
    let config = &situation.config;
    let later = situation.now + i64::from(config.cooldown.max(10)) * SECOND;
    let refuse = |reason: String| Err(Refusal::until(Safeguard::Load, reason, later));
    // A drop reads and writes next to nothing, and an index that hurts is part of the load.
    if purpose == Purpose::Revert || matches!(intent.kind, IntentKind::DropIndex { .. }) {
        return Ok(());
    }
    if let Some(cpu) = load.cpu
        && cpu > config.cpu_limit
    {
        return refuse(format!(
            "the host's CPU is {:.0} % busy, more than \"indexpilot.cpu_limit\" ({:.0} %)",
            cpu * 100.0,
            config.cpu_limit * 100.0
        ));
    }
    if let Some(active) = load.active_sessions
        && active > SESSIONS_PER_CPU * load.cpus.max(1)
    {
        return refuse(format!(
            "{active} sessions are active on {} CPUs",
            load.cpus.max(1)
        ));
    }
    if let Some(lag) = load.replication_lag
        && lag > REPLICATION_LAG
    {
        return refuse(format!("a standby lags by {} MB", lag >> 20));
    }
    if let Some(backlog) = load.archive_backlog
        && backlog > ARCHIVE_BACKLOG
    {
        return refuse(format!("{backlog} WAL segments wait for archiving"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, situation};

    #[test]
    fn each_kind_of_load_refuses() {
        let check = |change: &dyn Fn(&mut Situation)| {
            let mut now = situation();
            change(&mut now);
            check(&create(1), Purpose::Operator, &now).is_ok()
        };
        assert!(check(&|_| {}));
        assert!(check(&|now| now.load.cpu = Some(0.80)));
        assert!(!check(&|now| now.load.cpu = Some(0.81)));
        assert!(!check(&|now| now.load.active_sessions = Some(9)));
        assert!(!check(&|now| now.load.replication_lag = Some(1 << 30)));
        assert!(!check(&|now| now.load.archive_backlog = Some(65)));
    }
}
