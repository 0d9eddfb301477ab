//! `results.json`: everything that a demonstration measured, and nothing that it did not.
use crate::application::Kind;
use crate::comparison::PatternTimes;
use crate::pattern::{Area, Kind as Effect, Protocol};
use crate::persona::Persona;
use crate::scenario::Scenario;
use crate::traffic::Load;
use serde::{Deserialize, Serialize};

/// Version of this format.
pub const FORMAT: u32 = 1;

/// Name of the variant without library and indexes.
pub const BASELINE: &str = "baseline";
/// Name of the variant that is watched only.
pub const OBSERVED: &str = "observed";
/// Name of the variant that IndexPilot runs.
pub const AUTO: &str = "auto";
/// Name of the variant with the indexes that `advise()` proposes for the statements, built at once.
pub const ADVISED: &str = "advised";
/// Name of the variant with indexes made by hand.
pub const EXPERT: &str = "expert";

/// All results of one demonstration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the simulator.
    pub simulator: String,
    /// When it ended, ISO 8601.
    pub finished_at: String,
    /// Wall time, seconds.
    pub took: f64,
    /// Which application.
    pub application: Kind,
    /// Which size.
    pub scenario: Scenario,
    /// Seed of data and traffic.
    pub seed: u64,
    /// Server version.
    pub server: String,
    /// Collation of the databases.
    pub collation: String,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of the database before any secondary index.
    pub bytes: i64,
    /// Clients of the loads.
    pub clients: usize,
    /// Settings that differ from the defaults for the sake of a short demonstration, and why.
    pub settings: Vec<Setting>,
    /// Customers.
    pub tenants: Vec<TenantInfo>,
    /// Statements.
    pub patterns: Vec<PatternInfo>,
    /// Columns that only rare statements filter on.
    pub rare_columns: Vec<String>,
    /// What was compared, baseline first.
    pub variants: Vec<Variant>,
    /// How the database got faster while IndexPilot worked.
    pub learning: Option<Learning>,
    /// What `advise()` said, where it was asked.
    #[serde(default)]
    pub advice: Option<Advice>,
    /// Steps that could not be done, and why.
    pub notes: Vec<String>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Name.
    pub name: String,
    /// Value for the demonstration.
    pub value: String,
    /// The default that production has.
    pub default: String,
    /// Why it differs.
    pub why: String,
}

/// One customer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantInfo {
    /// Key.
    pub id: u32,
    /// Persona.
    pub persona: Persona,
    /// Share of the data, 0–1.
    pub size: f64,
}

/// One statement pattern.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PatternInfo {
    /// Name.
    pub name: String,
    /// Area of the application.
    pub area: Area,
    /// Reads or writes.
    pub effect: Effect,
    /// Protocol.
    pub protocol: Protocol,
    /// Share of all operations, 0–1.
    pub frequency: f64,
    /// Whether it is one of those for which nothing should be built.
    pub rare: bool,
    /// Statements.
    pub sql: Vec<String>,
}

/// One way of running the application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Variant {
    /// Name.
    pub name: String,
    /// Its database.
    pub database: String,
    /// Secondary indexes at the end.
    pub indexes: Vec<IndexInfo>,
    /// Bytes of the secondary indexes.
    pub index_bytes: i64,
    /// The fair comparison, by pattern.
    pub times: Vec<PatternTimes>,
    /// Samples of the fair comparison in order, equal positions being equal operations.
    pub samples: Samples,
    /// WAL written per thousand operations of the comparison, bytes.
    pub wal_per_thousand: Option<f64>,
    /// Under load.
    pub load: Option<Load>,
}

/// Raw samples, column by column.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Samples {
    /// Pattern numbers.
    pub pattern: Vec<u16>,
    /// Tenant positions.
    pub tenant: Vec<u32>,
    /// Latencies, microseconds, a tenth exact.
    pub latency: Vec<f64>,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexInfo {
    /// Schema-qualified name.
    pub name: String,
    /// Schema-qualified table.
    pub table: String,
    /// pg_get_indexdef.
    pub definition: String,
    /// Columns that it reads: keys, expressions, predicate, INCLUDE (pg_depend).
    pub columns: Vec<String>,
    /// Bytes.
    pub bytes: i64,
    /// Scans counted by the server.
    pub scans: i64,
}

/// The answer of `advise()` for the statements of the application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Advice {
    /// Wall time of the call, seconds.
    pub seconds: f64,
    /// CPU time of the backend during the call, seconds, where it can be read.
    pub cpu: Option<f64>,
    /// Statements that were handed over.
    pub statements: usize,
    /// The proposed indexes.
    pub indexes: Vec<Recommendation>,
}

/// The time in which IndexPilot learned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Learning {
    /// The load meanwhile.
    pub load: Load,
    /// When the library was allowed to act, seconds from the start of the load.
    pub enabled_at: f64,
    /// What it did, in order.
    pub events: Vec<Event>,
    /// The mutation log at the end.
    pub mutations: Vec<Mutation>,
    /// Recommendations at the end, acted upon or not.
    pub recommendations: Vec<Recommendation>,
    /// Fields that were seen in filters, and how often.
    pub fields: Vec<Field>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds from the start of the load.
    pub at: f64,
    /// What.
    pub what: String,
}

