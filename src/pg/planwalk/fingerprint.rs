//! A fingerprint of a plan's shape: the same for the same nodes over the same relations and
//! indexes, whatever the constants, the costs and the major version's tag numbers.

use crate::pg::nodes::{items, length, tag};
use indexpilot_model::hash::StableHash;
use pgrx::pg_sys::{self, NodeTag};

/// Indexes that are remembered of a plan; a plan over many partitions has more.
pub const MOST_INDEXES: usize = 8;

/// The indexes that a plan reads, by OID, in the order of the plan and without repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanIndexes {
    /// Filled from the front; 0 is none.
    pub oids: [u32; MOST_INDEXES],
    /// It reads more than these.
    pub truncated: bool,
}

impl PlanIndexes {
    fn add(&mut self, index: u32) {
        for place in &mut self.oids {
            if *place == index {
                return;
            }
            if *place == 0 {
                *place = index;
                return;
            }
        }
        self.truncated = true;
    }
}

/// The fingerprint of a planned statement, and the indexes it reads. Allocates nothing and raises no error, so that it
/// may be taken in a planner hook.
///
/// Node kinds, relations (by OID), indexes (by OID), the number of index conditions, join
/// types, scan directions, aggregation strategies and sort widths count; target lists,
/// expressions, constants, costs and row estimates do not.
///
/// # Safety
/// `stmt` is a planned statement of this process; it is not changed.
pub unsafe fn fingerprint(stmt: *const pg_sys::PlannedStmt) -> (u64, PlanIndexes) {
    // SAFETY: see `reading::read`.
    unsafe {
        let mut indexes = PlanIndexes::default();
        let mut hash = plan(StableHash::new(), &mut indexes, stmt, (*stmt).planTree);
        for subplan in items::<pg_sys::Plan>((*stmt).subplans) {
            hash = plan(hash.number(SUBPLAN), &mut indexes, stmt, subplan);
        }
        (hash.finish(), indexes)
    }
}

const NOTHING: u64 = 0;
const SUBPLAN: u64 = 1;

/// Numbers of our own for node kinds: the server's tags are renumbered by every major
/// version. Never renumber; what is not listed is 2.
fn code(tag: NodeTag) -> u64 {
    match tag {
        NodeTag::T_Result => 3,
        NodeTag::T_ProjectSet => 4,
        NodeTag::T_ModifyTable => 5,
        NodeTag::T_Append => 6,
        NodeTag::T_MergeAppend => 7,
        NodeTag::T_RecursiveUnion => 8,
        NodeTag::T_BitmapAnd => 9,
        NodeTag::T_BitmapOr => 10,
        NodeTag::T_SeqScan => 11,
        NodeTag::T_SampleScan => 12,
        NodeTag::T_IndexScan => 13,
        NodeTag::T_IndexOnlyScan => 14,
        NodeTag::T_BitmapIndexScan => 15,
        NodeTag::T_BitmapHeapScan => 16,
        NodeTag::T_TidScan => 17,
        NodeTag::T_TidRangeScan => 18,
        NodeTag::T_SubqueryScan => 19,
        NodeTag::T_FunctionScan => 20,
        NodeTag::T_ValuesScan => 21,
        NodeTag::T_TableFuncScan => 22,
        NodeTag::T_CteScan => 23,
        NodeTag::T_NamedTuplestoreScan => 24,
        NodeTag::T_WorkTableScan => 25,
        NodeTag::T_ForeignScan => 26,
        NodeTag::T_CustomScan => 27,
        NodeTag::T_NestLoop => 28,
        NodeTag::T_MergeJoin => 29,
        NodeTag::T_HashJoin => 30,
        NodeTag::T_Material => 31,
        NodeTag::T_Memoize => 32,
        NodeTag::T_Sort => 33,
        NodeTag::T_IncrementalSort => 34,
        NodeTag::T_Group => 35,
        NodeTag::T_Agg => 36,
        NodeTag::T_WindowAgg => 37,
        NodeTag::T_Unique => 38,
        NodeTag::T_Gather => 39,
        NodeTag::T_GatherMerge => 40,
        NodeTag::T_Hash => 41,
        NodeTag::T_SetOp => 42,
        NodeTag::T_LockRows => 43,
        NodeTag::T_Limit => 44,
        _ => 2,
    }
}

