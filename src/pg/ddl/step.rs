//! The statements that the port runs, each written out from typed values.

use indexpilot_guard::{Permit, Work};
use indexpilot_model::identifier::{QualifiedName, quote_identifier, quote_literal};
use indexpilot_model::query::RelationName;
use indexpilot_model::{IndexDefinition, IntentKind, Statistics};

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// CREATE INDEX CONCURRENTLY.
    Create {
        /// The index.
        definition: &'a IndexDefinition,
        /// Its name; it lies in the relation's schema.
        name: &'a str,
    },
    /// CREATE INDEX ON ONLY a partitioned table: invalid until all leaves are attached.
    CreateOnly {
        /// The index.
        definition: &'a IndexDefinition,
        /// Its name.
        name: &'a str,
    },
    /// ALTER INDEX … ATTACH PARTITION.
    Attach {
        /// The parent index.
        parent: &'a QualifiedName,
        /// The index of the partition.
        child: &'a QualifiedName,
    },
    /// DROP INDEX CONCURRENTLY.
    Drop {
        /// The index.
        name: &'a QualifiedName,
    },
    /// DROP INDEX, for partitioned indexes, which know no other way.
    DropPartitioned {
        /// The parent index; its children go with it.
        name: &'a QualifiedName,
    },
    /// REINDEX INDEX CONCURRENTLY.
    Reindex {
        /// The index.
        name: &'a QualifiedName,
    },
    /// ANALYZE.
    Analyze {
        /// The relation.
        relation: &'a RelationName,
    },
    /// CREATE STATISTICS.
    CreateStatistics {
        /// What on which columns.
        statistics: &'a Statistics,
        /// Of which relation.
        relation: &'a RelationName,
    },
    /// ALTER STATISTICS … OWNER TO: unlike indexes they do not follow their table.
    StatisticsOwner {
        /// The statistics.
        statistics: &'a Statistics,
        /// The role that owns the table.
        owner: &'a str,
    },
    /// DROP STATISTICS.
    DropStatistics {
        /// The statistics.
        statistics: &'a Statistics,
    },
    /// VACUUM, for the visibility map that index-only scans read.
    Vacuum {
        /// The relation.
        relation: &'a RelationName,
    },
    /// COMMENT ON INDEX.
    Comment {
        /// The index.
        name: &'a QualifiedName,
        /// The comment.
        text: &'a str,
    },
    /// ALTER INDEX … ALTER COLUMN … SET STATISTICS, for expression keys.
    Statistics {
        /// The index.
        name: &'a QualifiedName,
        /// The key, from 1.
        column: u16,
        /// The target, 0 to 10000.
        target: u16,
    },
}

impl Step<'_> {
    /// The statement.
    pub fn sql(&self) -> String {
        match self {
            Step::Create { definition, name } => definition.create_statement(name, true, false),
            Step::CreateOnly { definition, name } => definition.create_statement(name, false, true),
            Step::Attach { parent, child } => {
                format!("ALTER INDEX {parent} ATTACH PARTITION {child}")
            }
            Step::Drop { name } => format!("DROP INDEX CONCURRENTLY {name} RESTRICT"),
            Step::DropPartitioned { name } => format!("DROP INDEX {name} RESTRICT"),
            Step::Reindex { name } => format!("REINDEX INDEX CONCURRENTLY {name}"),
            Step::Analyze { relation } => format!("ANALYZE {}", relation.qualified()),
            Step::CreateStatistics {
                statistics,
                relation,
            } => statistics.create_statement(relation),
            Step::StatisticsOwner { statistics, owner } => format!(
                "ALTER STATISTICS {} OWNER TO {}",
                statistics.name,
                quote_identifier(owner)
            ),
            Step::DropStatistics { statistics } => {
                format!("DROP STATISTICS {} RESTRICT", statistics.name)
            }
            Step::Vacuum { relation } => format!("VACUUM (ANALYZE) {}", relation.qualified()),
            Step::Comment { name, text } => {
                format!("COMMENT ON INDEX {name} IS {}", quote_literal(text))
            }
            Step::Statistics {
                name,
                column,
                target,
            } => format!("ALTER INDEX {name} ALTER COLUMN {column} SET STATISTICS {target}"),
        }
    }

    /// Whether it waits for a lock that blocks writers or readers of the table while it is
    /// held or queued for: such steps are short, and are tried with a short `lock_timeout`.
    pub fn is_strong(&self) -> bool {
        matches!(
            self,
            Step::CreateOnly { .. }
                | Step::Attach { .. }
                | Step::DropPartitioned { .. }
                | Step::Comment { .. }
                | Step::Statistics { .. }
        )
    }

    /// Whether a permit covers it: the kind of work has to be the same, and an index that is
    /// dropped or rebuilt has to be the one permitted. What belongs to a build (its leaves,
    /// comments, statistics, and taking back what was left half done) goes with it.
    pub fn is_covered_by(&self, permit: &Permit) -> bool {
        match permit.work() {
            Work::Cleanup(leftover) => match self {
                Step::Drop { name } | Step::DropPartitioned { name } => **name == leftover.name,
                _ => false,
            },
            Work::Action(intent) => match (&intent.kind, self) {
                (_, Step::Analyze { .. } | Step::Vacuum { .. }) => true,
                (
                    IntentKind::CreateIndex { definition, .. },
                    Step::Create {
                        definition: wanted, ..
                    }
                    | Step::CreateOnly {
                        definition: wanted, ..
                    },
                ) => {
                    wanted.method == definition.method
                        && wanted.keys == definition.keys
                        && wanted.predicate == definition.predicate
                }
                (
                    IntentKind::CreateIndex { .. },
                    Step::Attach { .. } | Step::Comment { .. } | Step::Statistics { .. },
                ) => true,
                (
                    IntentKind::DropIndex { name, .. },
                    Step::Drop { name: wanted } | Step::DropPartitioned { name: wanted },
                ) => name == *wanted,
                (IntentKind::Reindex { name, .. }, Step::Reindex { name: wanted }) => {
                    name == *wanted
                }
                (
                    IntentKind::CreateStatistics(permitted),
                    Step::CreateStatistics { statistics, .. }
                    | Step::StatisticsOwner { statistics, .. },
                )
                | (IntentKind::DropStatistics(permitted), Step::DropStatistics { statistics }) => {
                    permitted == *statistics
                }
                _ => false,
            },
        }
    }
}
