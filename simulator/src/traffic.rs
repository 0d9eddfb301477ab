//! Load: many clients at once, closed or open loop, with think times, daily rhythm and spikes.
use crate::application::{Application, Draw};
use crate::latency::{Latencies, Summary};
use crate::random::{Purpose, Stream, Weighted, stream};
use crate::server::Server;
use crate::session::{ProtocolChoice, Session};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When clients send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each client waits for the answer, thinks (exponentially distributed with this mean), and goes on.
    Closed {
        /// Mean think time.
        think: Duration,
    },
    /// Operations arrive at this rate (Poisson) whether or not the server keeps up. Latency counts from the
    /// moment an operation was due, so a stalled server cannot hide its queue.
    Open {
        /// Operations per second over all clients, at average demand.
        rate: f64,
    },
}

/// How to load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections.
    pub clients: usize,
    /// How long.
    pub duration: Duration,
    /// When clients send.
    pub pace: Pace,
    /// Protocol.
    pub protocol: ProtocolChoice,
    /// Seed.
    pub seed: u64,
    /// Number of the run: the same number sends the same operations, another sends others.
    pub run: u64,
    /// Wall time of one simulated day, over which rhythms and spikes unfold.
    pub day: Duration,
}

/// One pattern under load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PatternLoad {
    /// Latencies as the clients saw them, microseconds.
    pub latency: Summary,
    /// Executions that failed.
    pub errors: u64,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Operations that ended in it.
    pub operations: u64,
    /// Sum of their latencies, microseconds.
    pub latency_sum: f64,
}

/// What a load did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Wall time, seconds.
    pub seconds: f64,
    /// Operations that succeeded.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
    /// How often each SQLSTATE (with its message) came.
    pub error_kinds: BTreeMap<String, u64>,
    /// Operations per second.
    pub throughput: f64,
    /// All latencies together.
    pub latency: Summary,
    /// By pattern.
    pub patterns: Vec<PatternLoad>,
    /// By second of the run.
    pub timeline: Vec<Second>,
    /// Hours of tenants that were spikes, for the record.
    pub spikes: u64,
}

struct Client {
    patterns: Vec<(Latencies, u64)>,
    all: Latencies,
    timeline: Vec<Second>,
    errors: BTreeMap<String, u64>,
    failed: Option<String>,
}

/// Draws operations: a tenant by its demand at this hour, then a pattern by the tenant's persona.
pub struct Chooser<'a> {
    application: &'a dyn Application,
    hour: Option<(u64, Weighted)>,
    patterns: Vec<Weighted>,
}

impl<'a> Chooser<'a> {
    /// For an application.
    pub fn new(application: &'a dyn Application) -> Self {
        let patterns = application.patterns();
        let by_persona = crate::persona::Persona::ALL
            .map(|persona| Weighted::new(patterns.iter().map(|p| p.weight * persona.uses(p.area))));
        Chooser {
            application,
            hour: None,
            patterns: by_persona.into(),
        }
    }

    /// Tenant position and pattern number, `hours` simulated hours after the start.
    pub fn draw(&mut self, hours: u64, rng: &mut Stream) -> (usize, usize) {
        let tenants = self.application.tenants();
        if self.hour.as_ref().is_none_or(|(h, _)| *h != hours) {
            let demand = (0..tenants.list().len())
                .map(|t| tenants.demand(t, hours / 24, hours as usize % 24));
            self.hour = Some((hours, Weighted::new(demand)));
        }
        let tenant = self.hour.as_ref().expect("just set").1.draw(rng);
        (
            tenant,
            self.patterns[tenants.list()[tenant].persona as usize].draw(rng),
        )
    }

    /// Demand at an hour relative to the average.
    pub fn demand(&mut self, hours: u64, rng: &mut Stream) -> f64 {
        let _ = self.draw(hours, rng);
        let average: f64 = self
            .application
            .tenants()
            .list()
            .iter()
            .map(|t| t.size * t.persona.activity())
            .sum();
        self.hour.as_ref().expect("just set").1.total() / average
    }
}

