//! The whole flow of an analysis: statements → relations → candidates → problem → prices and
//! choice → recommendations. Everything it knows of the server comes through two ports.

use indexpilot_advisor::candidates::{self, Source};
use indexpilot_advisor::plan::{self, Recommendation, Refusal};
use indexpilot_advisor::pricing::calibration::{Calibrated, Measured};
use indexpilot_advisor::pricing::{self, Advice, Caution, PricingLimits};
use indexpilot_advisor::selection::{Pulse, SelectionError};
use indexpilot_advisor::workload::Statement;
use indexpilot_model::catalog::Protection;
use indexpilot_model::config::Scope;
use indexpilot_model::price::PriceError;
use indexpilot_model::{Catalog, Oid, RelationInfo, WhatIf};
use std::collections::{BTreeMap, BTreeSet};

/// How a run is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What bounds the generator.
    pub candidates: candidates::Settings,
    /// Limits and numbers of the host.
    pub plan: plan::Settings,
    /// Bounds on planner calls and search.
    pub limits: PricingLimits,
    /// Where the planner is believed less.
    pub caution: Caution,
    /// Which tables are looked at.
    pub scope: Scope,
    /// Indexes that an operator has pinned, by OID: they stay.
    pub pinned: BTreeSet<Oid>,
}

/// Something that was left out, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct NotAnalysed {
    /// A relation or a statement, for people.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What came out.
#[derive(Debug)]
pub struct Analysis {
    /// What to do, most saving first.
    pub recommendations: Vec<Recommendation>,
    /// What was thought of and refused.
    pub refusals: Vec<Refusal>,
    /// What was left out.
    pub not_analysed: Vec<NotAnalysed>,
    /// The solver's answer with its accounting.
    pub advice: Advice,
    /// Planner calls, registering included.
    pub planner_calls: u64,
    /// Candidates that became options.
    pub options: usize,
    /// How far the planner was believed.
    pub calibrated: Calibrated,
}

/// Analyses. The pulse is asked throughout whether to go on.
///
/// # Errors
/// Cancelled, or no choice keeps the rules.
pub fn analyse(
    port: &mut dyn WhatIf,
    catalog: &mut dyn Catalog,
    statements: &[Statement],
    setup: &Setup,
    pulse: &mut dyn FnMut() -> Pulse,
) -> Result<Analysis, SelectionError> {
    let mut not_analysed = Vec::new();
    // 1. Relations.
    let mut relations: BTreeMap<Oid, RelationInfo> = BTreeMap::new();
    let mut names: BTreeMap<Oid, String> = BTreeMap::new();
    for statement in statements {
        for shape in &statement.shapes {
            for instance in &shape.instances {
                names
                    .entry(instance.relation.oid)
                    .or_insert_with(|| instance.relation.qualified());
            }
        }
    }
    for (oid, name) in names {
        let why = match catalog.relation(oid) {
            None => Err("it is gone, foreign, temporary or of a kind without indexes".to_string()),
            Some(mut relation) => setup
                .scope
                .admits(&relation.name.schema, &relation.name.name)
                .map(|()| {
                    for index in &mut relation.indexes {
                        if setup.pinned.contains(&index.oid) {
                            index.protections.push(Protection::Pinned);
                        }
                    }
                    relations.insert(oid, relation);
                }),
        };
        if let Err(why) = why {
            not_analysed.push(NotAnalysed {
                what: indexpilot_model::expression::readable(&name),
                why,
            });
        }
        check(pulse)?;
    }
    // 2. Candidates: one source a shape, folded back to statements.
    let mut owners = Vec::new();
    let mut sources = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        for shape in &statement.shapes {
            owners.push(number);
            sources.push(Source {
                shape,
                weight: statement.rough_weight(),
                constants_fixed: statement.constants_fixed,
            });
        }
    }
    let mut generated = candidates::generate(&sources, &relations, &setup.candidates);
    let refused = &setup.candidates.refused;
    generated.candidates.retain(|candidate| {
        let definition = &candidate.definition;
        let relation = definition.relation.oid;
        let mut attributes = definition.attributes().into_iter();
        !attributes.any(|attribute| refused.contains(&(relation, attribute)))
    });
    let fold = |list: &mut Vec<usize>| {
        for number in list.iter_mut() {
            *number = owners[*number];
        }
        list.sort_unstable();
        list.dedup();
    };
    for candidate in &mut generated.candidates {
        fold(&mut candidate.statements);
    }
    for refused in &mut generated.refused {
        fold(&mut refused.statements);
    }
    check(pulse)?;
    // 3. The problem.
    let assembled =
        plan::assemble(port, statements, &relations, generated, &setup.plan).map_err(|error| {
            match error {
                PriceError::Cancelled => SelectionError::Cancelled,
                other => SelectionError::Malformed(other.to_string()),
            }
        })?;
    // 4. Prices and choice.
    let calibrated = pricing::calibration::calibrated(
        port,
        &measured(statements, &relations),
        setup.caution,
        pulse,
    )?;
    let advice = pricing::advise(
        port,
        &assembled.workload,
        calibrated.caution,
        setup.limits,
        pulse,
    )?;
    for (statement, report) in statements.iter().zip(&advice.statements) {
        if let Some(why) = &report.failed {
            not_analysed.push(NotAnalysed {
                what: statement.label.clone(),
                why: why.clone(),
            });
        }
    }
    // 5. Recommendations.
    let (recommendations, refusals) =
        plan::recommend(&assembled, &advice, statements, &relations, &setup.plan);
    Ok(Analysis {
        recommendations,
        refusals,
        not_analysed,
        planner_calls: port.planner_calls(),
        options: assembled.known.len(),
        advice,
        calibrated,
    })
}

/// Statements on relations where we built something, heaviest first.
fn measured<'a>(
    statements: &'a [Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
) -> Vec<Measured<'a>> {
    let mut measured: Vec<Measured<'a>> = statements
        .iter()
        .map(|statement| Measured {
            id: statement.id,
            load: &statement.load,
            ours: statement
                .relations()
                .iter()
                .filter_map(|oid| relations.get(oid))
                .flat_map(|relation| &relation.indexes)
                .filter(|index| index.ours && index.valid)
                .map(|index| index.oid)
                .collect(),
        })
        .filter(|one| !one.ours.is_empty())
        .collect();
    let heavy = |one: &Measured<'_>| one.load.seen_ms().unwrap_or(0.0);
    measured.sort_by(|a, b| heavy(b).total_cmp(&heavy(a)).then(a.id.cmp(&b.id)));
    measured
}

fn check(pulse: &mut dyn FnMut() -> Pulse) -> Result<(), SelectionError> {
    match pulse() {
        Pulse::Cancel => Err(SelectionError::Cancelled),
        _ => Ok(()),
    }
}
