//! Statements to price: where they come from, and their analysed form.

use super::candidate::Candidate;
use super::failure::Failure;
use super::isolate::{Identity, isolated};
use super::memory::Context;
use super::relevance::Relevance;
use super::stored::StoredStatement;
use super::watch;
use crate::pg::compat::planner as compat;
use crate::pg::nodes::{items, length, tag};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::CString;

/// Values for the parameters `$1`, `$2`… of a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its share among the samples; any positive number.
    pub weight: f64,
    /// Text form, one a parameter; `None` is NULL.
    pub values: Vec<Option<String>>,
}

/// Where a statement comes from.
#[derive(Clone, Debug)]
pub enum StatementSource {
    /// Text that the present user gave: planned as that user, with the session's
    /// `search_path` and settings.
    Text {
        /// Exactly one SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES.
        sql: String,
        /// Parameter values; empty: the generic plan.
        samples: Vec<Sample>,
    },
    /// A statement that was captured: planned as its own user, as it was analysed then.
    Stored(StoredStatement),
}

impl StatementSource {
    fn identity(&self) -> Result<Identity, Failure> {
        match self {
            StatementSource::Text { .. } => Ok(Identity::CALLER),
            StatementSource::Stored(stored) => stored.identity(),
        }
    }
}

/// A parameter value, ready for the planner.
#[derive(Clone, Copy)]
struct Value {
    datum: pg_sys::Datum,
    is_null: bool,
    type_oid: pg_sys::Oid,
}

/// An analysed and rewritten statement.
pub(super) struct Statement {
    source: StatementSource,
    /// Who it is planned as.
    pub identity: Identity,
    /// The source text, for the planner's callers down the line.
    pub text: CString,
    /// Rewritten queries (rules can make several), without utility commands.
    pub queries: Vec<*mut pg_sys::Query>,
    /// All relations, with the locks that planning needs.
    relations: Vec<(pg_sys::Oid, pg_sys::LOCKMODE)>,
    /// One of the relations has inheritance children or partitions.
    has_children: bool,
    /// Which indexes can change its plans.
    relevance: Relevance,
    samples: Vec<(f64, Vec<Value>)>,
    /// Its user was found to be allowed to run it. Until then no price may leave.
    pub checked: Cell<bool>,
    /// [`watch::epoch`] when it was analysed.
    analysed: u64,
    _context: Context,
}

