//! The walk over a query tree: node by node, what makes a statement another one.
//!
//! In: commands, relations (OIDs), fields, operators, functions, types of constants, order,
//! grouping, presence of limits, joins, subqueries, CTEs, set operations, row locks. Out: the
//! values of constants, names of columns and aliases, places in the text, and what follows
//! from the rest (result types, collations of results, permissions).
//!
//! Two kinds of constants count as more than their type, because statements that differ in
//! them use other fields or other indexes: keys of JSON that name a field
//! (`indexpilot_model::json_key`), and truth values in conditions. A list of constants or parameters (`IN (1, 2, 3)`, `ARRAY[$1, $2]`) is one thing
//! whatever its length, as in the text (`indexpilot_model::normalize`).
//!
//! Node types: src/include/nodes/{parsenodes,primnodes}.h; what newer majors add is in
//! `compat::identity`.
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "every function here walks the nodes of one valid tree; the promise is made once, at `Hasher::query`"
)]

use super::hasher::{Hasher, Scalar};
use super::keys;
use crate::pg::compat::identity as compat;
use crate::pg::nodes::tag;
use crate::pg::raw;
use pgrx::pg_sys::{self, NodeTag};

/// Adds fields of a node: first plain ones, then nodes and lists below it.
macro_rules! fields {
    ($hasher:expr, $node:expr, $kind:ident: $($scalar:ident),*; $($child:ident),*) => {{
        #[allow(unused_variables)]
        let node = $node.cast::<pgrx::pg_sys::$kind>();
        $($hasher.field((*node).$scalar);)*
        $($hasher.child((*node).$child.cast());)*
    }};
}
#[allow(
    unused_imports,
    reason = "only majors after 15 have nodes of their own"
)]
pub(crate) use fields;

/// Stands for a node that is not there.
const NOTHING: u64 = 1 << 40;
/// Stands for a list of constants and parameters of any length.
const VALUES: u64 = 2 << 40;
/// Stands for what lies too deep.
const TOO_DEEP: u64 = 3 << 40;

impl Hasher {
    /// Adds a plain field.
    #[inline(always)]
    pub(crate) fn field(&mut self, value: impl Scalar) {
        self.word(value.bits());
    }

    /// Adds a node, or that there is none.
    ///
    /// # Safety
    /// Null, or a node of a whole tree.
    #[inline(always)]
    pub(crate) unsafe fn child(&mut self, node: *mut pg_sys::Node) {
        if node.is_null() {
            self.word(NOTHING);
        } else {
            self.node(node);
        }
    }

    /// Adds a node as a condition.
    #[inline(always)]
    unsafe fn condition(&mut self, node: *mut pg_sys::Node) {
        if node.is_null() {
            self.word(NOTHING);
        } else {
            let outer = std::mem::replace(&mut self.in_condition, true);
            self.node(node);
            self.in_condition = outer;
        }
    }

    /// Adds one of a query's many parts, most of which are missing most of the time.
    #[inline(always)]
    unsafe fn part(&mut self, number: u64, node: *mut pg_sys::Node) {
        if !node.is_null() {
            self.word(number);
            self.node(node);
        }
    }

