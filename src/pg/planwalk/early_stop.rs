//! Scans that a LIMIT ends early, and what their filters let through.
//!
//! The planner takes the rows that pass a filter to be spread evenly over the scan, so that a
//! LIMIT of a tenth of them costs a tenth of the scan (costsize.c and pathnode.c,
//! `adjust_limit_rows_costs`). Where the filter restricts a column that the scan runs along,
//! the rows that pass lie together, and all that lies before them is read for nothing.

use super::reading::Walk;
use crate::pg::estimators::{
    EQSEL, LIKESEL, PREFIXSEL, SCALARGESEL, SCALARGTSEL, SCALARLESEL, SCALARLTSEL,
};
use crate::pg::nodes::{items, stripped, tag};
use indexpilot_model::Oid;
use pgrx::pg_sys::{self, NodeTag};

/// Which stretch of a column's order passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// From the least value on.
    Low,
    /// Up to the greatest value.
    High,
    /// Somewhere between.
    Inside,
}

/// A column as the plan names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Of the relation.
    Attribute(i16),
    /// Of the index, counted from 1 (index-only scans name columns so).
    OfIndex(i16),
}

/// A scan of which only a share is wanted, with a filter on columns' order.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStop {
    /// The relation.
    pub relation: Oid,
    /// The index in whose order it is read; 0 for a sequential scan.
    pub index: Oid,
    /// From the last to the first.
    pub backward: bool,
    /// Columns of the index, counted from 1, that an index condition holds constant.
    pub fixed: Vec<i16>,
    /// What filters let through.
    pub stretches: Vec<(Column, Stretch)>,
    /// Share of the rows that the LIMIT wants, as the planner sees it, 0…1.
    pub share: f64,
    /// Least share of what is read that passes the filters, 0…1.
    pub passing: f64,
    /// What the whole scan costs behind its start, over all executions.
    pub run: f64,
}

unsafe fn column(node: *mut pg_sys::Node) -> Option<Column> {
    // SAFETY: the cast follows the tag.
    unsafe {
        let node = stripped(node);
        if tag(node) != NodeTag::T_Var {
            return None;
        }
        let var = node.cast::<pg_sys::Var>();
        if (*var).varno as i64 == pg_sys::INDEX_VAR as i64 {
            Some(Column::OfIndex((*var).varattno))
        } else if (*var).varattno > 0 {
            Some(Column::Attribute((*var).varattno))
        } else {
            None
        }
    }
}

/// Whether a LIKE pattern is known to begin with a fixed character.
unsafe fn is_prefix(pattern: *mut pg_sys::Node) -> bool {
    // SAFETY: the casts follow the tag and the type; the copy is freed with its context.
    unsafe {
        let node = stripped(pattern);
        if tag(node) != NodeTag::T_Const {
            return false;
        }
        let constant = node.cast::<pg_sys::Const>();
        if (*constant).constisnull || (*constant).consttype != pg_sys::TEXTOID {
            return false;
        }
        let text = pg_sys::text_to_cstring((*constant).constvalue.cast_mut_ptr());
        !matches!(*text as u8, 0 | b'%' | b'_')
    }
}

/// The column that a condition restricts to one stretch of its order, and the stretch.
unsafe fn stretch(node: *mut pg_sys::Node) -> Option<(Column, Stretch)> {
    // SAFETY: the casts follow the tags; an OpExpr's arguments are nodes.
    unsafe {
        if tag(node) != NodeTag::T_OpExpr {
            return None;
        }
        let operation = node.cast::<pg_sys::OpExpr>();
        let mut arguments = items::<pg_sys::Node>((*operation).args);
        let (left, right) = (arguments.next()?, arguments.next()?);
        let (of, value, operator) = match (column(left), column(right)) {
            (Some(of), None) => (of, right, (*operation).opno),
            (None, Some(of)) => (of, left, pg_sys::get_commutator((*operation).opno)),
            _ => return None,
        };
        if operator == pg_sys::InvalidOid || pg_sys::contain_var_clause(value) {
            return None;
        }
        // What these estimate selects one stretch of its left side's order.
        let stretch = match pg_sys::get_oprrest(operator).to_u32() {
            SCALARLTSEL | SCALARLESEL => Stretch::Low,
            SCALARGTSEL | SCALARGESEL => Stretch::High,
            EQSEL | PREFIXSEL => Stretch::Inside,
            LIKESEL if is_prefix(value) => Stretch::Inside,
            _ => return None,
        };
        Some((of, stretch))
    }
}

