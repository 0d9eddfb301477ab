//! SQL skins of the genome and of the declared expression.

// pgrx reads the names of the columns from the return type, so it cannot be an alias.
#![allow(clippy::type_complexity)]

use crate::store::expression::{self, GenomeField};
use crate::store::{genome, schema_change, validation};
use indexpilot_genome::{FieldSetting, LiveField, check, did_you_mean};
use pgrx::JsonB;
use pgrx::datum::Uuid;
use pgrx::prelude::*;
use pgrx::spi::{SpiError, SpiResult};

/// Raises an ERROR with DETAIL and HINT; an empty one is left out.
fn raise(code: PgSqlErrorCode, message: String, detail: String, hint: String) -> ! {
    let mut report = pgrx::pg_sys::panic::ErrorReport::new(code, message, "indexpilot");
    if !detail.is_empty() {
        report = report.set_detail(detail);
    }
    if !hint.is_empty() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR was raised")
}

/// The texts of an array of which none may be NULL.
fn texts(array: Vec<Option<String>>, what: &str) -> Vec<String> {
    let length = array.len();
    let texts: Vec<String> = array.into_iter().flatten().collect();
    if texts.len() != length {
        raise(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            format!("{what} must not be NULL"),
            String::new(),
            String::new(),
        );
    }
    texts
}

/// Fills the genome from the catalog.
#[pg_extern(sql = false)]
fn genome_bootstrap(
    schemas: Option<Vec<Option<String>>>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(schemas, i64),
            name!(relations, i64),
            name!(fields, i64),
        ),
    >,
    SpiError,
> {
    let schemas = schemas.map(|list| texts(list, "a schema"));
    if let Some(wanted) = &schemas {
        let there = schema_names()?;
        let missing: Vec<String> = wanted
            .iter()
            .filter(|name| !there.contains(*name))
            .map(|name| {
                let near = did_you_mean(name, there.iter().map(String::as_str));
                near.map_or_else(
                    || format!("\"{name}\""),
                    |near| format!("\"{name}\" (did you mean \"{near}\"?)"),
                )
            })
            .collect();
        if !missing.is_empty() {
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_SCHEMA_NAME,
                format!("no such schema: {}", missing.join(", ")),
                "System schemas and IndexPilot's own cannot be part of the genome.".into(),
                String::new(),
            );
        }
    }
    Ok(TableIterator::once(genome::bootstrap(schemas.as_deref())?))
}

/// Schemas of users.
fn schema_names() -> SpiResult<Vec<String>> {
    Spi::connect(|client| {
        let names: SpiResult<Vec<Option<String>>> = client
            .select(
                "SELECT nspname::pg_catalog.text FROM pg_catalog.pg_namespace
                 WHERE nspname OPERATOR(pg_catalog.!~) '^pg_'
                   AND nspname OPERATOR(pg_catalog.<>) ALL
                       (ARRAY['information_schema', 'indexpilot']::pg_catalog.name[])",
                None,
                &[],
            )?
            .map(|row| row.get(1))
            .collect();
        Ok(names?.into_iter().flatten().collect())
    })
}

/// Takes over what changed in the catalog, logs it and shows it.
#[pg_extern(sql = false)]
fn genome_refresh() -> Result<
    TableIterator<
        'static,
        (
            name!(change, String),
            name!(before, Option<String>),
            name!(after, Option<String>),
            name!(type_before, Option<String>),
            name!(type_after, Option<String>),
        ),
    >,
    SpiError,
> {
    let changes = genome::refresh()?;
    schema_change::record(&changes)?;
    let rows: Vec<_> = changes
        .into_iter()
        .map(|change| {
            (
                change.kind,
                change.before.map(|names| names.join(".")),
                change.after.map(|names| names.join(".")),
                change.type_before,
                change.type_after,
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// Loads a schema description.
#[pg_extern(sql = false)]
fn genome_load(description: JsonB) -> Result<i64, SpiError> {
    let live: Vec<LiveField> = genome::live_fields(&[])?;
    match check(&description.0, &live) {
        Ok(checked) => {
            // The log tells what the catalog did apart from what the description says.
            schema_change::record(&genome::refresh()?)?;
            genome::apply_settings(&checked.schemas, &checked.settings)
        }
        Err(problems) => {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                match list.len() {
                    1 => "the schema description has 1 problem".to_string(),
                    count => format!("the schema description has {count} problems"),
                },
                list.join("\n"),
                "Nothing was changed.".into(),
            );
        }
    }
}

/// The genome as a description that `genome_load` reads.
#[pg_extern(sql = false)]
fn genome_describe() -> Result<JsonB, SpiError> {
    let fields: Vec<(LiveField, FieldSetting)> = genome::described()?;
    Ok(JsonB(indexpilot_genome::describe(&fields)))
}

/// Checks names and values against the genome.
#[pg_extern(sql = false)]
fn genome_validate(
    relation: &str,
    values: JsonB,
) -> Result<
    TableIterator<
        'static,
        (
            name!(field, Option<String>),
            name!(problem, String),
            name!(suggestion, Option<String>),
        ),
    >,
    SpiError,
> {
    let serde_json::Value::Object(values) = values.0 else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "values must be a JSON object".into(),
            String::new(),
            "Name the fields, as in '{\"email\": \"a@example.org\"}'.".into(),
        );
    };
    let misfits = validation::validate(relation, &values)?;
    Ok(TableIterator::new(misfits.into_iter().map(|misfit| {
        (misfit.field, misfit.problem, misfit.suggestion)
    })))
}

/// The tenant's name without blanks around it; refuses what cannot be one.
fn checked_tenant(tenant: &str) -> &str {
    let name = tenant.trim();
    if name.is_empty() || name.len() > 256 {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "a tenant is named by 1 to 256 bytes".into(),
            String::new(),
            String::new(),
        );
    }
    name
}

