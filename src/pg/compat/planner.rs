//! Planner-side differences: permission checks of a planned statement, fields of
//! `IndexOptInfo`, and functions without a declaration in pgrx.

use crate::pg::nodes::length;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use std::ffi::CStr;

/// Whether updates of columns that only summarising indexes (BRIN) cover stay heap-only
/// (`RelationGetIndexAttrBitmap`, PostgreSQL 16).
pub const SUMMARIZING_IS_HOT: bool = cfg!(not(feature = "pg15"));

mod raw {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        pub fn transformIndexStmt(
            relid: pg_sys::Oid,
            stmt: *mut pg_sys::IndexStmt,
            query_string: *const std::ffi::c_char,
        ) -> *mut pg_sys::IndexStmt;

        pub fn find_all_inheritors(
            parent: pg_sys::Oid,
            lockmode: pg_sys::LOCKMODE,
            numparents: *mut *mut pg_sys::List,
        ) -> *mut pg_sys::List;

        pub fn has_subclass(relation: pg_sys::Oid) -> bool;

        pub fn datumCopy(
            value: pg_sys::Datum,
            by_value: bool,
            length: std::ffi::c_int,
        ) -> pg_sys::Datum;

        pub fn datum_image_hash(
            value: pg_sys::Datum,
            by_value: bool,
            length: std::ffi::c_int,
        ) -> u32;

        pub fn toast_flatten_tuple(
            tuple: pg_sys::HeapTuple,
            desc: pg_sys::TupleDesc,
        ) -> pg_sys::HeapTuple;

        pub fn toast_compress_datum(
            value: pg_sys::Datum,
            method: std::ffi::c_char,
        ) -> pg_sys::Datum;
    }
}

/// catalog/pg_inherits.h: whether a relation may have inheritance children or partitions.
///
/// # Safety
/// The relation is locked.
pub unsafe fn has_children(relation: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise.
    unsafe { pg_guard_ffi_boundary(|| raw::has_subclass(relation)) }
}

/// utils/datum.h: a copy of a value, not null, in the current context.
///
/// # Safety
/// `value` is a value of a type with this length and passing.
pub unsafe fn datum_copy(value: pg_sys::Datum, by_value: bool, length: i16) -> pg_sys::Datum {
    // SAFETY: the caller's promise.
    unsafe { pg_guard_ffi_boundary(|| raw::datumCopy(value, by_value, length.into())) }
}

/// utils/datum.h: a hash of a value's bytes as they are when not compressed.
///
/// # Safety
/// As [`datum_copy`].
pub unsafe fn datum_hash(value: pg_sys::Datum, by_value: bool, length: i16) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { pg_guard_ffi_boundary(|| raw::datum_image_hash(value, by_value, length.into())) }
}

/// access/heaptoast.h: a copy of a tuple with all out-of-line values fetched.
///
/// # Safety
/// A snapshot that sees the tuple is active.
pub unsafe fn flatten(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> pg_sys::HeapTuple {
    // SAFETY: the caller's promise.
    unsafe { pg_guard_ffi_boundary(|| raw::toast_flatten_tuple(tuple, desc)) }
}

/// access/toast_internals.h: the compressed value, or a null pointer if that is no smaller.
///
/// # Safety
/// `value` is a plain varlena value.
pub unsafe fn compress(value: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: the caller's promise; the method 0 stands for the default.
    unsafe { pg_guard_ffi_boundary(|| raw::toast_compress_datum(value, 0)) }
}

/// Sets what `std_typanalyze` reads of an attribute: -1, the default statistics target.
///
/// # Safety
/// `stats` is alive; memory is taken from the current context.
pub unsafe fn set_default_statistics_target(stats: *mut pg_sys::VacAttrStats) {
    // SAFETY: the caller's promise; up to 16 the target stands in a copy of the attribute.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        {
            let attribute = pg_sys::palloc0(std::mem::size_of::<pg_sys::FormData_pg_attribute>())
                .cast::<pg_sys::FormData_pg_attribute>();
            (*attribute).attstattarget = -1;
            (*attribute).atttypid = (*stats).attrtypid;
            (*attribute).atttypmod = (*stats).attrtypmod;
            (*stats).attr = attribute;
        }
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        {
            (*stats).attstattarget = -1;
        }
    }
}

/// The user whose rights count for a relation of a query (selfuncs.c, all_rows_selectable
/// and its forerunners); InvalidOid is the present one.
///
/// # Safety
/// Both belong to one planner call.
#[allow(unused_variables)] // Each version needs only one of the two.
pub unsafe fn user_of(
    rel: *const pg_sys::RelOptInfo,
    entry: *const pg_sys::RangeTblEntry,
) -> pg_sys::Oid {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        {
            (*entry).checkAsUser
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*rel).userid
        }
    }
}

