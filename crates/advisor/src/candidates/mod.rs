//! Candidates: which indexes could serve a workload at all.
//!
//! From the shapes of the statements to typed definitions, in stages that the literature
//! names (S. Chaudhuri, V. Narasayya: "An Efficient, Cost-Driven Index Selection Tool for
//! Microsoft SQL Server", VLDB 1997; "Index Merging", ICDE 1999):
//!
//! 1. [`sargs`]: search arguments of every relation instance, closed over equivalence
//!    classes (P. Selinger et al., SIGMOD 1979; PostgreSQL's optimizer/README);
//! 2. [`sequences`]: key sequences: equalities first, then one range or one order (the
//!    "three-star index" of T. Lahdenmäki and M. Leach, 2005);
//! 3. [`covering`]: INCLUDE payloads that make index-only scans possible;
//! 4. [`partial`]: predicates that the statements imply;
//! 5. [`methods`]: GIN, GiST, BRIN and hash, by operator;
//! 6. [`foreign_keys`]: what referential actions have to search;
//! 7. [`merge`]: one index in place of two;
//! 8. [`existing`]: away with what is there already.
//!
//! Nothing here decides that an index is *good*: the planner prices, the solver chooses.
//! A definition that the server would not accept (a volatile expression, say) is found out
//! when it is registered with the planner port.

pub mod covering;
pub mod existing;
pub mod foreign_keys;
pub mod merge;
pub mod methods;
pub mod partial;
pub mod sargs;
pub mod sequences;

use indexpilot_model::{IndexDefinition, Oid, QueryShape, RelationInfo};
use sargs::Instance;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What bounds the generator, and what the database offers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keys of an index, at most (`max_columns_per_index`).
    pub max_columns: usize,
    /// Candidates from one statement, at most.
    pub most_per_statement: usize,
    /// Candidates on one relation beside those of [`Settings::each_statement`], at most.
    pub most_per_relation: usize,
    /// Candidates that each statement keeps whatever the others propose, its fittest: or a
    /// few statements that take the most time would crowd out what all others need.
    pub each_statement: usize,
    /// Columns of a payload, at most; 0 proposes none.
    pub max_include: usize,
    /// Bytes of a payload a row, at most.
    pub max_include_bytes: f64,
    /// Schema of the extension pg_trgm, where it is installed.
    pub trigram_schema: Option<String>,
    /// Attributes (relation, number) that no index may contain: the operator said so.
    pub refused: std::collections::BTreeSet<(u32, i16)>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_columns: 4,
            most_per_statement: 40,
            most_per_relation: 120,
            each_statement: 6,
            max_include: 6,
            max_include_bytes: 64.0,
            trigram_schema: None,
            refused: std::collections::BTreeSet::new(),
        }
    }
}

/// One statement as the generator sees it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What it does with which fields.
    pub shape: &'a QueryShape,
    /// Its share of the workload's time, any scale: decides what falls away first.
    pub weight: f64,
    /// All constants in the shape are known to be the same in (nearly) all calls, so that a
    /// partial index on them helps all of them. Otherwise only constants that name states are
    /// believed to be.
    pub constants_fixed: bool,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Search arguments of a statement.
    Search,
    /// ORDER BY, GROUP BY, DISTINCT, min() or max().
    Order,
    /// An index-only scan.
    Covering,
    /// A predicate that a statement implies.
    Partial,
    /// An operator that only another access method serves.
    Method,
    /// A foreign key without supporting index.
    ForeignKey,
    /// Two candidates made one.
    Merged,
}

/// A possible index.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it would be.
    pub definition: IndexDefinition,
    /// Where it comes from; more than one where stages agree.
    pub origins: BTreeSet<Origin>,
    /// Statements that could use it, ascending.
    pub statements: Vec<usize>,
    /// Rank among the candidates of its relation: Σ weight × fit. Not a price.
    pub score: f64,
    /// Best place that it has among the candidates of a statement, 0 the fittest.
    pub place: usize,
}

/// A definition that was thought of and dropped, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What it would have been.
    pub definition: IndexDefinition,
    /// Why not, a sentence.
    pub why: String,
    /// Statements that it was thought of for.
    pub statements: Vec<usize>,
}

/// All that comes out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// In a repeatable order: by relation, then by score.
    pub candidates: Vec<Candidate>,
    /// Thought of and dropped.
    pub refused: Vec<Refused>,
}

/// A proposal of one stage for one statement.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The index.
    pub definition: IndexDefinition,
    /// The stage.
    pub origin: Origin,
    /// How well it fits, 0…100: decides what falls away first.
    pub fit: f64,
}

/// The search instances of all statements, by statement.
pub fn instances(
    sources: &[Source],
    relations: &BTreeMap<Oid, RelationInfo>,
) -> Vec<Vec<Instance>> {
    sources
        .iter()
        .map(|source| sargs::collect(source.shape, relations))
        .collect()
}

