//! Index selection as an integer program over atomic configurations.
//!
//! D. Dash, N. Polyzotis, A. Ailamaki: "CoPhy: A Scalable, Portable, and Interactive
//! Index Advisor for Large Workloads", PVLDB 4(6), 2011. Each query picks one *atom*:
//! a set of indexes under which its cost is known. In CoPhy the query picks the
//! cheapest atom that the chosen indexes allow. Here the *planner* picks it, by its
//! own estimate ([`Atom::rank`]), while what is paid is what we believe the plan costs
//! ([`Atom::cost`]); where both agree this is CoPhy, and where they do not it is the
//! "simple plant location problem with order" (P. Hanjoul, D. Peeters, EJOR 31, 1987):
//! a chosen index can make a query worse, and the program knows.
//!
//! minimise  constant + Σ_i linear_i·x_i + query_scale·Σ_q w_q·cost(atom_q(x))
//!           + class_scale·Σ_u z_u·(base_u + Σ_j e_uj·x_j)
//! where atom_q(x) is the first atom of q, by (rank, cost, position), inside {i : x_i},
//! and z_u = 1 when any trigger of update class u is chosen, under [`Limit`]s,
//! per-query ceilings and an optional cap on the weighted query cost.
//!
//! The update classes express lost heap-only-tuple updates: one chosen index that covers
//! an updated column makes the update touch *every* index of its table (PostgreSQL
//! manual, "Heap-Only Tuples").

/// Whether an index may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Free to choose.
    Free,
    /// Always chosen (behind a constraint, within its dwell time, pinned).
    In,
    /// Never chosen (banned, refused before).
    Out,
}

/// What choosing index `i` costs by itself, in the objective's unit. May be negative
/// (an existing index whose drop has a price).
#[derive(Clone, Debug)]
pub struct IndexTerm {
    /// Coefficient of x_i.
    pub linear: f64,
    /// Whether it may be decided.
    pub fix: Fix,
}

/// A set of indexes under which a query's plan is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Atom {
    /// Index numbers, ascending, without repetition. Empty: no index.
    pub indexes: Vec<u32>,
    /// The planner's own estimate: of the atoms inside the chosen set it takes the least.
    pub rank: f64,
    /// What is paid when it takes this one.
    pub cost: f64,
}

impl Atom {
    /// An atom whose cost is the planner's estimate.
    pub fn new(mut indexes: Vec<u32>, cost: f64) -> Self {
        indexes.sort_unstable();
        indexes.dedup();
        Self {
            indexes,
            rank: cost,
            cost,
        }
    }
}

/// One query: its weight and its atoms, one of which is empty.
#[derive(Clone, Debug)]
pub struct QueryTerm {
    /// Weight of the cost in the objective (calls × time per cost unit).
    pub weight: f64,
    /// The cost must not exceed this (`f64::INFINITY`: no ceiling).
    pub ceiling: f64,
    /// Atoms; exactly one with no indexes.
    pub atoms: Vec<Atom>,
}

/// Updates that stay heap-only as long as no trigger is chosen.
#[derive(Clone, Debug)]
pub struct UpdateClass {
    /// Indexes that cover an updated column.
    pub triggers: Vec<u32>,
    /// True where something outside the program already makes them non-HOT.
    pub always: bool,
    /// Cost paid once when triggered (heap, WAL, every index outside the program).
    pub base: f64,
    /// Cost for each chosen index of the table, when triggered.
    pub per_index: Vec<(u32, f64)>,
}

/// Σ terms·x + Σ scale·(cost of update class) ≤ at_most. Coefficients are not negative.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Index number and its coefficient.
    pub terms: Vec<(u32, f64)>,
    /// Update class number and the factor its cost enters with.
    pub classes: Vec<(u32, f64)>,
    /// Right-hand side.
    pub at_most: f64,
}

