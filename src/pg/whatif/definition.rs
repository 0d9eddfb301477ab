//! From `CREATE INDEX` text to an index that the planner can be shown: the same parse
//! analysis, name resolution and checks as `DefineIndex` (indexcmds.c), without the index.

use super::failure::Failure;
use super::isolate::restrict;
use crate::pg::compat::planner as compat;
use crate::pg::nodes::{items, length, tag};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::ffi::{CStr, CString};

/// One key or payload attribute.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Attribute number in the relation; 0 is the next of [`Shape::expressions`].
    pub attribute: i16,
    /// Type of the key.
    pub type_oid: pg_sys::Oid,
    /// Type modifier.
    pub typmod: i32,
    /// Collation of the key's values (not the index's).
    pub type_collation: pg_sys::Oid,
}

/// What the planner needs to know of an index, on one relation that has storage. Pointers
/// are in the context that was current when it was made.
#[derive(Debug)]
pub(super) struct Shape {
    pub relation: pg_sys::Oid,
    pub am: pg_sys::Oid,
    pub am_name: String,
    pub columns: Vec<Column>,
    pub key_count: usize,
    /// Per key.
    pub collations: Vec<pg_sys::Oid>,
    /// Per key.
    pub families: Vec<pg_sys::Oid>,
    /// Per key: input type of the operator class.
    pub input_types: Vec<pg_sys::Oid>,
    /// Per key.
    pub classes: Vec<pg_sys::Oid>,
    /// Per key: DESC.
    pub reverse: Vec<bool>,
    /// Per key.
    pub nulls_first: Vec<bool>,
    /// Expressions with varno 1, folded; NIL if all are plain attributes.
    pub expressions: *mut pg_sys::List,
    /// Predicate as an implicit conjunction with varno 1, folded; NIL if not partial.
    pub predicate: *mut pg_sys::List,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    pub tablespace: pg_sys::Oid,
    /// Storage parameters.
    pub options: Vec<(String, String)>,
    /// The relation's owner, or the present user where that one is not a member of it: whose
    /// rights expressions are folded and sampled with.
    pub evaluator: pg_sys::Oid,
}

impl Shape {
    /// A storage parameter as a number.
    pub(super) fn option(&self, name: &str) -> Option<f64> {
        self.options
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| value.parse().ok())
    }

    /// A storage parameter as a truth value (as `parse_bool` reads it, first letters).
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.options
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| matches!(value.as_str(), "on" | "true" | "yes" | "1" | "t" | "y"))
    }
}

/// Reads one `CREATE INDEX` statement and makes its shape on every relation with storage that
/// it covers: the relation itself, or each leaf of a partitioned one. To be called within
/// [`super::isolate::isolated`]; relations stay locked until that ends.
pub(super) fn shapes(text: &str) -> Result<(pg_sys::Oid, Vec<Shape>), Failure> {
    let source = CString::new(text)
        .map_err(|_| syntax("an index definition must not contain a zero byte"))?;
    // SAFETY: within a transaction; the parser copies what it keeps.
    unsafe {
        let parsed = pg_sys::pg_parse_query(source.as_ptr());
        if length(parsed) != 1 {
            return Err(syntax(
                "an index definition must be exactly one CREATE INDEX statement",
            ));
        }
        let raw = items::<pg_sys::RawStmt>(parsed)
            .next()
            .expect("one element");
        if tag((*raw).stmt) != NodeTag::T_IndexStmt {
            return Err(
                syntax("an index definition must be a CREATE INDEX statement")
                    .hint("For example: CREATE INDEX ON orders (customer_id)."),
            );
        }
        let stmt = (*raw).stmt.cast::<pg_sys::IndexStmt>();
        if !(*stmt).excludeOpNames.is_null() {
            return Err(unsupported("exclusion constraints cannot be hypothetical"));
        }
        let parent = pg_sys::RangeVarGetRelidExtended(
            (*stmt).relation,
            pg_sys::AccessShareLock as i32,
            0,
            None,
            std::ptr::null_mut(),
        );
        check_rights(parent)?;
        let only = !(*(*stmt).relation).inh;
        let kind = pg_sys::get_rel_relkind(parent) as u8;
        let targets: Vec<pg_sys::Oid> = match kind {
            b'r' | b'm' => vec![parent],
            b'p' if only => {
                return Err(unsupported(
                    "an index on only the parent of a partitioned table holds nothing",
                ));
            }
            b'p' => leaves(parent),
            _ => {
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                    format!("cannot create index on relation \"{}\"", rel_name(parent)),
                )
                .detail(match kind {
                    b'v' => "This operation is not supported for views.",
                    b'f' => "This operation is not supported for foreign tables.",
                    b'i' | b'I' => "This operation is not supported for indexes.",
                    b'S' => "This operation is not supported for sequences.",
                    _ => "Only tables, partitioned tables and materialized views have indexes.",
                }));
            }
        };
        let mut made = Vec::with_capacity(targets.len());
        for target in targets {
            // The transformation scribbles on its input.
            let copy = pg_sys::copyObjectImpl(stmt.cast()).cast::<pg_sys::IndexStmt>();
            if target != parent {
                let namespace = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(target));
                (*copy).relation =
                    pg_sys::makeRangeVar(namespace, pg_sys::get_rel_name(target), -1);
            }
            made.push(shape(target, copy, &source)?);
        }
        Ok((parent, made))
    }
}

