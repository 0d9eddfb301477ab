//! What is neither FROM nor WHERE: ORDER BY, GROUP BY, DISTINCT, windows, HAVING, target and
//! RETURNING lists, ON CONFLICT, MERGE actions.

use super::element::{Side, stripped};
use super::operators;
use super::quals::Place;
use super::resolve::leaves;
use super::{Builder, names};
use crate::pg::compat::querytree as compat;
use crate::pg::nodes::{items, tag};
use indexpilot_model::expression::Expression;
use indexpilot_model::query::{Comparand, FieldRole, FieldUse};
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

impl Builder {
    pub(super) unsafe fn clauses(&mut self, scope: usize, root: bool) {
        let query = &*self.scopes[scope].query;
        self.assignments(scope);
        if root {
            self.mark_outputs(scope, true);
        } else {
            // Output that is asked for is marked from outside; what sorts, groups or is
            // evaluated for its side effects is read in any case.
            for entry in items::<pg_sys::TargetEntry>(query.targetList).collect::<Vec<_>>() {
                if (*entry).ressortgroupref != 0 {
                    self.mark((*entry).expr.cast(), scope, false);
                }
            }
        }
        for entry in items::<pg_sys::TargetEntry>(query.returningList).collect::<Vec<_>>() {
            self.mark((*entry).expr.cast(), scope, true);
        }
        if query.setOperations.is_null() {
            self.qual(query.havingQual, scope, false, Place::default(), 0);
            self.groups(query.groupClause, scope, 0);
        }
        self.groups(query.distinctClause, scope, 0);
        self.orders(query.sortClause, scope, 0);
        for window in items::<pg_sys::WindowClause>(query.windowClause).collect::<Vec<_>>() {
            let partitions = self.groups((*window).partitionClause, scope, 0);
            self.orders((*window).orderClause, scope, partitions);
            self.mark((*window).startOffset, scope, false);
            self.mark((*window).endOffset, scope, false);
        }
        self.mark(query.limitCount, scope, false);
        self.mark(query.limitOffset, scope, false);
        self.extremes(scope);
        self.on_conflict(scope);
        // Checked on the new row; a subquery in it searches its relations all the same.
        for check in items::<pg_sys::WithCheckOption>(query.withCheckOptions).collect::<Vec<_>>() {
            for sublink in leaves((*check).qual).sublinks {
                self.sublink_level(sublink, scope, false);
            }
        }
        for action in items::<pg_sys::MergeAction>(query.mergeActionList).collect::<Vec<_>>() {
            // Looked at row by row after the join: read, but no filter that an index serves.
            self.mark((*action).qual, scope, false);
            for entry in items::<pg_sys::TargetEntry>((*action).targetList).collect::<Vec<_>>() {
                self.mark((*entry).expr.cast(), scope, true);
                if (*action).commandType == pg_sys::CmdType::CMD_UPDATE {
                    self.assign(scope, (*entry).resno);
                }
            }
        }
    }

    /// The expression that a sort or group clause refers to.
    unsafe fn sorted(
        &self,
        clause: *const pg_sys::SortGroupClause,
        scope: usize,
    ) -> Option<*mut pg_sys::Node> {
        items::<pg_sys::TargetEntry>((*self.scopes[scope].query).targetList)
            .find(|&entry| (*entry).ressortgroupref == (*clause).tleSortGroupRef)
            .map(|entry| (*entry).expr.cast())
    }

    /// GROUP BY, DISTINCT and PARTITION BY; gives the number of clauses.
    unsafe fn groups(&mut self, list: *const pg_sys::List, scope: usize, first: u16) -> u16 {
        let mut position = first;
        for clause in items::<pg_sys::SortGroupClause>(list).collect::<Vec<_>>() {
            if let Some(node) = self.sorted(clause, scope) {
                for side in self.sides(node, scope) {
                    if let Side::Field(instance, element) = side {
                        self.push_at(
                            instance,
                            element,
                            FieldRole::Group,
                            Place::default(),
                            position,
                        );
                    }
                }
            }
            position += 1;
        }
        position
    }

    unsafe fn orders(&mut self, list: *const pg_sys::List, scope: usize, first: u16) {
        for (position, clause) in items::<pg_sys::SortGroupClause>(list)
            .collect::<Vec<_>>()
            .into_iter()
            .enumerate()
        {
            let Some(node) = self.sorted(clause, scope) else {
                continue;
            };
            let position = first + position as u16;
            if self.distance(node, scope, position) {
                continue;
            }
            let role = direction((*clause).sortop, (*clause).nulls_first);
            let collation = pg_sys::exprCollation(node).to_u32();
            for side in self.sides(node, scope) {
                if let Side::Field(instance, element) = side {
                    self.push_at(instance, element, role, Place::default(), position);
                    if let Some(last) = self.uses.last_mut() {
                        last.collation = collation;
                    }
                }
            }
        }
    }

