//! Extended statistics: made and analysed, or dropped. Both are ordinary transactions that take
//! SHARE UPDATE EXCLUSIVE, which stands in nobody's way but DDL's.

use super::{Done, in_transaction, phase};
use crate::pg::ddl::{self, Step};
use crate::pg::spi;
use crate::pg::transaction::ServerError;
use crate::store::job::Job;
use indexpilot_guard::Permit;
use indexpilot_model::{Intent, IntentKind, Statistics};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// The relation that statistics of this name are of; `None` where there are none.
fn relation_of(statistics: &Statistics) -> SpiResult<Option<u32>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT e.stxrelid FROM pg_statistic_ext AS e
                 JOIN pg_namespace AS n ON n.oid = e.stxnamespace
                 WHERE n.nspname = $1 AND e.stxname = $2",
                Some(1),
                &[
                    statistics.name.schema.as_str().into(),
                    statistics.name.name.as_str().into(),
                ],
            )?;
            match rows.into_iter().next() {
                Some(row) => Ok(row.get::<pg_sys::Oid>(1)?.map(pg_sys::Oid::to_u32)),
                None => Ok(None),
            }
        })
    })
}

/// Makes them, gives them to the table's owner, and has them collected: before the ANALYZE
/// the planner knows nothing of them. An attempt that was interrupted is taken up where it
/// ended.
pub(super) fn create(
    job: &Job,
    permit: &Permit,
    statistics: &Statistics,
) -> Result<Done, ServerError> {
    let relation = &job.intent.relation;
    phase(job, "creating statistics");
    if in_transaction(|| relation_of(statistics))?.is_none() {
        let step = Step::CreateStatistics {
            statistics,
            relation,
        };
        ddl::execute_locked(permit, relation.oid, &step)?;
    }
    let owner = in_transaction(|| {
        Spi::get_one_with_args::<String>(
            "SELECT pg_get_userbyid(c.relowner)::text FROM pg_class AS c WHERE c.oid = $1",
            &[pg_sys::Oid::from(relation.oid).into()],
        )
    })?;
    if let Some(owner) = &owner {
        ddl::execute(permit, &Step::StatisticsOwner { statistics, owner })?;
    }
    phase(job, "analysing");
    ddl::execute(permit, &Step::Analyze { relation })?;
    Ok(done())
}

/// Drops them. That they are gone already is what was wanted: an attempt may have been
/// interrupted behind it.
pub(super) fn drop(
    job: &Job,
    permit: &Permit,
    statistics: &Statistics,
) -> Result<Done, ServerError> {
    phase(job, "dropping statistics");
    if in_transaction(|| relation_of(statistics))?.is_some() {
        let step = Step::DropStatistics { statistics };
        ddl::execute_locked(permit, job.intent.relation.oid, &step)?;
    }
    Ok(done())
}

fn done() -> Done {
    Done {
        index: 0,
        evidence: serde_json::json!({}),
    }
}

/// What stands in the way for good: the name belongs to statistics of another table.
pub(super) fn obstacle(intent: &Intent) -> SpiResult<Option<String>> {
    let (IntentKind::CreateStatistics(statistics) | IntentKind::DropStatistics(statistics)) =
        &intent.kind
    else {
        return Ok(None);
    };
    Ok(relation_of(statistics)?
        .filter(|of| *of != intent.relation.oid)
        .map(|_| format!("{} are statistics of another table", statistics.name)))
}
