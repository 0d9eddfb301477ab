//! Deterministic randomness: everything that the simulator invents is a pure function of the printed seed.
//!
//! A *stream* is a generator keyed by (seed, purpose, ordinal), so any row can be made again without making
//! the rows before it. That is how traffic knows an e-mail address that exists without asking the server.
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator of a stream. Its algorithm is fixed by name, so a seed means the same data in every release.
pub type Stream = Xoshiro256PlusPlus;

/// What a stream is for; streams of different purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Sizes, order and personas of tenants.
    Tenants = 1,
    /// Rows of table number `n` of an application.
    Table(u8) = 2,
    /// The operations of one client in one run.
    Traffic = 3,
    /// The parameters of the comparison's fixed list of statements.
    Comparison = 4,
    /// Spikes of tenants.
    Spikes = 5,
}

impl Purpose {
    fn number(self) -> u64 {
        match self {
            Purpose::Tenants => 1,
            Purpose::Table(n) => 0x100 + u64::from(n),
            Purpose::Traffic => 3,
            Purpose::Comparison => 4,
            Purpose::Spikes => 5,
        }
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014): a bijection on 64 bits that mixes every bit.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The generator of the stream (seed, purpose, ordinal).
pub fn stream(seed: u64, purpose: Purpose, ordinal: u64) -> Stream {
    Stream::seed_from_u64(mix(mix(seed ^ mix(purpose.number())) ^ ordinal))
}

/// The exponent `s` for which ranks weighted by `1 / rank^s` give the largest `part` (0–1) of `n` ranks
/// the `share` (0–1) of the total weight. Bisection; the share grows strictly with `s`.
///
/// # Panics
/// When `n` is zero.
pub fn power_law_exponent(n: usize, part: f64, share: f64) -> f64 {
    assert!(n > 0, "a power law needs at least one rank");
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if top_share(&power_law(n, middle), part) < share {
            low = middle
        } else {
            high = middle
        }
    }
    (low + high) / 2.0
}

/// Weights `1 / rank^s` of `n` ranks, largest first, with sum 1.
pub fn power_law(n: usize, s: f64) -> Vec<f64> {
    let raw: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-s)).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / total).collect()
}

/// The share (0–1) of the total that the first `part` (0–1) of descending `weights` hold.
pub fn top_share(weights: &[f64], part: f64) -> f64 {
    let top = ((weights.len() as f64 * part).round() as usize).clamp(1, weights.len());
    weights[..top].iter().sum::<f64>() / weights.iter().sum::<f64>()
}

/// A discrete distribution over `0..len`, drawn by binary search in its cumulative weights.
#[derive(Clone, Debug)]
pub struct Weighted {
    sums: Vec<f64>,
}

impl Weighted {
    /// From non-negative weights.
    ///
    /// # Panics
    /// When no weight is positive: there would be nothing to draw.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let sums: Vec<f64> = weights
            .into_iter()
            .map(|w| {
                total += w.max(0.0);
                total
            })
            .collect();
        assert!(total > 0.0, "a distribution needs a positive weight");
        Weighted { sums }
    }

    /// One index; index `i` comes with probability `weight[i] / total`.
    pub fn draw(&self, rng: &mut Stream) -> usize {
        let x = rng.random::<f64>() * self.total();
        self.sums
            .partition_point(|s| *s <= x)
            .min(self.sums.len() - 1)
    }

    /// The sum of all weights.
    pub fn total(&self) -> f64 {
        *self.sums.last().expect("not empty by construction")
    }
}

/// An index in `0..n`, low ones more often: density proportional to `1 / (1 + x·k)`, the usual picture of
/// "hot" rows. Drawn by inversion, so it costs one random number whatever `n` is.
pub fn hot_index(n: usize, rng: &mut Stream) -> usize {
    const K: f64 = 40.0;
    let u: f64 = rng.random();
    // The inverse of ln(1 + K x) / ln(1 + K) on [0, 1).
    let x = ((1.0 + K).powf(u) - 1.0) / K;
    ((x * n as f64) as usize).min(n.saturating_sub(1))
}

/// One of the words.
pub fn pick<'a>(words: &[&'a str], rng: &mut Stream) -> &'a str {
    words[rng.random_range(0..words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn streams_repeat_and_differ() {
        let one: Vec<u64> = (0..8)
            .map(|_| 0)
            .scan(stream(7, Purpose::Traffic, 1), |r, _: i32| Some(r.random()))
            .collect();
        let again: Vec<u64> = (0..8)
            .map(|_| 0)
            .scan(stream(7, Purpose::Traffic, 1), |r, _: i32| Some(r.random()))
            .collect();
        let other: Vec<u64> = (0..8)
            .map(|_| 0)
            .scan(stream(7, Purpose::Traffic, 2), |r, _: i32| Some(r.random()))
            .collect();
        let purpose: Vec<u64> = (0..8)
            .map(|_| 0)
            .scan(stream(7, Purpose::Comparison, 1), |r, _: i32| {
                Some(r.random())
            })
            .collect();
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert_ne!(one, purpose);
    }

    #[test]
    fn a_seed_keeps_its_meaning() {
        // Recorded from the first release: a change here changes everybody's data.
        let mut r = stream(42, Purpose::Table(3), 1000);
        let first: u64 = r.random();
        assert_eq!(first, RECORDED, "the numbers of seed 42 changed");
    }
    const RECORDED: u64 = 5_704_394_413_879_688;

    proptest! {
        #[test]
        fn the_top_fifth_holds_four_fifths(n in 20usize..3000) {
            let s = power_law_exponent(n, 0.2, 0.8);
            let w = power_law(n, s);
            prop_assert!((top_share(&w, 0.2) - 0.8).abs() < 1e-6);
            prop_assert!(w.windows(2).all(|p| p[0] >= p[1]));
            prop_assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn draws_follow_the_weights(weights in proptest::collection::vec(0.0f64..10.0, 1..12), seed: u64) {
            prop_assume!(weights.iter().sum::<f64>() > 0.1);
            let d = Weighted::new(weights.clone());
            let mut rng = stream(seed, Purpose::Traffic, 0);
            let n = 20_000;
            let mut seen = vec![0usize; weights.len()];
            for _ in 0..n { seen[d.draw(&mut rng)] += 1; }
            for (w, s) in weights.iter().zip(&seen) {
                let p = w / d.total();
                // Six standard deviations of a binomial.
                let bound = 6.0 * (p * (1.0 - p) * n as f64).sqrt() + 1.0;
                prop_assert!((*s as f64 - p * n as f64).abs() <= bound, "{s} of {n} for weight {w}");
            }
        }

        #[test]
        fn hot_indexes_stay_inside(n in 1usize..1_000_000, seed: u64) {
            let mut rng = stream(seed, Purpose::Traffic, 0);
            for _ in 0..200 { prop_assert!(hot_index(n, &mut rng) < n); }
        }
    }

    #[test]
    fn hot_indexes_are_skewed() {
        let mut rng = stream(5, Purpose::Traffic, 0);
        let low = (0..10_000)
            .filter(|_| hot_index(1000, &mut rng) < 200)
            .count();
        // ln(1 + 8) / ln(41) = 59 % fall on the first fifth.
        assert!((5600..6250).contains(&low), "{low}");
    }
}
