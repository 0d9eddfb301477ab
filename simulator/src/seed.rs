//! Loading an application's rows: schema, COPY, foreign keys, statistics.
use crate::application::Application;
use crate::server::{Contents, Server};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use postgres::Client;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows generated and sent at once.
const CHUNK: u64 = 4_096;

/// What a load did.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of the database.
    pub bytes: i64,
    /// Collation that the database got.
    pub collation: String,
    /// Wall time.
    pub took: Duration,
}

/// Creates the database and loads it. With `replace`, an earlier database of ours of that name goes first.
/// `connections` load at once.
pub fn seed(
    server: &Server,
    database: &str,
    application: &dyn Application,
    contents: &Contents,
    replace: bool,
    connections: usize,
    quiet: bool,
) -> Result<Loaded> {
    let started = Instant::now();
    let mut admin = server.connect()?;
    server.check_version(&mut admin)?;
    server.lock(&mut admin)?;
    if server.contents(&mut admin, database)?.is_some() {
        if !replace {
            bail!("database \"{database}\" exists already\nHINT: Use --replace to load it again.");
        }
        server.refuse_if_in_use(&mut admin, database)?;
        server.drop(&mut admin, database)?;
    }
    let mut unfinished = contents.clone();
    unfinished.complete = false;
    let collation = server.create(&mut admin, database, &unfinished)?;

    let mut client = server.connect_to(database)?;
    // Without pg_trgm the infix searches stay slow for everyone, the expert included.
    let _ = client.batch_execute("CREATE EXTENSION pg_trgm SCHEMA public");
    client
        .batch_execute(application.schema_sql())
        .context("creating the schema")?;
    let tables = application.tables();
    let total: u64 = tables.iter().map(|t| t.rows).sum();
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(total)
    };
    bar.set_style(
        ProgressStyle::with_template(
            "  loading   {bar:32} {percent:>3}%  {human_pos} rows  {per_sec}  {msg}",
        )
        .expect("valid template"),
    );
    for (number, table) in tables.iter().enumerate() {
        bar.set_message(table.table);
        load(server, database, application, number, connections, &bar)?;
        if let Some(column) = table.identity {
            client.batch_execute(&format!(
                "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('{}', '{column}'), {})",
                table.table,
                table.rows.max(1)
            ))?;
        }
    }
    bar.set_message("foreign keys");
    client
        .batch_execute(application.foreign_keys_sql())
        .context("adding foreign keys")?;
    bar.set_message("vacuum analyze");
    // A database that has lived for a while has hint bits, a visibility map and statistics.
    client.batch_execute("VACUUM (ANALYZE)")?;
    bar.finish_and_clear();
    let bytes = client
        .query_one(
            "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())",
            &[],
        )?
        .get(0);
    drop(client);
    let mut complete = contents.clone();
    complete.complete = true;
    server.mark(&mut admin, database, &complete)?;
    // One checkpoint now, or the first measured minutes pay for the load.
    let _ = admin.batch_execute("CHECKPOINT");
    Ok(Loaded {
        rows: total,
        bytes,
        collation,
        took: started.elapsed(),
    })
}

/// Loads one table over several connections. Chunks are handed out in order, so rows lie in the table about in
/// the order of their keys, as time would have put them.
fn load(
    server: &Server,
    database: &str,
    application: &dyn Application,
    number: usize,
    connections: usize,
    bar: &ProgressBar,
) -> Result<()> {
    let table = &application.tables()[number];
    let next = AtomicU64::new(1);
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..connections.max(1) {
            scope.spawn(|| {
                let copy = || -> Result<()> {
                    let mut client: Client = server.connect_to(database)?;
                    let mut writer = client.copy_in(&format!(
                        "COPY {} ({}) FROM STDIN",
                        table.table, table.columns
                    ))?;
                    let mut lines = String::new();
                    loop {
                        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if first > table.rows
                            || failure.lock().expect("no panic while held").is_some()
                        {
                            break;
                        }
                        let last = (first + CHUNK - 1).min(table.rows);
                        lines.clear();
                        for row in first..=last {
                            application.copy_line(number, row, &mut lines);
                        }
                        writer.write_all(lines.as_bytes())?;
                        bar.inc(last - first + 1);
                    }
                    writer
                        .finish()
                        .with_context(|| format!("loading {}", table.table))?;
                    Ok(())
                };
                if let Err(e) = copy() {
                    failure
                        .lock()
                        .expect("no panic while held")
                        .get_or_insert(e);
                }
            });
        }
    });
    match failure.into_inner().expect("no panic while held") {
        Some(e) => Err(e),
        None => Ok(()),
    }
}
