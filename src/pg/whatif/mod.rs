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

mod brin_cost;
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
mod watch;

pub use failure::Failure;
pub use statement::{Sample, StatementSource};
pub use stored::{PLANNING_SETTINGS, StoredStatement};

use crate::pg::compat::planner as compat;
use crate::pg::{planwalk, querytree};
use candidate::Candidate;
use carrier::Carrier;
use indexpilot_model::price::{InnerScan, PlanTraits, SizeEstimate};
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

/// Puts the planner hooks in place. Once, from `_PG_init`.
pub fn install() {
    scope::install();
    explain::install();
}

/// True while a planner call of ours runs: what other hooks see then is not the user's.
pub fn planning() -> bool {
    scope::active()
}

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
            scratch: Context::new(c"indexpilot what-if"),
            calls: 0,
        }
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
        let statement = loaded?;
        let result = self.check_permissions(&statement);
        self.scratch.reset();
        result?;
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
        let candidate = candidate?;
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
    pub fn evaluate(
        &mut self,
        id: StatementId,
        with: &[CandidateId],
        without: &[Oid],
        explain: bool,
    ) -> Result<Evaluation, Failure> {
        let mut attempt = 0;
        loop {
            let result = self.attempt(id, with, without, explain);
            self.scratch.reset();
            match result {
                Ok(Some(evaluation)) => return Ok(evaluation),
                // A relation changed since the statement was analysed.
                Ok(None) if attempt < 3 => {
                    attempt += 1;
                    let fresh = self.known(id)?.reload(&self.scratch);
                    self.scratch.reset();
                    self.statements.insert(id, fresh?);
                }
                Ok(None) => {
                    return Err(Failure::new(
                        PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                        "the relations of the statement keep changing",
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
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
        let carriers: Vec<*const Carrier> =
            self.carriers.values().map(std::ptr::from_ref).collect();
        let names = || self.names(with);
        let by_fake = &self.by_fake;
        let mut calls = 0;
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
                            let copy = pg_sys::copyObjectImpl((*query).cast()).cast();
                            let planned = scope::plan(copy, statement.text.as_ptr(), &scope);
                            sample.add(planwalk::read(planned), planwalk::fingerprint(planned));
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

    /// The relation that a candidate's definition names.
    pub fn relation(&self, id: CandidateId) -> Option<Oid> {
        self.candidates
            .get(id.0 as usize)
            .map(|candidate| candidate.relation.to_u32())
    }
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

/// The plans of one sample (rules can make several queries of one statement).
#[derive(Default)]
struct SampleCost {
    cost: f64,
    rows: f64,
    readings: Vec<planwalk::Reading>,
    fingerprint: u64,
}

impl SampleCost {
    fn add(&mut self, reading: planwalk::Reading, fingerprint: u64) {
        self.cost += reading.cost;
        self.rows += reading.rows;
        // Several queries make one fingerprint; a single one keeps its own.
        self.fingerprint = self.fingerprint.rotate_left(1) ^ fingerprint;
        self.readings.push(reading);
    }
}

/// The weighted mean over samples.
#[derive(Default)]
struct Sum {
    weight: f64,
    cost: f64,
    rows: f64,
    lowest: Option<f64>,
    highest: f64,
    used: Vec<CandidateId>,
    used_existing: Vec<Oid>,
    traits: PlanTraits,
    fingerprint: Option<u64>,
}

impl Sum {
    fn add(&mut self, weight: f64, sample: SampleCost, by_fake: &HashMap<Oid, CandidateId>) {
        self.weight += weight;
        self.cost += weight * sample.cost;
        self.rows += weight * sample.rows;
        self.lowest = Some(
            self.lowest
                .map_or(sample.cost, |lowest| lowest.min(sample.cost)),
        );
        self.highest = self.highest.max(sample.cost);
        self.fingerprint.get_or_insert(sample.fingerprint);
        for reading in sample.readings {
            for index in reading.indexes() {
                match by_fake.get(&index) {
                    Some(candidate) => self.used.push(*candidate),
                    None => self.used_existing.push(index),
                }
            }
            let traits = &mut self.traits;
            traits.limit |= reading.limit;
            traits.semi_join |= reading.semi_join;
            traits.subplan |= reading.subplan;
            traits.parallel |= reading.parallel;
            traits.sort |= reading.sort;
            for scan in reading.nested {
                let candidate = by_fake.get(&scan.index).copied();
                traits.inner_scans.push(InnerScan {
                    index: if candidate.is_some() { 0 } else { scan.index },
                    candidate,
                    loops: scan.loops,
                    rows: scan.rows,
                    correlation: None,
                    index_only: scan.index_only,
                });
            }
        }
    }

    fn price(mut self) -> Price {
        self.used.sort_unstable();
        self.used.dedup();
        self.used_existing.sort_unstable();
        self.used_existing.dedup();
        let weight = if self.weight > 0.0 { self.weight } else { 1.0 };
        Price {
            cost: self.cost / weight,
            spread: (self.lowest.unwrap_or(0.0), self.highest),
            used: self.used,
            used_existing: self.used_existing,
            rows: self.rows / weight,
            traits: self.traits,
            fingerprint: self.fingerprint.unwrap_or(0),
        }
    }
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
        self.evaluate(statement, with, without, false)
            .map(|evaluation| evaluation.price)
            .map_err(PriceError::from)
    }

    fn planner_calls(&self) -> u64 {
        self.calls
    }
}
