//! What a plan does: its cost, which indexes it uses how, and the traits that tell where the
//! cost model is known to err.

use super::early_stop::{self, EarlyStop};
use crate::pg::nodes::{items, tag};
use indexpilot_model::Oid;
use pgrx::pg_sys::{self, NodeTag};

/// How a relation is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessPath {
    /// Sequential scan.
    Sequential,
    /// Index scan.
    Index,
    /// Index-only scan.
    IndexOnly,
    /// Bitmap index scan, perhaps combined with others.
    Bitmap,
    /// TID, sample, foreign and other scans.
    Other,
}

/// One scan of one relation.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The relation.
    pub relation: Oid,
    /// How.
    pub path: AccessPath,
    /// The index (real or hypothetical), 0 without.
    pub index: Oid,
    /// Estimated rows of one execution.
    pub rows: f64,
}

/// How two inputs are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinKind {
    /// Nested loop.
    NestedLoop,
    /// Merge join.
    Merge,
    /// Hash join.
    Hash,
}

/// An index scan on the inner side of a nested loop.
#[derive(Clone, Debug, PartialEq)]
pub struct NestedScan {
    /// The index (real or hypothetical).
    pub index: Oid,
    /// Estimated number of times it runs.
    pub loops: f64,
    /// Estimated rows of one run.
    pub rows: f64,
    /// Cost of one run, and of its start.
    pub cost: (f64, f64),
    /// Conditions on the index, and filters on what it finds.
    pub conditions: (usize, usize),
    /// No heap access.
    pub index_only: bool,
    /// The index in whose order the outer side comes; `None` where it is the rows' own, or a
    /// sort's.
    pub driver: Option<Oid>,
    /// That order has nothing to do with the rows' own; filled in like `correlation`.
    pub scattered: bool,
    /// Physical correlation of the leading key, −1…1; not in the plan, filled in by whoever
    /// knows the index.
    pub correlation: Option<f64>,
}

/// A plan, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Total cost of the top node, planner cost units.
    pub cost: f64,
    /// Estimated rows returned.
    pub rows: f64,
    /// All scans, in plan order.
    pub accesses: Vec<Access>,
    /// All joins, in plan order.
    pub joins: Vec<JoinKind>,
    /// Index scans repeated by nested loops.
    pub nested: Vec<NestedScan>,
    /// Scans that a LIMIT ends early, with a filter on the order of columns.
    pub early_stops: Vec<EarlyStop>,
    /// A Limit node.
    pub limit: bool,
    /// A semi- or anti-join.
    pub semi_join: bool,
    /// SubPlans or InitPlans.
    pub subplan: bool,
    /// Gather or Gather Merge.
    pub parallel: bool,
    /// A Sort or Incremental Sort.
    pub sort: bool,
    /// Nodes of kinds that are not known here.
    pub opaque: u32,
}

impl Reading {
    /// The indexes used, each once, ascending.
    pub fn indexes(&self) -> Vec<Oid> {
        let mut used: Vec<Oid> = self
            .accesses
            .iter()
            .map(|access| access.index)
            .filter(|index| *index != 0)
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }
}

/// Reads a planned statement.
///
/// # Safety
/// `stmt` is a planned statement of this process; it is not changed.
pub unsafe fn read(stmt: *const pg_sys::PlannedStmt) -> Reading {
    // SAFETY: a planned statement's tree is complete; `subplans` holds plans, some null.
    unsafe {
        let mut walk = Walk {
            stmt,
            reading: Reading::default(),
            driver: None,
        };
        let top = (*stmt).planTree;
        if !top.is_null() {
            walk.reading.cost = (*top).total_cost;
            walk.reading.rows = (*top).plan_rows;
        }
        walk.plan(top, 1.0, false, 1.0);
        for subplan in items::<pg_sys::Plan>((*stmt).subplans) {
            if !subplan.is_null() {
                walk.reading.subplan = true;
                walk.plan(subplan, 1.0, false, 1.0);
            }
        }
        walk.reading
    }
}

pub(super) struct Walk {
    stmt: *const pg_sys::PlannedStmt,
    pub(super) reading: Reading,
    /// Of the nested loop that is being read ([`NestedScan::driver`]).
    driver: Option<Oid>,
}

/// The index in whose order the rows of a plan come; `None` where they come in their own.
unsafe fn driver(mut plan: *mut pg_sys::Plan) -> Option<Oid> {
    // SAFETY: a complete plan; each cast follows the tag.
    unsafe {
        while !plan.is_null() {
            plan = match tag(plan) {
                NodeTag::T_IndexScan => {
                    return Some((*plan.cast::<pg_sys::IndexScan>()).indexid.to_u32());
                }
                NodeTag::T_IndexOnlyScan => {
                    return Some((*plan.cast::<pg_sys::IndexOnlyScan>()).indexid.to_u32());
                }
                // Rows come as those of their first input do.
                NodeTag::T_NestLoop
                | NodeTag::T_HashJoin
                | NodeTag::T_MergeJoin
                | NodeTag::T_Material
                | NodeTag::T_Memoize
                | NodeTag::T_Limit
                | NodeTag::T_Result => (*plan).lefttree,
                _ => return None,
            };
        }
        None
    }
}