    /// `ORDER BY field <-> value`.
    unsafe fn distance(&mut self, node: *mut pg_sys::Node, scope: usize, position: u16) -> bool {
        let node = stripped(node);
        if tag(node) != NodeTag::T_OpExpr {
            return false;
        }
        let operation = &*node.cast::<pg_sys::OpExpr>();
        let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
        let (&[left, right], Some(about)) = (operands.as_slice(), names::operator(operation.opno))
        else {
            return false;
        };
        if !operators::is_distance(&about.name.name) {
            return false;
        }
        let (left, right) = (self.sides(left, scope), self.sides(right, scope));
        let (instance, element, comparand, operator): (usize, Expression, Comparand, pg_sys::Oid) =
            match (left.into_iter().next(), right.into_iter().next()) {
                (Some(Side::Field(instance, element)), Some(other)) => {
                    (instance, element, partner(other), operation.opno)
                }
                (Some(other), Some(Side::Field(instance, element))) => {
                    let commuted = pg_sys::get_commutator(operation.opno);
                    (instance, element, partner(other), commuted)
                }
                _ => return false,
            };
        self.uses.push(FieldUse {
            instance,
            element,
            role: FieldRole::Distance,
            operator: names::operator(operator).map(|about| about.name),
            operator_oid: operator.to_u32(),
            collation: operation.inputcollid.to_u32(),
            comparand,
            disjunction: 0,
            branch: 0,
            position,
        });
        true
    }

    /// `SELECT min(field)`: the planner reads the first entry of an index in that order
    /// (planagg.c), which is an order with a limit of one.
    unsafe fn extremes(&mut self, scope: usize) {
        let query = &*self.scopes[scope].query;
        if !query.hasAggs || !query.groupClause.is_null() || !query.setOperations.is_null() {
            return;
        }
        for entry in items::<pg_sys::TargetEntry>(query.targetList).collect::<Vec<_>>() {
            let node = stripped((*entry).expr.cast());
            if tag(node) != NodeTag::T_Aggref {
                continue;
            }
            let aggregate = &*node.cast::<pg_sys::Aggref>();
            let Some(name) = names::function(aggregate.aggfnoid) else {
                continue;
            };
            if name.schema != "pg_catalog" || !aggregate.aggorder.is_null() {
                continue;
            }
            let role = match name.name.as_str() {
                "min" => FieldRole::OrderAscending,
                "max" => FieldRole::OrderDescending,
                _ => continue,
            };
            if let Some(argument) = items::<pg_sys::TargetEntry>(aggregate.args).next() {
                for side in self.sides((*argument).expr.cast(), scope) {
                    if let Side::Field(instance, element) = side {
                        self.push(instance, element, role, Place::default());
                    }
                }
            }
        }
    }

    unsafe fn assignments(&mut self, scope: usize) {
        let query = &*self.scopes[scope].query;
        if query.commandType == pg_sys::CmdType::CMD_UPDATE {
            for entry in items::<pg_sys::TargetEntry>(query.targetList).collect::<Vec<_>>() {
                if !(*entry).resjunk {
                    self.assign(scope, (*entry).resno);
                    self.mark((*entry).expr.cast(), scope, false);
                }
            }
        }
    }

    /// An attribute of the target relation gets a value.
    unsafe fn assign(&mut self, scope: usize, number: i16) {
        let index = (*self.scopes[scope].query).resultRelation;
        let Some(Some(instance)) = self.scopes[scope]
            .instances
            .get(index.max(1) as usize - 1)
            .copied()
        else {
            return;
        };
        if number < 1 || self.assigned.contains(&(instance, number)) {
            return;
        }
        self.assigned.push((instance, number));
        let relation = pg_sys::Oid::from(self.instances[instance].relation.oid);
        if let Some(name) = names::attribute(relation, number) {
            let element = Expression::attribute(number, name);
            self.push(instance, element, FieldRole::Updated, Place::default());
        }
    }

    unsafe fn on_conflict(&mut self, scope: usize) {
        let clause = (*self.scopes[scope].query).onConflict;
        if clause.is_null() {
            return;
        }
        // The arbiter index is searched for the new row's values.
        for element in items::<pg_sys::InferenceElem>((*clause).arbiterElems).collect::<Vec<_>>() {
            for side in self.sides((*element).expr, scope) {
                if let Side::Field(instance, element) = side {
                    self.push(instance, element, FieldRole::Equality, Place::default());
                    if let Some(last) = self.uses.last_mut() {
                        last.comparand = Comparand::Computed;
                    }
                }
            }
        }
        for entry in items::<pg_sys::TargetEntry>((*clause).onConflictSet).collect::<Vec<_>>() {
            self.mark((*entry).expr.cast(), scope, false);
            self.assign(scope, (*entry).resno);
        }
        // Looked at for the one row that was found.
        self.mark((*clause).onConflictWhere, scope, false);
        self.mark((*clause).arbiterWhere, scope, false);
    }
}

fn partner(side: Side) -> Comparand {
    match side {
        Side::Field(instance, element) => Comparand::Field(instance, element),
        Side::Value(comparand) => comparand,
        Side::Mixed(_) => Comparand::Computed,
    }
}

/// The role of a sort by this operator.
unsafe fn direction(operator: pg_sys::Oid, nulls_first: bool) -> FieldRole {
    let descending = compat::sorts_descending(operator);
    match (descending, nulls_first) {
        (false, false) => FieldRole::OrderAscending,
        (false, true) => FieldRole::OrderAscendingNullsFirst,
        (true, true) => FieldRole::OrderDescending,
        (true, false) => FieldRole::OrderDescendingNullsLast,
    }
}
