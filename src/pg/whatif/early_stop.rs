//! Where the rows lie that a LIMIT waits for: the order of a scan against the order of what its
//! filters restrict.

use super::correlation;
use crate::pg::planwalk::{Column, EarlyStop, Stretch};
use indexpilot_model::price::{self, Lies};
use pgrx::pg_sys;

/// A column of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered {
    /// Attribute of the relation; 0 for an expression.
    pub attribute: i16,
    /// DESC.
    pub descending: bool,
}

/// The columns of a real b-tree and how many of them are keys.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn of_index(index: pg_sys::Oid) -> Option<(Vec<Ordered>, usize)> {
    // SAFETY: the tuple is checked, read and released; indoption has indnkeyatts elements.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::INDEXRELID as i32,
            pg_sys::Datum::from(index),
        );
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_index>();
        let keys = (*form).indnkeyatts.max(0) as usize;
        let attributes = (*form).indkey.values.as_ptr();
        let mut is_null = false;
        let options = pg_sys::SysCacheGetAttr(
            pg_sys::SysCacheIdentifier::INDEXRELID as i32,
            tuple,
            pg_sys::Anum_pg_index_indoption as i16,
            &raw mut is_null,
        );
        let options: *const pg_sys::int2vector = if is_null {
            std::ptr::null()
        } else {
            options.cast_mut_ptr()
        };
        let columns = (0..(*form).indnatts.max(0) as usize)
            .map(|k| Ordered {
                attribute: *attributes.add(k),
                descending: k < keys
                    && !options.is_null()
                    && *(*options).values.as_ptr().add(k) as u32 & pg_sys::INDOPTION_DESC != 0,
            })
            .collect();
        pg_sys::ReleaseSysCache(tuple);
        Some((columns, keys))
    }
}

/// What the scan's order has to do with its filters: of several, the one that lies worst.
/// `columns` are those of the index (none: the order of the heap), `keys` of them keys.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn judge(
    stop: &EarlyStop,
    columns: &[Ordered],
    keys: usize,
) -> Option<price::EarlyStop> {
    // What is held constant does not order.
    let leading = (0..keys.min(columns.len()))
        .find(|k| !stop.fixed.contains(&(*k as i16 + 1)))
        .map(|k| (k, columns[k]));
    if stop.index != 0 && leading.is_none() {
        return None;
    }
    let attribute = |column: Column| match column {
        Column::Attribute(number) => number,
        Column::OfIndex(number) => columns
            .get((number - 1).max(0) as usize)
            .map_or(0, |column| column.attribute),
    };
    let heap = |number: i16| {
        // SAFETY: the caller's promise.
        (number > 0)
            .then(|| unsafe { correlation::of_attribute(stop.relation.into(), number) })
            .flatten()
    };
    let judged = stop.stretches.iter().filter_map(|&(column, stretch)| {
        let along = match leading {
            None => heap(attribute(column))?,
            Some((k, key)) => {
                let same = match column {
                    Column::OfIndex(number) => number == k as i16 + 1,
                    Column::Attribute(number) => number == key.attribute,
                };
                // Two columns that both follow the heap follow each other.
                let along = if same {
                    1.0
                } else {
                    heap(key.attribute)? * heap(attribute(column))?
                };
                if key.descending { -along } else { along }
            }
        };
        let along = if stop.backward { -along } else { along };
        let lies = match (stretch, along < 0.0) {
            (Stretch::Inside, _) => Lies::Anywhere,
            (Stretch::Low, false) | (Stretch::High, true) => Lies::First,
            (Stretch::Low, true) | (Stretch::High, false) => Lies::Last,
        };
        Some(price::EarlyStop {
            share: stop.share,
            passing: stop.passing,
            lies,
            together: along * along,
            run: stop.run,
        })
    });
    judged.max_by(|a, b| a.skipped().total_cmp(&b.skipped()))
}
