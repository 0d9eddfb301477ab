//! The life of a recommendation: its states and the only ways from one to another.

use serde::{Deserialize, Serialize};

/// Where a recommendation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Advised.
    Proposed,
    /// To be carried out: by an operator, or by itself under the stage `auto`.
    Approved,
    /// Being built, dropped or rebuilt.
    Building,
    /// Done; measured against before.
    Validating,
    /// It pays.
    Kept,
    /// It did not pay and was undone.
    Reverted,
    /// An operator does not want it.
    Dismissed,
    /// No longer advised.
    Expired,
    /// Could not be carried out.
    Failed,
    /// Another recommendation took its place.
    Superseded,
}

use State::{
    Approved, Building, Dismissed, Expired, Failed, Kept, Proposed, Reverted, Superseded,
    Validating,
};

impl State {
    /// All states.
    pub const ALL: [State; 10] = [
        Proposed, Approved, Building, Validating, Kept, Reverted, Dismissed, Expired, Failed,
        Superseded,
    ];

    /// The stored name.
    pub fn name(self) -> &'static str {
        match self {
            Proposed => "proposed",
            Approved => "approved",
            Building => "building",
            Validating => "validating",
            Kept => "kept",
            Reverted => "reverted",
            Dismissed => "dismissed",
            Expired => "expired",
            Failed => "failed",
            Superseded => "superseded",
        }
    }

    /// The state with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether something was done about it: the indexes of its relation changed.
    pub fn was_done(self) -> bool {
        matches!(self, Building | Validating | Kept | Reverted | Failed)
    }

    /// The states that may follow.
    pub fn next(self) -> &'static [State] {
        match self {
            Proposed => &[Approved, Dismissed, Expired, Superseded],
            // A job that is given up before it starts goes back to where it came from.
            Approved => &[Building, Proposed, Dismissed, Failed],
            // Giving way to clients puts it back in the queue.
            Building => &[Validating, Approved, Failed],
            Validating => &[Kept, Reverted, Failed],
            // The index was dropped by somebody, and it is advised again.
            Kept => &[Proposed, Reverted],
            // Advised again once the ban has run out.
            Reverted | Failed | Expired | Superseded => &[Proposed],
            Dismissed => &[Proposed],
        }
    }

    /// Whether the one may follow the other.
    pub fn may_become(self, next: State) -> bool {
        self.next().contains(&next)
    }

    /// Whether an analysis that advises it again may propose it anew: what is under way or
    /// was decided by a person stays as it is.
    pub fn proposed_anew(self) -> bool {
        matches!(self, Expired | Superseded | Kept | Failed | Reverted)
    }

    /// Whether it still stands as advice.
    pub fn is_open(self) -> bool {
        matches!(self, Proposed | Approved | Building | Validating)
    }
}

/// Days for which a definition that did not pay is not advised again: 30, doubled each time
/// (so that the advisor does not fight the application).
pub fn ban_days(times: u32) -> f64 {
    30.0 * 2f64.powi(times.saturating_sub(1).min(5) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!(State::from_name("nonsense"), None);
    }

    #[test]
    fn nothing_skips_the_build_or_the_measurement() {
        for state in State::ALL {
            if state.may_become(Validating) {
                assert_eq!(state, Building);
            }
            if state.may_become(Kept) {
                assert_eq!(state, Validating);
            }
            assert!(!state.may_become(state));
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left() {
        for state in State::ALL {
            assert!(!state.next().is_empty());
            assert!(State::ALL.iter().any(|from| from.may_become(state)));
        }
    }

    #[test]
    fn bans_grow_and_end() {
        assert_eq!(ban_days(1), 30.0);
        assert_eq!(ban_days(2), 60.0);
        assert_eq!(ban_days(100), 960.0);
    }
}
