//! Columns that the planner takes to be independent and that are not: how far its product of
//! selectivities is off is measured in a sample of the table, and extended statistics are
//! proposed where they would mend it.
//!
//! The planner multiplies the selectivities of conditions on several columns (manual, "Extended
//! Statistics"); what such errors do to plans: V. Leis et al., "How Good Are Query Optimizers,
//! Really?", PVLDB 9(3), 2015. All that is counted are pairs of rows that agree, and only
//! pairs on different pages: rows that were written together are alike without saying anything
//! of the rest, and a row always agrees with itself.

use indexpilot_model::StatisticsKind;
use std::collections::HashMap;

/// Estimates off by less are not mended: estimates of single columns err by a factor of two
/// themselves, and plans seldom change below this one.
pub const FACTOR: f64 = 4.0;
/// Rows below which a wrong estimate makes no bad plan: reading a hundred rows by an index is
/// cheaper than any other way to join them.
pub const ROWS: f64 = 100.0;
/// Pairs of equal rows below which chance could have made them (a tenth of relative error).
const PAIRS: f64 = 100.0;
/// Share that a kind of statistics has to explain: with half of the rows right, the estimate is
/// within a factor of two.
const EXPLAINED: f64 = 0.5;
/// Combinations that ANALYZE keeps of each at the default statistics target.
const MOST_COMMON: usize = 100;
/// Columns of one proposal: the work of ANALYZE grows with the number of their subsets.
pub const MOST_COLUMNS: usize = 4;

/// A column's values in the sample, by row.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Equal values have equal hashes.
    pub hashes: Vec<u32>,
    /// Where there is none.
    pub nulls: Vec<bool>,
}

/// A sample of a table.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Page of each row.
    pub pages: Vec<u32>,
    /// Columns, each with as many values as there are pages.
    pub columns: Vec<Column>,
    /// Rows of the table.
    pub tuples: f64,
}

/// What a search for the values of a row that exists finds, on average over the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Rows that agree with it in all columns.
    pub found: f64,
    /// Rows that independence lets expect.
    pub expected: f64,
    /// Pairs of rows of the sample that agree: what stands behind it.
    pub pairs: f64,
}

impl Search {
    /// Times too few rows that are expected; 1 where chance could be all there is.
    pub fn factor(&self) -> f64 {
        if self.pairs < PAIRS || self.expected <= 0.0 {
            return 1.0;
        }
        self.found / self.expected
    }
}

/// Equal values by row: in the whole sample, and on the row's own page.
struct Repeats {
    of: Vec<(f64, f64)>,
}

impl Repeats {
    fn new(keys: &[Option<u64>], pages: &[u32]) -> Self {
        let mut all: HashMap<u64, f64> = HashMap::new();
        let mut here: HashMap<(u64, u32), f64> = HashMap::new();
        for (key, page) in keys.iter().zip(pages) {
            if let Some(key) = key {
                *all.entry(*key).or_default() += 1.0;
                *here.entry((*key, *page)).or_default() += 1.0;
            }
        }
        let of = keys.iter().zip(pages).map(|(key, page)| match key {
            Some(key) => (all[key], here[&(*key, *page)]),
            None => (0.0, 0.0),
        });
        Repeats { of: of.collect() }
    }
}

impl Sample {
    /// One key a row over these columns; none where a value is missing, which no equality finds.
    fn keys(&self, columns: &[usize]) -> Vec<Option<u64>> {
        (0..self.pages.len())
            .map(|row| {
                columns.iter().try_fold(0u64, |key, &c| {
                    let column = &self.columns[c];
                    (!column.nulls[row]).then(|| {
                        // FNV-1a over the hashes, rotated so that both halves take part.
                        (key ^ u64::from(column.hashes[row]))
                            .wrapping_mul(0x0000_0100_0000_01b3)
                            .rotate_left(29)
                    })
                })
            })
            .collect()
    }

    /// What a search over these columns finds and what independence lets expect; `None` where
    /// the sample lies on one page, or no row has values in all of them.
    pub fn search(&self, columns: &[usize]) -> Option<Search> {
        let joint_keys = self.keys(columns);
        let rows = self.pages.len() as f64;
        let joint = Repeats::new(&joint_keys, &self.pages);
        let single: Vec<Repeats> = columns
            .iter()
            .map(|&c| Repeats::new(&self.keys(&[c]), &self.pages))
            .collect();
        let mut on_page: HashMap<u32, f64> = HashMap::new();
        for page in &self.pages {
            *on_page.entry(*page).or_default() += 1.0;
        }
        let (mut found, mut expected, mut pairs, mut counted) = (0.0, 0.0, 0.0, 0.0);
        for (row, key) in joint_keys.iter().enumerate() {
            let elsewhere = rows - on_page[&self.pages[row]];
            if key.is_none() || elsewhere <= 0.0 {
                continue;
            }
            let others = |repeats: &Repeats| repeats.of[row].0 - repeats.of[row].1;
            found += others(&joint) / elsewhere;
            pairs += others(&joint) / 2.0;
            expected += single
                .iter()
                .map(|repeats| others(repeats) / elsewhere)
                .product::<f64>();
            counted += 1.0;
        }
        (counted > 0.0).then(|| Search {
            found: found / counted * self.tuples,
            expected: expected / counted * self.tuples,
            pairs,
        })
    }

