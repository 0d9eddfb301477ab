//! From the advisor's words to the integer program of `indexpilot-algorithms`.

use super::problem::{Problem, Status};
use indexpilot_algorithms::program::{
    self, Atom, Fix, IndexTerm, Limit, Malformed, Program, QueryTerm,
};
use std::collections::BTreeMap;

/// What a limit of the program stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitKind {
    /// `storage_budget`.
    Storage,
    /// `max_indexes_per_table`, with the table's label and the maximum.
    Count(String, u32),
    /// `max_write_overhead`, with the table's label and the share.
    Write(String, f64),
}

/// A program with what its parts mean.
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// Meaning of each limit.
    pub limits: Vec<LimitKind>,
    /// Options that fail `min_improvement`, with the best share they reach.
    pub too_little: BTreeMap<usize, f64>,
    /// Candidates that fail `min_share`, with the share they could save at most.
    pub too_rare: BTreeMap<usize, f64>,
}

/// Builds and checks the program.
pub fn lower(problem: &Problem) -> Result<Lowered, Malformed> {
    check(problem)?;
    let rules = &problem.rules;
    let n = problem.options.len();
    let current = problem.current();
    let too_little = refused_for_improvement(problem);
    let mut program = Program::default();
    let (limits, kinds) = limits(problem, &current);
    program.limits = limits;
    for (k, option) in problem.options.iter().enumerate() {
        let build = rules.act_factor * option.build_ms / rules.horizon_days.max(1.0);
        let (fix, one_off) = match &option.status {
            Status::Candidate if too_little.contains_key(&k) => (Fix::Out, build),
            Status::Candidate => (Fix::Free, build),
            Status::Droppable { price_ms } => {
                // Paid when it is not chosen: constant + price·(1 − x).
                let price = rules.act_factor * price_ms / rules.horizon_days.max(1.0);
                program.constant += price;
                (Fix::Free, -price)
            }
            Status::Stays { .. } => (Fix::In, 0.0),
            Status::Banned { .. } => (Fix::Out, build),
        };
        program.indexes.push(IndexTerm {
            linear: option.write_ms + one_off,
            fix,
        });
    }
    for statement in &problem.statements {
        let atoms: Vec<Atom> = statement
            .atoms
            .iter()
            .map(|a| Atom {
                indexes: a.options.iter().map(|&o| o as u32).collect(),
                rank: a.planner,
                cost: a.believed,
            })
            .collect();
        program.queries.push(QueryTerm {
            weight: statement.weight,
            ceiling: f64::INFINITY,
            atoms,
        });
    }
    for group in &problem.updates {
        program.classes.push(program::UpdateClass {
            triggers: group.triggers.iter().map(|&o| o as u32).collect(),
            always: group.already_lost,
            base: group.base_ms,
            per_index: group
                .per_option
                .iter()
                .map(|&(o, ms)| (o as u32, ms))
                .collect(),
        });
    }
    program.check()?;
    // Ceilings: no worse than now by more than the regression allowed.
    for (q, statement) in problem.statements.iter().enumerate() {
        let now = program.atom_taken(q, &current).cost;
        let allowed = statement
            .max_regression
            .unwrap_or(rules.max_regression)
            .max(0.0);
        program.queries[q].ceiling = now * (1.0 + allowed);
    }
    charge_storage(problem, &mut program, &current);
    let too_rare = refused_for_share(problem, &program, &current);
    for &k in too_rare.keys() {
        program.indexes[k].fix = Fix::Out;
    }
    if let Some(previous) = problem.previous.as_ref().filter(|p| p.len() == n) {
        let stakes = stakes(problem);
        for (k, &was) in previous.iter().enumerate() {
            let price = rules.switch_share * stakes[k];
            if was {
                program.constant += price;
                program.indexes[k].linear -= price;
            } else {
                program.indexes[k].linear += price;
            }
        }
    }
    program.check()?;
    Ok(Lowered {
        program,
        limits: kinds,
        too_little,
        too_rare,
    })
}