/// Leaf partitions that are tables, locked.
unsafe fn leaves(parent: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    // SAFETY: parent is a locked relation; the list holds OIDs.
    unsafe {
        compat::descendants(parent, pg_sys::AccessShareLock as i32)
            .into_iter()
            .filter(|oid| pg_sys::get_rel_relkind(*oid) as u8 == b'r')
            .collect()
    }
}

/// Who may not read a relation may not learn about it here either; nor may who sees only
/// some of its rows, because sizes and costs speak of all of them.
unsafe fn check_rights(relation: pg_sys::Oid) -> Result<(), Failure> {
    // SAFETY: reads catalogs only.
    unsafe {
        let user = pg_sys::GetUserId();
        if !compat::may_select(relation, user) {
            return Err(Failure::new(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied for relation {}", rel_name(relation)),
            ));
        }
        if pg_sys::check_enable_rls(relation, pg_sys::InvalidOid, true)
            == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
        {
            return Err(Failure::new(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!(
                    "permission denied to estimate indexes of relation {}",
                    rel_name(relation)
                ),
            )
            .detail("Row-level security shows you only some of its rows."));
        }
        Ok(())
    }
}

unsafe fn shape(
    relation: pg_sys::Oid,
    stmt: *mut pg_sys::IndexStmt,
    source: &CStr,
) -> Result<Shape, Failure> {
    // SAFETY: stmt is a raw index statement of ours; the relation is locked.
    unsafe {
        let method = CStr::from_ptr((*stmt).accessMethod);
        let am = pg_sys::get_index_am_oid(method.as_ptr(), false);
        let routine = pg_sys::GetIndexAmRoutineByAmId(am, false);
        let am_name = method.to_string_lossy().into_owned();
        let key_count = length((*stmt).indexParams);
        let total = key_count + length((*stmt).indexIncludingParams);
        if total > pg_sys::INDEX_MAX_KEYS as usize {
            return Err(Failure::index(
                PgSqlErrorCode::ERRCODE_TOO_MANY_COLUMNS,
                format!(
                    "cannot use more than {} columns in an index",
                    pg_sys::INDEX_MAX_KEYS
                ),
            ));
        }
        let lacks = |what: &str| {
            Err(unsupported(format!(
                "access method \"{am_name}\" does not support {what}"
            )))
        };
        if (*stmt).unique && !(*routine).amcanunique {
            return lacks("unique indexes");
        }
        if total > key_count && !(*routine).amcaninclude {
            return lacks("included columns");
        }
        if key_count > 1 && !(*routine).amcanmulticol {
            return lacks("multicolumn indexes");
        }
        let owner = owner_of(relation);
        let user = pg_sys::GetUserId();
        let evaluator = if pg_sys::has_privs_of_role(user, owner) {
            owner
        } else {
            user
        };
        let stmt = compat::transform_index_stmt(relation, stmt, source);
        // From here on functions may run while expressions are folded. With the owner's
        // rights, as CREATE INDEX does, unless that would raise the caller's.
        let caller = user;
        restrict(Some(evaluator));
        let result = columns(relation, stmt, &am_name, am, routine, key_count, evaluator);
        restrict(Some(caller));
        let mut shape = result?;
        shape.options = options(stmt, routine)?;
        if !(*stmt).tableSpace.is_null() {
            shape.tablespace = pg_sys::get_tablespace_oid((*stmt).tableSpace, false);
        }
        Ok(shape)
    }
}

