//! The demonstration: one seed, one clone for each variant, one comparison, one report.
use crate::application::{Application, frequencies};
use crate::comparison::{Contestant, compare, operations};
use crate::pilot::{self, Pilot};
use crate::results::{
    ADVISED, AUTO, BASELINE, EXPERT, FORMAT, Learning, OBSERVED, PatternInfo, Results, Samples,
    TenantInfo, Variant,
};
use crate::server::{Contents, Server};
use crate::session::ProtocolChoice;
use crate::traffic::{self, Pace, Plan, time_bar};
use crate::{catalog, export, seed};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Operations a day that `advise()` is told of: a hundred a second. Weights are calls a day, which the gain of
/// an index is set against what it costs to build.
const OPERATIONS_A_DAY: f64 = 100.0 * 86_400.0;

/// Examples of each statement that `advise()` is told of, at least: tenants differ in size by a factor of a hundred
/// and searches in what they find, so that a few would tell of the usual case only.
const EXAMPLES: usize = 10;
/// Lines of the log that it is told of: a statement that is run more often stands there more often.
const LOG: f64 = 1_500.0;
/// Examples of a statement at most.
const MOST_EXAMPLES: usize = 40;

/// What to demonstrate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database that is seeded; the clones are named after it.
    pub database: String,
    /// Which application, which size, which seed.
    pub contents: Contents,
    /// Variants beside the baseline.
    pub variants: Vec<String>,
    /// Clients under load.
    pub clients: usize,
    /// Rounds of the comparison.
    pub rounds: u64,
    /// Operations of a round.
    pub operations: usize,
    /// Length of each load; zero leaves them out.
    pub load: Duration,
    /// Longest time that IndexPilot gets to learn and act.
    pub learning: Duration,
    /// Think time of the clients meanwhile.
    pub think: Duration,
    /// Load the data again even when a complete database of the same contents is there.
    pub reload: bool,
    /// Drop all databases at the end.
    pub drop: bool,
    /// No progress bars.
    pub quiet: bool,
}

impl Options {
    /// Name of a variant's database.
    pub fn clone_name(&self, variant: &str) -> String {
        format!("{}_{variant}", self.database)
    }
}

fn say(options: &Options, text: &str) {
    if !options.quiet {
        eprintln!("{text}");
    }
}

