//! Which hypothetical indexes can change the plans of a statement at all. The others need not
//! be planned with: their price is the price without them, exactly.
//!
//! The planner makes a path of an index that is neither unique nor partial and holds plain
//! attributes only if one of its keys occurs in a condition or an ordering (indxpath.c,
//! match_clauses_to_index, build_index_pathkeys), or if it holds every attribute that is read
//! (check_index_only); and nothing else looks at a hypothetical index (plancat.c,
//! has_unique_index; selfuncs.c, get_actual_variable_range). So an attribute counts as
//! *sought* wherever it stands, except as a plain output column at the top. It counts as
//! *read* only where no rewriting by the planner can do without it, because removed joins,
//! folded conditions and unused columns of subqueries leave less to cover than is mentioned.
//! Whatever is not known to be harmless counts as relevant.

use super::candidate::Part;
use crate::pg::nodes::{items, length, stripped, tag};
use crate::pg::syscache;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::collections::{HashMap, HashSet};

/// OIDs from here on are given to users' objects (access/transam.h, FirstNormalObjectId).
const FIRST_USER_OID: u32 = 16384;

/// The attributes of one relation that a statement refers to, by number.
#[derive(Debug, Default)]
struct Attributes {
    /// In conditions, orderings, groupings, expressions.
    sought: HashSet<i16>,
    /// Read by every plan: one set for each time that the relation stands in a FROM.
    read: Vec<HashSet<i16>>,
    /// The whole row is used somewhere.
    everything: bool,
}

/// What a statement does with which attributes.
#[derive(Debug, Default)]
pub(super) struct Relevance {
    relations: HashMap<u32, Attributes>,
    /// Something was found whose effect is not known: every index of the relations is relevant.
    vague: bool,
    /// Relations may come in that the statement does not name.
    pub(super) more_relations: bool,
}

impl Relevance {
    /// Reads the rewritten queries of a statement.
    ///
    /// # Safety
    /// Complete, analysed trees, their relations locked; `has_children`: one of the relations
    /// has children, whose attributes may be numbered differently.
    pub(super) unsafe fn of(queries: &[*mut pg_sys::Query], has_children: bool) -> Self {
        let mut walk = Walk {
            found: Relevance {
                vague: has_children,
                ..Relevance::default()
            },
            range_tables: Vec::new(),
            read: Vec::new(),
        };
        // SAFETY: the caller's promise.
        unsafe {
            for query in queries {
                walk.top(*query);
            }
            for (relation, attributes) in &walk.found.relations {
                walk.found.vague |= attributes
                    .sought
                    .iter()
                    .chain(attributes.read.iter().flatten())
                    .any(|number| is_virtual(pg_sys::Oid::from(*relation), *number));
            }
        }
        walk.found
    }

    /// Whether a plan could be another one with this index than without it.
    pub(super) fn concerns(&self, part: &Part) -> bool {
        let template = &part.template;
        let keys = &part.columns[..template.nkeycolumns as usize];
        if self.vague
            || template.unique
            || !template.indpred.is_null()
            || keys.iter().any(|key| key.attribute == 0)
        {
            return true;
        }
        let Some(attributes) = self.relations.get(&part.relation.to_u32()) else {
            return true;
        };
        let holds = |number: &i16| part.columns.iter().any(|c| c.attribute == *number);
        attributes.everything
            || keys
                .iter()
                .any(|key| attributes.sought.contains(&key.attribute))
            || attributes.read.iter().any(|entry| entry.iter().all(holds))
    }
}

struct Walk {
    found: Relevance,
    /// Of the query levels that we are in, the innermost last.
    range_tables: Vec<*mut pg_sys::List>,
    /// Of each entry of the top's range table: the attributes that every plan reads.
    read: Vec<HashSet<i16>>,
}

/// How a variable is used.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// In a place where an index could serve it.
    Sought,
    /// In a place that no plan does without.
    Read,
}

