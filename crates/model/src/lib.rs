//! Values and ports that every room of IndexPilot shares.
//!
//! The crate knows nothing of PostgreSQL's memory, has no clock and does no I/O.
//! The flow through the product is one chain of the types found here:
//!
//! ```text
//! QuerySample → Workload → Candidate → Priced → Intent → Permit → Outcome → Verdict → MutationRecord
//! ```
//!
//! (`Permit` lives in `indexpilot-guard`, where alone it can be made.)

pub mod action;
pub mod catalog;
pub mod config;
pub mod expression;
pub mod goal;
pub mod hash;
pub mod histogram;
pub mod identifier;
pub mod ids;
pub mod index;
pub mod json_key;
pub mod module;
pub mod mutation;
pub mod normalize;
pub mod ports;
pub mod price;
pub mod query;
pub mod setting;
pub mod tree_form;

pub use action::{Intent, IntentKind, Outcome, Statistics, StatisticsKind, Verdict};
pub use catalog::{AttributeInfo, ExistingIndex, RelationInfo};
pub use config::Config;
pub use expression::Expression;
pub use ids::{Oid, StatementId, TenantKey, decimal_words};
pub use index::{AccessMethod, IndexDefinition, IndexKey};
pub use module::{Module, ModuleSet};
pub use mutation::{Cause, MutationKind, MutationPhase, MutationRecord};
pub use ports::{Catalog, Clock, WhatIf};
pub use price::{CandidateId, Price, PriceError, SizeEstimate};
pub use query::{FieldRole, FieldUse, QueryShape, RelationInstance, RelationName};
pub use tree_form::tree_form;