/// Runs a load. `watch` is called about once a second with the seconds since the start; returning `false` ends the run early.
pub fn run(
    server: &Server,
    database: &str,
    application: &dyn Application,
    plan: &Plan,
    bar: &ProgressBar,
    mut watch: impl FnMut(f64) -> bool,
) -> Result<Load> {
    if plan.clients == 0 {
        bail!("at least one client is needed");
    }
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let mut sessions = Vec::new();
    for _ in 0..plan.clients {
        let mut session = Session::open(server, database, application, plan.protocol)?;
        session.prepare_all()?;
        sessions.push(session);
    }
    let started = Instant::now();
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let handles: Vec<_> = sessions
            .into_iter()
            .enumerate()
            .map(|(number, session)| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || {
                    client(
                        server,
                        database,
                        application,
                        plan,
                        number,
                        session,
                        started,
                        stop,
                        done,
                    )
                })
            })
            .collect();
        let mut last = 0;
        while started.elapsed() < plan.duration && !stop.load(Ordering::Relaxed) {
            let left = plan.duration.saturating_sub(started.elapsed());
            std::thread::sleep(left.min(Duration::from_secs(1)));
            let count = done.load(Ordering::Relaxed);
            bar.set_position(started.elapsed().as_millis() as u64);
            bar.set_message(format!("{} operations/s", count - last));
            last = count;
            if !watch(started.elapsed().as_secs_f64()) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        handles
            .into_iter()
            .map(|h| h.join().expect("client threads do not panic"))
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let patterns = application.patterns().len();
    let mut load = Load {
        seconds,
        ..Load::default()
    };
    let mut merged: Vec<(Latencies, u64)> = (0..patterns).map(|_| Default::default()).collect();
    let mut all = Latencies::default();
    for c in &clients {
        all.add(&c.all);
        for (m, p) in merged.iter_mut().zip(&c.patterns) {
            m.0.add(&p.0);
            m.1 += p.1;
        }
        if load.timeline.len() < c.timeline.len() {
            load.timeline.resize(c.timeline.len(), Second::default());
        }
        for (t, s) in load.timeline.iter_mut().zip(&c.timeline) {
            t.operations += s.operations;
            t.latency_sum += s.latency_sum;
        }
        for (kind, n) in &c.errors {
            *load.error_kinds.entry(kind.clone()).or_default() += n;
        }
    }
    load.patterns = merged
        .iter()
        .map(|(l, errors)| PatternLoad {
            latency: l.summary(),
            errors: *errors,
        })
        .collect();
    load.latency = all.summary();
    load.operations = load.latency.count;
    load.errors = load.patterns.iter().map(|p| p.errors).sum();
    load.throughput = load.operations as f64 / seconds;
    let hours = (seconds / plan.day.as_secs_f64() * 24.0).ceil() as u64;
    let tenants = application.tenants();
    load.spikes = (0..hours)
        .map(|h| {
            (0..tenants.list().len())
                .filter(|t| tenants.surges(*t, h / 24, h as usize % 24))
                .count() as u64
        })
        .sum();
    if load.operations == 0
        && let Some(why) = clients.into_iter().find_map(|c| c.failed)
    {
        bail!("no operation succeeded: {why}");
    }
    Ok(load)
}

