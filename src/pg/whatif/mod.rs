//! What-if: PostgreSQL's own planner prices statements under indexes that do not exist and
//! without some that do.
//!
//! Invariants:
//! - Every call into the server that can run somebody's function or raise an error stands in
//!   [`isolate::isolated`]: a subtransaction that is always rolled back, as the statement's
//!   own user, in a security-restricted operation.
//! - Hypothetical indexes are seen by exactly the planner call they were handed to
//!   ([`scope`]): not by other sessions, not by statements that run while ours is planned,
//!   not by the executor.
//! - A failure is a value. The session, its locks and its memory are as before.

mod accounting;
mod brin_cost;
mod cache;
mod candidate;
mod carrier;
mod definition;
mod explain;
mod failure;
mod isolate;
mod keys;
mod memory;
mod methods;
mod projection;
mod sample;
mod scope;
mod size;
mod statement;
mod statistics;
mod stored;
mod stored_bytes;
mod sum;
mod text;
mod watch;

pub use accounting::counters;
pub use failure::Failure;
pub use statement::{Sample, StatementSource};
pub use stored::{PLANNING_SETTINGS, StoredStatement};
pub use text::tree_of_text;

use crate::pg::compat::planner as compat;
use crate::pg::{planwalk, querytree};
use accounting::{Stopwatch, count, count_failure};
use cache::{Cache, Key};
use candidate::Candidate;
use carrier::Carrier;
use indexpilot_model::price::SizeEstimate;
use indexpilot_model::{
    CandidateId, IndexDefinition, Oid, Price, PriceError, QueryShape, StatementId, WhatIf,
};
use isolate::{Identity, isolated};
use memory::Context;
use pgrx::pg_sys;
use pgrx::prelude::*;
use sample::Samples;
use scope::Scope;
use statement::Statement;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use sum::{SampleCost, Sum};

/// Puts the planner hooks in place. Once, from `_PG_init`.
pub fn install() {
    accounting::install();
    scope::install();
    explain::install();
}

/// Whether the present user is a superuser.
pub fn caller_is_superuser() -> bool {
    // SAFETY: a catalog look-up.
    unsafe { pg_sys::superuser() }
}

/// Times that a lock is tried again, and the first pause, which doubles.
const MOST_RETRIES: u32 = 3;
const FIRST_PAUSE_MS: u64 = 50;

/// One evaluation in full.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The price.
    pub price: Price,
    /// The plans as EXPLAIN (FORMAT JSON) shows them, if they were asked for: of the first
    /// sample, one a query.
    pub plans: Vec<String>,
}

/// Prices statements with the server's planner. Belongs to one backend; holds no lock and
/// no pin between calls.
pub struct Planner {
    // Declared before the contexts that they point into are dropped with them.
    candidates: Vec<Candidate>,
    by_text: HashMap<String, CandidateId>,
    /// Which candidate an OID in a plan stands for.
    by_fake: HashMap<Oid, CandidateId>,
    statements: HashMap<StatementId, Statement>,
    /// Statistics of expressions, by relation.
    carriers: HashMap<pg_sys::Oid, Carrier>,
    samples: Samples,
    cache: Cache,
    scratch: Context,
    calls: u64,
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    /// One without statements and candidates.
    ///
    /// # Panics
    /// Raises an ERROR (object_not_in_prerequisite_state) where the library was told to stay
    /// idle and has no hooks.
    pub fn new() -> Self {
        if !scope::installed() {
            pgrx::pg_sys::panic::ErrorReport::new(
                pgrx::PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "indexes cannot be priced while IndexPilot is bypassed",
                "indexpilot",
            )
            .set_hint("SELECT * FROM indexpilot.status() says why it is.")
            .report(pgrx::PgLogLevel::ERROR);
        }
        Planner {
            candidates: Vec::new(),
            by_text: HashMap::new(),
            by_fake: HashMap::new(),
            statements: HashMap::new(),
            carriers: HashMap::new(),
            samples: Samples::default(),
            cache: Cache::default(),
            scratch: Context::new(c"indexpilot what-if"),
            calls: 0,
        }
    }

    /// One for hundreds of candidates: sizes are estimated from at most so many rows of a
    /// relation, because every candidate projects the whole sample once.
    pub fn with_sample_rows(most_rows: usize) -> Self {
        let mut planner = Self::new();
        planner.samples.most_rows = most_rows;
        planner
    }

    /// Makes a statement known: analyses it, plans it once and checks that its user may run
    /// it. A statement with the same id is replaced.
    pub fn add_statement(
        &mut self,
        id: StatementId,
        source: StatementSource,
    ) -> Result<(), Failure> {
        let loaded = Statement::load(source, &self.scratch);
        self.scratch.reset();
        let checked = loaded.and_then(|statement| {
            self.check_permissions(&statement)?;
            Ok(statement)
        });
        self.scratch.reset();
        let statement = counted(checked)?;
        self.cache.forget(id);
        self.statements.insert(id, statement);
        Ok(())
    }

