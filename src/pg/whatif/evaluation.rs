//! Prices of one statement under sets of indexes: from the cache where nothing that they rest
//! on has changed, else planned, many sets within one subtransaction.

use super::accounting::{Stopwatch, count, count_failure};
use super::cache::Key;
use super::candidate::Part;
use super::carrier::Carrier;
use super::early_stop::{self, Ordered};
use super::failure::Failure;
use super::isolate::{self, isolated};
use super::scope::{self, Scope};
use super::statement::Statement;
use super::sum::{SampleCost, Sum};
use super::{Evaluation, Planner, correlation, explain, watch};
use crate::pg::compat::planner as compat;
use crate::pg::planwalk;
use indexpilot_model::price::EarlyStop;
use indexpilot_model::{CandidateId, Oid, Price, PriceError, StatementId};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Times that a lock is tried again, and the first pause, which doubles.
const MOST_RETRIES: u32 = 3;
const FIRST_PAUSE_MS: u64 = 50;

/// How long locks are kept for further sets of the same statement, microseconds: long enough
/// that a subtransaction for each is saved, far below anybody's notice.
const MOST_HELD_US: i64 = 10_000;

/// Physical correlation below which rows in the order of an index come from anywhere.
const SCATTERED: f64 = 0.5;

/// A set of indexes, ready to be shown to the planner.
struct Shown<'a> {
    with: &'a [CandidateId],
    parts: Vec<*const Part>,
}

impl Planner {
    /// Plans a statement with the indexes `with` and without the real ones in `without`.
    /// A lock that cannot be had is waited for a little longer each of three times.
    pub fn evaluate(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
        explain: Option<explain::Format>,
    ) -> Result<Evaluation, Failure> {
        let mut done = Vec::with_capacity(1);
        self.evaluate_all(id, &[with], without, explain, &mut done)?;
        Ok(done.pop().expect("one evaluation of one set"))
    }

    /// [`Planner::evaluate`] for many sets, into `done`, in their order. What was done before
    /// a failure stays there.
    fn evaluate_all(
        &mut self,
        id: StatementId,
        sets: &[&[CandidateId]],
        without: &[Oid],
        explain: Option<explain::Format>,
        done: &mut Vec<Evaluation>,
    ) -> Result<(), Failure> {
        let (mut stale, mut waits, mut before) = (0, 0, 0);
        while done.len() < sets.len() {
            let result = self.attempt(id, sets, without, explain, done);
            self.plans.reset();
            self.scratch.reset();
            count(|all| &all.requests, (done.len() - before) as u64);
            if done.len() > before {
                (stale, waits, before) = (0, 0, done.len());
            }
            match result {
                Ok(true) => {}
                // A relation changed since the statement was analysed.
                Ok(false) if stale < 3 => {
                    stale += 1;
                    let fresh = self.known(id)?.reload(&self.scratch);
                    self.scratch.reset();
                    self.statements.insert(id, fresh.map_err(failed)?);
                }
                Ok(false) => {
                    return Err(failed(Failure::new(
                        PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                        "the relations of the statement keep changing",
                    )));
                }
                Err(failure)
                    if failure.error == PriceError::LockTimeout && waits < MOST_RETRIES =>
                {
                    count(|all| &all.retries, 1);
                    isolate::pause(FIRST_PAUSE_MS << waits).map_err(failed)?;
                    waits += 1;
                }
                Err(failure) => return Err(failed(failure)),
            }
        }
        Ok(())
    }

