//! The fair comparison: one fixed list of operations, sent to several databases in turn, one at a time.
//!
//! A closed loop sends a fast server other operations than a slow one. Here every database gets the same
//! operations with the same parameters in the same order, in rounds that take turns, so that whatever else the
//! machine does hits all alike. Each pattern comes at least a few times, and the total is weighted by the
//! patterns' real frequencies.
use crate::application::{Application, Draw, frequencies, tenants_of_pattern};
use crate::latency::{Summary, mean};
use crate::random::{Purpose, Weighted, stream};
use crate::server::Server;
use crate::session::{ProtocolChoice, Session};
use crate::value::Value;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// One operation of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Pattern number.
    pub pattern: usize,
    /// Tenant position.
    pub tenant: usize,
    /// Parameters.
    pub values: Vec<Value>,
}

/// What one operation took on one database.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Pattern number.
    pub pattern: usize,
    /// Tenant position.
    pub tenant: usize,
    /// Latency, microseconds.
    pub latency: f64,
    /// CPU time of the backend, microseconds.
    pub cpu: Option<f64>,
    /// Rows returned or changed.
    pub rows: u64,
}

/// One pattern on one database.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PatternTimes {
    /// Client latency, microseconds.
    pub latency: Summary,
    /// Mean CPU time of the backend, microseconds; `None` when it cannot be read.
    pub cpu: Option<f64>,
}

/// The operations of one round: `length` of them by frequency, each pattern at least `least` times, shuffled.
pub fn operations(
    application: &dyn Application,
    seed: u64,
    round: u64,
    length: usize,
    least: usize,
) -> Vec<Operation> {
    let patterns = application.patterns();
    let mut rng = stream(seed, Purpose::Comparison, round);
    let mut list = Vec::new();
    for (number, frequency) in frequencies(application).into_iter().enumerate() {
        if frequency == 0.0 {
            // No tenant of this size has that field.
            continue;
        }
        let tenants = Weighted::new(tenants_of_pattern(application, &patterns[number]));
        let count = ((frequency * length as f64).round() as usize).max(least);
        for _ in 0..count {
            let tenant = tenants.draw(&mut rng);
            let serial = 1 << 60 | round << 40 | list.len() as u64;
            let values = application.values(
                number,
                &mut Draw {
                    rng: &mut rng,
                    tenant,
                    elapsed: round as i64 * 60,
                    serial,
                },
            );
            list.push(Operation {
                pattern: number,
                tenant,
                values,
            });
        }
    }
    list.shuffle(&mut rng);
    list
}

/// One database of the comparison.
pub struct Contestant {
    /// Name of the variant.
    pub variant: String,
    session: Session,
    /// Samples in the order of the operations; position `i` is the same operation for every contestant.
    pub samples: Vec<Sample>,
}

impl Contestant {
    /// Connects and prepares everything.
    pub fn new(
        server: &Server,
        variant: &str,
        database: &str,
        application: &dyn Application,
    ) -> Result<Self> {
        let mut session = Session::open(server, database, application, ProtocolChoice::Mixed)?;
        session.prepare_all()?;
        Ok(Contestant {
            variant: variant.to_owned(),
            session,
            samples: Vec::new(),
        })
    }

    /// Sends a round; the samples are kept unless it is for warming up.
    pub fn round(
        &mut self,
        application: &dyn Application,
        operations: &[Operation],
        keep: bool,
        bar: &ProgressBar,
    ) -> Result<()> {
        let patterns = application.patterns();
        for o in operations {
            let took = self
                .session
                .run(o.pattern, &o.values)
                .map_err(|e| anyhow::anyhow!("{}", crate::server::source(&e)))
                .with_context(|| {
                    format!(
                        "pattern {} failed on {}",
                        patterns[o.pattern].name, self.variant
                    )
                })?;
            if keep {
                self.samples.push(Sample {
                    pattern: o.pattern,
                    tenant: o.tenant,
                    latency: took.latency.as_secs_f64() * 1e6,
                    cpu: took.cpu.map(|c| c as f64 / 1e3),
                    rows: took.rows,
                });
            }
            bar.inc(1);
        }
        Ok(())
    }

    /// Times by pattern.
    pub fn by_pattern(&self, patterns: usize) -> Vec<PatternTimes> {
        (0..patterns)
            .map(|p| {
                let of: Vec<&Sample> = self.samples.iter().filter(|s| s.pattern == p).collect();
                let latency: Vec<f64> = of.iter().map(|s| s.latency).collect();
                let cpu: Option<Vec<f64>> = of.iter().map(|s| s.cpu).collect();
                PatternTimes {
                    latency: Summary::of(&latency),
                    cpu: cpu.filter(|c| !c.is_empty()).map(|c| mean(&c)),
                }
            })
            .collect()
    }
}

/// Lets all contestants run all rounds in turn; the first to go changes each round. A warm-up round comes first.
/// `meter` reads a counter of the server (bytes of WAL), whose growth in each contestant's turns is returned.
pub fn compare(
    contestants: &mut [Contestant],
    application: &dyn Application,
    rounds: &[Vec<Operation>],
    warm_up: &[Operation],
    bar: &ProgressBar,
    mut meter: impl FnMut() -> Result<i64>,
) -> Result<Vec<i64>> {
    for c in contestants.iter_mut() {
        bar.set_message(format!("warming up {}", c.variant));
        c.round(application, warm_up, false, bar)?;
    }
    let n = contestants.len();
    let mut growth = vec![0; n];
    for (number, operations) in rounds.iter().enumerate() {
        for turn in 0..n {
            let who = (number + turn) % n;
            bar.set_message(format!(
                "round {} of {}, {}",
                number + 1,
                rounds.len(),
                contestants[who].variant
            ));
            let before = meter()?;
            contestants[who].round(application, operations, true, bar)?;
            growth[who] += meter()? - before;
        }
    }
    Ok(growth)
}

/// Mean time of one operation of the real mix, microseconds: the patterns' means weighted by frequency.
pub fn weighted_total(
    frequencies: &[f64],
    times: &[PatternTimes],
    time: impl Fn(&PatternTimes) -> Option<f64>,
) -> Option<f64> {
    frequencies
        .iter()
        .zip(times)
        .map(|(f, t)| time(t).map(|x| f * x))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Kind;
    use crate::scenario::Scenario;

    #[test]
    fn a_round_is_a_function_of_the_seed_and_covers_everything() {
        for kind in [Kind::Crm, Kind::Shop, Kind::Star] {
            let application = kind.build(Scenario::Tiny, 3);
            let a = operations(&*application, 3, 0, 300, 2);
            assert_eq!(a, operations(&*application, 3, 0, 300, 2));
            assert_ne!(a, operations(&*application, 3, 1, 300, 2));
            for (p, _) in frequencies(&*application)
                .iter()
                .enumerate()
                .filter(|(_, f)| **f > 0.0)
            {
                assert!(a.iter().filter(|o| o.pattern == p).count() >= 2);
            }
        }
    }

    #[test]
    fn the_total_is_weighted_by_frequency() {
        let t = |mean: f64| PatternTimes {
            latency: Summary {
                mean,
                ..Summary::default()
            },
            cpu: None,
        };
        assert_eq!(
            weighted_total(&[0.9, 0.1], &[t(10.0), t(100.0)], |t| Some(t.latency.mean)),
            Some(19.0)
        );
        assert_eq!(
            weighted_total(&[0.9, 0.1], &[t(10.0), t(100.0)], |t| t.cpu),
            None
        );
    }
}
