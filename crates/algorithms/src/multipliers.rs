//! The multipliers of the relaxation in [`crate::volume`]: one for each relaxed constraint.

use crate::selection_state::Layout;

/// Scales grow with this power of the magnitudes: 1 is the full dilation, which lets the few
/// largest savings rule; measured on workloads of 800 statements the bound is within half a per
/// cent of the linear program's at 0.6, ten per cent away at 0 and at 1.
const SCALE_POWER: f64 = 0.6;

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
    /// Squared length of the direction under `scale`, leaving out components
    /// that projection would cancel.
    pub(crate) fn norm(&self, at: &Multipliers, scale: &Multipliers) -> f64 {
        let part = |d: &[f64], a: &[f64], s: &[f64]| -> f64 {
            d.iter()
                .zip(a)
                .zip(s)
                .map(|((d, a), s)| {
                    if *a <= 0.0 && *d < 0.0 {
                        0.0
                    } else {
                        s * d * d
                    }
                })
                .sum()
        };
        part(&self.query, &at.query, &scale.query)
            + part(&self.trigger, &at.trigger, &scale.trigger)
            + part(&self.product, &at.product, &scale.product)
            + part(&self.row, &at.row, &scale.row)
            + if at.cap <= 0.0 && self.cap < 0.0 {
                0.0
            } else {
                scale.cap * self.cap * self.cap
            }
    }

    /// The weight of `newest` in its average with this direction that makes the average
    /// shortest, under `scale`.
    pub(crate) fn shortest(&self, newest: &Multipliers, scale: &Multipliers) -> f64 {
        let part = |a: &[f64], b: &[f64], s: &[f64]| -> (f64, f64) {
            a.iter()
                .zip(b)
                .zip(s)
                .fold((0.0, 0.0), |(p, n), ((a, b), s)| {
                    (p + s * a * (a - b), n + s * (a - b) * (a - b))
                })
        };
        let parts = [
            part(&self.query, &newest.query, &scale.query),
            part(&self.trigger, &newest.trigger, &scale.trigger),
            part(&self.product, &newest.product, &scale.product),
            part(&self.row, &newest.row, &scale.row),
            part(&[self.cap], &[newest.cap], &[scale.cap]),
        ];
        let (along, length) = parts
            .iter()
            .fold((0.0, 0.0), |(p, n), (a, b)| (p + a, n + b));
        if length > 0.0 { along / length } else { 1.0 }
    }

    /// How far each multiplier goes in a step of one, from what it is about as large as: of
    /// "this index must be there" what its query can save with it, of a class what it costs,
    /// of a limit what all queries can save. Savings of a second a day and of an hour a day
    /// stand side by side; a step of one length for all of them is too long here and too short
    /// there (a diagonal space dilation, N. Shor: Minimization Methods for Non-Differentiable
    /// Functions, 1985, chapter 3).
    pub(crate) fn scale(
        layout: &Layout<'_>,
        slot: &[u32],
        slots: usize,
        trigger: &[(u32, u32)],
        product: &[(u32, u32, f64)],
    ) -> Self {
        let program = layout.program;
        let mut query = vec![0.0f64; slots];
        let mut total = 0.0;
        for (q, term) in program.queries.iter().enumerate() {
            let dearest = layout
                .atoms_of(q)
                .map(|a| layout.cost[a])
                .fold(0.0, f64::max);
            let mut most: f64 = 0.0;
            for a in layout.atoms_of(q) {
                let saving = term.weight * (dearest - layout.cost[a]);
                most = most.max(saving);
                for k in layout.first_member[a] as usize..layout.first_member[a + 1] as usize {
                    let known = &mut query[slot[k] as usize];
                    *known = known.max(saving);
                }
            }
            total += most;
        }
        let class = |u: u32| {
            let class = &program.classes[u as usize];
            class.base + class.per_index.iter().map(|(_, e)| e).sum::<f64>()
        };
        let least = (total * 1e-9).max(1e-9);
        let scaled = |v: f64| v.max(least).powf(SCALE_POWER);
        Self {
            query: query.into_iter().map(scaled).collect(),
            trigger: trigger.iter().map(|&(u, _)| scaled(class(u))).collect(),
            product: product.iter().map(|&(_, _, e)| scaled(e)).collect(),
            row: vec![scaled(total); program.limits.len()],
            cap: scaled(total),
        }
    }
}
