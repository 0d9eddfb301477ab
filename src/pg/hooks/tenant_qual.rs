//! Which condition of a statement names its tenant: one that must hold and compares the tenant
//! column with a constant or a parameter, or anything with the tenant setting.
//!
//! Read from the rewritten tree itself: `querytree` looks up the names of everything in a
//! statement, which takes longer than all else at its first sight. Columns are followed
//! through subqueries, views, CTEs and joins as it does.
//!
//! Nothing in here allocates or has a destructor: an ERROR of the server jumps over all of it.

use super::follow::{Leaf, MAX_DEPTH, Scope, below_cast, follow};
use crate::pg::compat::querytree::{self as compat, expression_tree_walker, query_tree_walker};
use crate::pg::estimators::EQSEL;
use crate::pg::nodes::{items, tag};
use crate::pg::raw;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{CStr, c_int, c_void};

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'name> {
    /// A condition on the column of this name, or on the setting.
    Names(Option<&'name CStr>, Option<&'name CStr>),
    /// The constant that an attribute is compared with, as in [`Found::Constant`]. Touches no
    /// catalog.
    Constant(u64),
}

/// Where the tenant stands.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// Number of a parameter.
    Parameter(u16),
    /// The tenant setting.
    Setting,
    /// Relation and attribute number that are compared (see [`attribute_key`]), and the value,
    /// which is not NULL.
    Constant(u64, *const pg_sys::Const),
}

/// current_setting(text) and current_setting(text, bool) in pg_proc.dat.
const CURRENT_SETTING: [u32; 2] = [2077, 3294];
/// `=` between integers, texts, bpchars and UUIDs, the types that tenants are told by
/// (pg_operator.dat): known without a look at the catalog.
const EQUALITIES: [u32; 12] = [96, 410, 94, 532, 533, 15, 416, 1862, 1868, 98, 1054, 2972];
/// Relations whose attribute number is remembered.
const KNOWN: usize = 8;

/// Relation and attribute number in one word.
fn attribute_key(relation: pg_sys::Oid, number: i16) -> u64 {
    u64::from(relation.to_u32()) << 16 | u64::from(number as u16)
}

/// Looks for the tenant in a statement.
///
/// # Safety
/// A rewritten tree. With [`Wanted::Names`] in a transaction, below a guard: the catalog is
/// asked for attribute numbers.
pub(super) unsafe fn find(query: *mut pg_sys::Query, wanted: Wanted<'_>) -> Option<Found> {
    let mut search = Search {
        wanted,
        known: [(pg_sys::InvalidOid, 0); KNOWN],
        count: 0,
    };
    // SAFETY: the caller's promise.
    unsafe { search.in_query(&Scope::of(query, None)) }
}

/// What a side of a comparison is, if it is a value that may be the tenant.
#[derive(Clone, Copy)]
enum Value {
    Parameter(u16),
    Setting,
    Constant(*const pg_sys::Const),
}

struct Search<'name> {
    wanted: Wanted<'name>,
    /// Attribute numbers of the tenant column, by relation; 0 where it has none.
    known: [(pg_sys::Oid, i16); KNOWN],
    count: usize,
}

