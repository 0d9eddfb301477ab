//! Switches: `indexpilot.enabled`, modules and the stage of each kind of action.

use crate::situation::{Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::config::Stage;
use indexpilot_model::{Intent, IntentKind};

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    let config = &situation.config;
    let refuse = |reason: String| Err(Refusal::never(Safeguard::Bypass, reason));
    if !config.enabled {
        return refuse("\"indexpilot.enabled\" is off".into());
    }
    // What we did can be taken back whatever the stage is now.
    if purpose == Purpose::Revert {
        return Ok(());
    }
    let (name, stage) = match intent.kind {
        IntentKind::CreateIndex { .. }
        | IntentKind::Analyze
        | IntentKind::CreateStatistics(_)
        | IntentKind::DropStatistics(_) => ("create_index", config.create_index),
        IntentKind::DropIndex { .. } => ("drop_index", config.drop_index),
        IntentKind::Reindex { .. } => ("reindex", config.reindex),
    };
    match (purpose, stage) {
        (_, Stage::Off) => refuse(format!("\"indexpilot.{name}\" is off")),
        (Purpose::Advice | Purpose::Schedule, Stage::Advise) => refuse(format!(
            "\"indexpilot.{name}\" is advise: apply it by hand, or set it to auto"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, situation};

    #[test]
    fn stages_decide() {
        let mut now = situation();
        let intent = create(1);
        now.config.create_index = Stage::Advise;
        assert!(check(&intent, Purpose::Advice, &now).is_err());
        assert!(check(&intent, Purpose::Operator, &now).is_ok());
        now.config.create_index = Stage::Off;
        assert!(check(&intent, Purpose::Operator, &now).is_err());
        assert!(check(&intent, Purpose::Revert, &now).is_ok());
        now.config.enabled = false;
        assert!(check(&intent, Purpose::Revert, &now).is_err());
    }
}
