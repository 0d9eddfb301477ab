//! Presolve: what can be decided or thrown away without losing an optimum.
//!
//! In the manner of M. Savelsbergh: "Preprocessing and Probing Techniques for Mixed
//! Integer Programming Problems", ORSA Journal on Computing 6(4), 1994, for the program of
//! [`crate::program`]: indexes that are decided leave the program, atoms that the planner
//! can never take (it prefers one that is always there) are dropped, queries with one atom
//! become constants, indexes that no atom needs or that another dominates are left out.

use crate::program::{Atom, Fix, IndexTerm, Limit, Program, QueryTerm, UpdateClass};
use std::collections::HashMap;

/// A smaller program and the way back.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The smaller program; all its indexes are free.
    pub program: Program,
    /// Old number of each new index.
    pub old: Vec<u32>,
    /// The decision for every old index; `None` where the smaller program decides.
    decided: Vec<Option<bool>>,
}

impl Reduced {
    /// A choice of the smaller program as one of the original.
    pub fn lift(&self, chosen: &[bool]) -> Vec<bool> {
        let mut full: Vec<bool> = self.decided.iter().map(|d| d.unwrap_or(false)).collect();
        for (new, &old) in self.old.iter().enumerate() {
            full[old as usize] = chosen[new];
        }
        full
    }

    /// A choice of the original as one of the smaller program (decided parts are lost).
    pub fn restrict(&self, chosen: &[bool]) -> Vec<bool> {
        self.old.iter().map(|&o| chosen[o as usize]).collect()
    }
}

/// Reduces a checked program. The optimum of the smaller one, lifted, is an optimum.
pub fn reduce(program: &Program) -> Reduced {
    let n = program.indexes.len();
    let mut decided: Vec<Option<bool>> = program
        .indexes
        .iter()
        .map(|t| match t.fix {
            Fix::Free => None,
            Fix::In => Some(true),
            Fix::Out => Some(false),
        })
        .collect();
    let queries: Vec<QueryTerm> = program
        .queries
        .iter()
        .map(|q| QueryTerm {
            atoms: live_atoms(q, &decided),
            ..q.clone()
        })
        .collect();
    // An index that no atom mentions and that costs something (or nothing): out. One that
    // pays by being there (an existing index whose drop has a price) stays a decision.
    let mut used = vec![false; n];
    for i in queries
        .iter()
        .flat_map(|q| &q.atoms)
        .flat_map(|a| &a.indexes)
    {
        used[*i as usize] = true;
    }
    for (i, term) in program.indexes.iter().enumerate() {
        if decided[i].is_none() && !used[i] && term.linear >= 0.0 {
            decided[i] = Some(false);
        }
    }
    drop_dominated(program, &queries, &mut decided);
    build(program, queries, decided)
}

/// Atoms without members decided out, decided-in members removed, and those that the
/// planner would never take removed.
fn live_atoms(query: &QueryTerm, decided: &[Option<bool>]) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = query
        .atoms
        .iter()
        .filter(|a| {
            a.indexes
                .iter()
                .all(|&i| decided[i as usize] != Some(false))
        })
        .map(|a| Atom {
            indexes: a
                .indexes
                .iter()
                .copied()
                .filter(|&i| decided[i as usize].is_none())
                .collect(),
            ..a.clone()
        })
        .collect();
    atoms.sort_by(|a, b| a.rank.total_cmp(&b.rank).then(a.cost.total_cmp(&b.cost)));
    let mut kept: Vec<Atom> = Vec::new();
    let mut seen: HashMap<Vec<u32>, ()> = HashMap::new();
    for atom in atoms {
        let always = atom.indexes.is_empty();
        if !has_known_subset(&atom.indexes, &seen) {
            seen.insert(atom.indexes.clone(), ());
            kept.push(atom);
        }
        if always {
            break;
        }
    }
    kept
}

/// True when `set` or a subset of it was seen (sets above six members are only looked up
/// whole; keeping an atom too many is harmless).
fn has_known_subset(set: &[u32], seen: &HashMap<Vec<u32>, ()>) -> bool {
    if seen.contains_key(set) {
        return true;
    }
    if set.len() < 2 || set.len() > 6 {
        return false;
    }
    (1..(1u32 << set.len()) - 1).any(|mask| {
        let subset: Vec<u32> = set
            .iter()
            .enumerate()
            .filter(|(k, _)| mask & (1 << k) != 0)
            .map(|(_, &i)| i)
            .collect();
        seen.contains_key(&subset)
    })
}

