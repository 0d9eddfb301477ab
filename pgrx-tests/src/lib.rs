//! The test ground: real PostgreSQL clusters with the freshly built extension in them.
//!
//! ```no_run
//! use indexpilot_tests::Cluster;
//!
//! let cluster = Cluster::builder().conf("work_mem = '8MB'").start();
//! let mut session = cluster.session();
//! session.run("CREATE EXTENSION indexpilot");
//! assert_eq!(session.text("SELECT indexpilot.version()"), "0.1.0");
//! ```
//!
//! A cluster is private: a relocated copy of the server, Unix sockets only, its own data
//! directory under `target/`, a user other than root, and nothing of it left when the value
//! is dropped. Several run at once. `PG=16 cargo test -p indexpilot-tests` picks the major.
//!
//! Nothing here sleeps and hopes: [`Cluster::wait`] polls a query until it gives the wanted
//! value and otherwise fails with the last value seen and the end of the server's log.

mod cluster;
mod conditions;
mod ground;
mod psql;
mod server;
mod session;
mod skip;
mod steps;
mod sweep;
mod wait;

pub use cluster::{Builder, Cluster};
pub use ground::{Identity, workspace};
pub use nix::sys::signal::Signal;
pub use postgres;
pub use psql::Output;
pub use server::Server;
pub use session::{Notice, Session, SqlError};
pub use skip::{lacks_icu, lacks_module, skip};
pub use steps::{advised, past_traffic};
pub use wait::{PATIENCE, wait_for};

/// The major version under test: the environment's `PG`, 15 where it is not set.
///
/// # Panics
/// When `PG` is not a number.
#[must_use]
pub fn major() -> u32 {
    std::env::var("PG").map_or(15, |text| {
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("PG={text} is not a major version of PostgreSQL"))
    })
}
