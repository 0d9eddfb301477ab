//! Rows that joins threw away, by the relations and attributes that the conditions look at.
//!
//! A join counts pairs that its own conditions refuse (EXPLAIN's "Rows Removed by Join Filter"),
//! and rows that conditions above an outer join refuse ("Rows Removed by Filter"). Above scans,
//! variables name columns of the node below (setrefs.c): they are followed down to a scan.

use super::filters::{Attributes, relation_of, to_the_parent};
use crate::pg::compat::planstate;
use crate::pg::nodes::{items, tag};
use crate::pg::shmem::entry::{Filtered, JOINED};
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::c_int;

/// Relations told apart in the conditions of one join; what comes on top is not counted.
const RELATIONS: usize = 8;
/// Plans are followed down this far.
const MAX_DEPTH: u32 = 64;

/// Attributes by range-table index or by relation.
#[derive(Clone, Copy)]
struct Found {
    keys: [(u32, u64); RELATIONS],
    attributes: [u64; RELATIONS],
    count: usize,
}

impl Found {
    const NONE: Found = Found {
        keys: [(0, 0); RELATIONS],
        attributes: [0; RELATIONS],
        count: 0,
    };

    fn add(&mut self, key: (u32, u64), attributes: u64) {
        let known = self.keys[..self.count].iter().position(|&k| k == key);
        let place = match known {
            Some(place) => place,
            None if self.count < RELATIONS => {
                self.keys[self.count] = key;
                self.count += 1;
                self.count - 1
            }
            None => return,
        };
        self.attributes[place] |= attributes;
    }
}

/// Hands over what a join threw away, once for each relation and kind of condition.
///
/// # Safety
/// A node of a plan that ran, and its statement. An ERROR (too deep a plan) jumps over it.
pub(super) unsafe fn thrown_away(
    state: *mut pg_sys::PlanState,
    statement: *mut pg_sys::PlannedStmt,
    add: &mut dyn FnMut(Filtered),
) {
    // SAFETY: the caller's promise; the tag says which struct the plan is.
    unsafe {
        let plan = (*state).plan;
        let instrument = (*state).instrument;
        if instrument.is_null()
            || !matches!(
                tag(plan),
                NodeTag::T_NestLoop | NodeTag::T_MergeJoin | NodeTag::T_HashJoin
            )
        {
            return;
        }
        let join = plan.cast::<pg_sys::Join>();
        for (conditions, rows) in [
            ((*join).joinqual, (*instrument).nfiltered1),
            ((*plan).qual, (*instrument).nfiltered2),
        ] {
            if conditions.is_null() || rows < 1.0 {
                continue;
            }
            // By relation and kind: two instances of one relation are counted once.
            let mut all = Found::NONE;
            for condition in items::<pg_sys::Node>(conditions) {
                let mut here = Found::NONE;
                planstate::variables(condition, &mut |variable| {
                    follow(plan, variable, statement, 0, &mut |number, attribute| {
                        let mut attributes = Attributes(0);
                        attributes.set(attribute);
                        here.add((number, 0), attributes.0);
                    });
                });
                let kind = if here.count > 1 { JOINED } else { 0 };
                for place in 0..here.count {
                    let number = here.keys[place].0;
                    let Some(entry) = relation_of(number, (*statement).rtable) else {
                        continue;
                    };
                    let mut found = Filtered {
                        relation: (*entry).relid.to_u32(),
                        attributes: here.attributes[place] | kind,
                        rows: 0,
                    };
                    to_the_parent(&mut found, number, statement);
                    all.add((found.relation, kind), found.attributes);
                }
            }
            for place in 0..all.count {
                add(Filtered {
                    relation: all.keys[place].0,
                    attributes: all.attributes[place],
                    rows: rows as u64,
                });
            }
        }
    }
}

/// Calls `found` with the relation's range-table index and the attribute behind a variable of
/// a plan node. Results of functions and aggregates are behind none. An Append stands for its
/// first member.
unsafe fn follow(
    plan: *mut pg_sys::Plan,
    variable: *const pg_sys::Var,
    statement: *mut pg_sys::PlannedStmt,
    depth: u32,
    found: &mut dyn FnMut(u32, c_int),
) {
    // SAFETY: a node of the statement's plan and a variable in it.
    unsafe {
        if depth > MAX_DEPTH || (*variable).varlevelsup != 0 {
            return;
        }
        let column = c_int::from((*variable).varattno);
        let (below, list) = match planstate::number_of(variable) {
            pg_sys::OUTER_VAR => {
                let below = first_input(plan);
                (below, target_list(below))
            }
            pg_sys::INNER_VAR => ((*plan).righttree, target_list((*plan).righttree)),
            pg_sys::INDEX_VAR if tag(plan) == NodeTag::T_IndexOnlyScan => {
                let only = plan.cast::<pg_sys::IndexOnlyScan>();
                (plan, (*only).indextlist)
            }
            number if number > 0 => {
                if relation_of(number as u32, (*statement).rtable).is_some() {
                    return found(number as u32, column);
                }
                let below = match tag(plan) {
                    NodeTag::T_SubqueryScan => (*plan.cast::<pg_sys::SubqueryScan>()).subplan,
                    NodeTag::T_CteScan => {
                        let scan = plan.cast::<pg_sys::CteScan>();
                        items::<pg_sys::Plan>((*statement).subplans)
                            .nth(usize::try_from((*scan).ctePlanId - 1).unwrap_or(usize::MAX))
                            .unwrap_or(std::ptr::null_mut())
                    }
                    _ => return,
                };
                (below, target_list(below))
            }
            _ => return,
        };
        let Some(entry) = items::<pg_sys::TargetEntry>(list)
            .nth(usize::try_from(column - 1).unwrap_or(usize::MAX))
        else {
            return;
        };
        planstate::variables((*entry).expr.cast(), &mut |inner| {
            follow(below, inner, statement, depth + 1, found);
        });
    }
}

unsafe fn target_list(plan: *mut pg_sys::Plan) -> *mut pg_sys::List {
    if plan.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: a plan node.
    unsafe { (*plan).targetlist }
}

/// The node whose columns OUTER_VAR names.
unsafe fn first_input(plan: *mut pg_sys::Plan) -> *mut pg_sys::Plan {
    // SAFETY: a plan node; the tag says which struct it is.
    unsafe {
        let members = match tag(plan) {
            NodeTag::T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            NodeTag::T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            _ => return (*plan).lefttree,
        };
        items::<pg_sys::Plan>(members)
            .next()
            .unwrap_or(std::ptr::null_mut())
    }
}
