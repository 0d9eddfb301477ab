//! The size formula of each access method, fed from statistics or from a sample.

use super::columns::{self, Column};
use super::definition::Shape;
use super::failure::Failure;
use super::keys::{KeyStatistics, groups, tuple_bytes};
use super::projection::{KeyValues, Projection};
use super::sample::RowSample;
use super::size::Heap;
use super::stored_bytes::datum_bytes;
use crate::pg::compat::planner as compat;
use indexpilot_sizing::{KeyGroup, Size, brin, btree, duplicates, gin, hash, trees};
use pgrx::pg_sys;
use std::collections::HashMap;
use std::ffi::CStr;
use std::rc::Rc;

/// Rows of a sample whose keys are taken apart (GIN) or compressed (GiST): each costs calls
/// of the operator class's functions.
const MOST_EXTRACTED: usize = 10_000;

/// All that a formula may ask for.
pub(super) struct Inputs<'a> {
    pub shape: &'a Shape,
    /// Of each column, keys first.
    pub keys: Vec<KeyStatistics>,
    /// A sample with at least one row of the index.
    pub projection: Option<&'a Projection>,
    /// Values of plain attributes, of an index that holds all rows.
    pub sampled: Option<Sampled<'a>>,
    pub heap: &'a Heap,
    /// Rows of the index.
    pub tuples: f64,
}

/// The columns of an index that holds nothing but attributes of all rows, in a sample.
pub(super) struct Sampled<'a> {
    /// With at least one row.
    pub sample: &'a RowSample,
    /// One a column of the index.
    pub columns: Vec<Rc<Column>>,
}