impl Search<'_> {
    unsafe fn in_query(&mut self, scope: &Scope<'_>) -> Option<Found> {
        // SAFETY: a whole tree.
        unsafe {
            if scope.query.is_null() || scope.depth > MAX_DEPTH {
                return None;
            }
            let query = &*scope.query;
            if let Some(from) = query.jointree.as_ref() {
                let found = self.in_qual(from.quals, scope, 0);
                if found.is_some() {
                    return found;
                }
                for item in items::<pg_sys::Node>(from.fromlist) {
                    let found = self.in_join(item, scope, 0);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            let found = self
                .in_qual(compat::merge_join_condition(query), scope, 0)
                .or_else(|| self.in_qual(query.havingQual, scope, 0));
            if found.is_some() {
                return found;
            }
            for entry in items::<pg_sys::RangeTblEntry>(query.rtable) {
                let found = match (*entry).rtekind {
                    pg_sys::RTEKind::RTE_RELATION => {
                        self.in_qual((*entry).securityQuals.cast(), scope, 0)
                    }
                    pg_sys::RTEKind::RTE_SUBQUERY => {
                        self.in_query(&Scope::of((*entry).subquery, Some(scope)))
                    }
                    _ => None,
                };
                if found.is_some() {
                    return found;
                }
            }
            for cte in items::<pg_sys::CommonTableExpr>(query.cteList) {
                if tag((*cte).ctequery) == NodeTag::T_Query {
                    let found = self.in_query(&Scope::of((*cte).ctequery.cast(), Some(scope)));
                    if found.is_some() {
                        return found;
                    }
                }
            }
            if query.hasSubLinks {
                return self.in_sublinks(scope);
            }
            None
        }
    }

    /// Subqueries in expressions.
    unsafe fn in_sublinks(&mut self, scope: &Scope<'_>) -> Option<Found> {
        struct Walk<'a> {
            search: *mut c_void,
            scope: &'a Scope<'a>,
            found: Option<Found>,
        }
        // Nothing in here panics: C frames of the walkers lie between.
        unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
            // SAFETY: called by the walkers with nodes, and with the context below.
            unsafe {
                match tag(node) {
                    NodeTag::T_Invalid => return false,
                    NodeTag::T_SubLink => {
                        let walk = &mut *context.cast::<Walk<'_>>();
                        let body = (*node.cast::<pg_sys::SubLink>()).subselect;
                        if tag(body) == NodeTag::T_Query {
                            let search = &mut *walk.search.cast::<Search<'_>>();
                            walk.found = search.in_query(&Scope::of(body.cast(), Some(walk.scope)));
                        }
                        if walk.found.is_some() {
                            return true;
                        }
                    }
                    // Subqueries have been walked as such.
                    NodeTag::T_Query => return false,
                    _ => {}
                }
                expression_tree_walker(node, visit, context)
            }
        }
        let mut walk = Walk {
            search: std::ptr::from_mut(self).cast(),
            scope,
            found: None,
        };
        let flags = pg_sys::QTW_IGNORE_RT_SUBQUERIES | pg_sys::QTW_IGNORE_CTE_SUBQUERIES;
        // SAFETY: a whole tree; the visitor gets the structure above as its context.
        unsafe {
            query_tree_walker(scope.query, visit, (&raw mut walk).cast(), flags as c_int);
        }
        walk.found
    }

    unsafe fn in_join(
        &mut self,
        item: *mut pg_sys::Node,
        scope: &Scope<'_>,
        depth: u32,
    ) -> Option<Found> {
        // SAFETY: a join of a whole tree.
        unsafe {
            if depth > 64 || tag(item) != NodeTag::T_JoinExpr {
                return None;
            }
            let join = &*item.cast::<pg_sys::JoinExpr>();
            self.in_qual(join.quals, scope, 0)
                .or_else(|| self.in_join(join.larg, scope, depth + 1))
                .or_else(|| self.in_join(join.rarg, scope, depth + 1))
        }
    }

    /// Among the conjuncts of a qualifier.
    unsafe fn in_qual(
        &mut self,
        node: *mut pg_sys::Node,
        scope: &Scope<'_>,
        depth: u32,
    ) -> Option<Found> {
        // SAFETY: a qualifier of a whole tree.
        unsafe {
            let parts = match tag(node) {
                NodeTag::T_OpExpr => {
                    let operation = &*node.cast::<pg_sys::OpExpr>();
                    let mut operands = items::<pg_sys::Node>(operation.args);
                    let (left, right) = (operands.next()?, operands.next()?);
                    return self
                        .in_comparison(left, right, operation.opno, scope)
                        .or_else(|| self.in_comparison(right, left, operation.opno, scope));
                }
                // Row security's conditions are a list.
                NodeTag::T_List => node.cast::<pg_sys::List>(),
                NodeTag::T_BoolExpr
                    if (*node.cast::<pg_sys::BoolExpr>()).boolop
                        == pg_sys::BoolExprType::AND_EXPR =>
                {
                    (*node.cast::<pg_sys::BoolExpr>()).args
                }
                _ => return None,
            };
            if depth > 64 {
                return None;
            }
            for part in items::<pg_sys::Node>(parts) {
                let found = self.in_qual(part, scope, depth + 1);
                if found.is_some() {
                    return found;
                }
            }
            None
        }
    }

    unsafe fn in_comparison(
        &mut self,
        field: *mut pg_sys::Node,
        value: *mut pg_sys::Node,
        operator: pg_sys::Oid,
        scope: &Scope<'_>,
    ) -> Option<Found> {
        // SAFETY: operands of a whole tree.
        unsafe {
            let value = self.value(value, scope, 0)?;
            if let Value::Setting = value {
                return (reads_a_field(field) && self.is_equality(operator))
                    .then_some(Found::Setting);
            }
            let mut attribute = None;
            follow(field, scope, 0, &mut |leaf| {
                if let Leaf::Attribute(relation, number) = leaf {
                    attribute = Some((relation, number));
                }
            });
            let (relation, number) = attribute?;
            if !self.is_tenant_column(relation, number) || !self.is_equality(operator) {
                return None;
            }
            match value {
                Value::Parameter(number) => Some(Found::Parameter(number)),
                Value::Constant(constant) => {
                    Some(Found::Constant(attribute_key(relation, number), constant))
                }
                Value::Setting => None,
            }
        }
    }

    unsafe fn is_equality(&self, operator: pg_sys::Oid) -> bool {
        EQUALITIES.contains(&operator.to_u32())
            || matches!(self.wanted, Wanted::Names(..))
                // SAFETY: a catalog look-up, as the mode allows.
                && unsafe { raw::get_oprrest(operator) }.to_u32() == EQSEL
    }

    unsafe fn is_tenant_column(&mut self, relation: pg_sys::Oid, number: i16) -> bool {
        let column = match self.wanted {
            Wanted::Constant(attribute) => return attribute_key(relation, number) == attribute,
            Wanted::Names(Some(column), _) if number > 0 => column,
            Wanted::Names(..) => return false,
        };
        let known = self.known[..self.count]
            .iter()
            .find(|(known, _)| *known == relation);
        let own = match known {
            Some(&(_, own)) => own,
            None => {
                // SAFETY: a catalog look-up, as the mode allows; 0 where there is none.
                let own = unsafe { raw::get_attnum(relation, column.as_ptr()) };
                if self.count < KNOWN {
                    self.known[self.count] = (relation, own);
                    self.count += 1;
                }
                own
            }
        };
        own == number
    }

    /// What a node without fields is. Casts of a parameter, a constant or a setting do not
    /// change whose value it is.
    unsafe fn value(
        &self,
        node: *mut pg_sys::Node,
        scope: &Scope<'_>,
        depth: u32,
    ) -> Option<Value> {
        if depth > 8 {
            return None;
        }
        // SAFETY: a whole tree; tags say what nodes are.
        unsafe {
            match tag(node) {
                NodeTag::T_Const => {
                    let constant = node.cast::<pg_sys::Const>();
                    (!(*constant).constisnull).then_some(Value::Constant(constant))
                }
                NodeTag::T_Param if matches!(self.wanted, Wanted::Names(..)) => {
                    let parameter = &*node.cast::<pg_sys::Param>();
                    if parameter.paramkind != pg_sys::ParamKind::PARAM_EXTERN {
                        return None;
                    }
                    let number = u16::try_from(parameter.paramid).ok()?;
                    (number > 0).then_some(Value::Parameter(number))
                }
                NodeTag::T_Var => {
                    let mut value = None;
                    follow(node, scope, 0, &mut |leaf| {
                        if let Leaf::Node(node, scope) = leaf {
                            value = self.value(node, scope, depth + 1);
                        }
                    });
                    value
                }
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    let first = items::<pg_sys::Node>(call.args).next()?;
                    if CURRENT_SETTING.contains(&call.funcid.to_u32()) {
                        return self.is_tenant_setting(first).then_some(Value::Setting);
                    }
                    let is_cast = call.funcformat != pg_sys::CoercionForm::COERCE_EXPLICIT_CALL
                        && call.funcformat != pg_sys::CoercionForm::COERCE_SQL_SYNTAX;
                    if is_cast {
                        self.value(first, scope, depth + 1)
                    } else {
                        None
                    }
                }
                _ => self.value(below_cast(node)?, scope, depth + 1),
            }
        }
    }

    unsafe fn is_tenant_setting(&self, name: *mut pg_sys::Node) -> bool {
        let Wanted::Names(_, Some(setting)) = self.wanted else {
            return false;
        };
        // SAFETY: a node; current_setting's first argument is a text, never toasted in a tree.
        unsafe {
            if tag(name) != NodeTag::T_Const {
                return false;
            }
            let name = &*name.cast::<pg_sys::Const>();
            if name.constisnull {
                return false;
            }
            let text = name.constvalue.cast_mut_ptr::<pg_sys::varlena>();
            let bytes = std::slice::from_raw_parts(
                pgrx::vardata_any(text).cast::<u8>(),
                pgrx::varsize_any_exhdr(text),
            );
            bytes.eq_ignore_ascii_case(setting.to_bytes())
        }
    }
}

