//! Statistics of expressions that no index holds yet: what ANALYZE would write to
//! pg_statistic if the index were there (analyze.c, do_analyze_rel), from a sample, kept in
//! memory and handed to the planner through its hooks.

use super::definition::Shape;
use super::failure::Failure;
use super::isolate::restrict;
use super::projection::{KeyValues, Projection};
use crate::pg::compat::planner as compat;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// `pg_statistic` (catalog/pg_statistic.h).
const STATISTIC_RELATION: u32 = 2619;
const FLOAT4: u32 = 700;
const SLOTS: usize = 5;

/// Statistics tuples of a shape's expression keys, by position among the columns; made in the
/// current context. Positions without (nothing sampled, a type without statistics) are null.
/// With the evaluator's rights, because types' analysis functions may be users'.
pub(super) fn of_expressions(
    shape: &Shape,
    projection: &Projection,
    total: f64,
) -> Result<Vec<pg_sys::HeapTuple>, Failure> {
    // SAFETY: within an isolated evaluation; the projection's values are alive.
    unsafe {
        let caller = pg_sys::GetUserId();
        restrict(Some(shape.evaluator));
        let mut tuples = Vec::with_capacity(shape.columns.len());
        for (position, column) in shape.columns.iter().enumerate() {
            let key = projection.keys.get(position);
            tuples.push(match key {
                Some(key) if column.attribute == 0 && projection.rows > 0 => {
                    let collation = shape
                        .collations
                        .get(position)
                        .copied()
                        .unwrap_or(pg_sys::InvalidOid);
                    let collation = if collation == pg_sys::InvalidOid {
                        column.type_collation
                    } else {
                        collation
                    };
                    analyze(key, column.typmod, collation, projection.rows, total)
                }
                _ => std::ptr::null_mut(),
            });
        }
        restrict(Some(caller));
        Ok(tuples)
    }
}

/// One key's tuple; null where the type cannot be analysed.
unsafe fn analyze(
    key: &KeyValues,
    typmod: i32,
    collation: pg_sys::Oid,
    rows: usize,
    total: f64,
) -> pg_sys::HeapTuple {
    // SAFETY: the structure is filled as examine_attribute (analyze.c) does; work memory is a
    // context of its own, deleted here or with its parent when an error unwinds.
    unsafe {
        let result = pg_sys::CurrentMemoryContext;
        let work = pg_sys::AllocSetContextCreateInternal(
            result,
            c"indexpilot expression statistics".as_ptr(),
            0,
            8 * 1024,
            8 * 1024 * 1024,
        );
        pg_sys::CurrentMemoryContext = work;
        let stats = pg_sys::palloc0(std::mem::size_of::<pg_sys::VacAttrStats>())
            .cast::<pg_sys::VacAttrStats>();
        let type_tuple = pg_sys::SearchSysCacheCopy(
            pg_sys::SysCacheIdentifier::TYPEOID as i32,
            pg_sys::Datum::from(key.type_oid),
            pg_sys::Datum::null(),
            pg_sys::Datum::null(),
            pg_sys::Datum::null(),
        );
        let mut made = std::ptr::null_mut();
        if !type_tuple.is_null() {
            let form = pg_sys::GETSTRUCT(type_tuple).cast::<pg_sys::FormData_pg_type>();
            (*stats).attrtypid = key.type_oid;
            (*stats).attrtypmod = typmod;
            (*stats).attrtype = form;
            (*stats).attrcollid = collation;
            (*stats).anl_context = work;
            (*stats).tupattnum = 1;
            for slot in 0..SLOTS {
                (*stats).statypid[slot] = key.type_oid;
                (*stats).statyplen[slot] = (*form).typlen;
                (*stats).statypbyval[slot] = (*form).typbyval;
                (*stats).statypalign[slot] = (*form).typalign;
            }
            compat::set_default_statistics_target(stats);
            let analyzer = (*form).typanalyze;
            let possible = if analyzer == pg_sys::InvalidOid {
                pg_sys::std_typanalyze(stats)
            } else {
                pg_sys::OidFunctionCall1Coll(
                    analyzer,
                    pg_sys::InvalidOid,
                    pg_sys::Datum::from(stats),
                )
                .value()
                    != 0
            };
            if let (true, Some(compute)) = (possible, (*stats).compute_stats) {
                (*stats).exprvals = key.values.as_ptr().cast_mut();
                (*stats).exprnulls = key.nulls.as_ptr().cast_mut();
                (*stats).rowstride = 1;
                pg_guard_ffi_boundary(|| compute(stats, Some(fetch), rows as i32, total));
                if (*stats).stats_valid {
                    made = tuple(stats, result);
                }
            }
        }
        pg_sys::CurrentMemoryContext = result;
        pg_sys::MemoryContextDelete(work);
        made
    }
}

