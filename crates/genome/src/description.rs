//! Reading a description and comparing it with the catalog, with every problem found.

use crate::suggestion::hint;
use crate::type_name;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A field as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveField {
    /// Schema of the relation.
    pub schema: String,
    /// Relation.
    pub relation: String,
    /// Attribute.
    pub field: String,
    /// As `format_type()` writes it.
    pub type_name: String,
    /// NOT NULL.
    pub required: bool,
    /// Why no index can be built on it, where that is so.
    pub obstacle: Option<String>,
}

/// What a description says about a field that is there; `None` leaves what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSetting {
    /// Schema of the relation.
    pub schema: String,
    /// Relation.
    pub relation: String,
    /// Attribute.
    pub field: String,
    /// May be part of an index of ours.
    pub indexable: Option<bool>,
    /// A new tenant uses it.
    pub default_expression: Option<bool>,
    /// Feature group.
    pub feature_group: Option<String>,
}

/// Something wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `tables[2].fields[0].type`.
    pub path: String,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// A description that fits the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Schemas that it speaks of, ascending.
    pub schemas: Vec<String>,
    /// What it says, field by field.
    pub settings: Vec<FieldSetting>,
}

const DESCRIPTION_KEYS: [&str; 4] = ["version", "schema", "tables", "comment"];
const TABLE_KEYS: [&str; 5] = ["name", "schema", "feature_group", "fields", "comment"];
const FIELD_KEYS: [&str; 7] = [
    "name",
    "type",
    "required",
    "indexable",
    "default_expression",
    "feature_group",
    "comment",
];

/// The fields of each relation of the catalog.
type Live<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<&'a str, &'a LiveField>>;

/// Compares a description (format: see the crate's documentation) with the catalog.
///
/// # Errors
/// Every problem, in the order of the description.
pub fn check(description: &Value, live: &[LiveField]) -> Result<Checked, Vec<Problem>> {
    let mut reader = Reader {
        live: Live::new(),
        problems: Vec::new(),
        seen: BTreeSet::new(),
        schemas: BTreeSet::new(),
        settings: Vec::new(),
    };
    for field in live {
        reader
            .live
            .entry((&field.schema, &field.relation))
            .or_default()
            .insert(&field.field, field);
    }
    reader.description(description);
    if reader.problems.is_empty() {
        Ok(Checked {
            schemas: reader.schemas.into_iter().collect(),
            settings: reader.settings,
        })
    } else {
        Err(reader.problems)
    }
}

struct Reader<'a> {
    live: Live<'a>,
    problems: Vec<Problem>,
    seen: BTreeSet<(String, String)>,
    schemas: BTreeSet<String>,
    settings: Vec<FieldSetting>,
}

