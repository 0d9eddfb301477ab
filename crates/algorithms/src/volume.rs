//! A Lagrangian lower bound by the volume algorithm.
//!
//! F. Barahona, R. Anbil: "The volume algorithm: producing primal solutions with a
//! subgradient method", Mathematical Programming 87, 2000; used for facility location by
//! F. Barahona, F. Chudak, Discrete Optimization 2, 2005. What is relaxed, with one
//! multiplier each: "an atom's indexes must be chosen" (per query and index: the tight form),
//! "a trigger makes its update class non-HOT", "a class that is non-HOT charges every
//! index", every limit but the first, and the cap on query cost. What stays: each query
//! picks its cheapest atom, and the indexes a continuous knapsack (G. Dantzig, Operations
//! Research 5, 1957). Both have the integrality property, so the best multipliers give the
//! linear-programming bound of the strong formulation. The planner's order among atoms is
//! relaxed too (a query may pick any available atom), which keeps the bound a bound.

use crate::effort::Effort;
use crate::knapsack::knapsack;
pub use crate::multipliers::Multipliers;
use crate::program::{Fix, Program};
use crate::selection_state::Layout;

/// The newest solution enters the average with at least a tenth of this weight.
const LEAST_WEIGHT: f64 = 0.04;

/// What is known of an update class at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassState {
    /// Open.
    Open,
    /// Triggered: its base is paid, and every index pays its own.
    Triggered,
    /// Not triggered: every trigger is out.
    Quiet,
}

/// The multipliers and where each belongs; one for a [`Layout`].
pub struct Relaxation<'l, 'p> {
    layout: &'l Layout<'p>,
    /// Slot of each entry of `layout.members`.
    slot: Vec<u32>,
    /// Index of each query slot.
    slot_index: Vec<u32>,
    /// (class, index) of each trigger slot, then of each product slot.
    trigger: Vec<(u32, u32)>,
    product: Vec<(u32, u32, f64)>,
    /// (class, index, cost) of a trigger's own cost: it pays whenever it is chosen.
    own: Vec<(u32, u32, f64)>,
    /// (limit, class, factor) of the classes in limits, scaled as their limit is.
    class_rows: Vec<(u32, u32, f64)>,
    /// How far each multiplier goes in a step of one ([`Multipliers::scale`]).
    scale: Multipliers,
}

/// What a bounding pass found.
#[derive(Clone, Debug)]
pub struct Bound {
    /// No feasible choice under the fixings costs less. Infinite: there is none.
    pub value: f64,
    /// Estimated fractional solution, by index (1 for fixed in).
    pub primal: Vec<f64>,
    /// Reduced cost by index: forcing the index the other way costs at least its size.
    pub reduced: Vec<f64>,
}

struct Active {
    first: Vec<u32>,
    cost: Vec<f64>,
    first_slot: Vec<u32>,
    slots: Vec<u32>,
}

struct Evaluation {
    value: f64,
    x: Vec<f64>,
    reduced: Vec<f64>,
    /// Atoms picked, as positions in the active lists.
    picked: Vec<u32>,
    z: Vec<f64>,
    query_cost: f64,
}

