//! Our tables, one file a table: the only place with SQL that changes them. Everything is
//! schema-qualified and bound; functions here check no rights (their callers in `api` and
//! `worker` do) and switch to the owner of the tables themselves.

pub mod captured;
pub mod chain;
pub mod expression;
pub mod genome;
pub mod mutation_log;
pub mod schema_change;
pub mod setting;
pub mod statement;
