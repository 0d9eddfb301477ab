//! A synthetic planner with known interactions, for tests and the growth measurement.
#![allow(dead_code, reason = "each test file uses a part of it")]

use indexpilot_advisor::pricing::{
    Advice, Caution, Handle, Load, PricedOption, PricingLimits, Workload, WorkloadStatement, advise,
};
use indexpilot_advisor::selection::{IndexOption, Pulse, Rules, Status, TableState, UpdateGroup};
use indexpilot_model::price::{PlanTraits, Price, PriceError, SizeEstimate};
use indexpilot_model::{CandidateId, IndexDefinition, Oid, StatementId, WhatIf};

/// Advice under default limits, the planner's prices taken as they are, never cancelled.
pub fn advised(planner: &mut dyn WhatIf, workload: &Workload) -> Advice {
    advise(
        planner,
        workload,
        Caution::NONE,
        PricingLimits::default(),
        &mut || Pulse::Continue,
    )
    .unwrap()
}

/// splitmix64.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// How one relation of a statement can be read.
#[derive(Clone, Debug)]
pub struct Access {
    /// Sequential scan.
    pub scan: f64,
    /// (option, cost) of an index scan.
    pub by_index: Vec<(usize, f64)>,
    /// (option, cost a loop) of a parameterised inner scan.
    pub inner: Vec<(usize, f64)>,
    /// Rows that come out.
    pub rows: f64,
    /// (option, option, cost): a bitmap-and of two indexes.
    pub both: Vec<(usize, usize, f64)>,
}

/// Joins its relations in the given order, each by hash or by an inner index scan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub relations: Vec<Access>,
    pub limit: bool,
}

pub struct Synthetic {
    pub statements: Vec<Plan>,
    /// Existing options: the port knows them as real indexes with OID 10,000 + option.
    pub real: Vec<usize>,
    /// Relative noise that depends on the whole set, so the planner is not monotone.
    pub noise: f64,
    pub calls: u64,
    /// Statements that cannot be planned.
    pub broken: Vec<usize>,
    /// Elementary work a call (a planner call takes about 0.1 ms).
    pub burn: u32,
}

impl Synthetic {
    pub fn handle(&self, option: usize) -> Handle {
        if self.real.contains(&option) {
            Handle::Real(10_000 + option as Oid)
        } else {
            Handle::Hypothetical(CandidateId(option as u32))
        }
    }

    /// Cost and used options of statement `q` when exactly `there` exist.
    pub fn plan(&self, q: usize, there: &dyn Fn(usize) -> bool) -> (f64, Vec<usize>) {
        let plan = &self.statements[q];
        let mut total = 0.0;
        let mut used = Vec::new();
        let mut outer = 1.0;
        for (k, access) in plan.relations.iter().enumerate() {
            let mut best = (access.scan, vec![]);
            for &(o, cost) in &access.by_index {
                if there(o) && cost < best.0 {
                    best = (cost, vec![o]);
                }
            }
            for &(a, b, cost) in &access.both {
                if there(a) && there(b) && cost < best.0 {
                    best = (cost, vec![a, b]);
                }
            }
            if k > 0 {
                best.0 += 0.01 * outer + 5.0;
                for &(o, cost) in &access.inner {
                    if there(o) && outer * cost < best.0 {
                        best = (outer * cost, vec![o]);
                    }
                }
            }
            total += best.0;
            used.extend(best.1);
            outer = access.rows;
        }
        if self.noise > 0.0 {
            let mut hash = Dice(q as u64 * 7919 + 13);
            let mut mark = hash.next();
            for o in 0..64 {
                if self.mentions(q, o) && there(o) {
                    mark = Dice(mark ^ (o as u64 + 1)).next();
                }
            }
            total *= 1.0 + self.noise * (2.0 * Dice(mark).unit() - 1.0);
        }
        (total, used)
    }

    pub fn mentions(&self, q: usize, o: usize) -> bool {
        self.statements[q].relations.iter().any(|a| {
            a.by_index.iter().chain(&a.inner).any(|(p, _)| *p == o)
                || a.both.iter().any(|(x, y, _)| *x == o || *y == o)
        })
    }
}

impl WhatIf for Synthetic {
    fn register(&mut self, _: &IndexDefinition) -> Result<(CandidateId, SizeEstimate), PriceError> {
        Err(PriceError::Other(
            "the synthetic planner knows its options".into(),
        ))
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        self.calls += 1;
        let q = statement.0 as usize;
        if self.broken.contains(&q) {
            return Err(PriceError::NotPlannable(
                "relation \"gone\" does not exist".into(),
            ));
        }
        let mut burn = Dice(self.calls);
        (0..self.burn).for_each(|_| {
            std::hint::black_box(burn.next());
        });
        let real = &self.real;
        let there = |o: usize| {
            if real.contains(&o) {
                !without.contains(&(10_000 + o as Oid))
            } else {
                with.contains(&CandidateId(o as u32))
            }
        };
        let (cost, used) = self.plan(q, &there);
        let (existing, hypothetical): (Vec<usize>, Vec<usize>) =
            used.into_iter().partition(|o| real.contains(o));
        Ok(Price {
            cost,
            warm: cost,
            spread: (cost, cost),
            used: hypothetical
                .into_iter()
                .map(|o| CandidateId(o as u32))
                .collect(),
            used_existing: existing.into_iter().map(|o| 10_000 + o as Oid).collect(),
            rows: 1.0,
            traits: PlanTraits {
                limit: self.statements[q].limit,
                ..PlanTraits::default()
            },
            fingerprint: 0,
        })
    }

