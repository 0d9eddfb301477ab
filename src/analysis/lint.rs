//! Lint with the catalog behind it: which columns a table has, of which types, and whether
//! they may be NULL.

use crate::pg::spi;
use indexpilot_lint::{Column, Finding, Schema, parse};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::HashMap;

/// The tables of one statement.
#[derive(Default)]
struct Known(HashMap<(Option<String>, String), Vec<Column>>);

impl Schema for Known {
    fn columns(&self, schema: Option<&str>, table: &str) -> Option<&[Column]> {
        self.0
            .get(&(schema.map(str::to_owned), table.to_owned()))
            .map(Vec::as_slice)
    }
}

/// A finding, with the whole statement as it would read.
pub struct Linted {
    /// The finding.
    pub finding: Finding,
    /// The statement with the rewrite in it.
    pub statement: Option<String>,
}

/// Lints a text. `path` is the search_path its names are resolved with; `None`: the
/// session's. The outer error is the server's, the inner one says why it is not linted.
///
/// # Errors
/// What SPI reports.
pub fn lint(text: &str, path: Option<&str>) -> SpiResult<Result<Vec<Linted>, String>> {
    // Capture writes lists of constants as their first element and dots.
    let text = text.replace(", ...)", ")").replace(", ...]", "]");
    let parsed = match parse(&text) {
        Ok(parsed) => parsed,
        Err(why) => return Ok(Err(why)),
    };
    let schemas = match path {
        Some(path) => split_path(path),
        None => Spi::get_one::<Vec<String>>(
            "SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]",
        )?
        .unwrap_or_default(),
    };
    let known = read(&parsed.tables().into_iter().collect::<Vec<_>>(), schemas)?;
    Ok(Ok(parsed
        .lint(&known)
        .into_iter()
        .map(|finding| Linted {
            statement: parsed.rewritten(&finding),
            finding,
        })
        .collect()))
}

/// The schemas of a search_path as it is written.
fn split_path(path: &str) -> Vec<String> {
    let mut schemas = vec!["pg_catalog".to_owned()];
    let (mut name, mut quoted) = (String::new(), false);
    for character in path.chars().chain([',']) {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                let found = std::mem::take(&mut name);
                if !found.trim().is_empty() {
                    schemas.push(found.trim().to_owned());
                }
            }
            other => name.push(other),
        }
    }
    schemas
}

fn read(tables: &[(Option<String>, String)], schemas: Vec<String>) -> SpiResult<Known> {
    let mut known = Known::default();
    if tables.is_empty() {
        return Ok(known);
    }
    let (of, names): (Vec<Option<String>>, Vec<String>) = tables.iter().cloned().unzip();
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT t.schema, t.name, a.attname::text,
                     format_type(CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE a.atttypid END, NULL),
                     a.attnotnull
                 FROM unnest($1::text[], $2::text[]) AS t (schema, name)
                 CROSS JOIN LATERAL (SELECT c.oid FROM pg_class AS c
                     JOIN pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE c.relname = t.name AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
                       AND CASE WHEN t.schema IS NULL THEN n.nspname = ANY ($3::text[])
                           ELSE n.nspname = t.schema END
                     ORDER BY array_position($3::text[], n.nspname::text) LIMIT 1) AS r
                 JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
                 JOIN pg_type AS y ON y.oid = a.atttypid
                 ORDER BY t.schema, t.name, a.attnum",
                None,
                &[of.into(), names.into(), schemas.into()],
            )?;
            for row in rows {
                let key = (
                    row.get::<String>(1)?,
                    row.get::<String>(2)?.unwrap_or_default(),
                );
                known.0.entry(key).or_default().push(Column {
                    name: row.get::<String>(3)?.unwrap_or_default(),
                    type_name: row.get::<String>(4)?.unwrap_or_default(),
                    not_null: row.get::<bool>(5)?.unwrap_or(false),
                });
            }
            Ok(known)
        })
    })
}