/// Drops index i where some j serves every atom of i at no more cost, and costs and
/// weighs no more. Only among indexes that occur in single-index atoms of queries whose
/// planner order agrees with the cost order; there the exchange can never hurt.
fn drop_dominated(program: &Program, queries: &[QueryTerm], decided: &mut [Option<bool>]) {
    let n = program.indexes.len();
    let mut eligible: Vec<bool> = decided.iter().map(Option::is_none).collect();
    let mut singles: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
    for (q, query) in queries.iter().enumerate() {
        let agreeing = query.atoms.windows(2).all(|w| w[0].cost <= w[1].cost);
        for atom in &query.atoms {
            match atom.indexes[..] {
                [i] if agreeing => singles[i as usize].push((q as u32, atom.cost)),
                _ => atom
                    .indexes
                    .iter()
                    .for_each(|&i| eligible[i as usize] = false),
            }
        }
    }
    for class in &program.classes {
        for &i in &class.triggers {
            eligible[i as usize] = false;
        }
    }
    let mut weights: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
    for (r, limit) in program.limits.iter().enumerate() {
        for &(i, c) in &limit.terms {
            weights[i as usize].push((r as u32, c));
        }
    }
    let mut upkeep: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
    for (u, class) in program.classes.iter().enumerate() {
        for &(i, e) in &class.per_index {
            upkeep[i as usize].push((u as u32, e));
        }
    }
    let at = |list: &[(u32, f64)], key: u32| {
        list.iter()
            .filter(|(k, _)| *k == key)
            .map(|(_, v)| v)
            .fold(None, |s: Option<f64>, v| Some(s.unwrap_or(0.0) + v))
    };
    let no_more = |a: &[(u32, f64)], b: &[(u32, f64)]| {
        a.iter()
            .all(|&(k, _)| at(a, k).unwrap_or(0.0) <= at(b, k).unwrap_or(0.0))
    };
    let by_query: Vec<HashMap<u32, f64>> = {
        let mut m = vec![HashMap::new(); queries.len()];
        for (i, list) in singles.iter().enumerate() {
            for &(q, c) in list {
                m[q as usize].insert(i as u32, c);
            }
        }
        m
    };
    for i in 0..n {
        if !eligible[i] || singles[i].is_empty() || program.indexes[i].linear < 0.0 {
            continue;
        }
        // The query with the fewest rivals names those that can dominate.
        let (q, _) = *singles[i]
            .iter()
            .min_by_key(|(q, _)| by_query[*q as usize].len())
            .expect("an eligible index has atoms");
        let dominated = by_query[q as usize].keys().any(|&j| {
            let jj = j as usize;
            let equal = || singles[jj].len() == singles[i].len()
                && program.indexes[jj].linear == program.indexes[i].linear
                && no_more(&weights[i], &weights[jj]);
            jj != i
                && eligible[jj]
                && decided[jj].is_none()
                && program.indexes[jj].linear <= program.indexes[i].linear
                && singles[i].iter().all(|(q, c)| by_query[*q as usize].get(&j).is_some_and(|d| d <= c))
                && no_more(&weights[jj], &weights[i])
                && no_more(&upkeep[jj], &upkeep[i])
                // Of two equals the lower number stays.
                && !(equal() && jj > i && singles[i].iter().all(|(q, c)| by_query[*q as usize][&j] == *c))
        });
        if dominated {
            decided[i] = Some(false);
        }
    }
}

fn build(program: &Program, queries: Vec<QueryTerm>, decided: Vec<Option<bool>>) -> Reduced {
    let n = program.indexes.len();
    let old: Vec<u32> = (0..n as u32)
        .filter(|&i| decided[i as usize].is_none())
        .collect();
    let mut new = vec![u32::MAX; n];
    for (k, &o) in old.iter().enumerate() {
        new[o as usize] = k as u32;
    }
    let fixed_in = |i: u32| decided[i as usize] == Some(true);
    let mut small = Program {
        constant: program.constant,
        query_scale: program.query_scale,
        class_scale: program.class_scale,
        query_cap: program.query_cap,
        indexes: old
            .iter()
            .map(|&o| IndexTerm {
                linear: program.indexes[o as usize].linear,
                fix: Fix::Free,
            })
            .collect(),
        ..Program::default()
    };
    small.constant += (0..n as u32)
        .filter(|&i| fixed_in(i))
        .map(|i| program.indexes[i as usize].linear)
        .sum::<f64>();
    for query in queries {
        let mut atoms = if decided.iter().all(Option::is_none) {
            query.atoms
        } else {
            // Dominated indexes were decided after the first cleaning.
            live_atoms(&query, &decided)
        };
        if let [only] = &atoms[..]
            && only.cost <= query.ceiling
        {
            small.constant += small.query_scale * query.weight * only.cost;
            small.query_cap -= query.weight * only.cost;
            continue;
        }
        for atom in &mut atoms {
            atom.indexes.iter_mut().for_each(|i| *i = new[*i as usize]);
        }
        small.queries.push(QueryTerm { atoms, ..query });
    }
    let kept = |terms: &[(u32, f64)]| -> Vec<(u32, f64)> {
        terms
            .iter()
            .filter(|(i, _)| new[*i as usize] != u32::MAX)
            .map(|&(i, c)| (new[i as usize], c))
            .collect()
    };
    let taken = |terms: &[(u32, f64)]| {
        terms
            .iter()
            .filter(|(i, _)| fixed_in(*i))
            .map(|(_, c)| c)
            .sum::<f64>()
    };
    small.classes = program
        .classes
        .iter()
        .map(|class| UpdateClass {
            triggers: class
                .triggers
                .iter()
                .filter(|i| new[**i as usize] != u32::MAX)
                .map(|&i| new[i as usize])
                .collect(),
            always: class.always || class.triggers.iter().any(|&i| fixed_in(i)),
            base: class.base + taken(&class.per_index),
            per_index: kept(&class.per_index),
        })
        .collect();
    small.limits = program
        .limits
        .iter()
        .map(|limit| Limit {
            terms: kept(&limit.terms),
            classes: limit.classes.clone(),
            at_most: limit.at_most - taken(&limit.terms),
        })
        .collect();
    Reduced {
        program: small,
        old,
        decided,
    }
}
