//! A solution becomes recommendations: what to do, what it brings, whom, and why.

use super::{Assembled, Known, Settings, options, rule};
use crate::pricing::Advice;
use crate::selection::{Action, Decision, Reason};
use crate::workload::Statement;
use indexpilot_model::{IndexDefinition, IntentKind, Oid, RelationInfo, RelationName, StatementId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one statement gains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The statement.
    pub statement: StatementId,
    /// Short text.
    pub label: String,
    /// Planner cost now; `None` where it was not priced.
    pub cost_before: Option<f64>,
    /// Planner cost under the whole choice.
    pub cost_after: Option<f64>,
    /// Calls a day.
    pub calls_per_day: f64,
    /// Milliseconds a day that this index alone saves beside the rest (estimate).
    pub saved_ms: f64,
    /// Where the whole statement is kept; `None` where it is not.
    #[serde(default)]
    pub key: Option<String>,
    /// Its plan now and under the whole choice, as EXPLAIN shows them, values taken out; `None`
    /// where they were not asked for.
    #[serde(default)]
    pub plans: Option<(String, String)>,
}

/// One proposed action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Stable over runs: a hash of the action and the definition.
    pub identity: u64,
    /// What to do.
    pub kind: IntentKind,
    /// On which relation.
    pub relation: RelationName,
    /// Share of the time of the statements concerned that it saves, 0…1 (estimate).
    pub benefit: f64,
    /// Milliseconds of statement time a day (estimate).
    pub saved_ms_per_day: f64,
    /// Expected size in bytes; what is freed, for a drop.
    pub bytes: u64,
    /// Expected build time, milliseconds (estimate).
    pub build_ms: f64,
    /// Upkeep a day, lost heap-only updates included, milliseconds (estimate).
    pub write_ms_per_day: f64,
    /// Calls a day of the statements concerned at which upkeep and build eat the gain.
    pub break_even_calls: Option<f64>,
    /// 0…1: how much stands behind the numbers.
    pub confidence: f64,
    /// Greatest first.
    pub statements: Vec<Gain>,
    /// Tenants with their share of the saving, greatest first.
    pub tenants: Vec<(String, f64)>,
    /// One sentence.
    pub reason: String,
    /// What the old rule of thumb says, for comparison.
    pub rule: String,
    /// Refused alternatives on the same statements: definition and why.
    pub alternatives: Vec<(String, String)>,
}

/// A candidate that was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// As [`Recommendation::identity`].
    pub identity: u64,
    /// What it would have been.
    pub definition: IndexDefinition,
    /// Why not.
    pub reason: String,
    /// Which rule decided: a word.
    pub rule: String,
    /// Milliseconds a day that it would have saved.
    pub saved_ms_per_day: f64,
    /// Statements that it was thought of for.
    pub statements: Vec<StatementId>,
}

/// The identity of an action on a definition.
pub fn identity(action: &str, definition: &IndexDefinition) -> u64 {
    indexpilot_model::hash::StableHash::new()
        .field(action.as_bytes())
        .number(definition.identity())
        .finish()
}