impl Statement {
    /// Parses, analyses and rewrites; reads the parameter values with their types' input
    /// functions. `scratch` holds what is needed only for that.
    pub(super) fn load(source: StatementSource, scratch: &Context) -> Result<Self, Failure> {
        let context = Context::new(c"indexpilot statement");
        let identity = source.identity()?;
        let (sql, samples) = match &source {
            StatementSource::Text { sql, samples } => (sql, samples),
            StatementSource::Stored(stored) => (&stored.text, &stored.samples),
        };
        let text = CString::new(sql.as_str()).map_err(|_| {
            Failure::new(
                PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
                "a statement must not contain a zero byte",
            )
        })?;
        let analysed = watch::epoch();
        let (queries, relations, has_children, relevance, samples) = scratch.within(|| {
            isolated(&identity, || {
                // SAFETY: within a transaction; what is kept is copied to the context.
                unsafe {
                    let (rewritten, types) = match &source {
                        StatementSource::Text { .. } => analyse(&text)?,
                        StatementSource::Stored(stored) => stored.reload()?,
                    };
                    let samples = samples
                        .iter()
                        .map(|sample| {
                            context
                                .within(|| bind(&sample.values, &types))
                                .map(|values| (sample.weight.max(f64::MIN_POSITIVE), values))
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    let mut relations = Vec::new();
                    let mut queries = Vec::new();
                    for query in items::<pg_sys::Query>(rewritten) {
                        // A rule can add NOTIFY and the like; the planner must not see them.
                        if (*query).commandType == pg_sys::CmdType::CMD_UTILITY {
                            continue;
                        }
                        collect_relations(query.cast(), &mut relations);
                        let copy = context
                            .within(|| pg_sys::copyObjectImpl(query.cast()))
                            .cast::<pg_sys::Query>();
                        // Without an identifier, other libraries' hooks that count statements
                        // do not take our planner calls for somebody's.
                        (*copy).queryId = 0;
                        queries.push(copy);
                    }
                    let has_children = relations
                        .iter()
                        .any(|(relation, _)| compat::has_children(*relation));
                    let relevance = Relevance::of(&queries, has_children);
                    Ok((queries, relations, has_children, relevance, samples))
                }
            })
        })?;
        for (relation, _) in &relations {
            watch::add(*relation);
        }
        Ok(Statement {
            source,
            identity,
            text,
            queries,
            relations,
            has_children,
            relevance,
            samples,
            checked: Cell::new(false),
            analysed,
            _context: context,
        })
    }

    /// Takes the locks that planning needs, and says whether the analysed form still holds.
    /// Within [`isolated`].
    pub(super) fn lock(&self) -> bool {
        for (relation, mode) in &self.relations {
            // SAFETY: a lock on an OID that may no longer exist is harmless.
            unsafe { pg_sys::LockRelationOid(*relation, *mode) };
        }
        !self
            .relations
            .iter()
            .any(|(relation, _)| watch::changed_since(*relation, self.analysed))
    }

    /// The same statement, analysed anew.
    pub(super) fn reload(&self, scratch: &Context) -> Result<Self, Failure> {
        Statement::load(self.source.clone(), scratch)
    }

    /// Parameter values of the first sample, in text form; empty where there is none.
    pub(super) fn first_sample(&self) -> Vec<Option<String>> {
        let samples = match &self.source {
            StatementSource::Text { samples, .. } => samples,
            StatementSource::Stored(stored) => &stored.samples,
        };
        samples
            .first()
            .map(|sample| sample.values.clone())
            .unwrap_or_default()
    }

    /// The relations that it names.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = pg_sys::Oid> {
        self.relations.iter().map(|(relation, _)| *relation)
    }

    /// Whether it may read this relation: it names it, or names one with children, of which
    /// this may be one.
    pub(super) fn reads(&self, relation: pg_sys::Oid) -> bool {
        self.has_children || self.relations.iter().any(|(named, _)| *named == relation)
    }

    /// Whether a plan of it could be another one with this index: where not, its price is
    /// the price without the index, exactly.
    pub(super) fn may_use(&self, candidate: &Candidate) -> bool {
        if self.relevance.more_relations {
            return true;
        }
        let named = self.reads(candidate.relation);
        candidate
            .parts
            .iter()
            .any(|part| (named || self.reads(part.relation)) && self.relevance.concerns(part))
    }

    /// Parameter lists to plan with, and their weights: one a sample, or the empty list, which
    /// gives the generic plan. In the current context.
    pub(super) fn parameters(&self) -> Vec<(f64, pg_sys::ParamListInfo)> {
        // SAFETY: makeParamList gives room for as many entries as asked for.
        unsafe {
            if self.samples.is_empty() {
                return vec![(1.0, pg_sys::makeParamList(0))];
            }
            self.samples
                .iter()
                .map(|(weight, values)| {
                    let list = pg_sys::makeParamList(values.len() as i32);
                    for (position, value) in values.iter().enumerate() {
                        *(*list).params.as_mut_ptr().add(position) = pg_sys::ParamExternData {
                            value: value.datum,
                            isnull: value.is_null,
                            // Constant: the planner may fold it, as for a custom plan.
                            pflags: pg_sys::PARAM_FLAG_CONST as u16,
                            ptype: value.type_oid,
                        };
                    }
                    (*weight, list)
                })
                .collect()
        }
    }
}

/// Parse analysis with parameter types found out, and rewriting.
pub(super) unsafe fn analyse(
    text: &CString,
) -> Result<(*mut pg_sys::List, Vec<pg_sys::Oid>), Failure> {
    // SAFETY: within a transaction.
    unsafe {
        let parsed = pg_sys::pg_parse_query(text.as_ptr());
        let syntax = |message: &str| Failure::new(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, message);
        match length(parsed) {
            0 => return Err(syntax("the query is empty")),
            1 => {}
            many => {
                return Err(syntax("only one statement can be priced at a time")
                    .detail(format!("The text holds {many} statements.")));
            }
        }
        let raw = items::<pg_sys::RawStmt>(parsed)
            .next()
            .expect("one element");
        if !matches!(
            tag((*raw).stmt),
            NodeTag::T_SelectStmt
                | NodeTag::T_InsertStmt
                | NodeTag::T_UpdateStmt
                | NodeTag::T_DeleteStmt
                | NodeTag::T_MergeStmt
        ) {
            return Err(utility());
        }
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        let rewritten = pg_sys::pg_analyze_and_rewrite_varparams(
            raw,
            text.as_ptr(),
            &mut types,
            &mut count,
            std::ptr::null_mut(),
        );
        // SELECT INTO turns out to be a utility statement only now.
        if items::<pg_sys::Query>(rewritten)
            .all(|query| (*query).commandType == pg_sys::CmdType::CMD_UTILITY)
        {
            return Err(utility());
        }
        let types = (0..count.max(0) as usize)
            .map(|position| *types.add(position))
            .collect();
        Ok((rewritten, types))
    }
}

fn utility() -> Failure {
    Failure::new(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        "utility statements have no plan to price",
    )
    .hint("Give a SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES statement itself.")
}

/// Parameter values from text, by their types' input functions, in the current context.
unsafe fn bind(values: &[Option<String>], types: &[pg_sys::Oid]) -> Result<Vec<Value>, Failure> {
    if values.len() != types.len() {
        return Err(Failure::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_PARAMETER,
            format!(
                "the statement has {} parameters, but {} values were given",
                types.len(),
                values.len()
            ),
        ));
    }
    values
        .iter()
        .zip(types)
        .map(|(value, type_oid)| {
            // SAFETY: an input function called with its own type's arguments.
            unsafe {
                let (mut input, mut io_param) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
                pg_sys::getTypeInputInfo(*type_oid, &mut input, &mut io_param);
                let text = value
                    .as_deref()
                    .map(|text| {
                        CString::new(text).map_err(|_| {
                            Failure::new(
                                PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
                                "a parameter value must not contain a zero byte",
                            )
                        })
                    })
                    .transpose()?;
                let datum = pg_sys::OidInputFunctionCall(
                    input,
                    text.as_ref()
                        .map_or(std::ptr::null_mut(), |text| text.as_ptr().cast_mut()),
                    io_param,
                    -1,
                );
                Ok(Value {
                    datum,
                    is_null: text.is_none(),
                    type_oid: *type_oid,
                })
            }
        })
        .collect()
}