fn check(problem: &Problem) -> Result<(), Malformed> {
    let n = problem.options.len();
    for (q, statement) in problem.statements.iter().enumerate() {
        for atom in &statement.atoms {
            if atom.options.iter().any(|&o| o >= n) {
                return Err(Malformed(format!(
                    "statement {q}: option out of range in {:?}",
                    atom.options
                )));
            }
        }
    }
    for group in &problem.updates {
        if group
            .triggers
            .iter()
            .chain(group.per_option.iter().map(|(o, _)| o))
            .any(|&o| o >= n)
        {
            return Err(Malformed(format!(
                "update group {}: option out of range",
                group.label
            )));
        }
    }
    Ok(())
}

/// What each option could save at most, milliseconds a day: over the statements, the
/// difference between no option and the best atom with it.
fn stakes(problem: &Problem) -> Vec<f64> {
    let mut stakes = vec![0.0; problem.options.len()];
    let mut best: BTreeMap<usize, f64> = BTreeMap::new();
    for statement in &problem.statements {
        best.clear();
        let empty = statement
            .atoms
            .iter()
            .find(|a| a.options.is_empty())
            .map_or(0.0, |a| a.believed);
        for atom in &statement.atoms {
            for &o in &atom.options {
                let known = best.entry(o).or_insert(f64::INFINITY);
                *known = known.min(atom.believed);
            }
        }
        for (&o, &cost) in &best {
            stakes[o] += statement.weight * (empty - cost).max(0.0);
        }
    }
    stakes
}

/// Candidates whose best atom improves no statement by `min_improvement` over the same
/// atom without them.
fn refused_for_improvement(problem: &Problem) -> BTreeMap<usize, f64> {
    let mut best = vec![0.0f64; problem.options.len()];
    for statement in &problem.statements {
        let empty = statement
            .atoms
            .iter()
            .find(|a| a.options.is_empty())
            .map_or(0.0, |a| a.believed);
        if empty <= 0.0 {
            continue;
        }
        for atom in &statement.atoms {
            for &o in &atom.options {
                best[o] = best[o].max(1.0 - atom.believed / empty);
            }
        }
    }
    problem
        .options
        .iter()
        .enumerate()
        .filter(|(k, o)| o.status == Status::Candidate && best[*k] < problem.rules.min_improvement)
        .map(|(k, _)| (k, best[k]))
        .collect()
}

/// Charges each candidate for the room it takes ([`super::problem::Rules::storage_share`]).
fn charge_storage(problem: &Problem, program: &mut Program, current: &[bool]) {
    let tables: f64 = problem.tables.iter().map(|t| t.bytes as f64).sum();
    if problem.rules.storage_share <= 0.0 || tables <= 0.0 {
        return;
    }
    let total = problem.base_ms.unwrap_or_else(|| {
        (0..problem.statements.len())
            .map(|q| problem.statements[q].weight * program.atom_taken(q, current).cost)
            .sum()
    });
    let per_byte = problem.rules.storage_share * total / tables;
    for (option, term) in problem.options.iter().zip(&mut program.indexes) {
        if matches!(option.status, Status::Candidate) {
            term.linear += per_byte * option.bytes as f64;
        }
    }
}

