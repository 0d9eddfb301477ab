//! The multipliers of the relaxation in [`crate::volume`]: one for each relaxed constraint.

/// Multipliers; never negative.
#[derive(Clone, Debug, Default)]
pub struct Multipliers {
    pub(crate) query: Vec<f64>,
    pub(crate) trigger: Vec<f64>,
    pub(crate) product: Vec<f64>,
    pub(crate) row: Vec<f64>,
    pub(crate) cap: f64,
}

impl Multipliers {
    /// Number of multipliers (what a copy costs).
    pub fn len(&self) -> usize {
        self.query.len() + self.trigger.len() + self.product.len() + self.row.len() + 1
    }

    /// Never empty: there is always the one of the cap.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Multipliers {
    /// Squared length of the direction, leaving out components that projection would cancel.
    pub(crate) fn norm(&self, at: &Multipliers) -> f64 {
        let part = |d: &[f64], a: &[f64]| -> f64 {
            d.iter()
                .zip(a)
                .map(|(d, a)| if *a <= 0.0 && *d < 0.0 { 0.0 } else { d * d })
                .sum()
        };
        part(&self.query, &at.query)
            + part(&self.trigger, &at.trigger)
            + part(&self.product, &at.product)
            + part(&self.row, &at.row)
            + if at.cap <= 0.0 && self.cap < 0.0 {
                0.0
            } else {
                self.cap * self.cap
            }
    }
}