/// Generates candidates for all statements together.
pub fn generate(
    sources: &[Source],
    relations: &BTreeMap<Oid, RelationInfo>,
    settings: &Settings,
) -> Generated {
    let instances = instances(sources, relations);
    let sharing = sequences::Sharing::count(&instances);
    let mut found: HashMap<IndexDefinition, Candidate> = HashMap::new();
    for (number, (source, instances)) in sources.iter().zip(&instances).enumerate() {
        let mut proposals = Vec::new();
        for instance in instances {
            let Some(relation) = relations.get(&instance.relation) else {
                continue;
            };
            propose(
                instance,
                relation,
                &sharing,
                source.constants_fixed,
                settings,
                &mut proposals,
            );
        }
        let mut places: BTreeMap<Oid, usize> = BTreeMap::new();
        for proposal in best(proposals, settings.most_per_statement) {
            let place = places.entry(proposal.definition.relation.oid).or_default();
            add(&mut found, proposal, number, source.weight, *place);
            *place += 1;
        }
    }
    for relation in relations.values() {
        for definition in foreign_keys::unsupported(relation) {
            let proposal = Proposal {
                definition,
                origin: Origin::ForeignKey,
                fit: 50.0,
            };
            let candidate = entry(&mut found, proposal.definition);
            candidate.origins.insert(proposal.origin);
            candidate.score += proposal.fit;
            candidate.place = 0;
        }
    }
    let mut by_relation: BTreeMap<Oid, Vec<Candidate>> = BTreeMap::new();
    for candidate in found.into_values() {
        by_relation
            .entry(candidate.definition.relation.oid)
            .or_default()
            .push(candidate);
    }
    let mut out = Generated::default();
    for (oid, mut candidates) in by_relation {
        let Some(relation) = relations.get(&oid) else {
            continue;
        };
        sort(&mut candidates);
        merge::add_merged(&mut candidates, settings);
        sort(&mut candidates);
        keep_best(&mut candidates, settings);
        for mut candidate in candidates {
            candidate.statements = relevant(&candidate.definition, relation, &instances);
            match existing::covered_by(&candidate.definition, relation) {
                Some(why) => out.refused.push(Refused {
                    definition: candidate.definition,
                    why,
                    statements: candidate.statements,
                }),
                None => out.candidates.push(candidate),
            }
        }
    }
    out
}

/// Everything one instance suggests.
fn propose(
    instance: &Instance,
    relation: &RelationInfo,
    sharing: &sequences::Sharing,
    constants_fixed: bool,
    settings: &Settings,
    out: &mut Vec<Proposal>,
) {
    let plain = sequences::propose(instance, relation, sharing, settings);
    for proposal in &plain {
        out.extend(covering::with_payload(
            proposal, instance, relation, settings,
        ));
    }
    out.extend(covering::narrow_copy(instance, relation, settings));
    let partial = partial::propose(&plain, instance, relation, constants_fixed);
    for proposal in &partial {
        out.extend(covering::with_payload(
            proposal, instance, relation, settings,
        ));
    }
    out.extend(plain);
    out.extend(partial);
    out.extend(methods::propose(instance, relation, settings));
}

/// The fittest, each definition once.
fn best(mut proposals: Vec<Proposal>, most: usize) -> Vec<Proposal> {
    proposals.sort_by(|a, b| {
        b.fit
            .total_cmp(&a.fit)
            .then_with(|| a.definition.cmp(&b.definition))
    });
    let mut seen = BTreeSet::new();
    proposals.retain(|proposal| seen.insert(proposal.definition.clone()));
    proposals.truncate(most);
    proposals
}

fn entry(
    found: &mut HashMap<IndexDefinition, Candidate>,
    definition: IndexDefinition,
) -> &mut Candidate {
    found
        .entry(definition.clone())
        .or_insert_with(|| Candidate {
            definition,
            origins: BTreeSet::new(),
            statements: Vec::new(),
            score: 0.0,
            place: usize::MAX,
        })
}

fn add(
    found: &mut HashMap<IndexDefinition, Candidate>,
    proposal: Proposal,
    statement: usize,
    weight: f64,
    place: usize,
) {
    let candidate = entry(found, proposal.definition);
    candidate.origins.insert(proposal.origin);
    if candidate.statements.last() != Some(&statement) {
        candidate.statements.push(statement);
    }
    candidate.score += weight.max(f64::MIN_POSITIVE) * proposal.fit;
    candidate.place = candidate.place.min(place);
}

/// The fittest of each statement and the highest ranked of the rest, in their order.
fn keep_best(candidates: &mut Vec<Candidate>, settings: &Settings) {
    let mut room = settings.most_per_relation;
    candidates.retain(|candidate| {
        let by_right = candidate.place < settings.each_statement;
        let keep = by_right || room > 0;
        if keep {
            room = room.saturating_sub(1);
        }
        keep
    });
}

fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.definition.cmp(&b.definition))
    });
}

/// Statements that could use an index with this definition at all.
pub fn relevant(
    definition: &IndexDefinition,
    relation: &RelationInfo,
    instances: &[Vec<Instance>],
) -> Vec<usize> {
    let predicate: Vec<u64> = definition
        .predicate
        .as_ref()
        .map(|predicate| {
            partial::conjuncts(predicate)
                .iter()
                .map(|conjunct| conjunct.fingerprint())
                .collect()
        })
        .unwrap_or_default();
    instances
        .iter()
        .enumerate()
        .filter(|(_, instances)| {
            instances
                .iter()
                .filter(|instance| instance.relation == relation.name.oid)
                .any(|instance| instance.could_use(definition, &predicate))
        })
        .map(|(number, _)| number)
        .collect()
}
