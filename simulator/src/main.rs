//! The program: reads the command line, runs one command, prints errors as PostgreSQL's clients do.
use anyhow::{Context, Result, bail};
use clap::Parser;
use indexpilot_sim::cli::{Cli, Command, Mode, Target};
use indexpilot_sim::results::{ADVISED, AUTO, BASELINE, EXPERT, FORMAT, OBSERVED, Results};
use indexpilot_sim::server::{Contents, Server};
use indexpilot_sim::traffic::{self, Load, Pace, Plan, time_bar};
use indexpilot_sim::{demo, export, pilot, report, seed, verify};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match command(Cli::parse().command) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("indexpilot-sim: error: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Seed {
            target,
            data,
            replace,
            connections,
        } => {
            let server = Server::new(target.url.as_deref())?;
            let contents = Contents {
                application: data.application,
                scenario: data.scenario,
                seed: data.seed,
                complete: true,
            };
            // Before the rows are planned: a server that is not there should be said at once.
            drop(server.connect()?);
            let application = data.application.build(data.scenario, data.seed);
            let done = seed::seed(
                &server,
                &target.database,
                &*application,
                &contents,
                replace,
                connections.into(),
                target.quiet,
            )?;
            println!(
                "database {}, seed {}: {} rows, {}, collation {}, {:.1} s",
                target.database,
                data.seed,
                done.rows,
                report::bytes(done.bytes as f64),
                done.collation,
                done.took.as_secs_f64()
            );
        }
        Command::Run {
            target,
            mode,
            keep,
            clients,
            duration,
            rate,
            think_time,
            protocol,
            day,
            run,
            output,
        } => {
            let plan = |seed| Plan {
                clients: clients.into(),
                duration,
                pace: rate.map_or(Pace::Closed { think: think_time }, |rate| Pace::Open {
                    rate,
                }),
                protocol,
                seed,
                run,
                day: day.unwrap_or(duration),
            };
            let load = run_mode(&target, mode, keep, plan)?;
            if let Some(path) = output {
                write(&path, &serde_json::to_string_pretty(&load)?)?;
            }
        }
        Command::Demo {
            target,
            data,
            variants,
            clients,
            rounds,
            operations,
            load,
            learning,
            think_time,
            reload,
            drop,
            output,
        } => {
            let server = Server::new(target.url.as_deref())?;
            let options = demo::Options {
                database: target.database,
                contents: Contents {
                    application: data.application,
                    scenario: data.scenario,
                    seed: data.seed,
                    complete: true,
                },
                variants,
                clients: clients.into(),
                rounds: rounds.into(),
                operations: operations as usize,
                load,
                learning,
                think: think_time,
                reload,
                drop,
                quiet: target.quiet,
            };
            std::fs::create_dir_all(&output)
                .with_context(|| format!("creating {}", output.display()))?;
            let results = demo::run(&server, &options)?;
            let file = output.join("results.json");
            write(&file, &serde_json::to_string(&results)?)?;
            let page = show(&results, &output.join("report.html"))?;
            println!("results: {}\nreport:  {}", absolute(&file), absolute(&page));
        }
        Command::Report { results, output } => {
            let page = show(
                &read(&results)?,
                &output.unwrap_or_else(|| results.with_file_name("report.html")),
            )?;
            println!("report: {}", absolute(&page));
        }
        Command::Verify { results } => {
            let r = read(&results)?;
            let checks = verify::checks(&r);
            for c in &checks {
                println!(
                    "{}  {:56} {}",
                    c.passed.map_or("n/a ", |p| if p { "pass" } else { "FAIL" }),
                    c.name,
                    c.detail
                );
            }
            return Ok(if verify::passed(&checks) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Export {
            data,
            examples,
            output,
        } => {
            let application = data.application.build(data.scenario, data.seed);
            for file in export::export(&*application, data.seed, examples.into(), &output)? {
                println!("{file}");
            }
        }
        Command::Genome { description } => {
            let text = if description.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(&description)
            }
            .with_context(|| format!("reading {}", description.display()))?;
            let json = indexpilot_sim::genome::from_yaml(&text)
                .with_context(|| format!("converting {}", description.display()))?;
            println!("{}", serde_json::to_string_pretty(&json)?);
        }
        Command::Drop { target } => {
            let server = Server::new(target.url.as_deref())?;
            let mut admin = server.connect()?;
            for name in [BASELINE, OBSERVED, AUTO, ADVISED, EXPERT]
                .map(|v| format!("{}_{v}", target.database))
                .iter()
                .chain([&target.database])
            {
                server.drop(&mut admin, name)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_mode(
    target: &Target,
    mode: Mode,
    keep: bool,
    plan: impl FnOnce(u64) -> Plan,
) -> Result<Load> {
    let server = Server::new(target.url.as_deref())?;
    let mut admin = server.connect()?;
    server.check_version(&mut admin)?;
    let Some(contents) = server.contents(&mut admin, &target.database)? else {
        bail!(
            "database \"{}\" does not exist\nHINT: Run \"indexpilot-sim seed --database {}\" first.",
            target.database,
            target.database
        );
    };
    if !contents.complete {
        bail!(
            "database \"{}\" was not loaded completely\nHINT: Load it again with \"seed --replace\".",
            target.database
        );
    }
    if matches!(mode, Mode::Observed | Mode::Auto) {
        pilot::check(&mut admin)?;
    }
    let application = contents.application.build(contents.scenario, contents.seed);
    let name = match mode {
        Mode::Baseline => BASELINE,
        Mode::Observed => OBSERVED,
        Mode::Auto => AUTO,
        Mode::Expert => EXPERT,
    };
    let copy = format!("{}_{name}", target.database);
    server.lock(&mut admin)?;
    if !(keep && server.contents(&mut admin, &copy)?.is_some()) {
        server.refuse_if_in_use(&mut admin, &target.database)?;
        server.clone_database(&mut admin, &target.database, &copy)?;
        match mode {
            Mode::Baseline => {}
            Mode::Expert => {
                let mut client = server.connect_to(&copy)?;
                client.batch_execute(application.expert_sql())?;
                client.batch_execute("VACUUM (ANALYZE)")?;
            }
            Mode::Observed => pilot::Pilot::install(&server, &copy)?.observe_only()?,
            Mode::Auto => {
                let mut p = pilot::Pilot::install(&server, &copy)?;
                let (settings, notes) = p.hasten()?;
                for n in notes {
                    println!("note: {n}");
                }
                for s in settings {
                    println!(
                        "{} = {} instead of {}: {}",
                        s.name, s.value, s.default, s.why
                    );
                }
                p.allow()?;
            }
        }
    }
    let plan = plan(contents.seed);
    let bar = time_bar(name, plan.duration, target.quiet);
    let load = traffic::run(&server, &copy, &*application, &plan, &bar, |_| true)?;
    bar.finish_and_clear();
    println!(
        "{:34} {:>9} {:>10} {:>10} {:>10} {:>10} {:>7}",
        "pattern", "count", "mean", "p50", "p95", "p99", "errors"
    );
    let line = |name: &str, s: &indexpilot_sim::latency::Summary, errors: u64| {
        println!(
            "{name:34} {:>9} {:>10} {:>10} {:>10} {:>10} {errors:>7}",
            s.count,
            report::time(s.mean),
            report::time(s.p50),
            report::time(s.p95),
            report::time(s.p99)
        );
    };
    for (p, l) in application.patterns().iter().zip(&load.patterns) {
        line(p.name, &l.latency, l.errors);
    }
    line("all", &load.latency, load.errors);
    println!(
        "{} operations/s over {:.0} s, {} spikes of tenants, seed {}, database {copy}",
        report::significant(load.throughput),
        load.seconds,
        load.spikes,
        contents.seed
    );
    for (kind, n) in &load.error_kinds {
        println!("{n} × {kind}");
    }
    Ok(load)
}

fn read(path: &Path) -> Result<Results> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let results: Results = serde_json::from_str(&text)
        .with_context(|| format!("{} does not hold results of a demo", path.display()))?;
    if results.format != FORMAT {
        bail!(
            "{} has format {}, this program reads {FORMAT}\nHINT: Run the demo again.",
            path.display(),
            results.format
        );
    }
    Ok(results)
}

fn show(results: &Results, page: &Path) -> Result<PathBuf> {
    let checks = verify::checks(results);
    write(page, &report::html::page(results, &checks)?)?;
    println!("{}", report::terminal::summary(results, &checks));
    Ok(page.to_owned())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn absolute(path: &Path) -> String {
    std::fs::canonicalize(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}
