//! Captured statements: an analysed tree, read back under locks and checked against the
//! catalogs of today before the planner sees it.

use super::failure::Failure;
use super::isolate::Identity;
use super::statement::{Sample, collect_relations};
use crate::pg::nodes::{items, tag};
use crate::pg::syscache;
use indexpilot_model::Oid;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::ffi::CString;

/// Settings that change plans: what capture keeps of a session, and the only ones that are
/// set while a stored statement is planned (manual: Query Planning, Resource Consumption).
pub const PLANNING_SETTINGS: &[&str] = &[
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_gathermerge",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "from_collapse_limit",
    "geqo",
    "geqo_effort",
    "geqo_generations",
    "geqo_pool_size",
    "geqo_seed",
    "geqo_selection_bias",
    "geqo_threshold",
    "hash_mem_multiplier",
    "join_collapse_limit",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "random_page_cost",
    "recursive_worktable_factor",
    "row_security",
    "seq_page_cost",
    "work_mem",
];

/// A captured statement.
#[derive(Clone, Debug)]
pub struct StoredStatement {
    /// Source text, as far as it is known; shown in error contexts only.
    pub text: String,
    /// `nodeToString` of one analysed `Query`, written by this very major version and
    /// catalog version.
    pub tree: String,
    /// The tree was taken where the planner gets it: views are expanded and row-security
    /// qualifiers are in it. False: it was taken after parse analysis and will be rewritten.
    pub rewritten: bool,
    /// `search_path` of the session; `None` leaves the present one.
    pub search_path: Option<String>,
    /// The user who ran it.
    pub user: Oid,
    /// Settings of the session by name. Those that are not in [`PLANNING_SETTINGS`] are
    /// ignored.
    pub settings: Vec<(String, String)>,
    /// Types of `$1`, `$2`…
    pub parameter_types: Vec<Oid>,
    /// Parameter values; empty: the generic plan.
    pub samples: Vec<Sample>,
}

impl StoredStatement {
    pub(super) fn identity(&self) -> Result<Identity, Failure> {
        let text = |value: &str| {
            CString::new(value).map_err(|_| {
                Failure::new(
                    PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                    "a stored setting holds a zero byte",
                )
            })
        };
        let mut settings = Vec::new();
        if let Some(path) = &self.search_path {
            settings.push((c"search_path".to_owned(), text(path)?));
        }
        for (name, value) in &self.settings {
            if PLANNING_SETTINGS.contains(&name.as_str()) {
                settings.push((text(name)?, text(value)?));
            }
        }
        Ok(Identity {
            user: Some(pg_sys::Oid::from(self.user)),
            settings,
        })
    }

    /// The rewritten queries and the parameter types. Within [`super::isolate::isolated`].
    ///
    /// # Safety
    /// As above; the results are in the current context.
    pub(super) unsafe fn reload(&self) -> Result<(*mut pg_sys::List, Vec<pg_sys::Oid>), Failure> {
        let broken = |why: &str| {
            Failure::new(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("the stored tree of the statement {why}"),
            )
        };
        let tree = CString::new(self.tree.as_str()).map_err(|_| broken("holds a zero byte"))?;
        // SAFETY: the tree was written by nodeToString of this catalog version (capture's
        // promise); what it says of relations is checked below, under locks.
        unsafe {
            let query = pg_sys::stringToNode(tree.as_ptr()).cast::<pg_sys::Query>();
            if tag(query) != NodeTag::T_Query {
                return Err(broken("is not a query"));
            }
            if (*query).commandType == pg_sys::CmdType::CMD_UTILITY {
                return Err(broken("is a utility statement"));
            }
            let mut relations = Vec::new();
            collect_relations(query.cast(), &mut relations);
            for (relation, mode) in &relations {
                pg_sys::LockRelationOid(*relation, *mode);
            }
            check_attributes(query)?;
            let queries = if self.rewritten {
                pg_sys::lappend(std::ptr::null_mut(), query.cast())
            } else {
                pg_sys::AcquireRewriteLocks(query, true, false);
                pg_sys::QueryRewrite(query)
            };
            let types = self
                .parameter_types
                .iter()
                .map(|oid| pg_sys::Oid::from(*oid))
                .collect();
            Ok((queries, types))
        }
    }
}

/// What the walker needs: the range tables of the levels it is in, and what it found wrong.
struct Check {
    range_tables: Vec<*mut pg_sys::List>,
    wrong: Option<Failure>,
}

/// A relation may have been altered since the tree was made. A variable whose type is no
/// longer the attribute's would have the planner hand statistics of one type to operators of
/// another, which crashes; so every variable is compared with the catalog.
unsafe fn check_attributes(query: *mut pg_sys::Query) -> Result<(), Failure> {
    let mut check = Check {
        range_tables: Vec::new(),
        wrong: None,
    };
    // SAFETY: a complete query; the walker gets our structure as its context.
    unsafe { compare(query.cast(), std::ptr::from_mut(&mut check).cast()) };
    check.wrong.map_or(Ok(()), Err)
}

#[pg_guard]
unsafe extern "C-unwind" fn compare(
    node: *mut pg_sys::Node,
    context: *mut std::ffi::c_void,
) -> bool {
    // SAFETY: called by the tree walkers with nodes, and with our context.
    unsafe {
        let check = &mut *context.cast::<Check>();
        match tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                check.range_tables.push((*query).rtable);
                let stop = pg_sys::query_tree_walker(query, Some(compare), context, 0);
                check.range_tables.pop();
                stop
            }
            NodeTag::T_Var => {
                let var = node.cast::<pg_sys::Var>();
                check.wrong = mismatch(&check.range_tables, var);
                check.wrong.is_some()
            }
            _ => pg_sys::expression_tree_walker(node, Some(compare), context),
        }
    }
}

unsafe fn mismatch(range_tables: &[*mut pg_sys::List], var: *const pg_sys::Var) -> Option<Failure> {
    // SAFETY: the variable's level and number are looked up with bounds; catalog look-ups.
    unsafe {
        let gone =
            |what: String| Some(Failure::new(PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, what));
        let levels_up = (*var).varlevelsup as usize;
        let table = range_tables
            .len()
            .checked_sub(1 + levels_up)
            .and_then(|level| range_tables.get(level));
        let position = usize::try_from((*var).varno).ok()?.checked_sub(1)?;
        let entry = table.and_then(|table| items::<pg_sys::RangeTblEntry>(*table).nth(position));
        let Some(entry) = entry else {
            return gone("the stored tree refers to a relation that it does not hold".into());
        };
        // Whole rows and system attributes keep their types.
        if (*entry).rtekind != pg_sys::RTEKind::RTE_RELATION || (*var).varattno <= 0 {
            return None;
        }
        let Some(type_oid) = attribute_type((*entry).relid, (*var).varattno) else {
            return gone(format!(
                "column {} of relation with OID {} does not exist any more",
                (*var).varattno,
                (*entry).relid.to_u32()
            ));
        };
        if type_oid != (*var).vartype {
            return gone(format!(
                "column {} of relation with OID {} has another type than when the statement ran",
                (*var).varattno,
                (*entry).relid.to_u32()
            ));
        }
        None
    }
}

/// The type of an attribute; `None` where the relation or the attribute is gone.
unsafe fn attribute_type(relation: pg_sys::Oid, number: i16) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise.
    let form = unsafe { syscache::attribute(relation, number) }?;
    (!form.attisdropped).then_some(form.atttypid)
}
