//! The server under test: connecting, and making, cloning and dropping the simulator's own databases.
//!
//! A database is ours when its comment starts with [`MARK`]; nothing else is ever dropped or written to.
use anyhow::{Context, Result, anyhow, bail};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the comment of a database of ours begins.
pub const MARK: &str = "indexpilot-sim: ";
/// Versions of PostgreSQL that the statements were written for.
pub const OLDEST: u32 = 150_000;
/// Key of the advisory lock that keeps two simulators off one server: "ixsim" in ASCII.
const LOCK: i64 = 0x69_7873_696d;

/// What a database of ours holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// Which application.
    pub application: crate::application::Kind,
    /// Which size.
    pub scenario: crate::scenario::Scenario,
    /// From which seed.
    pub seed: u64,
    /// Whether the load finished.
    pub complete: bool,
}

/// Where the server is.
#[derive(Clone)]
pub struct Server {
    config: Config,
}

impl Server {
    /// From a connection string, either `postgresql://…` or `host=… port=…`. What it leaves out is taken from
    /// PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE, then from the usual defaults.
    pub fn new(connection: Option<&str>) -> Result<Self> {
        let mut config: Config = match connection {
            Some(text) => text
                .parse()
                .with_context(|| format!("invalid connection string \"{text}\""))?,
            None => Config::new(),
        };
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        if config.get_hosts().is_empty() {
            config.host(&variable("PGHOST").unwrap_or_else(|| {
                if std::path::Path::new("/var/run/postgresql").exists() {
                    "/var/run/postgresql".into()
                } else {
                    "localhost".into()
                }
            }));
        }
        if config.get_ports().is_empty()
            && let Some(port) = variable("PGPORT")
        {
            config.port(
                port.parse()
                    .with_context(|| format!("PGPORT is not a port number: \"{port}\""))?,
            );
        }
        if config.get_user().is_none() {
            config.user(
                &variable("PGUSER")
                    .or_else(|| variable("USER"))
                    .unwrap_or_else(|| "postgres".into()),
            );
        }
        if config.get_password().is_none()
            && let Some(password) = variable("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_dbname().is_none() {
            config.dbname(&variable("PGDATABASE").unwrap_or_else(|| "postgres".into()));
        }
        config
            .application_name("indexpilot-sim")
            .connect_timeout(Duration::from_secs(10));
        Ok(Server { config })
    }

    /// A connection to the database named in the connection string, where databases are created from.
    pub fn connect(&self) -> Result<Client> {
        self.connect_to(self.config.get_dbname().unwrap_or("postgres"))
    }

    /// A connection to a database.
    pub fn connect_to(&self, database: &str) -> Result<Client> {
        self.config.clone().dbname(database).connect(NoTls).map_err(|e| {
            let place: Vec<String> = self.config.get_hosts().iter().map(|h| format!("{h:?}")).collect();
            match e.as_db_error() {
                Some(db) if *db.code() == SqlState::INVALID_CATALOG_NAME => anyhow!("database \"{database}\" does not exist\nHINT: Run \"indexpilot-sim seed --database {database}\" first."),
                Some(db) => anyhow!("server refused the connection to database \"{database}\": {}", db.message()),
                None => anyhow!("could not reach a server at {}: {}\nHINT: Check --url, or PGHOST and PGPORT, and that the server runs.", place.join(", "), source(&e)),
            }
        })
    }

    /// Major and minor version as `server_version_num`; an error below [`OLDEST`].
    pub fn check_version(&self, client: &mut Client) -> Result<u32> {
        let version: String = client.query_one("SHOW server_version_num", &[])?.get(0);
        let version: u32 = version.parse()?;
        if version < OLDEST {
            bail!(
                "server version {} is too old: PostgreSQL 15 or later is needed",
                version / 10_000
            );
        }
        Ok(version)
    }