/// All relations of a query tree, with the lock that each entry asks for.
pub(super) unsafe fn collect_relations(
    node: *mut pg_sys::Node,
    found: &mut Vec<(pg_sys::Oid, pg_sys::LOCKMODE)>,
) {
    // SAFETY: a complete query tree; the walker gets our vector as its context.
    unsafe {
        walk(node, std::ptr::from_mut(found).cast());
    }
    found.sort_unstable_by_key(|(relation, mode)| (relation.to_u32(), -mode));
    // The strongest lock of each relation is first.
    found.dedup_by_key(|(relation, _)| *relation);
}

#[pg_guard]
unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    // SAFETY: called by the tree walkers with nodes, and with our context.
    unsafe {
        match tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_RangeTblEntry => {
                let entry = node.cast::<pg_sys::RangeTblEntry>();
                if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
                    && (*entry).relid != pg_sys::InvalidOid
                {
                    let found = &mut *context.cast::<Vec<(pg_sys::Oid, pg_sys::LOCKMODE)>>();
                    found.push(((*entry).relid, (*entry).rellockmode));
                }
                // The walker itself goes on into subqueries.
                false
            }
            NodeTag::T_Query => pg_sys::query_tree_walker(
                node.cast(),
                Some(walk),
                context,
                pg_sys::QTW_EXAMINE_RTES_BEFORE as i32,
            ),
            _ => pg_sys::expression_tree_walker(node, Some(walk), context),
        }
    }
}
