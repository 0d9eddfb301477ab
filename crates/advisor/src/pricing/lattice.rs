//! What is known of one statement's prices, and what follows from it without asking.

use super::option_set::OptionSet;

/// One answer of the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// The options that were there.
    pub set: OptionSet,
    /// Those that the plan uses.
    pub used: OptionSet,
    /// The planner's cost.
    pub cost: f64,
    /// What we believe it costs.
    pub believed: f64,
}

/// The planner's answers for one statement.
#[derive(Clone, Debug, Default)]
pub struct Lattice {
    known: Vec<Known>,
    /// Bounds may not stand in for a call (LIMIT, semi-joins, subplans, parallel plans:
    /// where small sets and large ones differ in more than access paths).
    pub exact_only: bool,
}

impl Lattice {
    /// Remembers an answer.
    pub fn learn(&mut self, known: Known) {
        match self.known.iter_mut().find(|k| k.set == known.set) {
            Some(old) => *old = known,
            None => self.known.push(known),
        }
    }

    /// All answers, in the order they came.
    pub fn answers(&self) -> &[Known] {
        &self.known
    }

    /// The answer for exactly this set.
    pub fn asked(&self, set: &OptionSet) -> Option<&Known> {
        self.known.iter().find(|k| k.set == *set)
    }

    /// The price of `set`, if it follows: asked before, or the best plan of a larger set
    /// uses only what is here (then no smaller set between has a better one).
    pub fn price(&self, set: &OptionSet) -> Option<Known> {
        if let Some(k) = self.asked(set) {
            return Some(*k);
        }
        self.known
            .iter()
            .filter(|k| set.within(&k.set) && k.used.within(set))
            .min_by(|a, b| a.cost.total_cmp(&b.cost))
            .map(|k| Known { set: *set, ..*k })
    }

    /// Bounds on the planner's cost of `set`: no less than any larger set's, no more than
    /// any plan whose indexes are all here. (0 and infinity where nothing is known.)
    pub fn bounds(&self, set: &OptionSet) -> (f64, f64) {
        let lower = self
            .known
            .iter()
            .filter(|k| set.within(&k.set))
            .map(|k| k.cost)
            .fold(0.0, f64::max);
        let upper = self
            .known
            .iter()
            .filter(|k| k.used.within(set))
            .map(|k| k.cost)
            .fold(f64::INFINITY, f64::min);
        (lower, upper.max(lower))
    }

    /// The price where it follows or where the bounds are within `tolerance` of each other.
    pub fn derive(&self, set: &OptionSet, tolerance: f64) -> Option<Known> {
        self.price(set).or_else(|| {
            if self.exact_only {
                return None;
            }
            let (lower, upper) = self.bounds(set);
            if !upper.is_finite() || upper - lower > tolerance * upper {
                return None;
            }
            self.known
                .iter()
                .filter(|k| k.used.within(set))
                .min_by(|a, b| a.cost.total_cmp(&b.cost))
                .map(|k| Known { set: *set, ..*k })
        })
    }

    /// The distinct plans: for each set of used options the answer for exactly that set,
    /// else the cheapest.
    pub fn plans(&self) -> Vec<Known> {
        let mut plans: Vec<Known> = Vec::new();
        for k in &self.known {
            match plans.iter_mut().find(|p| p.used == k.used) {
                Some(p) if p.set != p.used && (k.set == k.used || k.cost < p.cost) => *p = *k,
                Some(_) => {}
                None => plans.push(*k),
            }
        }
        plans.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.used.cmp(&b.used)));
        plans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[usize]) -> OptionSet {
        items.iter().copied().collect()
    }

    fn known(with: &[usize], used: &[usize], cost: f64) -> Known {
        Known {
            set: set(with),
            used: set(used),
            cost,
            believed: cost,
        }
    }

    #[test]
    fn one_call_prices_every_set_between() {
        let mut lattice = Lattice::default();
        lattice.learn(known(&[0, 1, 2, 3], &[1], 10.0));
        assert_eq!(lattice.price(&set(&[1])).unwrap().cost, 10.0);
        assert_eq!(lattice.price(&set(&[0, 1])).unwrap().cost, 10.0);
        assert_eq!(lattice.price(&set(&[0, 2])), None);
        assert_eq!(lattice.bounds(&set(&[0, 2])), (10.0, f64::INFINITY));
    }

    #[test]
    fn near_bounds_spare_a_call_unless_forbidden() {
        let mut lattice = Lattice::default();
        lattice.learn(known(&[], &[], 100.0));
        lattice.learn(known(&[0, 1, 2], &[0, 1], 99.0));
        assert_eq!(lattice.derive(&set(&[2]), 0.02).unwrap().cost, 100.0);
        assert_eq!(lattice.derive(&set(&[2]), 0.001), None);
        lattice.exact_only = true;
        assert_eq!(lattice.derive(&set(&[2]), 0.02), None);
        assert_eq!(lattice.derive(&set(&[0, 1]), 0.02).unwrap().cost, 99.0);
    }
}