impl Walk {
    /// The relation behind a scan's range-table index.
    pub(super) unsafe fn relation(&self, scanrelid: pg_sys::Index) -> Oid {
        // SAFETY: the range table of a planned statement is flat; indexes start at 1.
        unsafe {
            if scanrelid == 0 {
                return 0;
            }
            items::<pg_sys::RangeTblEntry>((*self.stmt).rtable)
                .nth(scanrelid as usize - 1)
                .map_or(0, |entry| {
                    if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                        (*entry).relid.to_u32()
                    } else {
                        0
                    }
                })
        }
    }

    /// `loops`: how often this node runs; `nested`: below the inner side of a nested loop;
    /// `share`: how much of its rows a LIMIT above wants, 0…1.
    unsafe fn plan(&mut self, plan: *mut pg_sys::Plan, loops: f64, nested: bool, share: f64) {
        if plan.is_null() {
            return;
        }
        // SAFETY: each cast follows the tag; all structs begin with Plan (plannodes.h).
        unsafe {
            let rows = (*plan).plan_rows;
            let cost = ((*plan).total_cost, (*plan).startup_cost);
            let filters = items::<pg_sys::Node>((*plan).qual).count();
            let index_scan = |walk: &mut Self, index: pg_sys::Oid, quals, path: AccessPath| {
                let scan = plan.cast::<pg_sys::Scan>();
                let relation = walk.relation((*scan).scanrelid);
                walk.reading.accesses.push(Access {
                    relation,
                    path,
                    index: index.to_u32(),
                    rows,
                });
                if nested {
                    walk.reading.nested.push(NestedScan {
                        index: index.to_u32(),
                        loops,
                        rows,
                        cost,
                        conditions: (items::<pg_sys::Node>(quals).count(), filters),
                        index_only: path == AccessPath::IndexOnly,
                        driver: walk.driver,
                        scattered: false,
                        correlation: None,
                    });
                }
            };
            // What most nodes want of their first input: all of it, before the first row.
            let mut first = 1.0;
            match tag(plan) {
                NodeTag::T_IndexScan => {
                    let scan = plan.cast::<pg_sys::IndexScan>();
                    index_scan(self, (*scan).indexid, (*scan).indexqual, AccessPath::Index);
                    let by = ((*scan).indexid, (*scan).indexqual, (*scan).indexorderdir);
                    self.early_stop(plan, Some(by), loops, share);
                }
                NodeTag::T_IndexOnlyScan => {
                    let scan = plan.cast::<pg_sys::IndexOnlyScan>();
                    index_scan(
                        self,
                        (*scan).indexid,
                        (*scan).indexqual,
                        AccessPath::IndexOnly,
                    );
                    let by = ((*scan).indexid, (*scan).indexqual, (*scan).indexorderdir);
                    self.early_stop(plan, Some(by), loops, share);
                }
                NodeTag::T_BitmapIndexScan => {
                    let scan = plan.cast::<pg_sys::BitmapIndexScan>();
                    index_scan(self, (*scan).indexid, (*scan).indexqual, AccessPath::Bitmap);
                }
                // Its relation is counted at the bitmap index scans below.
                NodeTag::T_BitmapHeapScan => {}
                NodeTag::T_SeqScan => {
                    self.scan(plan, AccessPath::Sequential);
                    self.early_stop(plan, None, loops, share);
                }
                NodeTag::T_SampleScan
                | NodeTag::T_TidScan
                | NodeTag::T_TidRangeScan
                | NodeTag::T_ForeignScan => self.scan(plan, AccessPath::Other),
                NodeTag::T_BitmapAnd => {
                    let list = (*plan.cast::<pg_sys::BitmapAnd>()).bitmapplans;
                    self.children(list, loops, nested, 1.0);
                }
                NodeTag::T_BitmapOr => {
                    let list = (*plan.cast::<pg_sys::BitmapOr>()).bitmapplans;
                    self.children(list, loops, nested, 1.0);
                }
                NodeTag::T_Append => {
                    let list = (*plan.cast::<pg_sys::Append>()).appendplans;
                    self.children(list, loops, nested, share);
                }
                NodeTag::T_MergeAppend => {
                    let list = (*plan.cast::<pg_sys::MergeAppend>()).mergeplans;
                    self.children(list, loops, nested, share);
                }
                NodeTag::T_SubqueryScan => {
                    let child = (*plan.cast::<pg_sys::SubqueryScan>()).subplan;
                    self.plan(child, loops, nested, share);
                }
                NodeTag::T_CustomScan => {
                    self.reading.opaque += 1;
                    self.scan(plan, AccessPath::Other);
                    let list = (*plan.cast::<pg_sys::CustomScan>()).custom_plans;
                    self.children(list, loops, nested, 1.0);
                }
                NodeTag::T_NestLoop => {
                    self.join(plan, JoinKind::NestedLoop);
                    let outer = (*plan).lefttree;
                    self.plan(outer, loops, nested, share);
                    let outer_rows = if outer.is_null() {
                        1.0
                    } else {
                        (*outer).plan_rows.max(1.0)
                    };
                    let above = std::mem::replace(&mut self.driver, driver(outer));
                    self.plan((*plan).righttree, loops * outer_rows, true, 1.0);
                    self.driver = above;
                    return;
                }
                NodeTag::T_MergeJoin => self.join(plan, JoinKind::Merge),
                NodeTag::T_HashJoin => {
                    self.join(plan, JoinKind::Hash);
                    first = share;
                }
                NodeTag::T_Material => {
                    // What is below runs once and is read again from the store.
                    self.plan((*plan).lefttree, 1.0, false, 1.0);
                    return;
                }
                NodeTag::T_Memoize => {
                    // What is below runs once for each value that is remembered.
                    let entries = f64::from((*plan.cast::<pg_sys::Memoize>()).est_entries);
                    let misses = if entries > 0.0 {
                        loops.min(entries)
                    } else {
                        loops
                    };
                    self.plan((*plan).lefttree, misses, nested, 1.0);
                    return;
                }
                NodeTag::T_Limit => {
                    self.reading.limit = true;
                    first = share * early_stop::wanted(plan);
                }
                NodeTag::T_Sort => self.reading.sort = true,
                NodeTag::T_IncrementalSort => {
                    self.reading.sort = true;
                    first = share;
                }
                NodeTag::T_Gather | NodeTag::T_GatherMerge => {
                    self.reading.parallel = true;
                    first = share;
                }
                // These hand rows on as they come.
                NodeTag::T_Result
                | NodeTag::T_ProjectSet
                | NodeTag::T_Group
                | NodeTag::T_Unique
                | NodeTag::T_LockRows => first = share,
                NodeTag::T_Agg => {
                    let aggregate = plan.cast::<pg_sys::Agg>();
                    if (*aggregate).aggstrategy == pg_sys::AggStrategy::AGG_SORTED {
                        first = share;
                    }
                }
                NodeTag::T_ModifyTable
                | NodeTag::T_RecursiveUnion
                | NodeTag::T_FunctionScan
                | NodeTag::T_ValuesScan
                | NodeTag::T_TableFuncScan
                | NodeTag::T_CteScan
                | NodeTag::T_NamedTuplestoreScan
                | NodeTag::T_WorkTableScan
                | NodeTag::T_WindowAgg
                | NodeTag::T_Hash
                | NodeTag::T_SetOp => {}
                _ => self.reading.opaque += 1,
            }
            self.plan((*plan).lefttree, loops, nested, first);
            self.plan((*plan).righttree, loops, nested, 1.0);
        }
    }

    unsafe fn children(&mut self, list: *mut pg_sys::List, loops: f64, nested: bool, share: f64) {
        // SAFETY: the list holds plans.
        unsafe {
            for child in items::<pg_sys::Plan>(list) {
                self.plan(child, loops, nested, share);
            }
        }
    }

    unsafe fn scan(&mut self, plan: *mut pg_sys::Plan, path: AccessPath) {
        // SAFETY: the caller saw a tag whose struct begins with Scan.
        unsafe {
            let relation = self.relation((*plan.cast::<pg_sys::Scan>()).scanrelid);
            self.reading.accesses.push(Access {
                relation,
                path,
                index: 0,
                rows: (*plan).plan_rows,
            });
        }
    }

    unsafe fn join(&mut self, plan: *mut pg_sys::Plan, kind: JoinKind) {
        self.reading.joins.push(kind);
        // SAFETY: the caller saw a join's tag; all joins begin with Join.
        let join_type = unsafe { (*plan.cast::<pg_sys::Join>()).jointype };
        // Later versions add mirrored kinds; only plain and outer joins are not "semi".
        let plain = join_type == pg_sys::JoinType::JOIN_INNER
            || join_type == pg_sys::JoinType::JOIN_LEFT
            || join_type == pg_sys::JoinType::JOIN_RIGHT
            || join_type == pg_sys::JoinType::JOIN_FULL;
        self.reading.semi_join |= !plain;
    }
}