impl Reader<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.to_string(),
            message: message.into(),
        });
    }

    /// The value as an object with known keys only.
    fn object<'v>(
        &mut self,
        path: &str,
        what: &str,
        value: &'v Value,
        keys: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.wrong(path, format!("{what} must be an object"));
            return None;
        };
        for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.wrong(
                &join(path, key),
                format!("unknown key{}", hint(key, keys.iter().copied())),
            );
        }
        Some(object)
    }

    fn list<'v>(&mut self, path: &str, object: &'v Map<String, Value>, key: &str) -> &'v [Value] {
        match object.get(key) {
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.wrong(&join(path, key), "must be an array");
                &[]
            }
            None => {
                self.wrong(path, format!("\"{key}\" is missing"));
                &[]
            }
        }
    }

    fn text(&mut self, path: &str, object: &Map<String, Value>, key: &str) -> Option<String> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(_) => {
                self.wrong(&join(path, key), "must be a text that is not empty");
                None
            }
        }
    }

    fn truth(&mut self, path: &str, object: &Map<String, Value>, key: &str) -> Option<bool> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(truth)) => Some(*truth),
            Some(_) => {
                self.wrong(&join(path, key), "must be true or false");
                None
            }
        }
    }

    fn name(&mut self, path: &str, object: &Map<String, Value>) -> Option<String> {
        if object.get("name").is_none_or(Value::is_null) {
            self.wrong(path, "\"name\" is missing");
            return None;
        }
        self.text(path, object, "name")
    }

    fn description(&mut self, value: &Value) {
        let Some(object) = self.object("", "the description", value, &DESCRIPTION_KEYS) else {
            return;
        };
        if object.get("version").is_some_and(|v| v.as_u64() != Some(1)) {
            self.wrong("version", "must be 1");
        }
        let schema = self
            .text("", object, "schema")
            .unwrap_or_else(|| "public".into());
        for (number, table) in self.list("", object, "tables").iter().enumerate() {
            self.table(&format!("tables[{number}]"), table, &schema);
        }
    }

    fn table(&mut self, path: &str, value: &Value, default_schema: &str) {
        let Some(object) = self.object(path, "a table", value, &TABLE_KEYS) else {
            return;
        };
        let schema = self
            .text(path, object, "schema")
            .unwrap_or_else(|| default_schema.to_string());
        let group = self.text(path, object, "feature_group");
        let name = self.name(path, object);
        let known = name.filter(|name| self.relation(path, &schema, name));
        let mut seen = BTreeSet::new();
        for (number, field) in self.list(path, object, "fields").iter().enumerate() {
            let path = format!("{path}.fields[{number}]");
            let Some(object) = self.object(&path, "a field", field, &FIELD_KEYS) else {
                continue;
            };
            let Some(name) = self.name(&path, object) else {
                continue;
            };
            if !seen.insert(name.clone()) {
                self.wrong(&path, format!("field \"{name}\" is described twice"));
            }
            let described_type = self.text(&path, object, "type");
            let required = self.truth(&path, object, "required");
            let setting = FieldSetting {
                schema: schema.clone(),
                relation: known.clone().unwrap_or_default(),
                field: name,
                indexable: self.truth(&path, object, "indexable"),
                default_expression: self.truth(&path, object, "default_expression"),
                feature_group: self
                    .text(&path, object, "feature_group")
                    .or_else(|| group.clone()),
            };
            if known.is_some() {
                self.field(&path, &setting, described_type.as_deref(), required);
                self.settings.push(setting);
            }
        }
    }

    /// Whether the relation is there; says so where it is not.
    fn relation(&mut self, path: &str, schema: &str, name: &str) -> bool {
        if !self.seen.insert((schema.to_string(), name.to_string())) {
            self.wrong(
                path,
                format!("table \"{schema}.{name}\" is described twice"),
            );
        }
        if self.live.contains_key(&(schema, name)) {
            self.schemas.insert(schema.to_string());
            return true;
        }
        let in_schema: Vec<&str> = (self.live.keys())
            .filter(|(s, _)| *s == schema)
            .map(|(_, relation)| *relation)
            .collect();
        let message = if in_schema.is_empty() {
            let schemas: BTreeSet<&str> = self.live.keys().map(|(s, _)| *s).collect();
            format!(
                "schema \"{schema}\" does not exist or has no tables{}",
                hint(schema, schemas)
            )
        } else {
            format!(
                "table \"{schema}.{name}\" does not exist{}",
                hint(name, in_schema)
            )
        };
        self.wrong(path, message);
        false
    }

    fn field(
        &mut self,
        path: &str,
        setting: &FieldSetting,
        described_type: Option<&str>,
        required: Option<bool>,
    ) {
        let fields = &self.live[&(setting.schema.as_str(), setting.relation.as_str())];
        let Some(live) = fields.get(setting.field.as_str()).copied() else {
            let message = format!(
                "field \"{}\" of table \"{}.{}\" does not exist{}",
                setting.field,
                setting.schema,
                setting.relation,
                hint(&setting.field, fields.keys().copied())
            );
            self.wrong(path, message);
            return;
        };
        if let Some(described) = described_type.filter(|t| !type_name::matches(t, &live.type_name))
        {
            self.wrong(
                &join(path, "type"),
                format!(
                    "described as {described}, but the column is {}",
                    live.type_name
                ),
            );
        }
        if required.is_some_and(|required| required != live.required) {
            self.wrong(
                &join(path, "required"),
                if live.required {
                    "described as optional, but the column is NOT NULL"
                } else {
                    "described as required, but the column may be NULL"
                },
            );
        }
        if let Some(obstacle) = live
            .obstacle
            .as_ref()
            .filter(|_| setting.indexable == Some(true))
        {
            self.wrong(
                &join(path, "indexable"),
                format!("no index can be built on it: {obstacle}"),
            );
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

/// A description of what is there: what [`check`] accepts without a problem.
pub fn describe(fields: &[(LiveField, FieldSetting)]) -> Value {
    let mut tables: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for (live, setting) in fields {
        let mut field = json!({
            "name": live.field,
            "type": live.type_name,
            "required": live.required,
        });
        if let Some(indexable) = setting.indexable.filter(|_| live.obstacle.is_none()) {
            field["indexable"] = indexable.into();
        }
        if let Some(expressed) = setting.default_expression {
            field["default_expression"] = expressed.into();
        }
        if let Some(group) = &setting.feature_group {
            field["feature_group"] = group.as_str().into();
        }
        tables
            .entry((&live.schema, &live.relation))
            .or_default()
            .push(field);
    }
    let tables: Vec<Value> = tables
        .into_iter()
        .map(|((schema, name), fields)| json!({"schema": schema, "name": name, "fields": fields}))
        .collect();
    json!({"version": 1, "tables": tables})
}
