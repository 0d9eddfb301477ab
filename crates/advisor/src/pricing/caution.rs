//! Caution: what we believe a plan costs, where the planner is known to price it too low.
//!
//! Peers promise 30–50 % on TPC-H and deliver 4–11 %, because nested loops into a large
//! table look cheap: each inner scan is priced with pages that earlier loops are assumed
//! to have cached (L. Mackert, G. Lohman: "Index Scans Using a Finite LRU Buffer", TODS
//! 14(3), 1989, in PostgreSQL `index_pages_fetched`), and a well correlated index is
//! assumed to be read in order although the outer side comes in any order. The believed
//! cost adds, for each inner index scan, an amount for each descent and for each heap
//! fetch. The planner still decides by its own estimate ([`crate::selection::Atom`] keeps
//! both), so an index that lures it into such a plan is seen as the harm it does.
//!
//! The other case is a LIMIT over a scan in the order that is asked for, with a filter on that
//! order: `tenant = 7 AND name LIKE 'Li%' ORDER BY name LIMIT 20` read along (tenant, name).
//! The planner spreads the rows that pass evenly over the scan and stops at the twentieth;
//! they lie together, and everything before `Li` is read first. (A known weakness: C. Pettus,
//! "When LIMIT Attacks", thebuild.com, 2014; the even spread is `adjust_limit_rows_costs` of
//! PostgreSQL's pathnode.c.) The believed cost adds what lies before
//! the first row: nothing where the scan begins there, all where it ends there, half of it on
//! average where the value may be anywhere ([`indexpilot_model::price::EarlyStop`]). Where
//! the filter is on another column, the correlation of both with the heap says how far one
//! order is the other, by its square as in `cost_index`.
//!
//! The amounts are calibrated from measured plans ([`super::calibration`]).

use indexpilot_model::price::{PlanTraits, Price};

/// Additional planner cost units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caution {
    /// For each execution: what a statement takes that the planner does not price and no
    /// index saves (snapshot, start and end of the executor). Without it a lookup of three
    /// rows would seem a third cheaper for not visiting the heap, which nobody can measure.
    pub fixed: f64,
    /// For each descent of an inner index scan.
    pub descent: f64,
    /// For each heap fetch of an inner scan over an index in no physical order (|correlation| < 0.5 or unknown).
    pub scattered_fetch: f64,
    /// For each heap fetch of an inner scan over an index in physical order.
    pub ordered_fetch: f64,
    /// How far scans under a LIMIT are believed to read on until they come to the rows that
    /// pass a filter on their own order (1), instead of finding them everywhere (0).
    pub early_stop: f64,
}

impl Default for Caution {
    fn default() -> Self {
        // A descent costs another five comparisons' worth (cpu_operator_cost 0.0025), and a
        // fetch in order what processing a tuple costs (cpu_tuple_cost 0.01). A fetch out of
        // order is a page of memory that no processor cache holds, whether or not the planner
        // counted the page: on TPC-H in memory a microsecond where a unit is five (0.15 to 0.4
        // in six plans of queries 5, 7 and 8).
        Caution {
            // Some 30 µs at the usual 10 µs a unit.
            fixed: 3.0,
            descent: 0.0125,
            scattered_fetch: 0.2,
            ordered_fetch: 0.01,
            early_stop: 1.0,
        }
    }
}

/// Inner scans of a plan, summed: descents, scattered fetches, ordered fetches.
pub fn inner_work(traits: &PlanTraits) -> [f64; 3] {
    let mut work = [0.0; 3];
    for scan in &traits.inner_scans {
        work[0] += scan.loops.max(0.0);
        if !scan.index_only {
            let fetches = scan.loops.max(0.0) * scan.rows.max(0.0);
            let ordered = scan.correlation.is_some_and(|c| c.abs() >= 0.5);
            work[if ordered { 2 } else { 1 }] += fetches;
            if ordered && scan.scattered {
                // The first row of a run.
                work[1] += scan.loops.max(0.0);
            }
        }
        if scan.scattered {
            // The leaf page.
            work[1] += scan.loops.max(0.0);
        }
    }
    work
}

/// One plan that was measured: what the planner said and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The planner's total cost.
    pub cost: f64,
    /// Inner scans ([`inner_work`]).
    pub inner: [f64; 3],
    /// Measured milliseconds.
    pub ms: f64,
    /// Milliseconds a unit of the same statement under a plan without inner scans, or of
    /// the whole workload where there is none.
    pub ms_per_unit: f64,
}

/// An amount is found to be at most so many times what other machines showed: no memory is that
/// much slower, and a few executions that waited for a lock must not rule out every nested loop.
const MOST: f64 = 10.0;

impl Caution {
    /// No caution: believe the planner.
    pub const NONE: Caution = Caution {
        fixed: 0.0,
        descent: 0.0,
        scattered_fetch: 0.0,
        ordered_fetch: 0.0,
        early_stop: 0.0,
    };

