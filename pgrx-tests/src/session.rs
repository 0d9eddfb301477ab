//! One connection, with results as text and errors with every field.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, Mutex};

use postgres::error::DbError;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A NOTICE, WARNING or the like that the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, …
    pub severity: String,
    /// The five characters of the SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// The DETAIL, empty when there is none.
    pub detail: String,
    /// The HINT, empty when there is none.
    pub hint: String,
}

/// What an erring statement said; the fields are empty where the server sent none.
pub type SqlError = Notice;

impl From<&DbError> for Notice {
    fn from(e: &DbError) -> Self {
        Self {
            severity: e.severity().to_owned(),
            code: e.code().code().to_owned(),
            message: e.message().to_owned(),
            detail: e.detail().unwrap_or_default().to_owned(),
            hint: e.hint().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        if !self.detail.is_empty() {
            write!(f, "\nDETAIL:  {}", self.detail)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\nHINT:  {}", self.hint)?;
        }
        Ok(())
    }
}

/// A connection. It is a [`postgres::Client`] too, for prepared statements and typed rows.
pub struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Session {
    /// Connects through the socket directory; `Err` where the server refuses or is not there.
    ///
    /// # Errors
    /// The client library's error.
    pub fn open(
        sockets: &Path,
        port: u16,
        database: &str,
        user: &str,
        options: &str,
    ) -> Result<Self, postgres::Error> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&notices);
        let mut config = Config::new();
        config
            .host_path(sockets)
            .port(port)
            .dbname(database)
            .user(user)
            .application_name("indexpilot-tests")
            .notice_callback(move |notice| {
                if let Ok(mut list) = sink.lock() {
                    list.push(Notice::from(&notice));
                }
            });
        if !options.is_empty() {
            config.options(options);
        }
        Ok(Self {
            client: config.connect(NoTls)?,
            notices,
        })
    }

    /// Runs statements by the simple protocol and gives the rows of them all as text.
    ///
    /// # Errors
    /// The server's error with its fields; a lost connection has severity `LOST`.
    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let messages = self.client.simple_query(sql).map_err(|e| fields(&e))?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect())
    }

    /// Runs statements that must succeed and gives their rows as text.
    ///
    /// # Panics
    /// With the statement and the error's fields.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.try_rows(sql) {
            Ok(rows) => rows,
            Err(e) => panic!("{sql}\n{e}"),
        }
    }

    /// Runs statements that must succeed.
    ///
    /// # Panics
    /// With the statement and the error's fields.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        self.rows(sql);
    }

    /// The first column of the only row, as text; `None` is NULL.
    ///
    /// # Panics
    /// When the statement fails or does not give exactly one row.
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> Option<String> {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}\ngave {} rows, not one", rows.len());
        rows.remove(0).into_iter().next().flatten()
    }

    /// As [`Session::value`], for what is never NULL.
    ///
    /// # Panics
    /// As there, and when the value is NULL.
    #[track_caller]
    pub fn text(&mut self, sql: &str) -> String {
        match self.value(sql) {
            Some(text) => text,
            None => panic!("{sql}\ngave NULL"),
        }
    }

    /// As [`Session::text`], read as a number.
    ///
    /// # Panics
    /// As there, and when it is no number.
    #[track_caller]
    pub fn number(&mut self, sql: &str) -> f64 {
        let text = self.text(sql);
        match text.parse() {
            Ok(number) => number,
            Err(_) => panic!("{sql}\ngave {text:?}, not a number"),
        }
    }

    /// The first column of every row; NULL is the word `NULL`.
    ///
    /// # Panics
    /// When the statement fails.
    #[track_caller]
    pub fn column(&mut self, sql: &str) -> Vec<String> {
        self.rows(sql)
            .into_iter()
            .map(|row| {
                let first = row.into_iter().next().flatten();
                first.unwrap_or_else(|| "NULL".into())
            })
            .collect()
    }

    /// The error of a statement that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    #[track_caller]
    pub fn error(&mut self, sql: &str) -> SqlError {
        match self.try_rows(sql) {
            Ok(rows) => panic!("{sql}\nsucceeded, with {rows:?}"),
            Err(e) => e,
        }
    }

    /// What the server said beside the results since the last call.
    ///
    /// # Panics
    /// Never in practice: when the list's lock is poisoned.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().expect("the list of notices"))
    }

    /// The process that serves this connection.
    ///
    /// # Panics
    /// When the connection is lost.
    #[track_caller]
    pub fn pid(&mut self) -> i32 {
        self.text("SELECT pg_catalog.pg_backend_pid()")
            .parse()
            .expect("a process id")
    }
}

fn fields(e: &postgres::Error) -> SqlError {
    e.as_db_error().map_or_else(
        || Notice {
            severity: "LOST".into(),
            code: String::new(),
            message: e.to_string(),
            detail: String::new(),
            hint: String::new(),
        },
        Notice::from,
    )
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