impl<'l, 'p> Relaxation<'l, 'p> {
    /// Numbers the multipliers of a program.
    pub fn new(layout: &'l Layout<'p>) -> Self {
        let program = layout.program;
        let mut slot = vec![0u32; layout.members.len()];
        let mut slot_index: Vec<u32> = Vec::new();
        let mut here = vec![u32::MAX; program.indexes.len()];
        for q in 0..program.queries.len() {
            let start = slot_index.len();
            for a in layout.atoms_of(q) {
                let span = layout.first_member[a] as usize..layout.first_member[a + 1] as usize;
                for (slot, &i) in slot[span.clone()].iter_mut().zip(&layout.members[span]) {
                    if here[i as usize] == u32::MAX {
                        here[i as usize] = slot_index.len() as u32;
                        slot_index.push(i);
                    }
                    *slot = here[i as usize];
                }
            }
            for &i in &slot_index[start..] {
                here[i as usize] = u32::MAX;
            }
        }
        let (mut trigger, mut product) = (Vec::new(), Vec::new());
        let mut own = Vec::new();
        for (u, class) in program.classes.iter().enumerate() {
            let mut triggers = class.triggers.clone();
            triggers.sort_unstable();
            triggers.dedup();
            if !class.always {
                trigger.extend(triggers.iter().map(|&i| (u as u32, i)));
            }
            for &(j, e) in &class.per_index {
                if class.always || triggers.binary_search(&j).is_ok() {
                    own.push((u as u32, j, e));
                } else if e > 0.0 {
                    product.push((u as u32, j, e));
                }
            }
        }
        let scale = Multipliers::scale(layout, &slot, slot_index.len(), &trigger, &product);
        Self {
            layout,
            slot,
            slot_index,
            trigger,
            product,
            own,
            scale,
            class_rows: program
                .limits
                .iter()
                .enumerate()
                .skip(1)
                .flat_map(|(r, limit)| {
                    let scale = row_scale(limit.at_most);
                    limit
                        .classes
                        .iter()
                        .map(move |&(u, s)| (r as u32, u, s / scale))
                })
                .collect(),
        }
    }

    /// What a unit of each class's cost costs: the objective's factor and what the limits
    /// that it counts in charge for it.
    fn class_price(&self, at: &Multipliers) -> Vec<f64> {
        let program = self.layout.program;
        let mut price = vec![program.class_scale; program.classes.len()];
        for &(r, u, s) in &self.class_rows {
            price[u as usize] += at.row[r as usize] * s;
        }
        price
    }

    /// The state of each class that follows from the fixings and from `decided`.
    pub fn class_states(&self, fix: &[Fix], decided: &[(u32, bool)]) -> Vec<ClassState> {
        let program = self.layout.program;
        let mut states: Vec<ClassState> = program
            .classes
            .iter()
            .map(|class| {
                let is = |f: Fix| move |&i: &u32| fix[i as usize] == f;
                if class.always || class.triggers.iter().any(is(Fix::In)) {
                    ClassState::Triggered
                } else if class.triggers.iter().all(is(Fix::Out)) {
                    ClassState::Quiet
                } else {
                    ClassState::Open
                }
            })
            .collect();
        for &(u, triggered) in decided {
            if triggered {
                states[u as usize] = ClassState::Triggered;
            }
        }
        states
    }

    /// All multipliers zero.
    pub fn start(&self) -> Multipliers {
        Multipliers {
            query: vec![0.0; self.slot_index.len()],
            trigger: vec![0.0; self.trigger.len()],
            product: vec![0.0; self.product.len()],
            row: vec![0.0; self.layout.program.limits.len()],
            cap: 0.0,
        }
    }