/// The whole program. Build it, call [`Program::check`], then solve.
#[derive(Clone, Debug)]
pub struct Program {
    /// Added to every objective value.
    pub constant: f64,
    /// 1, or 0 where a goal does not count query cost.
    pub query_scale: f64,
    /// 1, or 0 where a goal does not count update classes (limits always do).
    pub class_scale: f64,
    /// Cap on Σ_q w_q·cost_q.
    pub query_cap: f64,
    /// Indexes by number.
    pub indexes: Vec<IndexTerm>,
    /// Queries by number.
    pub queries: Vec<QueryTerm>,
    /// Update classes by number.
    pub classes: Vec<UpdateClass>,
    /// Limits; the first is treated as the knapsack (storage) by the bound.
    pub limits: Vec<Limit>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            constant: 0.0,
            query_scale: 1.0,
            class_scale: 1.0,
            query_cap: f64::INFINITY,
            indexes: Vec::new(),
            queries: Vec::new(),
            classes: Vec::new(),
            limits: Vec::new(),
        }
    }
}

/// A program that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// The value of one choice: how far it is from allowed, then what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Sum of relative excesses over limits, ceilings and cap; 0 is allowed.
    pub violation: f64,
    /// The objective.
    pub objective: f64,
}

impl Score {
    /// Round-off below which an excess is none.
    pub const SLACK: f64 = 1e-9;

    /// True when every limit is kept.
    pub fn feasible(&self) -> bool {
        self.violation <= Self::SLACK
    }

    /// Smaller violation first, then smaller objective, both beyond round-off (sums that
    /// are kept flip by flip drift; without the margin a search could circle for ever).
    pub fn better_than(&self, other: &Score) -> bool {
        let cheaper = self.objective < other.objective - 1e-10 * other.objective.abs().max(1.0);
        if self.feasible() && other.feasible() {
            return cheaper;
        }
        if (self.violation - other.violation).abs() > Self::SLACK {
            return self.violation < other.violation;
        }
        cheaper
    }
}

impl Program {
    /// Refuses what has no meaning: numbers out of range, no or two empty atoms,
    /// negative coefficients in a limit, not-finite costs.
    pub fn check(&self) -> Result<(), Malformed> {
        let n = self.indexes.len() as u32;
        let known = |i: &u32| *i < n;
        for (i, t) in self.indexes.iter().enumerate() {
            if !t.linear.is_finite() {
                return Err(Malformed(format!(
                    "index {i}: cost {} is not finite",
                    t.linear
                )));
            }
        }
        for (q, query) in self.queries.iter().enumerate() {
            if !(query.weight.is_finite() && query.weight >= 0.0) || query.ceiling.is_nan() {
                return Err(Malformed(format!(
                    "query {q}: weight {} or ceiling {}",
                    query.weight, query.ceiling
                )));
            }
            if query.atoms.iter().filter(|a| a.indexes.is_empty()).count() != 1 {
                return Err(Malformed(format!(
                    "query {q}: exactly one atom without indexes is needed"
                )));
            }
            for atom in &query.atoms {
                if !atom.cost.is_finite() || !atom.rank.is_finite() {
                    return Err(Malformed(format!(
                        "query {q}: cost {} is not finite",
                        atom.cost
                    )));
                }
                if !atom.indexes.iter().all(known) || !atom.indexes.windows(2).all(|w| w[0] < w[1])
                {
                    return Err(Malformed(format!(
                        "query {q}: indexes {:?} unknown or not ascending",
                        atom.indexes
                    )));
                }
            }
        }
        for (u, class) in self.classes.iter().enumerate() {
            let costs = class
                .per_index
                .iter()
                .all(|(i, e)| known(i) && e.is_finite() && *e >= 0.0);
            let known_triggers = class.triggers.iter().all(known);
            let usable = class.base.is_finite() && class.base >= 0.0;
            if !(costs && known_triggers && usable) {
                return Err(Malformed(format!(
                    "update class {u}: unknown index or negative cost"
                )));
            }
        }
        for (r, limit) in self.limits.iter().enumerate() {
            let terms = limit
                .terms
                .iter()
                .all(|(i, c)| known(i) && c.is_finite() && *c >= 0.0);
            let classes = limit
                .classes
                .iter()
                .all(|(u, s)| (*u as usize) < self.classes.len() && *s >= 0.0);
            if !terms || !classes || limit.at_most.is_nan() {
                return Err(Malformed(format!(
                    "limit {r}: unknown number or negative coefficient"
                )));
            }
        }
        Ok(())
    }