    /// What we believe the plan costs; never less than the planner says with pages as warm
    /// as they are ([`Price::warm`]).
    pub fn believed(&self, price: &Price) -> f64 {
        let [descents, scattered, ordered] = inner_work(&price.traits);
        let skipped: f64 = price
            .traits
            .early_stops
            .iter()
            .map(|stop| stop.run * stop.skipped())
            .sum();
        price.warm
            + self.fixed
            + self.descent * descents
            + self.scattered_fetch * scattered
            + self.ordered_fetch * ordered
            + self.early_stop * skipped
    }

    /// Fits the three amounts to measurements by non-negative least squares on relative
    /// errors (coordinate descent; V. Franc, V. Hlaváč, M. Navara, CAIP 2005), shrunk
    /// towards `self` as if it had been seen `prior` times. With few observations the
    /// result stays near `self`; no amount becomes more than ten times its own.
    pub fn calibrate(&self, observations: &[Observation], prior: f64) -> Caution {
        let start = [self.descent, self.scattered_fetch, self.ordered_fetch];
        let mut amount = start;
        // Row: inner·a = ms/ms_per_unit − cost, each divided by the measured units, so that
        // long statements do not drown the others.
        let rows: Vec<([f64; 3], f64)> = observations
            .iter()
            .filter(|o| {
                o.ms > 0.0
                    && o.ms_per_unit > 0.0
                    && o.cost > 0.0
                    && o.inner.iter().any(|w| *w > 0.0)
            })
            .map(|o| {
                let units = o.ms / o.ms_per_unit;
                (o.inner.map(|w| w / units), (units - o.cost) / units)
            })
            .collect();
        if rows.is_empty() {
            return *self;
        }
        // The prior pulls each amount as strongly as `prior` typical rows would.
        let typical: [f64; 3] = std::array::from_fn(|k| {
            rows.iter().map(|(w, _)| w[k] * w[k]).sum::<f64>() / rows.len() as f64
        });
        for _ in 0..200 {
            let mut moved = 0.0f64;
            for k in 0..3 {
                let pull = prior * typical[k];
                let curvature = rows.iter().map(|(w, _)| w[k] * w[k]).sum::<f64>() + pull;
                if curvature <= 0.0 {
                    continue;
                }
                let mut slope = pull * start[k];
                for (w, target) in &rows {
                    let others: f64 = (0..3).filter(|&j| j != k).map(|j| w[j] * amount[j]).sum();
                    slope += w[k] * (target - others);
                }
                let next = (slope / curvature).clamp(0.0, MOST * start[k]);
                moved = moved.max((next - amount[k]).abs() / (1e-12 + amount[k].abs()));
                amount[k] = next;
            }
            if moved < 1e-9 {
                break;
            }
        }
        Caution {
            descent: amount[0],
            scattered_fetch: amount[1],
            ordered_fetch: amount[2],
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexpilot_model::price::{EarlyStop, InnerScan, Lies};

    fn price(cost: f64, scans: Vec<InnerScan>) -> Price {
        Price {
            cost,
            warm: cost,
            spread: (cost, cost),
            used: vec![],
            used_existing: vec![],
            rows: 1.0,
            traits: PlanTraits {
                inner_scans: scans,
                ..PlanTraits::default()
            },
            fingerprint: 0,
        }
    }

    fn scan(loops: f64, rows: f64, correlation: Option<f64>, index_only: bool) -> InnerScan {
        InnerScan {
            index: 0,
            candidate: None,
            loops,
            rows,
            correlation,
            index_only,
            scattered: false,
        }
    }

    #[test]
    fn runs_that_start_anywhere_cost_a_page_or_two() {
        let caution = Caution {
            fixed: 0.0,
            descent: 0.0,
            scattered_fetch: 2.0,
            ordered_fetch: 0.0,
            ..Caution::default()
        };
        let believed = |correlation, index_only| {
            let mut scan = scan(10.0, 3.0, correlation, index_only);
            scan.scattered = true;
            caution.believed(&price(100.0, vec![scan]))
        };
        assert_eq!(believed(Some(1.0), false), 100.0 + 40.0);
        assert_eq!(believed(Some(0.0), false), 100.0 + 60.0 + 20.0);
        assert_eq!(believed(Some(1.0), true), 100.0 + 20.0);
    }

    #[test]
    fn adds_for_inner_scans_only() {
        let caution = Caution {
            fixed: 0.0,
            descent: 1.0,
            scattered_fetch: 2.0,
            ordered_fetch: 0.5,
            early_stop: 1.0,
        };
        assert_eq!(caution.believed(&price(100.0, vec![])), 100.0);
        assert_eq!(
            caution.believed(&price(100.0, vec![scan(10.0, 3.0, None, false)])),
            100.0 + 10.0 + 60.0
        );
        assert_eq!(
            caution.believed(&price(100.0, vec![scan(10.0, 3.0, Some(-0.9), false)])),
            100.0 + 10.0 + 15.0
        );
        assert_eq!(
            caution.believed(&price(100.0, vec![scan(10.0, 3.0, None, true)])),
            110.0
        );
        assert_eq!(
            Caution::NONE.believed(&price(100.0, vec![scan(10.0, 3.0, None, false)])),
            100.0
        );
    }

    #[test]
    fn reads_up_to_the_rows_that_lie_together() {
        let stop = |share: f64, passing: f64, lies: Lies, together: f64| {
            let mut price = price(50.0, vec![]);
            price.traits.early_stops.push(EarlyStop {
                share,
                passing,
                lies,
                together,
                run: 1_000.0,
            });
            Caution {
                fixed: 0.0,
                ..Caution::default()
            }
            .believed(&price)
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} instead of {b}");
        // A hundredth passes, a twentieth of it is wanted.
        near(stop(0.05, 0.01, Lies::First, 1.0), 50.0);
        near(stop(0.05, 0.01, Lies::Last, 1.0), 50.0 + 990.0 + 0.5 - 50.0);
        near(
            stop(0.05, 0.01, Lies::Anywhere, 1.0),
            50.0 + 495.0 + 0.5 - 50.0,
        );
        near(
            stop(0.05, 0.01, Lies::Anywhere, 0.25),
            50.0 + (495.0 + 0.5 - 50.0) / 4.0,
        );
        // Nearly everything passes, or nearly all of it is wanted: the planner is right.
        near(stop(0.05, 0.99, Lies::Anywhere, 1.0), 50.0 + 4.5);
        near(stop(0.9, 0.01, Lies::Anywhere, 1.0), 50.0);
        near(stop(0.05, 0.01, Lies::Last, 0.0), 50.0);
    }

    /// The believed cost against a scan that is really walked: a filter on the order itself,
    /// values drawn evenly, against the same filter on what has nothing to do with the order.
    #[test]
    fn agrees_with_a_walk() {
        const ROWS: usize = 1_000;
        const WIDTH: usize = 40;
        const WANTED: usize = 10;
        let walk = |position: &dyn Fn(usize) -> usize, from: usize| {
            let mut found = 0;
            let read = (0..ROWS).position(|k| {
                found += usize::from((from..from + WIDTH).contains(&position(k)));
                found == WANTED
            });
            read.expect("enough rows") as f64 + 1.0
        };
        let mean = |position: &dyn Fn(usize) -> usize| {
            let places = ROWS - WIDTH;
            (0..places).map(|from| walk(position, from)).sum::<f64>() / places as f64
        };
        let share = WANTED as f64 / WIDTH as f64;
        let planner = share * ROWS as f64;
        let stop = EarlyStop {
            share,
            passing: WIDTH as f64 / ROWS as f64,
            lies: Lies::Anywhere,
            together: 1.0,
            run: ROWS as f64,
        };
        let along = mean(&|k| k);
        let believed = planner + stop.run * stop.skipped();
        assert!((along / believed - 1.0).abs() < 0.02, "{along} {believed}");
        // 617 and 1000 share no factor: a permutation.
        let across = mean(&|k| k * 617 % ROWS);
        assert!((across / planner - 1.0).abs() < 0.1, "{across} {planner}");
    }

    #[test]
    fn calibration_recovers_planted_amounts_and_shrinks() {
        // Planted: a descent is worth 0.04 units, a scattered fetch 0.3, an ordered one nothing.
        let truth = [0.04, 0.3, 0.0];
        let mut seed = 7u64;
        let mut dice = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as f64 / (1u64 << 31) as f64
        };
        let observations: Vec<Observation> = (0..400)
            .map(|_| {
                let inner = [1e4 * dice(), 1e4 * dice(), 1e4 * dice()];
                let cost = 500.0 + 1e4 * dice();
                let units = cost + (0..3).map(|k| truth[k] * inner[k]).sum::<f64>();
                let noise = 0.9 + 0.2 * dice();
                Observation {
                    cost,
                    inner,
                    ms: units * 0.01 * noise,
                    ms_per_unit: 0.01,
                }
            })
            .collect();
        let fitted = Caution::default().calibrate(&observations, 5.0);
        assert!((fitted.descent - 0.04).abs() < 0.03, "{fitted:?}");
        assert!((fitted.scattered_fetch - 0.3).abs() < 0.03, "{fitted:?}");
        assert!(fitted.ordered_fetch < 0.03, "{fitted:?}");
        // Nothing seen: nothing changes. Little seen: little changes.
        assert_eq!(Caution::default().calibrate(&[], 5.0), Caution::default());
        let little = Caution::default().calibrate(&observations[..1], 50.0);
        assert!((little.scattered_fetch - 0.2).abs() < 0.05, "{little:?}");
        // One that waited tells nothing of memory.
        let waited = Observation {
            ms: 1e5,
            inner: [100.0, 100.0, 0.0],
            ..observations[0].clone()
        };
        let found = Caution::default().calibrate(&[waited], 10.0);
        assert!(found.scattered_fetch <= 2.0, "{found:?}");
        assert!(found.descent <= 0.125, "{found:?}");
    }
}
