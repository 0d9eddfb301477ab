//! From catalogs and statistics to the inputs of `indexpilot-sizing`.

use super::correlation;
use super::definition::Shape;
use super::failure::Failure;
use super::keys::{KeyStatistics, attribute_statistics, expression_statistics};
use super::methods::{Inputs, Sampled};
use super::projection::Projection;
use super::sample::Samples;
use crate::pg::nodes::items;
use indexpilot_model::price::SizeEstimate;
use indexpilot_sizing::page::PAGE;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;

/// A relation as the planner sees it now (plancat.c, estimate_rel_size).
pub(super) struct Heap {
    pub pages: f64,
    pub tuples: f64,
}

/// What is estimated of an index on one relation.
pub(super) struct Estimated {
    pub size: SizeEstimate,
    /// Share of the relation's rows that it holds.
    pub selectivity: f64,
    /// Keys computed over a sample, where the estimate needed them; in the context that was
    /// current.
    pub projection: Option<Projection>,
    /// Rows of the index, for the statistics of its expressions.
    pub rows: f64,
    /// Rows of a key, where that was looked at.
    pub rows_per_key: Option<f64>,
}

/// Estimates size and selectivity. Within [`super::isolate::isolated`], the relation locked.
pub(super) fn estimate(shape: &Shape, samples: &mut Samples) -> Result<Estimated, Failure> {
    // SAFETY: the relation is locked, the shape's trees are alive.
    unsafe {
        let relation = pg_sys::relation_open(shape.relation, pg_sys::NoLock as i32);
        let heap = heap(relation);
        let projection = if needs_sample(shape) && heap.tuples > 0.0 {
            let sample = samples.of(shape.relation)?;
            Some(Projection::of(shape, sample)?)
        } else {
            None
        };
        let selectivity = selectivity(shape, &heap, projection.as_ref())?;
        let tuples = (heap.tuples * selectivity).round();
        let keys = keys(shape, relation, &heap, tuples);
        let sampled = if needs_columns(shape, &keys) && tuples > 0.0 {
            let sample = samples.of(shape.relation)?;
            (!sample.tuples.is_empty()).then(|| Sampled {
                sample,
                columns: shape
                    .columns
                    .iter()
                    .map(|column| {
                        sample
                            .columns
                            .of(relation, column.attribute, &sample.tuples)
                    })
                    .collect(),
            })
        } else {
            None
        };
        let inputs = Inputs {
            shape,
            keys,
            projection: projection.as_ref().filter(|p| p.rows > 0),
            sampled,
            heap: &heap,
            tuples,
        };
        let (size, rough) = match shape.am_name.as_str() {
            "btree" => (inputs.btree(), false),
            "hash" => (inputs.hash(), false),
            "brin" => (inputs.brin(), false),
            "gin" => (inputs.gin()?, true),
            "gist" => (inputs.gist()?, true),
            "spgist" => (inputs.spgist(), true),
            other => {
                return Err(Failure::index(
                    PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                    format!("access method \"{other}\" cannot be hypothetical"),
                ));
            }
        };
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        let pages = size.pages.max(1.0);
        Ok(Estimated {
            size: SizeEstimate {
                pages: pages as u64,
                bytes: (pages * PAGE) as u64,
                tuples,
                height: size.height,
                build_cost: build_cost(&heap, tuples, pages, shape.am_name == "btree"),
                rough,
            },
            selectivity,
            rows_per_key: inputs.rows_per_key(),
            projection,
            rows: tuples,
        })
    }
}

/// Expressions and predicates have to be evaluated, and what GIN, GiST and SP-GiST make of a
/// value is for their operator classes to say.
fn needs_sample(shape: &Shape) -> bool {
    !is_plain(shape) || !matches!(shape.am_name.as_str(), "btree" | "hash" | "brin")
}

/// Holds nothing but attributes, of all rows.
pub(super) fn is_plain(shape: &Shape) -> bool {
    shape.expressions.is_null() && shape.predicate.is_null()
}

/// The order of equal values in the relation from which on ANALYZE takes too many of them for
/// duplicates (see [`super::sample`]).
const CLUSTERED: f64 = 0.5;

/// Statistics of a single column suffice for a plain b-tree or hash index on it, unless equal
/// values lie together; several columns are looked at in the sample: how often they repeat
/// together, or how wide they are together.
fn needs_columns(shape: &Shape, keys: &[KeyStatistics]) -> bool {
    if !is_plain(shape) || !matches!(shape.am_name.as_str(), "btree" | "hash") {
        return false;
    }
    let no_duplicates = shape.unique || shape.columns.len() > shape.key_count;
    if no_duplicates {
        return keys.iter().filter(|key| key.length < 0).count() > 0 && keys.len() > 1;
    }
    // SAFETY: within an isolated evaluation.
    keys.len() > 1
        || unsafe { correlation::of_attribute(shape.relation, shape.columns[0].attribute) }
            .is_some_and(|correlation| correlation.abs() >= CLUSTERED)
}

/// The share of rows that satisfy the predicate: from the sample, or, where none of its rows
/// does, from the planner, but no more than the sample could have missed.
unsafe fn selectivity(
    shape: &Shape,
    heap: &Heap,
    projection: Option<&Projection>,
) -> Result<f64, Failure> {
    if shape.predicate.is_null() {
        return Ok(1.0);
    }
    match projection {
        Some(projection) if projection.rows > 0 => Ok(projection.selectivity()),
        Some(projection) if projection.examined > 0 => {
            // SAFETY: as in `estimate`.
            let guess = unsafe { predicate_selectivity(shape, heap.tuples)? };
            Ok(guess.min(1.0 / projection.examined as f64))
        }
        // SAFETY: as in `estimate`.
        _ => unsafe { predicate_selectivity(shape, heap.tuples) },
    }
}

unsafe fn keys(
    shape: &Shape,
    relation: pg_sys::Relation,
    heap: &Heap,
    tuples: f64,
) -> Vec<KeyStatistics> {
    let mut expressions = items_of(shape);
    shape
        .columns
        .iter()
        .map(|column| {
            // SAFETY: the relation is open; expressions are the shape's.
            unsafe {
                if column.attribute == 0 {
                    let expression = expressions.next().unwrap_or(std::ptr::null_mut());
                    expression_statistics(expression, tuples)
                } else {
                    attribute_statistics(relation, column.attribute, heap.tuples, tuples)
                }
            }
        })
        .collect()
}

fn items_of(shape: &Shape) -> impl Iterator<Item = *mut pg_sys::Node> {
    // SAFETY: the shape's list is alive as long as the evaluation.
    unsafe { items::<pg_sys::Node>(shape.expressions) }
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
        let planned = crate::pg::hooks::planner::uncounted(query, || {
            pg_sys::planner(query, text.as_ptr(), 0, std::ptr::null_mut())
        });
        let rows = (*(*planned).planTree).plan_rows;
        Ok((rows / tuples.max(1.0)).clamp(0.0, 1.0))
    }
}
