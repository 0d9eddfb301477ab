//! Asking the planner: one statement's plans, from the best downwards.

use super::caution::Caution;
use super::lattice::{Known, Lattice};
use super::option_set::OptionSet;
use super::{Handle, WorkloadStatement};
use crate::pricing::PricedOption;
use crate::selection::{Pulse, Status};
use indexpilot_model::price::{Price, PriceError};
use indexpilot_model::{CandidateId, Oid, WhatIf};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// Why asking stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The user cancelled.
    Cancelled,
    /// Time or calls are used up: go on with what is known.
    OutOfBudget,
    /// Time is nearly up: explore no further, so that there is some left for the check.
    Hurry,
}

/// So many options of a statement are all shown to the planner when combinations are explored.
const SHORT: usize = 64;

/// The planner port with its accounting.
pub struct Asker<'a> {
    port: &'a mut dyn WhatIf,
    pulse: &'a mut dyn FnMut() -> Pulse,
    caution: Caution,
    /// Looking for new plans, not checking a choice: ends when time is nearly up.
    exploring: bool,
    /// Calls that may still be made.
    left: u64,
    /// Calls made.
    pub calls: u64,
    /// Prices that followed without a call.
    pub derived: u64,
}

/// One statement while it is being priced.
#[derive(Clone, Debug)]
pub struct Pricing {
    /// Options by local number.
    pub options: Vec<usize>,
    handles: Vec<Handle>,
    gammas: Vec<f64>,
    /// What we believe it costs now, once that was asked for.
    now: Option<f64>,
    relations: Vec<Oid>,
    /// Real indexes that always stay.
    pub must: OptionSet,
    /// What exists now (within it `must`).
    pub current: OptionSet,
    /// Everything that may exist.
    pub all: OptionSet,
    /// What the planner said.
    pub lattice: Lattice,
    /// Why the statement cannot be priced.
    pub failed: Option<String>,
    /// Options left out because there are too many.
    pub left_out: usize,
}

impl Pricing {
    /// The statement's own view of the options.
    pub fn new(statement: &WorkloadStatement, options: &[PricedOption]) -> Self {
        let mut relevant: Vec<usize> = statement
            .relevant
            .iter()
            .copied()
            .filter(|&o| !matches!(options[o].option.status, Status::Banned { .. }))
            .collect();
        relevant.sort_unstable();
        relevant.dedup();
        // What exists comes first: it must not fall to the capacity.
        relevant.sort_by_key(|&o| !options[o].option.status.exists());
        let left_out = relevant.len().saturating_sub(OptionSet::CAPACITY);
        relevant.truncate(OptionSet::CAPACITY);
        let status = |k: &usize| &options[relevant[*k]].option.status;
        let places = 0..relevant.len();
        Self {
            must: places
                .clone()
                .filter(|k| matches!(status(k), Status::Stays { .. }))
                .collect(),
            current: places.clone().filter(|k| status(k).exists()).collect(),
            all: OptionSet::first(relevant.len()),
            gammas: relevant.iter().map(|&o| options[o].gamma).collect(),
            now: None,
            handles: relevant.iter().map(|&o| options[o].handle).collect(),
            relations: relevant.iter().map(|&o| options[o].option.table).collect(),
            lattice: Lattice::default(),
            failed: None,
            left_out,
            options: relevant,
        }
    }

    /// Local set for a choice of the whole problem.
    pub fn local(&self, chosen: &[bool]) -> OptionSet {
        (0..self.options.len())
            .filter(|&k| chosen[self.options[k]])
            .collect::<OptionSet>()
            .union(&self.must)
    }

