//! Which relations and indexes may be touched at all: include and exclude lists of schemas,
//! the system's and our own schema, and indexes that must stay.

use crate::situation::{Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::catalog::Protection;
use indexpilot_model::{Intent, IntentKind};

/// Schemas that are never touched, beside `pg_toast…` and `pg_temp…`.
const NEVER: [&str; 3] = ["pg_catalog", "information_schema", "indexpilot"];

fn words(protection: Protection) -> &'static str {
    match protection {
        Protection::Primary => "it is a primary key",
        Protection::Unique => "it is unique",
        Protection::Exclusion => "an exclusion constraint needs it",
        Protection::ReplicaIdentity => "it is the replica identity",
        Protection::ForeignKey => "a foreign key needs it",
        Protection::Extension => "an extension owns it",
        Protection::Clustered => "the table is clustered by it",
        Protection::Pinned => "it is pinned",
        Protection::Partition => "it belongs to a partitioned index",
    }
}

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    let schema = intent.relation.schema.as_str();
    let config = &situation.config;
    let refuse = |reason: String| Err(Refusal::never(Safeguard::Scope, reason));
    if NEVER.contains(&schema) || schema.starts_with("pg_toast") || schema.starts_with("pg_temp") {
        return refuse(format!("schema \"{schema}\" is never touched"));
    }
    if let IntentKind::DropIndex { name, .. } = &intent.kind {
        // What we built ourselves has no protection but a pin and partitioned ties, and a
        // revert of our own partitioned index drops the whole of it.
        let strict = situation.protections.iter().find(|protection| {
            purpose != Purpose::Revert || !matches!(protection, Protection::Partition)
        });
        if let Some(protection) = strict {
            return refuse(format!("index {name} must stay: {}", words(*protection)));
        }
    }
    if purpose == Purpose::Revert {
        return Ok(());
    }
    if config.exclude_schemas.iter().any(|name| name == schema) {
        return refuse(format!(
            "schema \"{schema}\" is in \"indexpilot.exclude_schemas\""
        ));
    }
    if !config.include_schemas.is_empty()
        && !config.include_schemas.iter().any(|name| name == schema)
    {
        return refuse(format!(
            "schema \"{schema}\" is not in \"indexpilot.include_schemas\""
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, drop_of, situation};

    #[test]
    fn lists_and_protections() {
        let mut now = situation();
        assert!(check(&create(1), Purpose::Advice, &now).is_ok());
        now.config.include_schemas = vec!["other".into()];
        assert!(check(&create(1), Purpose::Advice, &now).is_err());
        now.config.include_schemas = vec!["crm".into()];
        now.config.exclude_schemas = vec!["crm".into()];
        assert!(check(&create(1), Purpose::Advice, &now).is_err());
        let mut system = create(1);
        system.relation.schema = "pg_toast_temp_3".into();
        assert!(check(&system, Purpose::Operator, &now).is_err());
        now.config.exclude_schemas.clear();
        for protection in [
            Protection::Primary,
            Protection::Unique,
            Protection::Exclusion,
            Protection::ReplicaIdentity,
            Protection::ForeignKey,
            Protection::Extension,
            Protection::Pinned,
        ] {
            now.protections = vec![protection];
            for purpose in [Purpose::Advice, Purpose::Operator, Purpose::Revert] {
                assert!(check(&drop_of(1), purpose, &now).is_err());
            }
        }
    }
}
