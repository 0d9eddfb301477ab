//! How often keys repeat in a whole relation, from how often they do in a sample.

use std::collections::HashMap;

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
    let mut rest_rows = total;
    let rare = if whole {
        sorted.len()
    } else {
        sorted.partition_point(|count| *count >= RELIABLE)
    };
    for &count in &sorted[..rare] {
        let repeats = f64::from(count) * scale;
        rest_rows -= repeats;
        match groups.last_mut() {
            Some(group) if group.repeats == repeats => group.keys += 1.0,
            _ => groups.push(KeyGroup { keys: 1.0, repeats }),
        }
    }
    if whole {
        // Nothing is left but rounding.
        return groups;
    }
    if rest_rows >= 1.0 {
        // Of the rare ones alone: frequent keys say nothing of how many rare ones there are (a
        // document's names are everywhere, the number in it is its own).
        let rare = &sorted[rare..];
        let keys = distinct(rare, rest_rows)
            .max(by_chance(rare, rest_rows))
            .max(at_least(rare, rest_rows));
        groups.extend(spread(keys.clamp(1.0, rest_rows), rest_rows));
    }
    groups
}

/// A lower bound on the number of distinct keys in `total` rows that holds however unequal
/// they are: what was seen once and twice tells how many were seen never. A. Chao, C.-W. Lin:
/// "Nonparametric Lower Bounds for Species Richness and Shared Species Richness under Sampling
/// without Replacement", Biometrics 68, 2012. The other estimators take the keys to be alike,
/// and where some repeat a little and most not at all they find a tenth of them.
fn at_least(counts: &[u32], total: f64) -> f64 {
    let seen = counts.len() as f64;
    let sampled: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let times = |n: u32| counts.iter().filter(|count| **count == n).count() as f64;
    let (once, twice) = (times(1), times(2));
    if once <= 0.0 || sampled <= 1.0 || sampled >= total {
        return seen;
    }
    let share = sampled / total;
    let divisor = 2.0 * twice * sampled / (sampled - 1.0) + share / (1.0 - share) * once;
    (seen + once * once / divisor).clamp(seen, total.max(seen))
}

/// Keys that repeat more often than this on average are taken to repeat all alike: their
/// spread makes no difference to anybody any more.
const SPREAD_BELOW: f64 = 30.0;

/// `rows` rows of `keys` keys, of which nothing is known but that each has a row. A key chosen
/// by chance for every row makes a Poisson distribution without the zero; a rare key then
/// stands alone more often than its mean says, and takes more room.
pub fn spread(keys: f64, rows: f64) -> Vec<KeyGroup> {
    let mean = rows / keys.max(1.0);
    if mean <= 1.001 || mean >= SPREAD_BELOW || keys < 2.0 {
        return vec![KeyGroup {
            keys,
            repeats: mean.max(1.0),
        }];
    }
    // λ / (1 − e^−λ) = mean, by Newton's method; the left side is increasing and convex.
    let mut lambda = mean;
    for _ in 0..50 {
        let none = (-lambda).exp();
        let value = lambda / (1.0 - none) - mean;
        let slope = (1.0 - none - lambda * none) / ((1.0 - none) * (1.0 - none));
        let next = (lambda - value / slope).max(1e-9);
        if (next - lambda).abs() < 1e-12 * lambda {
            break;
        }
        lambda = next;
    }
    let mut groups = Vec::new();
    let (mut rest_keys, mut rest_rows) = (keys, rows);
    let mut share = lambda * (-lambda).exp() / (1.0 - (-lambda).exp());
    let mut repeats = 1.0;
    while repeats < mean + 6.0 * mean.sqrt() {
        let these = (keys * share).min(rest_keys).min(rest_rows / repeats);
        if these > 0.0 {
            groups.push(KeyGroup {
                keys: these,
                repeats,
            });
            rest_keys -= these;
            rest_rows -= these * repeats;
        }
        repeats += 1.0;
        share *= lambda / repeats;
    }
    if rest_rows > 0.0 {
        let keys = (rest_rows / repeats).min(rest_rows);
        groups.push(KeyGroup { keys, repeats });
    }
    groups
}

