//! Building an index: concurrently, also on partitioned tables, with a comment that says it
//! is ours and why.
//!
//! CREATE INDEX CONCURRENTLY does not know partitioned tables. There, each leaf gets its
//! index concurrently first; then the parents get theirs with ON ONLY and the children are
//! attached, which takes strong locks for an instant only and leaves the parent invalid for
//! as short as can be. A partition that appears meanwhile is built and attached as well.

use super::{Done, catalog, check, in_transaction, phase, record, strong};
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
    let kept = match job.parent {
        Some(parent) => in_transaction(|| record::attachments_of(parent))?,
        None => None,
    };
    let comment = match &kept {
        // The inverse of a drop brings back what was there, the lack of a comment too.
        Some(kept) => kept.comment.clone(),
        None => Some(own_comment(job)),
    };
    // Neither is worth taking the index back for.
    if let Some(text) = &comment {
        let name = &full_name;
        if let Err(error) = strong(permit, &Step::Comment { name, text }) {
            pgrx::log!("indexpilot could not comment on {full_name}: {error}");
        }
    }
    for (column, target) in kept.into_iter().flat_map(|kept| kept.statistics) {
        let step = Step::Statistics {
            name: &full_name,
            column,
            target,
        };
        if let Err(error) = strong(permit, &step) {
            pgrx::log!("indexpilot could not set statistics targets of {full_name}: {error}");
        }
    }
    // The planner knows nothing of an expression before it is analysed.
    let expression = definition
        .keys
        .iter()
        .any(|key| !matches!(key.element, Expression::Attribute { .. }));
    let relation = &definition.relation;
    if vacuum_helps(definition)? {
        phase(job, "vacuuming");
        // An index without a visibility map is less useful, and right.
        if let Err(error) = ddl::execute(permit, &Step::Vacuum { relation }) {
            pgrx::log!(
                "indexpilot could not vacuum {}: {error}",
                relation.qualified()
            );
        }
    }
    if expression {
        phase(job, "analysing");
        ddl::execute(permit, &Step::Analyze { relation })?;
    }
    phase(job, "checking");
    let checked = check::index(index.oid);
    let bytes = in_transaction(|| catalog::bytes(index.oid))?;
    Ok(Done {
        index: index.oid,
        evidence: serde_json::json!({ "bytes": bytes, "amcheck": checked }),
    })
}

/// The comment that says that an index is ours and why.
fn own_comment(job: &Job) -> String {
    let reason: String = job.intent.reason.chars().take(500).collect();
    format!(
        "Built by IndexPilot (mutation {}): {reason}",
        job.mutation.map(|id| id.to_string()).unwrap_or_default()
    )
}

/// Share of all-visible pages above which VACUUM would bring little.
const VISIBLE: f64 = 0.9;

/// Whether the index is made for index-only scans (it has columns that are no keys), and the
/// visibility map, without which those read the table all the same, is behind.
fn vacuum_helps(definition: &IndexDefinition) -> Result<bool, ServerError> {
    if definition.include.is_empty() {
        return Ok(false);
    }
    let visible = in_transaction(|| catalog::visible_share(definition.relation.oid))?;
    Ok(visible < VISIBLE)
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
