//! Predicted against measured: what past actions teach about the next prediction.
//!
//! A prediction is multiplied by γ, the mean of measured / predicted over past actions of
//! the same kind, shrunk towards the mean of all kinds and that towards 1 (James and Stein
//! 1961; the weight of the prior is counted in actions).

use indexpilot_model::{IndexDefinition, IntentKind};

/// Kind of an action for the correction of predictions.
pub fn kind(intent: &IntentKind) -> String {
    match intent {
        IntentKind::CreateIndex { definition, .. } => kind_of_build(definition),
        IntentKind::DropIndex { .. } => "drop".into(),
        IntentKind::Reindex { .. } => "reindex".into(),
        IntentKind::Analyze => "analyze".into(),
        IntentKind::CreateStatistics(_) | IntentKind::DropStatistics(_) => "statistics".into(),
    }
}

/// [`kind`] of building such an index.
pub fn kind_of_build(definition: &IndexDefinition) -> String {
    let partial = if definition.predicate.is_some() {
        " partial"
    } else {
        ""
    };
    format!("create {}{partial}", definition.method.name())
}

/// What came of one prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Kind of action, finer than create and drop where that tells ("create btree",
    /// "create partial", …).
    pub kind: String,
    /// Predicted saving, in any unit that the measured one shares.
    pub predicted: f64,
    /// Measured saving.
    pub measured: f64,
}

/// Actions that the prior counts for.
const PRIOR: f64 = 4.0;

fn ratio(outcome: &Outcome) -> Option<f64> {
    // What was predicted as next to nothing says nothing about a factor.
    (outcome.predicted > 0.01).then(|| (outcome.measured / outcome.predicted).clamp(0.0, 2.0))
}

fn shrunk(ratios: impl Iterator<Item = f64>, prior: f64) -> f64 {
    let (sum, count) = ratios.fold((0.0, 0.0), |(sum, count), ratio| (sum + ratio, count + 1.0));
    (PRIOR * prior + sum) / (PRIOR + count)
}

/// The factor for predictions of a kind.
pub fn gamma(kind: &str, past: &[Outcome]) -> f64 {
    let all = shrunk(past.iter().filter_map(ratio), 1.0);
    shrunk(
        past.iter()
            .filter(|outcome| outcome.kind == kind)
            .filter_map(ratio),
        all,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: &str, predicted: f64, measured: f64) -> Outcome {
        Outcome {
            kind: kind.into(),
            predicted,
            measured,
        }
    }

    #[test]
    fn learns_slowly_and_by_kind() {
        assert!((gamma("create btree", &[]) - 1.0).abs() < 1e-12);
        let one = [outcome("create btree", 0.5, 0.0)];
        assert!(gamma("create btree", &one) > 0.6);
        let mut many = vec![outcome("create btree", 0.5, 0.25); 200];
        many.extend(vec![outcome("create brin", 0.5, 0.5); 200]);
        assert!((gamma("create btree", &many) - 0.5).abs() < 0.02);
        assert!((gamma("create brin", &many) - 1.0).abs() < 0.02);
        let unseen = gamma("create gin", &many);
        assert!((0.7..0.8).contains(&unseen));
    }
}
