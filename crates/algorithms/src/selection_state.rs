//! The value of one choice of indexes, kept up to date flip by flip.
//!
//! [`Layout`] stores a [`Program`] in flat arrays once; [`State`] holds a choice and the
//! counters that make [`State::peek`] (what would flipping this index do?) cost only as
//! much as the atoms that contain the index.

use crate::program::{Fix, Program, Score, excess};

/// A program in flat arrays, atoms of each query in the order the planner prefers them.
pub struct Layout<'p> {
    /// The program itself.
    pub program: &'p Program,
    /// Atoms of query q are `first_atom[q]..first_atom[q + 1]`.
    pub first_atom: Vec<u32>,
    /// Query of each atom.
    pub query_of: Vec<u32>,
    /// Cost of each atom, not weighted.
    pub cost: Vec<f64>,
    /// Members of atom a are `members[first_member[a]..first_member[a + 1]]`.
    pub first_member: Vec<u32>,
    /// Index numbers.
    pub members: Vec<u32>,
    /// Atoms that contain index i, ascending, so grouped by query and in its order.
    first_use: Vec<u32>,
    uses: Vec<u32>,
    /// (limit, coefficient) of each index.
    limits_of: Vec<Vec<(u32, f64)>>,
    /// Classes that index i triggers.
    triggers_of: Vec<Vec<u32>>,
    /// (class, cost) of index i.
    class_cost_of: Vec<Vec<(u32, f64)>>,
    /// (limit, factor) of each class.
    limits_of_class: Vec<Vec<(u32, f64)>>,
}

impl<'p> Layout<'p> {
    /// Flattens a checked program.
    pub fn new(program: &'p Program) -> Self {
        let n = program.indexes.len();
        let mut first_atom = vec![0u32];
        let (mut query_of, mut cost) = (Vec::new(), Vec::new());
        let (mut first_member, mut members) = (vec![0u32], Vec::new());
        for (q, query) in program.queries.iter().enumerate() {
            let mut order: Vec<usize> = (0..query.atoms.len()).collect();
            order.sort_by(|&a, &b| {
                let (a, b) = (&query.atoms[a], &query.atoms[b]);
                a.rank.total_cmp(&b.rank).then(a.cost.total_cmp(&b.cost))
            });
            for k in order {
                query_of.push(q as u32);
                cost.push(query.atoms[k].cost);
                members.extend_from_slice(&query.atoms[k].indexes);
                first_member.push(members.len() as u32);
            }
            first_atom.push(cost.len() as u32);
        }
        let mut first_use = vec![0u32; n + 1];
        for &i in &members {
            first_use[i as usize + 1] += 1;
        }
        for i in 0..n {
            first_use[i + 1] += first_use[i];
        }
        let mut uses = vec![0u32; members.len()];
        let mut fill = first_use.clone();
        for a in 0..cost.len() {
            for &i in &members[first_member[a] as usize..first_member[a + 1] as usize] {
                uses[fill[i as usize] as usize] = a as u32;
                fill[i as usize] += 1;
            }
        }
        let mut limits_of = vec![Vec::new(); n];
        let mut limits_of_class = vec![Vec::new(); program.classes.len()];
        for (r, limit) in program.limits.iter().enumerate() {
            for &(i, c) in &limit.terms {
                limits_of[i as usize].push((r as u32, c));
            }
            for &(u, s) in &limit.classes {
                limits_of_class[u as usize].push((r as u32, s));
            }
        }
        let mut triggers_of = vec![Vec::new(); n];
        let mut class_cost_of = vec![Vec::new(); n];
        for (u, class) in program.classes.iter().enumerate() {
            let mut triggers = class.triggers.clone();
            triggers.sort_unstable();
            triggers.dedup();
            for i in triggers {
                triggers_of[i as usize].push(u as u32);
            }
            for &(i, e) in &class.per_index {
                class_cost_of[i as usize].push((u as u32, e));
            }
        }
        Self {
            program,
            first_atom,
            query_of,
            cost,
            first_member,
            members,
            first_use,
            uses,
            limits_of,
            triggers_of,
            class_cost_of,
            limits_of_class,
        }
    }