    /// Global numbers of a local set, ascending, without those that always stay.
    pub fn global(&self, set: &OptionSet) -> Vec<usize> {
        let mut numbers: Vec<usize> = set
            .iter()
            .filter(|&k| !self.must.has(k))
            .map(|k| self.options[k])
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// What exists and what any plan has used.
    fn promising(&self) -> OptionSet {
        let answers = self.lattice.answers().iter();
        answers.fold(self.current, |all, answer| all.union(&answer.used))
    }

    fn known(&mut self, set: OptionSet, price: &Price, caution: &Caution) -> Known {
        let used = (0..self.handles.len())
            .filter(|&k| {
                set.has(k)
                    && match self.handles[k] {
                        Handle::Hypothetical(id) => price.used.contains(&id),
                        Handle::Real(oid) => price.used_existing.contains(&oid),
                    }
            })
            .collect::<OptionSet>()
            .union(&self.must);
        let mut believed = caution.believed(price);
        if set == self.current {
            self.now = Some(believed);
        } else if let Some(now) = self.now
            && believed < now
        {
            // Of what is promised, as much as such indexes have kept so far.
            let gamma = used
                .iter()
                .filter(|&k| !self.current.has(k))
                .map(|k| self.gammas[k])
                .fold(f64::INFINITY, f64::min);
            if gamma.is_finite() {
                believed = (now - gamma * (now - believed)).max(0.0);
            }
        }
        Known {
            set,
            used,
            cost: price.cost,
            believed,
        }
    }
}

impl<'a> Asker<'a> {
    /// At most `calls` planner calls.
    pub fn new(
        port: &'a mut dyn WhatIf,
        pulse: &'a mut dyn FnMut() -> Pulse,
        caution: Caution,
        calls: u64,
    ) -> Self {
        Self {
            port,
            pulse,
            caution,
            exploring: false,
            left: calls,
            calls: 0,
            derived: 0,
        }
    }

    /// From now on looks for new plans (or no longer).
    pub fn set_exploring(&mut self, exploring: bool) {
        self.exploring = exploring;
    }

    /// Whether time is nearly up.
    pub fn hurries(&mut self) -> bool {
        (self.pulse)() == Pulse::Hurry
    }

