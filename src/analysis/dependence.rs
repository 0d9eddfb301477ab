//! Extended statistics where the planner multiplies selectivities of columns that depend on each
//! other: measured in a sample of the table, never guessed from names.
//!
//! Looked at are columns that a statement compares with values together, or groups by together,
//! where such statements take a noticeable share of the time. Partitioned tables are not sampled.

use super::statistics::of_statistics;
use crate::pg::spi;
use crate::pg::transaction::{self, ServerError};
use crate::pg::whatif::{Planner, SampledTable};
use indexpilot_advisor::dependence::{
    Column, FACTOR, Finding, MOST_COLUMNS, ROWS, Sample, expected_groups, findings,
};
use indexpilot_advisor::plan::Recommendation;
use indexpilot_advisor::selection::Pulse;
use indexpilot_advisor::workload::Statement;
use indexpilot_model::hash::StableHash;
use indexpilot_model::query::{FieldRole, RelationName};
use indexpilot_model::{IntentKind, Oid, QueryShape, Statistics, StatisticsKind};
use indexpilot_sizing::duplicates::groups_in_order;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::{BTreeMap, BTreeSet};

/// Share of the time of all statements that those which would be planned better have to take:
/// below, the ANALYZE of a table with more statistics is not worth its while.
const SHARE: f64 = 0.01;
/// Relations looked at in a run, those with most time first.
const RELATIONS: usize = 20;
/// Rows below which a table's plans are all alike.
const SMALLEST: f64 = 1_000.0;

/// Sets of attributes with the statements that use them.
type Sets = BTreeMap<Vec<i16>, BTreeSet<usize>>;

/// What the statements ask of one relation.
#[derive(Default)]
struct Asked {
    /// Compared with values, all of them.
    searched: Sets,
    /// Grouped by.
    grouped: Sets,
}

impl Asked {
    fn statements(&self) -> BTreeSet<usize> {
        let sets = self.searched.values().chain(self.grouped.values());
        sets.flatten().copied().collect()
    }

    fn attributes(&self) -> Vec<i16> {
        let sets = self.searched.keys().chain(self.grouped.keys());
        let all: BTreeSet<i16> = sets.flatten().copied().collect();
        all.into_iter().collect()
    }
}

/// What the catalog knows of a relation.
struct Known {
    relation: RelationName,
    tuples: f64,
    pages: f64,
    names: BTreeMap<i16, String>,
    /// Extended statistics that there are: columns, and kinds as the catalog's letters.
    statistics: Vec<(Vec<i16>, String)>,
}

impl Known {
    /// Whether there are statistics of this kind that the planner would take for the columns.
    fn has(&self, kind: StatisticsKind, attributes: &[i16]) -> bool {
        let letter = match kind {
            StatisticsKind::Ndistinct => 'd',
            StatisticsKind::Dependencies => 'f',
            StatisticsKind::Mcv => 'm',
        };
        self.statistics.iter().any(|(columns, kinds)| {
            kinds.contains(letter) && attributes.iter().all(|a| columns.contains(a))
        })
    }
}

/// Columns of one instance in a role, outside disjunctions.
fn columns(shape: &QueryShape, instance: usize, roles: &[FieldRole]) -> Vec<i16> {
    let uses = shape.uses.iter().filter(|field| {
        field.instance == instance && field.disjunction == 0 && roles.contains(&field.role)
    });
    let columns: BTreeSet<i16> = uses
        .filter_map(|field| field.element.as_attribute())
        .filter(|number| *number > 0)
        .collect();
    columns.into_iter().collect()
}

fn asked(statements: &[Statement]) -> BTreeMap<Oid, Asked> {
    const SEARCHED: [FieldRole; 3] = [FieldRole::Equality, FieldRole::InList, FieldRole::Boolean];
    let mut asked: BTreeMap<Oid, Asked> = BTreeMap::new();
    for (number, statement) in statements.iter().enumerate() {
        for shape in &statement.shapes {
            for (place, instance) in shape.instances.iter().enumerate() {
                let searched = columns(shape, place, &SEARCHED);
                let grouped = columns(shape, place, &[FieldRole::Group]);
                let of = asked.entry(instance.relation.oid).or_default();
                if searched.len() > 1 {
                    of.searched.entry(searched).or_default().insert(number);
                }
                if (2..=MOST_COLUMNS).contains(&grouped.len()) {
                    of.grouped.entry(grouped).or_default().insert(number);
                }
            }
        }
    }
    asked.retain(|_, of| !of.searched.is_empty() || !of.grouped.is_empty());
    asked
}

