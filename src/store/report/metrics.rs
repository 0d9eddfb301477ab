//! Metrics in Prometheus' text format (version 0.0.4).

use super::are_there;
use crate::pg::{ddl_notices, spi};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::fmt::Write;

/// A family of samples. The query gives a value (float8) and up to two labels.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    needs: &'static [&'static str],
    query: &'static str,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "indexpilot_mutations",
        kind: "gauge",
        help: "Actions in the mutation log (retention removes old ones), by kind and state.",
        labels: &["kind", "state"],
        needs: &["mutations"],
        query: "SELECT count(*)::float8, kind, state FROM indexpilot.mutations GROUP BY 2, 3 ORDER BY 2, 3",
    },
    Family {
        name: "indexpilot_log_sequence",
        kind: "counter",
        help: "Newest place in the chain of the mutation log.",
        labels: &[],
        needs: &["mutation_log"],
        query: "SELECT coalesce(max(sequence), 0)::float8 FROM indexpilot.mutation_log
                WHERE log_oid = 'indexpilot.mutation_log'::regclass",
    },
    Family {
        name: "indexpilot_genome_fields",
        kind: "gauge",
        help: "Fields of the genome, by whether an index can have them as a key.",
        labels: &["indexable"],
        needs: &["genome_catalog"],
        query: "SELECT count(*)::float8, indexable::text FROM indexpilot.genome_catalog GROUP BY 2 ORDER BY 2",
    },
    Family {
        name: "indexpilot_declared_tenants",
        kind: "gauge",
        help: "Tenants with a declared profile.",
        labels: &[],
        needs: &["expression_tenant"],
        query: "SELECT count(*)::float8 FROM indexpilot.expression_tenant",
    },
    Family {
        name: "indexpilot_own_indexes",
        kind: "gauge",
        help: "Indexes built by IndexPilot that exist.",
        labels: &[],
        needs: &["mutation_log"],
        query: "SELECT count(DISTINCT c.oid)::float8 FROM indexpilot.mutation_log AS m
                JOIN pg_catalog.pg_class AS c ON c.relname = m.index_name AND c.relkind IN ('i', 'I')
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = m.index_schema
                WHERE m.kind = 'CREATE_INDEX'",
    },
    Family {
        name: "indexpilot_own_index_bytes",
        kind: "gauge",
        help: "Bytes of the indexes built by IndexPilot that exist.",
        labels: &[],
        needs: &["mutation_log"],
        query: "SELECT coalesce(sum(pg_relation_size(o.oid)), 0)::float8 FROM (
                    SELECT DISTINCT c.oid FROM indexpilot.mutation_log AS m
                    JOIN pg_catalog.pg_class AS c ON c.relname = m.index_name AND c.relkind IN ('i', 'I')
                    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = m.index_schema
                    WHERE m.kind = 'CREATE_INDEX') AS o",
    },
    Family {
        name: "indexpilot_recommendations",
        kind: "gauge",
        help: "Recommendations, by action and state.",
        labels: &["action", "state"],
        needs: &["recommendation"],
        query: "SELECT count(*)::float8, action, state FROM indexpilot.recommendation GROUP BY 2, 3 ORDER BY 2, 3",
    },
    Family {
        name: "indexpilot_jobs",
        kind: "gauge",
        help: "Jobs of the worker, by state.",
        labels: &["state"],
        needs: &["job"],
        query: "SELECT count(*)::float8, state FROM indexpilot.job GROUP BY 2 ORDER BY 2",
    },
    Family {
        name: "indexpilot_safeguard_refusals_total",
        kind: "counter",
        help: "Actions that a safeguard refused or delayed.",
        labels: &["safeguard"],
        needs: &["safeguard"],
        query: "SELECT sum(refused + delayed)::float8, name FROM indexpilot.safeguard GROUP BY 2 ORDER BY 2",
    },
    Family {
        name: "indexpilot_statements",
        kind: "gauge",
        help: "Statements known.",
        labels: &[],
        needs: &["statement"],
        query: "SELECT count(*)::float8 FROM indexpilot.statement",
    },
];

/// All metrics of this database; the caller's rights are checked before.
///
/// # Errors
/// What SPI reports.
pub fn metrics() -> SpiResult<String> {
    spi::as_extension_owner(|| {
        let mut out = String::new();
        for family in FAMILIES {
            if !are_there(family.needs)? {
                continue;
            }
            head(&mut out, family.name, family.kind, family.help);
            Spi::connect(|client| {
                for row in client.select(family.query, None, &[])? {
                    let mut labels = Vec::new();
                    for (place, label) in family.labels.iter().enumerate() {
                        let value: String = row.get(place + 2)?.unwrap_or_default();
                        labels.push(format!("{label}=\"{}\"", escape(&value)));
                    }
                    let labels = if labels.is_empty() {
                        String::new()
                    } else {
                        format!("{{{}}}", labels.join(","))
                    };
                    let value: f64 = row.get(1)?.unwrap_or(0.0);
                    let _ = writeln!(out, "{}{labels} {value}", family.name);
                }
                Ok::<_, pgrx::spi::SpiError>(())
            })?;
        }
        let name = "indexpilot_ddl_notices_lost_total";
        head(
            &mut out,
            name,
            "counter",
            "Notices of DDL that found no room in shared memory, in the whole cluster since its start.",
        );
        let _ = writeln!(out, "{name} {}", ddl_notices::lost());
        Ok(out)
    })
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// A label's value: backslash, quote and newline are escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