#[allow(clippy::too_many_arguments)]
fn client(
    server: &Server,
    database: &str,
    application: &dyn Application,
    plan: &Plan,
    number: usize,
    mut session: Session,
    started: Instant,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Client {
    let mut rng = stream(plan.seed, Purpose::Traffic, plan.run << 16 | number as u64);
    let mut chooser = Chooser::new(application);
    let mut result = Client {
        patterns: (0..application.patterns().len())
            .map(|_| Default::default())
            .collect(),
        all: Latencies::default(),
        timeline: Vec::new(),
        errors: BTreeMap::new(),
        failed: None,
    };
    let mut due = started;
    let mut serial = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let hours = (started.elapsed().as_secs_f64() / plan.day.as_secs_f64() * 24.0) as u64;
        let begin = match plan.pace {
            Pace::Closed { think } => {
                if !think.is_zero() {
                    wait(
                        Instant::now() + exponential(think.as_secs_f64(), &mut rng),
                        stop,
                    );
                }
                Instant::now()
            }
            Pace::Open { rate } => {
                let rate = rate * chooser.demand(hours, &mut rng) / plan.clients as f64;
                due += exponential(1.0 / rate.max(1e-9), &mut rng);
                wait(due, stop);
                due
            }
        };
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (tenant, pattern) = chooser.draw(hours, &mut rng);
        serial += 1;
        let unique = (plan.run << 48) | (number as u64) << 36 | serial;
        let mut draw = Draw {
            rng: &mut rng,
            tenant,
            elapsed: started.elapsed().as_secs() as i64,
            serial: unique,
        };
        let values = application.values(pattern, &mut draw);
        // In a closed loop the making of parameters is the client's time, not the server's.
        let begin = if matches!(plan.pace, Pace::Closed { .. }) {
            Instant::now()
        } else {
            begin
        };
        match session.run(pattern, &values) {
            Ok(_) => {
                let latency = begin.elapsed();
                result.all.record(latency);
                result.patterns[pattern].0.record(latency);
                done.fetch_add(1, Ordering::Relaxed);
                let second = started.elapsed().as_secs() as usize;
                if result.timeline.len() <= second {
                    result.timeline.resize(second + 1, Second::default());
                }
                result.timeline[second].operations += 1;
                result.timeline[second].latency_sum += latency.as_secs_f64() * 1e6;
            }
            Err(e) => {
                result.patterns[pattern].1 += 1;
                let kind = match e.as_db_error() {
                    Some(d) => format!("{} {}", d.code().code(), d.message()),
                    None => crate::server::source(&e),
                };
                result.failed.get_or_insert_with(|| kind.clone());
                *result.errors.entry(kind).or_default() += 1;
                if session.is_closed() {
                    // A lost connection is opened again, as a pool would, until the run ends.
                    match Session::open(server, database, application, plan.protocol) {
                        Ok(s) => session = s,
                        Err(_) => wait(Instant::now() + Duration::from_millis(500), stop),
                    }
                }
            }
        }
    }
    result
}

fn exponential(mean: f64, rng: &mut Stream) -> Duration {
    Duration::from_secs_f64((-mean * (1.0 - rng.random::<f64>()).ln()).clamp(0.0, 3600.0))
}

/// Sleeps until a moment in slices, so that a stop is noticed.
fn wait(until: Instant, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

/// A bar over the time of a run.
pub fn time_bar(label: &str, duration: Duration, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(duration.as_millis() as u64);
    bar.set_style(
        ProgressStyle::with_template("  {prefix:9} {bar:32} {percent:>3}%  {elapsed:>4}  {msg}")
            .expect("valid template"),
    );
    bar.set_prefix(label.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::{Kind, frequencies};
    use crate::scenario::Scenario;

    #[test]
    fn operations_follow_their_frequencies() {
        for kind in [Kind::Crm, Kind::Shop, Kind::Star] {
            let application = kind.build(Scenario::Tiny, 7);
            let expected = frequencies(&*application);
            let mut chooser = Chooser::new(&*application);
            let mut rng = stream(7, Purpose::Traffic, 9);
            let n = 40_000u64;
            let mut seen = vec![0f64; expected.len()];
            for i in 0..n {
                // Over ten days spikes and rhythms even out, except for the weight they give some tenants.
                seen[chooser.draw(i * 240 / n, &mut rng).1] += 1.0;
            }
            for ((e, s), p) in expected.iter().zip(&seen).zip(application.patterns()) {
                if *e > 0.01 {
                    assert!(
                        (s / n as f64 / e - 1.0).abs() < 0.25,
                        "{}: {} against {e}",
                        p.name,
                        s / n as f64
                    );
                }
            }
        }
    }

    #[test]
    fn the_same_run_sends_the_same_operations() {
        let application = Kind::Crm.build(Scenario::Tiny, 7);
        let send = |run: u64| {
            let mut rng = stream(7, Purpose::Traffic, run << 16);
            let mut chooser = Chooser::new(&*application);
            (0..300u64)
                .map(|serial| {
                    let (tenant, pattern) = chooser.draw(serial / 10, &mut rng);
                    (
                        pattern,
                        application.values(
                            pattern,
                            &mut Draw {
                                rng: &mut rng,
                                tenant,
                                elapsed: 0,
                                serial,
                            },
                        ),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(send(1), send(1));
        assert_ne!(send(1), send(2));
    }
}
