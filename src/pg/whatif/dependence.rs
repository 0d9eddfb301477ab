//! Columns of a relation side by side, from the sample that sizes are estimated from.

use super::Planner;
use super::failure::Failure;
use super::isolate::{Identity, isolated};
use indexpilot_sizing::duplicates::Place;
use pgrx::pg_sys;

/// Columns of sampled rows: values as hashes, never themselves.
#[derive(Clone, Debug)]
pub struct SampledTable {
    /// Where each row stood.
    pub places: Vec<Place>,
    /// Hashes of the values and where there is none, one pair a column that was asked for.
    pub columns: Vec<(Vec<u32>, Vec<bool>)>,
}

impl Planner {
    /// These attributes of a sample of the relation (a table or a materialized view), in their
    /// order. Runs nobody's functions. In a transaction.
    ///
    /// # Errors
    /// The relation is gone or locked.
    pub fn sampled(&mut self, relation: u32, attributes: &[i16]) -> Result<SampledTable, Failure> {
        let samples = &mut self.samples;
        isolated(&Identity::CALLER, || {
            let oid = pg_sys::Oid::from(relation);
            // SAFETY: the lock is held to the end of the subtransaction; opening raises an ERROR
            // where the relation is gone by now.
            unsafe {
                let open = pg_sys::relation_open(oid, pg_sys::AccessShareLock as i32);
                let sample = samples.of(oid)?;
                let columns = attributes
                    .iter()
                    .map(|number| {
                        let column = sample.columns.of(open, *number, &sample.tuples);
                        let (hashes, nulls) = column.values();
                        (hashes.to_vec(), nulls.to_vec())
                    })
                    .collect();
                let places = sample.places.clone();
                pg_sys::relation_close(open, pg_sys::NoLock as i32);
                Ok(SampledTable { places, columns })
            }
        })
    }
}
