//! From the latency histograms that capture keeps to the two numbers a block of time is
//! judged by: the mean of the logarithm (the typical execution) and the logarithm of the
//! mean (the tail). Outliers are winsorised in both.

use indexpilot_model::histogram;
use std::collections::BTreeMap;

/// Share at each end that is pulled in to the quantile there, over all executions of the
/// stratum before and after: one freak among the few of a block would otherwise move it.
const WINSORISED: f64 = 0.01;

/// Middle of a bucket of capture's histogram, milliseconds.
pub fn middle(bucket: u32) -> f64 {
    let (low, high) = histogram::bounds(bucket as usize);
    (low as f64 + high as f64) / 2_000_000.0
}

/// The executions of one statement in one block of time, one tenant, one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The block of time, numbered.
    pub block: i64,
    /// What executions are compared within (tenant, role…): the mix of strata may change
    /// without that being an effect.
    pub stratum: u64,
    /// Fingerprint of the plan; 0 is unknown.
    pub plan: u64,
    /// Executions.
    pub calls: f64,
    /// Mean of ln(milliseconds).
    pub log_mean: f64,
    /// Mean, milliseconds.
    pub mean: f64,
    /// Buffers touched an execution, mean.
    pub buffers: f64,
}

/// What capture measured of one statement in one block of time, one stratum, one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The block of time, numbered.
    pub block: i64,
    /// See [`Cell::stratum`].
    pub stratum: u64,
    /// Fingerprint of the plan; 0 is unknown.
    pub plan: u64,
    /// Bucket and count.
    pub histogram: Vec<(u32, u64)>,
    /// Buffers touched an execution, mean.
    pub buffers: f64,
}

/// Observations of the samples of one statement before and after a change, outliers pulled
/// in to the limits that both sides of a stratum have together.
pub fn cells(before: &[Sample], after: &[Sample]) -> (Vec<Cell>, Vec<Cell>) {
    let mut pooled: BTreeMap<u64, BTreeMap<u32, f64>> = BTreeMap::new();
    for sample in before.iter().chain(after) {
        let stratum = pooled.entry(sample.stratum).or_default();
        for (bucket, count) in &sample.histogram {
            *stratum.entry(*bucket).or_default() += *count as f64;
        }
    }
    let limits: BTreeMap<u64, (f64, f64)> = pooled
        .into_iter()
        .map(|(stratum, counts)| (stratum, limits(&counts)))
        .collect();
    let observe = |samples: &[Sample]| {
        samples
            .iter()
            .filter_map(|sample| observe(sample, limits.get(&sample.stratum)?))
            .collect()
    };
    (observe(before), observe(after))
}

fn limits(counts: &BTreeMap<u32, f64>) -> (f64, f64) {
    let all: f64 = counts.values().sum();
    let quantile = |share: f64| {
        let mut seen = 0.0;
        for (bucket, count) in counts {
            seen += count;
            if seen >= share * all {
                return middle(*bucket);
            }
        }
        f64::INFINITY
    };
    (quantile(WINSORISED), quantile(1.0 - WINSORISED))
}

fn observe(sample: &Sample, (low, high): &(f64, f64)) -> Option<Cell> {
    let (mut calls, mut logs, mut sum) = (0.0, 0.0, 0.0);
    for (bucket, count) in &sample.histogram {
        let (value, count) = (middle(*bucket).clamp(*low, *high), *count as f64);
        calls += count;
        logs += count * value.ln();
        sum += count * value;
    }
    (calls > 0.0).then(|| Cell {
        block: sample.block,
        stratum: sample.stratum,
        plan: sample.plan,
        calls,
        log_mean: logs / calls,
        mean: sum / calls,
        buffers: sample.buffers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_and_outliers_count_little() {
        assert!((1..480).all(|bucket| middle(bucket) > middle(bucket - 1)));
        let sample = |histogram: &[(u32, u64)]| Sample {
            block: 0,
            stratum: 0,
            plan: 0,
            histogram: histogram.to_vec(),
            buffers: 0.0,
        };
        let (quiet, spiked) = cells(&[sample(&[(100, 999)])], &[sample(&[(100, 999), (400, 1)])]);
        assert!((quiet[0].mean - spiked[0].mean).abs() < 1e-9);
        assert!(cells(&[sample(&[])], &[]).0.is_empty());
    }
}
