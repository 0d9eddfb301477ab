//! A load generator for databases that many customers share, and the proof of what IndexPilot does to them.
//!
//! - [`application`], [`crm`], [`shop`], [`star`]: schemas, rows, statement patterns and the expert's indexes;
//!   pure functions of a seed, usable as a library.
//! - [`genome`]: schema descriptions in YAML for the extension.
//! - [`server`], [`seed`], [`session`], [`traffic`], [`comparison`]: an ordinary client of a PostgreSQL server.
pub mod application;
pub mod catalog;
pub mod cli;
pub mod comparison;
pub mod cpu;
pub mod crm;
pub mod demo;
pub mod export;
pub mod genome;
pub mod latency;
pub mod pattern;
pub mod persona;
pub mod pilot;
pub mod random;
pub mod report;
pub mod results;
pub mod scenario;
pub mod seed;
pub mod server;
pub mod session;
pub mod shop;
pub mod star;
pub mod traffic;
pub mod value;
pub mod verify;
mod words;
