//! What users type: README's SQL, and the regression files that `make installcheck` runs too.

use std::fs;

use indexpilot_tests::{Cluster, workspace};

/// The fenced blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines() {
        match inside.as_mut() {
            None if line.trim() == fence => inside = Some(String::new()),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(inside.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    found
}

#[test]
fn readme_says_what_runs() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let blocks = blocks(&readme, "sql");
    assert!(
        blocks.len() >= 3,
        "README has only {} blocks of SQL",
        blocks.len()
    );
    let cluster = Cluster::started();
    for block in blocks {
        let out = cluster.psql("postgres", &block);
        assert!(out.ok, "README's\n{block}\nfails:\n{}{}", out.out, out.err);
    }
}

#[test]
fn every_major_passes_the_regression_files() {
    let cluster = Cluster::started();
    let out = cluster.scratch("regress");
    let mut check = std::process::Command::new(workspace().join("scripts/installcheck"));
    check
        .env("PGHOST", cluster.sockets())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PG_CONFIG", cluster.server().bin.join("pg_config"))
        .env("INDEXPILOT_REGRESS_OUT", &out)
        .env_remove("PGOPTIONS");
    let said = cluster.output(&mut check, "");
    assert!(said.ok, "{}{}", said.out, said.err);
    // Every file has an expected output, and the schedule names every file.
    let regress = workspace().join("pgrx-tests/regress");
    let schedule = fs::read_to_string(regress.join("schedule")).expect("the schedule");
    for entry in fs::read_dir(regress.join("sql"))
        .expect("regress/sql")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().replace(".sql", "");
        assert!(
            schedule.contains(&format!("test: {name}\n")),
            "{name} is not run"
        );
    }
}
