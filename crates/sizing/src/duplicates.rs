//! How often keys repeat in a whole relation, from how often they do in a sample.

/// Keys that repeat alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyGroup {
    /// How many distinct keys.
    pub keys: f64,
    /// How many tuples each of them has, at least 1.
    pub repeats: f64,
}

/// A key seen this often in a sample repeats in the relation about as often in proportion;
/// below, chance rules.
const RELIABLE: u32 = 10;

/// The number of distinct keys in `total` rows, of which a sample holds `counts` (one number
/// a key): Haas and Stokes, "Estimating the number of classes in a finite population"
/// (1998), estimator Duj1, with the cases that ANALYZE sets apart (analyze.c,
/// compute_scalar_stats).
pub fn distinct(counts: &[u32], total: f64) -> f64 {
    let seen = counts.len() as f64;
    let sampled: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let once = counts.iter().filter(|count| **count == 1).count() as f64;
    if sampled <= 0.0 {
        return 0.0;
    }
    if once >= sampled {
        return total.max(seen);
    }
    if once <= 0.0 || sampled >= total {
        return seen;
    }
    let estimate = sampled * seen / (sampled - once + once * sampled / total);
    estimate.clamp(seen, total.max(seen))
}

/// The keys of `total` rows by how often they repeat. Together the groups have `total` rows.
pub fn groups(counts: &[u32], total: f64) -> Vec<KeyGroup> {
    let sampled: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if sampled <= 0.0 || total <= 0.0 {
        return Vec::new();
    }
    let scale = (total / sampled).max(1.0);
    let whole = scale <= 1.0;
    let mut sorted = counts.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let mut groups: Vec<KeyGroup> = Vec::new();
    let (mut rest_rows, mut rest_keys) = (total, distinct(counts, total));
    for count in sorted {
        if !whole && count < RELIABLE {
            break;
        }
        let repeats = f64::from(count) * scale;
        rest_rows -= repeats;
        rest_keys -= 1.0;
        match groups.last_mut() {
            Some(group) if group.repeats == repeats => group.keys += 1.0,
            _ => groups.push(KeyGroup { keys: 1.0, repeats }),
        }
    }
    if rest_rows >= 1.0 {
        let keys = rest_keys.clamp(1.0, rest_rows);
        groups.push(KeyGroup {
            keys,
            repeats: rest_rows / keys,
        });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_unique_sample_means_a_unique_column() {
        assert_eq!(distinct(&[1; 100], 1e6), 1e6);
    }

    #[test]
    fn a_saturated_sample_has_seen_all() {
        assert_eq!(distinct(&[50, 50], 1e6), 2.0);
    }

    #[test]
    fn a_whole_relation_is_exact() {
        assert_eq!(
            groups(&[3, 1, 1], 5.0),
            [
                KeyGroup {
                    keys: 1.0,
                    repeats: 3.0
                },
                KeyGroup {
                    keys: 2.0,
                    repeats: 1.0
                }
            ]
        );
    }

    proptest! {
        #[test]
        fn rows_add_up(counts in proptest::collection::vec(1u32..50, 1..200), more in 1.0f64..1000.0) {
            let sampled: u32 = counts.iter().sum();
            let total = f64::from(sampled) * more;
            let rows: f64 = groups(&counts, total).iter().map(|g| g.keys * g.repeats).sum();
            prop_assert!((rows - total).abs() <= 1.0 + total * 1e-9);
        }

        #[test]
        fn distinct_is_between_seen_and_all(counts in proptest::collection::vec(1u32..50, 1..200), more in 1.0f64..1000.0) {
            let sampled: u32 = counts.iter().sum();
            let total = f64::from(sampled) * more;
            let found = distinct(&counts, total);
            prop_assert!(found >= counts.len() as f64 && found <= total.max(counts.len() as f64));
        }
    }
}