/// Reads the solution.
pub fn recommend(
    assembled: &Assembled,
    advice: &Advice,
    statements: &[Statement],
    relations: &BTreeMap<Oid, RelationInfo>,
    settings: &Settings,
) -> (Vec<Recommendation>, Vec<Refusal>) {
    let mut chosen = Vec::new();
    let mut refused: Vec<Refusal> = Vec::new();
    for decision in &advice.solution.why {
        let known = &assembled.known[decision.option];
        let Some(relation) =
            relations.get(&assembled.workload.options[decision.option].option.table)
        else {
            continue;
        };
        match decision.action {
            Action::Create | Action::Drop => chosen.push(recommendation(
                assembled, advice, decision, known, statements, relation, settings,
            )),
            Action::Refuse => {
                if let Some(definition) = known.definition() {
                    refused.push(Refusal {
                        identity: identity("create", definition),
                        definition: definition.clone(),
                        reason: decision.sentence.clone(),
                        rule: word(&decision.reason).to_string(),
                        saved_ms_per_day: decision.saving_ms,
                        statements: decision
                            .statements
                            .iter()
                            .map(|(q, _)| statements[*q].id)
                            .collect(),
                    });
                }
            }
            Action::Keep => {}
        }
    }
    for refusal in &assembled.refused {
        refused.push(Refusal {
            identity: identity("create", &refusal.definition),
            definition: refusal.definition.clone(),
            reason: refusal.why.clone(),
            rule: "not a candidate".into(),
            saved_ms_per_day: 0.0,
            statements: refusal
                .statements
                .iter()
                .map(|q| statements[*q].id)
                .collect(),
        });
    }
    chosen.sort_by(|a: &Recommendation, b| {
        b.saved_ms_per_day
            .total_cmp(&a.saved_ms_per_day)
            .then(a.identity.cmp(&b.identity))
    });
    for recommendation in &mut chosen {
        recommendation.alternatives = alternatives(recommendation, &refused);
    }
    (chosen, refused)
}

/// The refused ones that would have served the same statements, most promising first.
fn alternatives(of: &Recommendation, refused: &[Refusal]) -> Vec<(String, String)> {
    let mut found: Vec<&Refusal> = refused
        .iter()
        .filter(|refusal| {
            refusal.definition.relation.oid == of.relation.oid
                && refusal
                    .statements
                    .iter()
                    .any(|s| of.statements.iter().any(|gain| gain.statement == *s))
        })
        .collect();
    found.sort_by(|a, b| b.saved_ms_per_day.total_cmp(&a.saved_ms_per_day));
    found
        .iter()
        .take(5)
        .map(|refusal| (refusal.definition.for_people(None), refusal.reason.clone()))
        .collect()
}

fn word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Pays => "pays",
        Reason::WorthKeeping => "worth keeping",
        Reason::Decided(_) => "decided",
        Reason::TooLittleImprovement(_) => "min_improvement",
        Reason::TooSmallShare(_) => "share of the workload",
        Reason::NothingLeftToGain => "nothing left to gain",
        Reason::CostsMore { .. } => "costs more",
        Reason::LosesHot { .. } => "loses HOT updates",
        Reason::NoRoom(_) => "no room",
        Reason::Goal(..) => "goals",
        Reason::Regresses { .. } => "max_regression",
        Reason::WithinGap => "within the gap",
    }
}

fn recommendation(
    assembled: &Assembled,
    advice: &Advice,
    decision: &Decision,
    known: &Known,
    statements: &[Statement],
    relation: &RelationInfo,
    settings: &Settings,
) -> Recommendation {
    let option = &assembled.workload.options[decision.option].option;
    let gains: Vec<Gain> = decision
        .statements
        .iter()
        .map(|&(q, saved_ms)| Gain {
            statement: statements[q].id,
            label: statements[q].label.clone(),
            cost_before: advice.statements[q].cost_before,
            cost_after: advice.statements[q].cost_after,
            calls_per_day: statements[q].calls_per_day,
            saved_ms,
            key: None,
            plans: None,
        })
        .collect();
    let concerned: f64 = decision
        .statements
        .iter()
        .map(|&(q, _)| advice.statements[q].ms_before)
        .sum();
    let calls: f64 = gains.iter().map(|gain| gain.calls_per_day).sum();
    let cost_a_day = decision.write_ms
        + settings.rules.act_factor * option.build_ms / settings.rules.horizon_days.max(1.0);
    let saved = decision.saving_ms.max(0.0);
    let (kind, name, action, bytes, build_cost) = match known {
        Known::Candidate { definition, size } => (
            IntentKind::CreateIndex {
                definition: definition.clone(),
                name: definition.canonical_name("ip"),
            },
            definition.clone(),
            "create",
            size.bytes,
            size.build_cost,
        ),
        Known::Existing(index) => {
            let definition = index
                .definition
                .clone()
                .unwrap_or_else(|| IndexDefinition::btree(relation.name.clone(), Vec::new()));
            (
                IntentKind::DropIndex {
                    index: index.oid,
                    name: indexpilot_model::identifier::QualifiedName::new(
                        relation.name.schema.clone(),
                        index.name.clone(),
                    ),
                    definition: definition.clone(),
                },
                definition,
                "drop",
                index.bytes,
                0.0,
            )
        }
    };
    let per_call = if calls > 0.0 {
        saved / calls / settings.ms_per_unit.max(1e-12)
    } else {
        0.0
    };
    let measured = decision
        .statements
        .iter()
        .filter(|(q, _)| statements[*q].load.seen_ms().is_some())
        .count();
    Recommendation {
        identity: identity(action, &name),
        kind,
        relation: relation.name.clone(),
        benefit: if concerned > 0.0 {
            (saved / concerned).min(1.0)
        } else {
            0.0
        },
        saved_ms_per_day: saved,
        bytes,
        build_ms: build_cost * settings.ms_per_unit,
        write_ms_per_day: decision.write_ms,
        break_even_calls: (saved > 0.0 && action == "create").then(|| calls * cost_a_day / saved),
        confidence: confidence(
            advice,
            decision,
            measured,
            matches!(known, Known::Candidate { size, .. } if size.rough),
            relation,
        ),
        tenants: tenants(decision, statements),
        reason: sentence(decision, known, relation),
        rule: rule::judge(relation, calls, per_call, build_cost).sentence,
        alternatives: Vec::new(),
        statements: gains,
    }
}