/// Whether a role may read all columns of a relation by a grant on the relation
/// (catalog/acl.h; privileges are 32 bits wide in 15, 64 from 16 on).
///
/// # Safety
/// Within a transaction; the relation exists.
#[cfg_attr(feature = "pg15", allow(clippy::useless_conversion))]
pub unsafe fn may_select(relation: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise; the function only reads catalogs.
    unsafe {
        pg_sys::pg_class_aclcheck(relation, role, pg_sys::AclMode::from(pg_sys::ACL_SELECT))
            == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// Whether an SP-GiST operator class can give back what it indexed: what its configuration
/// function says (access/spgist.h).
///
/// # Safety
/// `config` is the class's configuration function; `key_type` the type that it indexes.
pub unsafe fn spgist_can_return(
    config: pg_sys::Oid,
    collation: pg_sys::Oid,
    key_type: pg_sys::Oid,
) -> bool {
    /// spgConfigIn.
    #[repr(C)]
    struct In {
        key_type: pg_sys::Oid,
    }
    /// spgConfigOut.
    #[repr(C)]
    #[derive(Default)]
    struct Out {
        prefix_type: pg_sys::Oid,
        label_type: pg_sys::Oid,
        leaf_type: pg_sys::Oid,
        can_return_data: bool,
        long_values_ok: bool,
    }
    let input = In { key_type };
    let mut output = Out::default();
    // SAFETY: the caller's promise; both structures are as the header has them in 15 to 18.
    unsafe {
        pg_sys::OidFunctionCall2Coll(
            config,
            collation,
            pg_sys::Datum::from(std::ptr::from_ref(&input)),
            pg_sys::Datum::from(std::ptr::from_mut(&mut output)),
        );
    }
    output.can_return_data
}

/// parser/parse_utilcmd.h: parse analysis of an index statement's expressions.
///
/// # Safety
/// `stmt` is a raw index statement over `relation`, which the caller has locked.
pub unsafe fn transform_index_stmt(
    relation: pg_sys::Oid,
    stmt: *mut pg_sys::IndexStmt,
    source: &CStr,
) -> *mut pg_sys::IndexStmt {
    // SAFETY: the caller's promise; the guard turns an error into an unwinding.
    unsafe { pg_guard_ffi_boundary(|| raw::transformIndexStmt(relation, stmt, source.as_ptr())) }
}

/// catalog/pg_inherits.h: the relation and all its descendants, locked with `mode`.
///
/// # Safety
/// Within a transaction.
pub unsafe fn descendants(relation: pg_sys::Oid, mode: pg_sys::LOCKMODE) -> Vec<pg_sys::Oid> {
    // SAFETY: the result is a list of OIDs in the current context.
    unsafe {
        let list = pg_guard_ffi_boundary(|| {
            raw::find_all_inheritors(relation, mode, std::ptr::null_mut())
        });
        (0..length(list))
            .map(|position| (*(*list).elements.add(position)).oid_value)
            .collect()
    }
}

/// Raises the error that the executor would raise when the present user may not run `stmt`
/// (execMain.c, InitPlan).
///
/// # Safety
/// `stmt` is a planned statement of this process.
pub unsafe fn check_permissions(stmt: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        pg_sys::ExecCheckRTPerms((*stmt).rtable, true);
        #[cfg(not(feature = "pg15"))]
        pg_sys::ExecCheckPermissions((*stmt).rtable, (*stmt).permInfos, true);
    }
}

/// Sets the cost estimator of an index to its access method's.
///
/// # Safety
/// Both point to live structures.
pub unsafe fn set_cost_estimate(
    index: *mut pg_sys::IndexOptInfo,
    estimate: pg_sys::amcostestimate_function,
) {
    // SAFETY: the caller's promise; in 15 the field is declared without arguments but
    // holds the same pointer (pathnodes.h: "rather than include amapi.h here").
    unsafe {
        #[cfg(feature = "pg15")]
        {
            (*index).amcostestimate = std::mem::transmute::<
                pg_sys::amcostestimate_function,
                Option<unsafe extern "C-unwind" fn()>,
            >(estimate);
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*index).amcostestimate = estimate;
        }
    }
}

/// UNIQUE NULLS NOT DISTINCT, which the planner knows of from 18 on.
#[cfg_attr(not(feature = "pg18"), allow(unused_variables))]
pub fn set_nulls_not_distinct(index: &mut pg_sys::IndexOptInfo, value: bool) {
    #[cfg(feature = "pg18")]
    {
        index.nullsnotdistinct = value;
    }
}

/// The attribute `number` (from 1) of a tuple descriptor.
///
/// # Safety
/// `desc` is alive and has that many attributes.
pub unsafe fn attribute(
    desc: pg_sys::TupleDesc,
    number: i16,
) -> *const pg_sys::FormData_pg_attribute {
    let position = (number - 1) as usize;
    // SAFETY: the caller's promise. In 18 the full attributes stand behind the compact ones
    // (tupdesc.h, TupleDescAttr).
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            (*desc).attrs.as_ptr().add(position)
        }
        #[cfg(feature = "pg18")]
        {
            let compact = (*desc).compact_attrs.as_ptr();
            compact
                .add((*desc).natts as usize)
                .cast::<pg_sys::FormData_pg_attribute>()
                .add(position)
        }
    }
}