/// What the catalog knows of these relations, as far as they are tables with statistics.
fn known(relations: &[Oid]) -> SpiResult<BTreeMap<Oid, Known>> {
    let oids: Vec<pg_sys::Oid> = relations.iter().map(|o| pg_sys::Oid::from(*o)).collect();
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT c.oid, n.nspname::text, c.relname::text, c.reltuples::double precision,
                     c.relpages::double precision,
                     (SELECT jsonb_object_agg(a.attnum, a.attname) FROM pg_attribute AS a
                         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text,
                     (SELECT coalesce(jsonb_agg(jsonb_build_array(
                             string_to_array(e.stxkeys::text, ' ')::int[],
                             array_to_string(e.stxkind, ''))), '[]')
                         FROM pg_statistic_ext AS e WHERE e.stxrelid = c.oid)::text
                 FROM pg_class AS c
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
                   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'indexpilot')
                   AND EXISTS (SELECT FROM pg_statistic AS s WHERE s.starelid = c.oid)",
                None,
                &[oids.into()],
            )?;
            let mut known = BTreeMap::new();
            for row in rows {
                let oid = row.get::<pg_sys::Oid>(1)?.map_or(0, pg_sys::Oid::to_u32);
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                known.insert(
                    oid,
                    Known {
                        relation: RelationName {
                            oid,
                            schema: text(2)?,
                            name: text(3)?,
                        },
                        tuples: row.get::<f64>(4)?.unwrap_or(0.0),
                        pages: row.get::<f64>(5)?.unwrap_or(0.0),
                        names: serde_json::from_str(&text(6)?).unwrap_or_default(),
                        statistics: serde_json::from_str(&text(7)?).unwrap_or_default(),
                    },
                );
            }
            Ok(known)
        })
    })
}

