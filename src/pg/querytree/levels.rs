//! Query levels: opening scopes, following the join tree, CTEs, subqueries, set operations
//! and sublinks.

use super::names;
use super::quals::Place;
use super::{Builder, Scope};
use crate::pg::compat;
use crate::pg::nodes::{items, tag};
use indexpilot_model::query::{QueryLevel, RelationInstance, RelationName};
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;
use std::ffi::CStr;

impl Builder {
    /// Makes a scope and its level.
    pub(super) unsafe fn open(
        &mut self,
        query: *mut pg_sys::Query,
        parent: Option<usize>,
        parent_level: Option<usize>,
    ) -> usize {
        let entries = items::<pg_sys::RangeTblEntry>((*query).rtable).count();
        self.levels.push(QueryLevel {
            parent: parent_level,
            has_limit: limits(query),
            has_grouping: (*query).hasAggs
                || (*query).hasWindowFuncs
                || !(*query).groupClause.is_null()
                || !(*query).groupingSets.is_null()
                || !(*query).distinctClause.is_null(),
            has_semi_join: false,
            has_subplan: false,
        });
        self.disjunctions.push(0);
        self.scopes.push(Scope {
            query,
            parent,
            level: self.levels.len() - 1,
            instances: vec![None; entries],
            derived: vec![None; entries],
            ctes: Vec::new(),
            arms: Vec::new(),
            recursive: false,
        });
        self.scopes.len() - 1
    }

    /// Reads one query. `root` marks its output as read; other queries' output is read where
    /// the query around asks for it.
    pub(super) unsafe fn walk(&mut self, scope: usize, root: bool) {
        let query = self.scopes[scope].query;
        let level = self.scopes[scope].level;
        for cte in items::<pg_sys::CommonTableExpr>((*query).cteList).collect::<Vec<_>>() {
            let body = (*cte).ctequery.cast::<pg_sys::Query>();
            if tag(body) != NodeTag::T_Query {
                continue;
            }
            let inner = self.open(body, Some(scope), Some(level));
            let name = CStr::from_ptr((*cte).ctename)
                .to_string_lossy()
                .into_owned();
            self.scopes[inner].recursive = (*cte).cterecursive;
            // Known before it is walked: a recursive one refers to itself.
            self.scopes[scope].ctes.push((name, inner));
            // A data-modifying CTE runs whether or not it is read.
            let modifies = (*body).commandType != pg_sys::CmdType::CMD_SELECT;
            self.walk(inner, modifies);
        }
        if (*query).resultRelation > 0 {
            self.enter((*query).resultRelation, scope, true);
        }
        if !(*query).setOperations.is_null() {
            self.arms((*query).setOperations, scope, root);
            self.clauses(scope, root);
            return;
        }
        let tree = (*query).jointree;
        if !tree.is_null() {
            let from: Vec<*mut pg_sys::Node> = items((*tree).fromlist).collect();
            for &item in &from {
                self.register(item, scope, false);
            }
            for &item in &from {
                self.join_quals(item, scope);
            }
            self.qual((*tree).quals, scope, false, Place::default(), 0);
        }
        self.qual(
            compat::querytree::merge_join_condition(query),
            scope,
            false,
            Place::default(),
            0,
        );
        self.clauses(scope, root);
    }

    /// Enters what a from-item names; `nullable` below the nullable side of an outer join.
    /// Gives nothing; the entries are in the scope afterwards.
    unsafe fn register(&mut self, item: *mut pg_sys::Node, scope: usize, nullable: bool) {
        match tag(item) {
            NodeTag::T_RangeTblRef => {
                let index = (*item.cast::<pg_sys::RangeTblRef>()).rtindex;
                self.enter(index, scope, false);
                if nullable
                    && let Some(Some(instance)) = self.scopes[scope]
                        .instances
                        .get(index as usize - 1)
                        .copied()
                {
                    self.instances[instance].nullable = true;
                }
            }
            NodeTag::T_JoinExpr => {
                let join = &*item.cast::<pg_sys::JoinExpr>();
                let (left, right) = match join.jointype {
                    pg_sys::JoinType::JOIN_LEFT => (nullable, true),
                    pg_sys::JoinType::JOIN_RIGHT => (true, nullable),
                    pg_sys::JoinType::JOIN_FULL => (true, true),
                    _ => (nullable, nullable),
                };
                self.register(join.larg, scope, left);
                self.register(join.rarg, scope, right);
            }
            NodeTag::T_FromExpr => {
                for inner in items((*item.cast::<pg_sys::FromExpr>()).fromlist).collect::<Vec<_>>()
                {
                    self.register(inner, scope, nullable);
                }
            }
            _ => {}
        }
    }

    unsafe fn join_quals(&mut self, item: *mut pg_sys::Node, scope: usize) {
        match tag(item) {
            NodeTag::T_JoinExpr => {
                let join = &*item.cast::<pg_sys::JoinExpr>();
                self.join_quals(join.larg, scope);
                self.join_quals(join.rarg, scope);
                self.qual(join.quals, scope, false, Place::default(), 0);
            }
            NodeTag::T_FromExpr => {
                let from = &*item.cast::<pg_sys::FromExpr>();
                for inner in items(from.fromlist).collect::<Vec<_>>() {
                    self.join_quals(inner, scope);
                }
                self.qual(from.quals, scope, false, Place::default(), 0);
            }
            _ => {}
        }
    }

