//! One entry of the lineage: what changed, who or what caused it, on which evidence, and
//! how it is undone. The store writes it to `indexpilot.mutation_log`; nothing is ever
//! changed there, so what comes of an action is an entry of its own whose parent is the
//! entry that announced it.

use crate::action::IntentKind;
use crate::ids::Oid;
use crate::query::RelationName;
use serde::{Deserialize, Serialize};

/// What was changed. The names are stored: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MutationKind {
    /// An index was built by us.
    CreateIndex,
    /// An index was dropped by us.
    DropIndex,
    /// An index was rebuilt by us.
    Reindex,
    /// Statistics were collected by us.
    Analyze,
    /// Extended statistics were made by us.
    CreateStatistics,
    /// Extended statistics were dropped by us.
    DropStatistics,
    /// A tenant uses fields from now on.
    EnableField,
    /// A tenant does not use fields any longer.
    DisableField,
    /// A tenant got its profile.
    InitializeTenant,
    /// IndexPilot, a module or a feature was switched on.
    SystemEnable,
    /// IndexPilot, a module or a feature was switched off.
    SystemDisable,
    /// Somebody's DDL.
    SchemaChange,
    /// The genome was loaded or edited by hand.
    GenomeChange,
    /// A setting of ours changed.
    ConfigurationChange,
    /// A recommendation was dismissed.
    Dismiss,
    /// An index was pinned: it stays.
    PinIndex,
    /// The pin was taken off an index.
    UnpinIndex,
    /// Somebody's remark on an earlier entry.
    Note,
    /// Old entries were pruned; the evidence says which, so that the chain stays verifiable.
    Checkpoint,
}

impl MutationKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [MutationKind; 19] = [
        MutationKind::CreateIndex,
        MutationKind::DropIndex,
        MutationKind::Reindex,
        MutationKind::Analyze,
        MutationKind::CreateStatistics,
        MutationKind::DropStatistics,
        MutationKind::EnableField,
        MutationKind::DisableField,
        MutationKind::InitializeTenant,
        MutationKind::SystemEnable,
        MutationKind::SystemDisable,
        MutationKind::SchemaChange,
        MutationKind::GenomeChange,
        MutationKind::ConfigurationChange,
        MutationKind::Dismiss,
        MutationKind::PinIndex,
        MutationKind::UnpinIndex,
        MutationKind::Note,
        MutationKind::Checkpoint,
    ];

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            MutationKind::CreateIndex => "CREATE_INDEX",
            MutationKind::DropIndex => "DROP_INDEX",
            MutationKind::Reindex => "REINDEX",
            MutationKind::Analyze => "ANALYZE",
            MutationKind::CreateStatistics => "CREATE_STATISTICS",
            MutationKind::DropStatistics => "DROP_STATISTICS",
            MutationKind::EnableField => "ENABLE_FIELD",
            MutationKind::DisableField => "DISABLE_FIELD",
            MutationKind::InitializeTenant => "INITIALIZE_TENANT",
            MutationKind::SystemEnable => "SYSTEM_ENABLE",
            MutationKind::SystemDisable => "SYSTEM_DISABLE",
            MutationKind::SchemaChange => "SCHEMA_CHANGE",
            MutationKind::GenomeChange => "GENOME_CHANGE",
            MutationKind::ConfigurationChange => "CONFIGURATION_CHANGE",
            MutationKind::Dismiss => "DISMISS",
            MutationKind::PinIndex => "PIN_INDEX",
            MutationKind::UnpinIndex => "UNPIN_INDEX",
            MutationKind::Note => "NOTE",
            MutationKind::Checkpoint => "CHECKPOINT",
        }
    }

    /// The kind with that name in the table.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl From<&IntentKind> for MutationKind {
    fn from(kind: &IntentKind) -> Self {
        match kind {
            IntentKind::CreateIndex { .. } => MutationKind::CreateIndex,
            IntentKind::DropIndex { .. } => MutationKind::DropIndex,
            IntentKind::Reindex { .. } => MutationKind::Reindex,
            IntentKind::Analyze => MutationKind::Analyze,
            IntentKind::CreateStatistics(_) => MutationKind::CreateStatistics,
            IntentKind::DropStatistics(_) => MutationKind::DropStatistics,
        }
    }
}

/// Where in its life an action stands. An action that cannot commit together with its entry
/// (concurrent DDL) has an intent, written before, and an outcome, written after; a verdict
/// follows when it was measured. What commits together with its entry is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MutationPhase {
    /// About to be done.
    Intent,
    /// What came of the parent.
    Outcome,
    /// How the parent was judged after measuring.
    Verdict,
    /// Done, in the transaction that wrote the entry.
    Done,
}

impl MutationPhase {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            MutationPhase::Intent => "intent",
            MutationPhase::Outcome => "outcome",
            MutationPhase::Verdict => "verdict",
            MutationPhase::Done => "done",
        }
    }
}

