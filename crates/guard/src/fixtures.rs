//! Values for the tests of this crate.

use crate::situation::{Load, LockSituation, Situation, Space};
use indexpilot_model::config::{MaintenanceWindow, Stage};
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::RelationName;
use indexpilot_model::{Config, Expression, IndexDefinition, IndexKey, Intent, IntentKind};

fn relation() -> RelationName {
    RelationName {
        oid: 16_400,
        schema: "crm".into(),
        name: "contacts".into(),
    }
}

fn definition(attribute: i16) -> IndexDefinition {
    IndexDefinition::btree(
        relation(),
        vec![IndexKey::ascending(Expression::attribute(
            attribute,
            format!("a{attribute}"),
        ))],
    )
}

fn intent(kind: IntentKind) -> Intent {
    Intent {
        kind,
        relation: relation(),
        reason: "a test".into(),
        recommendation: None,
        bytes: 0,
        saving_ms_per_day: 1.0,
        urgent: false,
    }
}

/// An intent to build an index on one attribute.
pub(crate) fn create(attribute: i16) -> Intent {
    intent(IntentKind::CreateIndex {
        definition: definition(attribute),
        name: "x".into(),
    })
}

/// An intent to drop it.
pub(crate) fn drop_of(attribute: i16) -> Intent {
    intent(IntentKind::DropIndex {
        index: 5,
        name: QualifiedName::new("crm", "x"),
        definition: definition(attribute),
    })
}

/// A quiet server with everything on auto and the window always open.
pub(crate) fn situation() -> Situation {
    Situation {
        now: 0,
        utc_offset: 0,
        config: Config {
            create_index: Stage::Auto,
            drop_index: Stage::Auto,
            reindex: Stage::Auto,
            maintenance_window: MaintenanceWindow {
                start: 0,
                end: 0,
                days: 0b111_1111,
            },
            ..Config::default()
        },
        load: Load {
            cpus: 2,
            ..Load::default()
        },
        locks: LockSituation {
            watchdog: true,
            ..LockSituation::default()
        },
        space: Space::default(),
        past: Vec::new(),
        tombstones: Vec::new(),
        protections: Vec::new(),
        attempts: 0,
    }
}
