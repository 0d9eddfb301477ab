//! Latencies: histograms for long runs, exact samples for comparisons, and the statistics over both.
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A latency histogram: 1 µs to 10 minutes, three significant digits (HdrHistogram).
#[derive(Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
    sum: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            histogram: Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds"),
            sum: Duration::ZERO,
        }
    }
}

impl Latencies {
    /// Counts one latency; longer ones than 10 minutes count as 10 minutes in the quantiles.
    pub fn record(&mut self, latency: Duration) {
        self.histogram
            .saturating_record((latency.as_nanos() / 1_000).max(1) as u64);
        self.sum += latency;
    }

    /// Adds another histogram's counts.
    pub fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("same bounds");
        self.sum += other.sum;
    }

    /// Mean and quantiles in microseconds.
    pub fn summary(&self) -> Summary {
        let count = self.histogram.len();
        let quantile = |q: f64| {
            if count == 0 {
                0.0
            } else {
                self.histogram.value_at_quantile(q) as f64
            }
        };
        Summary {
            count,
            mean: if count == 0 {
                0.0
            } else {
                self.sum.as_secs_f64() * 1e6 / count as f64
            },
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

/// Mean and quantiles of latencies, microseconds; all zero when `count` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of executions.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Summary {
    /// Of exact samples in microseconds.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            if sorted.is_empty() {
                0.0
            } else {
                sorted[((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len()) - 1]
            }
        };
        Summary {
            count: sorted.len() as u64,
            mean: mean(&sorted),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

/// Arithmetic mean, zero of nothing.
pub fn mean(samples: &[f64]) -> f64 {
    if samples.is_empty() {
        0.0
    } else {
        samples.iter().sum::<f64>() / samples.len() as f64
    }
}

/// Lower end of the one-sided 95 % confidence interval of `mean(after) / mean(before)` for paired samples:
/// Fieller's statistic with the t quantile, after both members of the most extreme twentieth of the pairs are left out
/// (a checkpoint or another process hits one side of a pair and says nothing about the statement).
/// `None` below six pairs: too few to say anything.
pub fn slower_by_at_least(before: &[f64], after: &[f64]) -> Option<f64> {
    assert_eq!(before.len(), after.len(), "pairs");
    let mut pairs: Vec<(f64, f64)> = before.iter().copied().zip(after.iter().copied()).collect();
    pairs.sort_by(|a, b| (a.1 - a.0).abs().total_cmp(&(b.1 - b.0).abs()));
    pairs.truncate(pairs.len() - pairs.len() / 20);
    let n = pairs.len() as f64;
    if n < 6.0 {
        return None;
    }
    // The largest ratio r for which mean(after - r * before) is still significantly above zero.
    let significant = |r: f64| {
        let differences: Vec<f64> = pairs.iter().map(|(b, a)| a - r * b).collect();
        let m = mean(&differences);
        let variance = differences.iter().map(|d| (d - m).powi(2)).sum::<f64>() / (n - 1.0);
        // 1.645 widened for few pairs (Cornish–Fisher, first term).
        let t = 1.645 + (1.645f64.powi(3) + 1.645) / (4.0 * (n - 1.0));
        m > t * (variance / n).sqrt()
    };
    let (mut low, mut high) = (0.0, 1000.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if significant(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use rand::RngExt;

    #[test]
    fn quantiles_of_known_samples() {
        let s = Summary::of(&(1..=100).map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            (s.count, s.mean, s.p50, s.p95, s.p99),
            (100, 50.5, 50.0, 95.0, 99.0)
        );
        assert_eq!(Summary::of(&[]), Summary::default());
    }

    #[test]
    fn a_histogram_agrees_with_exact_samples() {
        let mut h = Latencies::default();
        let mut rng = stream(1, Purpose::Traffic, 0);
        let samples: Vec<f64> = (0..5_000)
            .map(|_| 10f64.powf(rng.random_range(1.0..6.0)))
            .collect();
        for s in &samples {
            h.record(Duration::from_secs_f64(s / 1e6));
        }
        let (a, b) = (h.summary(), Summary::of(&samples));
        for (x, y) in [
            (a.mean, b.mean),
            (a.p50, b.p50),
            (a.p95, b.p95),
            (a.p99, b.p99),
        ] {
            assert!((x / y - 1.0).abs() < 0.02, "{x} {y}");
        }
    }

    #[test]
    fn an_honest_slowdown_is_seen_and_noise_is_not() {
        let mut alarms = 0;
        for seed in 0..200 {
            let mut rng = stream(seed, Purpose::Traffic, 0);
            let mut noisy = |scale: f64| {
                (0..30)
                    .map(|_| scale * 10f64.powf(rng.random_range(-0.3..0.3)))
                    .collect::<Vec<f64>>()
            };
            let (a, b, slow) = (noisy(100.0), noisy(100.0), noisy(200.0));
            alarms += usize::from(slower_by_at_least(&a, &b).expect("enough pairs") > 1.1);
            assert!(
                slower_by_at_least(&a, &slow).expect("enough pairs") > 1.1,
                "seed {seed}"
            );
        }
        assert!(alarms <= 6, "{alarms} of 200 false alarms");
    }
}