    /// Makes an instance or a scope of a range table entry, once.
    pub(super) unsafe fn enter(&mut self, index: i32, scope: usize, target: bool) {
        let position = index as usize - 1;
        let query = self.scopes[scope].query;
        let level = self.scopes[scope].level;
        let Some(entry) = items::<pg_sys::RangeTblEntry>((*query).rtable).nth(position) else {
            return;
        };
        if self.scopes[scope].instances[position].is_some()
            || self.scopes[scope].derived[position].is_some()
        {
            return;
        }
        match (*entry).rtekind {
            pg_sys::RTEKind::RTE_RELATION => {
                let Some(name) = names::relation((*entry).relid) else {
                    return;
                };
                self.instances.push(RelationInstance {
                    relation: RelationName {
                        oid: (*entry).relid.to_u32(),
                        schema: name.schema,
                        name: name.name,
                    },
                    level,
                    nullable: false,
                    is_target: target,
                    needed: Vec::new(),
                    whole_row: false,
                });
                self.scopes[scope].instances[position] = Some(self.instances.len() - 1);
                // Row-security conditions; they hold wherever the relation stands.
                let security = (*entry).securityQuals.cast::<pg_sys::Node>();
                self.qual(security, scope, false, Place::default(), 0);
                if !(*entry).tablesample.is_null() {
                    self.mark((*(*entry).tablesample).args.cast(), scope, false);
                }
            }
            pg_sys::RTEKind::RTE_SUBQUERY if !(*entry).subquery.is_null() => {
                let inner = self.open((*entry).subquery, Some(scope), Some(level));
                self.scopes[scope].derived[position] = Some(inner);
                self.walk(inner, false);
            }
            pg_sys::RTEKind::RTE_CTE => {
                self.scopes[scope].derived[position] = self.cte(entry, scope);
            }
            pg_sys::RTEKind::RTE_FUNCTION => self.mark((*entry).functions.cast(), scope, false),
            pg_sys::RTEKind::RTE_VALUES => self.mark((*entry).values_lists.cast(), scope, false),
            pg_sys::RTEKind::RTE_TABLEFUNC => self.mark((*entry).tablefunc.cast(), scope, false),
            _ => {}
        }
    }

    unsafe fn cte(&self, entry: *const pg_sys::RangeTblEntry, scope: usize) -> Option<usize> {
        let name = CStr::from_ptr((*entry).ctename).to_string_lossy();
        let owner = self.outer(scope, (*entry).ctelevelsup)?;
        self.scopes[owner]
            .ctes
            .iter()
            .find(|(other, _)| *other == name)
            .map(|&(_, inner)| inner)
    }

    /// The arms of a set operation, leaves of the operation tree.
    unsafe fn arms(&mut self, node: *mut pg_sys::Node, scope: usize, read: bool) {
        match tag(node) {
            NodeTag::T_SetOperationStmt => {
                let operation = &*node.cast::<pg_sys::SetOperationStmt>();
                // Anything but UNION ALL compares whole rows.
                let read = read || !operation.all;
                self.arms(operation.larg, scope, read);
                self.arms(operation.rarg, scope, read);
            }
            NodeTag::T_RangeTblRef => {
                let index = (*node.cast::<pg_sys::RangeTblRef>()).rtindex;
                self.enter(index, scope, false);
                if let Some(Some(arm)) = self.scopes[scope].derived.get(index as usize - 1).copied()
                {
                    self.scopes[scope].arms.push(arm);
                    if read {
                        self.mark_outputs(arm, true);
                    }
                }
            }
            _ => {}
        }
    }

    /// Marks a query's visible output as read.
    pub(super) unsafe fn mark_outputs(&mut self, scope: usize, output: bool) {
        let query = self.scopes[scope].query;
        let arms = self.scopes[scope].arms.clone();
        for arm in arms {
            self.mark_outputs(arm, output);
        }
        if !(*query).setOperations.is_null() {
            return;
        }
        for entry in items::<pg_sys::TargetEntry>((*query).targetList).collect::<Vec<_>>() {
            self.mark((*entry).expr.cast(), scope, output);
        }
    }

    /// Makes a level of a sublink's subquery, once, and gives its scope.
    pub(super) unsafe fn sublink_level(
        &mut self,
        sublink: *mut pg_sys::SubLink,
        scope: usize,
        semi: bool,
    ) -> Option<usize> {
        let address = sublink as usize;
        if let Some(&(_, inner)) = self.sublinks.iter().find(|(known, _)| *known == address) {
            return Some(inner);
        }
        let body = (*sublink).subselect.cast::<pg_sys::Query>();
        if tag(body) != NodeTag::T_Query {
            return None;
        }
        let level = self.scopes[scope].level;
        // A subquery with LIMIT cannot be pulled up into a join (subselect.c,
        // simplify_EXISTS_query, convert_ANY_sublink_to_join).
        if semi && !limits(body) {
            self.levels[level].has_semi_join = true;
        } else {
            self.levels[level].has_subplan = true;
        }
        let inner = self.open(body, Some(scope), Some(level));
        self.sublinks.push((address, inner));
        self.walk(inner, false);
        // EXISTS ignores its target list.
        if (*sublink).subLinkType != pg_sys::SubLinkType::EXISTS_SUBLINK {
            self.mark_outputs(inner, false);
        }
        if !(*sublink).testexpr.is_null() {
            self.mark((*sublink).testexpr, scope, false);
        }
        Some(inner)
    }
}

/// Whether there is a LIMIT that limits (LIMIT NULL and LIMIT ALL do not).
unsafe fn limits(query: *const pg_sys::Query) -> bool {
    let count = (*query).limitCount;
    !count.is_null()
        && (tag(count) != NodeTag::T_Const || !(*count.cast::<pg_sys::Const>()).constisnull)
}