    fn planner_calls(&self) -> u64 {
        self.calls
    }
}

/// A random workload over `tables` tables with `per_table` options each.
pub fn random_workload(
    seed: u64,
    tables: usize,
    per_table: usize,
    statements: usize,
    noise: f64,
) -> (Workload, Synthetic) {
    let mut d = Dice(seed);
    let n = tables * per_table;
    let table_of = |o: usize| o / per_table;
    let real: Vec<usize> = (0..n).filter(|_| d.chance(0.15)).collect();
    let options_of = |t: usize| {
        (0..per_table)
            .map(|k| t * per_table + k)
            .collect::<Vec<_>>()
    };
    let mut plans = Vec::new();
    for _ in 0..statements {
        let width = if d.chance(0.5) { 1 } else { 2 + d.below(2) };
        let mut chosen: Vec<usize> = (0..width).map(|_| d.below(tables)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let relations = chosen
            .into_iter()
            .map(|t| {
                let scan = 200.0 + 5_000.0 * d.unit();
                let mut access = Access {
                    scan,
                    by_index: vec![],
                    inner: vec![],
                    rows: 1.0 + 300.0 * d.unit(),
                    both: vec![],
                };
                let options = options_of(t);
                for &o in &options {
                    if d.chance(0.45) {
                        access
                            .by_index
                            .push((o, scan * (0.002 + 1.1 * d.unit() * d.unit())));
                    }
                    if d.chance(0.35) {
                        access.inner.push((o, 0.05 + 20.0 * d.unit() * d.unit()));
                    }
                }
                if options.len() > 1 && d.chance(0.3) {
                    let (a, b) = (
                        options[d.below(options.len())],
                        options[d.below(options.len())],
                    );
                    if a != b {
                        access.both.push((a, b, scan * (0.001 + 0.2 * d.unit())));
                    }
                }
                access
            })
            .collect();
        plans.push(Plan {
            relations,
            limit: d.chance(0.2),
        });
    }
    let synthetic = Synthetic {
        statements: plans,
        real: real.clone(),
        noise,
        calls: 0,
        broken: vec![],
        burn: 0,
    };
    let options: Vec<PricedOption> = (0..n)
        .map(|o| PricedOption {
            option: IndexOption {
                label: format!("index {o}"),
                table: table_of(o) as Oid + 1,
                status: if !real.contains(&o) {
                    Status::Candidate
                } else if d.chance(0.5) {
                    Status::Stays {
                        why: "primary key".into(),
                    }
                } else {
                    Status::Droppable {
                        price_ms: 500.0 * d.unit(),
                    }
                },
                ours: false,
                bytes: 1_000 + (9_000.0 * d.unit()) as u64,
                bytes_at_most: 0,
                occupies: 0,
                write_ms: 400.0 * d.unit() * d.unit(),
                build_ms: 3_000.0 * d.unit(),
            },
            handle: synthetic.handle(o),
            gamma: 1.0,
        })
        .map(|mut priced| {
            priced.option.bytes_at_most = priced.option.bytes;
            priced.option.occupies = priced.option.bytes;
            priced
        })
        .collect();
    let updates = (0..tables)
        .filter_map(|t| {
            if !d.chance(0.5) {
                return None;
            }
            Some(UpdateGroup {
                label: format!("columns of table {t}"),
                table: t as Oid + 1,
                updates: 10_000.0 * d.unit(),
                triggers: options_of(t)
                    .into_iter()
                    .filter(|_| d.chance(0.3))
                    .collect(),
                already_lost: false,
                base_ms: 600.0 * d.unit(),
                outside: 1,
                per_option: options_of(t)
                    .into_iter()
                    .map(|o| (o, 200.0 * d.unit()))
                    .collect(),
            })
        })
        .collect();
    let workload = Workload {
        statements: (0..statements)
            .map(|q| WorkloadStatement {
                id: StatementId(q as u64),
                label: format!("statement {q}"),
                load: Load::Assumed {
                    calls_per_day: 1.0,
                    ms_per_unit: 0.05 + d.unit(),
                },
                max_regression: d.chance(0.1).then_some(0.0),
                relevant: (0..n)
                    .filter(|&o| {
                        synthetic.statements[q]
                            .relations
                            .iter()
                            .any(|_| synthetic.mentions(q, o))
                            || (n <= 100 && d.chance(0.05))
                    })
                    .collect(),
            })
            .collect(),
        tables: (0..tables)
            .map(|t| TableState {
                table: t as Oid + 1,
                label: format!("table {t}"),
                indexes_outside: 1,
                bytes: 1 << 30,
                write_ms_now: 5_000.0 * d.unit(),
            })
            .collect(),
        rules: Rules {
            storage_budget: d.chance(0.7).then(|| {
                (5_500.0 * n as f64 * (0.1 + 0.6 * d.unit())) as u64 + 10_000 * real.len() as u64
            }),
            max_indexes_per_table: d.chance(0.4).then(|| 2 + d.below(4) as u32),
            max_write_overhead: d.chance(0.4).then(|| 0.05 + 0.5 * d.unit()),
            negligible_write_ms: 50.0,
            min_improvement: 0.0,
            ..Rules::default()
        },
        options,
        updates,
        previous: None,
    };
    (workload, synthetic)
}