    /// Adds a query.
    ///
    /// # Safety
    /// A whole, valid tree, analysed and possibly rewritten.
    pub unsafe fn query(&mut self, query: *mut pg_sys::Query) {
        let outer = std::mem::replace(&mut self.in_condition, false);
        let parts = &*query;
        self.word(u64::from(parts.commandType) << 32 | parts.resultRelation as u32 as u64);
        self.word(
            u64::from(parts.override_) << 32
                | u64::from(parts.limitOption) << 1
                | u64::from(parts.groupDistinct),
        );
        self.part(1, parts.cteList.cast());
        if !parts.rtable.is_null() {
            let list = &*parts.rtable;
            self.word(list.length as u64);
            for place in 0..list.length as usize {
                self.entry((*list.elements.add(place)).ptr_value.cast());
            }
        }
        self.part(2, parts.jointree.cast());
        self.part(3, parts.targetList.cast());
        self.part(4, parts.sortClause.cast());
        self.part(5, parts.limitCount);
        self.part(6, parts.limitOffset);
        self.part(7, parts.groupClause.cast());
        self.part(8, parts.groupingSets.cast());
        if !parts.havingQual.is_null() {
            self.word(9);
            self.condition(parts.havingQual);
        }
        self.part(10, parts.windowClause.cast());
        self.part(11, parts.distinctClause.cast());
        self.part(12, parts.setOperations);
        self.part(13, parts.rowMarks.cast());
        self.part(14, parts.onConflict.cast());
        self.part(15, parts.returningList.cast());
        self.part(16, parts.mergeActionList.cast());
        compat::query_parts(self, query);
        self.in_condition = outer;
    }

    /// Adds a range table entry.
    #[inline(always)]
    unsafe fn entry(&mut self, entry: *mut pg_sys::RangeTblEntry) {
        use pg_sys::RTEKind::{
            RTE_CTE, RTE_FUNCTION, RTE_JOIN, RTE_NAMEDTUPLESTORE, RTE_RELATION, RTE_SUBQUERY,
            RTE_TABLEFUNC, RTE_VALUES,
        };
        let parts = &*entry;
        self.word(
            u64::from(parts.rtekind) << 34
                | u64::from(parts.lateral) << 33
                | u64::from(parts.inh) << 32
                | u64::from(parts.relid.to_u32()),
        );
        match parts.rtekind {
            RTE_RELATION => self.part(21, parts.tablesample.cast()),
            RTE_SUBQUERY => {
                self.field(parts.security_barrier);
                self.child(parts.subquery.cast());
            }
            RTE_JOIN => self.field(parts.jointype),
            RTE_FUNCTION => {
                self.field(parts.funcordinality);
                self.child(parts.functions.cast());
            }
            RTE_TABLEFUNC => self.child(parts.tablefunc.cast()),
            RTE_VALUES => self.child(parts.values_lists.cast()),
            RTE_CTE => {
                self.name(parts.ctename);
                self.field(parts.ctelevelsup);
                self.field(parts.self_reference);
            }
            RTE_NAMEDTUPLESTORE => self.name(parts.enrname),
            _ => compat::entry_parts(self, entry),
        }
        if !parts.securityQuals.is_null() {
            self.word(22);
            self.condition(parts.securityQuals.cast());
        }
    }

