//! Choices by a price for room: the limit is taken away, what it limits is given a price, and
//! the price is moved until the choice fits.
//!
//! H. Everett: "Generalized Lagrange Multiplier Method for Solving Problems of Optimum
//! Allocation of Resources", Operations Research 11(3), 1963. Under a full limit single
//! exchanges get stuck: room for a large index comes from several others that give way to
//! smaller variants of themselves at once. At a price each gives way by itself as soon as the
//! price says so. What such a choice is worth is exact for the room that it takes; the rest of
//! the room is filled by whoever goes on from it.

use crate::effort::Effort;
use crate::local_search::improve;
use crate::program::Program;
use crate::selection_state::Layout;

/// Prices tried, at most.
const PRICES: usize = 14;

/// Choices that fit the first limit, the one that fills it most last; empty where it does not
/// bind or is more than a sum over indexes. `start` is a choice to begin with; at most
/// `most_steps` steps.
pub fn choices(
    program: &Program,
    start: &[bool],
    most_steps: u64,
    effort: &mut Effort<'_>,
) -> Vec<Vec<bool>> {
    let Some(limit) = program.limits.first().filter(|l| l.classes.is_empty()) else {
        return Vec::new();
    };
    let room = |chosen: &[bool]| -> f64 {
        limit
            .terms
            .iter()
            .filter(|(i, _)| chosen[*i as usize])
            .map(|(_, amount)| amount)
            .sum()
    };
    let everything: f64 = limit.terms.iter().map(|(_, amount)| amount).sum();
    if everything <= limit.at_most || limit.at_most <= 0.0 {
        return Vec::new();
    }
    let end = effort.spent().saturating_add(most_steps);
    let mut priced = program.clone();
    priced.limits[0].at_most = f64::MAX;
    let mut at = start.to_vec();
    let mut found: Vec<(f64, Vec<bool>)> = Vec::new();
    // The average of what all that is chosen saves for its room: above it nothing much stays.
    let nothing = vec![false; start.len()];
    let saved = program.score(&nothing).objective - program.score(start).objective;
    let mut price = (saved / limit.at_most).max(f64::MIN_POSITIVE) / 16.0;
    let (mut low, mut high) = (0.0, f64::INFINITY);
    for _ in 0..PRICES {
        if !effort.open() || effort.spent() >= end {
            break;
        }
        for (i, term) in priced.indexes.iter_mut().enumerate() {
            term.linear = program.indexes[i].linear;
        }
        for &(i, amount) in &limit.terms {
            priced.indexes[i as usize].linear += price * amount;
        }
        effort.spend(Effort::STRIDE);
        let layout = Layout::new(&priced);
        let most = (end.saturating_sub(effort.spent())).min(most_steps / 4);
        at = improve(&layout, &at, most, effort);
        let taken = room(&at);
        if taken <= limit.at_most {
            high = price;
            found.push((taken, at.clone()));
        } else {
            low = price;
        }
        price = if high.is_infinite() {
            price * 8.0
        } else if low == 0.0 {
            price / 8.0
        } else if high / low < 1.01 {
            break;
        } else {
            (low * high).sqrt()
        };
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().map(|(_, chosen)| chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Pulse;
    use crate::program::{Atom, Fix, IndexTerm, Limit, QueryTerm};

    /// Eight queries, each served by a small index and a little better by one of twice its
    /// size, and one query that only a large index serves. Large ones fill the limit; the
    /// optimum has the small ones and the large index.
    fn trap() -> Program {
        let mut program = Program::default();
        let mut terms = Vec::new();
        for q in 0..8u32 {
            let (small, wide) = (2 * q, 2 * q + 1);
            terms.extend([(small, 10.0), (wide, 20.0)]);
            program.queries.push(QueryTerm {
                weight: 1.0,
                ceiling: f64::INFINITY,
                atoms: vec![
                    Atom::new(vec![wide], 10.0),
                    Atom::new(vec![small], 15.0),
                    Atom::new(vec![], 1_000.0),
                ],
            });
        }
        terms.push((16, 75.0));
        program.queries.push(QueryTerm {
            weight: 1.0,
            ceiling: f64::INFINITY,
            atoms: vec![Atom::new(vec![16], 10.0), Atom::new(vec![], 700.0)],
        });
        program.indexes = (0..17)
            .map(|_| IndexTerm {
                linear: 0.0,
                fix: Fix::Free,
            })
            .collect();
        program.limits.push(Limit {
            terms,
            classes: Vec::new(),
            at_most: 160.0,
        });
        program.check().expect("meant");
        program
    }

    #[test]
    fn makes_room_by_many_small_steps_at_once() {
        let program = trap();
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(100_000_000, &mut go_on);
        let wide: Vec<bool> = (0..17).map(|i| i < 16 && i % 2 == 1).collect();
        // Exchanges of one for three find no way out.
        let stuck = improve(&Layout::new(&program), &wide, u64::MAX, &mut effort);
        assert!(!stuck[16]);
        let found = choices(&program, &wide, 50_000_000, &mut effort);
        let best = found
            .iter()
            .map(|chosen| program.score(chosen))
            .filter(|score| score.feasible())
            .map(|score| score.objective)
            .fold(f64::INFINITY, f64::min);
        assert!((best - (8.0 * 15.0 + 10.0)).abs() < 1e-9, "{best}");
    }

    #[test]
    fn says_nothing_where_the_limit_does_not_bind() {
        let mut program = trap();
        program.limits[0].at_most = 1_000.0;
        let mut go_on = || Pulse::Continue;
        let mut effort = Effort::new(1_000_000, &mut go_on);
        assert!(choices(&program, &[false; 17], 1_000_000, &mut effort).is_empty());
        program.limits.clear();
        assert!(choices(&program, &[false; 17], 1_000_000, &mut effort).is_empty());
    }
}