/// Extended statistics for the tables of these statements. In the worker, outside a
/// transaction; ends early where the pulse says that time is up.
///
/// # Errors
/// What the server reports while the catalog is read. A table that cannot be sampled now is
/// left for the next run.
pub fn dependent(
    planner: &mut Planner,
    statements: &[Statement],
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Vec<Recommendation>, ServerError> {
    let total: f64 = statements.iter().map(Statement::rough_weight).sum();
    let weight = |numbers: &BTreeSet<usize>| -> f64 {
        let weights = numbers.iter().map(|n| statements[*n].rough_weight());
        weights.sum()
    };
    let noticeable = |numbers: &BTreeSet<usize>| weight(numbers) >= SHARE * total;
    let mut asked: Vec<(Oid, Asked)> = asked(statements).into_iter().collect();
    asked.retain(|(_, of)| noticeable(&of.statements()));
    asked.sort_by(|a, b| weight(&b.1.statements()).total_cmp(&weight(&a.1.statements())));
    asked.truncate(RELATIONS);
    let oids: Vec<Oid> = asked.iter().map(|(oid, _)| *oid).collect();
    let known = transaction::run(|| known(&oids).unwrap_or_else(|e| error!("{e}")))?;
    let mut made = Vec::new();
    for (oid, of) in &asked {
        let Some(known) = known.get(oid).filter(|known| known.tuples >= SMALLEST) else {
            continue;
        };
        if pulse() != Pulse::Continue {
            break;
        }
        let attributes = of.attributes();
        let Ok(Ok(sampled)) = transaction::run(|| planner.sampled(*oid, &attributes)) else {
            continue;
        };
        let mut wanted = Wanted::default();
        let sample = sample(&sampled, known.tuples);
        let place = |number: &i16| attributes.binary_search(number).unwrap_or_default();
        for (set, numbers) in &of.searched {
            let places: Vec<usize> = set.iter().map(place).collect();
            for finding in findings(&sample, &places) {
                let set = finding.columns.iter().map(|c| attributes[*c]).collect();
                wanted.search(set, &finding, numbers);
            }
        }
        for (set, numbers) in &of.grouped {
            let places: Vec<usize> = set.iter().map(place).collect();
            if let Some((real, expected)) = groups(&sampled, &places, known.tuples) {
                wanted.group(set.clone(), real, expected, numbers);
            }
        }
        for (set, want) in wanted.0 {
            let kinds: Vec<_> = want.kinds.iter().copied().collect();
            let lacking = kinds.iter().any(|kind| !known.has(*kind, &set));
            if lacking && noticeable(&want.statements) {
                made.extend(recommendation(known, &set, kinds, &want, statements));
            }
        }
    }
    Ok(made)
}

fn sample(sampled: &SampledTable, tuples: f64) -> Sample {
    Sample {
        pages: sampled.places.iter().map(|place| place.page).collect(),
        columns: sampled
            .columns
            .iter()
            .map(|(hashes, nulls)| Column {
                hashes: hashes.clone(),
                nulls: nulls.clone(),
            })
            .collect(),
        tuples,
    }
}

/// Groups that there are and that the planner expects, where the two are too far apart.
fn groups(sampled: &SampledTable, places: &[usize], tuples: f64) -> Option<(f64, f64)> {
    let distinct = |places: &[usize]| -> f64 {
        let hashes: Vec<u64> = (0..sampled.places.len())
            .map(|row| {
                let hash = places.iter().fold(StableHash::new(), |hash, place| {
                    hash.number(u64::from(sampled.columns[*place].0[row]))
                });
                hash.finish()
            })
            .collect();
        let groups = groups_in_order(&hashes, &sampled.places, tuples);
        groups.iter().map(|group| group.keys).sum()
    };
    let single: Vec<f64> = places.iter().map(|place| distinct(&[*place])).collect();
    let (real, expected) = (distinct(places), expected_groups(&single, tuples));
    let off = (expected / real.max(1.0)).max(real / expected.max(1.0));
    (off >= FACTOR && expected.max(real) >= 10.0 * ROWS).then_some((real, expected))
}

/// Statistics wanted of one table, by columns.
#[derive(Default)]
struct Wanted(BTreeMap<Vec<i16>, Want>);

#[derive(Default)]
struct Want {
    kinds: BTreeSet<StatisticsKind>,
    /// What was measured, in words.
    measured: Vec<String>,
    statements: BTreeSet<usize>,
}

impl Wanted {
    fn search(&mut self, set: Vec<i16>, finding: &Finding, numbers: &BTreeSet<usize>) {
        let want = self.0.entry(set).or_default();
        if want.kinds.is_empty() {
            want.measured.push(format!(
                "a search for values of all of them that exist finds {:.0} rows, and independent columns let expect {:.0}: {:.0} times too few",
                finding.search.found,
                finding.search.expected,
                finding.search.factor()
            ));
        }
        want.kinds.extend(&finding.kinds);
        want.statements.extend(numbers);
    }

    fn group(&mut self, set: Vec<i16>, real: f64, expected: f64, numbers: &BTreeSet<usize>) {
        let want = self.0.entry(set).or_default();
        want.measured.push(format!(
            "they make about {real:.0} groups where independent columns let expect {expected:.0}"
        ));
        want.kinds.insert(StatisticsKind::Ndistinct);
        want.statements.extend(numbers);
    }
}

fn recommendation(
    known: &Known,
    set: &[i16],
    kinds: Vec<StatisticsKind>,
    want: &Want,
    statements: &[Statement],
) -> Option<Recommendation> {
    // A column that came or went since the statement was read is looked at next time.
    let columns: Option<Vec<String>> = set.iter().map(|n| known.names.get(n).cloned()).collect();
    let columns = columns?;
    let mut concerned: Vec<&Statement> = want.statements.iter().map(|n| &statements[*n]).collect();
    concerned.sort_by(|a, b| b.rough_weight().total_cmp(&a.rough_weight()));
    let relation = known.relation.clone();
    let identity = columns
        .iter()
        .fold(
            StableHash::new()
                .field(b"create statistics")
                .field(relation.qualified().as_bytes()),
            |hash, column| hash.field(column.as_bytes()),
        )
        .finish();
    let reason = format!(
        "the columns {} of {}.{} depend on each other: {}; {} statement(s) are planned for that, most in {}",
        columns.join(", "),
        relation.schema,
        relation.name,
        want.measured.join("; "),
        concerned.len(),
        concerned.first().map_or("", |first| first.label.as_str())
    );
    let kind = IntentKind::CreateStatistics(Statistics::on(&relation, kinds, columns));
    Some(of_statistics(
        identity,
        kind,
        relation,
        known.pages,
        concerned,
        reason,
        "it is for indexes; statistics need no upkeep but ANALYZE",
    ))
}
