//! `rollback` and `rollback_preview`: the exact inverse of a mutation, from its typed form.

use super::{catalog, record};
use crate::pg::compat::ownership;
use crate::pg::ddl::Step;
use crate::pg::spi;
use crate::store::job::{self, NewJob};
use crate::worker::{self, Request};
use indexpilot_guard::Purpose;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::mutation::Inverse;
use indexpilot_model::query::RelationName;
use indexpilot_model::{Intent, IntentKind};
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// The inverse of a mutation and its table. Raises an ERROR where there is none, or the
/// role does not own the table.
fn inverse(mutation: Uuid) -> SpiResult<(IntentKind, RelationName)> {
    let row = spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT m.inverse::text, m.relation_oid, m.schema_name, m.relation_name
                 FROM indexpilot.mutation_log AS m
                 WHERE (m.id = $1 OR m.parent = $1 AND m.phase = 'outcome')
                   AND m.system_identifier = $2 AND m.database_oid = $3
                   AND m.inverse IS NOT NULL AND m.relation_oid IS NOT NULL
                 ORDER BY m.phase = 'outcome' DESC, m.sequence DESC LIMIT 1",
                Some(1),
                &[
                    mutation.into(),
                    spi::system_identifier().into(),
                    spi::database().into(),
                ],
            )?;
            if let Some(row) = rows.into_iter().next() {
                return Ok(Some((
                    row.get::<String>(1)?.unwrap_or_default(),
                    RelationName {
                        oid: row.get::<pg_sys::Oid>(2)?.map_or(0, |oid| oid.to_u32()),
                        schema: row.get(3)?.unwrap_or_default(),
                        name: row.get(4)?.unwrap_or_default(),
                    },
                )));
            }
            Ok::<_, pgrx::spi::SpiError>(None)
        })
    })?;
    let Some((text, relation)) = row else {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("there is no mutation {mutation} in this database that could be rolled back")
        );
    };
    let table = pg_sys::Oid::from(relation.oid);
    if !ownership::owns_relation(table, spi::current_role_oid()) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of table {}", relation.qualified())
        );
    }
    let Ok(Inverse::Index(kind)) = serde_json::from_str::<Inverse>(&text) else {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("mutation {mutation} is not one of an index or of statistics")
        );
    };
    let mut kind = *kind;
    // A build has no OID before it is done.
    if let IntentKind::DropIndex { index, name, .. } = &mut kind
        && *index == 0
        && let Some(found) = catalog::index_named(name)?
    {
        *index = found.oid;
    }
    Ok((kind, relation))
}

/// Queues the inverse of a mutation and gives the job.
///
/// # Errors
/// What SPI reports.
pub fn rollback(mutation: Uuid) -> SpiResult<Uuid> {
    let (kind, relation) = inverse(mutation)?;
    let role = spi::current_role();
    let intent = Intent {
        kind,
        relation,
        reason: format!("rollback of mutation {mutation} by {role}"),
        recommendation: None,
        bytes: 0,
        saving_ms_per_day: 0.0,
        urgent: true,
    };
    let job = job::enqueue(&NewJob {
        intent: &intent,
        purpose: Purpose::Operator,
        requested_by: &role,
        parent: Some(mutation.to_string()),
    })?;
    worker::ask_at_commit(Request::Jobs);
    Ok(job)
}

/// The statements that [`rollback`] would have run, one a line.
///
/// # Errors
/// What SPI reports.
pub fn preview(mutation: Uuid) -> SpiResult<String> {
    let (kind, relation) = inverse(mutation)?;
    Ok(match &kind {
        IntentKind::CreateIndex { definition, name } => {
            let mut lines = vec![Step::Create { definition, name }.sql()];
            let name = &QualifiedName::new(relation.schema, name.clone());
            let kept = record::attachments_of(mutation)?.unwrap_or_default();
            if let Some(text) = &kept.comment {
                lines.push(Step::Comment { name, text }.sql());
            }
            for (column, target) in kept.statistics {
                let step = Step::Statistics {
                    name,
                    column,
                    target,
                };
                lines.push(step.sql());
            }
            lines.join(";\n")
        }
        IntentKind::DropIndex { name, .. } => Step::Drop { name }.sql(),
        IntentKind::Reindex { name, .. } => Step::Reindex { name }.sql(),
        IntentKind::Analyze => String::new(),
        IntentKind::CreateStatistics(statistics) => {
            let relation = &relation;
            let made = Step::CreateStatistics {
                statistics,
                relation,
            };
            format!("{};\n{}", made.sql(), Step::Analyze { relation }.sql())
        }
        IntentKind::DropStatistics(statistics) => Step::DropStatistics { statistics }.sql(),
    })
}
