//! Building an index: concurrently, also on partitioned tables, with a comment that says it
//! is ours and why.
//!
//! CREATE INDEX CONCURRENTLY does not know partitioned tables. There, each leaf gets its
//! index concurrently first; then the parents get theirs with ON ONLY and the children are
//! attached, which takes strong locks for an instant only and leaves the parent invalid for
//! as short as can be. A partition that appears meanwhile is built and attached as well.

use super::{Done, catalog, check, in_transaction, phase, strong};
use crate::pg::ddl::{self, Step};
use crate::pg::transaction::ServerError;
use crate::store::job::{self, Job};
use indexpilot_guard::Permit;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::RelationName;
use indexpilot_model::{Expression, IndexDefinition};

/// Rounds in which partitions that appeared meanwhile are caught up with.
const ROUNDS: u32 = 5;
/// Prefix of the names of our indexes on partitions.
pub(super) const PREFIX: &str = "ip";

/// The same index on another relation (a partition).
pub(super) fn on_relation(
    definition: &IndexDefinition,
    relation: &RelationName,
) -> IndexDefinition {
    IndexDefinition {
        relation: relation.clone(),
        ..definition.clone()
    }
}

fn failure(sqlstate: &str, message: String) -> ServerError {
    ServerError {
        sqlstate: sqlstate.into(),
        message,
        detail: None,
        hint: None,
    }
}

/// Builds an index and what belongs to it.
pub(super) fn create(
    job: &Job,
    permit: &Permit,
    definition: &IndexDefinition,
    name: &str,
) -> Result<Done, ServerError> {
    let full_name = QualifiedName::new(definition.relation.schema.clone(), name);
    phase(job, "building");
    if in_transaction(|| catalog::is_partitioned(definition.relation.oid))? {
        create_partitioned(job, permit, definition, name)?;
    } else {
        ddl::execute_locked(
            permit,
            definition.relation.oid,
            &Step::Create { definition, name },
        )?;
    }
    let Some(index) = in_transaction(|| catalog::index_named(&full_name))? else {
        return Err(failure("42704", format!("{full_name} is gone again")));
    };
    in_transaction(|| job::set_index(job.id, index.oid))?;
    phase(job, "commenting");
    let reason: String = job.intent.reason.chars().take(500).collect();
    let comment = format!(
        "Built by IndexPilot (mutation {}): {reason}",
        job.mutation.map(|id| id.to_string()).unwrap_or_default()
    );
    // A comment is not worth taking the index back for.
    if let Err(error) = strong(
        permit,
        &Step::Comment {
            name: &full_name,
            text: &comment,
        },
    ) {
        pgrx::log!("indexpilot could not comment on {full_name}: {error}");
    }
    // The planner knows nothing of an expression before it is analysed.
    let expression = definition
        .keys
        .iter()
        .any(|key| !matches!(key.element, Expression::Attribute { .. }));
    if expression {
        phase(job, "analysing");
        ddl::execute(
            permit,
            &Step::Analyze {
                relation: &definition.relation,
            },
        )?;
    }
    phase(job, "checking");
    let checked = check::index(index.oid);
    let bytes = in_transaction(|| catalog::bytes(index.oid))?;
    Ok(Done {
        index: index.oid,
        evidence: serde_json::json!({ "bytes": bytes, "amcheck": checked }),
    })
}

fn create_partitioned(
    job: &Job,
    permit: &Permit,
    definition: &IndexDefinition,
    name: &str,
) -> Result<(), ServerError> {
    let root = definition.relation.oid;
    let named = |relation: &RelationName| {
        let own = on_relation(definition, relation);
        let name = if relation.oid == root {
            name.to_owned()
        } else {
            own.canonical_name(PREFIX)
        };
        (QualifiedName::new(relation.schema.clone(), name), own)
    };
    for _ in 0..ROUNDS {
        let tree = in_transaction(|| catalog::partitions(root))?;
        if let Some(foreign) = tree.iter().find(|part| part.kind == 'f') {
            return Err(failure(
                "42809",
                format!(
                    "{} is a foreign table, so the partitioned index could never be valid",
                    foreign.relation.qualified()
                ),
            ));
        }
        let leaves: Vec<_> = tree.iter().filter(|part| part.leaf).collect();
        for (place, leaf) in leaves.iter().enumerate() {
            let (full, own) = named(&leaf.relation);
            match in_transaction(|| catalog::index_named(&full))? {
                Some(index) if index.valid => continue,
                Some(_) => {
                    return Err(failure("42P07", format!("{full} exists and is invalid")));
                }
                None => {}
            }
            phase(
                job,
                &format!("building leaf {} of {}", place + 1, leaves.len()),
            );
            ddl::execute_locked(
                permit,
                leaf.relation.oid,
                &Step::Create {
                    definition: &own,
                    name: &full.name,
                },
            )?;
        }
        phase(job, "attaching");
        for parent in tree.iter().filter(|part| !part.leaf) {
            let (full, own) = named(&parent.relation);
            if in_transaction(|| catalog::index_named(&full))?.is_none() {
                strong(
                    permit,
                    &Step::CreateOnly {
                        definition: &own,
                        name: &full.name,
                    },
                )?;
            }
            for child in tree
                .iter()
                .filter(|part| part.parent == parent.relation.oid)
            {
                let (child, _) = named(&child.relation);
                // Attaching what is attached does nothing.
                strong(
                    permit,
                    &Step::Attach {
                        parent: &full,
                        child: &child,
                    },
                )?;
            }
        }
        let (full, _) = named(&definition.relation);
        if in_transaction(|| catalog::index_named(&full))?.is_some_and(|index| index.valid) {
            return Ok(());
        }
    }
    Err(failure(
        "55000",
        format!(
            "partitions of {} keep appearing",
            definition.relation.qualified()
        ),
    ))
}
