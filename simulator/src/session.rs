//! One client's connection: executes patterns the way an application's driver does.
use crate::application::Application;
use crate::cpu::BackendClock;
use crate::pattern::{Pattern, Protocol};
use crate::server::Server;
use crate::value::{Value, inline};
use anyhow::{Context, Result};
use postgres::types::ToSql;
use postgres::{Client, Statement};
use std::time::{Duration, Instant};

/// Overrides the protocol of every pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProtocolChoice {
    /// Each pattern as it is.
    Mixed,
    /// All prepared.
    Prepared,
    /// All simple.
    Simple,
}

/// What one execution took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From sending to the last answer, as the client sees it.
    pub latency: Duration,
    /// CPU time of the backend in nanoseconds, where it can be read.
    pub cpu: Option<u64>,
    /// Rows returned or changed by the last statement.
    pub rows: u64,
}

/// A connection with its prepared statements.
pub struct Session {
    client: Client,
    patterns: Vec<Pattern>,
    prepared: Vec<Vec<Option<Statement>>>,
    clock: Option<BackendClock>,
    choice: ProtocolChoice,
}

impl Session {
    /// Connects; statements are prepared when first needed.
    pub fn open(
        server: &Server,
        database: &str,
        application: &dyn Application,
        choice: ProtocolChoice,
    ) -> Result<Self> {
        let mut client = server.connect_to(database)?;
        let clock = BackendClock::of(&mut client);
        let patterns = application.patterns();
        let prepared = patterns
            .iter()
            .map(|p| p.steps.iter().map(|_| None).collect())
            .collect();
        Ok(Session {
            client,
            patterns,
            prepared,
            clock,
            choice,
        })
    }

    /// Whether CPU times are known.
    pub fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Whether the connection was lost.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Prepares every statement now, so that no measured execution pays for it.
    pub fn prepare_all(&mut self) -> Result<()> {
        for p in 0..self.patterns.len() {
            for s in 0..self.patterns[p].steps.len() {
                if self.protocol(p) == Protocol::Prepared {
                    self.statement(p, s)
                        .with_context(|| format!("preparing {}", self.patterns[p].name))?;
                }
            }
        }
        Ok(())
    }

    fn protocol(&self, pattern: usize) -> Protocol {
        match self.choice {
            ProtocolChoice::Mixed => self.patterns[pattern].protocol,
            ProtocolChoice::Prepared => Protocol::Prepared,
            ProtocolChoice::Simple => Protocol::Simple,
        }
    }

    fn statement(&mut self, pattern: usize, step: usize) -> Result<Statement, postgres::Error> {
        if self.prepared[pattern][step].is_none() {
            self.prepared[pattern][step] = Some(
                self.client
                    .prepare(self.patterns[pattern].steps[step].sql)?,
            );
        }
        Ok(self.prepared[pattern][step].clone().expect("just prepared"))
    }

    fn one(
        &mut self,
        pattern: usize,
        step: usize,
        values: &[Value],
    ) -> Result<u64, postgres::Error> {
        let s = self.patterns[pattern].steps[step];
        let chosen: Vec<&Value> = Pattern::arguments(&s, values.len())
            .into_iter()
            .map(|i| &values[i])
            .collect();
        if self.protocol(pattern) == Protocol::Simple {
            let rows = self.client.simple_query(&inline(s.sql, &chosen))?;
            return Ok(rows
                .iter()
                .map(|m| {
                    if let postgres::SimpleQueryMessage::CommandComplete(n) = m {
                        *n
                    } else {
                        0
                    }
                })
                .sum());
        }
        let statement = self.statement(pattern, step)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = chosen
            .into_iter()
            .map(|v| v as &(dyn ToSql + Sync))
            .collect();
        if statement.columns().is_empty() {
            return self.client.execute(&statement, &parameters);
        }
        Ok(self.client.query(&statement, &parameters)?.len() as u64)
    }

    /// Runs a pattern once, in a transaction when it has several statements.
    pub fn run(&mut self, pattern: usize, values: &[Value]) -> Result<Took, postgres::Error> {
        let steps = self.patterns[pattern].steps.len();
        if let Some(c) = &mut self.clock {
            // What the backend did since the last answer (its epilogue) belongs to nobody.
            c.drain();
        }
        let started = Instant::now();
        let outcome = (|| {
            if steps == 1 {
                return self.one(pattern, 0, values);
            }
            self.client.batch_execute("BEGIN")?;
            let mut rows = 0;
            for step in 0..steps {
                rows = self.one(pattern, step, values)?;
            }
            self.client.batch_execute("COMMIT")?;
            Ok(rows)
        })();
        let latency = started.elapsed();
        let cpu = self.clock.as_mut().map(BackendClock::lap);
        match outcome {
            Ok(rows) => Ok(Took { latency, cpu, rows }),
            Err(e) => {
                if steps > 1 && !self.client.is_closed() {
                    let _ = self.client.batch_execute("ROLLBACK");
                }
                Err(e)
            }
        }
    }
}
