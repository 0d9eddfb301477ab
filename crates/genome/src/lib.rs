//! The genome: the canonical schema, field by field. This crate reads the description that a
//! genome is loaded from, compares it with the live catalog, lists everything that is wrong
//! with it at once, and proposes the name that was probably meant.
//!
//! # Format
//!
//! ```json
//! {
//!   "version": 1,
//!   "schema": "crm",
//!   "tables": [
//!     { "name": "contacts",
//!       "feature_group": "core",
//!       "fields": [
//!         { "name": "email", "type": "text", "required": true, "feature_group": "marketing" },
//!         { "name": "notes", "indexable": false, "default_expression": false }
//!       ] },
//!     { "name": "invoices", "schema": "billing", "fields": [] }
//!   ]
//! }
//! ```
//!
//! | key | of | meaning | when it is missing |
//! |---|---|---|---|
//! | `version` | description | 1 | 1 |
//! | `schema` | description, table | schema of the tables | `public` |
//! | `name` | table, field | name as in the catalog, case-sensitive | an error |
//! | `feature_group` | table, field | what the application calls the feature | the table's, else none |
//! | `type` | field | checked against the column; without modifier it matches any | not checked |
//! | `required` | field | NOT NULL, checked | not checked |
//! | `indexable` | field | false: never part of an index of ours | unchanged (at first true) |
//! | `default_expression` | field | whether a new tenant uses it | unchanged (at first true) |
//! | `comment` | anything | for the reader | |

pub mod description;
pub mod suggestion;
pub mod type_name;

pub use description::{Checked, FieldSetting, LiveField, Problem, check, describe};
pub use suggestion::did_you_mean;