    /// Share of the rows whose value in `from` goes with one value in `to` only; of those whose
    /// value in `from` is seen on more than one page.
    pub fn determines(&self, from: &[usize], to: usize) -> f64 {
        let keys = self.keys(from);
        let values = self.keys(&[to]);
        // Value, page, rows, whether another value or page was seen.
        let mut groups: HashMap<u64, (Option<u64>, u32, f64, bool, bool)> = HashMap::new();
        for (row, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let group =
                groups
                    .entry(*key)
                    .or_insert((values[row], self.pages[row], 0.0, false, false));
            group.2 += 1.0;
            group.3 |= group.0 != values[row];
            group.4 |= group.1 != self.pages[row];
        }
        let told = groups.values().filter(|group| group.4);
        let (one, all) = told.fold((0.0, 0.0), |(one, all), group| {
            (one + if group.3 { 0.0 } else { group.2 }, all + group.2)
        });
        if all > 0.0 { one / all } else { 0.0 }
    }

    /// Share of the rows that the most common combinations hold.
    pub fn common(&self, columns: &[usize]) -> f64 {
        let mut counts: HashMap<u64, f64> = HashMap::new();
        let mut rows = 0.0;
        for key in self.keys(columns).into_iter().flatten() {
            *counts.entry(key).or_default() += 1.0;
            rows += 1.0;
        }
        let mut counts: Vec<f64> = counts.into_values().filter(|c| *c > 1.0).collect();
        counts.sort_by(|a, b| b.total_cmp(a));
        counts.truncate(MOST_COMMON);
        counts.iter().sum::<f64>() / f64::max(rows, 1.0)
    }
}

/// Columns whose conditions the planner prices wrongly, and the statistics that mend it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Positions of columns in the sample, ascending.
    pub columns: Vec<usize>,
    /// Kinds that help, ascending.
    pub kinds: Vec<StatisticsKind>,
    /// What was measured.
    pub search: Search,
}

/// Of columns that a statement compares with values together, those that depend on each other,
/// where statistics would help: groups of columns connected by pairs that are off by [`FACTOR`].
pub fn findings(sample: &Sample, columns: &[usize]) -> Vec<Finding> {
    let wrong = |set: &[usize]| {
        sample
            .search(set)
            .filter(|s| s.factor() >= FACTOR && s.found >= ROWS)
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, &a) in columns.iter().enumerate() {
        for &b in &columns[place + 1..] {
            if wrong(&[a, b]).is_none() {
                continue;
            }
            let (joined, mut rest): (Vec<_>, Vec<_>) = groups
                .into_iter()
                .partition(|group| group.contains(&a) || group.contains(&b));
            let mut group: Vec<usize> = joined.into_iter().flatten().chain([a, b]).collect();
            group.sort_unstable();
            group.dedup();
            rest.push(group);
            groups = rest;
        }
    }
    groups
        .into_iter()
        .filter(|group| group.len() <= MOST_COLUMNS)
        .filter_map(|group| {
            // All of them together may be too rare to say anything of; then the pairs are.
            let search = wrong(&group)?;
            let mut kinds = Vec::new();
            let determined = group.iter().any(|&to| {
                let mut others = group.iter().filter(|&&from| from != to);
                others.any(|&from| sample.determines(&[from], to) >= EXPLAINED)
            });
            if determined {
                kinds.push(StatisticsKind::Dependencies);
            }
            if sample.common(&group) >= EXPLAINED {
                kinds.push(StatisticsKind::Mcv);
            }
            (!kinds.is_empty()).then_some(Finding {
                columns: group,
                kinds,
                search,
            })
        })
        .collect()
}