    /// Adds a node by its tag.
    unsafe fn node(&mut self, node: *mut pg_sys::Node) {
        use NodeTag::*;
        self.depth += 1;
        // Stacks are megabytes and frames of this walk some hundred bytes. Should it ever be
        // too deep, the planner raises the error after us.
        if self.depth & 31 == 0 && raw::stack_is_too_deep() {
            self.word(TOO_DEEP);
            self.depth -= 1;
            return;
        }
        let kind = tag(node);
        self.word(kind as u64);
        match kind {
            T_Var => {
                let var = &*node.cast::<pg_sys::Var>();
                self.word(
                    u64::from(var.varno as u32) << 32
                        | u64::from(var.varattno as u16) << 16
                        | u64::from(var.varlevelsup),
                );
                compat::var_parts(self, var);
            }
            T_Const => {
                let constant = &*node.cast::<pg_sys::Const>();
                self.field(constant.consttype);
                if self.in_condition && constant.consttype == pg_sys::BOOLOID {
                    self.field(!constant.constisnull && constant.constvalue.value() != 0);
                }
            }
            T_Param => fields!(self, node, Param: paramkind, paramid, paramtype;),
            T_OpExpr | T_DistinctExpr | T_NullIfExpr => {
                let operation = &*node.cast::<pg_sys::OpExpr>();
                self.word(
                    u64::from(operation.inputcollid.to_u32()) << 32
                        | u64::from(operation.opno.to_u32()),
                );
                self.child(operation.args.cast());
                let number = operation.opno.to_u32();
                if (3206..=3967).contains(&number) {
                    self.extraction(operation);
                } else if number >= keys::FIRST_NORMAL_OID {
                    self.foreign_extraction(operation);
                }
            }
            T_List => {
                let list = &*node.cast::<pg_sys::List>();
                self.word(list.length as u64);
                for place in 0..list.length as usize {
                    self.child((*list.elements.add(place)).ptr_value.cast());
                }
            }
            T_IntList | T_OidList => {
                let list = &*node.cast::<pg_sys::List>();
                self.word(list.length as u64);
                for place in 0..list.length as usize {
                    self.field((*list.elements.add(place)).int_value);
                }
            }
            T_TargetEntry => {
                let entry = &*node.cast::<pg_sys::TargetEntry>();
                self.word(
                    u64::from(entry.resno as u16) << 33
                        | u64::from(entry.ressortgroupref) << 1
                        | u64::from(entry.resjunk),
                );
                self.child(entry.expr.cast());
            }
            T_RangeTblRef => fields!(self, node, RangeTblRef: rtindex;),
            T_FromExpr => {
                let from = &*node.cast::<pg_sys::FromExpr>();
                self.child(from.fromlist.cast());
                self.condition(from.quals);
            }
            T_JoinExpr => {
                let join = &*node.cast::<pg_sys::JoinExpr>();
                self.field(join.jointype);
                self.field(join.rtindex);
                self.child(join.larg);
                self.child(join.rarg);
                self.condition(join.quals);
            }
            T_Query => self.query(node.cast()),
            T_FuncExpr => {
                fields!(self, node, FuncExpr: funcid, inputcollid; args);
                let call = &*node.cast::<pg_sys::FuncExpr>();
                if keys::PATHS.contains(&call.funcid.to_u32()) {
                    self.path_arguments(call);
                }
            }
            T_BoolExpr => fields!(self, node, BoolExpr: boolop; args),
            T_SortGroupClause => {
                fields!(self, node, SortGroupClause: tleSortGroupRef, eqop, sortop, nulls_first;);
            }
            T_RelabelType => {
                fields!(self, node, RelabelType: resulttype, resultcollid; arg);
            }
            T_ScalarArrayOpExpr => {
                fields!(self, node, ScalarArrayOpExpr: opno, useOr, inputcollid; args);
            }
            T_ArrayExpr => self.array(&*node.cast::<pg_sys::ArrayExpr>()),
            _ => self.rarer(node, kind),
        }
        self.depth -= 1;
    }