    /// Members of atom `a`.
    pub fn members_of(&self, a: usize) -> &[u32] {
        &self.members[self.first_member[a] as usize..self.first_member[a + 1] as usize]
    }

    /// Atoms that contain index `i`.
    pub fn uses_of(&self, i: usize) -> &[u32] {
        &self.uses[self.first_use[i] as usize..self.first_use[i + 1] as usize]
    }

    /// Atoms of query `q`, most preferred first.
    pub fn atoms_of(&self, q: usize) -> std::ops::Range<usize> {
        self.first_atom[q] as usize..self.first_atom[q + 1] as usize
    }

    /// Limits that index `i` takes part in.
    pub fn limits_of(&self, i: usize) -> &[(u32, f64)] {
        &self.limits_of[i]
    }

    /// Update classes that index `i` triggers.
    pub fn triggers_of(&self, i: usize) -> &[u32] {
        &self.triggers_of[i]
    }

    /// Bytes of the flat arrays (what bounds memory).
    pub fn bytes(&self) -> usize {
        self.cost.len() * 16
            + self.members.len() * 8
            + self.limits_of.len() * 72
            + self.first_use.len() * 4
    }
}

/// One choice with its counters.
pub struct State<'l, 'p> {
    layout: &'l Layout<'p>,
    /// Chosen or not, by index number.
    pub chosen: Vec<bool>,
    missing: Vec<u32>,
    taken: Vec<u32>,
    linear: f64,
    query_cost: f64,
    class_triggers: Vec<u32>,
    class_sum: Vec<f64>,
    used: Vec<f64>,
    ceiling_excess: f64,
    fixed_violation: u32,
}

impl<'l, 'p> State<'l, 'p> {
    /// The state for `chosen`.
    pub fn new(layout: &'l Layout<'p>, chosen: &[bool]) -> Self {
        let mut state = Self {
            layout,
            chosen: chosen.to_vec(),
            missing: Vec::new(),
            taken: Vec::new(),
            linear: 0.0,
            query_cost: 0.0,
            class_triggers: Vec::new(),
            class_sum: Vec::new(),
            used: Vec::new(),
            ceiling_excess: 0.0,
            fixed_violation: 0,
        };
        state.refresh();
        state
    }

    /// Recomputes every counter (sums drift by round-off over many flips).
    pub fn refresh(&mut self) {
        let layout = self.layout;
        let program = layout.program;
        self.missing = (0..layout.cost.len())
            .map(|a| {
                layout
                    .members_of(a)
                    .iter()
                    .filter(|&&i| !self.chosen[i as usize])
                    .count() as u32
            })
            .collect();
        self.taken = (0..program.queries.len())
            .map(|q| {
                layout
                    .atoms_of(q)
                    .find(|&a| self.missing[a] == 0)
                    .expect("the empty atom is there") as u32
            })
            .collect();
        self.linear = 0.0;
        self.fixed_violation = 0;
        self.class_triggers = program
            .classes
            .iter()
            .map(|c| u32::from(c.always))
            .collect();
        self.class_sum = vec![0.0; program.classes.len()];
        self.used = vec![0.0; program.limits.len()];
        for (i, term) in program.indexes.iter().enumerate() {
            let wrong = match term.fix {
                Fix::Free => false,
                Fix::In => !self.chosen[i],
                Fix::Out => self.chosen[i],
            };
            self.fixed_violation += u32::from(wrong);
            if !self.chosen[i] {
                continue;
            }
            self.linear += term.linear;
            for &u in &layout.triggers_of[i] {
                self.class_triggers[u as usize] += 1;
            }
            for &(u, e) in &layout.class_cost_of[i] {
                self.class_sum[u as usize] += e;
            }
            for &(r, c) in &layout.limits_of[i] {
                self.used[r as usize] += c;
            }
        }
        for u in 0..program.classes.len() {
            let cost = self.class_cost(u);
            for &(r, s) in &layout.limits_of_class[u] {
                self.used[r as usize] += s * cost;
            }
        }
        self.query_cost = 0.0;
        self.ceiling_excess = 0.0;
        for (q, query) in program.queries.iter().enumerate() {
            let cost = layout.cost[self.taken[q] as usize];
            self.query_cost += query.weight * cost;
            self.ceiling_excess += excess(cost, query.ceiling);
        }
    }

