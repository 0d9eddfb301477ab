//! Hash indexes (hashpage.c, hashinsert.c): buckets by powers of two in four phases, pages
//! that overflow where keys repeat.

use crate::duplicates::KeyGroup;
use crate::page::{ITEM_ID, PAGE, PAGE_HEADER, Size};

/// `HashPageOpaqueData`.
const OPAQUE: f64 = 16.0;
/// Header and hash code, aligned: keys themselves are not stored.
const TUPLE: f64 = 16.0;
/// Buckets are followed one by one up to here; above, as a distribution.
const MOST_FOLLOWED: f64 = 200_000.0;

/// The size of a freshly built index on `groups`' keys (nulls are not in it).
pub fn size(groups: &[KeyGroup], fillfactor: f64) -> Size {
    let tuples: f64 = groups.iter().map(|group| group.keys * group.repeats).sum();
    let per_bucket = (PAGE * fillfactor / 100.0 / (TUPLE + ITEM_ID))
        .floor()
        .max(10.0);
    let buckets = buckets(tuples / per_bucket);
    let per_page = ((PAGE - PAGE_HEADER - OPAQUE) / (TUPLE + ITEM_ID)).floor();
    let overflow = overflow(groups, buckets, per_page);
    // Metapage, buckets, overflow pages, and a bitmap page for each 32,768 of those.
    let bitmaps = (overflow / 32_768.0).ceil().max(1.0);
    Size {
        pages: 1.0 + buckets + overflow + bitmaps,
        height: 0,
    }
}

/// hashutil.c, _hash_spareindex and _hash_get_totalbuckets: powers of two up to 1,024, then
/// each doubling in four steps.
fn buckets(wanted: f64) -> f64 {
    if wanted <= 2.0 {
        return 2.0;
    }
    let power = wanted.log2().ceil().exp2();
    if power <= 1024.0 {
        return power;
    }
    let half = power / 2.0;
    [1.25, 1.5, 1.75]
        .into_iter()
        .map(|share| half * share)
        .find(|total| *total >= wanted)
        .unwrap_or(power)
}

/// Pages beyond the first of each bucket.
fn overflow(groups: &[KeyGroup], buckets: f64, per_page: f64) -> f64 {
    let mut pages = 0.0;
    // Frequent keys fill buckets of their own; the others spread evenly over all.
    let mut spread = 0.0;
    let mut heavy = Vec::new();
    for group in groups {
        if group.repeats * 4.0 >= per_page && group.keys <= MOST_FOLLOWED {
            heavy.push(*group);
        } else {
            spread += group.keys * group.repeats;
        }
    }
    let even = spread / buckets;
    let mut followed = std::collections::BTreeMap::<u64, f64>::new();
    let mut state = 0x243f_6a88_85a3_08d3u64;
    for group in heavy {
        for _ in 0..group.keys.round() as u64 {
            // A stand-in for the hash of a key that we do not know.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bucket = ((state >> 33) as f64 / f64::from(1u32 << 31) * buckets) as u64;
            *followed.entry(bucket).or_insert(even) += group.repeats;
        }
    }
    for load in followed.values() {
        pages += ((load / per_page).ceil() - 1.0).max(0.0);
    }
    let others = buckets - followed.len() as f64;
    pages += others * expected_overflow(even, per_page);
    pages.round()
}

/// Expected pages beyond the first of a bucket with a mean of `load` independent tuples
/// (Poisson, by its normal approximation, summed over page counts).
fn expected_overflow(load: f64, per_page: f64) -> f64 {
    if load <= 0.0 {
        return 0.0;
    }
    let deviation = load.sqrt();
    let mut expected = 0.0;
    let mut page = 1.0;
    while page < 1e6 {
        let above = upper_tail((page * per_page + 0.5 - load) / deviation);
        if above < 1e-9 {
            break;
        }
        expected += above;
        page += 1.0;
    }
    expected
}

/// Upper tail of the standard normal distribution (Abramowitz and Stegun 26.2.17).
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    polynomial * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_in_steps() {
        assert_eq!(buckets(1.0), 2.0);
        assert_eq!(buckets(300.0), 512.0);
        assert_eq!(buckets(1025.0), 1280.0);
        assert_eq!(buckets(1700.0), 1792.0);
        assert_eq!(buckets(2000.0), 2048.0);
    }

    #[test]
    fn one_key_fills_one_bucket() {
        let groups = [KeyGroup {
            keys: 1.0,
            repeats: 407.0 * 10.0,
        }];
        // 4,070 tuples want 14 buckets: 16; the key's bucket has nine pages more.
        assert_eq!(size(&groups, 75.0).pages, 1.0 + 16.0 + 9.0 + 1.0);
    }
}