/// All stretches of a filter: what is bounded on both sides lies inside.
unsafe fn stretches(filter: *mut pg_sys::List) -> Vec<(Column, Stretch)> {
    let mut found: Vec<(Column, Stretch)> = Vec::new();
    // SAFETY: a plan's qual is a list of nodes.
    unsafe {
        for condition in items::<pg_sys::Node>(filter) {
            let Some((column, one)) = stretch(condition) else {
                continue;
            };
            match found.iter_mut().find(|(known, _)| *known == column) {
                Some((_, known)) if *known != one => *known = Stretch::Inside,
                Some(_) => {}
                None => found.push((column, one)),
            }
        }
    }
    found
}

/// Columns of the index that a condition compares for equality.
unsafe fn fixed(conditions: *mut pg_sys::List) -> Vec<i16> {
    // SAFETY: index conditions are expressions over the index's columns.
    unsafe {
        items::<pg_sys::Node>(conditions)
            .filter_map(|condition| {
                if tag(condition) == NodeTag::T_NullTest {
                    let test = condition.cast::<pg_sys::NullTest>();
                    return ((*test).nulltesttype == pg_sys::NullTestType::IS_NULL)
                        .then(|| column((*test).arg.cast()))
                        .flatten();
                }
                if tag(condition) != NodeTag::T_OpExpr {
                    return None;
                }
                let operation = condition.cast::<pg_sys::OpExpr>();
                let first = items::<pg_sys::Node>((*operation).args).next()?;
                (pg_sys::get_oprrest((*operation).opno).to_u32() == EQSEL)
                    .then(|| column(first))
                    .flatten()
            })
            .filter_map(|column| match column {
                Column::OfIndex(number) => Some(number),
                Column::Attribute(_) => None,
            })
            .collect()
    }
}

/// Share of a node's cost behind its start that a LIMIT above it wants.
///
/// # Safety
/// `limit` is a Limit node of a plan.
pub(super) unsafe fn wanted(limit: *const pg_sys::Plan) -> f64 {
    // SAFETY: the caller's promise; a Limit has a child.
    unsafe {
        let child = (*limit).lefttree;
        if child.is_null() {
            return 1.0;
        }
        let run = (*child).total_cost - (*child).startup_cost;
        if run <= 0.0 {
            return 1.0;
        }
        (((*limit).total_cost - (*child).startup_cost) / run).clamp(0.0, 1.0)
    }
}

/// How an index scan is bounded: its index, its conditions over the index's columns and its
/// direction.
pub(super) type OrderedBy = (pg_sys::Oid, *mut pg_sys::List, pg_sys::ScanDirection::Type);

impl Walk {
    /// Notes a scan of which `share` is wanted. `by`: of an index scan; a sequential one has
    /// none.
    ///
    /// # Safety
    /// `plan` is a scan of the planned statement.
    pub(super) unsafe fn early_stop(
        &mut self,
        plan: *const pg_sys::Plan,
        by: Option<OrderedBy>,
        loops: f64,
        share: f64,
    ) {
        if share >= 1.0 {
            return;
        }
        // SAFETY: the caller's promise; the costs are settings of this backend.
        unsafe {
            let stretches = stretches((*plan).qual);
            if stretches.is_empty() {
                return;
            }
            let (index, conditions, direction) = by.unwrap_or((
                pg_sys::InvalidOid,
                std::ptr::null_mut(),
                pg_sys::ScanDirection::ForwardScanDirection,
            ));
            let run = ((*plan).total_cost - (*plan).startup_cost).max(0.0);
            // Rows read are not in the plan: at most what the cost pays for if pages are free.
            let read = run / (pg_sys::cpu_tuple_cost + pg_sys::cpu_operator_cost).max(1e-9);
            let rows = (*plan).plan_rows.max(1.0);
            self.reading.early_stops.push(EarlyStop {
                relation: self.relation((*plan.cast::<pg_sys::Scan>()).scanrelid),
                index: index.to_u32(),
                backward: direction == pg_sys::ScanDirection::BackwardScanDirection,
                fixed: fixed(conditions),
                stretches,
                share,
                passing: (rows / read.max(rows)).clamp(0.0, 1.0),
                run: run * loops.max(1.0),
            });
        }
    }
}