    /// Improves `at` for at most `iterations` rounds and returns the best bound under
    /// `fix`. `target` is the incumbent's objective; the pass ends early once the bound
    /// passes it less `tolerance`.
    #[allow(clippy::too_many_arguments, reason = "the state of one node")]
    pub fn bound(
        &self,
        fix: &[Fix],
        classes: &[ClassState],
        at: &mut Multipliers,
        target: f64,
        tolerance: f64,
        iterations: usize,
        effort: &mut Effort<'_>,
    ) -> Bound {
        let n = fix.len();
        let Some(active) = self.active(fix) else {
            return Bound {
                value: f64::INFINITY,
                primal: vec![0.0; n],
                reduced: vec![0.0; n],
            };
        };
        let work = (active.slots.len() + active.cost.len() + self.slot_index.len() + 4 * n) as u64;
        let mut best = self.evaluate(fix, classes, &active, at);
        let (mut x, mut z) = (best.x.clone(), best.z.clone());
        let mut y = vec![0.0; self.slot_index.len()];
        mark(&active, &best.picked, 1.0, &mut y);
        let mut query_cost = best.query_cost;
        let (mut theta, mut alpha, mut poor) = (2.0f64, 0.3f64, 0);
        for _ in 0..iterations {
            if best.value >= target - tolerance
                || best.value == f64::INFINITY
                || !effort.spend(work)
            {
                break;
            }
            let goal = if target.is_finite() {
                target
            } else {
                best.value + 0.05 * best.value.abs() + 1.0
            };
            let direction = self.direction(fix, classes, &x, &y, &z, query_cost);
            let norm = direction.norm(at, &self.scale);
            if norm < 1e-18 {
                break;
            }
            let step = theta * (goal - best.value).max(1e-6 * goal.abs().max(1.0)) / norm;
            let trial = self.moved(at, &direction, step);
            let next = self.evaluate(fix, classes, &active, &trial);
            // The averages: what the multipliers converge to is a primal solution. The weight
            // of the newest makes the averaged direction as short as it can.
            let mut picked = vec![0.0; self.slot_index.len()];
            mark(&active, &next.picked, 1.0, &mut picked);
            let newest = self.direction(fix, classes, &next.x, &picked, &next.z, next.query_cost);
            let weight = direction
                .shortest(&newest, &self.scale)
                .clamp(alpha / 10.0, alpha);
            let average = |a: &mut [f64], b: &[f64]| {
                a.iter_mut()
                    .zip(b)
                    .for_each(|(a, b)| *a += weight * (b - *a));
            };
            average(&mut x, &next.x);
            average(&mut z, &next.z);
            average(&mut y, &picked);
            query_cost += weight * (next.query_cost - query_cost);
            if next.value > best.value {
                let gain = next.value - best.value;
                theta = (theta * 1.1).min(2.0);
                poor = if gain > 1e-5 * goal.abs() {
                    0
                } else {
                    poor + 1
                };
                *at = trial;
                best = next;
            } else {
                poor += 1;
            }
            if poor >= 12 {
                poor = 0;
                theta *= 0.6;
                alpha = (alpha * 0.75).max(LEAST_WEIGHT);
                if theta < 1e-3 {
                    break;
                }
            }
        }
        Bound {
            value: best.value,
            primal: x,
            reduced: best.reduced,
        }
    }

    /// Per query the atoms that can still be taken, free members as slots.
    fn active(&self, fix: &[Fix]) -> Option<Active> {
        let layout = self.layout;
        let program = layout.program;
        let mut active = Active {
            first: vec![0],
            cost: Vec::new(),
            first_slot: vec![0],
            slots: Vec::new(),
        };
        for (q, query) in program.queries.iter().enumerate() {
            // The first atom in planner order that is surely available ends the list.
            let from = active.cost.len();
            for a in layout.atoms_of(q) {
                let members = layout.members_of(a);
                if members.iter().any(|&i| fix[i as usize] == Fix::Out) {
                    continue;
                }
                let sure = members.iter().all(|&i| fix[i as usize] == Fix::In);
                let cost = layout.cost[a];
                if cost <= query.ceiling * (1.0 + 1e-9) || query.ceiling == f64::INFINITY {
                    active.cost.push(cost);
                    let span = layout.first_member[a] as usize..layout.first_member[a + 1] as usize;
                    for k in span {
                        if fix[layout.members[k] as usize] == Fix::Free {
                            active.slots.push(self.slot[k]);
                        }
                    }
                    active.first_slot.push(active.slots.len() as u32);
                }
                if sure {
                    break;
                }
            }
            if active.cost.len() == from {
                return None;
            }
            active.first.push(active.cost.len() as u32);
        }
        Some(active)
    }