    /// Cost of query `q` as it stands.
    pub fn cost_of(&self, q: usize) -> f64 {
        self.layout.cost[self.taken[q] as usize]
    }

    fn class_cost(&self, u: usize) -> f64 {
        if self.class_triggers[u] == 0 {
            0.0
        } else {
            self.layout.program.classes[u].base + self.class_sum[u]
        }
    }

    fn class_total(&self) -> f64 {
        (0..self.class_sum.len()).map(|u| self.class_cost(u)).sum()
    }

    /// The value as it stands.
    pub fn score(&self) -> Score {
        let program = self.layout.program;
        let mut violation = f64::from(self.fixed_violation) + self.ceiling_excess.max(0.0);
        for (r, limit) in program.limits.iter().enumerate() {
            violation += excess(self.used[r], limit.at_most);
        }
        violation += excess(self.query_cost, program.query_cap);
        Score {
            violation,
            objective: program.constant
                + self.linear
                + program.query_scale * self.query_cost
                + program.class_scale * self.class_total(),
        }
    }

    /// The atom that query-part of a flip of `i` leads each touched query to; calls
    /// `visit(q, old atom, new atom)`.
    fn changes(&self, i: usize, mut visit: impl FnMut(usize, usize, usize)) -> u64 {
        let layout = self.layout;
        let uses = layout.uses_of(i);
        let mut steps = uses.len() as u64 + 1;
        let mut k = 0;
        while k < uses.len() {
            let q = layout.query_of[uses[k] as usize];
            let end = layout.first_atom[q as usize + 1];
            let taken = self.taken[q as usize];
            if self.chosen[i] {
                // Dropping: only a query that runs under an atom with i is touched.
                let mut holds = false;
                while k < uses.len() && uses[k] < end {
                    holds |= uses[k] == taken;
                    k += 1;
                }
                if holds {
                    let next = (taken + 1..end).find(|&a| {
                        steps += 1;
                        self.missing[a as usize] == 0
                            && layout
                                .members_of(a as usize)
                                .binary_search(&(i as u32))
                                .is_err()
                    });
                    let next = next.expect("the empty atom comes last among the available");
                    visit(q as usize, taken as usize, next as usize);
                }
            } else {
                // Adding: the first atom that only i was missing from, if preferred.
                let mut first = None;
                while k < uses.len() && uses[k] < end {
                    if first.is_none() && uses[k] < taken && self.missing[uses[k] as usize] == 1 {
                        first = Some(uses[k]);
                    }
                    k += 1;
                }
                if let Some(a) = first {
                    visit(q as usize, taken as usize, a as usize);
                }
            }
        }
        steps
    }

    /// The score after flipping `i`, and the steps it took to know.
    pub fn peek(&self, i: usize) -> (Score, u64) {
        let layout = self.layout;
        let program = layout.program;
        let mut query_cost = self.query_cost;
        let mut ceiling = self.ceiling_excess;
        let mut steps = self.changes(i, |q, old, new| {
            let query = &program.queries[q];
            query_cost += query.weight * (layout.cost[new] - layout.cost[old]);
            if query.ceiling < f64::INFINITY {
                ceiling += excess(layout.cost[new], query.ceiling)
                    - excess(layout.cost[old], query.ceiling);
            }
        });
        let adding = !self.chosen[i];
        let sign = if adding { 1.0 } else { -1.0 };
        let linear = self.linear + sign * program.indexes[i].linear;
        let mut class_change = 0.0;
        let mut shifts: Vec<(u32, f64)> = Vec::new();
        if !(layout.triggers_of[i].is_empty() && layout.class_cost_of[i].is_empty()) {
            let mut touched: Vec<u32> = layout.triggers_of[i].clone();
            touched.extend(layout.class_cost_of[i].iter().map(|(u, _)| *u));
            touched.sort_unstable();
            touched.dedup();
            for u in touched {
                let uu = u as usize;
                let own: f64 = layout.class_cost_of[i]
                    .iter()
                    .filter(|(v, _)| *v == u)
                    .map(|(_, e)| e)
                    .sum();
                let triggers = i64::from(self.class_triggers[uu])
                    + if layout.triggers_of[i].contains(&u) {
                        if adding { 1 } else { -1 }
                    } else {
                        0
                    };
                let after = if triggers == 0 {
                    0.0
                } else {
                    program.classes[uu].base + self.class_sum[uu] + sign * own
                };
                let change = after - self.class_cost(uu);
                if change != 0.0 {
                    class_change += change;
                    shifts.push((u, change));
                }
                steps += 2;
            }
        }
        let wrong = match program.indexes[i].fix {
            Fix::Free => 0,
            Fix::In => {
                if adding {
                    -1
                } else {
                    1
                }
            }
            Fix::Out => {
                if adding {
                    1
                } else {
                    -1
                }
            }
        };
        let mut violation = f64::from(self.fixed_violation as i32 + wrong) + ceiling.max(0.0);
        if violation < 1e-12 {
            violation = 0.0;
        }
        steps += program.limits.len() as u64;
        for (r, limit) in program.limits.iter().enumerate() {
            violation += excess(
                self.used[r] + self.limit_shift(i, r as u32, sign, &shifts),
                limit.at_most,
            );
        }
        violation += excess(query_cost, program.query_cap);
        let objective = program.constant
            + linear
            + program.query_scale * query_cost
            + program.class_scale * (self.class_total() + class_change);
        (
            Score {
                violation,
                objective,
            },
            steps,
        )
    }