/// Groups that the planner expects of several columns with so many values each (selfuncs.c,
/// `estimate_num_groups`, without conditions).
pub fn expected_groups(distinct: &[f64], tuples: f64) -> f64 {
    let most = distinct.iter().copied().fold(1.0, f64::max);
    let clamp = (0.1 * tuples).max(most).min(tuples);
    distinct.iter().product::<f64>().min(clamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splitmix64.
    fn dice(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Twenty thousand rows, forty a page, of a million.
    fn sample(seed: u64, row: impl Fn(&mut u64, usize) -> Vec<Option<u32>>) -> Sample {
        let mut seed = seed;
        let mut made = Sample {
            tuples: 1e6,
            ..Sample::default()
        };
        for number in 0..20_000 {
            let values = row(&mut seed, number);
            made.columns.resize(values.len(), Column::default());
            made.pages.push(number as u32 / 40);
            for (column, value) in made.columns.iter_mut().zip(values) {
                column
                    .hashes
                    .push(value.unwrap_or(0).wrapping_mul(0x9e37_79b9));
                column.nulls.push(value.is_none());
            }
        }
        made
    }

    #[test]
    fn a_city_follows_from_its_zip_code() {
        let s = sample(1, |seed, _| {
            let zip = (dice(seed) % 1_000) as u32;
            vec![Some(zip / 10), Some(zip), Some((dice(seed) % 50) as u32)]
        });
        let found = findings(&s, &[0, 1, 2]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].columns, [0, 1]);
        assert_eq!(found[0].kinds, [StatisticsKind::Dependencies]);
        // A thousandth of the rows, of which independence expects a hundredth.
        let search = found[0].search;
        assert!((search.found / 1_000.0 - 1.0).abs() < 0.1, "{search:?}");
        assert!((search.factor() / 100.0 - 1.0).abs() < 0.1, "{search:?}");
        assert!(s.determines(&[1], 0) > 0.99 && s.determines(&[0], 1) < 0.01);
    }

    #[test]
    fn common_combinations_are_found_where_nothing_determines() {
        // Half of the rows have one of eight combinations, the others anything.
        let s = sample(2, |seed, _| {
            if dice(seed) % 10 < 7 {
                let pair = (dice(seed) % 20) as u32;
                vec![Some(pair), Some(pair * 7 % 20)]
            } else {
                vec![
                    Some((dice(seed) % 20) as u32),
                    Some((dice(seed) % 20) as u32),
                ]
            }
        });
        let found = findings(&s, &[0, 1]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kinds, [StatisticsKind::Mcv]);
    }

    #[test]
    fn independent_columns_are_left_alone_whatever_their_numbers_of_values() {
        for (a, b) in [(2, 3), (50, 60), (1_000, 10), (5_000, 5_000), (20_000, 3)] {
            for seed in 0..5 {
                let s = sample(seed, |seed, _| {
                    // Skewed, as values are.
                    let skew = |seed: &mut u64, n: u64| {
                        let x = (dice(seed) >> 11) as f64 / (1u64 << 53) as f64;
                        Some((x * x * n as f64) as u32)
                    };
                    vec![skew(seed, a), skew(seed, b)]
                });
                assert_eq!(findings(&s, &[0, 1]), [], "{a} {b} seed {seed}");
            }
        }
    }

    /// Rows of a page are alike in both, as those of one load; across pages nothing is.
    #[test]
    fn what_lies_together_is_not_taken_for_what_belongs_together() {
        let s = sample(3, |_, number| {
            let mut page = number as u64 / 40;
            let first = dice(&mut page) % 300;
            let second = dice(&mut page) % 300;
            vec![Some(first as u32), Some(second as u32)]
        });
        assert_eq!(findings(&s, &[0, 1]), []);
    }

    #[test]
    fn nulls_are_found_by_no_equality() {
        // Null together nearly always; where there are values they are independent.
        let s = sample(4, |seed, _| {
            if dice(seed) % 10 < 8 {
                vec![None, None]
            } else {
                vec![
                    Some((dice(seed) % 30) as u32),
                    Some((dice(seed) % 30) as u32),
                ]
            }
        });
        let search = s.search(&[0, 1]).expect("values");
        // Each column alone selects a fifth of what it would without nulls: five times.
        assert!((search.factor() - 5.0).abs() < 1.0, "{search:?}");
        let nothing = sample(5, |_, _| vec![None, None]);
        assert_eq!(nothing.search(&[0, 1]), None);
    }

    #[test]
    fn few_rows_are_not_worth_it() {
        let mut s = sample(6, |seed, _| {
            let zip = (dice(seed) % 1_000) as u32;
            vec![Some(zip / 10), Some(zip)]
        });
        s.tuples = 20_000.0;
        // Twenty rows found where a fifth of one is expected.
        assert_eq!(findings(&s, &[0, 1]), []);
    }

    #[test]
    fn groups_are_expected_as_the_planner_does() {
        assert_eq!(expected_groups(&[10.0, 20.0], 1e6), 200.0);
        assert_eq!(expected_groups(&[1e4, 1e4], 1e6), 1e5);
        assert_eq!(expected_groups(&[5e5, 10.0], 1e6), 5e5);
    }
}