    fn evaluate(
        &self,
        fix: &[Fix],
        classes: &[ClassState],
        active: &Active,
        at: &Multipliers,
    ) -> Evaluation {
        let program: &Program = self.layout.program;
        let n = fix.len();
        let mut value = program.constant;
        let mut picked = Vec::with_capacity(program.queries.len());
        let mut query_cost = 0.0;
        for (q, query) in program.queries.iter().enumerate() {
            let weight = query.weight * (program.query_scale + at.cap);
            let mut best = (f64::INFINITY, 0u32);
            for a in active.first[q]..active.first[q + 1] {
                let mut cost = weight * active.cost[a as usize];
                for k in active.first_slot[a as usize]..active.first_slot[a as usize + 1] {
                    cost += at.query[active.slots[k as usize] as usize];
                }
                if cost < best.0 {
                    best = (cost, a);
                }
            }
            value += best.0;
            query_cost += query.weight * active.cost[best.1 as usize];
            picked.push(best.1);
        }
        let price = self.class_price(at);
        let mut reduced: Vec<f64> = program.indexes.iter().map(|t| t.linear).collect();
        for &(u, j, e) in &self.own {
            reduced[j as usize] += price[u as usize] * e;
        }
        for (s, &i) in self.slot_index.iter().enumerate() {
            // A multiplier on an index that is in for sure would only weaken the bound.
            if fix[i as usize] == Fix::Free {
                reduced[i as usize] -= at.query[s];
            }
        }
        // Update classes.
        let mut hot: Vec<f64> = program
            .classes
            .iter()
            .zip(&price)
            .map(|(c, p)| p * c.base)
            .collect();
        for (k, &(u, i)) in self.trigger.iter().enumerate() {
            if classes[u as usize] == ClassState::Open {
                hot[u as usize] -= at.trigger[k];
                reduced[i as usize] += at.trigger[k];
            }
        }
        for (k, &(u, j, e)) in self.product.iter().enumerate() {
            match classes[u as usize] {
                ClassState::Open => {
                    let multiplier = at.product[k].min(price[u as usize] * e);
                    hot[u as usize] += multiplier;
                    reduced[j as usize] += multiplier;
                    value -= multiplier;
                }
                ClassState::Triggered => reduced[j as usize] += price[u as usize] * e,
                ClassState::Quiet => {}
            }
        }
        let z: Vec<f64> = classes
            .iter()
            .zip(&hot)
            .map(|(class, &h)| {
                let one = match class {
                    ClassState::Open => h < 0.0,
                    ClassState::Triggered => true,
                    ClassState::Quiet => false,
                };
                value += if one { h } else { 0.0 };
                f64::from(u8::from(one))
            })
            .collect();
        for (r, limit) in program.limits.iter().enumerate().skip(1) {
            let scale = row_scale(limit.at_most);
            if at.row[r] > 0.0 {
                for &(i, c) in &limit.terms {
                    reduced[i as usize] += at.row[r] * c / scale;
                }
                value -= at.row[r] * limit.at_most / scale;
            }
        }
        if at.cap > 0.0 {
            value -= at.cap * program.query_cap;
        }
        let mut x = vec![0.0; n];
        for i in 0..n {
            if fix[i] == Fix::In {
                value += reduced[i];
                x[i] = 1.0;
            }
        }
        match program.limits.first() {
            None => {
                for i in 0..n {
                    if fix[i] == Fix::Free && reduced[i] < 0.0 {
                        x[i] = 1.0;
                        value += reduced[i];
                    }
                }
            }
            Some(limit) => {
                let mut size = vec![0.0; n];
                limit.terms.iter().for_each(|&(i, c)| size[i as usize] += c);
                let room = limit.at_most
                    - (0..n)
                        .filter(|&i| fix[i] == Fix::In)
                        .map(|i| size[i])
                        .sum::<f64>();
                if room < -1e-9 * limit.at_most.abs().max(1.0) {
                    value = f64::INFINITY;
                }
                let (gain, price) = knapsack(fix, &reduced, &size, room.max(0.0), &mut x);
                value += gain;
                for i in 0..n {
                    reduced[i] += price * size[i];
                }
            }
        }
        Evaluation {
            value,
            x,
            reduced,
            picked,
            z,
            query_cost,
        }
    }