#[allow(clippy::too_many_arguments)]
unsafe fn columns(
    relation: pg_sys::Oid,
    stmt: *mut pg_sys::IndexStmt,
    am_name: &str,
    am: pg_sys::Oid,
    routine: *const pg_sys::IndexAmRoutine,
    key_count: usize,
    evaluator: pg_sys::Oid,
) -> Result<Shape, Failure> {
    let method = CString::new(am_name).expect("names hold no zero byte");
    // SAFETY: stmt is transformed; catalogs are read under the relation's lock.
    unsafe {
        let mut shape = Shape {
            relation,
            am,
            am_name: am_name.to_owned(),
            columns: Vec::new(),
            key_count,
            collations: Vec::new(),
            families: Vec::new(),
            input_types: Vec::new(),
            classes: Vec::new(),
            reverse: Vec::new(),
            nulls_first: Vec::new(),
            expressions: std::ptr::null_mut(),
            predicate: std::ptr::null_mut(),
            unique: (*stmt).unique,
            nulls_not_distinct: (*stmt).nulls_not_distinct,
            tablespace: pg_sys::InvalidOid,
            options: Vec::new(),
            evaluator,
        };
        let elements =
            items::<pg_sys::IndexElem>((*stmt).indexParams)
                .chain(items::<pg_sys::IndexElem>((*stmt).indexIncludingParams));
        for (position, element) in elements.enumerate() {
            let is_key = position < key_count;
            let column = column(relation, element, &mut shape.expressions, is_key)?;
            if is_key {
                key(&mut shape, &column, element, &method, routine)?;
            }
            shape.columns.push(column);
        }
        if !(*stmt).whereClause.is_null() {
            let clause = (*stmt).whereClause;
            if pg_sys::contain_mutable_functions_after_planning(
                pg_sys::copyObjectImpl(clause.cast()).cast(),
            ) {
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
                    "functions in index predicate must be marked IMMUTABLE",
                ));
            }
            // relcache.c, RelationGetIndexPredicate.
            let folded = pg_sys::eval_const_expressions(std::ptr::null_mut(), clause);
            let canonical = pg_sys::canonicalize_qual(folded.cast(), false);
            shape.predicate = pg_sys::make_ands_implicit(canonical);
            pg_sys::fix_opfuncids(shape.predicate.cast());
        }
        Ok(shape)
    }
}

/// indexcmds.c, ComputeIndexAttrs: the attribute or expression of one element.
unsafe fn column(
    relation: pg_sys::Oid,
    element: *mut pg_sys::IndexElem,
    expressions: &mut *mut pg_sys::List,
    is_key: bool,
) -> Result<Column, Failure> {
    // SAFETY: as in `columns`.
    unsafe {
        if !(*element).name.is_null() {
            let tuple = pg_sys::SearchSysCacheAttName(relation, (*element).name);
            if tuple.is_null() {
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
                    format!(
                        "column \"{}\" does not exist",
                        CStr::from_ptr((*element).name).to_string_lossy()
                    ),
                ));
            }
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_attribute>();
            let column = Column {
                attribute: (*form).attnum,
                type_oid: (*form).atttypid,
                typmod: (*form).atttypmod,
                type_collation: (*form).attcollation,
            };
            pg_sys::ReleaseSysCache(tuple);
            if column.attribute < 0 {
                return Err(unsupported(
                    "index creation on system columns is not supported",
                ));
            }
            return Ok(column);
        }
        let mut expression = (*element).expr;
        if !is_key {
            return Err(unsupported(
                "expressions are not supported in included columns",
            ));
        }
        let type_oid = pg_sys::exprType(expression);
        let type_collation = pg_sys::exprCollation(expression);
        // A bare attribute in parentheses, collated or not, is a plain attribute.
        while tag(expression) == NodeTag::T_CollateExpr {
            expression = (*expression.cast::<pg_sys::CollateExpr>()).arg.cast();
        }
        if tag(expression) == NodeTag::T_Var {
            let var = expression.cast::<pg_sys::Var>();
            if (*var).varattno > 0 {
                return Ok(Column {
                    attribute: (*var).varattno,
                    type_oid,
                    typmod: (*var).vartypmod,
                    type_collation,
                });
            }
        }
        if pg_sys::contain_mutable_functions_after_planning(
            pg_sys::copyObjectImpl(expression.cast()).cast(),
        ) {
            return Err(Failure::index(
                PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
                "functions in index expression must be marked IMMUTABLE",
            ));
        }
        // relcache.c, RelationGetIndexExpressions.
        let folded = pg_sys::eval_const_expressions(std::ptr::null_mut(), expression);
        pg_sys::fix_opfuncids(folded);
        *expressions = pg_sys::lappend(*expressions, folded.cast());
        Ok(Column {
            attribute: 0,
            type_oid,
            typmod: pg_sys::exprTypmod(expression),
            type_collation,
        })
    }
}

