//! Names of catalog objects. Every function gives `None` for what is not there (any more),
//! so that a stored tree can be read after its objects were dropped.

use indexpilot_model::identifier::QualifiedName;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// Copies a C string; the original belongs to the current memory context and is freed.
unsafe fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
    pg_sys::pfree(text.cast());
    Some(copy)
}

/// A fixed-size name of a catalog row.
unsafe fn name_data(name: &pg_sys::NameData) -> String {
    CStr::from_ptr(name.data.as_ptr())
        .to_string_lossy()
        .into_owned()
}

/// Runs `read` on the row of a system cache with a single OID key.
unsafe fn with_row<Row, T>(
    cache: pg_sys::SysCacheIdentifier::Type,
    oid: pg_sys::Oid,
    read: impl FnOnce(&Row) -> T,
) -> Option<T> {
    let tuple = pg_sys::SearchSysCache1(cache as i32, oid.into());
    if tuple.is_null() {
        return None;
    }
    let row = pg_sys::heap_tuple_get_struct::<Row>(tuple);
    let result = read(&*row);
    pg_sys::ReleaseSysCache(tuple);
    Some(result)
}

/// A schema's name.
pub unsafe fn schema(oid: pg_sys::Oid) -> Option<String> {
    taken(pg_sys::get_namespace_name(oid))
}

/// A relation's schema and name.
pub unsafe fn relation(oid: pg_sys::Oid) -> Option<QualifiedName> {
    let name = taken(pg_sys::get_rel_name(oid))?;
    Some(QualifiedName::new(
        schema(pg_sys::get_rel_namespace(oid))?,
        name,
    ))
}

/// An attribute's name; `None` for dropped ones too.
pub unsafe fn attribute(relation: pg_sys::Oid, number: i16) -> Option<String> {
    taken(pg_sys::get_attname(relation, number, true))
}

/// A type's schema and name, as pg_type has them (`int4`, `_text`).
pub unsafe fn type_name(oid: pg_sys::Oid) -> Option<QualifiedName> {
    let (name, namespace) = with_row(
        pg_sys::SysCacheIdentifier::TYPEOID,
        oid,
        |row: &pg_sys::FormData_pg_type| (name_data(&row.typname), row.typnamespace),
    )?;
    Some(QualifiedName::new(schema(namespace)?, name))
}

/// A function's schema and name.
pub unsafe fn function(oid: pg_sys::Oid) -> Option<QualifiedName> {
    let name = taken(pg_sys::get_func_name(oid))?;
    Some(QualifiedName::new(
        schema(pg_sys::get_func_namespace(oid))?,
        name,
    ))
}

/// What roles need to know of an operator.
pub struct Operator {
    /// Schema and symbol.
    pub name: QualifiedName,
    /// Left operand's type; 0 for prefix operators.
    pub left: pg_sys::Oid,
    /// Restriction selectivity estimator.
    pub estimator: u32,
}

/// An operator.
pub unsafe fn operator(oid: pg_sys::Oid) -> Option<Operator> {
    let (name, namespace, left, estimator) = with_row(
        pg_sys::SysCacheIdentifier::OPEROID,
        oid,
        |row: &pg_sys::FormData_pg_operator| {
            (
                name_data(&row.oprname),
                row.oprnamespace,
                row.oprleft,
                row.oprrest.to_u32(),
            )
        },
    )?;
    Some(Operator {
        name: QualifiedName::new(schema(namespace)?, name),
        left,
        estimator,
    })
}

/// A collation's schema and name.
pub unsafe fn collation(oid: pg_sys::Oid) -> Option<QualifiedName> {
    let (name, namespace) = with_row(
        pg_sys::SysCacheIdentifier::COLLOID,
        oid,
        |row: &pg_sys::FormData_pg_collation| (name_data(&row.collname), row.collnamespace),
    )?;
    Some(QualifiedName::new(schema(namespace)?, name))
}

/// The category letter of a type (pg_type.typcategory) and its kind (typtype).
pub unsafe fn type_class(oid: pg_sys::Oid) -> Option<(u8, u8)> {
    with_row(
        pg_sys::SysCacheIdentifier::TYPEOID,
        oid,
        |row: &pg_sys::FormData_pg_type| (row.typcategory as u8, row.typtype as u8),
    )
}

/// Constants longer than this are not kept, in bytes.
const MAX_CONSTANT_BYTES: usize = 1_000;

/// The output form of a constant; `None` for NULL, for what is too long to keep and for types
/// that are gone.
pub unsafe fn constant(node: *const pg_sys::Const) -> Option<String> {
    if (*node).constisnull {
        return None;
    }
    // Detoasted size is not looked at: a constant of a statement is never toasted.
    if (*node).constlen == -1
        && pgrx::varsize_any((*node).constvalue.cast_mut_ptr()) > 4 * MAX_CONSTANT_BYTES
    {
        return None;
    }
    type_class((*node).consttype)?;
    let (mut output, mut varlena) = (pg_sys::InvalidOid, false);
    pg_sys::getTypeOutputInfo((*node).consttype, &mut output, &mut varlena);
    taken(pg_sys::OidOutputFunctionCall(output, (*node).constvalue))
        .filter(|text| text.len() <= MAX_CONSTANT_BYTES)
}