/// How much stands behind the numbers: measured weights, an exact check by the planner,
/// statistics, a size formula that is not rough, and a gain well above the planner's noise.
fn confidence(
    advice: &Advice,
    decision: &Decision,
    measured: usize,
    rough: bool,
    relation: &RelationInfo,
) -> f64 {
    let count = decision.statements.len().max(1) as f64;
    let mut confidence: f64 = 0.4;
    confidence += 0.25 * measured as f64 / count;
    if advice.verified {
        confidence += 0.2;
    }
    let analysed = relation.attributes.iter().any(|a| a.distinct.is_some());
    if analysed {
        confidence += 0.1;
    }
    if !rough {
        confidence += 0.05;
    }
    confidence.clamp(0.0, 1.0)
}

fn tenants(decision: &Decision, statements: &[Statement]) -> Vec<(String, f64)> {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    let total: f64 = decision.statements.iter().map(|(_, ms)| ms).sum();
    for &(q, ms) in &decision.statements {
        for (tenant, share) in &statements[q].tenants {
            *shares.entry(tenant).or_insert(0.0) += share * ms / total.max(1e-12);
        }
    }
    let mut out: Vec<(String, f64)> = shares
        .into_iter()
        .map(|(tenant, share)| (tenant.to_string(), share))
        .collect();
    out.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    out.truncate(20);
    out
}

fn sentence(decision: &Decision, known: &Known, relation: &RelationInfo) -> String {
    match known {
        Known::Candidate { definition, .. } => {
            let partial = options::predicate_for_people(definition)
                .map(|predicate| format!(", for the rows with {predicate}"))
                .unwrap_or_default();
            format!(
                "an index on {}({}){partial} {}",
                relation.name.name,
                definition
                    .keys
                    .iter()
                    .map(|key| key.element.for_people())
                    .collect::<Vec<_>>()
                    .join(", "),
                decision.sentence
            )
        }
        Known::Existing(index) => {
            let by = crate::candidates::existing::redundant(relation)
                .into_iter()
                .find(|(narrow, _)| relation.indexes[*narrow].oid == index.oid)
                .map(|(_, wide)| relation.indexes[wide].name.clone());
            match by {
                Some(wide) => format!(
                    "index {} is needless beside {wide}, which does everything it does; {}",
                    index.name, decision.sentence
                ),
                None => format!(
                    "index {} was not scanned in {:.0} days; {}",
                    index.name,
                    index.counted_seconds / 86_400.0,
                    decision.sentence
                ),
            }
        }
    }
}
