//! Shared by the tests: the parser for published instances in AMPL data format, brute
//! force, and random programs.
#![allow(dead_code, reason = "each test file uses a part of it")]

use indexpilot_algorithms::program::{
    Atom, Fix, IndexTerm, Limit, Program, QueryTerm, UpdateClass,
};
use std::collections::HashMap;

/// A published instance: sizes, and for each query its usable combinations.
pub struct Published {
    pub sizes: Vec<f64>,
    pub queries: Vec<Vec<Atom>>,
}

/// Parses the AMPL data format of the published instances: `set QUERIES`, `param size`,
/// `set indexes_per_combination[c]`, `param costs`. Queries outside the set are ignored.
pub fn parse_ampl(text: &str) -> Result<Published, String> {
    #[derive(PartialEq)]
    enum Section {
        None,
        Size,
        Costs,
    }
    let mut section = Section::None;
    let mut wanted: Vec<u32> = Vec::new();
    let mut sizes: Vec<f64> = Vec::new();
    let mut combinations: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut costs: HashMap<u32, Vec<(u32, f64)>> = HashMap::new();
    for (number, raw) in text.lines().enumerate() {
        let line = raw.split('#').next().unwrap_or("").trim();
        let bad = |what: &str| format!("line {}: {what}: {raw}", number + 1);
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix("set QUERIES") {
            let list = rest.trim().strip_prefix(":=").ok_or_else(|| bad("no :="))?;
            for word in list.trim_end_matches(';').split_whitespace() {
                wanted.push(word.parse().map_err(|_| bad("query number"))?);
            }
        } else if let Some(rest) = line.strip_prefix("set indexes_per_combination[") {
            let (c, list) = rest.split_once("]").ok_or_else(|| bad("no ]"))?;
            let list = list.trim().strip_prefix(":=").ok_or_else(|| bad("no :="))?;
            let mut members = Vec::new();
            for word in list.trim_end_matches(';').split_whitespace() {
                // Numbered from 1 in the file.
                let i: u32 = word.parse().map_err(|_| bad("index number"))?;
                members.push(i.checked_sub(1).ok_or_else(|| bad("index 0"))?);
            }
            combinations.insert(c.parse().map_err(|_| bad("combination number"))?, members);
        } else if line.starts_with("param size") {
            section = Section::Size;
        } else if line.starts_with("param costs") {
            section = Section::Costs;
        } else if line == ";" {
            section = Section::None;
        } else if section == Section::Size {
            let mut words = line.split_whitespace();
            let i: usize = words
                .next()
                .and_then(|w| w.parse().ok())
                .ok_or_else(|| bad("index"))?;
            let size: f64 = words
                .next()
                .and_then(|w| w.parse().ok())
                .ok_or_else(|| bad("size"))?;
            if i != sizes.len() + 1 {
                return Err(bad("sizes are not in order"));
            }
            sizes.push(size);
        } else if section == Section::Costs {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [q, c, cost] = words[..] else {
                return Err(bad("cost line"));
            };
            costs
                .entry(q.parse().map_err(|_| bad("query"))?)
                .or_default()
                .push((
                    c.parse().map_err(|_| bad("combination"))?,
                    cost.parse().map_err(|_| bad("cost"))?,
                ));
        }
    }
    let mut queries = Vec::new();
    for q in wanted {
        let list = costs
            .remove(&q)
            .ok_or_else(|| format!("query {q} has no costs"))?;
        let mut atoms = Vec::new();
        for (c, cost) in list {
            let members = combinations
                .get(&c)
                .ok_or_else(|| format!("combination {c} is unknown"))?;
            atoms.push(Atom::new(members.clone(), cost));
        }
        queries.push(atoms);
    }
    Ok(Published { sizes, queries })
}

impl Published {
    /// The program under a storage budget in bytes.
    pub fn program(&self, budget: f64) -> Program {
        Program {
            indexes: self
                .sizes
                .iter()
                .map(|_| IndexTerm {
                    linear: 0.0,
                    fix: Fix::Free,
                })
                .collect(),
            queries: self
                .queries
                .iter()
                .map(|atoms| QueryTerm {
                    weight: 1.0,
                    ceiling: f64::INFINITY,
                    atoms: atoms.clone(),
                })
                .collect(),
            limits: vec![Limit {
                terms: self
                    .sizes
                    .iter()
                    .enumerate()
                    .map(|(i, s)| (i as u32, *s))
                    .collect(),
                classes: Vec::new(),
                at_most: budget,
            }],
            ..Program::default()
        }
    }
}

