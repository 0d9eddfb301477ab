//! Which relations and indexes may be touched at all: include and exclude lists of schemas and
//! tables, the system's and our own schema, and indexes that must stay.

use crate::situation::{Purpose, Refusal, Safeguard, Situation};
use indexpilot_model::catalog::Protection;
use indexpilot_model::config::Scope;
use indexpilot_model::{Intent, IntentKind};

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
    if Scope::is_system(schema) {
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
    config
        .scope
        .admits(schema, &intent.relation.name)
        .or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{create, drop_of, situation};

    #[test]
    fn lists_and_protections() {
        let mut now = situation();
        assert!(check(&create(1), Purpose::Advice, &now).is_ok());
        now.config.scope.include_schemas = vec!["other".into()];
        assert!(check(&create(1), Purpose::Advice, &now).is_err());
        now.config.scope.include_schemas = vec!["crm".into()];
        now.config.scope.exclude_schemas = vec!["crm".into()];
        assert!(check(&create(1), Purpose::Advice, &now).is_err());
        let mut system = create(1);
        system.relation.schema = "pg_toast_temp_3".into();
        assert!(check(&system, Purpose::Operator, &now).is_err());
        now.config.scope.exclude_schemas.clear();
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