    /// The price, from the cache if it is there and nothing has changed.
    pub(super) fn price_one(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, Failure> {
        let mut prices = self.price_sets(id, &[with], without, true)?;
        Ok(prices.pop().expect("one price of one set"))
    }

    /// Prices of many sets. With `reuse`, sets that differ only in indexes which cannot change
    /// the statement's plan are planned once, and prices are kept; without, every set is
    /// planned.
    pub fn price_sets(
        &mut self,
        id: StatementId,
        sets: &[&[CandidateId]],
        without: &[Oid],
        reuse: bool,
    ) -> Result<Vec<Price>, Failure> {
        if !reuse {
            let mut done = Vec::with_capacity(sets.len());
            self.evaluate_all(id, sets, without, None, &mut done)?;
            return Ok(done.into_iter().map(|one| one.price).collect());
        }
        watch::refresh();
        let statement = self.known(id)?;
        let unchanged = |epoch: u64| {
            statement
                .dependencies()
                .all(|relation| !watch::changed_since(relation, epoch))
        };
        let knowledge = self
            .carriers
            .values()
            .filter(|carrier| statement.reads(carrier.relation))
            .map(|carrier| carrier.statistics.len())
            .sum();
        let mut hidden = without.to_vec();
        hidden.sort_unstable();
        // Of those that are asked for only: a run has thousands of candidates, and a call for
        // each of them would look at all.
        let mut relevant: std::collections::HashMap<CandidateId, bool> =
            std::collections::HashMap::new();
        // SAFETY: reads a clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let mut prices: Vec<Option<Price>> = Vec::with_capacity(sets.len());
        let mut keys: Vec<Key> = Vec::new();
        // Which of the keys, for each set without a price.
        let mut missing: Vec<usize> = Vec::new();
        let mut positions = std::collections::HashMap::new();
        for set in sets {
            let mut with: Vec<CandidateId> = set
                .iter()
                .copied()
                // One that is not known fails in the evaluation.
                .filter(|id| {
                    *relevant.entry(*id).or_insert_with(|| {
                        let candidate = self.candidates.get(id.0 as usize);
                        candidate.is_none_or(|candidate| statement.may_use(candidate))
                    })
                })
                .collect();
            with.sort_unstable();
            with.dedup();
            let key = Key {
                statement: id,
                with,
                without: hidden.clone(),
                knowledge,
            };
            let found = self.cache.get(&key, now, unchanged);
            if found.is_none() {
                let position = *positions.entry(key).or_insert_with_key(|key| {
                    keys.push(key.clone());
                    keys.len() - 1
                });
                missing.push(position);
            }
            prices.push(found);
        }
        let hits = (sets.len() - keys.len()) as u64;
        let epoch = watch::epoch();
        let planned: Vec<&[CandidateId]> = keys.iter().map(|key| key.with.as_slice()).collect();
        let mut done = Vec::with_capacity(planned.len());
        let result = self.evaluate_all(id, &planned, without, None, &mut done);
        for (key, one) in keys.iter().zip(&done) {
            self.cache.put(key.clone(), one.price.clone(), now, epoch);
        }
        result?;
        count(|all| &all.requests, hits);
        count(|all| &all.cache_hits, hits);
        let mut missing = missing.into_iter();
        Ok(prices
            .into_iter()
            .map(|price| {
                price.unwrap_or_else(|| {
                    let position = missing.next().expect("one key for each price not found");
                    done[position].price.clone()
                })
            })
            .collect())
    }

    /// Plans the sets that are not done yet, as many as the locks may be kept for; `false` if
    /// the statement has to be analysed anew.
    fn attempt(
        &mut self,
        id: StatementId,
        sets: &[&[CandidateId]],
        without: &[Oid],
        explain: Option<explain::Format>,
        done: &mut Vec<Evaluation>,
    ) -> Result<bool, Failure> {
        let statement = self.known(id)?;
        let carriers: Vec<*const Carrier> = self
            .carriers
            .values()
            .filter(|carrier| statement.reads(carrier.relation))
            .map(std::ptr::from_ref)
            .collect();
        let before = done.len();
        let mut calls = 0;
        let stopwatch = Stopwatch::start();
        let result = self.scratch.within(|| {
            isolated(&statement.identity, || {
                if !statement.lock() {
                    return Ok(false);
                }
                let hidden = hidden(without)?;
                let parameters = statement.parameters();
                // SAFETY: reads a clock.
                let started = unsafe { pg_sys::GetCurrentTimestamp() };
                for with in &sets[before..] {
                    let shown = Shown {
                        with,
                        parts: self.parts(with)?,
                    };
                    let evaluation = self.plans.within(|| {
                        self.plan_set(
                            id,
                            statement,
                            &shown,
                            &carriers,
                            &hidden,
                            &parameters,
                            explain,
                            &stopwatch,
                            &mut calls,
                        )
                    })?;
                    done.push(evaluation);
                    self.plans.reset();
                    // SAFETY: as above.
                    if unsafe { pg_sys::GetCurrentTimestamp() } - started > MOST_HELD_US {
                        break;
                    }
                }
                Ok(true)
            })
        });
        stopwatch.stop((done.len() - before) as u64);
        count(|all| &all.planner_calls, calls);
        self.calls += calls;
        result
    }

    /// The parts of all indexes of a set.
    fn parts(&self, with: &[CandidateId]) -> Result<Vec<*const Part>, Failure> {
        let mut parts = Vec::with_capacity(with.len());
        for candidate in with {
            let Some(candidate) = self.candidates.get(candidate.0 as usize) else {
                return Err(Failure::new(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                    format!("hypothetical index {} is not known", candidate.0),
                ));
            };
            parts.extend(candidate.parts.iter().map(std::ptr::from_ref));
        }
        Ok(parts)
    }

    /// Plans a statement, once a sample and query, with one set. Within [`isolated`], the
    /// relations locked.
    #[allow(clippy::too_many_arguments)] // What one plan needs, nothing of it kept together.
    fn plan_set(
        &self,
        id: StatementId,
        statement: &Statement,
        shown: &Shown<'_>,
        carriers: &[*const Carrier],
        hidden: &[pg_sys::Oid],
        parameters: &[(f64, pg_sys::ParamListInfo)],
        explain: Option<explain::Format>,
        stopwatch: &Stopwatch,
        calls: &mut u64,
    ) -> Result<Evaluation, Failure> {
        let mut sum = Sum::default();
        let mut plans = Vec::new();
        for (position, (weight, params)) in parameters.iter().copied().enumerate() {
            let scope = Scope {
                parts: &shown.parts,
                carriers,
                hidden,
                only: None,
                operators: Some((self.warmth.operators(), 0.0)),
                params,
            };
            let mut sample = SampleCost::default();
            for (number, query) in statement.queries.iter().enumerate() {
                pgrx::check_for_interrupts!();
                *calls += 1;
                // SAFETY: a copy of an analysed query, its relations locked.
                unsafe {
                    let planned = stopwatch.planner(|| {
                        let copy = pg_sys::copyObjectImpl((*query).cast()).cast();
                        scope::plan(copy, statement.text.as_ptr(), &scope)
                    });
                    if !statement.checked.get() {
                        compat::check_permissions(planned);
                    }
                    let mut reading = planwalk::read(planned);
                    for scan in &mut reading.nested {
                        scan.correlation = self.correlation(scan.index);
                        scan.scattered = scan
                            .driver
                            .and_then(|index| self.correlation(index))
                            .is_some_and(|correlation| correlation.abs() < SCATTERED);
                    }
                    let fingerprint = planwalk::fingerprint(planned).0;
                    let key = (id, position, number, fingerprint);
                    let source = statement.text.as_ptr();
                    let (warm, more) = stopwatch.planner(|| {
                        self.warmth
                            .cost(key, &reading, *query, source, &scope, |read| {
                                read.early_stops
                                    .iter()
                                    .filter_map(|stop| self.early_stop(stop))
                                    .collect()
                            })
                    });
                    *calls += more;
                    for (scan, fetched) in reading.nested.iter_mut().zip(&warm.fetched) {
                        scan.rows = fetched.max(self.rows_of_key(scan));
                    }
                    sample.add(reading, warm, fingerprint);
                    if let Some(format) = explain
                        && position == 0
                    {
                        plans.push(explain::show(
                            format,
                            planned,
                            &statement.text,
                            params,
                            self.names(shown.with),
                        ));
                    }
                }
            }
            sum.add(weight, sample, &self.by_fake);
        }
        statement.checked.set(true);
        Ok(Evaluation {
            price: sum.price(),
            plans,
        })
    }

    /// Where the rows lie that a scan of a plan is to find before a LIMIT ends it; `None` where
    /// no filter has to do with the order of the scan.
    fn early_stop(&self, stop: &planwalk::EarlyStop) -> Option<EarlyStop> {
        // SAFETY: catalog look-ups, within an isolated evaluation.
        unsafe {
            match self.by_fake.get(&stop.index) {
                Some(candidate) => {
                    let part = self.candidates[candidate.0 as usize]
                        .parts
                        .iter()
                        .find(|part| part.template.indexoid.to_u32() == stop.index)?;
                    let keys = part.template.nkeycolumns.max(0) as usize;
                    let columns: Vec<Ordered> = part
                        .columns
                        .iter()
                        .enumerate()
                        .map(|(k, column)| Ordered {
                            attribute: column.attribute,
                            descending: k < keys
                                && !part.template.reverse_sort.is_null()
                                && *part.template.reverse_sort.add(k),
                        })
                        .collect();
                    early_stop::judge(stop, &columns, keys)
                }
                None if stop.index == 0 => early_stop::judge(stop, &[], 0),
                None => {
                    let (columns, keys) = early_stop::of_index(pg_sys::Oid::from(stop.index))?;
                    early_stop::judge(stop, &columns, keys)
                }
            }
        }
    }

    /// Rows that a scan of a hypothetical index finds at least where all of its keys are given;
    /// 0 where nothing is known.
    fn rows_of_key(&self, scan: &planwalk::NestedScan) -> f64 {
        let Some(candidate) = self.by_fake.get(&scan.index) else {
            return 0.0;
        };
        self.candidates[candidate.0 as usize]
            .parts
            .iter()
            .find(|part| part.template.indexoid.to_u32() == scan.index)
            .filter(|part| scan.conditions.0 >= part.template.nkeycolumns as usize)
            .and_then(|part| part.rows_per_key)
            .unwrap_or(0.0)
    }

    /// Physical correlation of the leading key of an index in a plan, real or hypothetical.
    fn correlation(&self, index: Oid) -> Option<f64> {
        match self.by_fake.get(&index) {
            Some(candidate) => {
                self.candidates[candidate.0 as usize]
                    .parts
                    .iter()
                    .find(|part| part.template.indexoid.to_u32() == index)?
                    .correlation
            }
            // SAFETY: catalog look-ups, within an isolated evaluation.
            None => unsafe { correlation::of_index(pg_sys::Oid::from(index)) },
        }
    }
}

/// Runs `body` again while it fails for want of a lock: three times, after ever longer pauses.
pub(super) fn patiently<T>(mut body: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut waits = 0;
    loop {
        match body() {
            Err(failure) if failure.error == PriceError::LockTimeout && waits < MOST_RETRIES => {
                count(|all| &all.retries, 1);
                isolate::pause(FIRST_PAUSE_MS << waits)?;
                waits += 1;
            }
            result => return result,
        }
    }
}

/// Counts a failed evaluation.
fn failed(failure: Failure) -> Failure {
    count(|all| &all.requests, 1);
    count_failure(&failure.error);
    failure
}

/// The indexes to hide: a partitioned one with all its partitions. Within [`isolated`].
fn hidden(without: &[Oid]) -> Result<Vec<pg_sys::Oid>, Failure> {
    let mut hidden = Vec::with_capacity(without.len());
    for oid in without {
        let oid = pg_sys::Oid::from(*oid);
        // SAFETY: catalog look-ups.
        match unsafe { pg_sys::get_rel_relkind(oid) } as u8 {
            b'i' => hidden.push(oid),
            // SAFETY: as above; no lock is needed to leave an index out.
            b'I' => hidden.extend(unsafe { compat::descendants(oid, pg_sys::NoLock as i32) }),
            0 => {
                return Err(Failure::new(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                    format!("index with OID {} does not exist", oid.to_u32()),
                ));
            }
            _ => {
                return Err(Failure::new(
                    PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                    format!("relation with OID {} is not an index", oid.to_u32()),
                ));
            }
        }
    }
    Ok(hidden)
}
