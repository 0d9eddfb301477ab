//! Where the planner is lured by an index, or a smaller one would do: what is given up, and
//! what is asked for in its place.

mod common;

use common::{Access, Plan, Synthetic, random_workload};
use indexpilot_advisor::pricing::explore::{Asker, Pricing};
use indexpilot_advisor::pricing::retreat::retreat;
use indexpilot_advisor::pricing::{
    Caution, Handle, Load, PricedOption, PricingLimits, Workload, WorkloadStatement, advise,
};
use indexpilot_advisor::selection::{IndexOption, Pulse, Rules, Status};
use indexpilot_model::price::{PlanTraits, Price, PriceError, SizeEstimate};
use indexpilot_model::{CandidateId, IndexDefinition, Oid, StatementId, WhatIf};

/// Three statements; the second one's plan gets five times as dear as now when option 0 is
/// there and option 1, which is too large, is not.
struct Lured;

impl WhatIf for Lured {
    fn register(&mut self, _: &IndexDefinition) -> Result<(CandidateId, SizeEstimate), PriceError> {
        unreachable!("options are known")
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        _: &[Oid],
    ) -> Result<Price, PriceError> {
        let there = |o: u32| with.contains(&CandidateId(o));
        let (cost, used) = match statement.0 {
            0 if there(0) => (10.0, Some(0)),
            1 if there(1) => (10.0, Some(1)),
            1 if there(0) => (5_000.0, Some(0)),
            2 if there(2) => (10.0, Some(2)),
            _ => (1_000.0, None),
        };
        Ok(Price {
            cost,
            warm: cost,
            spread: (cost, cost),
            used: used.into_iter().map(CandidateId).collect(),
            used_existing: Vec::new(),
            rows: 1.0,
            traits: PlanTraits::default(),
            fingerprint: 0,
        })
    }

    fn planner_calls(&self) -> u64 {
        0
    }
}

/// In a long list some statement always is worse off than the model said, and the next choice
/// meets another one. What is answered then is the choice without what harms, not nothing.
#[test]
fn a_choice_that_does_not_settle_is_mended() {
    let option = |o: u32, bytes| PricedOption {
        option: IndexOption {
            label: o.to_string(),
            table: 1,
            status: Status::Candidate,
            ours: false,
            bytes,
            bytes_at_most: bytes,
            occupies: bytes,
            write_ms: 0.1,
            build_ms: 0.1,
        },
        handle: Handle::Hypothetical(CandidateId(o)),
        gamma: 1.0,
    };
    let statement = |id, relevant: &[usize]| WorkloadStatement {
        id: StatementId(id),
        label: id.to_string(),
        load: Load::Assumed {
            calls_per_day: 1.0,
            ms_per_unit: 1.0,
        },
        max_regression: None,
        relevant: relevant.to_vec(),
    };
    let workload = Workload {
        options: vec![option(0, 10), option(1, 1_000), option(2, 10)],
        statements: vec![
            statement(0, &[0]),
            statement(1, &[0, 1]),
            statement(2, &[2]),
        ],
        rules: Rules {
            storage_budget: Some(100),
            ..Rules::default()
        },
        ..Workload::default()
    };
    // One round, in which nothing is explored: the trap is met in the check.
    let limits = PricingLimits {
        rounds: 1,
        calls_per_statement: 0,
        ..PricingLimits::default()
    };
    let go_on = &mut || Pulse::Continue;
    let advice = advise(&mut Lured, &workload, Caution::NONE, limits, go_on).unwrap();
    assert!(advice.verified);
    assert_eq!(advice.solution.chosen, [false, false, true]);
}

/// A planner that falls for an index: it takes index 1 for the second statement and pays dearly
/// for it.
struct Trap(Synthetic);

impl WhatIf for Trap {
    fn register(&mut self, d: &IndexDefinition) -> Result<(CandidateId, SizeEstimate), PriceError> {
        self.0.register(d)
    }

