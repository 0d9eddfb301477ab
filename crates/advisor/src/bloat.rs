//! Whether an index has swollen: its size per live row against the smallest that was seen
//! since it was last built.
//!
//! What is measured is compared with what was measured. Formulas that guess how large an
//! index ought to be are off by factors for partial and expression indexes, and would have
//! sound indexes rebuilt for ever.

/// How large an index is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Bytes of its main fork.
    pub bytes: u64,
    /// Live entries (`pg_class.reltuples` of the index).
    pub tuples: f64,
}

impl Size {
    /// Bytes an entry. An empty index counts as one of a single entry.
    pub fn per_tuple(&self) -> f64 {
        self.bytes as f64 / self.tuples.max(1.0)
    }

    /// The bytes that as many entries took at `best`.
    pub fn at(&self, best: &Size) -> u64 {
        (best.per_tuple() * self.tuples.max(1.0)).min(self.bytes as f64) as u64
    }
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// Too small to matter.
    Small,
    /// Within the threshold; the share by which it is larger than at its best.
    Sound(f64),
    /// Beyond it; the share, and the bytes it would have at its best.
    Bloated(f64, u64),
}

/// Judges an index. `threshold` is the share by which it may be larger an entry than at its
/// best, `least` the size in bytes below which it is left alone.
pub fn judge(now: &Size, best: &Size, threshold: f64, least: u64) -> Finding {
    if now.bytes < least {
        return Finding::Small;
    }
    let growth = now.per_tuple() / best.per_tuple().max(f64::MIN_POSITIVE) - 1.0;
    if growth > threshold {
        Finding::Bloated(growth, now.at(best))
    } else {
        Finding::Sound(growth.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(bytes: u64, tuples: f64) -> Size {
        Size { bytes, tuples }
    }

    #[test]
    fn growth_is_of_bytes_a_row() {
        let best = size(20 << 20, 500_000.0);
        // Twice the rows in twice the space.
        assert_eq!(
            judge(&size(40 << 20, 1e6), &best, 0.5, 0),
            Finding::Sound(0.0)
        );
        // A tenth of the rows in the same space: ten times as large a row.
        let Finding::Bloated(growth, bytes) = judge(&size(20 << 20, 50_000.0), &best, 0.5, 0)
        else {
            panic!("ten times as large is bloated");
        };
        assert!((growth - 9.0).abs() < 1e-9 && bytes == 2 << 20);
        assert_eq!(
            judge(&size(20 << 20, 0.0), &best, 0.5, 64 << 20),
            Finding::Small
        );
        assert!(matches!(
            judge(&size(20 << 20, 0.0), &best, 0.5, 0),
            Finding::Bloated(..)
        ));
    }

    proptest! {
        /// A rebuilt index, which is its own best, is never bloated; and what is bloated has
        /// something to give back.
        #[test]
        fn a_rebuild_ends_it(bytes in 8_192_u64..1 << 40, tuples in 0.0_f64..1e9,
                             best in 8_192_u64..1 << 40, then in 1.0_f64..1e9, threshold in 0.05_f64..10.0) {
            let now = size(bytes, tuples);
            prop_assert_eq!(judge(&now, &now, threshold, 0), Finding::Sound(0.0));
            if let Finding::Bloated(growth, left) = judge(&now, &size(best, then), threshold, 0) {
                prop_assert!(growth > threshold && left <= bytes);
            }
        }
    }
}