/// analyze.c, ind_fetch_func.
unsafe extern "C-unwind" fn fetch(
    stats: pg_sys::VacAttrStatsP,
    row: std::ffi::c_int,
    null: *mut bool,
) -> pg_sys::Datum {
    // SAFETY: the arrays hold as many values as rows were announced.
    unsafe {
        *null = *(*stats).exprnulls.add(row as usize);
        *(*stats).exprvals.add(row as usize)
    }
}

/// The pg_statistic row (analyze.c, update_attstats), made in `context`.
unsafe fn tuple(
    stats: *const pg_sys::VacAttrStats,
    context: pg_sys::MemoryContext,
) -> pg_sys::HeapTuple {
    // SAFETY: computed statistics; attribute numbers are those of pg_statistic.h.
    unsafe {
        let relation = pg_sys::relation_open(
            pg_sys::Oid::from(STATISTIC_RELATION),
            pg_sys::AccessShareLock as i32,
        );
        let desc = (*relation).rd_att;
        let attributes = (*desc).natts as usize;
        let mut values = vec![pg_sys::Datum::null(); attributes];
        let mut nulls = vec![false; attributes];
        let at = |number: u32| number as usize - 1;
        values[at(pg_sys::Anum_pg_statistic_stanullfrac)] = float4((*stats).stanullfrac);
        values[at(pg_sys::Anum_pg_statistic_stawidth)] = pg_sys::Datum::from((*stats).stawidth);
        values[at(pg_sys::Anum_pg_statistic_stadistinct)] = float4((*stats).stadistinct);
        for slot in 0..SLOTS {
            values[at(pg_sys::Anum_pg_statistic_stakind1) + slot] =
                pg_sys::Datum::from((*stats).stakind[slot]);
            values[at(pg_sys::Anum_pg_statistic_staop1) + slot] =
                pg_sys::Datum::from((*stats).staop[slot]);
            values[at(pg_sys::Anum_pg_statistic_stacoll1) + slot] =
                pg_sys::Datum::from((*stats).stacoll[slot]);
            let numbers = at(pg_sys::Anum_pg_statistic_stanumbers1) + slot;
            let count = (*stats).numnumbers[slot];
            if count > 0 {
                let mut data: Vec<pg_sys::Datum> = (0..count as usize)
                    .map(|i| float4(*(*stats).stanumbers[slot].add(i)))
                    .collect();
                values[numbers] = pg_sys::Datum::from(pg_sys::construct_array(
                    data.as_mut_ptr(),
                    count,
                    pg_sys::Oid::from(FLOAT4),
                    4,
                    true,
                    b'i' as std::ffi::c_char,
                ));
            } else {
                nulls[numbers] = true;
            }
            let array = at(pg_sys::Anum_pg_statistic_stavalues1) + slot;
            let count = (*stats).numvalues[slot];
            if count > 0 {
                values[array] = pg_sys::Datum::from(pg_sys::construct_array(
                    (*stats).stavalues[slot],
                    count,
                    (*stats).statypid[slot],
                    (*stats).statyplen[slot].into(),
                    (*stats).statypbyval[slot],
                    (*stats).statypalign[slot],
                ));
            } else {
                nulls[array] = true;
            }
        }
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = context;
        let made = pg_sys::heap_form_tuple(desc, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::CurrentMemoryContext = before;
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        made
    }
}

fn float4(value: f32) -> pg_sys::Datum {
    pg_sys::Datum::from(value.to_bits())
}
