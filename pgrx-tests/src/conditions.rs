//! Waiting until a cluster is in a wanted state.

use crate::cluster::{Cluster, tail};
use crate::session::Session;
use crate::wait::{PATIENCE, wait_for};

impl Cluster {
    /// Waits until a query's only value is `wanted`.
    ///
    /// # Panics
    /// After [`PATIENCE`], with the last value or error.
    #[track_caller]
    pub fn wait(&self, sql: &str, wanted: &str) {
        self.wait_in("postgres", sql, wanted);
    }

    /// As [`Cluster::wait`], in a database.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn wait_in(&self, database: &str, sql: &str, wanted: &str) {
        let mut session: Option<Session> = None;
        wait_for(&format!("{sql}\n to give {wanted:?}"), PATIENCE, || {
            // Connects anew after a loss: the wait may run across a crash of the server.
            let open = match session.as_mut() {
                Some(open) => open,
                None => session.insert(self.try_session(database).map_err(|e| e.to_string())?),
            };
            match open.try_rows(sql) {
                Ok(rows)
                    if rows.len() == 1 && rows[0].first() == Some(&Some(wanted.to_owned())) =>
                {
                    Ok(())
                }
                Ok(rows) => Err(format!("{rows:?}")),
                Err(e) => {
                    if e.severity == "LOST" || e.code.starts_with("57P") {
                        session = None;
                    }
                    Err(e.to_string())
                }
            }
        });
    }

    /// Waits until the server's log holds `text`.
    ///
    /// # Panics
    /// After [`PATIENCE`], with the end of the log.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("{text:?} in the log"), PATIENCE, || {
            let log = self.log();
            if log.contains(text) {
                Ok(())
            } else {
                Err(tail(&log, 30))
            }
        });
    }
}