impl Inputs<'_> {
    pub(super) fn btree(&self) -> Size {
        let shape = self.shape;
        let has_payload = shape.columns.len() > shape.key_count;
        let deduplicate = !shape.unique
            && !has_payload
            && shape.switch("deduplicate_items").unwrap_or(true)
            // SAFETY: catalog look-ups and calls of operator class support functions.
            && (0..shape.key_count).all(|position| unsafe { equal_image(shape, position) });
        let groups = if deduplicate {
            self.groups()
        } else {
            vec![KeyGroup {
                keys: self.tuples,
                repeats: 1.0,
            }]
        };
        let projected: Vec<Rc<Column>>;
        let columns: Option<&[Rc<Column>]> = match (&self.sampled, self.projection) {
            (Some(sampled), _) => Some(&sampled.columns),
            (None, Some(projection)) => {
                let values = projection.keys.iter();
                projected = values.map(|key| Rc::new(Column::of_values(key))).collect();
                Some(&projected)
            }
            (None, None) => None,
        };
        let (leaf_tuple, pivot_tuple) = match columns {
            Some(columns) => (
                columns::mean_tuple_bytes(columns),
                columns::mean_tuple_bytes(&columns[..1]),
            ),
            None => (tuple_bytes(&self.keys), tuple_bytes(&self.keys[..1])),
        };
        btree::size(&btree::Input {
            leaf_tuple,
            pivot_tuple,
            groups: &groups,
            deduplicate,
            fillfactor: shape.option("fillfactor").unwrap_or(90.0),
        })
    }

    pub(super) fn hash(&self) -> Size {
        let mut groups = self.groups();
        // Nulls are not in a hash index; statistics put them first.
        if let (None, Some(key)) = (self.projection, self.keys.first())
            && key.null_fraction * self.tuples >= 1.0
            && !groups.is_empty()
        {
            groups.remove(0);
        }
        hash::size(&groups, self.shape.option("fillfactor").unwrap_or(75.0))
    }

    pub(super) fn brin(&self) -> Size {
        let range = self.shape.option("pages_per_range").unwrap_or(128.0);
        let summaries: Vec<brin::Summary> = self
            .keys
            .iter()
            .zip(&self.shape.classes)
            .map(|(key, class)| {
                // SAFETY: a catalog look-up.
                let name = unsafe { class_name(*class) };
                let rows = self.heap.tuples / (self.heap.pages / range).max(1.0);
                if name.contains("minmax_multi") {
                    brin::Summary::MinMaxMulti {
                        values: 32.0f64.min(rows),
                        bytes: key.width,
                    }
                } else if name.contains("bloom") {
                    brin::Summary::Bloom {
                        distinct: (rows * 0.1).max(16.0).min(rows.max(16.0)),
                        false_positives: 0.01,
                    }
                } else if name.contains("inclusion") {
                    brin::Summary::Inclusion(key.width)
                } else {
                    brin::Summary::MinMax(key.width)
                }
            })
            .collect();
        brin::size(self.heap.pages, range, &summaries)
    }

    pub(super) fn gin(&self) -> Result<Size, Failure> {
        let Some(projection) = self.projection else {
            return Ok(gin::size(&[], 8.0, self.heap.pages));
        };
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let (mut bytes, mut entries, mut looked_at) = (0.0, 0u64, 0usize);
        let step = projection.rows.div_ceil(MOST_EXTRACTED).max(1);
        for (position, key) in projection.keys.iter().enumerate() {
            // SAFETY: values of the key's type, as projected.
            unsafe {
                let mut extract = Extract::new(self.shape, position, key)?;
                for row in (0..projection.rows).step_by(step) {
                    if row % 256 == 0 {
                        pgrx::check_for_interrupts!();
                    }
                    if position == 0 {
                        looked_at += 1;
                    }
                    extract.entries(key, row, |hash, size| {
                        *counts.entry(hash ^ (position as u64) << 56).or_insert(0) += 1;
                        bytes += size;
                        entries += 1;
                    });
                }
            }
        }
        if entries == 0 {
            return Ok(gin::size(&[], 8.0, self.heap.pages));
        }
        let counts: Vec<u32> = counts.into_values().collect();
        let total = entries as f64 / looked_at.max(1) as f64 * self.tuples;
        let groups = duplicates::groups(&counts, total);
        Ok(gin::size(&groups, bytes / entries as f64, self.heap.pages))
    }

    pub(super) fn gist(&self) -> Result<Size, Failure> {
        let shape = self.shape;
        let (mut leaf, mut union) = (0.0, 0.0);
        for (position, key) in self.keys.iter().enumerate() {
            let sampled = self.projection.map(|p| (&p.keys[position], p.rows));
            let bytes = match sampled {
                Some((values, rows)) if position < shape.key_count => {
                    // SAFETY: values of the key's type, as projected.
                    unsafe { compressed_bytes(shape, position, values, rows)? }
                }
                _ => key.width,
            };
            leaf += bytes;
            if position < shape.key_count {
                // A union is as large as a key, or a signature where keys are sets.
                // SAFETY: a catalog look-up.
                union += match unsafe { class_name(shape.classes[position]) }.as_str() {
                    "gist_trgm_ops" => 20.0,
                    "tsvector_ops" => 132.0,
                    _ => bytes,
                };
            }
        }
        Ok(trees::gist(
            self.tuples,
            leaf,
            union,
            shape.option("fillfactor").unwrap_or(90.0),
        ))
    }

    pub(super) fn spgist(&self) -> Size {
        let bytes = self
            .projection
            .map_or(self.keys[0].width, |p| mean_bytes(&p.keys[0], p.rows));
        trees::spgist(self.tuples, bytes)
    }

    /// Rows of a key, all columns together, where several were looked at in a sample: the
    /// planner multiplies the selectivities of columns that go together.
    pub(super) fn rows_per_key(&self) -> Option<f64> {
        if self.sampled.is_none() || self.shape.key_count < 2 {
            return None;
        }
        let keys: f64 = self.groups().iter().map(|group| group.keys).sum();
        (keys >= 1.0).then(|| self.tuples / keys)
    }

    /// How often keys repeat, all key columns together.
    fn groups(&self) -> Vec<KeyGroup> {
        let count = self.shape.key_count;
        if let Some(Sampled { sample, columns }) = &self.sampled {
            let numbers: Vec<i16> = self.shape.columns[..count]
                .iter()
                .map(|column| column.attribute)
                .collect();
            let keys = &columns[..count];
            return sample
                .columns
                .groups(&numbers, keys, &sample.places, self.tuples)
                .to_vec();
        }
        let Some(projection) = self.projection else {
            return groups(&self.keys[..count], self.tuples);
        };
        let keys: Vec<Rc<Column>> = projection.keys[..count]
            .iter()
            .map(|key| Rc::new(Column::of_values(key)))
            .collect();
        columns::groups(&keys, &projection.places, self.tuples)
    }
}