/// The text of the published TPC-H instance, or `None` in a checkout without it: said, and
/// counted as skipped where `scripts/test` counts (it names a file in `INDEXPILOT_SKIPPED`).
pub fn published_tpch() -> Option<String> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/known-answers/cophy_tpch_sf10_width3.txt"
    );
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let said = format!("the published instance is not beside this checkout ({error})\n");
            print!("NOT RUN: {said}");
            if let Some(counted) = std::env::var_os("INDEXPILOT_SKIPPED") {
                use std::io::Write;
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(counted)
                    .and_then(|mut file| file.write_all(said.as_bytes()))
                    .expect("the file of skipped tests");
            }
            None
        }
    }
}

/// Best feasible objective over all choices, and one that reaches it; up to 20 indexes.
pub fn brute_force(program: &Program) -> Option<(f64, Vec<bool>)> {
    let n = program.indexes.len();
    assert!(n <= 20);
    let mut best: Option<(f64, Vec<bool>)> = None;
    for mask in 0u32..1 << n {
        let chosen: Vec<bool> = (0..n).map(|i| mask & (1 << i) != 0).collect();
        let score = program.score(&chosen);
        if score.feasible() && best.as_ref().is_none_or(|(b, _)| score.objective < *b) {
            best = Some((score.objective, chosen));
        }
    }
    best
}

/// A splitmix64 generator: a seed is enough to see the same program again.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// A random program with every kind of term: pairs and triples, planner order against cost,
/// ceilings, fixed indexes, drop prices, update classes, storage, counts, write caps.
pub fn random_program(seed: u64, most_indexes: u64) -> Program {
    let mut d = Dice(seed);
    let n = 1 + d.below(most_indexes) as usize;
    let tables = 1 + d.below(3) as usize;
    let table: Vec<usize> = (0..n).map(|_| d.below(tables as u64) as usize).collect();
    let size: Vec<f64> = (0..n).map(|_| (1 + d.below(100)) as f64).collect();
    let indexes: Vec<IndexTerm> = (0..n)
        .map(|_| IndexTerm {
            linear: if d.chance(0.1) {
                -20.0 * d.unit()
            } else {
                30.0 * d.unit()
            },
            fix: match d.below(20) {
                0 => Fix::In,
                1 => Fix::Out,
                _ => Fix::Free,
            },
        })
        .collect();
    let queries = (0..1 + d.below(12))
        .map(|_| {
            let base = 50.0 + 500.0 * d.unit();
            let mut atoms = vec![Atom::new(vec![], base)];
            for _ in 0..d.below(8) {
                let width = 1 + d.below(3) as usize;
                let members: Vec<u32> = (0..width).map(|_| d.below(n as u64) as u32).collect();
                let rank = base * (0.05 + 1.05 * d.unit());
                let mut atom = Atom::new(members, rank);
                // Sometimes the planner is wrong about what it prefers.
                if d.chance(0.2) {
                    atom.cost = rank * (0.5 + 3.0 * d.unit());
                }
                if !atoms.iter().any(|a| a.indexes == atom.indexes) {
                    atoms.push(atom);
                }
            }
            let ceiling = if d.chance(0.12) {
                base * (0.8 + 0.6 * d.unit())
            } else {
                f64::INFINITY
            };
            QueryTerm {
                weight: 0.1 + 3.0 * d.unit(),
                ceiling,
                atoms,
            }
        })
        .collect();
    let classes: Vec<UpdateClass> = (0..d.below(4))
        .map(|_| {
            let t = d.below(tables as u64) as usize;
            let on: Vec<u32> = (0..n as u32).filter(|&i| table[i as usize] == t).collect();
            UpdateClass {
                triggers: on.iter().copied().filter(|_| d.chance(0.4)).collect(),
                always: d.chance(0.1),
                base: 200.0 * d.unit(),
                per_index: on.iter().map(|&i| (i, 60.0 * d.unit())).collect(),
            }
        })
        .collect();
    let total: f64 = size.iter().sum();
    let mut limits = vec![Limit {
        terms: size
            .iter()
            .enumerate()
            .map(|(i, s)| (i as u32, *s))
            .collect(),
        classes: Vec::new(),
        at_most: total * (0.1 + 0.9 * d.unit()),
    }];
    for t in 0..tables {
        if d.chance(0.5) {
            limits.push(Limit {
                terms: (0..n as u32)
                    .filter(|&i| table[i as usize] == t)
                    .map(|i| (i, 1.0))
                    .collect(),
                classes: Vec::new(),
                at_most: d.below(4) as f64,
            });
        }
    }
    if d.chance(0.5) {
        limits.push(Limit {
            terms: (0..n as u32).map(|i| (i, 20.0 * d.unit())).collect(),
            classes: (0..classes.len() as u32).map(|u| (u, 1.0)).collect(),
            at_most: 20.0 + 300.0 * d.unit(),
        });
    }
    let query_cap = if d.chance(0.1) {
        3000.0 * d.unit()
    } else {
        f64::INFINITY
    };
    Program {
        constant: 100.0 * d.unit(),
        query_cap,
        indexes,
        queries,
        classes,
        limits,
        ..Program::default()
    }
}
