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
        let mut limits_of: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
        let mut limits_of_class = vec![Vec::new(); program.classes.len()];
        for (r, limit) in program.limits.iter().enumerate() {
            for &(i, c) in &limit.terms {
                match limits_of[i as usize].last_mut() {
                    Some(last) if last.0 == r as u32 => last.1 += c,
                    _ => limits_of[i as usize].push((r as u32, c)),
                }
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

    /// Indexes that share a query with `i`, ascending, without `i`.
    pub fn neighbours(&self, i: usize) -> Vec<u32> {
        let mut found = Vec::new();
        let mut last = u32::MAX;
        for &a in self.uses_of(i) {
            let q = self.query_of[a as usize];
            if q != last {
                last = q;
                let atoms = self.atoms_of(q as usize);
                let span = self.first_member[atoms.start]..self.first_member[atoms.end];
                found.extend_from_slice(&self.members[span.start as usize..span.end as usize]);
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|&j| j as usize != i);
        found
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
    class_total: f64,
    limit_excess: f64,
    ceiling_excess: f64,
    fixed_violation: u32,
    /// Room for one flip's changes: update classes, then limits.
    class_changes: Vec<(u32, f64)>,
    limit_changes: Vec<(u32, f64)>,
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
            class_total: 0.0,
            limit_excess: 0.0,
            ceiling_excess: 0.0,
            fixed_violation: 0,
            class_changes: Vec::new(),
            limit_changes: Vec::new(),
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
        self.class_total = 0.0;
        for u in 0..program.classes.len() {
            let cost = self.class_cost(u);
            self.class_total += cost;
            for &(r, s) in &layout.limits_of_class[u] {
                self.used[r as usize] += s * cost;
            }
        }
        self.limit_excess = program
            .limits
            .iter()
            .zip(&self.used)
            .map(|(limit, used)| excess(*used, limit.at_most))
            .sum();
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

    /// The value as it stands.
    pub fn score(&self) -> Score {
        self.score_of(
            self.fixed_violation as i32,
            self.ceiling_excess,
            self.limit_excess,
            self.query_cost,
            self.linear,
            self.class_total,
        )
    }

    fn score_of(
        &self,
        fixed: i32,
        ceilings: f64,
        limits: f64,
        query_cost: f64,
        linear: f64,
        classes: f64,
    ) -> Score {
        let program = self.layout.program;
        // Sums of differences leave round-off behind; a real excess is at least 2 × SLACK.
        let clean = |v: f64| if v < Score::SLACK { 0.0 } else { v };
        let violation = f64::from(fixed)
            + clean(ceilings)
            + clean(limits)
            + excess(query_cost, program.query_cap);
        let objective = program.constant
            + linear
            + program.query_scale * query_cost
            + program.class_scale * classes;
        Score {
            violation,
            objective,
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

    /// Fills `class_changes` and `limit_changes` with what flipping `i` does.
    fn side_changes(&mut self, i: usize) -> u64 {
        let layout = self.layout;
        let adding = !self.chosen[i];
        let sign = if adding { 1.0 } else { -1.0 };
        self.class_changes.clear();
        self.limit_changes.clear();
        for &(r, c) in &layout.limits_of[i] {
            self.limit_changes.push((r, sign * c));
        }
        let (triggers, costs) = (&layout.triggers_of[i], &layout.class_cost_of[i]);
        let mut steps = (triggers.len() + costs.len() + self.limit_changes.len()) as u64;
        let also = costs
            .iter()
            .map(|(u, _)| u)
            .filter(|u| !triggers.contains(u));
        for &u in triggers.iter().chain(also) {
            let uu = u as usize;
            let own: f64 = costs.iter().filter(|(v, _)| *v == u).map(|(_, e)| e).sum();
            let count = i64::from(self.class_triggers[uu])
                + match (triggers.contains(&u), adding) {
                    (false, _) => 0,
                    (true, true) => 1,
                    (true, false) => -1,
                };
            let after = if count == 0 {
                0.0
            } else {
                layout.program.classes[uu].base + self.class_sum[uu] + sign * own
            };
            let change = after - self.class_cost(uu);
            if change == 0.0 || self.class_changes.iter().any(|(v, _)| *v == u) {
                continue;
            }
            self.class_changes.push((u, change));
            for &(r, s) in &layout.limits_of_class[uu] {
                steps += 1;
                match self.limit_changes.iter_mut().find(|(l, _)| *l == r) {
                    Some(known) => known.1 += s * change,
                    None => self.limit_changes.push((r, s * change)),
                }
            }
        }
        steps
    }

    /// The score after flipping `i`, and the steps it took to know.
    pub fn peek(&mut self, i: usize) -> (Score, u64) {
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
        steps += self.side_changes(i);
        let adding = !self.chosen[i];
        let sign = if adding { 1.0 } else { -1.0 };
        let mut limits = self.limit_excess;
        for &(r, change) in &self.limit_changes {
            let (used, at_most) = (self.used[r as usize], program.limits[r as usize].at_most);
            limits += excess(used + change, at_most) - excess(used, at_most);
        }
        let classes: f64 = self.class_changes.iter().map(|(_, change)| change).sum();
        let fixed = match (program.indexes[i].fix, adding) {
            (Fix::Free, _) => 0,
            (Fix::In, true) | (Fix::Out, false) => -1,
            (Fix::In, false) | (Fix::Out, true) => 1,
        };
        let score = self.score_of(
            self.fixed_violation as i32 + fixed,
            ceiling,
            limits,
            query_cost,
            self.linear + sign * program.indexes[i].linear,
            self.class_total + classes,
        );
        (score, steps)
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
        self.side_changes(i);
        self.linear += sign * program.indexes[i].linear;
        for k in 0..self.limit_changes.len() {
            let (r, change) = self.limit_changes[k];
            let at_most = program.limits[r as usize].at_most;
            let used = &mut self.used[r as usize];
            self.limit_excess += excess(*used + change, at_most) - excess(*used, at_most);
            *used += change;
        }
        self.class_total += self
            .class_changes
            .iter()
            .map(|(_, change)| change)
            .sum::<f64>();
        for &u in &layout.triggers_of[i] {
            if adding {
                self.class_triggers[u as usize] += 1;
            } else {
                self.class_triggers[u as usize] -= 1;
            }
        }
        for &(u, e) in &layout.class_cost_of[i] {
            self.class_sum[u as usize] += sign * e;
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
