//! From an analysed and rewritten [`pg_sys::Query`] (what `planner_hook` sees: views as
//! subqueries, row-security conditions in the range table) to a
//! [`QueryShape`]: which field of which relation is filtered, joined, sorted, grouped, read
//! and assigned, and how.
//!
//! The tree is only read. Nothing in it makes us fail: what is not known counts as opaque.
//! Names are looked up in the system caches of the present transaction, so a tree that was
//! stored earlier can be read after its objects changed; what is gone is left out.
//!
//! Node types: src/include/nodes/{parsenodes,primnodes}.h; what the planner makes of
//! conditions: src/backend/optimizer/{prep,util}.
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "every function here walks the nodes of one valid tree; the promise is made once, at `shape`"
)]

mod clauses;
mod comparisons;
mod conversion;
mod element;
mod levels;
mod names;
mod operators;
mod parameters;
mod quals;
mod resolve;
mod text;

pub use names::schema as schema_name;
pub use parameters::lift;
pub use text::shapes_of_text;

use indexpilot_model::expression::Expression;
use indexpilot_model::query::{
    Comparand, FieldRole, FieldUse, QueryLevel, QueryShape, RelationInstance, StatementKind,
};
use pgrx::pg_sys;
use quals::Place;
use std::collections::BTreeSet;

/// (instance, attribute number).
type Reference = (usize, i16);

/// One query of the statement while it is read: the range table entries that we follow.
struct Scope {
    query: *mut pg_sys::Query,
    /// The scope around it, for `varlevelsup` and `ctelevelsup`.
    parent: Option<usize>,
    /// Index into the levels.
    level: usize,
    /// By range table index − 1: the instance of a relation.
    instances: Vec<Option<usize>>,
    /// By range table index − 1: the scope of a subquery or CTE.
    derived: Vec<Option<usize>>,
    /// Common table expressions: name, scope.
    ctes: Vec<(String, usize)>,
    /// Scopes of the arms of a set operation.
    arms: Vec<usize>,
    /// A recursive CTE: its columns are followed through the first arm only, because those of
    /// the recursive arm belong to another iteration's row.
    recursive: bool,
}

/// Everything gathered so far.
#[derive(Default)]
struct Builder {
    levels: Vec<QueryLevel>,
    scopes: Vec<Scope>,
    instances: Vec<RelationInstance>,
    uses: Vec<FieldUse>,
    assigned: Vec<Reference>,
    opaque_quals: u32,
    /// Disjunctions met, by level.
    disjunctions: Vec<u16>,
    next_branch: u16,
    /// Fields read by target lists.
    output: BTreeSet<Reference>,
    /// Expressions that were marked as read (address, as output).
    marked: BTreeSet<(usize, bool)>,
    /// Sublinks that have become levels (address of the SubLink → scope).
    sublinks: Vec<(usize, usize)>,
    /// Sample values of the parameters, by number − 1.
    parameters: Vec<Option<String>>,
}

impl Builder {
    /// Records a use without operator.
    fn push(&mut self, instance: usize, element: Expression, role: FieldRole, place: Place) {
        self.push_at(instance, element, role, place, 0);
    }

    fn push_at(
        &mut self,
        instance: usize,
        element: Expression,
        role: FieldRole,
        place: Place,
        position: u16,
    ) {
        self.uses.push(FieldUse {
            instance,
            element,
            role,
            operator: None,
            operator_oid: 0,
            collation: 0,
            comparand: Comparand::None,
            disjunction: place.disjunction,
            branch: place.branch,
            position,
        });
    }

    /// Adds [`FieldRole::Output`] for what is read by a target list and used in no other way.
    unsafe fn finish(mut self, kind: StatementKind) -> QueryShape {
        let used: BTreeSet<Reference> = self
            .uses
            .iter()
            .flat_map(|field| {
                field
                    .element
                    .attributes()
                    .into_iter()
                    .map(|number| (field.instance, number))
            })
            .collect();
        let only: Vec<Reference> = self.output.difference(&used).copied().collect();
        for (instance, number) in only {
            if let Some(element) = self.attribute(instance, number) {
                self.push(instance, element, FieldRole::Output, Place::default());
            }
        }
        self.assigned.sort_unstable();
        self.assigned.dedup();
        QueryShape {
            kind,
            levels: self.levels,
            instances: self.instances,
            uses: self.uses,
            assigned: self.assigned,
            opaque_quals: self.opaque_quals,
        }
    }
}

/// The kind of a planned statement.
pub fn kind(command: pg_sys::CmdType::Type) -> StatementKind {
    match command {
        pg_sys::CmdType::CMD_SELECT => StatementKind::Select,
        pg_sys::CmdType::CMD_INSERT => StatementKind::Insert,
        pg_sys::CmdType::CMD_UPDATE => StatementKind::Update,
        pg_sys::CmdType::CMD_DELETE => StatementKind::Delete,
        pg_sys::CmdType::CMD_MERGE => StatementKind::Merge,
        _ => StatementKind::Utility,
    }
}

/// Reads the shape of an analysed, rewritten query that is not a utility statement.
/// `parameters` are sample values of `$1`, `$2`… in output form, as far as they are known:
/// they tell prefix patterns from infix ones.
///
/// Constants are written by their types' output functions, so this runs in the security
/// context of the statement's user.
///
/// # Safety
/// `query` is a whole, valid tree; a transaction is open. Catalog lookups may raise errors
/// (cancel, out of memory), which arrive as pgrx panics: call it below a pgrx guard.
pub unsafe fn shape(query: *mut pg_sys::Query, parameters: &[Option<String>]) -> QueryShape {
    let mut builder = Builder {
        parameters: parameters.to_vec(),
        ..Builder::default()
    };
    let scope = builder.open(query, None, None);
    builder.walk(scope, true);
    builder.finish(kind((*query).commandType))
}

/// An expression over one relation (the tree of an index key or a predicate, whose fields are
/// numbered as those of the first range table entry); `None` where it has no typed form.
///
/// # Safety
/// As for [`shape`]; `node` is a whole, valid tree.
pub unsafe fn over_relation(relation: pg_sys::Oid, node: *mut pg_sys::Node) -> Option<Expression> {
    let mut entry =
        pgrx::PgBox::<pg_sys::RangeTblEntry>::alloc_node(pg_sys::NodeTag::T_RangeTblEntry);
    entry.rtekind = pg_sys::RTEKind::RTE_RELATION;
    entry.relid = relation;
    let mut query = pgrx::PgBox::<pg_sys::Query>::alloc_node(pg_sys::NodeTag::T_Query);
    query.commandType = pg_sys::CmdType::CMD_SELECT;
    query.rtable = pg_sys::lappend(std::ptr::null_mut(), entry.as_ptr().cast());
    let mut builder = Builder::default();
    let scope = builder.open(query.as_ptr(), None, None);
    builder.only(scope, node)
}