/// Runs everything and returns what was measured.
pub fn run(server: &Server, options: &Options) -> Result<Results> {
    let started = Instant::now();
    for v in &options.variants {
        if ![OBSERVED, AUTO, ADVISED, EXPERT].contains(&v.as_str()) {
            bail!(
                "unknown variant \"{v}\"\nHINT: Variants are {OBSERVED}, {AUTO}, {ADVISED} and {EXPERT}; {BASELINE} is always there."
            );
        }
    }
    let mut admin = server.connect()?;
    let version = server.check_version(&mut admin)?;
    let mut notes = Vec::new();
    let wants_pilot = options
        .variants
        .iter()
        .any(|v| v == OBSERVED || v == AUTO || v == ADVISED);
    if wants_pilot {
        pilot::check(&mut admin)?;
    }
    let application = options
        .contents
        .application
        .build(options.contents.scenario, options.contents.seed);
    let application = &*application;

    say(
        options,
        &format!(
            "Seed {}, application {}, scenario {}.",
            options.contents.seed,
            application.name(),
            options.contents.scenario.name()
        ),
    );
    let (rows, bytes, collation) = prepare_original(server, options, application)?;
    server.lock(&mut admin)?;
    server.refuse_if_in_use(&mut admin, &options.database)?;
    let names: Vec<String> = std::iter::once(BASELINE.to_owned())
        .chain(options.variants.iter().cloned())
        .collect();
    for v in &names {
        let copy = options.clone_name(v);
        if server.contents(&mut admin, &copy)?.is_some() {
            server.refuse_if_in_use(&mut admin, &copy)?;
        }
        server.clone_database(&mut admin, &options.database, &copy)?;
    }
    say(options, &format!("Cloned for {}.", names.join(", ")));

    // What advise() may spend: as much as the expert did.
    let mut experts_size = None;
    if options.variants.iter().any(|v| v == EXPERT) {
        let mut client = server.connect_to(&options.clone_name(EXPERT))?;
        client
            .batch_execute(application.expert_sql())
            .context("creating the expert's indexes")?;
        client.batch_execute("VACUUM (ANALYZE)")?;
        let size: i64 = catalog::indexes(&mut client, application.name())?
            .iter()
            .map(|index| index.bytes)
            .sum();
        experts_size = Some(size);
        say(options, "Built the expert's indexes.");
    }
    let mut settings = vec![crate::results::Setting {
        name: "max_parallel_workers_per_gather".into(),
        value: "0".into(),
        default: "2".into(),
        why: "CPU time of parallel workers could not be told apart; the same for every variant"
            .into(),
    }];
    if options.variants.iter().any(|v| v == OBSERVED) {
        let mut pilot = Pilot::install(server, &options.clone_name(OBSERVED))?;
        pilot.observe_only()?;
    }
    let mut advice = None;
    if options.variants.iter().any(|v| v == ADVISED) {
        let mut pilot = Pilot::install(server, &options.clone_name(ADVISED))?;
        let statements: Vec<(String, f64)> =
            export::statements(application, options.contents.seed, |share| {
                ((share * LOG) as usize).clamp(EXAMPLES, MOST_EXAMPLES)
            })
            .into_iter()
            .flat_map(|s| {
                let weight = s.weight * OPERATIONS_A_DAY / s.examples.len() as f64;
                s.examples.into_iter().map(move |e| (e, weight))
            })
            .collect();
        let a = pilot.advise(&statements, experts_size)?;
        say(
            options,
            &format!(
                "Built the {} indexes that advise() proposed in {:.1} s.",
                a.indexes.len(),
                a.seconds
            ),
        );
        advice = Some(a);
    }
    let mut learning = None;
    let mut auto = None;
    if options.variants.iter().any(|v| v == AUTO) {
        let mut pilot = Pilot::install(server, &options.clone_name(AUTO))?;
        let (hastened, missing) = pilot.hasten()?;
        settings.extend(hastened);
        for m in &missing {
            say(options, &format!("note: {m}"));
        }
        notes.extend(missing);
        if !options.quiet {
            eprintln!("Settings for a short demonstration (production keeps the defaults):");
            for s in &settings {
                eprintln!(
                    "  {:42} {:>12}  instead of {:<12} {}",
                    s.name, s.value, s.default, s.why
                );
            }
        }
        learning = Some(learn(server, options, application, &mut pilot)?);
        auto = Some(pilot);
    }

    // The comparison: everything that works by itself rests, so that nothing is built under the stop-watch.
    if let Some(pilot) = &mut auto {
        pilot.rest(Duration::from_secs(60))?;
    }
    // As autovacuum would have done in the night that the demonstration leaves out: the pages
    // of the databases that had traffic would not be all-visible otherwise.
    for v in &names {
        server
            .connect_to(&options.clone_name(v))?
            .batch_execute("VACUUM (ANALYZE)")?;
    }
    let least = 4;
    let rounds: Vec<_> = (0..options.rounds)
        .map(|r| {
            operations(
                application,
                options.contents.seed,
                r,
                options.operations,
                least,
            )
        })
        .collect();
    let warm_up = operations(application, options.contents.seed, 1_000, 0, 1);
    let mut contestants = names
        .iter()
        .map(|v| Contestant::new(server, v, &options.clone_name(v), application))
        .collect::<Result<Vec<_>>>()?;
    let total = (rounds.iter().map(Vec::len).sum::<usize>() + warm_up.len()) * contestants.len();
    let bar = if options.quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(total as u64)
    };
    bar.set_style(
        ProgressStyle::with_template("  comparing {bar:32} {percent:>3}%  {elapsed:>4}  {msg}")
            .expect("valid template"),
    );
    // A checkpoint in the middle of somebody's turn would be his bad luck.
    let _ = admin.batch_execute("CHECKPOINT");
    let wal = compare(
        &mut contestants,
        application,
        &rounds,
        &warm_up,
        &bar,
        || catalog::wal_position(&mut admin),
    )?;
    bar.finish_and_clear();
    say(
        options,
        &format!(
            "Compared: {} operations on each of {} databases, in {} rounds that take turns.",
            contestants[0].samples.len(),
            names.len(),
            options.rounds
        ),
    );

    let mut loads: Vec<Option<traffic::Load>> = names.iter().map(|_| None).collect();
    if !options.load.is_zero() {
        for (i, v) in names.iter().enumerate() {
            let plan = Plan {
                clients: options.clients,
                duration: options.load,
                pace: Pace::Closed {
                    think: Duration::ZERO,
                },
                protocol: ProtocolChoice::Mixed,
                seed: options.contents.seed,
                run: 100,
                day: options.load,
            };
            let bar = time_bar(v, options.load, options.quiet);
            loads[i] = Some(traffic::run(
                server,
                &options.clone_name(v),
                application,
                &plan,
                &bar,
                |_| true,
            )?);
            bar.finish_and_clear();
        }
        say(
            options,
            &format!(
                "Loaded each with {} clients for {} s.",
                options.clients,
                options.load.as_secs()
            ),
        );
    }

    let pattern_count = application.patterns().len();
    let mut variants = Vec::new();
    for (i, v) in names.iter().enumerate() {
        let database = options.clone_name(v);
        let mut client = server.connect_to(&database)?;
        let indexes = catalog::indexes(&mut client, application.name())?;
        let c = &contestants[i];
        variants.push(Variant {
            name: v.clone(),
            database,
            index_bytes: indexes.iter().map(|x| x.bytes).sum(),
            indexes,
            times: c.by_pattern(pattern_count),
            samples: Samples {
                pattern: c.samples.iter().map(|s| s.pattern as u16).collect(),
                tenant: c.samples.iter().map(|s| s.tenant as u32).collect(),
                latency: c
                    .samples
                    .iter()
                    .map(|s| (s.latency * 10.0).round() / 10.0)
                    .collect(),
            },
            wal_per_thousand: Some(wal[i] as f64 * 1e3 / c.samples.len().max(1) as f64),
            load: loads[i].take(),
        });
    }
    drop(contestants);
    if let Some(pilot) = &mut auto {
        let l = learning.as_mut().expect("learned with the pilot");
        l.mutations = pilot.mutations()?;
        l.recommendations = pilot.recommendations()?;
        l.fields = pilot.fields()?;
    }
    drop(auto);
    if variants[0].times.iter().all(|t| t.cpu.is_none()) {
        notes.push(
            "the server's CPU time cannot be read from here; totals are client latencies"
                .to_owned(),
        );
    }
    let frequency = frequencies(application);
    let results = Results {
        format: FORMAT,
        simulator: env!("CARGO_PKG_VERSION").to_owned(),
        finished_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        took: started.elapsed().as_secs_f64(),
        application: options.contents.application,
        scenario: options.contents.scenario,
        seed: options.contents.seed,
        server: format!("{}.{}", version / 10_000, version % 10_000),
        collation,
        rows,
        bytes,
        clients: options.clients,
        settings,
        tenants: application
            .tenants()
            .list()
            .iter()
            .map(|t| TenantInfo {
                id: t.id,
                persona: t.persona,
                size: t.size,
            })
            .collect(),
        patterns: application
            .patterns()
            .iter()
            .zip(&frequency)
            .map(|(p, f)| PatternInfo {
                name: p.name.into(),
                area: p.area,
                effect: p.kind,
                protocol: p.protocol,
                frequency: *f,
                rare: p.is_rare(),
                sql: p.steps.iter().map(|s| s.sql.to_owned()).collect(),
            })
            .collect(),
        rare_columns: application
            .rare_columns()
            .iter()
            .map(|c| (*c).to_owned())
            .collect(),
        variants,
        learning,
        advice,
        notes,
    };
    if options.drop {
        for v in &names {
            server.drop(&mut admin, &options.clone_name(v))?;
        }
        server.drop(&mut admin, &options.database)?;
    }
    Ok(results)
}

