//! What pg_statistic says of the keys of an index.

use crate::pg::compat::planner as compat;
use indexpilot_sizing::KeyGroup;
use indexpilot_sizing::duplicates::spread;
use indexpilot_sizing::page::{TUPLE_HEADER, max_align, mean_aligned};
use pgrx::pg_sys;

/// Statistics of one key.
#[derive(Clone, Debug)]
pub(super) struct KeyStatistics {
    pub null_fraction: f64,
    /// Mean bytes of a value that is not null, as stored.
    pub width: f64,
    /// Absolute number of distinct values that are not null.
    pub distinct: f64,
    /// Frequencies of the most common values.
    pub common: Vec<f64>,
    pub length: i16,
    pub alignment: f64,
}

pub(super) fn alignment(code: u8) -> f64 {
    match code {
        b'd' => 8.0,
        b'i' => 4.0,
        b's' => 2.0,
        _ => 1.0,
    }
}

/// pg_statistic of a plain attribute, scaled to the `tuples` that the index holds.
pub(super) unsafe fn attribute_statistics(
    relation: pg_sys::Relation,
    number: i16,
    heap_tuples: f64,
    tuples: f64,
) -> KeyStatistics {
    // SAFETY: the relation is open and the attribute exists.
    unsafe {
        let attribute = &*compat::attribute((*relation).rd_att, number);
        let mut found = KeyStatistics {
            null_fraction: 0.0,
            width: if attribute.attlen > 0 {
                attribute.attlen.into()
            } else {
                pg_sys::get_typavgwidth(attribute.atttypid, attribute.atttypmod).into()
            },
            distinct: tuples.min(200.0),
            common: Vec::new(),
            length: attribute.attlen,
            alignment: alignment(attribute.attalign as u8),
        };
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            pg_sys::Datum::from((*relation).rd_id),
            pg_sys::Datum::from(number),
            pg_sys::Datum::from(false),
        );
        if tuple.is_null() {
            return found;
        }
        let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_statistic>();
        found.null_fraction = f64::from(form.stanullfrac);
        if attribute.attlen < 0 && form.stawidth > 0 {
            found.width = form.stawidth.into();
        }
        let distinct = f64::from(form.stadistinct);
        if distinct > 0.0 {
            found.distinct = distinct;
        } else if distinct < 0.0 {
            found.distinct = -distinct * heap_tuples;
        }
        let mut slot = pg_sys::AttStatsSlot::default();
        if pg_sys::get_attstatsslot(
            &mut slot,
            tuple,
            pg_sys::STATISTIC_KIND_MCV as i32,
            pg_sys::InvalidOid,
            pg_sys::ATTSTATSSLOT_NUMBERS as i32,
        ) {
            found.common = (0..slot.nnumbers as usize)
                .map(|position| f64::from(*slot.numbers.add(position)))
                .collect();
            pg_sys::free_attstatsslot(&mut slot);
        }
        pg_sys::ReleaseSysCache(tuple);
        let rows = tuples * (1.0 - found.null_fraction);
        found.distinct = found.distinct.clamp(1.0, rows.max(1.0));
        found
    }
}

/// What the type says, where there are no statistics.
pub(super) unsafe fn expression_statistics(
    expression: *const pg_sys::Node,
    tuples: f64,
) -> KeyStatistics {
    let (mut length, mut by_value, mut align) = (0i16, false, 0);
    // SAFETY: an expression of the shape.
    let width = unsafe {
        let type_oid = pg_sys::exprType(expression);
        pg_sys::get_typlenbyvalalign(type_oid, &mut length, &mut by_value, &mut align);
        pg_sys::get_typavgwidth(type_oid, pg_sys::exprTypmod(expression))
    };
    KeyStatistics {
        null_fraction: 0.0,
        width: width.into(),
        distinct: tuples.max(1.0),
        common: Vec::new(),
        length,
        alignment: alignment(align as u8),
    }
}

/// Mean bytes of an index tuple over `keys`, aligned (itup.h, heap_fill_tuple): short values
/// of variable length are stored unaligned with a one-byte header.
pub(super) fn tuple_bytes(keys: &[KeyStatistics]) -> f64 {
    let (mut data, mut varies, mut all_present, mut missing) = (0.0, false, 1.0, 0.0);
    for key in keys {
        if key.length > 0 {
            data = (data / key.alignment).ceil() * key.alignment + key.width;
        } else {
            varies = true;
            if key.width > 127.0 {
                data += key.alignment / 2.0;
            }
            data += key.width;
        }
        all_present *= 1.0 - key.null_fraction;
        missing += key.null_fraction * key.width;
    }
    let plain = mean_aligned(TUPLE_HEADER + data, varies);
    if all_present >= 1.0 {
        return plain;
    }
    // With any null: a bitmap of four bytes, and no data for what is null (given one is).
    let absent = (missing / (1.0 - all_present)).min(data);
    let with_bitmap = mean_aligned(max_align(TUPLE_HEADER + 4.0) + data - absent, varies);
    all_present * plain + (1.0 - all_present) * with_bitmap
}

/// How often the keys of `tuples` rows repeat.
pub(super) fn groups(keys: &[KeyStatistics], tuples: f64) -> Vec<KeyGroup> {
    let mut groups = Vec::new();
    if let [key] = keys {
        let nulls = key.null_fraction * tuples;
        let mut rest = tuples - nulls;
        let mut distinct = key.distinct;
        if nulls >= 1.0 {
            groups.push(KeyGroup {
                keys: 1.0,
                repeats: nulls,
            });
        }
        for frequency in &key.common {
            let repeats = (frequency * tuples).min(rest);
            if repeats >= 1.0 {
                groups.push(KeyGroup { keys: 1.0, repeats });
                rest -= repeats;
                distinct -= 1.0;
            }
        }
        if rest >= 1.0 {
            groups.extend(spread(distinct.clamp(1.0, rest), rest));
        }
    } else if tuples >= 1.0 {
        let product: f64 = keys.iter().map(|key| key.distinct).product();
        let distinct = product.clamp(1.0, tuples);
        groups.extend(spread(distinct, tuples));
    }
    groups
}
