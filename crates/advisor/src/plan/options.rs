//! Candidates and existing indexes become options of the selection problem: registered with
//! the planner port, sized, and charged for what they cost.

use super::{Settings, rule, writes};
use crate::candidates::{Generated, Refused, partial};
use crate::pricing::{Handle, PricedOption, Workload, WorkloadStatement};
use crate::selection::{IndexOption, Status, TableState};
use crate::verification::feedback;
use crate::wcost::{self, HotOption};
use crate::workload::{self, Statement};
use indexpilot_model::catalog::ExistingIndex;
use indexpilot_model::price::{PriceError, SizeEstimate};
use indexpilot_model::{IndexDefinition, Oid, RelationInfo, WhatIf};
use std::collections::BTreeMap;

/// What stands behind an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Would be built.
    Candidate {
        /// What.
        definition: IndexDefinition,
        /// Its expected size.
        size: SizeEstimate,
    },
    /// Is there.
    Existing(ExistingIndex),
}

impl Known {
    /// The typed definition.
    pub fn definition(&self) -> Option<&IndexDefinition> {
        match self {
            Known::Candidate { definition, .. } => Some(definition),
            Known::Existing(index) => index.definition.as_ref(),
        }
    }
}

/// The problem, and what its options are.
#[derive(Debug, Default)]
pub struct Assembled {
    /// For pricing.
    pub workload: Workload,
    /// By option.
    pub known: Vec<Known>,
    /// Candidates that did not become options.
    pub refused: Vec<Refused>,
}

/// Where nothing is known of calls a day, a build counts this share of itself for each call of
/// the workload, as if one of its statements ran each second: enough to decide near-ties for
/// the smaller index and to leave out what saves next to nothing, whatever the scale of the
/// weights. (Ten times that would refuse what saves a hundredth of the time that is left.)
const NEAR_TIE: f64 = 1.0 / 86_400.0;

/// What an estimated size may be wrong by (twice the standard deviation that the tests of
/// what-if allow): of a b-tree, a hash or a BRIN index, and of one whose formula is rough. Of
/// several indexes some are over and some are under, so the budget is kept all the more.
const SIZE_ERROR: f64 = 0.04;
const ROUGH_SIZE_ERROR: f64 = 0.30;

/// Bytes that count against the budget.
fn at_most(size: &SizeEstimate) -> u64 {
    let error = if size.rough {
        ROUGH_SIZE_ERROR
    } else {
        SIZE_ERROR
    };
    (size.bytes as f64 * (1.0 + error)).ceil() as u64
}

/// Share of the rows that a predicate keeps, by the relation's statistics; 1 without one.
fn share(definition: &IndexDefinition, size: &SizeEstimate, relation: &RelationInfo) -> f64 {
    if definition.predicate.is_none() || relation.tuples <= 0.0 {
        1.0
    } else {
        (size.tuples / relation.tuples).clamp(0.0, 1.0)
    }
}

/// What predictions for such an index have been worth.
fn gamma(definition: &IndexDefinition, settings: &Settings) -> f64 {
    feedback::gamma(&feedback::kind_of_build(definition), &settings.outcomes)
}