/// Seeds the original, or takes the one that is there when it holds exactly what is asked for.
fn prepare_original(
    server: &Server,
    options: &Options,
    application: &dyn Application,
) -> Result<(u64, i64, String)> {
    let mut admin = server.connect()?;
    let mut wanted = options.contents.clone();
    wanted.complete = true;
    let there = server.contents(&mut admin, &options.database)?;
    if !options.reload && there.as_ref() == Some(&wanted) {
        let row = admin.query_one(
            "SELECT pg_catalog.pg_database_size(oid), CASE datlocprovider WHEN 'i' THEN 'ICU en-US' ELSE datcollate END FROM pg_catalog.pg_database WHERE datname = $1",
            &[&options.database],
        )?;
        say(
            options,
            &format!(
                "Using the rows already in database \"{}\".",
                options.database
            ),
        );
        return Ok((
            application.tables().iter().map(|t| t.rows).sum(),
            row.get(0),
            row.get::<_, String>(1),
        ));
    }
    drop(admin);
    let loaded = seed::seed(
        server,
        &options.database,
        application,
        &options.contents,
        true,
        2,
        options.quiet,
    )?;
    say(
        options,
        &format!(
            "Loaded {} rows, {} MB, in {:.0} s; collation {}.",
            loaded.rows,
            loaded.bytes / 1_000_000,
            loaded.took.as_secs_f64(),
            loaded.collation
        ),
    );
    Ok((loaded.rows, loaded.bytes, loaded.collation))
}