/// Where a sampled row stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the sampled pages.
    pub page: u32,
    /// Which stretch of neighbouring rows on that page.
    pub stretch: u32,
}

/// The keys of `total` rows by how often they repeat, from a sample of stretches of
/// neighbouring rows, in physical order: `keys` one a row, `places` where it stood.
///
/// Equal keys that lie together say nothing of how many there are elsewhere. So runs of equal
/// neighbours are counted instead of rows. The share of neighbours that differ tells how many
/// runs the relation has, and how often the runs on different pages are of the same key tells
/// how many keys they have. Where the order of the rows is
/// chance every row is a run, and this is the estimate from a plain random sample.
pub fn groups_in_order(keys: &[u64], places: &[Place], total: f64) -> Vec<KeyGroup> {
    let sampled = keys.len() as f64;
    if keys.is_empty() || total <= 0.0 {
        return Vec::new();
    }
    let (mut pairs, mut equal) = (0.0, 0.0);
    for (pair, place) in keys.windows(2).zip(places.windows(2)) {
        if place[0] == place[1] {
            pairs += 1.0;
            equal += f64::from(u8::from(pair[0] == pair[1]));
        }
    }
    // A key's rows, and the pages that they were seen on.
    let mut seen: HashMap<u64, (u32, u32, u32), std::hash::BuildHasherDefault<Identity>> =
        HashMap::with_capacity_and_hasher(keys.len(), Default::default());
    for (key, place) in keys.iter().zip(places) {
        let entry = seen.entry(*key).or_insert((0, 0, u32::MAX));
        entry.0 += 1;
        if entry.2 != place.page {
            entry.1 += 1;
            entry.2 = place.page;
        }
    }
    if sampled >= total {
        let rows: Vec<u32> = seen.into_values().map(|key| key.0).collect();
        return groups(&rows, total);
    }
    let on_pages: f64 = seen.values().map(|key| f64::from(key.1)).sum();
    let neighbours = if pairs > 0.0 { equal / pairs } else { 0.0 };
    let share = (1.0 - neighbours).min(on_pages / sampled);
    // A relation has no fewer runs than keys were seen.
    let runs = (total * share).max(seen.len() as f64);
    let (mut rest_rows, mut rest_runs) = (total, runs);
    let mut groups: Vec<KeyGroup> = Vec::new();
    let mut rare: Vec<u32> = Vec::new();
    let mut reliable: Vec<(u32, u32)> = Vec::new();
    for (rows, pages, _) in seen.into_values() {
        if pages >= RELIABLE {
            reliable.push((rows, pages));
        } else {
            rare.push(pages);
        }
    }
    reliable.sort_unstable_by(|a, b| b.cmp(a));
    for (rows, pages) in reliable {
        let repeats = f64::from(rows) * total / sampled;
        rest_rows -= repeats;
        rest_runs -= f64::from(pages) * runs / on_pages;
        match groups.last_mut() {
            Some(group) if group.repeats == repeats => group.keys += 1.0,
            _ => groups.push(KeyGroup { keys: 1.0, repeats }),
        }
    }
    if rest_rows >= 1.0 {
        let keys = distinct(&rare, rest_runs).max(by_chance(&rare, rest_runs));
        groups.extend(spread(keys.clamp(1.0, rest_rows), rest_rows));
    }
    groups
}

