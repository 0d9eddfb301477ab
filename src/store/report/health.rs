//! `health()`: what an operator should look at, one query a check. Each check has a row also
//! when all is well, so that silence is never mistaken for health.

use super::are_there;
use crate::pg::{ddl_notices, spi};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// A line of `health()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRow {
    /// What was looked at.
    pub check: &'static str,
    /// `ok`, `warning` or `critical`.
    pub state: String,
    /// What was found.
    pub finding: String,
    /// What to do; `None` where nothing is to be done.
    pub remedy: Option<&'static str>,
}

/// A check before its query was run. The query gives one row: state and finding (text).
struct Check {
    name: &'static str,
    needs: &'static [&'static str],
    query: &'static str,
    remedy: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        name: "modules",
        needs: &[],
        query: "SELECT CASE WHEN count(*) FILTER (WHERE desired <> actual) > 0 THEN 'critical'
                WHEN count(*) FILTER (WHERE actual = 'off' AND module = 'system') > 0 THEN 'warning' ELSE 'ok' END,
            coalesce(string_agg(concat(module, ' is ', actual, ': ' || reason), '; ') FILTER (
                WHERE desired <> actual OR module = 'system' AND actual = 'off'), 'as asked for')
            FROM indexpilot.status() WHERE desired <> 'as needed'",
        remedy: "See indexpilot.status().",
    },
    Check {
        name: "capture memory",
        needs: &[],
        query: "SELECT CASE WHEN dropped_statements + dropped_texts + dropped_tenants > 0
                OR statements > 0.9 * max_statements THEN 'warning' ELSE 'ok' END,
            format('%s of %s statements; for want of room %s statements, %s texts and %s pairs of statement and tenant were dropped',
                statements, max_statements, dropped_statements, dropped_texts, dropped_tenants)
            FROM indexpilot.capture_memory()",
        remedy: "Raise indexpilot.max_statements, capture_text_memory or max_tenant_pairs.",
    },
    Check {
        name: "jobs",
        needs: &["job"],
        query: "SELECT CASE WHEN count(*) FILTER (WHERE state = 'failed') > 0 THEN 'warning' ELSE 'ok' END,
            format('%s jobs failed in the last day', count(*) FILTER (WHERE state = 'failed'))
            FROM indexpilot.job WHERE finished_at > now() - interval '1 day'",
        remedy: "See the reasons in indexpilot.jobs.",
    },
    Check {
        name: "open mutations",
        needs: &["mutations"],
        query: "SELECT CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
            format('%s actions were begun more than %s ago and have no outcome', count(*),
                current_setting('indexpilot.build_timeout'))
            FROM indexpilot.mutations WHERE state = 'open'
              AND at < now() - current_setting('indexpilot.build_timeout')::interval",
        remedy: "The worker finishes them when it runs: see indexpilot.status() and indexpilot.jobs.",
    },
    Check {
        name: "invalid indexes",
        needs: &[],
        query: "SELECT CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
            coalesce(string_agg(x.indexrelid::regclass::text, ', ' ORDER BY 1), 'none')
            FROM pg_index AS x WHERE NOT x.indisvalid
              AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = x.indexrelid)
              AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = x.indexrelid AND c.relkind = 'i')",
        remedy: "They take writes and serve no query: REINDEX INDEX CONCURRENTLY or drop them.",
    },
    Check {
        name: "analysis",
        needs: &["analysis"],
        query: "SELECT CASE WHEN max(finished_at) < now() - greatest(
                3 * current_setting('indexpilot.analysis_interval')::interval, interval '1 hour')
                THEN 'warning' ELSE 'ok' END,
            coalesce('the last analysis ended at ' || date_trunc('second', max(finished_at)), 'there was none yet')
            FROM indexpilot.analysis",
        remedy: "See indexpilot.status() for the worker; indexpilot.analyze() asks for one.",
    },
    Check {
        name: "genome",
        needs: &["genome_catalog"],
        query: "SELECT 'ok', CASE count(*) WHEN 0 THEN 'empty: names and values are not checked'
                ELSE format('%s fields, %s of them in no index of ours', count(*), count(*) FILTER (WHERE NOT indexable)) END
            FROM indexpilot.genome_catalog",
        remedy: "",
    },
    Check {
        name: "own tables",
        needs: &["query_stats"],
        query: "SELECT CASE WHEN sum(pg_total_relation_size(oid)) > 1073741824 THEN 'warning' ELSE 'ok' END,
            pg_size_pretty(sum(pg_total_relation_size(oid)))
            FROM pg_class WHERE relnamespace = 'indexpilot'::regnamespace AND relkind = 'r'",
        remedy: "Lower indexpilot.retention if the history is not worth the room.",
    },
];

/// The checks of this database, in a fixed order; the caller's rights are checked before.
///
/// # Errors
/// What SPI reports.
pub fn health() -> SpiResult<Vec<HealthRow>> {
    spi::as_extension_owner(|| {
        let mut rows = Vec::with_capacity(CHECKS.len() + 1);
        for check in CHECKS {
            if !are_there(check.needs)? {
                continue;
            }
            let (state, finding) = Spi::get_two::<String, String>(check.query)?;
            rows.push(row(
                check.name,
                state.unwrap_or_default(),
                finding.unwrap_or_default(),
                check.remedy,
            ));
        }
        let lost = ddl_notices::lost();
        rows.push(row(
            "notices of DDL",
            if lost > 0 { "warning" } else { "ok" }.into(),
            format!("{lost} found no room in shared memory since the server started"),
            "What they told is found by comparing, but without who did it.",
        ));
        Ok(rows)
    })
}

fn row(check: &'static str, state: String, finding: String, remedy: &'static str) -> HealthRow {
    HealthRow {
        check,
        remedy: (state != "ok").then_some(remedy),
        state,
        finding,
    }
}
