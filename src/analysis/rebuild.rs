//! Scheduled maintenance: finds indexes that have swollen, recommends to rebuild them, and
//! under the stage `auto` has them rebuilt.

use super::{carry_out, configuration};
use crate::pg::clock;
use crate::pg::transaction::{self, ServerError};
use crate::store::{recommendation, upkeep};
use indexpilot_advisor::bloat::{Finding, judge};
use indexpilot_advisor::lifecycle::State;
use indexpilot_advisor::plan::Recommendation;
use indexpilot_guard::next_turn;
use indexpilot_model::config::Stage;
use indexpilot_model::hash::StableHash;
use indexpilot_model::ports::Timestamp;
use indexpilot_model::{Config, Intent, IntentKind, Module};
use pgrx::spi::SpiResult;
use std::cell::Cell;

/// Microseconds between two looks at the schedule: reading it costs a query.
const ASK_EVERY: i64 = 60 * 1_000_000;

thread_local! {
    /// When the schedule was last asked, and under which configuration.
    static ASKED: Cell<Option<(Timestamp, Stage)>> = const { Cell::new(None) };
}

fn wanted(config: &Config) -> bool {
    config.reindex != Stage::Off && !config.off.contains(Module::Advisor)
}

/// When bloated indexes are to be looked for next. In a transaction.
///
/// # Errors
/// What SPI reports.
pub fn next_moment() -> SpiResult<Option<Timestamp>> {
    let config = configuration();
    if !wanted(&config) {
        return Ok(None);
    }
    let (last, offset) = upkeep::last_look()?;
    Ok(next_turn(
        config.reindex_schedule,
        &config.maintenance_window,
        last,
        clock::now(),
        offset,
    ))
}

/// Looks for bloated indexes if that is due. In the worker, outside a transaction.
///
/// # Errors
/// What the server reports; tried again a minute later.
pub fn look() -> Result<(), ServerError> {
    let config = configuration();
    let now = clock::now();
    let asked = ASKED.get();
    if !wanted(&config)
        || asked.is_some_and(|(at, stage)| now - at < ASK_EVERY && stage == config.reindex)
    {
        return Ok(());
    }
    ASKED.set(Some((now, config.reindex)));
    transaction::run(|| {
        let work = || -> SpiResult<()> {
            if next_moment()?.is_some_and(|moment| moment <= clock::now()) {
                upkeep::measure()?;
                propose(&config)?;
                upkeep::looked()?;
            }
            Ok(())
        };
        work().unwrap_or_else(|error| pgrx::error!("{error}"));
    })
}

/// The same index keeps its recommendation over rebuilds, which change its OID.
fn identity(index: &upkeep::Measured) -> u64 {
    StableHash::new()
        .field(b"reindex")
        .field(index.name.schema.as_bytes())
        .field(index.name.name.as_bytes())
        .finish()
}

fn propose(config: &Config) -> SpiResult<()> {
    let mut seen = Vec::new();
    for index in upkeep::measured()? {
        let relation = &index.relation;
        if config
            .scope
            .admits(&relation.schema, &relation.name)
            .is_err()
        {
            continue;
        }
        let finding = judge(
            &index.now,
            &index.best,
            config.bloat_threshold,
            config.reindex_min_size,
        );
        let Finding::Bloated(growth, bytes) = finding else {
            continue;
        };
        let reason = format!(
            "takes {:.0} bytes a row, {:.1} times what it took at its best ({:.0}, {}): rebuilding it frees about {} MB",
            index.now.per_tuple(),
            growth + 1.0,
            index.best.per_tuple(),
            index.best_day,
            (index.now.bytes - bytes) >> 20
        );
        let recommended = Recommendation {
            identity: identity(&index),
            kind: IntentKind::Reindex {
                index: index.index,
                name: index.name.clone(),
            },
            relation: relation.clone(),
            // What smaller indexes save depends on the cache, and is not estimated.
            benefit: 0.0,
            saved_ms_per_day: 0.0,
            bytes,
            build_ms: 0.0,
            write_ms_per_day: 0.0,
            break_even_calls: None,
            confidence: 1.0,
            statements: Vec::new(),
            tenants: Vec::new(),
            reason: reason.clone(),
            rule: format!(
                "size a row against its best: {:.0} % above, bloat_threshold is {:.0} %",
                growth * 100.0,
                config.bloat_threshold * 100.0
            ),
            alternatives: Vec::new(),
        };
        let mut intent = Intent {
            kind: recommended.kind.clone(),
            relation: relation.clone(),
            reason,
            recommendation: None,
            bytes,
            saving_ms_per_day: 0.0,
            urgent: false,
        };
        seen.push(recommended.identity);
        let (id, state) = recommendation::save(&recommended, &intent)?;
        intent.recommendation = Some(id.to_string());
        if config.reindex == Stage::Auto && state == State::Proposed {
            carry_out(id, State::Proposed, intent, None)?;
        }
    }
    for stored in recommendation::all()? {
        if matches!(stored.intent.kind, IntentKind::Reindex { .. })
            && stored.state == State::Proposed
            && !seen.contains(&stored.identity)
        {
            let why = "no longer bloated, or not known to be";
            recommendation::transition(stored.id, State::Proposed, State::Expired, Some(why))?;
        }
    }
    Ok(())
}
