//! The workload as files, for other tools to be measured by.
use crate::application::{Application, Draw, frequencies, tenants_of_pattern};
use crate::pattern::Pattern;
use crate::random::{Purpose, Weighted, stream};
use crate::value::inline;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

/// One statement of the exported workload.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// Pattern that it belongs to, with `/n` for the n-th statement of a transaction.
    pub name: String,
    /// Relative frequency; the sum over all first statements is 1.
    pub weight: f64,
    /// Text with `$n`.
    pub sql: String,
    /// The text with literals, several examples.
    pub examples: Vec<String>,
    /// Whether it changes data.
    pub writes: bool,
    /// Whether it is one for which nothing should be built.
    pub rare: bool,
}

/// The statements of an application with their weights (shares of all operations) and as many examples as
/// `examples` says for a weight.
pub fn statements(
    application: &dyn Application,
    seed: u64,
    examples: impl Fn(f64) -> usize,
) -> Vec<Statement> {
    let mut list = Vec::new();
    for (number, (pattern, weight)) in application
        .patterns()
        .iter()
        .zip(frequencies(application))
        .enumerate()
    {
        if weight == 0.0 {
            continue;
        }
        let tenants = Weighted::new(tenants_of_pattern(application, pattern));
        let mut rng = stream(seed, Purpose::Comparison, 1 << 32 | number as u64);
        let drawn: Vec<_> = (0..examples(weight))
            .map(|i| {
                let tenant = tenants.draw(&mut rng);
                application.values(
                    number,
                    &mut Draw {
                        rng: &mut rng,
                        tenant,
                        elapsed: 0,
                        serial: (number as u64) << 20 | i as u64,
                    },
                )
            })
            .collect();
        for (n, step) in pattern.steps.iter().enumerate() {
            list.push(Statement {
                name: if pattern.steps.len() == 1 {
                    pattern.name.to_owned()
                } else {
                    format!("{}/{}", pattern.name, n + 1)
                },
                weight,
                sql: step.sql.to_owned(),
                examples: drawn
                    .iter()
                    .map(|values| {
                        inline(
                            step.sql,
                            &Pattern::arguments(step, values.len())
                                .into_iter()
                                .map(|i| &values[i])
                                .collect::<Vec<_>>(),
                        )
                    })
                    .collect(),
                writes: !step.sql.starts_with("SELECT"),
                rare: pattern.is_rare(),
            });
        }
    }
    list
}

/// Writes `workload.json`, `workload.sql`, `schema.sql`, `foreign_keys.sql` and `expert.sql` into a directory.
pub fn export(
    application: &dyn Application,
    seed: u64,
    examples: usize,
    directory: &Path,
) -> Result<Vec<String>> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    let list = statements(application, seed, |_| examples);
    let mut sql = String::new();
    for s in &list {
        for example in &s.examples {
            sql.push_str(&format!(
                "-- {} weight {:.6}\n{example};\n",
                s.name,
                s.weight / s.examples.len() as f64
            ));
        }
    }
    let files = [
        ("workload.json", serde_json::to_string_pretty(&list)?),
        ("workload.sql", sql),
        ("schema.sql", application.schema_sql().to_owned()),
        (
            "foreign_keys.sql",
            application.foreign_keys_sql().to_owned(),
        ),
        ("expert.sql", application.expert_sql().to_owned()),
    ];
    let mut written = Vec::new();
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Kind;
    use crate::pattern::parameter_count;
    use crate::scenario::Scenario;

    #[test]
    fn every_parameter_of_every_statement_is_given() {
        for kind in [Kind::Crm, Kind::Shop, Kind::Star] {
            let application = kind.build(Scenario::Tiny, 11);
            let mut rng = stream(11, Purpose::Traffic, 0);
            let mut names = std::collections::HashSet::new();
            for (number, pattern) in application.patterns().iter().enumerate() {
                assert!(names.insert(pattern.name), "{} twice", pattern.name);
                for tenant in 0..application.tenants().list().len() {
                    let values = application.values(
                        number,
                        &mut Draw {
                            rng: &mut rng,
                            tenant,
                            elapsed: 0,
                            serial: 1,
                        },
                    );
                    for step in pattern.steps {
                        assert_eq!(
                            Pattern::arguments(step, values.len()).len(),
                            parameter_count(step.sql),
                            "{}",
                            pattern.name
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_crm_is_as_large_as_promised() {
        let application = Kind::Crm.build(Scenario::Small, 42);
        let list = statements(&*application, 42, |_| 2);
        assert!(application.patterns().len() >= 60);
        assert!(list.iter().any(|s| s.writes) && list.iter().any(|s| s.rare));
        let sum: f64 = list
            .iter()
            .filter(|s| !s.name.contains('/') || s.name.ends_with("/1"))
            .map(|s| s.weight)
            .sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert!(
            list.iter()
                .all(|s| s.examples.iter().all(|e| !e.contains('$')))
        );
    }
}
