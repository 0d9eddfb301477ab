//! The command line.
use crate::application::Kind;
use crate::scenario::Scenario;
use crate::session::ProtocolChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Loads databases that many customers share, and shows what IndexPilot does to them.
#[derive(Parser, Debug)]
#[command(name = "indexpilot-sim", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the server is and what to run on it.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Connection string, "postgresql://…" or "host=… port=…"; PGHOST, PGPORT, PGUSER, PGPASSWORD fill what it leaves out
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Database to create and use; clones are named after it
    #[arg(long, default_value = "indexpilot_sim", value_parser = database_name)]
    pub database: String,
    /// No progress bars
    #[arg(long, short)]
    pub quiet: bool,
}

/// Which data.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// Application
    #[arg(long, value_enum, default_value = "crm")]
    pub application: Kind,
    /// Size
    #[arg(long, value_enum, default_value = "small", env = "SCENARIO")]
    pub scenario: Scenario,
    /// Seed of data and traffic
    #[arg(long, default_value_t = 42, env = "SEED")]
    pub seed: u64,
}

/// How the library stands during `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// No extension in the database, primary keys only.
    Baseline,
    /// Capture only.
    Observed,
    /// IndexPilot acts.
    Auto,
    /// Indexes made by hand.
    Expert,
}

/// Subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Create a database and load an application's rows
    Seed {
        /// Where.
        #[command(flatten)]
        target: Target,
        /// What.
        #[command(flatten)]
        data: Data,
        /// Load again over an earlier database of ours
        #[arg(long)]
        replace: bool,
        /// Connections that load at once
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        connections: u16,
    },
    /// Put load on a seeded database and print latencies
    Run {
        /// Where.
        #[command(flatten)]
        target: Target,
        /// How the library stands; decides which clone of the database is used
        #[arg(long, value_enum, default_value = "baseline")]
        mode: Mode,
        /// Use the clone of an earlier run as it is now instead of a fresh one
        #[arg(long)]
        keep: bool,
        /// Clients
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
        clients: u16,
        /// How long, for instance 30s, 5m, 2h
        #[arg(long, default_value = "30s", value_parser = duration)]
        duration: Duration,
        /// Operations per second for an open loop; without it each client waits for the answer (closed loop)
        #[arg(long, value_parser = positive)]
        rate: Option<f64>,
        /// Mean think time of a closed loop, for instance 10ms
        #[arg(long, default_value = "0ms", value_parser = duration, conflicts_with = "rate")]
        think_time: Duration,
        /// Protocol
        #[arg(long, value_enum, default_value = "mixed")]
        protocol: ProtocolChoice,
        /// Wall time of one simulated day of rhythms and spikes; the run's length by default
        #[arg(long, value_parser = duration)]
        day: Option<Duration>,
        /// Number of the run: another number sends other operations
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=32767))]
        run: u64,
        /// Also write the figures to this file as JSON
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Seed, clone, run every variant, compare, report and verify
    Demo {
        /// Where.
        #[command(flatten)]
        target: Target,
        /// What.
        #[command(flatten)]
        data: Data,
        /// Variants beside the baseline
        #[arg(long, value_delimiter = ',', default_value = "observed,auto,expert")]
        variants: Vec<String>,
        /// Clients under load
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
        clients: u16,
        /// Rounds of the comparison
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
        rounds: u16,
        /// Operations of a round
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        operations: u32,
        /// Length of each load; 0s leaves the loads out
        #[arg(long, default_value = "20s", value_parser = duration)]
        load: Duration,
        /// Longest time that IndexPilot gets to learn and act
        #[arg(long, default_value = "4m", value_parser = duration)]
        learning: Duration,
        /// Mean think time of the clients meanwhile
        #[arg(long, default_value = "5ms", value_parser = duration)]
        think_time: Duration,
        /// Load the rows again even when they are there
        #[arg(long)]
        reload: bool,
        /// Drop the databases at the end
        #[arg(long)]
        drop: bool,
        /// Directory of results.json and report.html
        #[arg(long, default_value = "indexpilot-demo")]
        output: PathBuf,
    },
    /// Make the HTML page and the summary from results.json
    Report {
        /// results.json of a demo
        #[arg(default_value = "indexpilot-demo/results.json")]
        results: PathBuf,
        /// The page to write; beside the results by default
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Check the success criteria against results.json; exit status 1 where one fails
    Verify {
        /// results.json of a demo
        #[arg(default_value = "indexpilot-demo/results.json")]
        results: PathBuf,
    },
    /// Write the workload, schema and the expert's indexes as files
    Export {
        /// What.
        #[command(flatten)]
        data: Data,
        /// Examples with literals for each statement
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        examples: u16,
        /// Directory
        #[arg(long, default_value = "indexpilot-workload")]
        output: PathBuf,
    },
    /// Turn a schema description in YAML into the JSON that indexpilot.genome_load() reads
    Genome {
        /// The description, "-" for standard input
        description: PathBuf,
    },
    /// Drop the databases that this program made under a name
    Drop {
        /// Where.
        #[command(flatten)]
        target: Target,
    },
}

/// A name that leaves room for the clones' suffixes within PostgreSQL's 63 bytes.
fn database_name(text: &str) -> Result<String, String> {
    let fits = (1..=50).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    if !fits || text.starts_with("pg_") || ["postgres", "template0", "template1"].contains(&text) {
        return Err("a name of 1 to 50 lower-case letters, digits and underscores is needed, and none of the server's own".into());
    }
    Ok(text.to_owned())
}

/// 250ms, 30s, 5m, 2h.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or("a unit is needed: ms, s, m or h")?;
    let number: f64 = text[..at]
        .parse()
        .map_err(|_| "a number with a unit is needed, for instance 30s".to_owned())?;
    let seconds = match &text[at..] {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        unit => return Err(format!("unknown unit \"{unit}\": ms, s, m or h")),
    };
    if !(0.0..=7.0 * 86_400.0).contains(&seconds) {
        return Err("at most a week".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x: &f64| *x > 0.0 && x.is_finite())
        .ok_or_else(|| "a positive number is needed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["10", "s", "5 parsecs", "-3s", "9999h", "1e3s", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_databases_are_checked() {
        assert!(database_name("indexpilot_sim").is_ok());
        for bad in [
            "",
            "postgres",
            "template1",
            "pg_x",
            "a-b",
            "A",
            "1a",
            "a\"b",
            &"x".repeat(51),
        ] {
            assert!(database_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        for bad in [
            &["demo", "--scenario", "huge"][..],
            &["run", "--clients", "0"],
            &["run", "--rate", "-1"],
            &["run", "--rate", "5", "--think-time", "1s"],
            &["seed", "--database", "postgres"],
            &["fly"],
        ] {
            assert!(
                Cli::try_parse_from(std::iter::once("indexpilot-sim").chain(bad.iter().copied()))
                    .is_err(),
                "{bad:?}"
            );
        }
    }
}
