//! From catalogs and statistics to the inputs of `indexpilot-sizing`.

use super::definition::Shape;
use super::failure::Failure;
use crate::pg::compat::planner as compat;
use crate::pg::nodes::items;
use indexpilot_model::price::SizeEstimate;
use indexpilot_sizing::btree::{self, KeyGroup};
use indexpilot_sizing::page::{PAGE, TUPLE_HEADER, max_align, mean_aligned};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;

/// A relation as the planner sees it now (plancat.c, estimate_rel_size).
struct Heap {
    pages: f64,
    tuples: f64,
}

/// Statistics of one key.
#[derive(Clone, Debug)]
struct KeyStatistics {
    null_fraction: f64,
    /// Mean bytes of a value that is not null, as stored.
    width: f64,
    /// Absolute number of distinct values that are not null.
    distinct: f64,
    /// Frequencies of the most common values.
    common: Vec<f64>,
    length: i16,
    alignment: f64,
}

/// The size of the index, and the share of the relation's rows in it. Within
/// [`super::isolate::isolated`], the relation locked.
pub(super) fn estimate(shape: &Shape) -> Result<(SizeEstimate, f64), Failure> {
    // SAFETY: the relation is locked, the shape's trees are alive.
    unsafe {
        let relation = pg_sys::relation_open(shape.relation, pg_sys::NoLock as i32);
        let heap = heap(relation);
        let selectivity = if shape.predicate.is_null() {
            1.0
        } else {
            predicate_selectivity(shape, heap.tuples)?
        };
        let tuples = (heap.tuples * selectivity).round();
        let mut expressions = items::<pg_sys::Node>(shape.expressions);
        let keys: Vec<KeyStatistics> = shape
            .columns
            .iter()
            .map(|column| {
                if column.attribute == 0 {
                    let expression = expressions.next().unwrap_or(std::ptr::null_mut());
                    expression_statistics(expression, tuples)
                } else {
                    attribute_statistics(relation, column.attribute, heap.tuples, tuples)
                }
            })
            .collect();
        let size = match shape.am_name.as_str() {
            "btree" => btree_size(shape, &keys, tuples),
            other => {
                pg_sys::relation_close(relation, pg_sys::NoLock as i32);
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                    format!("access method \"{other}\" cannot be hypothetical"),
                ));
            }
        };
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        let pages = size.pages.max(1.0);
        Ok((
            SizeEstimate {
                pages: pages as u64,
                bytes: (pages * PAGE) as u64,
                tuples,
                height: size.height,
                build_cost: build_cost(&heap, tuples, pages, shape.am_name == "btree"),
                rough: false,
            },
            selectivity,
        ))
    }
}

unsafe fn heap(relation: pg_sys::Relation) -> Heap {
    let (mut pages, mut tuples, mut visible) = (0, 0.0, 0.0);
    // SAFETY: an open relation with storage.
    unsafe {
        pg_sys::estimate_rel_size(
            relation,
            std::ptr::null_mut(),
            &mut pages,
            &mut tuples,
            &mut visible,
        );
    }
    Heap {
        pages: pages.into(),
        tuples,
    }
}

/// A sequential scan, a sort's comparisons and the pages written, in planner cost units
/// (costsize.c, cost_seqscan, cost_tuplesort).
fn build_cost(heap: &Heap, tuples: f64, pages: f64, sorted: bool) -> f64 {
    // SAFETY: plain settings of the main thread.
    unsafe {
        let scan = heap.pages * pg_sys::seq_page_cost + heap.tuples * pg_sys::cpu_tuple_cost;
        let sort = if sorted {
            2.0 * pg_sys::cpu_operator_cost * tuples * tuples.max(2.0).log2()
        } else {
            pg_sys::cpu_index_tuple_cost * tuples
        };
        scan + sort + pages * pg_sys::seq_page_cost
    }
}

