//! From a Var to what it stands for: an attribute of a relation instance, or an expression of
//! a subquery, a CTE, a join alias or a grouping step, followed as far as it goes.

use super::{Builder, Scope};
use crate::pg::compat;
use crate::pg::nodes::{items, tag};
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;
use std::ffi::c_void;

/// What a Var stands for.
#[derive(Clone, Copy)]
pub enum Target {
    /// Attribute of an instance; 0 is the whole row, negative a system column.
    Attribute(usize, i16),
    /// An expression in the scope where it was written.
    Expression(*mut pg_sys::Node, usize),
}

/// Aliases of aliases are followed this far; recursive CTEs end here.
const MAX_DEPTH: usize = 24;

/// Nodes below an expression that lead out of it.
#[derive(Default)]
pub struct Leaves {
    /// Vars.
    pub variables: Vec<*mut pg_sys::Var>,
    /// Sublinks, inner ones of inner queries excluded.
    pub sublinks: Vec<*mut pg_sys::SubLink>,
    /// Whether an aggregate, window or grouping function was met.
    pub aggregate: bool,
    /// Lowest and highest Param kinds are of no interest; whether there is any.
    pub parameter: bool,
}

/// Collects the leaves of an expression, without entering subqueries.
pub unsafe fn leaves(node: *mut pg_sys::Node) -> Leaves {
    // No call in here may raise a Rust panic: C frames of the walker lie between.
    unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        let found = &mut *context.cast::<Leaves>();
        match tag(node) {
            NodeTag::T_Invalid | NodeTag::T_Query => return false,
            NodeTag::T_Var => {
                found.variables.push(node.cast());
                return false;
            }
            NodeTag::T_SubLink => found.sublinks.push(node.cast()),
            NodeTag::T_Aggref | NodeTag::T_WindowFunc | NodeTag::T_GroupingFunc => {
                found.aggregate = true;
            }
            NodeTag::T_Param => found.parameter = true,
            _ => {}
        }
        pg_sys::expression_tree_walker(node, Some(visit), context)
    }
    let mut found = Leaves::default();
    visit(node, (&raw mut found).cast());
    found
}

impl Builder {
    /// The scope `up` levels above.
    pub(super) fn outer(&self, mut scope: usize, up: u32) -> Option<usize> {
        for _ in 0..up {
            scope = self.scopes[scope].parent?;
        }
        Some(scope)
    }

    /// Output column `number` (from 1) of a query: one expression, or one for each arm of a
    /// set operation.
    pub(super) unsafe fn outputs(
        &self,
        scope: usize,
        number: i16,
        depth: usize,
    ) -> Vec<(*mut pg_sys::Node, usize)> {
        let Scope {
            query,
            arms,
            recursive,
            ..
        } = &self.scopes[scope];
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        if !(**query).setOperations.is_null() {
            let followed = if *recursive { 1 } else { arms.len() };
            return arms
                .iter()
                .take(followed)
                .flat_map(|&arm| self.outputs(arm, number, depth + 1))
                .collect();
        }
        // A data-modifying CTE returns its RETURNING list.
        let list = if (**query).commandType == pg_sys::CmdType::CMD_SELECT {
            (**query).targetList
        } else {
            (**query).returningList
        };
        items::<pg_sys::TargetEntry>(list)
            .filter(|&entry| (*entry).resno == number && !(*entry).resjunk)
            .map(|entry| ((*entry).expr.cast::<pg_sys::Node>(), scope))
            .collect()
    }

    /// What a Var stands for; nothing where it is no field (functions, VALUES of several rows,
    /// `excluded`).
    pub(super) unsafe fn resolve(
        &self,
        variable: *const pg_sys::Var,
        scope: usize,
        depth: usize,
    ) -> Vec<Target> {
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        let Some(scope) = self.outer(scope, (*variable).varlevelsup) else {
            return Vec::new();
        };
        let here = &self.scopes[scope];
        let number = (*variable).varattno;
        let expressions = |found: Vec<(*mut pg_sys::Node, usize)>| {
            found
                .into_iter()
                .map(|(node, scope)| Target::Expression(node, scope))
                .collect::<Vec<_>>()
        };
        if !(*here.query).setOperations.is_null() {
            return expressions(self.outputs(scope, number, depth + 1));
        }
        let index = (*variable).varno;
        if index < 1 {
            return Vec::new();
        }
        let index = index as usize - 1;
        if let Some(Some(instance)) = here.instances.get(index) {
            return vec![Target::Attribute(*instance, number)];
        }
        if let Some(Some(inner)) = here.derived.get(index) {
            if number == 0 {
                return self.all_outputs(*inner);
            }
            return expressions(self.outputs(*inner, number, depth + 1));
        }
        let Some(entry) = items::<pg_sys::RangeTblEntry>((*here.query).rtable).nth(index) else {
            return Vec::new();
        };
        if (*entry).rtekind == pg_sys::RTEKind::RTE_VALUES {
            // The planner pulls up a single row (prepjointree.c, pull_up_simple_values).
            let mut rows = items::<pg_sys::List>((*entry).values_lists);
            let (Some(row), None) = (rows.next(), rows.next()) else {
                return Vec::new();
            };
            return items::<pg_sys::Node>(row)
                .nth((number - 1).max(0) as usize)
                .filter(|node| number > 0 && !node.is_null())
                .map(|node| Target::Expression(node, scope))
                .into_iter()
                .collect();
        }
        let aliases = if (*entry).rtekind == pg_sys::RTEKind::RTE_JOIN {
            (*entry).joinaliasvars
        } else {
            compat::querytree::group_expressions(entry)
        };
        if number < 1 {
            // A whole-row reference to a join: all its columns.
            return items::<pg_sys::Node>(aliases)
                .filter(|node| !node.is_null())
                .map(|node| Target::Expression(node, scope))
                .collect();
        }
        items::<pg_sys::Node>(aliases)
            .nth(number as usize - 1)
            .filter(|node| !node.is_null())
            .map(|node| Target::Expression(node, scope))
            .into_iter()
            .collect()
    }

    /// All output columns of a query.
    unsafe fn all_outputs(&self, scope: usize) -> Vec<Target> {
        let count = items::<pg_sys::TargetEntry>((*self.scopes[scope].query).targetList).count();
        (1..=count)
            .flat_map(|number| self.outputs(scope, number as i16, 0))
            .map(|(node, scope)| Target::Expression(node, scope))
            .collect()
    }

    /// Notes that everything below `node` is read; sublinks in it become levels of their own.
    /// With `output` the fields count as output when nothing else is done with them.
    pub(super) unsafe fn mark(&mut self, node: *mut pg_sys::Node, scope: usize, output: bool) {
        if node.is_null() || !self.marked.insert((node as usize, output)) {
            return;
        }
        let found = leaves(node);
        for variable in found.variables {
            for target in self.resolve(variable, scope, 0) {
                match target {
                    Target::Attribute(instance, number) => {
                        self.need(instance, number);
                        if output && number > 0 {
                            self.output.insert((instance, number));
                        }
                    }
                    Target::Expression(node, scope) => self.mark(node, scope, output),
                }
            }
        }
        for sublink in found.sublinks {
            self.sublink_level(sublink, scope, false);
        }
    }

    /// Adds an attribute to what is read of an instance.
    pub(super) fn need(&mut self, instance: usize, number: i16) {
        let instance = &mut self.instances[instance];
        if number < 1 {
            instance.whole_row = true;
        } else if let Err(position) = instance.needed.binary_search(&number) {
            instance.needed.insert(position, number);
        }
    }
}