    fn direction(
        &self,
        fix: &[Fix],
        classes: &[ClassState],
        x: &[f64],
        y: &[f64],
        z: &[f64],
        query_cost: f64,
    ) -> Multipliers {
        let program = self.layout.program;
        let open = |u: u32| classes[u as usize] == ClassState::Open;
        let query = self
            .slot_index
            .iter()
            .enumerate()
            .map(|(s, &i)| match fix[i as usize] {
                Fix::Free => y[s] - x[i as usize],
                Fix::In | Fix::Out => 0.0,
            })
            .collect();
        let trigger = self
            .trigger
            .iter()
            .map(|&(u, i)| {
                if open(u) {
                    x[i as usize] - z[u as usize]
                } else {
                    0.0
                }
            })
            .collect();
        let product = self
            .product
            .iter()
            .map(|&(u, j, _)| {
                if open(u) {
                    z[u as usize] + x[j as usize] - 1.0
                } else {
                    0.0
                }
            })
            .collect();
        let mut row: Vec<f64> = program
            .limits
            .iter()
            .enumerate()
            .map(|(r, limit)| {
                if r == 0 {
                    return 0.0;
                }
                let used: f64 = limit.terms.iter().map(|&(i, c)| c * x[i as usize]).sum();
                (used - limit.at_most) / row_scale(limit.at_most)
            })
            .collect();
        if !self.class_rows.is_empty() {
            let mut cost: Vec<f64> = program
                .classes
                .iter()
                .zip(z)
                .map(|(c, z)| c.base * z)
                .collect();
            for &(u, j, e) in &self.own {
                cost[u as usize] += e * x[j as usize];
            }
            for &(u, j, e) in &self.product {
                if classes[u as usize] == ClassState::Triggered {
                    cost[u as usize] += e * x[j as usize];
                }
            }
            for &(r, u, s) in &self.class_rows {
                row[r as usize] += s * cost[u as usize];
            }
        }
        let cap = if program.query_cap == f64::INFINITY {
            0.0
        } else {
            (query_cost - program.query_cap) / program.query_cap.abs().max(1.0)
        };
        Multipliers {
            query,
            trigger,
            product,
            row,
            cap,
        }
    }

    fn moved(&self, at: &Multipliers, direction: &Multipliers, step: f64) -> Multipliers {
        let go = |a: &[f64], d: &[f64], s: &[f64]| -> Vec<f64> {
            a.iter()
                .zip(d)
                .zip(s)
                .map(|((a, d), s)| (a + step * s * d).max(0.0))
                .collect()
        };
        let row = go(&at.row, &direction.row, &self.scale.row);
        let price = self.class_price(&Multipliers {
            row: row.clone(),
            ..Multipliers::default()
        });
        let mut product = go(&at.product, &direction.product, &self.scale.product);
        for (p, &(u, _, e)) in product.iter_mut().zip(&self.product) {
            *p = p.min(price[u as usize] * e);
        }
        let cap_scale = self.layout.program.query_cap.abs().max(1.0);
        Multipliers {
            query: go(&at.query, &direction.query, &self.scale.query),
            trigger: go(&at.trigger, &direction.trigger, &self.scale.trigger),
            product,
            row,
            cap: (at.cap + step * self.scale.cap * direction.cap / cap_scale).max(0.0),
        }
    }
}

fn row_scale(at_most: f64) -> f64 {
    if at_most.is_finite() {
        at_most.abs().max(1e-9)
    } else {
        1.0
    }
}

fn mark(active: &Active, picked: &[u32], amount: f64, y: &mut [f64]) {
    for &a in picked {
        for k in active.first_slot[a as usize]..active.first_slot[a as usize + 1] {
            y[active.slots[k as usize] as usize] += amount;
        }
    }
}
