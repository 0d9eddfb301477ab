//! Keys of a hypothetical index, computed over a sample of rows: what an index build would
//! store, for as many rows as time allows.

use super::definition::Shape;
use super::failure::Failure;
use super::isolate::restrict;
use super::sample::RowSample;
use crate::pg::compat::planner as compat;
use crate::pg::nodes::items;
use indexpilot_sizing::duplicates::Place;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// Longest time spent in users' functions for one index, microseconds. Rows that are not
/// reached are left out: a smaller sample is a sample still.
const MOST_MICROSECONDS: i64 = 2_000_000;

/// One key's values, one a row; in the context that was current.
pub(super) struct KeyValues {
    pub type_oid: pg_sys::Oid,
    pub length: i16,
    pub by_value: bool,
    pub alignment: u8,
    pub values: Vec<pg_sys::Datum>,
    pub nulls: Vec<bool>,
}

/// The rows of a sample that an index would hold.
pub(super) struct Projection {
    /// One a key or payload attribute.
    pub keys: Vec<KeyValues>,
    /// Rows that satisfy the predicate.
    pub rows: usize,
    /// Where each of them stood.
    pub places: Vec<Place>,
    /// Rows looked at.
    pub examined: usize,
}

impl Projection {
    /// Share of rows that satisfy the predicate.
    pub(super) fn selectivity(&self) -> f64 {
        if self.examined == 0 {
            1.0
        } else {
            self.rows as f64 / self.examined as f64
        }
    }

    /// Computes keys and predicate of `shape` over `sample`, with the rights of the shape's
    /// evaluator. Within [`super::isolate::isolated`], the relation locked.
    pub(super) fn of(shape: &Shape, sample: &RowSample) -> Result<Self, Failure> {
        // SAFETY: the relation is locked, the trees are the shape's.
        unsafe {
            let caller = pg_sys::GetUserId();
            restrict(Some(shape.evaluator));
            let result = project(shape, sample);
            restrict(Some(caller));
            result
        }
    }
}

unsafe fn project(shape: &Shape, sample: &RowSample) -> Result<Projection, Failure> {
    // SAFETY: everything made here is in the current context or the executor state's; an
    // error leaves it to the subtransaction and the context's reset.
    unsafe {
        let relation = pg_sys::relation_open(shape.relation, pg_sys::NoLock as i32);
        let estate = pg_sys::CreateExecutorState();
        let econtext = pg_sys::MakePerTupleExprContext(estate);
        let slot = pg_sys::MakeSingleTupleTableSlot(
            (*relation).rd_att,
            &raw const pg_sys::TTSOpsHeapTuple,
        );
        (*econtext).ecxt_scantuple = slot;
        let predicate = if shape.predicate.is_null() {
            std::ptr::null_mut()
        } else {
            let copy = pg_sys::copyObjectImpl(shape.predicate.cast()).cast();
            pg_sys::ExecPrepareQual(copy, estate)
        };
        let mut expressions = items::<pg_sys::Node>(shape.expressions);
        let mut states = Vec::new();
        let mut keys = Vec::new();
        for column in &shape.columns {
            let expression: *mut pg_sys::Expr = if column.attribute == 0 {
                let Some(expression) = expressions.next() else {
                    continue;
                };
                pg_sys::copyObjectImpl(expression.cast()).cast()
            } else {
                pg_sys::makeVar(
                    1,
                    column.attribute,
                    column.type_oid,
                    column.typmod,
                    column.type_collation,
                    0,
                )
                .cast()
            };
            states.push(pg_sys::ExecPrepareExpr(expression, estate));
            let (mut length, mut by_value, mut align) = (0i16, false, 0);
            pg_sys::get_typlenbyvalalign(column.type_oid, &mut length, &mut by_value, &mut align);
            keys.push(KeyValues {
                type_oid: column.type_oid,
                length,
                by_value,
                alignment: align as u8,
                values: Vec::new(),
                nulls: Vec::new(),
            });
        }
        let keep = pg_sys::CurrentMemoryContext;
        let per_tuple = (*econtext).ecxt_per_tuple_memory;
        let started = pg_sys::GetCurrentTimestamp();
        let (mut rows, mut examined) = (0, 0);
        let mut places = Vec::new();
        // Values of plain columns cost nothing to evaluate, and of a document's unique values a
        // small sample sees too few twice to tell how many there are.
        let stride = if shape.am_name == "gin" && super::size::is_plain(shape) {
            1
        } else {
            sample.stride
        };
        for (tuple, place) in sample.tuples.iter().zip(&sample.places) {
            if !place.page.is_multiple_of(stride) {
                continue;
            }
            if examined % 128 == 0 {
                pgrx::check_for_interrupts!();
                if pg_sys::GetCurrentTimestamp() - started > MOST_MICROSECONDS && examined > 0 {
                    break;
                }
            }
            examined += 1;
            pg_sys::MemoryContextReset(per_tuple);
            pg_sys::ExecStoreHeapTuple(*tuple, slot, false);
            pg_sys::CurrentMemoryContext = per_tuple;
            let holds = predicate.is_null() || {
                let mut null = false;
                evaluate(predicate, econtext, &mut null).value() != 0
            };
            if holds {
                rows += 1;
                places.push(*place);
                for (state, key) in states.iter().zip(&mut keys) {
                    let mut null = false;
                    pg_sys::CurrentMemoryContext = per_tuple;
                    let value = evaluate(*state, econtext, &mut null);
                    pg_sys::CurrentMemoryContext = keep;
                    key.nulls.push(null);
                    key.values.push(if null {
                        pg_sys::Datum::null()
                    } else {
                        compat::datum_copy(value, key.by_value, key.length)
                    });
                }
            }
            pg_sys::CurrentMemoryContext = keep;
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::FreeExecutorState(estate);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(Projection {
            keys,
            rows,
            places,
            examined,
        })
    }
}

/// executor.h, ExecEvalExpr.
unsafe fn evaluate(
    state: *mut pg_sys::ExprState,
    econtext: *mut pg_sys::ExprContext,
    null: &mut bool,
) -> pg_sys::Datum {
    // SAFETY: the state was prepared; the guard turns an error into an unwinding.
    unsafe {
        match (*state).evalfunc {
            Some(function) => pg_guard_ffi_boundary(|| function(state, econtext, null)),
            None => pg_sys::Datum::null(),
        }
    }
}
