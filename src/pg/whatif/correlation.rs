//! How far the order of an index's leading key is the order of the rows: what an index scan
//! repeated by a nested loop costs beyond the planner's estimate hangs on it.

use pgrx::pg_sys;

/// The correlation, −1…1, in a row of pg_statistic (pg_statistic.h,
/// STATISTIC_KIND_CORRELATION); `None` where the type has no order or nothing was sampled.
///
/// # Safety
/// `tuple` is null or a row of pg_statistic.
pub(super) unsafe fn of_tuple(tuple: pg_sys::HeapTuple) -> Option<f64> {
    if tuple.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; the slot is freed.
    unsafe {
        let mut slot = pg_sys::AttStatsSlot::default();
        if !pg_sys::get_attstatsslot(
            &mut slot,
            tuple,
            pg_sys::STATISTIC_KIND_CORRELATION as i32,
            pg_sys::InvalidOid,
            pg_sys::ATTSTATSSLOT_NUMBERS as i32,
        ) {
            return None;
        }
        let correlation = (slot.nnumbers > 0).then(|| f64::from(*slot.numbers));
        pg_sys::free_attstatsslot(&mut slot);
        correlation
    }
}

/// Of an attribute of a relation (or of an index, for its expressions) as ANALYZE left it.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn of_attribute(relation: pg_sys::Oid, number: i16) -> Option<f64> {
    // SAFETY: the tuple is released after its last use.
    unsafe {
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            pg_sys::Datum::from(relation),
            pg_sys::Datum::from(number),
            pg_sys::Datum::from(false),
        );
        let correlation = of_tuple(tuple);
        if !tuple.is_null() {
            pg_sys::ReleaseSysCache(tuple);
        }
        correlation
    }
}

/// Of the leading key of a real index.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn of_index(index: pg_sys::Oid) -> Option<f64> {
    // SAFETY: the tuple is checked, read and released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::INDEXRELID as i32,
            pg_sys::Datum::from(index),
        );
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_index>();
        let relation = (*form).indrelid;
        let leading = ((*form).indnatts > 0).then(|| *(*form).indkey.values.as_ptr());
        pg_sys::ReleaseSysCache(tuple);
        match leading? {
            0 => of_attribute(index, 1),
            number => of_attribute(relation, number),
        }
    }
}
