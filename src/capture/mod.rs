//! Capture: what statements do with which field, counted inside the server.

pub mod fields;
