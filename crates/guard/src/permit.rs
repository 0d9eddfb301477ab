//! The permit: the only key to the port that executes DDL.

use crate::situation::{Purpose, Refusal, Safeguard, Situation};
use crate::{breaker, bypass, dwell, load, locks, rate, scope, space, window};
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::ids::Oid;
use indexpilot_model::query::RelationName;
use indexpilot_model::{Config, Intent};

/// What a permit is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// An intent.
    Action(Box<Intent>),
    /// Dropping what a build of ours left invalid.
    Cleanup(Leftover),
}

/// An invalid index that a build left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The index.
    pub index: Oid,
    /// Its schema and name.
    pub name: QualifiedName,
    /// Its table.
    pub relation: RelationName,
    /// The log has an intent of ours for this index on this table, from this server and
    /// database, and no successful outcome.
    pub recorded: bool,
    /// `pg_index.indisvalid`.
    pub valid: bool,
    /// It is the finished index of a partition, of a build on the partitioned table that
    /// did not finish: valid, but of no use to anybody.
    pub part: bool,
    /// Some process is building on the table now.
    pub in_progress: bool,
}

/// Leave to do one thing, under limits. It can be made by [`decide`] and
/// [`permit_cleanup`] alone, and is used up by doing it.
#[derive(Debug, PartialEq)]
pub struct Permit {
    work: Work,
    lock_timeout: u32,
    build_timeout: u32,
}

impl Permit {
    /// What it permits.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The longest wait for a lock that others would queue behind, milliseconds.
    pub fn lock_timeout(&self) -> u32 {
        self.lock_timeout
    }

    /// The longest it may take altogether, seconds.
    pub fn build_timeout(&self) -> u32 {
        self.build_timeout
    }
}

type Check = fn(&Intent, Purpose, &Situation) -> Result<(), Refusal>;

/// In the order of [`Safeguard::ALL`].
const CHECKS: [Check; 9] = [
    bypass::check,
    scope::check,
    window::check,
    rate::check,
    load::check,
    locks::check,
    space::check,
    breaker::check,
    dwell::check,
];

/// Asks every safeguard.
///
/// # Errors
/// All that refused, in the order of [`Safeguard::ALL`]; never empty.
pub fn decide(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<Permit, Vec<Refusal>> {
    let refusals: Vec<Refusal> = CHECKS
        .iter()
        .filter_map(|check| check(intent, purpose, situation).err())
        .collect();
    if refusals.is_empty() {
        Ok(Permit {
            work: Work::Action(Box::new(intent.clone())),
            lock_timeout: situation.config.lock_timeout,
            build_timeout: situation.config.build_timeout,
        })
    } else {
        Err(refusals)
    }
}

/// Leave to drop a leftover, if it is recorded as ours, invalid, and nobody is building it.
///
/// # Errors
/// Why it has to stay.
pub fn permit_cleanup(leftover: &Leftover, config: &Config) -> Result<Permit, Refusal> {
    let refuse = |reason: &str| {
        Err(Refusal::never(
            Safeguard::Scope,
            format!("index {} stays: {reason}", leftover.name),
        ))
    };
    if !leftover.recorded {
        return refuse("the log does not say that it is ours");
    }
    if leftover.valid && !leftover.part {
        return refuse("it is valid");
    }
    if leftover.in_progress {
        return refuse("somebody is building on its table");
    }
    Ok(Permit {
        work: Work::Cleanup(leftover.clone()),
        lock_timeout: config.lock_timeout,
        build_timeout: config.build_timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, situation};
    use crate::situation::{Load, LockSituation, Space};
    use indexpilot_model::config::Stage;
    use proptest::prelude::*;

    #[test]
    fn a_quiet_night_permits() {
        let permit =
            decide(&create(1), Purpose::Advice, &situation()).expect("nothing speaks against it");
        assert_eq!(permit.work(), &Work::Action(Box::new(create(1))));
        assert_eq!(
            (permit.lock_timeout(), permit.build_timeout()),
            (1_000, 3_600)
        );
    }

    #[test]
    fn only_our_own_dead_leftovers_go() {
        let config = Config::default();
        for bits in 0..8_u8 {
            let leftover = Leftover {
                index: 5,
                name: QualifiedName::new("crm", "x_ccnew"),
                relation: create(1).relation,
                recorded: bits & 1 != 0,
                valid: bits & 2 != 0,
                part: false,
                in_progress: bits & 4 != 0,
            };
            assert_eq!(permit_cleanup(&leftover, &config).is_ok(), bits == 1);
        }
    }

    fn purposes() -> impl Strategy<Value = Purpose> {
        prop_oneof![
            Just(Purpose::Advice),
            Just(Purpose::Operator),
            Just(Purpose::Revert),
            Just(Purpose::Schedule)
        ]
    }

    proptest! {
        /// Whoever asks and however urgently: never while switched off, without the
        /// watchdog, behind another build or an old transaction, or without room on disk.
        #[test]
        fn clients_are_protected_whoever_asks(
            purpose in purposes(), urgent: bool, enabled: bool, watchdog: bool,
            other_build: bool, old in 0.0_f64..120.0, free_mb in 0_u64..4_000, mb in 0_u64..1_000,
        ) {
            let mut now = situation();
            now.config.enabled = enabled;
            now.locks = LockSituation { other_build, oldest_transaction_seconds: old, relation_locked: false, watchdog };
            now.space.free = Some(free_mb << 20);
            let mut intent = create(1);
            intent.urgent = urgent;
            intent.bytes = mb << 20;
            if decide(&intent, purpose, &now).is_ok() {
                prop_assert!(enabled && watchdog && !other_build && old <= 60.0);
                prop_assert!(free_mb >= 3 * mb + 256);
            }
        }

        /// By itself it acts only where the stage says auto, within the window.
        #[test]
        fn autonomy_needs_its_stage_and_window(minute in 0_i64..10_080, stage in 0_u8..3) {
            let mut now = situation();
            now.now = minute * 60 * 1_000_000;
            now.config.maintenance_window.start = 120;
            now.config.maintenance_window.end = 360;
            now.config.create_index = [Stage::Off, Stage::Advise, Stage::Auto][stage as usize];
            let permitted = decide(&create(1), Purpose::Advice, &now).is_ok();
            let open = (120..360).contains(&(minute % 1_440));
            prop_assert_eq!(permitted, open && stage == 2);
        }

        /// A refusal always says when or that it is for good, and every reason is there.
        #[test]
        fn refusals_are_complete(cpu in 0.0_f64..1.0, indexes in 0_u32..20) {
            let mut now = situation();
            now.load = Load { cpu: Some(cpu), cpus: 2, ..Load::default() };
            now.space = Space { indexes, ..Space::default() };
            let refused: Vec<Safeguard> = decide(&create(1), Purpose::Advice, &now)
                .err().unwrap_or_default().iter().map(|refusal| refusal.safeguard).collect();
            prop_assert_eq!(refused.contains(&Safeguard::Load), cpu > 0.8);
            prop_assert_eq!(refused.contains(&Safeguard::Space), indexes >= 10);
        }
    }
}
