//! Analyses: the pure pipeline with the server behind its ports.
//!
//! - [`session`] answers `advise()` for the caller's own texts in the caller's session;
//! - [`run`] is the automatic run, in the worker;
//! - [`rebuild`] looks for bloated indexes, on a schedule;
//! - [`history`] takes over what pg_stat_statements has counted;
//! - [`lint`] says what is wrong with a statement that no index can mend.

mod dependence;
mod evidence;
pub mod explanation;
pub mod history;
pub mod lint;
mod load;
pub mod rebuild;
mod references;
pub mod run;
pub mod session;
mod statistics;

use crate::config;
use crate::pg::catalog;
use crate::pg::compat::planner as compat;
use crate::pg::transaction::{self, ServerError};
use crate::store::genome;
use crate::store::job::{self, NewJob};
use crate::store::pin;
use crate::store::recommendation;
use crate::worker::{self, Request};
use indexpilot_advisor::candidates;
use indexpilot_advisor::lifecycle::State;
use indexpilot_advisor::plan;
use indexpilot_advisor::pricing::{Caution, PricingLimits};
use indexpilot_advisor::selection::SearchLimits;
use indexpilot_guard::Purpose;
use indexpilot_model::config::Stage;
use indexpilot_model::{Config, Intent, IntentKind, Module};
use indexpilot_pipeline::Setup;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::cell::Cell;

/// Rows of a relation for which expressions and predicates of candidates are evaluated: an
/// eighth of the sample, because each candidate calls users' functions for all of them, and
/// there are hundreds of candidates.
const EVALUATED_ROWS: usize = 4_000;

/// Gap at which the search is content. Below the planner's noise (half a per cent), because
/// within it indexes that save nothing could ride along.
const GAP: f64 = 0.002;

/// The setup of a run under the present configuration.
fn setup(config: &Config) -> Setup {
    Setup {
        candidates: candidates::Settings {
            max_columns: config.max_columns_per_index.max(1) as usize,
            trigram_schema: catalog::extension_schema("pg_trgm"),
            refused: genome::refused()
                .map(|fields| fields.into_keys().collect())
                .unwrap_or_default(),
            ..candidates::Settings::default()
        },
        plan: plan::Settings {
            summarizing_is_hot: compat::SUMMARIZING_IS_HOT,
            ..plan::Settings::automatic(config)
        },
        limits: PricingLimits {
            search: SearchLimits {
                gap: GAP,
                ..SearchLimits::default()
            },
            ..PricingLimits::default()
        },
        caution: Caution::default(),
        scope: config.scope.clone(),
        // Where the pins cannot be read nothing may be dropped, so the error is raised.
        pinned: pin::oids().unwrap_or_else(|error| pgrx::error!("{error}")),
    }
}

/// The configuration, for whoever starts from it.
fn configuration() -> Config {
    config::current()
}

/// Whether there are standbys, connected or with a slot that waits for them: queries there are
/// not counted here, so an index that this server never scans may be what they need.
fn has_standbys() -> SpiResult<bool> {
    let found = Spi::get_one::<bool>(
        "SELECT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.slot_type = 'physical')
             OR EXISTS (SELECT FROM pg_stat_replication AS r
                 WHERE r.state IN ('startup', 'catchup', 'streaming')
                   AND NOT EXISTS (SELECT FROM pg_replication_slots AS s
                       WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))",
    )?;
    Ok(found == Some(true))
}

/// Approves a recommendation and queues the job that carries it out. `role` is the operator
/// who asked; `None` is the stage `auto`. Nothing is queued where it is no longer in the state
/// `from`, or where only an operator can know that it is right.
///
/// # Errors
/// What SPI reports.
pub fn carry_out(
    id: Uuid,
    from: State,
    mut intent: Intent,
    role: Option<&str>,
) -> SpiResult<Option<Uuid>> {
    if role.is_none() && matches!(intent.kind, IntentKind::DropIndex { .. }) && has_standbys()? {
        return Ok(None);
    }
    let reason = match role {
        Some(role) => format!("approved by {role}"),
        None => "approved by the stage \"auto\"".to_owned(),
    };
    if !recommendation::transition(id, from, State::Approved, Some(&reason))? {
        return Ok(None);
    }
    intent.recommendation = Some(id.to_string());
    intent.urgent = role.is_some();
    let job = job::enqueue(&NewJob {
        intent: &intent,
        purpose: match (role, &intent.kind) {
            (Some(_), _) => Purpose::Operator,
            (None, IntentKind::Reindex { .. }) => Purpose::Schedule,
            (None, _) => Purpose::Advice,
        },
        requested_by: role.unwrap_or("indexpilot"),
        parent: None,
    })?;
    worker::ask_at_commit(Request::Jobs);
    Ok(Some(job))
}

thread_local! {
    /// The stages (create, drop, reindex) under which this process last looked at standing proposals.
    static ADOPTED: Cell<[Stage; 3]> = const { Cell::new([Stage::Off; 3]) };
}

/// Carries out what an analysis proposed while the stage was `advise`, once the stage is
/// `auto`: whoever lets us act does not wait for another analysis, and one that was under way
/// when the stage changed is not lost. Looks once for each change of the stages; a due
/// analysis runs before this and expires what is stale. In the worker, outside a transaction.
///
/// # Errors
/// What the server reports; tried again by the next call.
pub fn adopt() -> Result<(), ServerError> {
    let config = configuration();
    let stages = [config.create_index, config.drop_index, config.reindex];
    if config.off.contains(Module::Advisor) || ADOPTED.get() == stages {
        return Ok(());
    }
    if stages.contains(&Stage::Auto) {
        transaction::run(|| {
            let look = || -> SpiResult<()> {
                for stored in recommendation::all()? {
                    let stage = match stored.intent.kind {
                        IntentKind::DropIndex { .. } => config.drop_index,
                        IntentKind::Reindex { .. } => config.reindex,
                        // Advised only: no setting lets us change by ourselves what the planner knows.
                        IntentKind::Analyze | IntentKind::CreateStatistics(_) => Stage::Advise,
                        _ => config.create_index,
                    };
                    if stage == Stage::Auto && stored.state == State::Proposed {
                        carry_out(stored.id, State::Proposed, stored.intent, None)?;
                    }
                }
                Ok(())
            };
            look().unwrap_or_else(|error| pgrx::error!("{error}"));
        })?;
    }
    ADOPTED.set(stages);
    Ok(())
}

/// Moves recommendations along with their jobs. In the worker, in a transaction.
///
/// # Panics
/// Raises the server's error where our tables cannot be read or written.
pub fn follow() {
    if let Err(error) = recommendation::follow() {
        pgrx::error!("{error}");
    }
}