/// Lets IndexPilot watch and act under load until nothing changes any more, or the time is over.
fn learn(
    server: &Server,
    options: &Options,
    application: &dyn Application,
    pilot: &mut Pilot,
) -> Result<Learning> {
    // The timeline opens with how it was.
    let before = (options.learning / 10).min(Duration::from_secs(20));
    let quiet_after = Duration::from_secs(45);
    let plan = Plan {
        clients: options.clients,
        duration: options.learning,
        pace: Pace::Closed {
            think: options.think,
        },
        protocol: ProtocolChoice::Mixed,
        seed: options.contents.seed,
        run: 1,
        day: options.learning,
    };
    let mut learning = Learning::default();
    let mut failure = None;
    let bar = time_bar("learning", options.learning, options.quiet);
    let mut last_change = 0.0;
    let mut enabled = false;
    let load = traffic::run(
        server,
        &options.clone_name(AUTO),
        application,
        &plan,
        &bar,
        |at| {
            let step = (|| -> Result<bool> {
                if !enabled && at >= before.as_secs_f64() {
                    pilot.allow()?;
                    enabled = true;
                    learning.enabled_at = at;
                    last_change = at;
                    learning.events.push(crate::results::Event {
                        at,
                        what: "IndexPilot may act".into(),
                    });
                }
                for what in pilot.changes()? {
                    last_change = at;
                    bar.println(format!("  {at:5.0} s  {what}"));
                    learning.events.push(crate::results::Event { at, what });
                }
                let acted = learning.events.len() > 1;
                Ok(!(enabled
                    && acted
                    && at - last_change > quiet_after.as_secs_f64()
                    && pilot.is_settled()?))
            })();
            step.unwrap_or_else(|e| {
                failure = Some(e);
                false
            })
        },
    )?;
    bar.finish_and_clear();
    if let Some(e) = failure {
        return Err(e);
    }
    say(
        options,
        &format!(
            "Learned for {:.0} s: {} events.",
            load.seconds,
            learning.events.len()
        ),
    );
    learning.load = load;
    Ok(learning)
}
