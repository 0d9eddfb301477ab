//! Tenants that differ: how big they are, what they use, when they work and how they surge.
use crate::pattern::Area;
use crate::random::{Purpose, Weighted, power_law, power_law_exponent, stream};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// A kind of customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persona {
    /// Small, busy for its size, lives in lists and type-ahead search, surges often.
    Startup,
    /// Imports much, writes much.
    Growing,
    /// Works office hours, uses everything a little.
    Established,
    /// Large; integrations, synchronisation, its own account codes; works around the clock.
    Enterprise,
    /// Small and special: membership numbers, fragments of text, evenings.
    Niche,
}

impl Persona {
    /// All of them.
    pub const ALL: [Persona; 5] = [
        Persona::Startup,
        Persona::Growing,
        Persona::Established,
        Persona::Enterprise,
        Persona::Niche,
    ];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Persona::Startup => "startup",
            Persona::Growing => "growing",
            Persona::Established => "established",
            Persona::Enterprise => "enterprise",
            Persona::Niche => "niche",
        }
    }

    /// How much more (> 1) or less (< 1) than the average this persona uses a part of the application;
    /// 0 where it has no such field at all.
    pub fn uses(self, area: Area) -> f64 {
        use Area::*;
        use Persona::*;
        match (self, area) {
            (Enterprise, CustomCode) => 1.6,
            (Established, CustomCode) => 0.4,
            (_, CustomCode) => 0.0,
            (Niche, CustomMember) => 4.0,
            (_, CustomMember) => 0.0,
            (Growing | Established, CustomTags) => 2.0,
            (_, CustomTags) => 0.3,
            (Startup, NameSearch | Listing) => 1.6,
            (Startup, Sync | Reporting) => 0.4,
            (Growing, Edit | Email) => 1.5,
            (Enterprise, Integration | Sync) => 1.4,
            (Enterprise, NameSearch) => 0.8,
            (Niche, Infix | Phone) => 2.5,
            (Niche, Integration) => 0.3,
            _ => 1.0,
        }
    }

    /// Operations for one unit of size: small customers are busier for their size.
    pub fn activity(self) -> f64 {
        match self {
            Persona::Startup => 2.0,
            Persona::Growing => 1.5,
            Persona::Established => 1.0,
            Persona::Enterprise => 0.8,
            Persona::Niche => 1.5,
        }
    }

    /// Relative activity in each hour of the day, average 1.
    pub fn rhythm(self, hour: usize) -> f64 {
        // Shapes: office hours with a lunch dip, long days, around the clock, evenings.
        const OFFICE: [f64; 24] = [
            0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.4, 1.0, 2.0, 2.6, 2.6, 2.3, 1.5, 2.1, 2.4, 2.3, 1.9,
            1.1, 0.5, 0.3, 0.2, 0.1, 0.1, 0.1,
        ];
        const LONG: [f64; 24] = [
            0.5, 0.3, 0.2, 0.1, 0.1, 0.1, 0.3, 0.6, 1.1, 1.6, 1.8, 1.7, 1.3, 1.6, 1.8, 1.8, 1.6,
            1.4, 1.2, 1.2, 1.3, 1.2, 0.9, 0.7,
        ];
        const CLOCK: [f64; 24] = [
            0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9, 1.0, 1.2, 1.3, 1.3, 1.2, 1.1, 1.2, 1.2, 1.2, 1.1,
            1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9,
        ];
        const EVENING: [f64; 24] = [
            0.6, 0.3, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 0.8, 0.7, 0.8, 1.1,
            1.8, 2.6, 3.2, 3.2, 2.4, 1.6, 0.7,
        ];
        let shape = match self {
            Persona::Startup | Persona::Growing => &LONG,
            Persona::Established => &OFFICE,
            Persona::Enterprise => &CLOCK,
            Persona::Niche => &EVENING,
        };
        shape[hour % 24] * 24.0 / shape.iter().sum::<f64>()
    }

    /// Probability that a spike starts in an hour of the simulated day, and how many times busier it makes
    /// the tenant for that hour.
    pub fn spike(self) -> (f64, f64) {
        match self {
            Persona::Startup => (0.06, 6.0),
            Persona::Growing => (0.04, 4.0),
            Persona::Established => (0.01, 3.0),
            Persona::Enterprise => (0.02, 2.0),
            Persona::Niche => (0.03, 5.0),
        }
    }
}