/// indexcmds.c, ComputeIndexAttrs: collation, operator class and order of one key.
unsafe fn key(
    shape: &mut Shape,
    column: &Column,
    element: *mut pg_sys::IndexElem,
    method: &CStr,
    routine: *const pg_sys::IndexAmRoutine,
) -> Result<(), Failure> {
    // SAFETY: as in `columns`.
    unsafe {
        let mut collation = column.type_collation;
        if !(*element).collation.is_null() {
            collation = pg_sys::get_collation_oid((*element).collation, false);
        }
        let type_name = || {
            CStr::from_ptr(pg_sys::format_type_be(column.type_oid))
                .to_string_lossy()
                .into_owned()
        };
        if pg_sys::type_is_collatable(column.type_oid) {
            if collation == pg_sys::InvalidOid {
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_INDETERMINATE_COLLATION,
                    "could not determine which collation to use for index expression",
                )
                .hint("Use the COLLATE clause to set the collation explicitly."));
            }
        } else if collation != pg_sys::InvalidOid {
            return Err(Failure::index(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                format!("collations are not supported by type {}", type_name()),
            ));
        }
        let class = pg_sys::ResolveOpClass(
            (*element).opclass,
            column.type_oid,
            method.as_ptr(),
            shape.am,
        );
        let ascending = (*element).ordering == pg_sys::SortByDir::SORTBY_DEFAULT;
        let plain_nulls = (*element).nulls_ordering == pg_sys::SortByNulls::SORTBY_NULLS_DEFAULT;
        if !((*routine).amcanorder || ascending && plain_nulls) {
            let what = if ascending {
                "NULLS FIRST/LAST options"
            } else {
                "ASC/DESC options"
            };
            return Err(unsupported(format!(
                "access method \"{}\" does not support {what}",
                shape.am_name
            )));
        }
        let reverse = (*element).ordering == pg_sys::SortByDir::SORTBY_DESC;
        shape.collations.push(collation);
        shape.classes.push(class);
        shape.families.push(pg_sys::get_opclass_family(class));
        shape
            .input_types
            .push(pg_sys::get_opclass_input_type(class));
        shape.reverse.push(reverse);
        shape.nulls_first.push(if plain_nulls {
            reverse
        } else {
            (*element).nulls_ordering == pg_sys::SortByNulls::SORTBY_NULLS_FIRST
        });
        Ok(())
    }
}

/// Storage parameters, checked by the access method.
unsafe fn options(
    stmt: *mut pg_sys::IndexStmt,
    routine: *const pg_sys::IndexAmRoutine,
) -> Result<Vec<(String, String)>, Failure> {
    // SAFETY: stmt is transformed; the list holds DefElems.
    unsafe {
        let packed = pg_sys::transformRelOptions(
            pg_sys::Datum::null(),
            (*stmt).options,
            std::ptr::null(),
            std::ptr::null_mut(),
            false,
            false,
        );
        pg_sys::index_reloptions((*routine).amoptions, packed, true);
        Ok(items::<pg_sys::DefElem>((*stmt).options)
            .map(|option| {
                let value = if (*option).arg.is_null() {
                    "true".to_owned()
                } else {
                    CStr::from_ptr(pg_sys::defGetString(option))
                        .to_string_lossy()
                        .into_owned()
                };
                (
                    CStr::from_ptr((*option).defname)
                        .to_string_lossy()
                        .into_owned(),
                    value,
                )
            })
            .collect())
    }
}

/// The owner of a relation.
unsafe fn owner_of(relation: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the relation is locked, so its pg_class tuple is there.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            pg_sys::Datum::from(relation),
        );
        if tuple.is_null() {
            return pg_sys::GetUserId();
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        owner
    }
}

fn rel_name(relation: pg_sys::Oid) -> String {
    // SAFETY: reads the catalog; null where the relation is gone.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        if name.is_null() {
            relation.to_u32().to_string()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

fn syntax(message: impl Into<String>) -> Failure {
    Failure::index(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, message)
}

fn unsupported(message: impl Into<String>) -> Failure {
    Failure::index(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}
