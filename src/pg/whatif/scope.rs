//! The planner's hooks, and the guard that lets them act: only inside a planner call of ours,
//! and only for that very call.
//!
//! A planner call can start another one: folding an immutable PL/pgSQL function runs its
//! statements, whose plans are executed and cached. Those must never see an index that does
//! not exist. Every call of ours therefore carries a parameter list of its own, and the hooks
//! act only for a `PlannerInfo` whose global part holds that very list.

use super::brin_cost;
use super::candidate::Part;
use super::carrier::Carrier;
use super::operators::Operators;
use crate::pg::compat::planner as compat;
use crate::pg::hooks::planner::uncounted;
use crate::pg::nodes::items;
use pgrx::pg_guard;
use pgrx::pg_sys::{self, NodeTag};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the planner is to see in one call.
pub(super) struct Scope<'a> {
    /// Hypothetical indexes.
    pub parts: &'a [*const Part],
    /// Statistics of expressions, one carrier a relation.
    pub carriers: &'a [*const Carrier],
    /// Real indexes to hide.
    pub hidden: &'a [pg_sys::Oid],
    /// Where given, all other real indexes are hidden too, but for unique ones: joins are
    /// planned differently without them.
    pub only: Option<&'a [u32]>,
    /// Slow operators, and how far towards what they were measured to take they are charged.
    pub operators: Option<(&'a Operators, f64)>,
    /// The parameter list of the call, which tells it from all others.
    pub params: pg_sys::ParamListInfo,
}

thread_local! {
    /// The scope of the running call; null outside. Only the main thread plans.
    static ACTIVE: Cell<*const Scope<'static>> = const { Cell::new(std::ptr::null()) };
}

static mut PREVIOUS_RELATION_INFO: pg_sys::get_relation_info_hook_type = None;
static mut PREVIOUS_INDEX_STATS: pg_sys::get_index_stats_hook_type = None;
static mut PREVIOUS_RELATION_STATS: pg_sys::get_relation_stats_hook_type = None;

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether the hooks are there. Without them the planner would price every hypothetical
/// index at nothing, silently.
pub(super) fn installed() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// Puts our hooks in front of whatever is there. Once, from `_PG_init`.
pub fn install() {
    // SAFETY: _PG_init runs once, in the main thread.
    unsafe {
        INSTALLED.store(true, Ordering::Relaxed);
        PREVIOUS_RELATION_INFO = pg_sys::get_relation_info_hook;
        pg_sys::get_relation_info_hook = Some(relation_info);
        PREVIOUS_INDEX_STATS = pg_sys::get_index_stats_hook;
        pg_sys::get_index_stats_hook = Some(index_stats);
        PREVIOUS_RELATION_STATS = pg_sys::get_relation_stats_hook;
        pg_sys::get_relation_stats_hook = Some(relation_stats);
    }
}