fn require_profile(tenant: &str) -> SpiResult<()> {
    if expression::has_profile(tenant)? {
        return Ok(());
    }
    let tenants = expression::some_tenants()?;
    // Numbers are near one another without meaning one another.
    let near = (!tenant.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| did_you_mean(tenant, tenants.iter().map(String::as_str)))
        .flatten();
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        format!("tenant \"{tenant}\" has no profile"),
        near.map_or_else(String::new, |near| format!("Did you mean \"{near}\"?")),
        "Give it one with indexpilot.initialize_tenant().".into(),
    );
}

/// The fields that the patterns name; raises an ERROR that lists every one that names none.
/// An empty genome is filled first: it knows no field, so it can refuse none.
fn checked_fields(patterns: &[String]) -> SpiResult<Vec<GenomeField>> {
    if genome::size()?.0 == 0 {
        genome::bootstrap(None)?;
        notice!("the genome was empty and has been filled from the catalog");
    }
    let (fields, mut wrong) = expression::resolve(patterns)?;
    if wrong.is_empty() {
        return Ok(fields);
    }
    let paths = expression::all_paths()?;
    for problem in &mut wrong {
        let Some(pattern) = problem
            .strip_prefix("no field matches \"")
            .and_then(|rest| rest.strip_suffix('"'))
        else {
            continue;
        };
        let depth = pattern.matches('.').count();
        let names: Vec<String> = paths
            .iter()
            .map(|path| path[if depth >= 2 { 0 } else { 1 }..].join("."))
            .collect();
        if let Some(near) = did_you_mean(pattern, names.iter().map(String::as_str)) {
            problem.push_str(&format!(" (did you mean \"{near}\"?)"));
        }
    }
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
        match wrong.len() {
            1 => wrong.remove(0),
            count => format!("{count} of the fields cannot be found"),
        },
        if wrong.is_empty() { String::new() } else { wrong.join("\n") },
        "Fields are named relation.field or schema.relation.field, as in indexpilot.genome_catalog; \
         indexpilot.genome_bootstrap() adds a schema."
            .into(),
    );
}

/// Gives tenants a profile.
#[pg_extern(sql = false)]
fn initialize_tenants(
    tenants: Vec<Option<String>>,
    like_tenant: Option<&str>,
) -> Result<i64, SpiError> {
    let tenants = texts(tenants, "a tenant");
    let like = like_tenant.map(checked_tenant);
    if let Some(like) = like {
        require_profile(like)?;
    }
    if genome::size()?.0 == 0 {
        genome::bootstrap(None)?;
        notice!("the genome was empty and has been filled from the catalog");
    }
    let mut enabled = 0;
    for tenant in &tenants {
        enabled += expression::initialize(checked_tenant(tenant), like)?;
    }
    Ok(enabled)
}

/// Gives one tenant a profile.
#[pg_extern(sql = false)]
fn initialize_tenant(tenant: String, like_tenant: Option<&str>) -> Result<i64, SpiError> {
    initialize_tenants(vec![Some(tenant)], like_tenant)
}

fn switch_fields(
    tenants: Vec<Option<String>>,
    fields: Vec<Option<String>>,
    enabled: bool,
    reason: Option<&str>,
) -> SpiResult<i64> {
    let tenants = texts(tenants, "a tenant");
    let fields = checked_fields(&texts(fields, "a field"))?;
    let reason = reason.map(str::trim).filter(|text| !text.is_empty());
    let mut changed = 0;
    for tenant in &tenants {
        let tenant = checked_tenant(tenant);
        require_profile(tenant)?;
        changed += expression::switch(
            tenant,
            &fields,
            enabled,
            reason.unwrap_or("asked for without giving a reason"),
        )?;
    }
    Ok(changed)
}

/// Switches fields on for tenants.
#[pg_extern(sql = false)]
fn enable_fields(
    tenants: Vec<Option<String>>,
    fields: Vec<Option<String>>,
    reason: Option<&str>,
) -> Result<i64, SpiError> {
    switch_fields(tenants, fields, true, reason)
}

/// Switches fields off for tenants.
#[pg_extern(sql = false)]
fn disable_fields(
    tenants: Vec<Option<String>>,
    fields: Vec<Option<String>>,
    reason: Option<&str>,
) -> Result<i64, SpiError> {
    switch_fields(tenants, fields, false, reason)
}

fn switch_one(
    tenant: String,
    relation: &str,
    field: &str,
    enabled: bool,
    reason: Option<&str>,
) -> SpiResult<bool> {
    let path = format!("{relation}.{field}");
    Ok(switch_fields(vec![Some(tenant)], vec![Some(path)], enabled, reason)? > 0)
}

/// Switches a field on for a tenant.
#[pg_extern(sql = false)]
fn enable_field(
    tenant: String,
    relation: &str,
    field: &str,
    reason: Option<&str>,
) -> Result<bool, SpiError> {
    switch_one(tenant, relation, field, true, reason)
}

/// Switches a field off for a tenant.
#[pg_extern(sql = false)]
fn disable_field(
    tenant: String,
    relation: &str,
    field: &str,
    reason: Option<&str>,
) -> Result<bool, SpiError> {
    switch_one(tenant, relation, field, false, reason)
}

/// Where the profile is not what replaying the log gives.
#[pg_extern(sql = false)]
fn verify_profile() -> Result<
    TableIterator<
        'static,
        (
            name!(tenant, String),
            name!(field, Uuid),
            name!(declared, Option<bool>),
            name!(replayed, Option<bool>),
        ),
    >,
    SpiError,
> {
    Ok(TableIterator::new(expression::replay_differences()?))
}