    fn limit_shift(&self, i: usize, r: u32, sign: f64, shifts: &[(u32, f64)]) -> f64 {
        let layout = self.layout;
        let own: f64 = layout.limits_of[i]
            .iter()
            .filter(|(l, _)| *l == r)
            .map(|(_, c)| sign * c)
            .sum();
        own + shifts
            .iter()
            .map(|(u, change)| {
                layout.limits_of_class[*u as usize]
                    .iter()
                    .filter(|(l, _)| *l == r)
                    .map(|(_, s)| s * change)
                    .sum::<f64>()
            })
            .sum::<f64>()
    }

    /// Flips index `i`; returns the steps it took.
    pub fn flip(&mut self, i: usize) -> u64 {
        let layout = self.layout;
        let program = layout.program;
        let mut moves = Vec::new();
        let steps = self.changes(i, |q, old, new| moves.push((q, old, new)));
        for (q, old, new) in moves {
            let query = &program.queries[q];
            self.query_cost += query.weight * (layout.cost[new] - layout.cost[old]);
            if query.ceiling < f64::INFINITY {
                self.ceiling_excess += excess(layout.cost[new], query.ceiling)
                    - excess(layout.cost[old], query.ceiling);
            }
            self.taken[q] = new as u32;
        }
        let adding = !self.chosen[i];
        let sign = if adding { 1.0 } else { -1.0 };
        for &a in layout.uses_of(i) {
            if adding {
                self.missing[a as usize] -= 1;
            } else {
                self.missing[a as usize] += 1;
            }
        }
        self.linear += sign * program.indexes[i].linear;
        for &(r, c) in &layout.limits_of[i] {
            self.used[r as usize] += sign * c;
        }
        let mut touched: Vec<u32> = layout.triggers_of[i].clone();
        touched.extend(layout.class_cost_of[i].iter().map(|(u, _)| *u));
        touched.sort_unstable();
        touched.dedup();
        for u in touched {
            let uu = u as usize;
            let before = self.class_cost(uu);
            let own: f64 = layout.class_cost_of[i]
                .iter()
                .filter(|(v, _)| *v == u)
                .map(|(_, e)| e)
                .sum();
            self.class_sum[uu] += sign * own;
            if layout.triggers_of[i].contains(&u) {
                if adding {
                    self.class_triggers[uu] += 1;
                } else {
                    self.class_triggers[uu] -= 1;
                }
            }
            let change = self.class_cost(uu) - before;
            for &(r, s) in &layout.limits_of_class[uu] {
                self.used[r as usize] += s * change;
            }
        }
        self.chosen[i] = adding;
        match (program.indexes[i].fix, adding) {
            (Fix::Free, _) => {}
            (Fix::In, true) | (Fix::Out, false) => self.fixed_violation -= 1,
            (Fix::In, false) | (Fix::Out, true) => self.fixed_violation += 1,
        }
        steps + layout.uses_of(i).len() as u64
    }
}
