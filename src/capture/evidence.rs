//! Constant predicates: fields that a statement compares with nearly always the same value,
//! whether the value stands in the text or comes as a parameter. Partial indexes live on them.
//!
//! The worker counts the values of the samples it is offered, about one a statement and flush
//! interval, until there is enough to judge by.

use indexpilot_model::query::{Comparand, FieldRole, QueryShape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Samples that are enough to judge by.
const ENOUGH: u64 = 20;
/// "Nearly always": this share of the samples, in per cent.
const SHARE: u64 = 95;
/// Values told apart for one use; what is not among the first counts as another value.
const VALUES: usize = 4;
/// Longer values are not kept, bytes.
const LONGEST: usize = 200;

/// How often each value was seen in one use of a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Samples.
    pub seen: u64,
    /// The first values, with their counts.
    pub values: BTreeMap<String, u64>,
}

impl Counts {
    /// The most frequent value and its count.
    pub fn top(&self) -> Option<(&str, u64)> {
        self.values
            .iter()
            .max_by_key(|(_, count)| **count)
            .map(|(value, count)| (value.as_str(), *count))
    }

    fn is_constant(&self) -> bool {
        self.seen >= ENOUGH
            && self
                .top()
                .is_some_and(|(_, count)| count * 100 >= self.seen * SHARE)
    }
}

/// What is known of a statement's comparisons, by the number of the use in its shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence(pub BTreeMap<usize, Counts>);

impl Evidence {
    /// Counts one execution's values. `bound` are the values of its own parameters; the
    /// constants in `shape` count where they are those of that execution (`whole`).
    pub fn add(&mut self, shape: &QueryShape, bound: &[Option<String>], whole: bool) {
        for (number, field) in shape.uses.iter().enumerate() {
            if field.role != FieldRole::Equality {
                continue;
            }
            let value = match &field.comparand {
                Comparand::Constant(value) if whole => value.as_ref(),
                Comparand::Parameter(parameter) => usize::try_from(*parameter - 1)
                    .ok()
                    .and_then(|place| bound.get(place)?.as_ref()),
                _ => continue,
            };
            let Some(value) = value.filter(|value| value.len() <= LONGEST) else {
                continue;
            };
            let counts = self.0.entry(number).or_default();
            counts.seen += 1;
            if counts.values.len() < VALUES || counts.values.contains_key(value) {
                *counts.values.entry(value.clone()).or_default() += 1;
            }
        }
    }

    /// Whether more samples would tell more: of statements with parameters only these are
    /// sampled at every execution. Without a first sample nothing is known to compare.
    pub fn wants_more(&self, shape: &QueryShape, parameters: usize) -> bool {
        self.0.iter().any(|(number, counts)| {
            counts.seen < ENOUGH
                && shape.uses.get(*number).is_some_and(|field| {
                    parameters == 0 || matches!(field.comparand, Comparand::Parameter(_))
                })
        })
    }

    /// Whether this use of a field is a constant predicate.
    pub fn is_constant(&self, number: usize) -> bool {
        self.0.get(&number).is_some_and(Counts::is_constant)
    }

    /// The constant predicates: number of the use, value, its count, samples.
    pub fn constants(&self) -> impl Iterator<Item = (usize, &str, u64, u64)> {
        self.0
            .iter()
            .filter(|(_, counts)| counts.is_constant())
            .filter_map(|(number, counts)| {
                let (value, count) = counts.top()?;
                Some((*number, value, count, counts.seen))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[(&str, u64)], seen: u64) -> Counts {
        Counts {
            seen,
            values: values.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect(),
        }
    }

    #[test]
    fn a_value_is_constant_with_enough_samples_and_nearly_all_of_them() {
        assert!(counts(&[("open", 20)], 20).is_constant());
        assert!(counts(&[("open", 95), ("done", 5)], 100).is_constant());
        assert!(!counts(&[("open", 94), ("done", 6)], 100).is_constant());
        assert!(!counts(&[("open", 19)], 19).is_constant());
        assert!(!Counts::default().is_constant());
    }

    #[test]
    fn values_beyond_the_first_count_as_others() {
        let mut evidence = Evidence::default();
        evidence
            .0
            .insert(0, counts(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], 4));
        let counts = evidence.0.get_mut(&0).expect("there");
        counts.seen += 96;
        assert!(!evidence.is_constant(0));
    }
}
