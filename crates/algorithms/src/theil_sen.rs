//! A straight line through points of which some are wrong.
//!
//! H. Theil: "A rank-invariant method of linear and polynomial regression analysis",
//! Indagationes Mathematicae 12, 1950; P. Sen: "Estimates of the regression coefficient
//! based on Kendall's tau", JASA 63(324), 1968. The slope is the median of the slopes of
//! all pairs; it stands until 29 % of the points are arbitrary.

/// Intercept and slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Value at x = 0 (the median of y − slope·x).
    pub intercept: f64,
    /// Change of y for each unit of x.
    pub slope: f64,
}

/// The line, or `None` where fewer than two different x are given. Quadratic in the number
/// of points: of more than 500 an even sample is taken.
pub fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let step = points.len().div_ceil(500).max(1);
    let points: Vec<(f64, f64)> = points
        .iter()
        .step_by(step)
        .copied()
        .filter(|p| p.0.is_finite() && p.1.is_finite())
        .collect();
    let mut slopes = Vec::new();
    for (k, a) in points.iter().enumerate() {
        for b in &points[k + 1..] {
            if a.0 != b.0 {
                slopes.push((b.1 - a.1) / (b.0 - a.0));
            }
        }
    }
    let slope = median(&mut slopes)?;
    let intercept = median(&mut points.iter().map(|p| p.1 - slope * p.0).collect::<Vec<_>>())?;
    Some(Line { intercept, slope })
}

/// The median; of an even number the mean of the middle two; `None` of nothing.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_outliers_does_not_move_it() {
        let mut points: Vec<(f64, f64)> = (0..40)
            .map(|k| (f64::from(k), 3.0 + 2.0 * f64::from(k)))
            .collect();
        for k in 0..10 {
            points[4 * k].1 = 1e6;
        }
        let line = fit(&points).unwrap();
        assert!(
            (line.slope - 2.0).abs() < 0.2 && (line.intercept - 3.0).abs() < 4.0,
            "{line:?}"
        );
    }

    #[test]
    fn needs_two_different_x() {
        assert_eq!(fit(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(fit(&[]), None);
        assert_eq!(
            fit(&[(0.0, 1.0), (2.0, 5.0)]),
            Some(Line {
                intercept: 1.0,
                slope: 2.0
            })
        );
    }
}
