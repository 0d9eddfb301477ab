//! Field uses as rows for people.

use crate::pg::querytree;
use indexpilot_model::query::{Comparand, FieldRole, QueryShape};

/// One use of one field, for display.
pub struct FieldRow {
    /// Statement within the text, from 1.
    pub statement: i32,
    /// Query level, 0 the top.
    pub level: i32,
    /// `schema.relation`.
    pub relation: String,
    /// Attribute or expression.
    pub field: String,
    /// Role, in snake case.
    pub role: String,
    /// Operator with the field on its left.
    pub operator: Option<String>,
    /// What it is compared with.
    pub comparand: Option<String>,
    /// Disjunction number, 0 for what must hold.
    pub disjunction: i32,
    /// Arm of the disjunction.
    pub branch: i32,
    /// Position within ORDER BY, GROUP BY or a row comparison.
    pub position: i32,
}

/// A role's name as it is shown and stored.
pub fn role_name(role: FieldRole) -> String {
    match serde_json::to_value(role) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::from("opaque"),
    }
}

/// Rows of a text's statements, in the order in which the tree was read.
pub fn of_text(sql: &str) -> Vec<FieldRow> {
    querytree::shapes_of_text(sql)
        .iter()
        .enumerate()
        .flat_map(|(position, shape)| rows(position as i32 + 1, shape))
        .collect()
}

fn relation(shape: &QueryShape, instance: usize) -> String {
    let name = &shape.instances[instance].relation;
    indexpilot_model::expression::readable(&name.qualified())
}

fn comparand(shape: &QueryShape, comparand: &Comparand) -> Option<String> {
    match comparand {
        Comparand::Constant(Some(text)) => Some(
            indexpilot_model::identifier::quote_literal(text)
                .trim_start()
                .to_owned(),
        ),
        Comparand::Constant(None) => Some(String::from("constant")),
        Comparand::Parameter(number) => Some(format!("${number}")),
        Comparand::Field(instance, element) => Some(format!(
            "{}.{}",
            relation(shape, *instance),
            element.for_people()
        )),
        Comparand::Setting(name) => Some(format!("current_setting('{name}')")),
        Comparand::Computed => Some(String::from("computed")),
        Comparand::None => None,
    }
}

fn rows(statement: i32, shape: &QueryShape) -> Vec<FieldRow> {
    shape
        .uses
        .iter()
        .map(|field| FieldRow {
            statement,
            level: shape.instances[field.instance].level as i32,
            relation: relation(shape, field.instance),
            field: field.element.for_people(),
            role: role_name(field.role),
            operator: field
                .operator
                .as_ref()
                .map(|operator| operator.name.clone()),
            comparand: comparand(shape, &field.comparand),
            disjunction: i32::from(field.disjunction),
            branch: i32::from(field.branch),
            position: i32::from(field.position),
        })
        .collect()
}