/// Mean bytes of a key's values that are not null.
fn mean_bytes(key: &KeyValues, rows: usize) -> f64 {
    let (mut bytes, mut values) = (0.0, 0u32);
    for row in 0..rows {
        if !key.nulls[row] {
            // SAFETY: a value of the key's type.
            bytes += unsafe { datum_bytes(key.values[row], key.length) };
            values += 1;
        }
    }
    bytes / f64::from(values.max(1))
}

/// Mean bytes of GiST leaf keys: what the operator class's compress function makes of values.
unsafe fn compressed_bytes(
    shape: &Shape,
    position: usize,
    key: &KeyValues,
    rows: usize,
) -> Result<f64, Failure> {
    const COMPRESS: i16 = 3;
    // SAFETY: the function's signature is fixed by the access method; a leaf entry without a
    // page is what an insertion starts with (gistutil.c, gistCompressValues).
    unsafe {
        let input = shape.input_types[position];
        let function = pg_sys::get_opfamily_proc(shape.families[position], input, input, COMPRESS);
        if function == pg_sys::InvalidOid {
            return Ok(mean_bytes(key, rows));
        }
        let stored = stored_type(shape, position, key);
        let (mut length, mut by_value, mut align) = (0i16, false, 0);
        pg_sys::get_typlenbyvalalign(stored, &mut length, &mut by_value, &mut align);
        let mut info = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(function, &mut info);
        let (mut bytes, mut values) = (0.0, 0u32);
        let step = rows.div_ceil(MOST_EXTRACTED).max(1);
        for row in (0..rows).step_by(step) {
            if key.nulls[row] {
                continue;
            }
            if row % 256 == 0 {
                pgrx::check_for_interrupts!();
            }
            let mut entry = pg_sys::GISTENTRY {
                key: key.values[row],
                leafkey: true,
                ..Default::default()
            };
            let made = pg_sys::FunctionCall1Coll(
                &mut info,
                shape.collations[position],
                pg_sys::Datum::from(std::ptr::from_mut(&mut entry)),
            )
            .cast_mut_ptr::<pg_sys::GISTENTRY>();
            bytes += datum_bytes((*made).key, length);
            values += 1;
        }
        Ok(bytes / f64::from(values.max(1)))
    }
}

/// The type that the index stores: the class's, or the key's own.
unsafe fn stored_type(shape: &Shape, position: usize, key: &KeyValues) -> pg_sys::Oid {
    // SAFETY: catalog look-ups.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::CLAOID as i32,
            pg_sys::Datum::from(shape.classes[position]),
        );
        if tuple.is_null() {
            return key.type_oid;
        }
        let stored = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_opclass>()).opckeytype;
        pg_sys::ReleaseSysCache(tuple);
        if stored == pg_sys::InvalidOid {
            key.type_oid
        } else if stored == pg_sys::ANYELEMENTOID {
            // index.c, ConstructTupleDescriptor: an array class that stores elements.
            pg_sys::get_base_element_type(key.type_oid)
        } else {
            stored
        }
    }
}