    /// Who may not run a statement may not learn its costs.
    fn check_permissions(&mut self, statement: &Statement) -> Result<(), Failure> {
        self.calls += statement.queries.len() as u64;
        self.scratch.within(|| {
            isolated(&statement.identity, || {
                statement.lock();
                let (_, params) = statement.parameters()[0];
                let scope = Scope {
                    parts: &[],
                    carriers: &[],
                    hidden: &[],
                    params,
                };
                for query in &statement.queries {
                    // SAFETY: a copy of an analysed query, its relations locked.
                    unsafe {
                        let copy = pg_sys::copyObjectImpl((*query).cast()).cast();
                        let planned = scope::plan(copy, statement.text.as_ptr(), &scope);
                        compat::check_permissions(planned);
                    }
                }
                Ok(())
            })
        })
    }

    /// What a statement does with which fields, one shape for each query that the rules made
    /// of it. Read as the statement's own user, because constants are written by their types'
    /// output functions.
    pub fn shapes(&mut self, id: StatementId) -> Result<Vec<QueryShape>, Failure> {
        let statement = self.known(id)?;
        let sample = statement.first_sample();
        let result = self.scratch.within(|| {
            isolated(&statement.identity, || {
                statement.lock();
                Ok(statement
                    .queries
                    .iter()
                    // SAFETY: whole, analysed trees; their relations are locked.
                    .map(|query| unsafe { querytree::shape(*query, &sample) })
                    .collect())
            })
        });
        self.scratch.reset();
        result
    }

    /// Makes a hypothetical index known from its `CREATE INDEX` text. The same text gives the
    /// same id.
    pub fn register_text(&mut self, text: &str) -> Result<(CandidateId, SizeEstimate), Failure> {
        if let Some(id) = self.by_text.get(text) {
            return Ok((*id, self.candidates[id.0 as usize].size));
        }
        let candidate = Candidate::new(text, &mut self.samples, &self.scratch);
        self.scratch.reset();
        let candidate = counted(candidate)?;
        let id = CandidateId(self.candidates.len() as u32);
        for part in &candidate.parts {
            self.by_fake.insert(part.template.indexoid.to_u32(), id);
            if part.statistics.iter().any(|tuple| !tuple.is_null()) {
                self.carriers
                    .entry(part.relation)
                    .or_insert_with(|| Carrier::new(part.relation))
                    .add(part);
            }
        }
        let size = candidate.size;
        self.candidates.push(candidate);
        self.by_text.insert(text.to_owned(), id);
        Ok((id, size))
    }

    /// Plans a statement with the indexes `with` and without the real ones in `without`.
    /// A lock that cannot be had is waited for a little longer each of three times.
    pub fn evaluate(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
        explain: bool,
    ) -> Result<Evaluation, Failure> {
        count(|all| &all.requests, 1);
        let (mut stale, mut waits) = (0, 0);
        loop {
            let result = self.attempt(id, with, without, explain);
            self.scratch.reset();
            match result {
                Ok(Some(evaluation)) => return Ok(evaluation),
                // A relation changed since the statement was analysed.
                Ok(None) if stale < 3 => {
                    stale += 1;
                    let fresh = self.known(id)?.reload(&self.scratch);
                    self.scratch.reset();
                    self.statements.insert(id, fresh?);
                }
                Ok(None) => {
                    let failure = Failure::new(
                        PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                        "the relations of the statement keep changing",
                    );
                    count_failure(&failure.error);
                    return Err(failure);
                }
                Err(failure)
                    if failure.error == PriceError::LockTimeout && waits < MOST_RETRIES =>
                {
                    count(|all| &all.retries, 1);
                    isolate::pause(FIRST_PAUSE_MS << waits)?;
                    waits += 1;
                }
                Err(failure) => {
                    count_failure(&failure.error);
                    return Err(failure);
                }
            }
        }
    }

