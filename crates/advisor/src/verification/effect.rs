//! The effect of a change on one statement: the ratio of its latency after to before, with
//! a confidence interval.
//!
//! Executions within a block of time are not independent (cache, neighbours, lock queues),
//! so blocks are the observations. Each block's value is its mean residual against the
//! stratum's own mean before (a stratum is a tenant, say), so that a change of the mix is no
//! effect; what other statements did in the same block (the control) is taken off as far as
//! it went along with this statement before (difference in differences). Blocks follow one
//! another, so the variance is inflated by their autocorrelation (Newey and West 1987, with
//! one lag). The rest is Student's pooled two-sample t interval.

use super::latency::Cell;
use super::student;
use std::collections::BTreeMap;

/// What others did in a block: mean of ln(latency) against their own mean before.
pub type Control = BTreeMap<i64, f64>;

/// Which number of a cell is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The typical execution.
    Typical,
    /// The mean, in which the slow executions weigh.
    Mean,
}

impl Measure {
    fn of(self, cell: &Cell) -> f64 {
        match self {
            Measure::Typical => cell.log_mean,
            Measure::Mean => cell.mean.max(1e-9).ln(),
        }
    }
}

/// The ratio after / before of one statement's latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Best estimate.
    pub ratio: f64,
    /// Lower end of the interval (one-sided at the confidence asked for).
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Standard error of ln(ratio).
    pub error: f64,
    /// Blocks before and after.
    pub blocks: (usize, usize),
}

/// Blocks that each side needs.
pub const FEWEST_BLOCKS: usize = 5;

/// One value a block: mean residual against the strata's means before. Strata that were not
/// seen before say nothing about a change and are left out.
fn series(cells: &[Cell], base: &BTreeMap<u64, f64>, measure: Measure) -> BTreeMap<i64, f64> {
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for cell in cells {
        if let Some(mean) = base.get(&cell.stratum) {
            let sum = sums.entry(cell.block).or_default();
            // A block with very many calls is not that much more certain: what disturbs it
            // disturbs all its calls.
            let weight = cell.calls.min(200.0);
            sum.0 += weight * (measure.of(cell) - mean);
            sum.1 += weight;
        }
    }
    sums.into_iter()
        .filter(|(_, (_, weight))| *weight > 0.0)
        .map(|(block, (sum, weight))| (block, sum / weight))
        .collect()
}

fn strata_means(cells: &[Cell], measure: Measure) -> BTreeMap<u64, f64> {
    let mut sums: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for cell in cells {
        let sum = sums.entry(cell.stratum).or_default();
        sum.0 += cell.calls * measure.of(cell);
        sum.1 += cell.calls;
    }
    sums.into_iter()
        .map(|(stratum, (sum, calls))| (stratum, sum / calls.max(f64::MIN_POSITIVE)))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn square_sum(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// Sum of products of neighbours' deviations.
fn lag_sum(values: &[f64]) -> f64 {
    let mean = mean(values);
    values
        .windows(2)
        .map(|pair| (pair[0] - mean) * (pair[1] - mean))
        .sum()
}

/// How far the series went along with the control before: the regression coefficient,
/// between 0 and 1.
fn coupling(before: &BTreeMap<i64, f64>, control: &Control) -> f64 {
    let pairs: Vec<(f64, f64)> = before
        .iter()
        .filter_map(|(block, value)| Some((*control.get(block)?, *value)))
        .collect();
    if pairs.len() < 2 * FEWEST_BLOCKS {
        // Too few to tell: most of what moves everything moves this one too.
        return if pairs.is_empty() { 0.0 } else { 0.8 };
    }
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let covariance: f64 = x
        .iter()
        .zip(&y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let variance = square_sum(&x);
    if variance <= 0.0 {
        return 0.0;
    }
    (covariance / variance).clamp(0.0, 1.0)
}

/// The effect at a one-sided `confidence` (0.5…1); `None` with too few blocks on a side.
pub fn effect(
    before: &[Cell],
    after: &[Cell],
    control: &Control,
    measure: Measure,
    confidence: f64,
) -> Option<Effect> {
    let base = strata_means(before, measure);
    let before = series(before, &base, measure);
    let after = series(after, &base, measure);
    let coupling = coupling(&before, control);
    let adjust = |series: &BTreeMap<i64, f64>| -> Vec<f64> {
        series
            .iter()
            .map(|(block, value)| value - coupling * control.get(block).copied().unwrap_or(0.0))
            .collect()
    };
    let (x, y) = (adjust(&before), adjust(&after));
    let (n, m) = (x.len(), y.len());
    if n < FEWEST_BLOCKS || m < FEWEST_BLOCKS {
        return None;
    }
    let degrees = (n + m - 2) as f64;
    let squares = square_sum(&x) + square_sum(&y);
    let correlation = if squares > 0.0 {
        ((lag_sum(&x) + lag_sum(&y)) / squares).clamp(0.0, 0.9)
    } else {
        0.0
    };
    // An AR(1) series' mean has (1 + ρ) / (1 − ρ) times the variance; with one lag
    // estimated from short series this is the cautious form of Newey and West's.
    let inflation = (1.0 + correlation) / (1.0 - correlation);
    let variance = (squares / degrees).max(1e-6) * inflation;
    let error = (variance * (1.0 / n as f64 + 1.0 / m as f64)).sqrt();
    let difference = mean(&y) - mean(&x);
    let width = student::quantile(confidence, degrees) * error;
    Some(Effect {
        ratio: difference.exp(),
        lower: (difference - width).exp(),
        upper: (difference + width).exp(),
        error,
        blocks: (n, m),
    })
}

/// What all these statements did together in each block, for statements that the change
/// does not touch. `before` and `after` hold one list of cells a statement.
pub fn control(before: &[Vec<Cell>], after: &[Vec<Cell>]) -> Control {
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (old, new) in before.iter().zip(after) {
        let base = strata_means(old, Measure::Typical);
        for cells in [old, new] {
            for (block, value) in series(cells, &base, Measure::Typical) {
                let sum = sums.entry(block).or_default();
                sum.0 += value;
                sum.1 += 1.0;
            }
        }
    }
    sums.into_iter()
        .map(|(block, (sum, count))| (block, sum / count))
        .collect()
}
