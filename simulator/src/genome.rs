//! Schema descriptions in YAML as the JSON that `indexpilot.genome_load()` reads. The names and
//! types are checked there, where the catalog is; here only that the text is one YAML document
//! of the shape that JSON can say.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The description as JSON: the same keys, in YAML's notation.
///
/// # Errors
/// The text is no YAML, says a key twice, or is no mapping.
///
/// # Examples
/// ```
/// let json = indexpilot_sim::genome::from_yaml("tables:\n- name: orders\n  fields: [{name: id}]\n")?;
/// assert_eq!(json["tables"][0]["fields"][0]["name"], "id");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn from_yaml(text: &str) -> Result<Value> {
    let value: Value = serde_saphyr::from_str(text).context("this is no YAML")?;
    ensure!(
        value.is_object(),
        "a schema description is a mapping with the key \"tables\""
    );
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_the_same_as_json() {
        let yaml = "
# a comment
version: 1
schema: crm
tables:
  - name: contacts
    feature_group: core
    fields:
      - {name: email, type: text, required: true}
      - name: \"no\"        # quoted: a name
        indexable: false
        default_expression: no way
";
        assert_eq!(
            from_yaml(yaml).expect("YAML"),
            json!({"version": 1, "schema": "crm", "tables": [{
                "name": "contacts", "feature_group": "core", "fields": [
                    {"name": "email", "type": "text", "required": true},
                    {"name": "no", "indexable": false, "default_expression": "no way"}]}]})
        );
        // JSON is YAML.
        let json = r#"{"tables": [{"name": "a", "fields": []}]}"#;
        assert_eq!(
            from_yaml(json).expect("JSON"),
            serde_json::from_str::<Value>(json).expect("JSON")
        );
    }

    #[test]
    fn refuses_what_is_no_description() {
        for wrong in ["", "- a\n- b\n", "a: 1\na: 2\n", "a: [1, 2\n"] {
            assert!(from_yaml(wrong).is_err(), "{wrong}");
        }
    }
}
