//! Tables whose statistics are missing or far behind: every price rests on them, so they are
//! told before anything is built. Autovacuum analyses by itself; what is found here is what it
//! was kept from, or told not to.

use crate::pg::spi;
use indexpilot_advisor::plan::{Gain, MS_PER_UNIT, Recommendation};
use indexpilot_advisor::workload::Statement;
use indexpilot_model::hash::StableHash;
use indexpilot_model::query::RelationName;
use indexpilot_model::{IntentKind, Oid};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::BTreeSet;

/// Pages that ANALYZE reads of a column with the default target: 300 rows a target of 100.
const SAMPLED_PAGES: f64 = 30_000.0;
/// Statements named.
const STATEMENTS: usize = 10;

/// ANALYZE for the tables of these statements that need it. Thresholds: a table of 1 MB or
/// more without any statistics, or one with more than twice the changes at which autovacuum
/// would have analysed it (of its defaults: 50 rows and a tenth) and a thousand.
///
/// # Errors
/// What SPI reports.
pub fn behind(statements: &[Statement]) -> SpiResult<Vec<Recommendation>> {
    let relations: BTreeSet<Oid> = statements
        .iter()
        .flat_map(|statement| &statement.shapes)
        .flat_map(|shape| &shape.instances)
        .map(|instance| instance.relation.oid)
        .collect();
    let oids: Vec<pg_sys::Oid> = relations.into_iter().map(pg_sys::Oid::from).collect();
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT r.oid, r.nspname, r.relname, r.tuples, r.changes, r.pages, r.missing
                 FROM (SELECT c.oid, n.nspname::text, c.relname::text,
                         greatest(c.reltuples, 0)::double precision AS tuples,
                         pg_stat_get_mod_since_analyze(c.oid)::double precision AS changes,
                         pg_relation_size(c.oid)::double precision
                             / current_setting('block_size')::integer AS pages,
                         NOT EXISTS (SELECT FROM pg_statistic AS s WHERE s.starelid = c.oid) AS missing
                     FROM unnest($1::oid[]) AS t (oid)
                     JOIN pg_class AS c ON c.oid = t.oid
                     JOIN pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
                       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'indexpilot')
                 ) AS r
                 WHERE r.missing AND r.pages * current_setting('block_size')::integer >= 1048576
                    OR NOT r.missing AND r.changes > 1000 + 2 * (50 + 0.1 * r.tuples)
                 ORDER BY r.changes DESC, r.oid",
                None,
                &[oids.into()],
            )?;
            let mut found = Vec::new();
            for row in rows {
                let relation = RelationName {
                    oid: row.get::<pg_sys::Oid>(1)?.map_or(0, pg_sys::Oid::to_u32),
                    schema: row.get::<String>(2)?.unwrap_or_default(),
                    name: row.get::<String>(3)?.unwrap_or_default(),
                };
                let number = |column| row.get::<f64>(column).map(Option::unwrap_or_default);
                let reason = if row.get::<bool>(7)?.unwrap_or(false) {
                    format!(
                        "{}.{} has no statistics: the planner guesses, and so do all prices of its indexes",
                        relation.schema, relation.name
                    )
                } else {
                    format!(
                        "{:.0} rows of {}.{} changed since its last ANALYZE, which saw {:.0}: plans, and prices of its indexes, rest on what was there then",
                        number(5)?,
                        relation.schema,
                        relation.name,
                        number(4)?
                    )
                };
                found.push(recommendation(relation, reason, number(6)?, statements));
            }
            Ok(found)
        })
    })
}

fn recommendation(
    relation: RelationName,
    reason: String,
    pages: f64,
    statements: &[Statement],
) -> Recommendation {
    let concerned: Vec<&Statement> = statements
        .iter()
        .filter(|statement| {
            statement
                .shapes
                .iter()
                .flat_map(|shape| &shape.instances)
                .any(|instance| instance.relation.oid == relation.oid)
        })
        .collect();
    let identity = StableHash::new()
        .field(b"analyze")
        .field(relation.qualified().as_bytes())
        .finish();
    let rule = "it is for indexes; statistics need no upkeep";
    of_statistics(
        identity,
        IntentKind::Analyze,
        relation,
        pages,
        concerned,
        reason,
        rule,
    )
}

/// A recommendation that makes the planner know better: it costs what ANALYZE reads of a table
/// of so many pages, and what it saves is not known before it is there.
pub(super) fn of_statistics(
    identity: u64,
    kind: IntentKind,
    relation: RelationName,
    pages: f64,
    mut concerned: Vec<&Statement>,
    reason: String,
    rule: &str,
) -> Recommendation {
    concerned.sort_by(|a, b| b.rough_weight().total_cmp(&a.rough_weight()));
    Recommendation {
        identity,
        kind,
        benefit: 0.0,
        saved_ms_per_day: 0.0,
        bytes: 0,
        build_ms: pages.min(SAMPLED_PAGES) * MS_PER_UNIT,
        write_ms_per_day: 0.0,
        break_even_calls: None,
        confidence: 1.0,
        statements: concerned
            .into_iter()
            .take(STATEMENTS)
            .map(|statement| Gain {
                statement: statement.id,
                label: statement.label.clone(),
                cost_before: None,
                cost_after: None,
                calls_per_day: statement.calls_per_day,
                saved_ms: 0.0,
                key: None,
                plans: None,
            })
            .collect(),
        tenants: Vec::new(),
        reason,
        rule: rule.into(),
        alternatives: Vec::new(),
        relation,
    }
}