/// The number of distinct keys in `total` rows, if each row's key was drawn by chance from
/// equally likely ones: then a key is seen as often as Poisson's distribution says, and the
/// share of what was seen once gives its mean. [`distinct`] takes keys to repeat all alike
/// and finds a fifth too few of such keys.
fn by_chance(counts: &[u32], total: f64) -> f64 {
    let seen = counts.len() as f64;
    let sampled: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let once = counts.iter().filter(|count| **count == 1).count() as f64;
    if once <= 0.0 || once >= sampled || sampled >= total {
        return seen;
    }
    let possible = sampled / -(once / sampled).ln();
    let drawn = possible * (1.0 - (-total / possible).exp());
    drawn.clamp(seen, total.max(seen))
}

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
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

    /// SplitMix64.
    struct Dice(u64);

    impl Dice {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    const PAGES: u64 = 40_000;
    const DENSITY: u64 = 60;

    /// What a sample of 3,750 pages of 40,000, eight neighbours of each sixty, sees of `key`.
    fn estimated(key: impl Fn(u64) -> u64) -> f64 {
        let mut dice = Dice(7);
        let (mut keys, mut places) = (Vec::new(), Vec::new());
        for sampled in 0..3_750 {
            let page = sampled * PAGES / 3_750;
            let first = dice.next() % (DENSITY - 8);
            for row in 0..8 {
                keys.push(Dice(key(page * DENSITY + first + row)).next());
                places.push(Place {
                    page: sampled as u32,
                    stretch: 0,
                });
            }
        }
        let total = (PAGES * DENSITY) as f64;
        let groups = groups_in_order(&keys, &places, total);
        let rows: f64 = groups.iter().map(|group| group.keys * group.repeats).sum();
        assert!((rows / total - 1.0).abs() < 1e-6, "{rows}");
        groups.iter().map(|group| group.keys).sum()
    }

    #[test]
    fn keys_that_lie_together_are_not_taken_for_frequent_ones() {
        let rows = (PAGES * DENSITY) as f64;
        let close = |found: f64, truth: f64, by: f64| {
            assert!((found / truth - 1.0).abs() < by, "{found} for {truth}");
        };
        // Four rows a key, side by side.
        close(estimated(|row| row / 4), rows / 4.0, 0.03);
        // Unique.
        close(estimated(|row| row), rows, 1e-6);
        // Four rows a key, anywhere.
        close(estimated(|row| Dice(row).next() % 600_000), 589_000.0, 0.15);
        // Many rows a key, anywhere.
        close(estimated(|row| Dice(row).next() % 2_000), 2_000.0, 0.02);
        // A flag.
        close(estimated(|row| Dice(row).next() % 2), 2.0, 1e-6);
        // A day of many pages.
        close(estimated(|row| row / 10_000), 240.0, 0.4);
    }

    #[test]
    fn frequent_keys_do_not_hide_unique_ones() {
        // 1,000 sampled rows of 100,000, each with four names that all have and one number.
        let mut counts = vec![1_000; 4];
        counts.extend([1; 1_000]);
        let groups = groups(&counts, 500_000.0);
        let keys: f64 = groups.iter().map(|group| group.keys).sum();
        assert!((keys / 100_004.0 - 1.0).abs() < 1e-6, "{groups:?}");
    }

    #[test]
    fn keys_that_repeat_a_little_do_not_hide_unique_ones() {
        // 130,000 rows with a number of their own, 60,000 with one of 400 names.
        let mut dice = Dice(11);
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for row in 0..190_000 {
            if dice.next().is_multiple_of(20) {
                let key = if row < 130_000 {
                    row
                } else {
                    200_000 + row % 400
                };
                *counts.entry(key).or_default() += 1;
            }
        }
        let counts: Vec<u32> = counts.into_values().collect();
        let keys: f64 = groups(&counts, 190_000.0)
            .iter()
            .map(|group| group.keys)
            .sum();
        assert!((keys / 130_400.0 - 1.0).abs() < 0.25, "{keys}");
    }

    #[test]
    fn rare_keys_spread() {
        let groups = spread(1_000.0, 2_000.0);
        let (keys, rows) = groups.iter().fold((0.0, 0.0), |(keys, rows), group| {
            (keys + group.keys, rows + group.keys * group.repeats)
        });
        assert!((rows - 2_000.0).abs() < 1e-6, "{rows}");
        assert!((keys - 1_000.0f64).abs() < 1.0, "{keys}");
        // λ = 1.594: two fifths stand alone.
        assert!((groups[0].keys - 406.0).abs() < 2.0, "{groups:?}");
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
