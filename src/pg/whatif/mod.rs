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
mod columns;
mod correlation;
mod definition;
mod dependence;
mod early_stop;
mod evaluation;
mod explain;
mod failure;
mod isolate;
mod keys;
mod memory;
mod methods;
mod operators;
mod projection;
mod relevance;
mod sample;
mod scope;
mod size;
mod statement;
mod statistics;
mod stored;
mod stored_bytes;
mod sum;
mod text;
mod warm;
mod watch;

pub use accounting::counters;
pub use dependence::SampledTable;
pub use explain::Format;
pub use failure::Failure;
pub use statement::{Sample, StatementSource};
pub use stored::{PLANNING_SETTINGS, StoredStatement};
pub use text::tree_of_text;

use crate::pg::compat::planner as compat;
use crate::pg::querytree;
use accounting::{count, count_failure};
use cache::Cache;
use candidate::Candidate;
use carrier::Carrier;
use evaluation::patiently;
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
use warm::Warmth;

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

/// One evaluation in full.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The price.
    pub price: Price,
    /// The plans as EXPLAIN shows them, if they were asked for: of the first sample, one a
    /// query.
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
    warmth: Warmth,
    /// For one call, and for one plan within it.
    scratch: Context,
    plans: Context,
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
            warmth: Warmth::default(),
            scratch: Context::new(c"indexpilot what-if"),
            plans: Context::new(c"indexpilot what-if plan"),
            calls: 0,
        }
    }

    /// One for hundreds of candidates: their expressions and predicates are evaluated for at
    /// most so many rows of a relation. (Plain columns are taken from the sample once, whatever
    /// the number of candidates.)
    pub fn with_evaluated_rows(most: usize) -> Self {
        let mut planner = Self::new();
        planner.samples.most_evaluated = most;
        planner
    }

    /// Prices plans also with this share of the pages in memory (`Price::warm`).
    pub fn set_warmth(&mut self, share: f64) {
        self.warmth = Warmth::new(share);
        self.cache = Cache::default();
    }

    /// Makes a statement known: analyses it, plans it once and checks that its user may run
    /// it. A statement with the same id is replaced.
    pub fn add_statement(
        &mut self,
        id: StatementId,
        source: StatementSource,
    ) -> Result<(), Failure> {
        let checked = patiently(|| {
            let loaded = Statement::load(source.clone(), &self.scratch);
            self.scratch.reset();
            let checked = loaded.and_then(|statement| {
                self.check_permissions(&statement)?;
                Ok(statement)
            });
            self.scratch.reset();
            checked
        });
        let statement = counted(checked)?;
        self.cache.forget(id);
        self.warmth.forget(id);
        self.statements.insert(id, statement);
        Ok(())
    }

    /// [`Planner::add_statement`] without a plan: rights are checked with the first plan that
    /// is asked for.
    pub fn add_statement_unplanned(
        &mut self,
        id: StatementId,
        source: StatementSource,
    ) -> Result<(), Failure> {
        let loaded = patiently(|| {
            let loaded = Statement::load(source.clone(), &self.scratch);
            self.scratch.reset();
            loaded
        });
        let statement = counted(loaded)?;
        self.cache.forget(id);
        self.statements.insert(id, statement);
        Ok(())
    }

    /// Who may not run a statement may not learn its costs.
    fn check_permissions(&mut self, statement: &Statement) -> Result<(), Failure> {
        let calls = statement.queries.len() as u64;
        self.calls += calls;
        count(|all| &all.planner_calls, calls);
        self.scratch.within(|| {
            isolated(&statement.identity, || {
                statement.lock();
                let (_, params) = statement.parameters()[0];
                let scope = Scope {
                    parts: &[],
                    carriers: &[],
                    hidden: &[],
                    only: None,
                    operators: None,
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
                statement.checked.set(true);
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
        let candidate = patiently(|| {
            let candidate = Candidate::new(text, &mut self.samples, &self.scratch);
            self.scratch.reset();
            candidate
        });
        let candidate = counted(candidate)?;
        let id = CandidateId(self.candidates.len() as u32);
        for part in &candidate.parts {
            self.by_fake.insert(part.template.indexoid.to_u32(), id);
            // The planner takes no selectivities from partial indexes (selfuncs.c,
            // examine_variable), so they have none to share.
            if part.template.indpred.is_null()
                && part.statistics.iter().any(|tuple| !tuple.is_null())
            {
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

    fn known(&self, id: StatementId) -> Result<&Statement, Failure> {
        self.statements.get(&id).ok_or_else(|| {
            Failure::new(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("statement {id} is not known"),
            )
        })
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

impl WhatIf for Planner {
    fn register(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<(CandidateId, SizeEstimate), PriceError> {
        // Outside of everything, where a cancel is the caller's: there are thousands of candidates.
        pgrx::check_for_interrupts!();
        let text = definition.create_statement("", false, false);
        self.register_text(&text).map_err(PriceError::from)
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        self.price_one(statement, with, without)
            .map_err(PriceError::from)
    }

    fn planner_calls(&self) -> u64 {
        self.calls
    }
}