/// One row of the mutation log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mutation {
    /// When, as the server prints it.
    pub at: String,
    /// Kind of action.
    pub action: String,
    /// How it ended.
    pub outcome: String,
    /// Table.
    pub table: String,
    /// Name of the index.
    pub index: String,
    /// Definition.
    pub definition: String,
    /// Why.
    pub reason: String,
    /// The row as JSON, for whoever wants all of it.
    pub row: serde_json::Value,
}

/// One recommendation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Action.
    pub action: String,
    /// Table.
    pub table: String,
    /// Definition.
    pub definition: String,
    /// Its state.
    pub status: String,
    /// Why, or why not.
    pub reason: String,
    /// The row as JSON.
    pub row: serde_json::Value,
}

/// Use of one field in one role as the library counted it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// schema.table.column.
    pub column: String,
    /// What statements do with it: equality, range, order, …
    pub role: String,
    /// Executions.
    pub calls: i64,
    /// Time of the statements that use it so, milliseconds.
    pub total_ms: f64,
    /// Tenants that use it so.
    pub tenants: i64,
}

impl Results {
    /// A variant by name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|v| v.name == name)
    }

    /// Mean client latency of one operation of the real mix in the comparison, microseconds.
    pub fn total_latency(&self, name: &str) -> Option<f64> {
        let frequencies: Vec<f64> = self.patterns.iter().map(|p| p.frequency).collect();
        crate::comparison::weighted_total(&frequencies, &self.variant(name)?.times, |t| {
            Some(t.latency.mean)
        })
    }

    /// Mean CPU time of one operation of the real mix, microseconds; `None` when it could not be read.
    pub fn total_cpu(&self, name: &str) -> Option<f64> {
        let v = self.variant(name)?;
        let mut sum = 0.0;
        for (p, t) in self.patterns.iter().zip(&v.times) {
            if t.latency.count > 0 {
                sum += p.frequency * t.cpu?;
            }
        }
        Some(sum)
    }

    /// The share (0–1) of the baseline's time that a variant leaves: CPU time of the backend where it can be
    /// read, client latency otherwise.
    pub fn time_left(&self, name: &str) -> Option<f64> {
        match (self.total_cpu(name), self.total_cpu(BASELINE)) {
            (Some(a), Some(b)) => Some(a / b),
            _ => Some(self.total_latency(name)? / self.total_latency(BASELINE)?),
        }
    }

    /// What [`Results::time_left`] measures.
    pub fn clock(&self) -> &'static str {
        if self.total_cpu(BASELINE).is_some() {
            "CPU time of the backend"
        } else {
            "client latency"
        }
    }

    /// Patterns that a filter dominates: at the baseline each execution takes at least a millisecond, and
    /// indexes (the expert's where there is an expert) at least halve it.
    pub fn heavy(&self) -> Vec<usize> {
        let Some(before) = self.variant(BASELINE) else {
            return Vec::new();
        };
        let best = self.variant(EXPERT).or_else(|| self.variant(AUTO));
        (0..self.patterns.len())
            .filter(|p| {
                let time = |v: &Variant| v.times[*p].cpu.unwrap_or(v.times[*p].latency.mean);
                !self.patterns[*p].rare
                    && time(before) >= 1_000.0
                    && best.is_some_and(|b| time(b) <= time(before) / 2.0)
            })
            .collect()
    }

    /// Lower confidence bound of after/before client latency of a pattern on a variant, over paired samples;
    /// `None` with too few.
    pub fn slower(&self, variant: &str, pattern: usize) -> Option<f64> {
        let (before, after) = (self.variant(BASELINE)?, self.variant(variant)?);
        let of = |v: &Variant| -> Vec<f64> {
            v.samples
                .pattern
                .iter()
                .zip(&v.samples.latency)
                .filter(|(p, _)| usize::from(**p) == pattern)
                .map(|(_, l)| *l)
                .collect()
        };
        crate::latency::slower_by_at_least(&of(before), &of(after))
    }

    /// For each tenant (position): mean of the comparison's latencies before and on a variant, microseconds,
    /// and the number of operations.
    pub fn by_tenant(&self, variant: &str) -> Vec<(f64, f64, usize)> {
        let mut sums = vec![(0.0, 0.0, 0usize); self.tenants.len()];
        if let (Some(before), Some(after)) = (self.variant(BASELINE), self.variant(variant)) {
            for ((t, b), a) in before
                .samples
                .tenant
                .iter()
                .zip(&before.samples.latency)
                .zip(&after.samples.latency)
            {
                let s = &mut sums[*t as usize];
                s.0 += b;
                s.1 += a;
                s.2 += 1;
            }
        }
        sums.into_iter()
            .map(|(b, a, n)| (b / n.max(1) as f64, a / n.max(1) as f64, n))
            .collect()
    }
}