    /// The atom that query `q` runs under when exactly `chosen` are there: by rank, then
    /// cost, then position.
    pub fn atom_taken(&self, q: usize, chosen: &[bool]) -> &Atom {
        let query = &self.queries[q];
        let mut best: Option<&Atom> = None;
        for atom in &query.atoms {
            if atom.indexes.iter().all(|&i| chosen[i as usize])
                && best.is_none_or(|b| (atom.rank, atom.cost) < (b.rank, b.cost))
            {
                best = Some(atom);
            }
        }
        best.expect("a checked program has an empty atom for each query")
    }

    /// Cost of update class `u` under `chosen`.
    pub fn class_cost(&self, u: usize, chosen: &[bool]) -> f64 {
        let class = &self.classes[u];
        if !class.always && !class.triggers.iter().any(|&i| chosen[i as usize]) {
            return 0.0;
        }
        class.base
            + class
                .per_index
                .iter()
                .filter(|(i, _)| chosen[*i as usize])
                .map(|(_, e)| e)
                .sum::<f64>()
    }

    /// Left-hand side of limit `r` under `chosen`.
    pub fn limit_use(&self, r: usize, chosen: &[bool]) -> f64 {
        let limit = &self.limits[r];
        let linear: f64 = limit
            .terms
            .iter()
            .filter(|(i, _)| chosen[*i as usize])
            .map(|(_, c)| c)
            .sum();
        linear
            + limit
                .classes
                .iter()
                .map(|(u, s)| s * self.class_cost(*u as usize, chosen))
                .sum::<f64>()
    }

    /// Σ_q w_q·cost_q under `chosen`.
    pub fn query_cost(&self, chosen: &[bool]) -> f64 {
        (0..self.queries.len())
            .map(|q| self.queries[q].weight * self.atom_taken(q, chosen).cost)
            .sum()
    }

    /// The exact value of a choice, from scratch. The definition that everything faster
    /// in this crate is tested against.
    pub fn score(&self, chosen: &[bool]) -> Score {
        assert_eq!(chosen.len(), self.indexes.len(), "one flag for each index");
        let mut violation = 0.0;
        for (i, term) in self.indexes.iter().enumerate() {
            let wrong = match term.fix {
                Fix::Free => false,
                Fix::In => !chosen[i],
                Fix::Out => chosen[i],
            };
            if wrong {
                violation += 1.0;
            }
        }
        for r in 0..self.limits.len() {
            violation += excess(self.limit_use(r, chosen), self.limits[r].at_most);
        }
        let mut query_cost = 0.0;
        for (q, query) in self.queries.iter().enumerate() {
            let cost = self.atom_taken(q, chosen).cost;
            query_cost += query.weight * cost;
            violation += excess(cost, query.ceiling);
        }
        violation += excess(query_cost, self.query_cap);
        let linear: f64 = self
            .indexes
            .iter()
            .zip(chosen)
            .filter(|(_, c)| **c)
            .map(|(t, _)| t.linear)
            .sum();
        let classes: f64 = (0..self.classes.len())
            .map(|u| self.class_cost(u, chosen))
            .sum();
        let objective =
            self.constant + linear + self.query_scale * query_cost + self.class_scale * classes;
        Score {
            violation,
            objective,
        }
    }
}

/// Relative excess of `used` over `at_most`, 0 within round-off.
pub(crate) fn excess(used: f64, at_most: f64) -> f64 {
    if used <= at_most + Score::SLACK * at_most.abs().max(1e-300) || at_most == f64::INFINITY {
        0.0
    } else {
        ((used - at_most) / at_most.abs().max(1.0)).max(2.0 * Score::SLACK)
    }
}
