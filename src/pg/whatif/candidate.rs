//! A hypothetical index: everything about it that does not change from one plan to the next,
//! made once and kept in a memory context of its own.

use super::correlation;
use super::definition::{Column, Shape, shapes};
use super::failure::Failure;
use super::isolate::{Identity, isolated};
use super::memory::Context;
use super::sample::Samples;
use super::size;
use super::statistics;
use crate::pg::compat::planner as compat;
use indexpilot_model::price::SizeEstimate;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};

/// The index on one relation that has storage.
pub(super) struct Part {
    /// The relation (a leaf of a partitioned one).
    pub relation: pg_sys::Oid,
    /// Keys, then payload.
    pub columns: Vec<Column>,
    /// All fields that are the same in every plan; lists and arrays live in the candidate's
    /// context.
    pub template: pg_sys::IndexOptInfo,
    /// Its access method's cost estimator.
    pub cost_estimate: pg_sys::amcostestimate_function,
    /// Of a BRIN index.
    pub pages_per_range: Option<f64>,
    /// Share of the relation's rows that it holds, 0…1.
    pub selectivity: f64,
    /// Of each column that is an expression: its statistics, or null.
    pub statistics: Vec<pg_sys::HeapTuple>,
    /// Physical correlation of the leading key, −1…1, where known.
    pub correlation: Option<f64>,
    /// Rows of a key, all key columns together, where that was looked at.
    pub rows_per_key: Option<f64>,
}

/// A hypothetical index, with one part a leaf where the relation is partitioned.
pub(super) struct Candidate {
    /// The relation that the definition names.
    pub relation: pg_sys::Oid,
    /// One a relation with storage.
    pub parts: Vec<Part>,
    /// Size of all parts together.
    pub size: SizeEstimate,
    /// Holds what the parts point to; dropped after them.
    _context: Context,
}

impl Candidate {
    /// Makes the index that `text` defines, as the present user. `scratch` holds what is
    /// needed only for that.
    pub(super) fn new(
        text: &str,
        samples: &mut Samples,
        scratch: &Context,
    ) -> Result<Self, Failure> {
        let context = Context::new(c"indexpilot hypothetical index");
        let (relation, parts, size) = scratch
            .within(|| {
                isolated(&Identity::CALLER, || {
                    let (relation, shapes) = shapes(text)?;
                    let mut parts = Vec::with_capacity(shapes.len());
                    let mut total = SizeEstimate {
                        pages: 0,
                        bytes: 0,
                        tuples: 0.0,
                        height: 0,
                        build_cost: 0.0,
                        rough: false,
                    };
                    for shape in &shapes {
                        let estimated = size::estimate(shape, samples)?;
                        let part_size = &estimated.size;
                        total.pages += part_size.pages;
                        total.bytes += part_size.bytes;
                        total.tuples += part_size.tuples;
                        total.height = total.height.max(part_size.height);
                        total.build_cost += part_size.build_cost;
                        total.rough |= part_size.rough;
                        let statistics = match &estimated.projection {
                            Some(projection) if !shape.expressions.is_null() => {
                                context.within(|| {
                                    statistics::of_expressions(shape, projection, estimated.rows)
                                })?
                            }
                            _ => Vec::new(),
                        };
                        let mut part =
                            context.within(|| part(shape, part_size, estimated.selectivity))?;
                        part.statistics = statistics;
                        part.rows_per_key = estimated.rows_per_key;
                        part.correlation = leading_correlation(&part);
                        parts.push(part);
                    }
                    Ok((relation, parts, total))
                })
            })
            .map_err(Failure::of_index)?;
        Ok(Candidate {
            relation,
            parts,
            size,
            _context: context,
        })
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        for part in &self.parts {
            free_fake_oid(part.template.indexoid);
        }
    }
}

thread_local! {
    static NEXT_FAKE: Cell<u32> = const { Cell::new(u32::MAX) };
    /// Handed back: looking up ever new OIDs would fill the catalog cache with their absence.
    static FREE_FAKES: RefCell<Vec<pg_sys::Oid>> = const { RefCell::new(Vec::new()) };
}

/// Hands a fake OID back, when nothing shows it to the planner any more.
pub(super) fn free_fake_oid(oid: pg_sys::Oid) {
    FREE_FAKES.with_borrow_mut(|free| free.push(oid));
}

/// An OID that no relation has. It lives in plans that are never executed, and means nothing
/// outside of them; it comes from the end of the range, which real OIDs reach last.
pub(super) fn fake_oid() -> pg_sys::Oid {
    loop {
        let freed = FREE_FAKES.with_borrow_mut(Vec::pop);
        let number = freed.map_or_else(|| NEXT_FAKE.get(), |oid| oid.to_u32());
        // Going round at half the range leaves the lower half to real objects.
        if freed.is_none() {
            NEXT_FAKE.set(if number > u32::MAX / 2 {
                number - 1
            } else {
                u32::MAX
            });
        }
        let oid = pg_sys::Oid::from(number);
        // SAFETY: a catalog look-up.
        let taken = unsafe { !pg_sys::get_rel_name(oid).is_null() };
        if !taken {
            return oid;
        }
    }
}

/// Of the relation's statistics, or of those that were sampled for an expression.
fn leading_correlation(part: &Part) -> Option<f64> {
    // SAFETY: within an isolated evaluation; the tuples are the part's.
    unsafe {
        match part.columns.first()?.attribute {
            0 => correlation::of_tuple(*part.statistics.first()?),
            number => correlation::of_attribute(part.relation, number),
        }
    }
}

