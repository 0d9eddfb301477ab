//! Small invented results for the tests of report and verification.
use crate::application::Kind;
use crate::comparison::PatternTimes;
use crate::latency::Summary;
use crate::pattern::{Area, Kind as Effect, Protocol};
use crate::persona::Persona;
use crate::results::*;
use crate::scenario::Scenario;
use crate::traffic::{Load, PatternLoad, Second};

fn summary(mean: f64) -> Summary {
    Summary {
        count: 20,
        mean,
        p50: mean * 0.9,
        p95: mean * 2.0,
        p99: mean * 3.0,
    }
}

fn load(throughput: f64, means: &[f64]) -> Load {
    Load {
        seconds: 10.0,
        operations: (throughput * 10.0) as u64,
        throughput,
        latency: summary(4e6 / throughput),
        patterns: means
            .iter()
            .map(|m| PatternLoad {
                latency: summary(*m),
                errors: 0,
            })
            .collect(),
        timeline: (0..10)
            .map(|_| Second {
                operations: throughput as u64,
                latency_sum: throughput * 100.0,
            })
            .collect(),
        ..Load::default()
    }
}

fn variant(name: &str, means: [f64; 3]) -> Variant {
    let mut samples = Samples::default();
    for i in 0..60u32 {
        let p = (i % 3) as usize;
        samples.pattern.push(p as u16);
        samples.tenant.push(i % 2);
        samples
            .latency
            .push(means[p] * (1.0 + f64::from(i % 7) / 50.0));
    }
    let built = name == AUTO || name == EXPERT;
    Variant {
        name: name.into(),
        database: format!("sim_{name}"),
        indexes: if built {
            vec![IndexInfo {
                name: "crm.ip_contacts_email".into(),
                table: "crm.contacts".into(),
                definition:
                    "CREATE INDEX ip_contacts_email ON crm.contacts USING btree (lower(email))"
                        .into(),
                columns: vec!["crm.contacts.email".into()],
                bytes: 6_800_000,
                scans: 4_000,
            }]
        } else {
            Vec::new()
        },
        index_bytes: if built { 6_800_000 } else { 0 },
        times: means
            .iter()
            .map(|m| PatternTimes {
                latency: summary(*m),
                cpu: Some(m * 0.9),
            })
            .collect(),
        samples,
        wal_per_thousand: Some(if built { 120_000.0 } else { 90_000.0 }),
        load: Some(load(4e6 / means.iter().sum::<f64>(), &means)),
    }
}

/// Results of a good run: baseline, observed, auto, expert; three patterns, two tenants.
pub fn results() -> Results {
    let pattern = |name: &str, effect, frequency, rare| PatternInfo {
        name: name.into(),
        area: if rare { Area::Rare } else { Area::Email },
        effect,
        protocol: Protocol::Prepared,
        frequency,
        rare,
        sql: vec![format!("SELECT 1 /* {name} <b> */")],
    };
    Results {
        format: FORMAT,
        simulator: "0.1.0".into(),
        finished_at: "2026-01-01T00:00:00Z".into(),
        took: 560.0,
        application: Kind::Crm,
        scenario: Scenario::Small,
        seed: 42,
        server: "15.20".into(),
        collation: "ICU en-US".into(),
        rows: 1_000,
        bytes: 273_000_000,
        clients: 4,
        settings: vec![Setting {
            name: "indexpilot.cooldown".into(),
            value: "1s".into(),
            default: "30s".into(),
            why: "short".into(),
        }],
        tenants: vec![
            TenantInfo {
                id: 1,
                persona: Persona::Enterprise,
                size: 0.8,
            },
            TenantInfo {
                id: 2,
                persona: Persona::Niche,
                size: 0.2,
            },
        ],
        patterns: vec![
            pattern("contact_by_email", Effect::Read, 0.8, false),
            pattern("add_contact", Effect::Write, 0.199, false),
            pattern("fax_report", Effect::Read, 0.001, true),
        ],
        rare_columns: vec!["crm.contacts.fax".into()],
        variants: vec![
            variant(BASELINE, [15_000.0, 300.0, 12_000.0]),
            variant(OBSERVED, [15_050.0, 301.0, 12_010.0]),
            variant(AUTO, [80.0, 310.0, 12_000.0]),
            variant(EXPERT, [79.0, 305.0, 12_000.0]),
        ],
        learning: Some(Learning {
            load: load(500.0, &[80.0, 300.0, 12_000.0]),
            enabled_at: 3.0,
            events: vec![Event {
                at: 5.0,
                what: "built   ip_contacts_email ON crm.contacts".into(),
            }],
            mutations: vec![Mutation {
                at: "2026-01-01".into(),
                action: "create_index".into(),
                outcome: "kept".into(),
                table: "crm.contacts".into(),
                index: "ip_contacts_email".into(),
                definition: "CREATE INDEX ip_contacts_email ON crm.contacts (lower(email))".into(),
                reason: "contact_by_email took 15 ms".into(),
                row: serde_json::Value::Null,
            }],
            recommendations: vec![Recommendation {
                action: "create_index".into(),
                table: "crm.contacts".into(),
                definition: "…(fax)".into(),
                status: "rejected".into(),
                reason: "used once".into(),
                row: serde_json::Value::Null,
            }],
            fields: Vec::new(),
        }),
        advice: None,
        notes: vec!["a note".into()],
    }
}