impl Walk {
    /// A statement's own level: its plain output columns are read, not sought.
    unsafe fn top(&mut self, query: *mut pg_sys::Query) {
        // SAFETY: the caller's promise; the copy of the structure is only read.
        unsafe {
            let mut rest = *query;
            if rest.commandType != pg_sys::CmdType::CMD_SELECT {
                self.found.vague = true;
                return;
            }
            self.range_tables.push(rest.rtable);
            self.read = vec![HashSet::new(); length(rest.rtable)];
            for entry in items::<pg_sys::TargetEntry>(rest.targetList) {
                let expression = (*entry).expr;
                let plain = tag(expression) == NodeTag::T_Var && !(*entry).resjunk;
                if plain {
                    self.variable(expression.cast(), Use::Read);
                }
                if !plain || (*entry).ressortgroupref != 0 {
                    walk(expression.cast(), std::ptr::from_mut(self).cast());
                }
            }
            self.certain(rest.jointree.cast());
            rest.targetList = std::ptr::null_mut();
            pg_sys::query_tree_walker(
                &mut rest,
                Some(walk),
                std::ptr::from_mut(self).cast(),
                // Columns of joins are looked through where they are used.
                (pg_sys::QTW_IGNORE_JOINALIASES | pg_sys::QTW_EXAMINE_RTES_BEFORE) as i32,
            );
            self.range_tables.pop();
            for (entry, read) in
                items::<pg_sys::RangeTblEntry>(rest.rtable).zip(std::mem::take(&mut self.read))
            {
                if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                    // Joined with itself it may be merged into one (18), without the condition.
                    let again = items::<pg_sys::RangeTblEntry>(rest.rtable)
                        .filter(|other| (**other).relid == (*entry).relid)
                        .count()
                        > 1;
                    self.found
                        .relations
                        .entry((*entry).relid.to_u32())
                        .or_default()
                        .read
                        .push(if again { HashSet::new() } else { read });
                }
            }
        }
    }

    /// The conditions that hold for every row that comes out: those of the top and of inner
    /// joins right below it. A comparison of two different attributes, or of one with a value,
    /// by an operator of the server's stays in every plan.
    unsafe fn certain(&mut self, node: *mut pg_sys::Node) {
        // SAFETY: the join tree of the statement's own level; each cast follows the tag.
        unsafe {
            match tag(node) {
                NodeTag::T_FromExpr => {
                    let from = node.cast::<pg_sys::FromExpr>();
                    for item in items::<pg_sys::Node>((*from).fromlist) {
                        self.certain(item);
                    }
                    self.clause((*from).quals);
                }
                NodeTag::T_JoinExpr => {
                    let join = node.cast::<pg_sys::JoinExpr>();
                    if (*join).jointype == pg_sys::JoinType::JOIN_INNER {
                        self.certain((*join).larg);
                        self.certain((*join).rarg);
                        self.clause((*join).quals);
                    }
                }
                _ => {}
            }
        }
    }

    unsafe fn clause(&mut self, node: *mut pg_sys::Node) {
        // SAFETY: a condition; each cast follows the tag.
        unsafe {
            match tag(node) {
                NodeTag::T_List => {
                    for item in items::<pg_sys::Node>(node.cast()) {
                        self.clause(item);
                    }
                }
                NodeTag::T_BoolExpr => {
                    let every = node.cast::<pg_sys::BoolExpr>();
                    if (*every).boolop == pg_sys::BoolExprType::AND_EXPR {
                        for item in items::<pg_sys::Node>((*every).args) {
                            self.clause(item);
                        }
                    }
                }
                NodeTag::T_OpExpr => {
                    let comparison = node.cast::<pg_sys::OpExpr>();
                    let arguments: Vec<*mut pg_sys::Node> =
                        items::<pg_sys::Node>((*comparison).args)
                            .map(|argument| stripped(argument))
                            .collect();
                    let [left, right] = arguments[..] else {
                        return;
                    };
                    let value = |node| matches!(tag(node), NodeTag::T_Const | NodeTag::T_Param);
                    let variable = |node| tag(node) == NodeTag::T_Var;
                    // The function of a user's operator may be inlined and forget an argument.
                    if (*comparison).opno.to_u32() >= FIRST_USER_OID
                        || !(variable(left) || variable(right))
                        || !(variable(left) || value(left))
                        || !(variable(right) || value(right))
                        || pg_sys::equal(left.cast(), right.cast())
                    {
                        return;
                    }
                    for side in [left, right] {
                        if variable(side) {
                            self.variable(side.cast(), Use::Read);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    unsafe fn variable(&mut self, var: *const pg_sys::Var, used: Use) {
        // SAFETY: a variable of a complete tree; look-ups are bounded.
        unsafe {
            let level = self
                .range_tables
                .len()
                .checked_sub(1 + (*var).varlevelsup as usize);
            let position = usize::try_from((*var).varno)
                .ok()
                .and_then(|number| number.checked_sub(1));
            let entry = level.zip(position).and_then(|(level, position)| {
                items::<pg_sys::RangeTblEntry>(self.range_tables[level]).nth(position)
            });
            let (Some(level), Some(position), Some(entry)) = (level, position, entry) else {
                self.found.vague = true;
                return;
            };
            match (*entry).rtekind {
                pg_sys::RTEKind::RTE_RELATION => {
                    let attributes = self
                        .found
                        .relations
                        .entry((*entry).relid.to_u32())
                        .or_default();
                    match (*var).varattno {
                        0 => attributes.everything = true,
                        // No index holds system attributes, so leaving them out can only make
                        // more indexes relevant.
                        ..0 => {}
                        number if used == Use::Sought => {
                            attributes.sought.insert(number);
                        }
                        number => {
                            self.read[position].insert(number);
                        }
                    }
                }
                pg_sys::RTEKind::RTE_JOIN => {
                    let inner = self.range_tables.split_off(level + 1);
                    let number = usize::try_from((*var).varattno).unwrap_or(0);
                    for (position, alias) in
                        items::<pg_sys::Node>((*entry).joinaliasvars).enumerate()
                    {
                        if number != 0 && position + 1 != number {
                            continue;
                        }
                        if tag(alias) == NodeTag::T_Var && number != 0 {
                            self.variable(alias.cast(), used);
                        } else {
                            walk(alias, std::ptr::from_mut(self).cast());
                        }
                    }
                    self.range_tables.extend(inner);
                }
                // What is below a subquery's column is sought there.
                _ => {}
            }
        }
    }

    /// Notes a relation of a lower level. A function in FROM can be inlined (clauses.c, inline_set_returning_function), and then
    /// brings relations that the statement does not name.
    unsafe fn entry(&mut self, entry: *const pg_sys::RangeTblEntry) {
        // SAFETY: an entry of a complete tree.
        unsafe {
            if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION && self.range_tables.len() > 1 {
                // Below the top nothing is read for certain.
                self.found
                    .relations
                    .entry((*entry).relid.to_u32())
                    .or_default()
                    .read
                    .push(HashSet::new());
            }
            if (*entry).rtekind != pg_sys::RTEKind::RTE_FUNCTION {
                return;
            }
            for function in items::<pg_sys::RangeTblFunction>((*entry).functions) {
                let call = (*function).funcexpr;
                if tag(call) == NodeTag::T_FuncExpr
                    && (*call.cast::<pg_sys::FuncExpr>()).funcid.to_u32() >= FIRST_USER_OID
                {
                    self.found.vague = true;
                    self.found.more_relations = true;
                }
            }
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    // SAFETY: called by the tree walkers with nodes, and with our context.
    unsafe {
        let found = context.cast::<Walk>();
        match tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_Var => {
                (*found).variable(node.cast(), Use::Sought);
                false
            }
            NodeTag::T_RangeTblEntry => {
                // The walker itself goes on into subqueries and the like.
                (*found).entry(node.cast());
                false
            }
            NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                (*found).range_tables.push((*query).rtable);
                pg_sys::query_tree_walker(
                    query,
                    Some(walk),
                    context,
                    (pg_sys::QTW_IGNORE_JOINALIASES | pg_sys::QTW_EXAMINE_RTES_BEFORE) as i32,
                );
                (*found).range_tables.pop();
                false
            }
            _ => pg_sys::expression_tree_walker(node, Some(walk), context),
        }
    }
}

/// Whether an attribute is generated when it is read (18 on): the planner replaces it by its
/// expression over other attributes.
unsafe fn is_virtual(relation: pg_sys::Oid, number: i16) -> bool {
    // SAFETY: the caller's promise. What is gone counts as something to look at.
    unsafe { syscache::attribute(relation, number) }
        .is_none_or(|form| form.attgenerated as u8 == b'v')
}