/// Builds the problem.
///
/// # Errors
/// [`PriceError::Cancelled`] from the port; other failures refuse the one candidate.
pub fn assemble(
    port: &mut dyn WhatIf,
    statements: &[Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
    generated: Generated,
    settings: &Settings,
) -> Result<Assembled, PriceError> {
    let mut out = Assembled {
        refused: generated.refused,
        ..Assembled::default()
    };
    let mut served: Vec<Vec<usize>> = Vec::new();
    let calls: f64 = statements.iter().map(|s| s.calls_per_day).sum();
    for candidate in generated.candidates {
        let definition = candidate.definition;
        let Some(relation) = relations.get(&definition.relation.oid) else {
            continue;
        };
        let mut refuse = |definition, why| {
            out.refused.push(Refused {
                definition,
                why,
                statements: candidate.statements.clone(),
            });
        };
        if let Some(why) = rule::flag_alone(&definition, relation) {
            refuse(definition, why);
            continue;
        }
        let (handle, size) = match port.register(&definition) {
            Ok(known) => known,
            Err(PriceError::Cancelled) => return Err(PriceError::Cancelled),
            Err(error) => {
                refuse(definition, error.to_string());
                continue;
            }
        };
        let status = match settings.banned.get(&definition.identity()) {
            Some(why) => Status::Banned { why: why.clone() },
            None => Status::Candidate,
        };
        out.workload.options.push(PricedOption {
            option: IndexOption {
                label: definition.for_people(None),
                table: relation.name.oid,
                status,
                ours: false,
                bytes: size.bytes,
                bytes_at_most: at_most(&size),
                occupies: size.bytes,
                // Filled in by `add_writes`, when it is known what else is there.
                write_ms: 0.0,
                build_ms: if settings.free_builds {
                    NEAR_TIE * calls * size.build_cost * settings.ms_per_unit
                } else {
                    size.build_cost * settings.ms_per_unit
                },
            },
            handle: Handle::Hypothetical(handle),
            gamma: gamma(&definition, settings),
        });
        out.known.push(Known::Candidate { definition, size });
        served.push(candidate.statements);
    }
    if settings.may_drop {
        add_droppable(
            &mut out,
            &mut served,
            statements,
            relations,
            settings.unused_days,
        );
    }
    let mut relevant: Vec<Vec<usize>> = vec![Vec::new(); statements.len()];
    for (o, numbers) in served.iter().enumerate() {
        for &number in numbers {
            // (Ascending, so that a second mention is the last.)
            if relevant[number].last() != Some(&o) {
                relevant[number].push(o);
            }
        }
    }
    out.workload.statements = statements
        .iter()
        .zip(relevant)
        .map(|(statement, relevant)| WorkloadStatement {
            id: statement.id,
            label: statement.label.clone(),
            load: statement.load.clone(),
            max_regression: statement.max_regression,
            relevant,
        })
        .collect();
    add_writes(&mut out, statements, relations, settings);
    out.workload.rules = settings.rules.clone();
    out.workload.previous = settings.previous.as_ref().map(|previous| {
        out.known
            .iter()
            .map(|known| match known {
                Known::Candidate { definition, .. } => previous.contains(&definition.identity()),
                Known::Existing(_) => true,
            })
            .collect()
    });
    Ok(out)
}

/// Existing indexes that nothing protects and that statistics had time to show unused.
fn add_droppable(
    out: &mut Assembled,
    served: &mut Vec<Vec<usize>>,
    statements: &[Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
    unused_days: f64,
) {
    for relation in relations.values() {
        let redundant = crate::candidates::existing::redundant(relation);
        for (position, index) in relation.indexes.iter().enumerate() {
            if index.definition.is_none() {
                continue;
            }
            if !index.protections.is_empty() || !index.valid {
                continue;
            }
            let needless = redundant.iter().any(|(narrow, _)| *narrow == position);
            let unused = index.scans == 0 && index.counted_seconds >= unused_days * 86_400.0;
            if !(needless || unused) {
                continue;
            }
            out.workload.options.push(PricedOption {
                option: IndexOption {
                    label: index.name.clone(),
                    table: relation.name.oid,
                    // A drop is cheap; what it may cost is the doubt.
                    status: Status::Droppable { price_ms: 1_000.0 },
                    ours: index.ours,
                    bytes: 0,
                    bytes_at_most: 0,
                    occupies: index.bytes,
                    write_ms: 0.0,
                    build_ms: 0.0,
                },
                handle: Handle::Real(index.oid),
                gamma: 1.0,
            });
            out.known.push(Known::Existing(index.clone()));
            served.push(
                (0..statements.len())
                    .filter(|&s| statements[s].relations().contains(&relation.name.oid))
                    .collect(),
            );
        }
    }
}

/// What an option looks like to the write cost: its definition and size.
fn written(known: &Known, relation: &RelationInfo) -> Option<(IndexDefinition, SizeEstimate)> {
    match known {
        Known::Candidate { definition, size } => Some((definition.clone(), *size)),
        Known::Existing(index) => Some((
            index.definition.clone()?,
            SizeEstimate {
                pages: index.bytes / 8192,
                bytes: index.bytes,
                tuples: relation.tuples,
                height: 0,
                build_cost: 0.0,
                rough: false,
            },
        )),
    }
}

/// Upkeep of the options, update groups and the state of the tables.
fn add_writes(
    out: &mut Assembled,
    statements: &[Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
    settings: &Settings,
) {
    let classes = workload::update_classes(statements);
    for relation in relations.values() {
        let on_table: Vec<usize> = (0..out.known.len())
            .filter(|&o| out.workload.options[o].option.table == relation.name.oid)
            .collect();
        if on_table.is_empty() {
            continue;
        }
        let is_option = |index: &ExistingIndex| {
            out.known
                .iter()
                .any(|known| matches!(known, Known::Existing(other) if other.oid == index.oid))
        };
        let outside: Vec<&ExistingIndex> = relation
            .indexes
            .iter()
            .filter(|index| !is_option(index))
            .collect();
        let (load, write_ms_now) = writes::load(relation, statements, settings);
        let writes = writes::of(relation, &classes, &load, &outside, settings);
        let known: Vec<_> = on_table
            .iter()
            .filter_map(|&o| Some((o, written(&out.known[o], relation)?)))
            .collect();
        let hot: Vec<HotOption<'_>> = known
            .iter()
            .map(|(o, (definition, size))| HotOption {
                option: *o,
                definition,
                row_share: share(definition, size, relation),
            })
            .collect();
        out.workload.updates.extend(wcost::update_groups(
            relation.name.oid,
            &writes,
            &hot,
            &settings.writes,
        ));
        for (o, (definition, size)) in &known {
            out.workload.options[*o].option.write_ms =
                wcost::upkeep(definition, size, &writes, &settings.writes).total_ms();
        }
        out.workload.tables.push(TableState {
            table: relation.name.oid,
            label: indexpilot_model::expression::readable(&relation.name.qualified()),
            indexes_outside: outside.len() as u32,
            bytes: relation.pages * 8192,
            write_ms_now,
        });
    }
}

/// The predicate's conjuncts, for people.
pub(super) fn predicate_for_people(definition: &IndexDefinition) -> Option<String> {
    definition.predicate.as_ref().map(|predicate| {
        partial::conjuncts(predicate)
            .iter()
            .map(|part| part.for_people())
            .collect::<Vec<_>>()
            .join(" AND ")
    })
}
