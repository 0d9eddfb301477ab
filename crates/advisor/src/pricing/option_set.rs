//! A small set of options of one statement, as bits.

/// Up to [`OptionSet::CAPACITY`] positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OptionSet([u64; 4]);

impl OptionSet {
    /// More options than that for one statement are not considered (the generator makes
    /// at most a few dozen).
    pub const CAPACITY: usize = 256;

    /// The first `n` positions.
    pub fn first(n: usize) -> Self {
        (0..n.min(Self::CAPACITY)).collect()
    }

    /// Whether `k` is in.
    pub fn has(&self, k: usize) -> bool {
        self.0[k / 64] >> (k % 64) & 1 == 1
    }

    /// With `k`.
    pub fn with(mut self, k: usize) -> Self {
        self.0[k / 64] |= 1 << (k % 64);
        self
    }

    /// Without `k`.
    pub fn without(mut self, k: usize) -> Self {
        self.0[k / 64] &= !(1 << (k % 64));
        self
    }

    /// In both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|w| self.0[w] & other.0[w]))
    }

    /// In either.
    pub fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|w| self.0[w] | other.0[w]))
    }

    /// Every member is in `other`.
    pub fn within(&self, other: &Self) -> bool {
        (0..4).all(|w| self.0[w] & !other.0[w] == 0)
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, &word)| {
            let rest = std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0)
                .map(move |rest| w * 64 + rest.trailing_zeros() as usize)
        })
    }
}

impl FromIterator<usize> for OptionSet {
    fn from_iter<I: IntoIterator<Item = usize>>(items: I) -> Self {
        items
            .into_iter()
            .filter(|&k| k < Self::CAPACITY)
            .fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_set() {
        let a: OptionSet = [1, 64, 200].into_iter().collect();
        assert_eq!(
            (a.len(), a.has(64), a.without(64).has(64)),
            (3, true, false)
        );
        assert!(a.without(1).within(&a) && !a.within(&a.without(1)));
        assert_eq!(a.iter().collect::<Vec<_>>(), [1, 64, 200]);
        assert_eq!(
            OptionSet::first(3).intersection(&a),
            OptionSet::default().with(1)
        );
    }
}
