//! The only room with `unsafe`: everything that touches the server's memory and functions.
//!
//! It imports no room above it. What it gives is safe to call from a backend's main thread;
//! what it needs from above comes as callbacks and ports.
#![allow(unsafe_code)]

pub mod boundary;
pub mod catalog;
pub mod clock;
pub mod compat;
pub mod database_ddl;
pub mod ddl;
pub mod ddl_notices;
mod estimators;
pub mod guc;
pub mod hooks;
pub mod identity;
pub mod load;
pub mod locks;
pub mod nodes;
pub mod opclass;
pub mod planwalk;
pub mod process;
pub mod querytree;
mod raw;
pub mod shmem;
pub mod spi;
pub mod switch;
mod syscache;
pub mod transaction;
pub mod whatif;
pub mod worker_entry;