    /// The price, from the cache if it is there and nothing has changed.
    fn cached(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, Failure> {
        let statement = self.known(id)?;
        let mut relevant: Vec<CandidateId> = with
            .iter()
            .copied()
            .filter(|id| {
                self.candidates
                    .get(id.0 as usize)
                    // One that is not known fails in the evaluation.
                    .is_none_or(|candidate| statement.may_use(candidate))
            })
            .collect();
        relevant.sort_unstable();
        relevant.dedup();
        let mut hidden = without.to_vec();
        hidden.sort_unstable();
        let knowledge = self
            .carriers
            .values()
            .filter(|carrier| statement.reads(carrier.relation))
            .map(|carrier| carrier.statistics.len())
            .sum();
        let key = Key {
            statement: id,
            with: relevant,
            without: hidden,
            knowledge,
        };
        // SAFETY: reads a clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        watch::refresh();
        let statement = self.known(id)?.dependencies();
        if let Some(price) = self.cache.get(&key, now, |epoch| {
            statement.iter().all(|r| !watch::changed_since(*r, epoch))
        }) {
            count(|all| &all.requests, 1);
            count(|all| &all.cache_hits, 1);
            return Ok(price);
        }
        let epoch = watch::epoch();
        let price = self.evaluate(id, &key.with, without, false)?.price;
        self.cache.put(key, price.clone(), now, epoch);
        Ok(price)
    }

    fn known(&self, id: StatementId) -> Result<&Statement, Failure> {
        self.statements.get(&id).ok_or_else(|| {
            Failure::new(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("statement {id} is not known"),
            )
        })
    }

    /// One evaluation; `None` if the statement has to be analysed anew.
    fn attempt(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
        explain: bool,
    ) -> Result<Option<Evaluation>, Failure> {
        let mut parts = Vec::new();
        for candidate in with {
            let Some(candidate) = self.candidates.get(candidate.0 as usize) else {
                return Err(Failure::new(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                    format!("hypothetical index {} is not known", candidate.0),
                ));
            };
            parts.extend(candidate.parts.iter().map(std::ptr::from_ref));
        }
        let statement = self.known(id)?;
        let carriers: Vec<*const Carrier> = self
            .carriers
            .values()
            .filter(|carrier| statement.reads(carrier.relation))
            .map(std::ptr::from_ref)
            .collect();
        let names = || self.names(with);
        let by_fake = &self.by_fake;
        let mut calls = 0;
        let watch = Stopwatch::start();
        let result = self.scratch.within(|| {
            isolated(&statement.identity, || {
                if !statement.lock() {
                    return Ok(None);
                }
                let hidden = hidden(without)?;
                let mut sum = Sum::default();
                let mut plans = Vec::new();
                for (position, (weight, params)) in statement.parameters().into_iter().enumerate() {
                    let scope = Scope {
                        parts: &parts,
                        carriers: &carriers,
                        hidden: &hidden,
                        params,
                    };
                    let mut sample = SampleCost::default();
                    for query in &statement.queries {
                        pgrx::check_for_interrupts!();
                        calls += 1;
                        // SAFETY: a copy of an analysed query, its relations locked.
                        unsafe {
                            let planned = watch.planner(|| {
                                let copy = pg_sys::copyObjectImpl((*query).cast()).cast();
                                scope::plan(copy, statement.text.as_ptr(), &scope)
                            });
                            sample.add(planwalk::read(planned), planwalk::fingerprint(planned).0);
                            if explain && position == 0 {
                                plans.push(explain::json(
                                    planned,
                                    &statement.text,
                                    params,
                                    names(),
                                ));
                            }
                        }
                    }
                    sum.add(weight, sample, by_fake);
                }
                Ok(Some(Evaluation {
                    price: sum.price(),
                    plans,
                }))
            })
        });
        watch.stop();
        count(|all| &all.planner_calls, calls);
        self.calls += calls;
        result
    }

    /// Names under which EXPLAIN shows hypothetical indexes.
    fn names(&self, with: &[CandidateId]) -> HashMap<u32, CString> {
        let mut names = HashMap::new();
        for id in with {
            for part in &self.candidates[id.0 as usize].parts {
                if let Ok(name) = CString::new(format!("<hypothetical {}>", id.0 + 1)) {
                    names.insert(part.template.indexoid.to_u32(), name);
                }
            }
        }
        names
    }

    /// Qualified names of real indexes, for people.
    pub fn index_names(&self, indexes: &[Oid]) -> Result<Vec<String>, Failure> {
        isolated(&Identity::CALLER, || {
            Ok(indexes
                .iter()
                .filter_map(|oid| {
                    // SAFETY: catalog look-ups; null where the index is gone.
                    unsafe {
                        let oid = pg_sys::Oid::from(*oid);
                        let name = pg_sys::get_rel_name(oid);
                        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
                        (!name.is_null() && !schema.is_null()).then(|| {
                            CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name))
                                .to_string_lossy()
                                .into_owned()
                        })
                    }
                })
                .collect())
        })
    }
}

/// Counts a failure to get as far as an evaluation.
fn counted<T>(result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &result {
        count(|all| &all.requests, 1);
        count_failure(&failure.error);
    }
    result
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

impl WhatIf for Planner {
    fn register(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<(CandidateId, SizeEstimate), PriceError> {
        let text = definition.create_statement("", false, false);
        self.register_text(&text).map_err(PriceError::from)
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        self.cached(statement, with, without)
            .map_err(PriceError::from)
    }

    fn planner_calls(&self) -> u64 {
        self.calls
    }
}