/// Plans `query` (which the planner scribbles on) with `scope` in force. To be called within
/// [`super::isolate::isolated`]; the scope ends with the call, by return or by unwinding.
///
/// # Safety
/// `query` is a rewritten, plannable query, its relations locked; the pointers of `scope` are
/// alive.
pub(super) unsafe fn plan(
    query: *mut pg_sys::Query,
    source: *const std::ffi::c_char,
    scope: &Scope<'_>,
) -> *mut pg_sys::PlannedStmt {
    struct Ends(*const Scope<'static>);
    impl Drop for Ends {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    // The lifetime is cut off for the cell; `Ends` removes the pointer before `scope` goes.
    let _ends = Ends(ACTIVE.replace(std::ptr::from_ref(scope).cast()));
    // SAFETY: the caller's promise.
    uncounted(query, || unsafe {
        pg_sys::planner(
            query,
            source,
            pg_sys::CURSOR_OPT_PARALLEL_OK as i32,
            scope.params,
        )
    })
}

/// The scope, if `root` belongs to the call that it was made for.
///
/// # Safety
/// `root` is null or a planner's.
unsafe fn scope_of<'a>(root: *const pg_sys::PlannerInfo) -> Option<&'a Scope<'a>> {
    let active = ACTIVE.get();
    if active.is_null() || root.is_null() {
        return None;
    }
    // SAFETY: set only while `plan` runs, whose frame keeps the scope alive.
    unsafe {
        let scope = &*active;
        (!(*root).glob.is_null() && (*(*root).glob).boundParams == scope.params).then_some(scope)
    }
}

/// The server's estimator and the pages per range of a hypothetical BRIN index of the
/// running call.
///
/// # Safety
/// As [`scope_of`].
pub(super) unsafe fn brin_of(
    root: *const pg_sys::PlannerInfo,
    index: pg_sys::Oid,
) -> Option<(ServersEstimate, f64)> {
    // SAFETY: the caller's promise; parts are alive during the call.
    unsafe {
        let scope = scope_of(root)?;
        let part = scope
            .parts
            .iter()
            .map(|part| &**part)
            .find(|part| part.template.indexoid == index)?;
        Some((part.cost_estimate?, part.pages_per_range?))
    }
}

/// An access method's cost estimator.
type ServersEstimate = unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannerInfo,
    *mut pg_sys::IndexPath,
    f64,
    *mut pg_sys::Cost,
    *mut pg_sys::Cost,
    *mut pg_sys::Selectivity,
    *mut f64,
    *mut f64,
);