/// One customer.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Key in the database, from 1.
    pub id: u32,
    /// Share of the data, 0–1; the sum over tenants is 1.
    pub size: f64,
    /// Kind of customer.
    pub persona: Persona,
}

/// All customers of an application.
#[derive(Clone, Debug)]
pub struct Tenants {
    list: Vec<Tenant>,
    by_size: Weighted,
    seed: u64,
}

impl Tenants {
    /// `count` tenants of which the largest fifth holds four fifths of the data. Ids are shuffled, so that an
    /// id says nothing about a size.
    ///
    /// # Panics
    /// When `count` is zero.
    pub fn new(count: usize, seed: u64) -> Self {
        let weights = power_law(count, power_law_exponent(count, 0.2, 0.8));
        let mut rng = stream(seed, Purpose::Tenants, 0);
        let mut ids: Vec<u32> = (1..=count as u32).collect();
        ids.shuffle(&mut rng);
        let mut list: Vec<Tenant> = ids
            .into_iter()
            .enumerate()
            .map(|(rank, id)| {
                let place = rank as f64 / count as f64;
                let dice: f64 = rng.random();
                let persona = if place < 0.05 {
                    Persona::Enterprise
                } else if place < 0.2 {
                    if dice < 0.6 {
                        Persona::Established
                    } else {
                        Persona::Growing
                    }
                } else if dice < 0.25 {
                    Persona::Niche
                } else if dice < 0.5 {
                    Persona::Growing
                } else {
                    Persona::Startup
                };
                Tenant {
                    id,
                    size: weights[rank],
                    persona,
                }
            })
            .collect();
        list.sort_by_key(|t| t.id);
        let by_size = Weighted::new(list.iter().map(|t| t.size));
        Tenants {
            list,
            by_size,
            seed,
        }
    }

    /// The tenants, by id: position `i` has id `i + 1`.
    pub fn list(&self) -> &[Tenant] {
        &self.list
    }

    /// The position of a tenant drawn by size.
    pub fn draw_by_size(&self, rng: &mut crate::random::Stream) -> usize {
        self.by_size.draw(rng)
    }

    /// How busy a tenant is in an hour of a simulated day, spikes included (mean about its size × activity).
    pub fn demand(&self, tenant: usize, day: u64, hour: usize) -> f64 {
        let t = &self.list[tenant];
        let (probability, factor) = t.persona.spike();
        let surge = if stream(
            self.seed,
            Purpose::Spikes,
            (day * 24 + hour as u64) << 32 | tenant as u64,
        )
        .random::<f64>()
            < probability
        {
            factor
        } else {
            1.0
        };
        t.size * t.persona.activity() * t.persona.rhythm(hour) * surge
    }

    /// Whether a tenant surges in an hour.
    pub fn surges(&self, tenant: usize, day: u64, hour: usize) -> bool {
        let t = &self.list[tenant];
        stream(
            self.seed,
            Purpose::Spikes,
            (day * 24 + hour as u64) << 32 | tenant as u64,
        )
        .random::<f64>()
            < t.persona.spike().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rhythms_average_one() {
        for p in Persona::ALL {
            let mean = (0..24).map(|h| p.rhythm(h)).sum::<f64>() / 24.0;
            assert!((mean - 1.0).abs() < 1e-9, "{p:?}");
        }
    }

    proptest! {
        #[test]
        fn tenants_are_a_function_of_the_seed(count in 5usize..400, seed: u64) {
            let (a, b) = (Tenants::new(count, seed), Tenants::new(count, seed));
            for (x, y) in a.list().iter().zip(b.list()) {
                prop_assert_eq!(x.id, y.id);
                prop_assert_eq!(x.persona, y.persona);
                prop_assert_eq!(x.size, y.size);
            }
            prop_assert!(a.list().iter().enumerate().all(|(i, t)| t.id as usize == i + 1));
            prop_assert!((a.list().iter().map(|t| t.size).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn every_persona_exists_among_sixty() {
        let tenants = Tenants::new(60, 42);
        for p in Persona::ALL {
            assert!(tenants.list().iter().any(|t| t.persona == p), "{p:?}");
        }
    }
}
