//! What a statement's exploration asks of the planner: short questions, and the right ones.

mod common;

use common::{Access, Plan, Synthetic};
use indexpilot_advisor::pricing::explore::{Asker, Pricing};
use indexpilot_advisor::pricing::option_set::OptionSet;
use indexpilot_advisor::pricing::{Caution, Handle, Load, PricedOption, WorkloadStatement};
use indexpilot_advisor::selection::{IndexOption, Pulse, Status};
use indexpilot_model::price::{Price, PriceError, SizeEstimate};
use indexpilot_model::{CandidateId, IndexDefinition, Oid, StatementId, WhatIf};

/// Remembers how many indexes the planner had to look at in each call.
struct Looked {
    planner: Synthetic,
    indexes: Vec<usize>,
}

impl WhatIf for Looked {
    fn register(&mut self, d: &IndexDefinition) -> Result<(CandidateId, SizeEstimate), PriceError> {
        self.planner.register(d)
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        self.indexes.push(with.len());
        self.planner.price(statement, with, without)
    }

    fn planner_calls(&self) -> u64 {
        self.planner.planner_calls()
    }
}

/// A join of two relations with sixty indexes each, each a little worse than the one before.
/// The combinations of the best are all found, and half of the calls show few indexes only.
#[test]
fn long_lists_are_combined_from_what_plans_used() {
    const EACH: usize = 60;
    let access = |first: usize| Access {
        scan: 10_000.0,
        by_index: (0..EACH)
            .map(|k| (first + k, 100.0 * 1.2f64.powi(k as i32)))
            .collect(),
        inner: vec![],
        rows: 1.0,
        both: vec![],
    };
    let options: Vec<PricedOption> = (0..2 * EACH)
        .map(|o| PricedOption {
            option: IndexOption {
                label: o.to_string(),
                table: 1 + (o / EACH) as u32,
                status: Status::Candidate,
                ours: false,
                bytes: 1,
                bytes_at_most: 1,
                occupies: 1,
                write_ms: 0.0,
                build_ms: 0.0,
            },
            handle: Handle::Hypothetical(CandidateId(o as u32)),
            gamma: 1.0,
        })
        .collect();
    let statement = WorkloadStatement {
        id: StatementId(0),
        label: "a join".into(),
        load: Load::Assumed {
            calls_per_day: 1.0,
            ms_per_unit: 1.0,
        },
        max_regression: None,
        relevant: (0..2 * EACH).collect(),
    };
    let mut port = Looked {
        planner: Synthetic {
            statements: vec![Plan {
                relations: vec![access(0), access(EACH)],
                limit: false,
            }],
            real: vec![],
            noise: 0.0,
            calls: 0,
            broken: vec![],
            burn: 0,
        },
        indexes: Vec::new(),
    };
    let mut pricing = Pricing::new(&statement, &options);
    let mut pulse = || Pulse::Continue;
    let mut asker = Asker::new(&mut port, &mut pulse, Caution::NONE, 1_000);
    asker
        .explore(&statement, &mut pricing, 48, 0.005)
        .expect("it is not stopped");
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)] {
        let pair: OptionSet = [a, EACH + b].into_iter().collect();
        let known = pricing.lattice.plans().into_iter().any(|p| p.used == pair);
        assert!(known, "the plan with the indexes {a} and {b} is not known");
    }
    let short = port.indexes.iter().filter(|n| **n < EACH / 2).count();
    assert!(2 * short >= port.indexes.len(), "{:?}", port.indexes);
}
