//! Rows of the system caches, copied, so that nothing stays pinned.

use pgrx::pg_sys;

/// The fixed part of an attribute's row in `pg_attribute`; `None` where the relation or the
/// attribute is gone.
///
/// # Safety
/// Inside a transaction, with a lock on the relation if the answer has to stay true.
pub unsafe fn attribute(
    relation: pg_sys::Oid,
    number: i16,
) -> Option<pg_sys::FormData_pg_attribute> {
    // SAFETY: the tuple is checked, its fixed part copied, and released.
    unsafe {
        let tuple = pg_sys::SearchSysCache2(
            pg_sys::SysCacheIdentifier::ATTNUM as i32,
            pg_sys::Datum::from(relation),
            pg_sys::Datum::from(number),
        );
        if tuple.is_null() {
            return None;
        }
        let form = *pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_attribute>();
        pg_sys::ReleaseSysCache(tuple);
        Some(form)
    }
}