/// The hook: bare outside our calls, so that other people's planning costs one test.
unsafe extern "C-unwind" fn relation_info(
    root: *mut pg_sys::PlannerInfo,
    relation: pg_sys::Oid,
    inhparent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: called by the planner with live structures; nothing here has a destructor, so
    // an error of the previous hook passes through untouched.
    unsafe {
        if let Some(previous) = PREVIOUS_RELATION_INFO {
            previous(root, relation, inhparent, rel);
        }
        if !ACTIVE.get().is_null() {
            adjust(root, relation, inhparent, rel);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn adjust(
    root: *mut pg_sys::PlannerInfo,
    relation: pg_sys::Oid,
    inhparent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: as in `relation_info`.
    unsafe {
        let Some(scope) = scope_of(root) else {
            return;
        };
        if !scope.hidden.is_empty() {
            keep_indexes(rel, |info| !scope.hidden.contains(&info.indexoid));
        }
        if let Some(only) = scope.only {
            keep_indexes(rel, |info| {
                info.unique || only.contains(&info.indexoid.to_u32())
            });
        }
        // The parent of an inheritance tree holds nothing that could be scanned.
        if inhparent {
            return;
        }
        for part in scope.parts {
            let part = &**part;
            if part.relation == relation {
                let info = index_info(relation, rel, part);
                // In front, like the newest real index (plancat.c, get_relation_info).
                (*rel).indexlist = pg_sys::lcons(info.cast(), (*rel).indexlist);
            }
        }
        for carrier in scope.carriers {
            let carrier = &**carrier;
            if carrier.relation == relation {
                let info = carrier.index_info(rel);
                // Behind all others: the statistics of an index that is there come first.
                (*rel).indexlist = pg_sys::lappend((*rel).indexlist, info.cast());
            }
        }
    }
}

/// The planner asks for the statistics of an index's expression (selfuncs.c,
/// examine_variable and btcostestimate).
unsafe extern "C-unwind" fn index_stats(
    root: *mut pg_sys::PlannerInfo,
    index: pg_sys::Oid,
    number: pg_sys::AttrNumber,
    vardata: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: as in `relation_info`.
    unsafe {
        if !ACTIVE.get().is_null() && supply(root, index, number, vardata) {
            return true;
        }
        match PREVIOUS_INDEX_STATS {
            Some(previous) => previous(root, index, number, vardata),
            None => false,
        }
    }
}

/// The planner asks for the statistics of a column (selfuncs.c, examine_simple_variable). It
/// gets none here; but this is where its estimate of a relation's conditions passes by.
unsafe extern "C-unwind" fn relation_stats(
    root: *mut pg_sys::PlannerInfo,
    entry: *mut pg_sys::RangeTblEntry,
    number: pg_sys::AttrNumber,
    vardata: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: as in `relation_info`.
    unsafe {
        if !ACTIVE.get().is_null() {
            charge(root, entry);
        }
        match PREVIOUS_RELATION_STATS {
            Some(previous) => previous(root, entry, number, vardata),
            None => false,
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn charge(
    root: *mut pg_sys::PlannerInfo,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: as in `relation_info`; the arrays have simple_rel_array_size elements.
    unsafe {
        let Some((operators, step)) = scope_of(root).and_then(|scope| scope.operators) else {
            return;
        };
        if (*entry).rtekind != pg_sys::RTEKind::RTE_RELATION
            || (*root).simple_rel_array.is_null()
            || (*root).simple_rte_array.is_null()
        {
            return;
        }
        let size = (*root).simple_rel_array_size.max(0) as usize;
        let Some(place) = (1..size).find(|k| *(*root).simple_rte_array.add(*k) == entry) else {
            return;
        };
        let rel = *(*root).simple_rel_array.add(place);
        if !rel.is_null() {
            operators.charge(root, rel, (*entry).relid, step, || may_see(root, rel));
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn supply(
    root: *mut pg_sys::PlannerInfo,
    index: pg_sys::Oid,
    number: pg_sys::AttrNumber,
    vardata: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: as in `relation_info`; tuples live as long as their candidate or carrier.
    unsafe {
        let Some(scope) = scope_of(root) else {
            return false;
        };
        let position = (number - 1).max(0) as usize;
        let part = scope
            .parts
            .iter()
            .map(|part| &**part)
            .find(|part| part.template.indexoid == index);
        // As with an index that is there: statistics of a partial one tell how it lies in its
        // relation (btcostestimate, which names no relation), but not how many rows of the
        // whole relation a condition selects (examine_variable).
        if part.is_some_and(|part| !part.template.indpred.is_null()) && !(*vardata).rel.is_null() {
            return false;
        }
        let tuple = part
            .and_then(|part| part.statistics.get(position))
            .or_else(|| {
                scope
                    .carriers
                    .iter()
                    .map(|carrier| &**carrier)
                    .find(|carrier| carrier.oid == index)
                    .and_then(|carrier| carrier.statistics.get(position))
            })
            .copied()
            .unwrap_or(std::ptr::null_mut());
        if tuple.is_null() {
            return false;
        }
        (*vardata).statsTuple = tuple;
        (*vardata).freefunc = Some(keep);
        (*vardata).acl_ok = may_see(root, (*vardata).rel);
        true
    }
}

/// The statistics are ours and stay.
unsafe extern "C-unwind" fn keep(_tuple: pg_sys::HeapTuple) {}

/// Whether the statement's user may see all rows of the relation (selfuncs.c,
/// examine_variable): only then may functions that are not leakproof see its statistics. An
/// inheritance child counts as readable if the relation that the statement names is.
unsafe fn may_see(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> bool {
    // SAFETY: the planner's arrays are valid for the range-table indexes in use.
    unsafe {
        if rel.is_null() || (*root).simple_rte_array.is_null() {
            return false;
        }
        let mut varno = (*rel).relid;
        if varno == 0 {
            return false;
        }
        loop {
            let entry = *(*root).simple_rte_array.add(varno as usize);
            let owner = *(*root).simple_rel_array.add(varno as usize);
            if entry.is_null() || !(*entry).securityQuals.is_null() {
                return false;
            }
            let checked = compat::user_of(if owner.is_null() { rel } else { owner }, entry);
            let user = if checked == pg_sys::InvalidOid {
                pg_sys::GetUserId()
            } else {
                checked
            };
            if compat::may_select((*entry).relid, user) {
                return true;
            }
            if (*root).append_rel_array.is_null() {
                return false;
            }
            let appended = *(*root).append_rel_array.add(varno as usize);
            if appended.is_null() {
                return false;
            }
            varno = (*appended).parent_relid;
        }
    }
}

/// Takes all other indexes out of what the planner sees of a relation.
unsafe fn keep_indexes(
    rel: *mut pg_sys::RelOptInfo,
    is_kept: impl Fn(&pg_sys::IndexOptInfo) -> bool,
) {
    // SAFETY: the list holds IndexOptInfos; a new list replaces it.
    unsafe {
        let mut kept = std::ptr::null_mut();
        for info in items::<pg_sys::IndexOptInfo>((*rel).indexlist) {
            if is_kept(&*info) {
                kept = pg_sys::lappend(kept, info.cast());
            }
        }
        (*rel).indexlist = kept;
    }
}

/// What `get_relation_info` would have made of the index if it were there. Arrays are shared
/// with the candidate, which lives longer than the plan; what the planner may write to (the
/// expressions) is copied.
unsafe fn index_info(
    _relation: pg_sys::Oid,
    rel: *mut pg_sys::RelOptInfo,
    part: &Part,
) -> *mut pg_sys::IndexOptInfo {
    // SAFETY: allocated in the planner's context; part is alive during the call.
    unsafe {
        let info = pg_sys::palloc0(std::mem::size_of::<pg_sys::IndexOptInfo>())
            .cast::<pg_sys::IndexOptInfo>();
        std::ptr::copy_nonoverlapping(&raw const part.template, info, 1);
        (*info).type_ = NodeTag::T_IndexOptInfo;
        (*info).rel = rel;
        let varno = (*rel).relid as i32;
        if !part.template.indexprs.is_null() {
            (*info).indexprs = copy_for(part.template.indexprs, varno);
        }
        if part.template.indpred.is_null() {
            (*info).tuples = (*rel).tuples;
        } else {
            (*info).indpred = copy_for(part.template.indpred, varno);
            (*info).tuples = (part.selectivity * (*rel).tuples).clamp(0.0, (*rel).tuples);
        }
        (*info).indextlist = target_list(info, part, varno);
        compat::set_cost_estimate(
            info,
            if part.pages_per_range.is_some() {
                Some(brin_cost::estimate)
            } else {
                part.cost_estimate
            },
        );
        info
    }
}

/// A copy of expressions with varno 1 for another range-table index. Without the change a
/// relation's expression and partial indexes match nothing unless it comes first.
pub(super) unsafe fn copy_for(list: *mut pg_sys::List, varno: i32) -> *mut pg_sys::List {
    // SAFETY: the list is a node tree of the candidate's.
    unsafe {
        let copy = pg_sys::copyObjectImpl(list.cast()).cast::<pg_sys::List>();
        if varno != 1 {
            pg_sys::ChangeVarNodes(copy.cast(), 1, varno, 0);
        }
        copy
    }
}

/// plancat.c, build_index_tlist.
unsafe fn target_list(
    info: *mut pg_sys::IndexOptInfo,
    part: &Part,
    varno: i32,
) -> *mut pg_sys::List {
    // SAFETY: info holds the copied expressions.
    unsafe {
        let mut list = std::ptr::null_mut();
        let mut expressions = items::<pg_sys::Expr>((*info).indexprs);
        for (position, column) in part.columns.iter().enumerate() {
            let expression = if column.attribute != 0 {
                pg_sys::makeVar(
                    varno,
                    column.attribute,
                    column.type_oid,
                    column.typmod,
                    column.type_collation,
                    0,
                )
                .cast::<pg_sys::Expr>()
            } else {
                match expressions.next() {
                    Some(expression) => expression,
                    None => continue,
                }
            };
            let entry = pg_sys::makeTargetEntry(
                expression,
                position as i16 + 1,
                std::ptr::null_mut(),
                false,
            );
            list = pg_sys::lappend(list, entry.cast());
        }
        list
    }
}