    /// Asks the planner for exactly `set` (unless it was asked before). `Ok(None)`: the
    /// statement cannot be priced, and says why.
    pub fn ask(
        &mut self,
        statement: &WorkloadStatement,
        pricing: &mut Pricing,
        set: OptionSet,
    ) -> Result<Option<Known>, Halt> {
        if pricing.failed.is_some() {
            return Ok(None);
        }
        if let Some(known) = pricing.lattice.asked(&set) {
            return Ok(Some(*known));
        }
        let with: Vec<CandidateId> = set
            .iter()
            .filter_map(|k| match pricing.handles[k] {
                Handle::Hypothetical(id) => Some(id),
                Handle::Real(_) => None,
            })
            .collect();
        let without: Vec<Oid> = (0..pricing.handles.len())
            .filter(|&k| !set.has(k))
            .filter_map(|k| match pricing.handles[k] {
                Handle::Real(oid) => Some(oid),
                Handle::Hypothetical(_) => None,
            })
            .collect();
        // A lock timeout is worth another attempt; the port itself waits between them.
        for attempt in 0..3 {
            match (self.pulse)() {
                Pulse::Hurry if self.exploring => return Err(Halt::Hurry),
                Pulse::Continue | Pulse::Hurry => {}
                Pulse::Deadline => return Err(Halt::OutOfBudget),
                Pulse::Cancel => return Err(Halt::Cancelled),
            }
            if self.left == 0 {
                return Err(Halt::OutOfBudget);
            }
            self.left -= 1;
            self.calls += 1;
            match self.port.price(statement.id, &with, &without) {
                Ok(price) if price.cost.is_finite() && price.cost >= 0.0 => {
                    let known = pricing.known(set, &price, &self.caution);
                    let t = &price.traits;
                    pricing.lattice.exact_only |= t.limit || t.semi_join || t.subplan || t.parallel;
                    pricing.lattice.learn(known);
                    return Ok(Some(known));
                }
                Ok(price) => {
                    pricing.failed = Some(format!("the planner's cost is {}", price.cost));
                    return Ok(None);
                }
                Err(PriceError::Cancelled) => return Err(Halt::Cancelled),
                Err(PriceError::LockTimeout) if attempt < 2 => {}
                Err(error) => {
                    pricing.failed = Some(error.to_string());
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// The price of `set`: as it follows from what is known, else by asking.
    pub fn price(
        &mut self,
        statement: &WorkloadStatement,
        pricing: &mut Pricing,
        set: OptionSet,
        tolerance: f64,
    ) -> Result<Option<Known>, Halt> {
        if let Some(known) = pricing.lattice.derive(&set, tolerance) {
            self.derived += 1;
            return Ok(Some(known));
        }
        self.ask(statement, pricing, set)
    }

    /// Lists the statement's plans, at most `calls` calls of its own: first relation by
    /// relation (which gives the single indexes), then all together (pairs, triples).
    pub fn explore(
        &mut self,
        statement: &WorkloadStatement,
        pricing: &mut Pricing,
        calls: u64,
        tolerance: f64,
    ) -> Result<(), Halt> {
        let end = self.calls + calls;
        let Some(bare) = self.ask(statement, pricing, pricing.must)? else {
            return Ok(());
        };
        let mut relations = pricing.relations.clone();
        relations.sort_unstable();
        relations.dedup();
        if relations.len() > 1 {
            // Half of the calls at most, in equal shares: combinations are what one asks for.
            // Each relation twice: with what exists of the others, and with all that they
            // could have, because an index of the inner side says nothing before the outer
            // side has one.
            let half = (self.calls + calls / 2).min(end);
            let everything = pricing.all;
            let starts = [pricing.current, everything];
            let mut turns = (relations.len() * starts.len()) as u64;
            for others in starts {
                for &relation in &relations {
                    let here: OptionSet = (0..pricing.options.len())
                        .filter(|&k| pricing.relations[k] == relation)
                        .collect();
                    let share = half.saturating_sub(self.calls) / turns;
                    let (from, until) = (others.union(&here), self.calls + share);
                    self.descend(statement, pricing, from, here, bare.cost, until, tolerance)?;
                    turns -= 1;
                }
            }
        }
        // Looking at an index is what planning costs: in long lists, combinations of those that
        // plans have used so far.
        let from = if relations.len() > 1 && pricing.all.len() > SHORT {
            pricing.promising()
        } else {
            pricing.all
        };
        self.descend(statement, pricing, from, from, bare.cost, end, tolerance)
    }

    /// Best plan first: takes each used option of `scope` away in turn and asks again,
    /// until the plans are no better than without any, or the calls are used up.
    #[allow(
        clippy::too_many_arguments,
        reason = "one recursion's state, used twice"
    )]
    fn descend(
        &mut self,
        statement: &WorkloadStatement,
        pricing: &mut Pricing,
        from: OptionSet,
        scope: OptionSet,
        bare: f64,
        end: u64,
        tolerance: f64,
    ) -> Result<(), Halt> {
        // f64 costs are not negative here, so their bits order as the numbers do.
        let mut open: BinaryHeap<Reverse<(u64, OptionSet)>> = BinaryHeap::new();
        let mut seen = HashSet::from([from]);
        let Some(first) = self.price(statement, pricing, from, tolerance)? else {
            return Ok(());
        };
        open.push(Reverse((first.cost.to_bits(), from)));
        while let Some(Reverse((_, set))) = open.pop() {
            let Some(plan) = pricing.lattice.derive(&set, tolerance) else {
                continue;
            };
            if plan.cost >= 0.995 * bare && bare > 0.0 {
                // Best first: everything still open is at least as dear.
                return Ok(());
            }
            for k in plan.used.intersection(&scope).iter() {
                if pricing.must.has(k) {
                    continue;
                }
                let smaller = set.without(k);
                if !seen.insert(smaller) {
                    continue;
                }
                if self.calls >= end && pricing.lattice.derive(&smaller, tolerance).is_none() {
                    continue;
                }
                let Some(next) = self.price(statement, pricing, smaller, tolerance)? else {
                    return Ok(());
                };
                open.push(Reverse((next.cost.to_bits(), smaller)));
            }
            // The lattice of a statement that many options serve in combination is large;
            // what it derives is free, but not without end.
            if seen.len() > 4_000 {
                return Ok(());
            }
        }
        Ok(())
    }
}