/// The planner's own estimate of how many rows satisfy the predicate.
unsafe fn predicate_selectivity(shape: &Shape, tuples: f64) -> Result<f64, Failure> {
    // SAFETY: the query is ours; varno 1 of the predicate is its only range-table entry.
    unsafe {
        let namespace = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(shape.relation));
        let name =
            pg_sys::quote_qualified_identifier(namespace, pg_sys::get_rel_name(shape.relation));
        let mut text = b"SELECT 1 FROM ONLY ".to_vec();
        text.extend_from_slice(CStr::from_ptr(name).to_bytes());
        text.push(0);
        let text = CStr::from_bytes_with_nul(&text).expect("one zero byte, at the end");
        let raw = items::<pg_sys::RawStmt>(pg_sys::pg_parse_query(text.as_ptr()))
            .next()
            .expect("one statement");
        let query = pg_sys::parse_analyze_fixedparams(
            raw,
            text.as_ptr(),
            std::ptr::null(),
            0,
            std::ptr::null_mut(),
        );
        let conjunction = pg_sys::make_ands_explicit(shape.predicate);
        (*(*query).jointree).quals = pg_sys::copyObjectImpl(conjunction.cast()).cast();
        let planned = pg_sys::planner(query, text.as_ptr(), 0, std::ptr::null_mut());
        let rows = (*(*planned).planTree).plan_rows;
        Ok((rows / tuples.max(1.0)).clamp(0.0, 1.0))
    }
}

fn alignment(code: u8) -> f64 {
    match code {
        b'd' => 8.0,
        b'i' => 4.0,
        b's' => 2.0,
        _ => 1.0,
    }
}

/// pg_statistic of a plain attribute, scaled to the `tuples` that the index holds.
unsafe fn attribute_statistics(
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
unsafe fn expression_statistics(expression: *const pg_sys::Node, tuples: f64) -> KeyStatistics {
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
fn tuple_bytes(keys: &[KeyStatistics]) -> f64 {
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

unsafe fn btree_size(
    shape: &Shape,
    keys: &[KeyStatistics],
    tuples: f64,
) -> indexpilot_sizing::Size {
    let has_payload = shape.columns.len() > shape.key_count;
    let deduplicate = !shape.unique
        && !has_payload
        && shape.switch("deduplicate_items").unwrap_or(true)
        // SAFETY: catalog look-ups and calls of operator class support functions.
        && (0..shape.key_count).all(|position| unsafe { equal_image(shape, position) });
    let groups = groups(&keys[..shape.key_count], tuples);
    btree::size(&btree::Input {
        leaf_tuple: tuple_bytes(keys),
        pivot_tuple: tuple_bytes(&keys[..1]),
        groups: &groups,
        deduplicate,
        fillfactor: shape.option("fillfactor").unwrap_or(90.0),
    })
}

/// How often keys repeat.
fn groups(keys: &[KeyStatistics], tuples: f64) -> Vec<KeyGroup> {
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
            let keys = distinct.clamp(1.0, rest);
            groups.push(KeyGroup {
                keys,
                repeats: rest / keys,
            });
        }
    } else if tuples >= 1.0 {
        let product: f64 = keys.iter().map(|key| key.distinct).product();
        let distinct = product.clamp(1.0, tuples);
        groups.push(KeyGroup {
            keys: distinct,
            repeats: tuples / distinct,
        });
    }
    groups
}

/// nbtutils.c, _bt_allequalimage, for one key: equal values are the same bytes.
unsafe fn equal_image(shape: &Shape, position: usize) -> bool {
    const EQUAL_IMAGE: i16 = 4;
    let input = shape.input_types[position];
    // SAFETY: the support function's signature is fixed by the access method.
    unsafe {
        let function =
            pg_sys::get_opfamily_proc(shape.families[position], input, input, EQUAL_IMAGE);
        if function == pg_sys::InvalidOid {
            return false;
        }
        pg_sys::OidFunctionCall1Coll(
            function,
            shape.collations[position],
            pg_sys::Datum::from(input),
        )
        .value()
            != 0
    }
}
