//! `make bench-whatif`: prices, access paths and sizes of hypothetical indexes against the
//! indexes really built, and evaluations per CPU second, beside HypoPG.
//!
//! Environment: SEED (default 20), SCALE (TPC-H scale factor, default 0.1), CASES (generated
//! plain indexes, default 80), VERBOSE (show the worst pairs), PART (accuracy, speed or
//! cancel).

mod accuracy;
mod cancel;
mod data;
mod pairs;
mod speed;

use accuracy::{Answers, quantile};
use indexpilot_tests::Cluster;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn main() {
    let seed = setting("SEED", 20u64);
    let scale = setting("SCALE", 0.1f64);
    let part = setting("PART", String::new());
    let cluster = Cluster::builder()
        .preload("indexpilot, hypopg")
        .conf("shared_buffers = '512MB'\nmaintenance_work_mem = '256MB'\nautovacuum = off\nfsync = off\nmax_wal_size = '4GB'")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot; CREATE EXTENSION hypopg");
    data::load(&mut session, scale);
    println!("seed {seed}, TPC-H scale factor {scale}");
    let wanted = |name: &str| part.is_empty() || part == name;
    if wanted("accuracy") {
        report_accuracy(&mut session, seed);
    }
    if wanted("speed") {
        speed::report(&mut session);
    }
    if wanted("cancel") {
        cancel::report(&cluster, &mut session);
    }
}

fn report_accuracy(session: &mut indexpilot_tests::Session, seed: u64) {
    let mut random = pairs::Random(seed);
    let mut cases = pairs::plain(session, &mut random, setting("CASES", 80));
    cases.extend(pairs::rich(session, &mut random));
    let found = accuracy::measure(session, &cases);
    println!(
        "{} pairs of statement and index, {} indexes\n",
        found.pairs,
        cases.len()
    );
    println!("deviation from the index really built, percent     median     p90     max   pairs");
    for (name, tool) in [("IndexPilot", &found.ours), ("HypoPG", &found.hypopg)] {
        line(&format!("cost, {name}"), &tool.costs);
        let all: Vec<f64> = tool.sizes.values().flatten().copied().collect();
        line(&format!("size, {name}"), &all);
        for (method, sizes) in &tool.sizes {
            line(&format!("size, {name}, {method}"), sizes);
        }
        println!(
            "{:<48} {:>7.1} % of {} ({} pairs refused)",
            format!("same access path, {name}"),
            100.0 * tool.same_path as f64 / tool.costs.len().max(1) as f64,
            tool.costs.len(),
            tool.refused
        );
    }
    if std::env::var_os("VERBOSE").is_some() {
        worst(&found.ours);
    }
}

fn line(what: &str, deviations: &[f64]) {
    println!(
        "{what:<48} {:>8.2} {:>7.1} {:>7.1} {:>7}",
        quantile(deviations, 0.5),
        quantile(deviations, 0.9),
        quantile(deviations, 1.0),
        deviations.len()
    );
}

fn worst(answers: &Answers) {
    let mut pairs: Vec<&(f64, String)> = answers.worst.iter().filter(|(d, _)| *d > 0.0).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, text) in pairs.iter().take(45) {
        println!("    {text}");
    }
}