    /// Takes the lock that makes this simulator the only one on the server; it lasts as long as the connection.
    pub fn lock(&self, client: &mut Client) -> Result<()> {
        // The backend of a connection that we closed a moment ago may still be on its way out.
        for _ in 0..20 {
            if client
                .query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&LOCK])?
                .get::<_, bool>(0)
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "another indexpilot-sim works on this server\nHINT: Wait for it to end; two loads at once would measure each other."
        )
    }

    /// What a database holds: `None` without such a database, an error when it is somebody else's.
    pub fn contents(&self, client: &mut Client, database: &str) -> Result<Option<Contents>> {
        let Some(row) = client.query_opt("SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1", &[&database])? else {
            return Ok(None);
        };
        let comment: Option<String> = row.get(0);
        comment
            .as_deref()
            .and_then(|c| c.strip_prefix(MARK))
            .and_then(|c| serde_json::from_str(c).ok())
            .map(Some)
            .ok_or_else(|| anyhow!("database \"{database}\" exists and was not made by indexpilot-sim\nHINT: Choose another name with --database."))
    }

    /// Creates an empty database of ours with a linguistic collation (ICU, root locale en-US, where the server
    /// has it), because LIKE behaves differently under "C" and most production databases are not "C".
    pub fn create(
        &self,
        client: &mut Client,
        database: &str,
        contents: &Contents,
    ) -> Result<String> {
        let name = identifier(database);
        let icu = format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
        );
        let collation = match client.batch_execute(&icu) {
            Ok(()) => "ICU en-US".to_owned(),
            Err(e) if e.code() == Some(&SqlState::DUPLICATE_DATABASE) => {
                bail!("database \"{database}\" exists already")
            }
            Err(e) if e.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                bail!("permission denied to create a database\nHINT: The role needs CREATEDB.")
            }
            Err(_) => {
                client
                    .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
                    .map_err(|e| explain(e, database))?;
                "server default".to_owned()
            }
        };
        self.mark(client, database, contents)?;
        Ok(collation)
    }

    /// Writes down what a database of ours holds.
    pub fn mark(&self, client: &mut Client, database: &str, contents: &Contents) -> Result<()> {
        let comment = format!("{MARK}{}", serde_json::to_string(contents)?);
        client.batch_execute(&format!(
            "COMMENT ON DATABASE {} IS '{}'",
            identifier(database),
            comment.replace('\'', "''")
        ))?;
        Ok(())
    }

    /// Makes `copy` a clone of `original`, replacing an earlier clone of ours.
    pub fn clone_database(&self, client: &mut Client, original: &str, copy: &str) -> Result<()> {
        let contents = self
            .contents(client, original)?
            .ok_or_else(|| anyhow!("database \"{original}\" does not exist"))?;
        self.drop(client, copy)?;
        // STRATEGY wal_log would write every page twice; the file copy needs a checkpoint but is far cheaper here.
        let sql = format!(
            "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy",
            identifier(copy),
            identifier(original)
        );
        client
            .batch_execute(&sql)
            .map_err(|e| explain(e, original))?;
        // Settings of a database are not cloned with it.
        client.batch_execute(&format!(
            "ALTER DATABASE {} SET max_parallel_workers_per_gather = 0",
            identifier(copy)
        ))?;
        self.mark(client, copy, &contents)
    }

    /// Drops a database of ours, with the connections to it that its owner may end; nothing when it is not there.
    pub fn drop(&self, client: &mut Client, database: &str) -> Result<()> {
        if self.contents(client, database)?.is_none() {
            return Ok(());
        }
        client
            .batch_execute(&format!(
                "DROP DATABASE {} WITH (FORCE)",
                identifier(database)
            ))
            .map_err(|e| explain(e, database))
    }

    /// Refuses when others are connected to a database that is about to be replaced or copied.
    pub fn refuse_if_in_use(&self, client: &mut Client, database: &str) -> Result<()> {
        let mut others: Vec<String> = Vec::new();
        // Our own connections of a moment ago may still be on their way out.
        for _ in 0..20 {
            others = client
                .query(
                    "SELECT DISTINCT COALESCE(NULLIF(application_name, ''), usename::text) FROM pg_catalog.pg_stat_activity \
                     WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1",
                    &[&database],
                )?
                .iter()
                .map(|r| r.get(0))
                .collect();
            if others.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "database \"{database}\" is in use by {}\nHINT: Disconnect them, or choose another name with --database.",
            others.join(", ")
        )
    }
}

/// A quoted identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The whole message of an error of the driver, which hides the server's inside its sources.
pub fn source(e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = e.to_string();
    let mut inner = e.source();
    while let Some(s) = inner {
        let more = s.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = s.source();
    }
    text
}

fn explain(e: postgres::Error, database: &str) -> anyhow::Error {
    match e.code() {
        Some(c) if *c == SqlState::OBJECT_IN_USE => anyhow!(
            "database \"{database}\" is in use by another session{}\nHINT: Disconnect it, or choose another name with --database.",
            e.as_db_error()
                .and_then(|d| d.detail())
                .map(|d| format!(" ({d})"))
                .unwrap_or_default()
        ),
        Some(c) if *c == SqlState::INSUFFICIENT_PRIVILEGE => anyhow!(
            "permission denied for database \"{database}\"\nHINT: The role needs CREATEDB and must own the simulator's databases."
        ),
        _ => anyhow!("{}", source(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn a_bad_connection_string_is_named() {
        let e = Server::new(Some("port=many")).err().expect("refused");
        assert!(e.to_string().contains("port=many"), "{e}");
    }
}
