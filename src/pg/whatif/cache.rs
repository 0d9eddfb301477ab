//! Prices that were asked for before, as long as nothing they rest on has changed.

use indexpilot_model::{CandidateId, Oid, Price, StatementId};
use std::collections::{HashMap, VecDeque};

/// Prices kept at most; the oldest go first.
const MOST_PRICES: usize = 10_000;
/// A price is good for so long, microseconds: relations grow without telling anyone.
const TIME_TO_LIVE: i64 = 300 * 1_000_000;

/// What a price depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub statement: StatementId,
    /// The candidates that the statement could use, ascending.
    pub with: Vec<CandidateId>,
    /// Hidden indexes, ascending.
    pub without: Vec<Oid>,
    /// Number of expressions with statistics that the planner is shown.
    pub knowledge: usize,
}

struct Entry {
    price: Price,
    epoch: u64,
    at: i64,
}

/// A bounded store of prices.
#[derive(Default)]
pub(super) struct Cache {
    prices: HashMap<Key, Entry>,
    /// In order of insertion.
    order: VecDeque<Key>,
}

impl Cache {
    /// The price under `key`, if it is young enough at `now` and `unchanged` says that
    /// nothing happened since its epoch.
    pub(super) fn get(
        &self,
        key: &Key,
        now: i64,
        unchanged: impl FnOnce(u64) -> bool,
    ) -> Option<Price> {
        let entry = self.prices.get(key)?;
        (now - entry.at < TIME_TO_LIVE && unchanged(entry.epoch)).then(|| entry.price.clone())
    }

    /// Keeps a price made at `now`, when `epoch` was the present one.
    pub(super) fn put(&mut self, key: Key, price: Price, now: i64, epoch: u64) {
        let entry = Entry {
            price,
            epoch,
            at: now,
        };
        if self.prices.insert(key.clone(), entry).is_none() {
            self.order.push_back(key);
        }
        while self.prices.len() > MOST_PRICES {
            match self.order.pop_front() {
                Some(oldest) => self.prices.remove(&oldest),
                None => break,
            };
        }
    }

    /// Forgets a statement's prices.
    pub(super) fn forget(&mut self, statement: StatementId) {
        self.prices.retain(|key, _| key.statement != statement);
        self.order.retain(|key| key.statement != statement);
    }
}