    /// Nodes that most statements do without.
    #[inline(never)]
    unsafe fn rarer(&mut self, node: *mut pg_sys::Node, kind: NodeTag) {
        use NodeTag::*;
        match kind {
            T_Aggref => {
                fields!(self, node, Aggref: aggfnoid, inputcollid, aggstar, aggvariadic, agglevelsup;
                aggdirectargs, args, aggorder, aggdistinct, aggfilter)
            }
            T_GroupingFunc => fields!(self, node, GroupingFunc: agglevelsup; refs, args),
            T_WindowFunc => {
                fields!(self, node, WindowFunc: winfnoid, inputcollid, winref, winstar; args, aggfilter);
            }
            T_SubscriptingRef => self.subscripting(&*node.cast::<pg_sys::SubscriptingRef>()),
            T_NamedArgExpr => fields!(self, node, NamedArgExpr: argnumber; arg),
            T_SubLink => fields!(self, node, SubLink: subLinkType; testexpr, subselect),
            T_FieldSelect => fields!(self, node, FieldSelect: fieldnum; arg),
            T_FieldStore => fields!(self, node, FieldStore: ; arg, newvals, fieldnums),
            T_CoerceViaIO => fields!(self, node, CoerceViaIO: resulttype; arg),
            T_ArrayCoerceExpr => fields!(self, node, ArrayCoerceExpr: resulttype; arg, elemexpr),
            T_ConvertRowtypeExpr => fields!(self, node, ConvertRowtypeExpr: resulttype; arg),
            T_CollateExpr => fields!(self, node, CollateExpr: collOid; arg),
            T_CaseExpr => fields!(self, node, CaseExpr: casetype; arg, args, defresult),
            T_CaseWhen => fields!(self, node, CaseWhen: ; expr, result),
            T_CaseTestExpr => fields!(self, node, CaseTestExpr: typeId;),
            T_RowExpr => fields!(self, node, RowExpr: row_typeid; args),
            T_RowCompareExpr => {
                let comparison = node.cast::<pg_sys::RowCompareExpr>();
                self.field(compat::row_comparison(comparison));
                fields!(self, node, RowCompareExpr: ; opnos, largs, rargs);
            }
            T_CoalesceExpr => fields!(self, node, CoalesceExpr: coalescetype; args),
            T_MinMaxExpr => fields!(self, node, MinMaxExpr: op, minmaxtype, inputcollid; args),
            T_SQLValueFunction => fields!(self, node, SQLValueFunction: op, typmod;),
            T_XmlExpr => {
                self.name((*node.cast::<pg_sys::XmlExpr>()).name);
                fields!(self, node, XmlExpr: op, xmloption; named_args, arg_names, args);
            }
            T_NullTest => fields!(self, node, NullTest: nulltesttype, argisrow; arg),
            T_BooleanTest => fields!(self, node, BooleanTest: booltesttype; arg),
            T_CoerceToDomain => fields!(self, node, CoerceToDomain: resulttype; arg),
            T_CoerceToDomainValue => fields!(self, node, CoerceToDomainValue: typeId;),
            T_SetToDefault => fields!(self, node, SetToDefault: typeId;),
            T_CurrentOfExpr => {
                self.name((*node.cast::<pg_sys::CurrentOfExpr>()).cursor_name);
                fields!(self, node, CurrentOfExpr: cvarno, cursor_param;);
            }
            T_NextValueExpr => fields!(self, node, NextValueExpr: seqid, typeId;),
            T_InferenceElem => fields!(self, node, InferenceElem: infercollid, inferopclass; expr),
            T_OnConflictExpr => fields!(self, node, OnConflictExpr: action, constraint;
                arbiterElems, arbiterWhere, onConflictSet, onConflictWhere),
            T_MergeAction => {
                let action = node.cast::<pg_sys::MergeAction>();
                self.field(compat::merge_match(action));
                self.field((*action).commandType);
                self.field((*action).override_);
                self.condition((*action).qual);
                self.child((*action).targetList.cast());
            }
            T_GroupingSet => fields!(self, node, GroupingSet: kind; content),
            T_WindowClause => {
                fields!(self, node, WindowClause: frameOptions, winref, startInRangeFunc, endInRangeFunc;
                    partitionClause, orderClause, startOffset, endOffset);
            }
            T_RowMarkClause => {
                fields!(self, node, RowMarkClause: rti, strength, waitPolicy, pushedDown;);
            }
            T_CommonTableExpr => {
                let expression = node.cast::<pg_sys::CommonTableExpr>();
                self.name((*expression).ctename);
                fields!(self, node, CommonTableExpr: ctematerialized, cterecursive;
                    ctequery, search_clause, cycle_clause);
            }
            T_CTESearchClause => {
                fields!(self, node, CTESearchClause: search_breadth_first; search_col_list);
            }
            T_CTECycleClause => {
                fields!(self, node, CTECycleClause: ; cycle_col_list, cycle_mark_value, cycle_mark_default);
            }
            T_SetOperationStmt => fields!(self, node, SetOperationStmt: op, all; larg, rarg),
            T_RangeTblFunction => {
                fields!(self, node, RangeTblFunction: ; funcexpr, funccolnames, funccoltypes);
            }
            T_TableSampleClause => {
                fields!(self, node, TableSampleClause: tsmhandler; args, repeatable);
            }
            T_TableFunc => {
                fields!(self, node, TableFunc: ordinalitycol;
                    ns_uris, ns_names, docexpr, rowexpr, coltypes, colexprs, coldefexprs);
                compat::table_function_parts(self, node.cast());
            }
            T_String => self.name((*node.cast::<pg_sys::String>()).sval),
            _ => {
                if !compat::newer_node(self, node, kind) {
                    self.unknown(node);
                }
            }
        }
    }

