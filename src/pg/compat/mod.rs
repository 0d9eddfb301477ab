//! Everything that differs between the supported major versions (15 to 18), and functions of
//! the server that pgrx declares for none of them.

pub mod custom_setting;
pub mod executor;
pub mod identity;
pub mod ownership;
pub mod planner;
pub mod planstate;
pub mod portal;
pub mod querytree;
pub mod shared_memory;
pub mod signals;
