//! A description of what is there has no problem; anything wrong is listed, all at once.

use indexpilot_genome::{FieldSetting, LiveField, check, describe};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn live(schema: &str, relation: &str, field: &str, type_name: &str) -> LiveField {
    LiveField {
        schema: schema.into(),
        relation: relation.into(),
        field: field.into(),
        type_name: type_name.into(),
        required: field == "id",
        obstacle: (type_name == "json").then(|| "type json has no operator class".into()),
    }
}

fn crm() -> Vec<LiveField> {
    vec![
        live("crm", "contacts", "id", "bigint"),
        live("crm", "contacts", "email", "character varying(320)"),
        live("crm", "contacts", "document", "json"),
        live("crm", "deals", "id", "bigint"),
        live("public", "tenants", "id", "integer"),
    ]
}

#[test]
fn settings_are_read_with_their_defaults() {
    let checked = check(
        &json!({"schema": "crm", "tables": [
            {"name": "contacts", "feature_group": "core", "fields": [
                {"name": "email", "type": "VARCHAR", "indexable": false, "feature_group": "mail"},
                {"name": "id", "type": "int8", "required": true, "default_expression": true}]},
            {"name": "tenants", "schema": "public", "fields": []}]}),
        &crm(),
    )
    .expect("fits");
    assert_eq!(checked.schemas, ["crm", "public"]);
    assert_eq!(
        checked.settings,
        [
            FieldSetting {
                schema: "crm".into(),
                relation: "contacts".into(),
                field: "email".into(),
                indexable: Some(false),
                default_expression: None,
                feature_group: Some("mail".into()),
            },
            FieldSetting {
                schema: "crm".into(),
                relation: "contacts".into(),
                field: "id".into(),
                indexable: None,
                default_expression: Some(true),
                feature_group: Some("core".into()),
            }
        ]
    );
}

#[test]
fn all_problems_are_listed_at_once() {
    let problems: Vec<String> = check(
        &json!({"version": 2, "schema": "crm", "tabels": 1, "tables": [
            {"name": "contcats", "fields": []},
            {"name": "contacts", "fields": [
                {"name": "emial"},
                {"name": "email", "type": "text", "required": true, "indexible": true},
                {"name": "email"},
                {"name": "id", "required": false},
                {"name": "document", "indexable": true},
                {"nam": "x"},
                {"name": 7},
                7]},
            {"name": "deals", "schema": "crn", "fields": {}},
            {"name": "deals"},
            {"name": "deals", "fields": []}]}),
        &crm(),
    )
    .expect_err("is full of problems")
    .iter()
    .map(ToString::to_string)
    .collect();
    assert_eq!(
        problems,
        [
            "tabels: unknown key (did you mean \"tables\"?)",
            "version: must be 1",
            "tables[0]: table \"crm.contcats\" does not exist (did you mean \"contacts\"?)",
            "tables[1].fields[0]: field \"emial\" of table \"crm.contacts\" does not exist (did you mean \"email\"?)",
            "tables[1].fields[1].indexible: unknown key (did you mean \"indexable\"?)",
            "tables[1].fields[1].type: described as text, but the column is character varying(320)",
            "tables[1].fields[1].required: described as required, but the column may be NULL",
            "tables[1].fields[2]: field \"email\" is described twice",
            "tables[1].fields[3].required: described as optional, but the column is NOT NULL",
            "tables[1].fields[4].indexable: no index can be built on it: type json has no operator class",
            "tables[1].fields[5].nam: unknown key (did you mean \"name\"?)",
            "tables[1].fields[5]: \"name\" is missing",
            "tables[1].fields[6].name: must be a text that is not empty",
            "tables[1].fields[7]: a field must be an object",
            "tables[2]: schema \"crn\" does not exist or has no tables (did you mean \"crm\"?)",
            "tables[2].fields: must be an array",
            "tables[3]: \"fields\" is missing",
            "tables[4]: table \"crm.deals\" is described twice",
        ]
    );
}

fn any_catalog() -> impl Strategy<Value = Vec<(LiveField, FieldSetting)>> {
    let types = prop::sample::select(vec!["integer", "text", "json", "numeric(10,2)", "text[]"]);
    let name = "[a-zA-Z_ \"'\\.äß]{1,12}".prop_filter("a name", |n| !n.trim().is_empty());
    let field = (
        (name.clone(), name.clone(), name),
        types,
        any::<bool>(),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        proptest::option::of("[a-z]{1,5}"),
    )
        .prop_map(
            |((schema, relation, field), type_name, required, indexable, expressed, group)| {
                let live = LiveField {
                    required,
                    ..live(&schema, &relation, &field, type_name)
                };
                let setting = FieldSetting {
                    indexable: indexable.filter(|_| live.obstacle.is_none()),
                    default_expression: expressed,
                    feature_group: group,
                    schema,
                    relation,
                    field,
                };
                (live, setting)
            },
        );
    prop::collection::vec(field, 0..40).prop_map(|fields| {
        let unique: BTreeMap<_, _> = fields
            .into_iter()
            .map(|(l, s)| {
                (
                    (l.schema.clone(), l.relation.clone(), l.field.clone()),
                    (l, s),
                )
            })
            .collect();
        unique.into_values().collect()
    })
}

proptest! {
    #[test]
    fn a_description_of_what_is_there_is_read_back(fields in any_catalog()) {
        let catalog: Vec<LiveField> = fields.iter().map(|(live, _)| live.clone()).collect();
        let checked = check(&describe(&fields), &catalog).expect("no problem");
        let settings: Vec<FieldSetting> = fields.into_iter().map(|(_, setting)| setting).collect();
        prop_assert_eq!(checked.settings, settings);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in "\\PC{0,200}") {
        let value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
        let _ = check(&value, &crm());
    }
}
