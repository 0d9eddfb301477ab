//! Checking names and values against the genome: what an application is about to write or to
//! ask for, with every problem listed at once. An empty genome knows nothing and refuses
//! nothing.

use crate::pg::spi;
use crate::pg::transaction;
use indexpilot_genome::did_you_mean;
use indexpilot_model::query::RelationName;
use pgrx::JsonB;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use serde_json::{Map, Value};

/// Something that does not fit the genome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field; `None` where the relation is the problem.
    pub field: Option<String>,
    /// What is wrong, a sentence without a full stop.
    pub problem: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

/// A field as the genome has it.
struct Known {
    relation: RelationName,
    field: String,
    type_name: String,
    required: bool,
}

fn genome() -> SpiResult<Vec<Known>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT relation_oid, schema_name, relation_name, field_name, type_name, required
                 FROM indexpilot.genome_catalog ORDER BY schema_name, relation_name, attribute_number",
                None,
                &[],
            )?;
            let mut known = Vec::with_capacity(rows.len());
            for row in rows {
                known.push(Known {
                    relation: RelationName {
                        oid: row.get::<pg_sys::Oid>(1)?.map_or(0, |oid| oid.to_u32()),
                        schema: row.get(2)?.unwrap_or_default(),
                        name: row.get(3)?.unwrap_or_default(),
                    },
                    field: row.get(4)?.unwrap_or_default(),
                    type_name: row.get(5)?.unwrap_or_default(),
                    required: row.get(6)?.unwrap_or(false),
                });
            }
            Ok(known)
        })
    })
}

/// Checks a relation (`relation` or `schema.relation`, as in the genome) and values for its
/// fields, as JSON writes them. Values are converted by the server's own input functions with
/// the column's modifier and domain checks, as the caller; nothing is written.
///
/// # Errors
/// What SPI reports.
pub fn validate(relation: &str, values: &Map<String, Value>) -> SpiResult<Vec<Misfit>> {
    let known = genome()?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let dotted = |name: &RelationName| format!("{}.{}", name.schema, name.name);
    let mut matching: Vec<&Known> = known
        .iter()
        .filter(|field| dotted(&field.relation) == relation)
        .collect();
    if matching.is_empty() {
        matching = known
            .iter()
            .filter(|field| field.relation.name == relation)
            .collect();
    }
    let Some(first) = matching.first() else {
        let names: Vec<String> = known
            .iter()
            .map(|field| match relation.contains('.') {
                true => dotted(&field.relation),
                false => field.relation.name.clone(),
            })
            .collect();
        return Ok(vec![Misfit {
            field: None,
            problem: format!("the genome has no relation \"{relation}\""),
            suggestion: did_you_mean(relation, names.iter().map(String::as_str)).map(str::to_owned),
        }]);
    };
    if let Some(other) = matching.iter().find(|f| f.relation != first.relation) {
        return Ok(vec![Misfit {
            field: None,
            problem: format!(
                "\"{relation}\" is ambiguous: {}, {}",
                first.relation.qualified(),
                other.relation.qualified()
            ),
            suggestion: None,
        }]);
    }
    let mut misfits = Vec::new();
    for (name, value) in values {
        let found = matching.iter().find(|field| field.field == *name);
        let (problem, suggestion) = match found {
            None => (
                Some(format!("\"{relation}\" has no field \"{name}\"")),
                did_you_mean(name, matching.iter().map(|field| field.field.as_str()))
                    .map(str::to_owned),
            ),
            Some(field) if value.is_null() => (
                field
                    .required
                    .then(|| "it is required, so it must not be null".to_owned()),
                None,
            ),
            Some(field) => (misfit_of_value(field, value), None),
        };
        misfits.extend(problem.map(|problem| Misfit {
            field: Some(name.clone()),
            problem,
            suggestion,
        }));
    }
    Ok(misfits)
}

/// Why a value is none of the field's; the column may be gone since the genome was made.
fn misfit_of_value(field: &Known, value: &Value) -> Option<String> {
    let query = format!(
        "SELECT pg_catalog.jsonb_populate_record(NULL::{}, $1)",
        field.relation.qualified()
    );
    let row = Value::Object(Map::from_iter([(field.field.clone(), value.clone())]));
    let outcome = transaction::undone(|| {
        Spi::connect(|client| {
            client
                .select(query.as_str(), None, &[JsonB(row).into()])
                .map(|_| ())
        })
    });
    match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(format!("it is no {}: {}", field.type_name, error.message)),
    }
}