unsafe fn class_name(class: pg_sys::Oid) -> String {
    // SAFETY: a catalog look-up.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::CLAOID as i32,
            pg_sys::Datum::from(class),
        );
        if tuple.is_null() {
            return String::new();
        }
        let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_opclass>();
        let name = CStr::from_ptr(form.opcname.data.as_ptr())
            .to_string_lossy()
            .into_owned();
        pg_sys::ReleaseSysCache(tuple);
        name
    }
}

/// Takes values apart with a GIN operator class's extractValue function.
struct Extract {
    function: pg_sys::FmgrInfo,
    collation: pg_sys::Oid,
    length: i16,
    by_value: bool,
    scratch: pg_sys::MemoryContext,
}

impl Extract {
    unsafe fn new(shape: &Shape, position: usize, key: &KeyValues) -> Result<Self, Failure> {
        const EXTRACT_VALUE: i16 = 2;
        // SAFETY: catalog look-ups; every GIN class has the function.
        unsafe {
            let input = shape.input_types[position];
            let oid =
                pg_sys::get_opfamily_proc(shape.families[position], input, input, EXTRACT_VALUE);
            let mut function = pg_sys::FmgrInfo::default();
            pg_sys::fmgr_info(oid, &mut function);
            let (mut length, mut by_value, mut align) = (0i16, false, 0);
            pg_sys::get_typlenbyvalalign(
                stored_type(shape, position, key),
                &mut length,
                &mut by_value,
                &mut align,
            );
            // As initGinState: the default collation where the index has none.
            let collation = if shape.collations[position] == pg_sys::InvalidOid {
                pg_sys::DEFAULT_COLLATION_OID
            } else {
                shape.collations[position]
            };
            Ok(Extract {
                function,
                collation,
                length,
                by_value,
                scratch: pg_sys::AllocSetContextCreateInternal(
                    pg_sys::CurrentMemoryContext,
                    c"indexpilot GIN entries".as_ptr(),
                    0,
                    8 * 1024,
                    8 * 1024 * 1024,
                ),
            })
        }
    }

    /// Calls `found` with hash and stored bytes of each distinct entry of a row; nulls and
    /// empty values have a placeholder entry (ginutil.c, ginExtractEntries).
    unsafe fn entries(&mut self, key: &KeyValues, row: usize, mut found: impl FnMut(u64, f64)) {
        if key.nulls[row] {
            found(u64::MAX, 0.0);
            return;
        }
        // SAFETY: the function's signature is fixed by the access method.
        unsafe {
            let (mut count, mut nulls) = (0i32, std::ptr::null_mut::<bool>());
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::MemoryContextReset(self.scratch);
            pg_sys::CurrentMemoryContext = self.scratch;
            let list = pg_sys::FunctionCall3Coll(
                &mut self.function,
                self.collation,
                key.values[row],
                pg_sys::Datum::from(std::ptr::from_mut(&mut count)),
                pg_sys::Datum::from(std::ptr::from_mut(&mut nulls)),
            )
            .cast_mut_ptr::<pg_sys::Datum>();
            if list.is_null() || count <= 0 {
                found(u64::MAX - 1, 0.0);
            } else {
                let mut seen = Vec::with_capacity(count as usize);
                for i in 0..count as usize {
                    if !nulls.is_null() && *nulls.add(i) {
                        seen.push((u64::MAX - 2, 0.0));
                        continue;
                    }
                    let value = *list.add(i);
                    seen.push((
                        u64::from(compat::datum_hash(value, self.by_value, self.length)),
                        datum_bytes(value, self.length),
                    ));
                }
                seen.sort_unstable_by_key(|(hash, _)| *hash);
                seen.dedup_by_key(|(hash, _)| *hash);
                for (hash, size) in seen {
                    found(hash, size);
                }
            }
            pg_sys::CurrentMemoryContext = before;
        }
    }
}

/// nbtutils.c, _bt_allequalimage, for one key: equal values are the same bytes.
pub(super) unsafe fn equal_image(shape: &Shape, position: usize) -> bool {
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
