//! A log-linear latency histogram: sixteen linear steps in every power of two, so a value
//! read back is within 3.2 % of the one that went in. The counters live elsewhere (atomics in
//! shared memory, arrays in tables); this is the arithmetic.
//!
//! The scheme is that of HdrHistogram (G. Tene) and of Masson et al., "DDSketch", VLDB 2019,
//! section 2, with a linear subdivision, which needs no logarithm.

/// Number of counters: 30 powers of two from 1.024 µs to 18 minutes, 16 steps in each.
pub const BUCKETS: usize = 480;
const LOWEST_POWER: u32 = 10;

/// The counter for a duration in nanoseconds. What is shorter than 1.024 µs counts in the
/// first, what is longer than 18 minutes in the last.
#[inline]
pub fn bucket(nanoseconds: u64) -> usize {
    let value = nanoseconds.max(1 << LOWEST_POWER);
    let power = value.ilog2();
    // 16 and the step: the highest bit and the four behind it.
    let step = (value >> (power - 4)) as usize;
    let index = (power - LOWEST_POWER) as usize * 16 + step - 16;
    index.min(BUCKETS - 1)
}

/// Lower and upper bound of a bucket, nanoseconds.
pub fn bounds(index: usize) -> (u64, u64) {
    let power = LOWEST_POWER + (index / 16) as u32;
    let step = (index % 16) as u64;
    let width = 1u64 << (power - 4);
    let low = (1u64 << power) + step * width;
    (low, low + width)
}

/// The value below which the share `quantile` (0…1) of all durations lies, nanoseconds, by
/// the nearest-rank method with interpolation inside the bucket. `counts` are (bucket, count)
/// in any order. `None` when nothing was counted.
pub fn quantile(counts: &[(u16, u64)], quantile: f64) -> Option<f64> {
    let mut counts: Vec<(u16, u64)> = counts
        .iter()
        .copied()
        .filter(|&(_, count)| count > 0)
        .collect();
    counts.sort_unstable();
    let total: u64 = counts.iter().map(|&(_, count)| count).sum();
    if total == 0 {
        return None;
    }
    let rank = (quantile.clamp(0.0, 1.0) * total as f64).ceil().max(1.0);
    let mut before = 0.0;
    for (index, count) in counts {
        let count = count as f64;
        if before + count >= rank {
            let (low, high) = bounds(usize::from(index).min(BUCKETS - 1));
            let share = (rank - before - 0.5) / count;
            return Some(low as f64 + (high - low) as f64 * share);
        }
        before += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_its_bucket() {
        for exponent in 10..40 {
            for offset in [0u64, 1, 12_345, 999_999_937] {
                let value = (1u64 << exponent) + offset % (1 << exponent);
                let (low, high) = bounds(bucket(value));
                assert!(low <= value && value < high, "{value} in {low}..{high}");
            }
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    /// Against the exact quantiles of a sample (deterministic generator, several shapes).
    #[test]
    fn quantiles_are_within_five_per_cent() {
        for seed in 1..30u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut values: Vec<u64> = (0..5_000)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
                    (2_000.0 * (1.0 - uniform).powf(-0.3 * (1 + seed % 5) as f64)) as u64
                })
                .collect();
            let mut counts = vec![0u64; BUCKETS];
            for &value in &values {
                counts[bucket(value)] += 1;
            }
            let sparse: Vec<(u16, u64)> = counts
                .iter()
                .enumerate()
                .map(|(index, &count)| (index as u16, count))
                .collect();
            values.sort_unstable();
            for share in [0.5, 0.95, 0.99] {
                let exact = values[((share * 5_000.0) as usize).max(1) - 1] as f64;
                let found = quantile(&sparse, share).expect("there are values");
                assert!(
                    (found / exact - 1.0).abs() <= 0.05,
                    "seed {seed}, p{share}: {found} against {exact}"
                );
            }
        }
        assert_eq!(quantile(&[], 0.5), None);
    }
}