    fn price(
        &mut self,
        statement: StatementId,
        with: &[CandidateId],
        without: &[Oid],
    ) -> Result<Price, PriceError> {
        let mut price = self.0.price(statement, with, without)?;
        if statement.0 == 1 && with.contains(&CandidateId(1)) {
            price.cost *= 1e6;
            price.warm = price.cost;
            price.used = vec![CandidateId(1)];
        }
        Ok(price)
    }

    fn planner_calls(&self) -> u64 {
        self.0.planner_calls()
    }
}

#[test]
fn what_makes_a_statement_too_slow_is_given_up_and_nothing_else() {
    // One table, three candidates; the second statement has nothing to gain.
    let mut seeds = (0..).map(|seed| random_workload(seed, 1, 3, 2, 0.0));
    let (mut workload, planner) = seeds
        .find(|(_, planner)| planner.real.is_empty())
        .expect("one without existing indexes");
    workload.rules.max_regression = 0.1;
    for statement in &mut workload.statements {
        statement.max_regression = None;
        statement.relevant = vec![0, 1, 2];
    }
    let mut planner = Trap(planner);
    let mut go_on = || Pulse::Continue;
    let mut asker = Asker::new(&mut planner, &mut go_on, Caution::NONE, 1_000);
    let mut pricings: Vec<Pricing> = workload
        .statements
        .iter()
        .map(|s| Pricing::new(s, &workload.options))
        .collect();
    let all = vec![true; 3];
    for (statement, pricing) in workload.statements.iter().zip(&mut pricings) {
        for set in [pricing.must, pricing.local(&all)] {
            asker
                .ask(statement, pricing, set)
                .unwrap()
                .expect("a price");
        }
    }
    let mut corrections = vec![Vec::new(); 2];
    let kept = retreat(
        &mut asker,
        &workload,
        &mut pricings,
        &mut corrections,
        &all,
        0.02,
    );
    assert_eq!(kept, Ok(Some(vec![true, false, true])));
}

/// A covering index that is a little faster than the plain one, and room for it alone or for
/// the plain one and another. Exploring ends before the plain one comes up.
#[test]
fn a_smaller_index_is_asked_for_in_the_place_of_a_larger_one() {
    let access = |by_index: Vec<(usize, f64)>| Access {
        scan: 10_000.0,
        by_index,
        inner: vec![],
        rows: 1.0,
        both: vec![],
    };
    let (mut workload, mut planner) = (3..)
        .map(|seed| random_workload(seed, 1, 3, 2, 0.0))
        .find(|(_, planner)| planner.real.is_empty())
        .expect("one without existing indexes");
    let plan = |by_index| Plan {
        relations: vec![access(by_index)],
        limit: false,
    };
    planner.statements = vec![plan(vec![(0, 10.0), (1, 11.0)]), plan(vec![(2, 500.0)])];
    for (statement, relevant) in workload.statements.iter_mut().zip([vec![0, 1], vec![2]]) {
        statement.relevant = relevant;
        statement.max_regression = None;
        statement.load = Load::Assumed {
            calls_per_day: 1.0,
            ms_per_unit: 1.0,
        };
    }
    for (option, bytes) in workload.options.iter_mut().zip([100, 40, 60]) {
        option.option.bytes = bytes;
        option.option.bytes_at_most = bytes;
        option.option.occupies = bytes;
        (option.option.write_ms, option.option.build_ms) = (1.0, 1.0);
    }
    workload.updates.clear();
    workload.rules = Rules {
        storage_budget: Some(100),
        min_improvement: 0.0,
        ..Rules::default()
    };
    let limits = PricingLimits {
        calls_per_statement: 0,
        ..PricingLimits::default()
    };
    let advice = advise(&mut planner, &workload, Caution::NONE, limits, &mut || {
        Pulse::Continue
    });
    assert_eq!(advice.unwrap().solution.chosen, [false, true, true]);
}
