//! What we mean to do, what came of it, and how it is judged.

use crate::hash::StableHash;
use crate::identifier::{MAX_IDENTIFIER_BYTES, QualifiedName, clip, quote_identifier};
use crate::ids::Oid;
use crate::index::IndexDefinition;
use crate::query::RelationName;
use serde::{Deserialize, Serialize};

/// A change that somebody (the solver, an operator, the schedule) wants made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum IntentKind {
    /// Build an index concurrently.
    CreateIndex {
        /// The index.
        definition: IndexDefinition,
        /// Its name.
        name: String,
    },
    /// Drop an index concurrently; the definition makes it possible to undo.
    DropIndex {
        /// OID of the index.
        index: Oid,
        /// Schema and name.
        name: QualifiedName,
        /// Exact definition, for the inverse.
        definition: IndexDefinition,
    },
    /// Rebuild an index concurrently.
    Reindex {
        /// OID of the index.
        index: Oid,
        /// Schema and name.
        name: QualifiedName,
    },
    /// Collect statistics.
    Analyze,
    /// Have statistics collected over several columns together (extended statistics).
    CreateStatistics(Statistics),
    /// Drop them; the definition makes it possible to undo.
    DropStatistics(Statistics),
}

/// A kind of extended statistics. The names are the server's, and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsKind {
    /// How many distinct combinations there are.
    Ndistinct,
    /// How far one column determines another.
    Dependencies,
    /// The most common combinations.
    Mcv,
}

impl StatisticsKind {
    /// As CREATE STATISTICS writes it.
    pub fn name(self) -> &'static str {
        match self {
            StatisticsKind::Ndistinct => "ndistinct",
            StatisticsKind::Dependencies => "dependencies",
            StatisticsKind::Mcv => "mcv",
        }
    }
}

/// Extended statistics on columns of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Schema and name.
    pub name: QualifiedName,
    /// What is collected, ascending, at least one.
    pub kinds: Vec<StatisticsKind>,
    /// Names of the columns, in the order of their numbers; two or more.
    pub columns: Vec<String>,
}

impl Statistics {
    /// On columns of a relation, under a name of their own: equal ones are named equally, and
    /// the name keeps below the server's limit.
    pub fn on(relation: &RelationName, kinds: Vec<StatisticsKind>, columns: Vec<String>) -> Self {
        let fields = columns.iter().fold(
            StableHash::new().field(relation.qualified().as_bytes()),
            |hash, column| hash.field(column.as_bytes()),
        );
        let hash = kinds
            .iter()
            .fold(fields, |hash, kind| hash.field(kind.name().as_bytes()));
        let tail = format!("_stat_{:08x}", hash.finish() as u32);
        let body = format!("ip_{}_{}", relation.name, columns.join("_"));
        let body = clip(&body, MAX_IDENTIFIER_BYTES - tail.len());
        Statistics {
            name: QualifiedName::new(relation.schema.clone(), format!("{body}{tail}")),
            kinds,
            columns,
        }
    }

    /// `CREATE STATISTICS … (kinds) ON columns FROM relation`.
    pub fn create_statement(&self, relation: &RelationName) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let columns = self.columns.iter().map(|column| quote_identifier(column));
        format!(
            "CREATE STATISTICS {} ({}) ON {} FROM {}",
            self.name,
            kinds.join(", "),
            columns.collect::<Vec<_>>().join(", "),
            relation.qualified()
        )
    }
}

/// An intent with its subject, its reason and its expectations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What to do.
    pub kind: IntentKind,
    /// The relation it is done to.
    pub relation: RelationName,
    /// One sentence a DBA would write.
    pub reason: String,
    /// The recommendation it comes from (UUID text), if any.
    pub recommendation: Option<String>,
    /// Expected size in bytes (estimate); 0 for what needs no space.
    pub bytes: u64,
    /// Expected saving, milliseconds of statement time a day (estimate).
    pub saving_ms_per_day: f64,
    /// An operator asked for it now: schedule safeguards (window, rate, cooldown) do not
    /// apply, those that protect clients do.
    pub urgent: bool,
}

/// What came of an intent that was permitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded {
        /// The index that exists now, or 0.
        index: Oid,
        /// Its measured size in bytes.
        bytes: u64,
        /// How long it took, milliseconds.
        milliseconds: f64,
    },
    /// Gave way: a client waited, a lock or time limit struck. Worth another attempt.
    GaveWay {
        /// Why.
        reason: String,
    },
    /// Failed for good.
    Failed {
        /// Five-character SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
}

/// The judgement after measuring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It pays.
    Kept {
        /// Measured saving, share of the statements' time, 0…1.
        gain: f64,
        /// Lower bound of its confidence interval.
        lower: f64,
    },
    /// It does not pay or harms: undone.
    Reverted {
        /// Why.
        reason: String,
    },
    /// Not enough evidence yet.
    Inconclusive {
        /// What is missing.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_written_and_named() {
        let relation = RelationName {
            oid: 7,
            schema: "crm".into(),
            name: "Addresses".into(),
        };
        let kinds = vec![StatisticsKind::Dependencies, StatisticsKind::Mcv];
        let on = |columns: &[&str]| {
            let columns = columns.iter().map(|c| (*c).to_owned()).collect();
            Statistics::on(&relation, kinds.clone(), columns)
        };
        let statistics = on(&["city", "zip"]);
        assert_eq!(statistics, on(&["city", "zip"]));
        let text = statistics.create_statement(&relation);
        assert!(
            text.starts_with("CREATE STATISTICS \"crm\".\"ip_Addresses_city_zip_stat_")
                && text.ends_with(
                    "(dependencies, mcv) ON \"city\", \"zip\" FROM \"crm\".\"Addresses\""
                ),
            "{text}"
        );
        let (one, two) = (on(&["a", &"x".repeat(63)]), on(&["b", &"x".repeat(63)]));
        assert!(one.name.name.len() <= MAX_IDENTIFIER_BYTES && one.name != two.name);
        for kind in [
            IntentKind::CreateStatistics(one.clone()),
            IntentKind::DropStatistics(one),
        ] {
            let text = serde_json::to_string(&kind).expect("serialises");
            assert_eq!(serde_json::from_str::<IntentKind>(&text).ok(), Some(kind));
        }
    }
}