unsafe fn plan(
    hash: StableHash,
    indexes: &mut PlanIndexes,
    stmt: *const pg_sys::PlannedStmt,
    node: *const pg_sys::Plan,
) -> StableHash {
    if node.is_null() {
        return hash.number(NOTHING);
    }
    // SAFETY: each cast follows the tag; all structs begin with Plan (plannodes.h).
    unsafe {
        let kind = tag(node);
        let mut hash = hash.number(code(kind));
        match kind {
            NodeTag::T_SeqScan
            | NodeTag::T_SampleScan
            | NodeTag::T_BitmapHeapScan
            | NodeTag::T_TidScan
            | NodeTag::T_TidRangeScan
            | NodeTag::T_ForeignScan
            | NodeTag::T_CustomScan => hash = hash.number(relation(stmt, node)),
            NodeTag::T_IndexScan => {
                let scan = node.cast::<pg_sys::IndexScan>();
                indexes.add((*scan).indexid.to_u32());
                hash = hash
                    .number(relation(stmt, node))
                    .number((*scan).indexid.to_u32().into())
                    .number(length((*scan).indexqual) as u64)
                    .number(length((*scan).indexorderby) as u64)
                    .number((*scan).indexorderdir as u64);
            }
            NodeTag::T_IndexOnlyScan => {
                let scan = node.cast::<pg_sys::IndexOnlyScan>();
                indexes.add((*scan).indexid.to_u32());
                hash = hash
                    .number(relation(stmt, node))
                    .number((*scan).indexid.to_u32().into())
                    .number(length((*scan).indexqual) as u64)
                    .number(length((*scan).indexorderby) as u64)
                    .number((*scan).indexorderdir as u64);
            }
            NodeTag::T_BitmapIndexScan => {
                let scan = node.cast::<pg_sys::BitmapIndexScan>();
                indexes.add((*scan).indexid.to_u32());
                hash = hash
                    .number((*scan).indexid.to_u32().into())
                    .number(length((*scan).indexqual) as u64);
            }
            NodeTag::T_NestLoop | NodeTag::T_MergeJoin | NodeTag::T_HashJoin => {
                hash = hash.number((*node.cast::<pg_sys::Join>()).jointype as u64);
            }
            NodeTag::T_Agg => {
                let aggregate = node.cast::<pg_sys::Agg>();
                hash = hash
                    .number((*aggregate).aggstrategy as u64)
                    .number((*aggregate).numCols as u64);
            }
            NodeTag::T_Sort | NodeTag::T_IncrementalSort => {
                hash = hash.number((*node.cast::<pg_sys::Sort>()).numCols as u64);
            }
            NodeTag::T_ModifyTable => {
                hash = hash.number((*node.cast::<pg_sys::ModifyTable>()).operation as u64);
            }
            _ => {}
        }
        let list = match kind {
            NodeTag::T_Append => (*node.cast::<pg_sys::Append>()).appendplans,
            NodeTag::T_MergeAppend => (*node.cast::<pg_sys::MergeAppend>()).mergeplans,
            NodeTag::T_BitmapAnd => (*node.cast::<pg_sys::BitmapAnd>()).bitmapplans,
            NodeTag::T_BitmapOr => (*node.cast::<pg_sys::BitmapOr>()).bitmapplans,
            NodeTag::T_CustomScan => (*node.cast::<pg_sys::CustomScan>()).custom_plans,
            _ => std::ptr::null_mut(),
        };
        hash = hash.number(length(list) as u64);
        for child in items::<pg_sys::Plan>(list) {
            hash = plan(hash, indexes, stmt, child);
        }
        if kind == NodeTag::T_SubqueryScan {
            hash = plan(
                hash,
                indexes,
                stmt,
                (*node.cast::<pg_sys::SubqueryScan>()).subplan,
            );
        }
        hash = plan(hash, indexes, stmt, (*node).lefttree);
        plan(hash, indexes, stmt, (*node).righttree)
    }
}

/// The relation's OID behind a scan; 0 where there is none.
unsafe fn relation(stmt: *const pg_sys::PlannedStmt, node: *const pg_sys::Plan) -> u64 {
    // SAFETY: the caller saw a scan's tag; the range table is flat, indexes start at 1.
    unsafe {
        let scanrelid = (*node.cast::<pg_sys::Scan>()).scanrelid as usize;
        if scanrelid == 0 {
            return 0;
        }
        items::<pg_sys::RangeTblEntry>((*stmt).rtable)
            .nth(scanrelid - 1)
            .map_or(0, |entry| (*entry).relid.to_u32().into())
    }
}
