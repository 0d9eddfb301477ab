//! One price from the plans of all samples.

use super::warm::Warm;
use crate::pg::planwalk;
use indexpilot_model::price::{EarlyStop, InnerScan, PlanTraits};
use indexpilot_model::{CandidateId, Oid, Price};
use std::collections::HashMap;

/// The plans of one sample (rules can make several queries of one statement).
#[derive(Default)]
pub(super) struct SampleCost {
    cost: f64,
    warm: f64,
    rows: f64,
    readings: Vec<planwalk::Reading>,
    early_stops: Vec<EarlyStop>,
    fingerprint: u64,
}

impl SampleCost {
    pub(super) fn add(&mut self, reading: planwalk::Reading, warm: Warm, fingerprint: u64) {
        self.cost += reading.cost;
        self.warm += warm.cost;
        self.early_stops.extend(warm.early_stops);
        self.rows += reading.rows;
        // Several queries make one fingerprint; a single one keeps its own.
        self.fingerprint = self.fingerprint.rotate_left(1) ^ fingerprint;
        self.readings.push(reading);
    }
}

/// The weighted mean over samples.
#[derive(Default)]
pub(super) struct Sum {
    weight: f64,
    cost: f64,
    warm: f64,
    rows: f64,
    lowest: Option<f64>,
    highest: f64,
    used: Vec<CandidateId>,
    used_existing: Vec<Oid>,
    traits: PlanTraits,
    fingerprint: Option<u64>,
}

impl Sum {
    pub(super) fn add(
        &mut self,
        weight: f64,
        sample: SampleCost,
        by_fake: &HashMap<Oid, CandidateId>,
    ) {
        self.weight += weight;
        self.cost += weight * sample.cost;
        self.warm += weight * sample.warm;
        self.rows += weight * sample.rows;
        self.lowest = Some(
            self.lowest
                .map_or(sample.cost, |lowest| lowest.min(sample.cost)),
        );
        self.highest = self.highest.max(sample.cost);
        self.fingerprint.get_or_insert(sample.fingerprint);
        for reading in sample.readings {
            for index in reading.indexes() {
                match by_fake.get(&index) {
                    Some(candidate) => self.used.push(*candidate),
                    None => self.used_existing.push(index),
                }
            }
            let traits = &mut self.traits;
            traits.limit |= reading.limit;
            traits.semi_join |= reading.semi_join;
            traits.subplan |= reading.subplan;
            traits.parallel |= reading.parallel;
            traits.sort |= reading.sort;
            for scan in reading.nested {
                let candidate = by_fake.get(&scan.index).copied();
                traits.inner_scans.push(InnerScan {
                    index: if candidate.is_some() { 0 } else { scan.index },
                    candidate,
                    loops: weight * scan.loops,
                    rows: scan.rows,
                    correlation: scan.correlation,
                    index_only: scan.index_only,
                    scattered: scan.scattered,
                });
            }
        }
        for stop in sample.early_stops {
            self.traits.early_stops.push(EarlyStop {
                run: weight * stop.run,
                ..stop
            });
        }
    }

    pub(super) fn price(mut self) -> Price {
        self.used.sort_unstable();
        self.used.dedup();
        self.used_existing.sort_unstable();
        self.used_existing.dedup();
        let weight = if self.weight > 0.0 { self.weight } else { 1.0 };
        // As the costs: the mean over the samples.
        for scan in &mut self.traits.inner_scans {
            scan.loops /= weight;
        }
        for stop in &mut self.traits.early_stops {
            stop.run /= weight;
        }
        Price {
            cost: self.cost / weight,
            warm: self.warm / weight,
            spread: (self.lowest.unwrap_or(0.0), self.highest),
            used: self.used,
            used_existing: self.used_existing,
            rows: self.rows / weight,
            traits: self.traits,
            fingerprint: self.fingerprint.unwrap_or(0),
        }
    }
}
