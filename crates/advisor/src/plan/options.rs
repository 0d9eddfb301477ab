//! Candidates and existing indexes become options of the selection problem: registered with
//! the planner port, sized, and charged for what they cost.

use super::{Settings, rule};
use crate::candidates::{Generated, Refused, partial};
use crate::pricing::{Handle, PricedOption, Workload, WorkloadStatement};
use crate::selection::{IndexOption, Status, TableState, UpdateGroup};
use crate::workload::{self, Statement, UpdateClass};
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
/// the workload: enough to decide near-ties for the smaller index and to leave out what saves
/// next to nothing, whatever the scale of the weights.
const NEAR_TIE: f64 = 1e-4;

/// Share of the rows that a predicate keeps, by the relation's statistics; 1 without one.
fn share(definition: &IndexDefinition, size: &SizeEstimate, relation: &RelationInfo) -> f64 {
    if definition.predicate.is_none() || relation.tuples <= 0.0 {
        1.0
    } else {
        (size.tuples / relation.tuples).clamp(0.0, 1.0)
    }
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
        let load = workload::write_load(relation, statements, settings.believe_counters);
        let written = load.inserts + load.updates + load.deletes > 0.0;
        let share = share(&definition, &size, relation);
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
                write_ms: settings.upkeep.of_inserts(
                    &definition,
                    &size,
                    share,
                    load.inserts,
                    written,
                ),
                build_ms: if settings.free_builds {
                    NEAR_TIE * calls * size.build_cost * settings.ms_per_unit
                } else {
                    size.build_cost * settings.ms_per_unit
                },
            },
            handle: Handle::Hypothetical(handle),
        });
        out.known.push(Known::Candidate { definition, size });
        served.push(candidate.statements);
    }
    if settings.may_drop {
        add_droppable(&mut out, &mut served, statements, relations, settings);
    }
    out.workload.statements = statements
        .iter()
        .enumerate()
        .map(|(number, statement)| WorkloadStatement {
            id: statement.id,
            label: statement.label.clone(),
            load: statement.load.clone(),
            max_regression: statement.max_regression,
            relevant: (0..served.len())
                .filter(|&o| served[o].contains(&number))
                .collect(),
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
    settings: &Settings,
) {
    for relation in relations.values() {
        let days = relation.activity.seconds / 86_400.0;
        let redundant = crate::candidates::existing::redundant(relation);
        for (position, index) in relation.indexes.iter().enumerate() {
            let Some(definition) = &index.definition else {
                continue;
            };
            if !index.protections.is_empty() || !index.valid {
                continue;
            }
            let needless = redundant.iter().any(|(narrow, _)| *narrow == position);
            let unused = index.scans == 0 && days >= settings.unused_days;
            if !(needless || unused) {
                continue;
            }
            let load = workload::write_load(relation, statements, settings.believe_counters);
            let size = SizeEstimate {
                pages: index.bytes / 8192,
                bytes: index.bytes,
                tuples: relation.tuples,
                height: 0,
                build_cost: 0.0,
                rough: false,
            };
            out.workload.options.push(PricedOption {
                option: IndexOption {
                    label: index.name.clone(),
                    table: relation.name.oid,
                    // A drop is cheap; what it may cost is the doubt.
                    status: Status::Droppable { price_ms: 1_000.0 },
                    ours: index.ours,
                    bytes: 0,
                    write_ms: settings.upkeep.of_inserts(
                        definition,
                        &size,
                        1.0,
                        load.inserts,
                        true,
                    ),
                    build_ms: 0.0,
                },
                handle: Handle::Real(index.oid),
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

/// Update classes and the state of the tables.
fn add_writes(
    out: &mut Assembled,
    statements: &[Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
    settings: &Settings,
) {
    let mut classes = workload::update_classes(statements);
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
        let load = workload::write_load(relation, statements, settings.believe_counters);
        unexplained(&mut classes, relation, load.updates);
        for class in classes.iter().filter(|c| c.relation == relation.name.oid) {
            if class.updates <= 0.0 {
                continue;
            }
            out.workload.updates.push(group(
                class, relation, &outside, &on_table, &out.known, settings,
            ));
        }
        out.workload.tables.push(TableState {
            table: relation.name.oid,
            label: indexpilot_model::expression::readable(&relation.name.qualified()),
            indexes_outside: outside.len() as u32,
            bytes: relation.pages * 8192,
            write_ms_now: load.ms.max(
                (load.inserts + load.updates + load.deletes) * 2.0 * settings.upkeep.insert_ms,
            ),
        });
    }
}

/// Updates that the counters show and no statement explains: columns unknown, so they are not
/// heap-only for our purposes only where they are not now.
fn unexplained(classes: &mut Vec<UpdateClass>, relation: &RelationInfo, updates: f64) {
    let explained: f64 = classes
        .iter()
        .filter(|class| class.relation == relation.name.oid)
        .map(|class| class.updates)
        .sum();
    let activity = &relation.activity;
    let cold = if activity.updates > 0.0 {
        1.0 - (activity.hot_updates / activity.updates).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let rest = (updates - explained) * cold;
    if rest > 0.0 {
        classes.push(UpdateClass {
            relation: relation.name.oid,
            attributes: Vec::new(),
            updates: rest,
        });
    }
}

fn group(
    class: &UpdateClass,
    relation: &RelationInfo,
    outside: &[&ExistingIndex],
    on_table: &[usize],
    known: &[Known],
    settings: &Settings,
) -> UpdateGroup {
    let touches = |definition: &IndexDefinition| {
        !definition.method.is_summarizing()
            && definition
                .attributes()
                .iter()
                .any(|number| class.attributes.contains(number))
    };
    let names: Vec<&str> = class
        .attributes
        .iter()
        .filter_map(|number| relation.attribute(*number).map(|a| a.name.as_str()))
        .collect();
    // Without columns: updates seen in the counters that were not heap-only.
    let already_lost = class.attributes.is_empty()
        || outside
            .iter()
            .any(|index| index.definition.as_ref().is_none_or(touches));
    let base = settings.upkeep.lost_hot_ms + settings.upkeep.update_ms * outside.len() as f64;
    UpdateGroup {
        label: format!("updates of {} ({})", relation.name.name, names.join(", ")),
        table: relation.name.oid,
        updates: class.updates,
        triggers: on_table
            .iter()
            .copied()
            .filter(|&o| known[o].definition().is_some_and(touches))
            .collect(),
        already_lost,
        base_ms: class.updates * base,
        outside: outside.len() as u32,
        per_option: on_table
            .iter()
            .filter_map(|&o| {
                let definition = known[o].definition()?;
                let share = match &known[o] {
                    Known::Candidate { definition, size } => share(definition, size, relation),
                    Known::Existing(_) => 1.0,
                };
                Some((
                    o,
                    class.updates * settings.upkeep.of_update(definition, share),
                ))
            })
            .collect(),
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