/// An array of the server's, in the current context.
fn array<T: Copy>(values: &[T]) -> *mut T {
    // SAFETY: freshly allocated for exactly these values (at least one byte, so not null).
    unsafe {
        let size = std::mem::size_of_val(values);
        let memory = pg_sys::palloc0(size.max(1)).cast::<T>();
        std::ptr::copy_nonoverlapping(values.as_ptr(), memory, values.len());
        memory
    }
}

/// plancat.c, get_relation_info: the fields of an index, from its shape.
fn part(shape: &Shape, size: &SizeEstimate, selectivity: f64) -> Result<Part, Failure> {
    // SAFETY: the shape's trees are alive (they are copied here); the routine is the access
    // method's constant table.
    unsafe {
        let routine = &*pg_sys::GetIndexAmRoutineByAmId(shape.am, false);
        let ordered = routine.amcanorder && shape.am == pg_sys::BTREE_AM_OID;
        let attributes: Vec<i32> = shape.columns.iter().map(|c| c.attribute.into()).collect();
        let mut template = pg_sys::IndexOptInfo {
            indexoid: fake_oid(),
            reltablespace: shape.tablespace,
            pages: u32::try_from(size.pages).unwrap_or(u32::MAX),
            tuples: size.tuples,
            tree_height: if ordered {
                i32::try_from(size.height).unwrap_or(i32::MAX)
            } else {
                -1
            },
            ncolumns: shape.columns.len() as i32,
            nkeycolumns: shape.key_count as i32,
            indexkeys: array(&attributes),
            indexcollations: array(&shape.collations),
            opfamily: array(&shape.families),
            opcintype: array(&shape.input_types),
            // GIN's estimator reads this array whether there are options or not.
            opclassoptions: array(&vec![
                std::ptr::null_mut::<pg_sys::bytea>();
                shape.columns.len()
            ]),
            canreturn: array(&can_return(shape, routine)),
            relam: shape.am,
            unique: shape.unique,
            immediate: true,
            hypothetical: true,
            amcanorderbyop: routine.amcanorderbyop,
            amoptionalkey: routine.amoptionalkey,
            amsearcharray: routine.amsearcharray,
            amsearchnulls: routine.amsearchnulls,
            amhasgettuple: routine.amgettuple.is_some(),
            amhasgetbitmap: routine.amgetbitmap.is_some(),
            amcanparallel: routine.amcanparallel,
            amcanmarkpos: routine.ammarkpos.is_some() && routine.amrestrpos.is_some(),
            ..Default::default()
        };
        if ordered {
            template.sortopfamily = template.opfamily;
            template.reverse_sort = array(&shape.reverse);
            template.nulls_first = array(&shape.nulls_first);
        }
        if !shape.expressions.is_null() {
            template.indexprs = pg_sys::copyObjectImpl(shape.expressions.cast()).cast();
        }
        if !shape.predicate.is_null() {
            template.indpred = pg_sys::copyObjectImpl(shape.predicate.cast()).cast();
        }
        compat::set_nulls_not_distinct(&mut template, shape.nulls_not_distinct);
        Ok(Part {
            relation: shape.relation,
            columns: shape.columns.clone(),
            template,
            cost_estimate: routine.amcostestimate,
            pages_per_range: (shape.am_name == "brin")
                .then(|| shape.option("pages_per_range").unwrap_or(128.0)),
            selectivity,
            statistics: Vec::new(),
            correlation: None,
            rows_per_key: None,
        })
    }
}

/// Which attributes an index-only scan could return, as `amcanreturn` would say; that
/// function wants an index that is there.
unsafe fn can_return(shape: &Shape, routine: &pg_sys::IndexAmRoutine) -> Vec<bool> {
    (0..shape.columns.len())
        .map(|position| {
            if routine.amcanreturn.is_none() {
                return false;
            }
            // SAFETY: catalog look-ups; the position is below the number of keys.
            unsafe {
                match shape.am_name.as_str() {
                    // B-tree stores every value as it is (nbtree.c, btcanreturn).
                    "btree" => true,
                    "gist" => position >= shape.key_count || gist_returns(shape, position),
                    "spgist" => position >= shape.key_count || spgist_returns(shape, position),
                    _ => false,
                }
            }
        })
        .collect()
}

/// gistget.c, gistcanreturn: with a fetch function, or without a compress function.
unsafe fn gist_returns(shape: &Shape, position: usize) -> bool {
    const COMPRESS: i16 = 3;
    const FETCH: i16 = 9;
    let (family, input) = (shape.families[position], shape.input_types[position]);
    // SAFETY: catalog look-ups.
    unsafe {
        pg_sys::get_opfamily_proc(family, input, input, FETCH) != pg_sys::InvalidOid
            || pg_sys::get_opfamily_proc(family, input, input, COMPRESS) == pg_sys::InvalidOid
    }
}

/// spgutils.c, spgcanreturn: what the operator class's configuration function says.
unsafe fn spgist_returns(shape: &Shape, position: usize) -> bool {
    const CONFIG: i16 = 1;
    let (family, input) = (shape.families[position], shape.input_types[position]);
    // SAFETY: catalog look-ups, and the operator class's function, called as the server does.
    unsafe {
        let config = pg_sys::get_opfamily_proc(family, input, input, CONFIG);
        // A polymorphic class (anyrange) is asked about the column's own type
        // (spgutils.c, GetIndexInputType).
        let polymorphic = pg_sys::get_typtype(input) as u8 == b'p';
        let key = if polymorphic {
            pg_sys::getBaseType(shape.columns[position].type_oid)
        } else {
            input
        };
        config != pg_sys::InvalidOid
            && compat::spgist_can_return(config, shape.collations[position], key)
    }
}