    /// A list of values is one thing, as long as it has two of them.
    unsafe fn array(&mut self, array: &pg_sys::ArrayExpr) {
        self.field(array.element_typeid);
        self.field(array.multidims);
        if !array.elements.is_null() && (*array.elements).length > 1 {
            let list = &*array.elements;
            let all_values = (0..list.length as usize)
                .all(|place| is_value((*list.elements.add(place)).ptr_value.cast()));
            if all_values {
                self.word(VALUES);
                return;
            }
        }
        self.child(array.elements.cast());
    }

    unsafe fn subscripting(&mut self, subscripting: &pg_sys::SubscriptingRef) {
        self.field(subscripting.refcontainertype);
        for list in [subscripting.refupperindexpr, subscripting.reflowerindexpr] {
            self.child(list.cast());
        }
        self.child(subscripting.refexpr.cast());
        self.child(subscripting.refassgnexpr.cast());
        if subscripting.refcontainertype == pg_sys::JSONBOID
            && !subscripting.refupperindexpr.is_null()
        {
            let list = &*subscripting.refupperindexpr;
            for place in 0..list.length as usize {
                let subscript: *mut pg_sys::Const = (*list.elements.add(place)).ptr_value.cast();
                // As in the text: numbers of subscripts are values.
                if tag(subscript) == NodeTag::T_Const && (*subscript).consttype == pg_sys::TEXTOID {
                    self.key(subscript.cast());
                }
            }
        }
    }

    /// A node that this walk does not know (a major to come, another library's): all of it
    /// counts, constants and places too, so that two statements are rather taken for
    /// different ones than for the same.
    #[cold]
    #[inline(never)]
    unsafe fn unknown(&mut self, node: *mut pg_sys::Node) {
        let written = raw::nodeToString(node.cast());
        self.name(written);
        raw::pfree(written.cast());
        let number = tag(node) as u32;
        let _ = crate::pg::boundary::contained(|| {
            crate::pg::boundary::say(
                &format!(
                    "node type {number} is not known to it, statements with it are counted apart for each constant"
                ),
                None,
            );
        });
    }
}

/// Whether a node is a constant or a parameter, below casts.
unsafe fn is_value(node: *mut pg_sys::Node) -> bool {
    use pg_sys::CoercionForm::{COERCE_EXPLICIT_CAST, COERCE_IMPLICIT_CAST};
    let mut node = node;
    // Casts of casts of casts: as deep as anybody writes them.
    for _ in 0..8 {
        match tag(node) {
            NodeTag::T_Const => return true,
            NodeTag::T_Param => {
                return (*node.cast::<pg_sys::Param>()).paramkind
                    == pg_sys::ParamKind::PARAM_EXTERN;
            }
            NodeTag::T_RelabelType => node = (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
            NodeTag::T_CoerceViaIO => node = (*node.cast::<pg_sys::CoerceViaIO>()).arg.cast(),
            NodeTag::T_CoerceToDomain => {
                node = (*node.cast::<pg_sys::CoerceToDomain>()).arg.cast();
            }
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                let cast = matches!(call.funcformat, COERCE_EXPLICIT_CAST | COERCE_IMPLICIT_CAST);
                if !cast || call.args.is_null() {
                    return false;
                }
                node = (*(*call.args).elements).ptr_value.cast();
            }
            _ => return false,
        }
    }
    false
}