/// Candidates that even beside their best companions would save less than `min_share` of the
/// time that all statements take ([`Problem::base_ms`]; now where it is not given).
fn refused_for_share(
    problem: &Problem,
    program: &Program,
    current: &[bool],
) -> BTreeMap<usize, f64> {
    let mut refused = BTreeMap::new();
    if problem.rules.min_share <= 0.0 {
        return refused;
    }
    let mut total_now = 0.0;
    let mut saves = vec![0.0; problem.options.len()];
    let mut best: BTreeMap<usize, f64> = BTreeMap::new();
    for (q, statement) in problem.statements.iter().enumerate() {
        let now = program.atom_taken(q, current).cost;
        total_now += statement.weight * now;
        best.clear();
        for atom in &statement.atoms {
            for &o in &atom.options {
                let known = best.entry(o).or_insert(f64::INFINITY);
                *known = known.min(atom.believed);
            }
        }
        for (&o, &cost) in &best {
            saves[o] += statement.weight * (now - cost).max(0.0);
        }
    }
    let total = problem.base_ms.unwrap_or(total_now);
    for (k, option) in problem.options.iter().enumerate() {
        if option.status == Status::Candidate
            && saves[k] > 0.0
            && saves[k] < problem.rules.min_share * total
        {
            refused.insert(k, saves[k] / total);
        }
    }
    refused
}

fn limits(problem: &Problem, current: &[bool]) -> (Vec<Limit>, Vec<LimitKind>) {
    let rules = &problem.rules;
    let (mut limits, mut kinds) = (Vec::new(), Vec::new());
    // The first limit is the knapsack of the bound, so there is always a storage limit.
    limits.push(Limit {
        terms: problem
            .options
            .iter()
            .enumerate()
            .map(|(k, o)| (k as u32, o.bytes_at_most as f64))
            .collect(),
        classes: Vec::new(),
        at_most: rules.storage_budget.map_or(f64::MAX, |b| b as f64),
    });
    kinds.push(LimitKind::Storage);
    let before_us: Vec<bool> = problem
        .options
        .iter()
        .zip(current)
        .map(|(o, &c)| c && !o.ours)
        .collect();
    for table in &problem.tables {
        let on: Vec<usize> = (0..problem.options.len())
            .filter(|&k| problem.options[k].table == table.table)
            .collect();
        if on.is_empty() {
            continue;
        }
        let existing = on.iter().filter(|&&k| current[k]).count() as u32;
        if let Some(most) = rules.max_indexes_per_table {
            // A table that has more already is not forced to drop, only not given any.
            let room = most.saturating_sub(table.indexes_outside).max(existing);
            limits.push(Limit {
                terms: on.iter().map(|&k| (k as u32, 1.0)).collect(),
                classes: Vec::new(),
                at_most: f64::from(room),
            });
            kinds.push(LimitKind::Count(table.label.clone(), most));
        }
        if let Some(share) = rules.max_write_overhead {
            let groups: Vec<(u32, f64)> = (0..problem.updates.len())
                .filter(|&u| problem.updates[u].table == table.table)
                .map(|u| (u as u32, 1.0))
                .collect();
            let upkeep = |chosen: &[bool]| -> f64 {
                let own = on.iter().filter(|&&k| chosen[k]);
                own.map(|&k| problem.options[k].write_ms.max(0.0))
                    .sum::<f64>()
                    + groups
                        .iter()
                        .map(|(u, _)| group_cost(problem, *u as usize, chosen))
                        .sum::<f64>()
            };
            let more = (share * table.write_ms_now).max(rules.negligible_write_ms);
            // What was built on our advice counts against the share, or each run would
            // allow as much again; what exists is not forced out by it.
            let at_most = (upkeep(&before_us) + more).max(upkeep(current));
            limits.push(Limit {
                terms: on
                    .iter()
                    .map(|&k| (k as u32, problem.options[k].write_ms.max(0.0)))
                    .collect(),
                classes: groups,
                at_most,
            });
            kinds.push(LimitKind::Write(table.label.clone(), share));
        }
    }
    (limits, kinds)
}

/// Milliseconds a day of update group `u` under `chosen`.
pub fn group_cost(problem: &Problem, u: usize, chosen: &[bool]) -> f64 {
    let group = &problem.updates[u];
    if !group.already_lost && !group.triggers.iter().any(|&o| chosen[o]) {
        return 0.0;
    }
    group.base_ms
        + group
            .per_option
            .iter()
            .filter(|(o, _)| chosen[*o])
            .map(|(_, ms)| ms)
            .sum::<f64>()
}
