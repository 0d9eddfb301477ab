//! What the safeguards look at, and what they answer.

use crate::dwell::Tombstone;
use indexpilot_model::Config;
use indexpilot_model::catalog::Protection;
use indexpilot_model::ids::Oid;
use indexpilot_model::ports::Timestamp;

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Who wants it, which decides what applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The advisor, by itself: everything applies.
    Advice,
    /// An operator asked (`apply`, `rollback`): the stage need not be auto, and neither
    /// breaker nor dwell time overrules a person.
    Operator,
    /// An action that hurt is taken back: it does not wait for a window or a token.
    Revert,
    /// Scheduled maintenance (REINDEX).
    Schedule,
}

/// Load of the host and the server. What could not be measured is `None` and refuses
/// nothing: on some systems there is no such number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Share of the host's CPU in use, 0…1, over the last seconds.
    pub cpu: Option<f64>,
    /// Sessions that run a statement now, ours aside.
    pub active_sessions: Option<u32>,
    /// CPUs of the host.
    pub cpus: u32,
    /// WAL that the slowest connected standby has yet to replay, bytes.
    pub replication_lag: Option<u64>,
    /// WAL segments that wait for archiving.
    pub archive_backlog: Option<u32>,
}

/// What the lock table and the process array say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LockSituation {
    /// Another concurrent build or VACUUM FULL-like command runs in this database, whoever
    /// started it (pg_stat_progress_create_index): builds wait for one another and can
    /// deadlock.
    pub other_build: bool,
    /// Age of the oldest transaction of this database, prepared ones included, seconds.
    pub oldest_transaction_seconds: f64,
    /// Somebody holds or waits for a lock on the relation that a build would wait for.
    pub relation_locked: bool,
    /// Our watchdog (the launcher) runs.
    pub watchdog: bool,
}

/// Space: on disk, in the budget and on the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Space {
    /// Free bytes where the index will lie; `None` where it could not be asked.
    pub free: Option<u64>,
    /// Bytes of all indexes that we built and that are there.
    pub ours: u64,
    /// Indexes of the relation now.
    pub indexes: u32,
    /// Expected increase of the cost of the relation's writes, share (estimate).
    pub write_overhead: f64,
}

/// How an action of the past ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Done, and not judged badly.
    Succeeded,
    /// Gave way to a client, or a limit struck.
    GaveWay,
    /// Failed for good.
    Failed,
    /// Done, measured and taken back.
    Reverted,
}

/// An action that was carried out, from the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastAction {
    /// When it ended (a revert: when the verdict fell).
    pub at: Timestamp,
    /// The relation it was done to.
    pub relation: Oid,
    /// How it ended.
    pub ending: Ending,
}

/// Everything the safeguards look at.
#[derive(Clone, Debug)]
pub struct Situation {
    /// Now.
    pub now: Timestamp,
    /// Offset of local time from UTC, seconds, east positive (the server's time zone).
    pub utc_offset: i32,
    /// The configuration.
    pub config: Config,
    /// Load.
    pub load: Load,
    /// Locks.
    pub locks: LockSituation,
    /// Space.
    pub space: Space,
    /// Actions of the last days, any order.
    pub past: Vec<PastAction>,
    /// Indexes that were built or dropped, for the dwell time.
    pub tombstones: Vec<Tombstone>,
    /// Why the index must stay, for drops.
    pub protections: Vec<Protection>,
    /// Attempts that this intent has had.
    pub attempts: u32,
}

/// Which safeguard answered. The names are stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Safeguard {
    /// Switches and stages.
    Bypass,
    /// Include and exclude lists, protected and pinned indexes.
    Scope,
    /// Maintenance window.
    Window,
    /// Token buckets and cool-down between actions.
    Rate,
    /// CPU, sessions, replication, archiving.
    Load,
    /// Locks, old transactions, attempts.
    Locks,
    /// Disk, budget, number of indexes, write overhead.
    Space,
    /// Circuit breaker.
    Breaker,
    /// Dwell time and tombstones.
    Dwell,
}

impl Safeguard {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Safeguard; 9] = [
        Safeguard::Bypass,
        Safeguard::Scope,
        Safeguard::Window,
        Safeguard::Rate,
        Safeguard::Load,
        Safeguard::Locks,
        Safeguard::Space,
        Safeguard::Breaker,
        Safeguard::Dwell,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Safeguard::Bypass => "bypass",
            Safeguard::Scope => "scope",
            Safeguard::Window => "window",
            Safeguard::Rate => "rate",
            Safeguard::Load => "load",
            Safeguard::Locks => "locks",
            Safeguard::Space => "space",
            Safeguard::Breaker => "breaker",
            Safeguard::Dwell => "dwell",
        }
    }
}

/// When it may be worth asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before this moment.
    At(Timestamp),
    /// Not unless somebody changes something.
    Never,
}

/// A safeguard's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which safeguard.
    pub safeguard: Safeguard,
    /// Why, for people.
    pub reason: String,
    /// When to ask again.
    pub retry: Retry,
}

impl Refusal {
    pub(crate) fn never(safeguard: Safeguard, reason: impl Into<String>) -> Self {
        Refusal {
            safeguard,
            reason: reason.into(),
            retry: Retry::Never,
        }
    }

    pub(crate) fn until(
        safeguard: Safeguard,
        reason: impl Into<String>,
        moment: Timestamp,
    ) -> Self {
        Refusal {
            safeguard,
            reason: reason.into(),
            retry: Retry::At(moment),
        }
    }
}