/// Whether the first thing that an expression is made of is a field.
unsafe fn reads_a_field(mut node: *mut pg_sys::Node) -> bool {
    // SAFETY: a node; the tag says what it is.
    unsafe {
        for _ in 0..8 {
            node = match tag(node) {
                NodeTag::T_Var => return true,
                NodeTag::T_FuncExpr => {
                    match items((*node.cast::<pg_sys::FuncExpr>()).args).next() {
                        Some(first) => first,
                        None => return false,
                    }
                }
                _ => match below_cast(node) {
                    Some(inner) => inner,
                    None => return false,
                },
            };
        }
    }
    false
}

/// The one schema of the relations that a statement reads or writes; 0 where there are several,
/// or none.
///
/// # Safety
/// As [`find`] with names.
pub(super) unsafe fn only_schema(query: *mut pg_sys::Query) -> pg_sys::Oid {
    struct Schemas {
        schema: pg_sys::Oid,
        several: bool,
    }
    // Nothing in here panics: C frames of the walkers lie between.
    unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        // SAFETY: called by the walkers with nodes, and with the context below.
        unsafe {
            match tag(node) {
                NodeTag::T_Invalid => false,
                NodeTag::T_Query => {
                    let schemas = &mut *context.cast::<Schemas>();
                    let query = node.cast::<pg_sys::Query>();
                    let mut place = 0;
                    for entry in items::<pg_sys::RangeTblEntry>((*query).rtable) {
                        place += 1;
                        // A view's OLD and NEW stand in no FROM.
                        let counts = (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
                            && ((*entry).inFromCl || (*query).resultRelation == place);
                        if !counts {
                            continue;
                        }
                        let schema = raw::get_rel_namespace((*entry).relid);
                        if schemas.schema == pg_sys::InvalidOid {
                            schemas.schema = schema;
                        } else if schema != schemas.schema {
                            schemas.several = true;
                            return true;
                        }
                    }
                    query_tree_walker(query, visit, context, 0)
                }
                _ => expression_tree_walker(node, visit, context),
            }
        }
    }
    let mut schemas = Schemas {
        schema: pg_sys::InvalidOid,
        several: false,
    };
    // SAFETY: a whole tree; the visitor gets the structure above as its context.
    unsafe { visit(query.cast(), (&raw mut schemas).cast()) };
    if schemas.several {
        pg_sys::InvalidOid
    } else {
        schemas.schema
    }
}