/// What made it happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A recommendation that the worker carried out by itself.
    Recommendation,
    /// Somebody asked for it.
    User,
    /// The schedule (retention, maintenance).
    Schedule,
    /// It takes back an earlier action: the parent.
    Revert,
    /// Found after a crash, and cleaned.
    Recovery,
    /// Seen from outside: DDL of others, a catalog that had changed.
    Observed,
}

impl Cause {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Recommendation => "recommendation",
            Cause::User => "user",
            Cause::Schedule => "schedule",
            Cause::Revert => "revert",
            Cause::Recovery => "recovery",
            Cause::Observed => "observed",
        }
    }
}

/// An index by OID and by name: the lineage outlives the OID. OID 0 where it does not
/// exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexName {
    /// `pg_class.oid`, or 0.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

/// A switch of fields of one relation for one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum FieldSwitch {
    /// The tenant uses them.
    EnableField {
        /// The tenant.
        tenant: String,
        /// `[schema, relation, field]` each.
        fields: Vec<[String; 3]>,
    },
    /// The tenant does not use them.
    DisableField {
        /// The tenant.
        tenant: String,
        /// `[schema, relation, field]` each.
        fields: Vec<[String; 3]>,
    },
}

/// How an entry is undone, typed: DDL is written from it, never read from a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Inverse {
    /// By DDL on an index, or on statistics.
    Index(Box<IntentKind>),
    /// By switching fields.
    Fields(Vec<FieldSwitch>),
}

/// Who did it, where that is not the session that writes the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The role that acted (`current_user`).
    pub role: String,
    /// The role that had logged in (`session_user`).
    pub session_role: String,
    /// Its `application_name`.
    pub application: String,
    /// When, microseconds since the Unix epoch.
    pub at: crate::ports::Timestamp,
}

/// An entry to be appended to the log. Identity, time, role and place in the chain are
/// given by the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MutationRecord {
    /// What changed.
    pub kind: MutationKind,
    /// Where in its life the action stands.
    pub phase: MutationPhase,
    /// UUID of the entry this one follows from: the intent for outcomes and verdicts, the
    /// action taken back for a revert.
    pub parent: Option<String>,
    /// What made it happen.
    pub cause: Cause,
    /// UUID of the recommendation it comes from.
    pub recommendation: Option<String>,
    /// The relation concerned.
    pub relation: Option<RelationName>,
    /// The index concerned.
    pub index: Option<IndexName>,
    /// The tenant concerned, as its key reads in text.
    pub tenant: Option<String>,
    /// One sentence a DBA would write. Never empty.
    pub reason: String,
    /// What the decision rested on, or what was measured. A JSON object; constants of
    /// users' statements never belong in it.
    pub evidence: serde_json::Value,
    /// How it is undone.
    pub inverse: Option<Inverse>,
    /// Who did it, and when; `None`: this session, now.
    #[serde(default)]
    pub actor: Option<Actor>,
}

impl MutationRecord {
    /// An entry with a kind, a phase, a cause and a reason, and nothing else known.
    pub fn new(
        kind: MutationKind,
        phase: MutationPhase,
        cause: Cause,
        reason: impl Into<String>,
    ) -> Self {
        MutationRecord {
            kind,
            phase,
            parent: None,
            cause,
            recommendation: None,
            relation: None,
            index: None,
            tenant: None,
            reason: reason.into(),
            evidence: serde_json::Value::Object(serde_json::Map::new()),
            inverse: None,
            actor: None,
        }
    }

    /// The same, following from another entry (its UUID).
    #[must_use]
    pub fn after(mut self, parent: impl Into<String>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// The same, about a relation.
    #[must_use]
    pub fn on(mut self, relation: RelationName) -> Self {
        self.relation = Some(relation);
        self
    }

    /// The same, with evidence.
    #[must_use]
    pub fn with(mut self, evidence: serde_json::Value) -> Self {
        self.evidence = evidence;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in MutationKind::ALL {
            assert_eq!(MutationKind::from_name(kind.name()), Some(kind));
            assert_eq!(
                serde_json::to_value(kind).expect("serialises"),
                serde_json::Value::from(kind.name())
            );
        }
    }

    #[test]
    fn inverses_are_told_apart() {
        for inverse in [
            Inverse::Index(Box::new(IntentKind::Analyze)),
            Inverse::Fields(vec![FieldSwitch::EnableField {
                tenant: "42".into(),
                fields: vec![["crm".into(), "contacts".into(), "email".into()]],
            }]),
        ] {
            let text = serde_json::to_string(&inverse).expect("serialises");
            let read: Inverse = serde_json::from_str(&text).expect("is read back");
            assert_eq!(read, inverse);
        }
    }
}
