//! `import_pg_stat_statements()`: what was counted before we came, less what we counted
//! ourselves. A text without values is enough for a generic plan.

use crate::capture;
use crate::pg::whatif::{Failure, PLANNING_SETTINGS, tree_of_text};
use crate::pg::{catalog, clock, process, querytree, spi};
use crate::store::history::{self, Foreign};
use crate::store::statement::{NewSource, NewStatement};
use indexpilot_model::normalize::normalize;
use indexpilot_model::query::StatementKind;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use std::collections::{BTreeMap, BTreeSet};

/// Most statements taken over, those with most time first.
const MOST: i64 = 10_000;

/// What became of statements: imported, or skipped for a reason.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many.
    pub statements: i64,
    /// Their calls.
    pub calls: i64,
    /// Their time, milliseconds.
    pub total_ms: f64,
}

/// Outcome and reason, with how many.
pub type Outcome = BTreeMap<(&'static str, String), Tally>;

const IMPORTED: &str = "imported";
const SKIPPED: &str = "skipped";

fn check_rights() {
    let role = spi::current_role();
    let reads = Spi::get_one_with_args::<bool>(
        "SELECT pg_catalog.pg_has_role($1, 'pg_read_all_stats', 'USAGE')",
        &[role.as_str().into()],
    );
    if !process::may_administer_database() || !matches!(reads, Ok(Some(true))) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "permission denied to import statistics of all users",
            "Only the owner of the database with the rights of pg_read_all_stats may."
        );
    }
}

/// Imports, and says what became of what.
///
/// # Errors
/// What SPI reports.
///
/// # Panics
/// Raises an ERROR without the rights, or where pg_stat_statements is not installed here.
pub fn import() -> SpiResult<Outcome> {
    check_rights();
    let Some(schema) = catalog::extension_schema("pg_stat_statements") else {
        pgrx::pg_sys::panic::ErrorReport::new(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "extension \"pg_stat_statements\" is not installed in this database",
            "indexpilot",
        )
        .set_hint("Add pg_stat_statements to shared_preload_libraries, restart, and run CREATE EXTENSION pg_stat_statements.")
        .report(PgLogLevel::ERROR);
        unreachable!("an ERROR report does not return")
    };
    let session_path = Spi::get_one::<String>("SELECT pg_catalog.current_setting('search_path')")?
        .unwrap_or_default();
    history::forget()?;
    let now = clock::now();
    // Nothing is being saved meanwhile: what is neither in memory nor in tables yet would be
    // counted twice.
    let (unsaved, all) = spi::under_lock(capture::SAVING_LOCK, || {
        (capture::pending(), history::foreign(&schema, MOST))
    });
    let mut outcome = Outcome::new();
    for mut foreign in all? {
        pgrx::check_for_interrupts!();
        let key = (
            foreign.query_id as u64,
            foreign.role.to_u32(),
            foreign.top_level,
        );
        if let Some((calls, rows, ms)) = unsaved.get(&key) {
            foreign.calls = (foreign.calls - *calls as i64).max(0);
            foreign.rows = (foreign.rows - *rows as i64).max(0);
            foreign.total_ms = (foreign.total_ms - ms).max(0.0);
        }
        let what = match take_over(&foreign, &session_path, now)? {
            Ok(()) => (IMPORTED, String::new()),
            Err(why) => (SKIPPED, why),
        };
        let tally = outcome.entry(what).or_default();
        tally.statements += 1;
        tally.calls += foreign.calls;
        tally.total_ms += foreign.total_ms;
    }
    Ok(outcome)
}

/// One statement; `Err` is why it is skipped.
fn take_over(foreign: &Foreign, session_path: &str, now: i64) -> SpiResult<Result<(), String>> {
    let skip = |why: &str| Ok(Err(why.to_owned()));
    if foreign.calls == 0 {
        return skip("all of its calls were captured here");
    }
    if let Some(id) = &foreign.known {
        return history::add(id, foreign, now).map(Ok);
    }
    let Some(text) = &foreign.text else {
        return skip("its text is gone");
    };
    let path = foreign.search_path.as_deref().unwrap_or(session_path);
    let tree = match tree_of_text(&typed_literals(text), foreign.role.to_u32(), path) {
        Ok(tree) => tree,
        Err(failure) => return Ok(Err(reason(failure))),
    };
    let Some(lifted) = querytree::lift(&tree, &[]) else {
        return skip("its tree could not be read");
    };
    let instances = &lifted.shape.instances;
    let of = |schemas: &[&str]| {
        instances
            .iter()
            .any(|instance| schemas.contains(&instance.relation.schema.as_str()))
    };
    if of(&["indexpilot"]) {
        return skip("it is one of IndexPilot's own");
    }
    if instances.is_empty() || of(&["pg_catalog", "information_schema", "pg_toast"]) {
        return skip("it reads the system's relations, or none");
    }
    let kind = match lifted.shape.kind {
        StatementKind::Select => "select",
        StatementKind::Insert => "insert",
        StatementKind::Update => "update",
        StatementKind::Delete => "delete",
        StatementKind::Merge => "merge",
        StatementKind::Utility => return skip("it is a utility statement"),
    };
    let relations: BTreeSet<String> = instances
        .iter()
        .map(|instance| instance.relation.qualified())
        .collect();
    let relations: Vec<String> = relations.into_iter().collect();
    let normalized = normalize(text);
    let source = NewSource {
        tree: lifted.tree,
        shape: lifted.shape,
        search_path: path.to_owned(),
        settings: settings()?,
        types: lifted.types,
        own: lifted.own,
        own_lists: lifted.own_lists,
        form: lifted.form,
        // Constants that were left in the text are part of the statement; where it has
        // parameters too, their values are unknown and the plan is generic.
        sample: (lifted.own == 0 && !lifted.values.is_empty()).then_some(lifted.values),
    };
    let new = NewStatement {
        identity: normalized.identity(&relations, path),
        memory_id: foreign.query_id as u64,
        query_id: foreign.query_id as u64,
        role: foreign.role.to_u32(),
        top_level: foreign.top_level,
        kind,
        text: normalized.text,
        relations,
        not_analysable: None,
        first_seen: foreign.since,
        source: None,
    };
    let id = history::adopt(new, &source)?;
    history::add(&id, foreign, now).map(Ok)
}

/// Planning settings of this session: those of the statement's own are not known.
fn settings() -> SpiResult<Vec<(String, String)>> {
    let mut found = Vec::new();
    for name in PLANNING_SETTINGS {
        let value = Spi::get_one_with_args::<String>(
            "SELECT pg_catalog.current_setting($1, true)",
            &[(*name).into()],
        )?;
        if let Some(value) = value {
            found.push(((*name).to_owned(), value));
        }
    }
    Ok(found)
}

/// Why a text could not be analysed, without the names in it, so that reasons can be counted.
fn reason(failure: Failure) -> String {
    use PgSqlErrorCode as Code;
    match failure.code {
        Code::ERRCODE_UNDEFINED_TABLE | Code::ERRCODE_INVALID_SCHEMA_NAME => {
            "a relation it names does not exist under its search_path (any more)".into()
        }
        Code::ERRCODE_UNDEFINED_COLUMN => "a column it names does not exist any more".into(),
        Code::ERRCODE_UNDEFINED_FUNCTION | Code::ERRCODE_UNDEFINED_OBJECT => {
            "a function, operator or type it uses does not exist for the parameters".into()
        }
        Code::ERRCODE_SYNTAX_ERROR => {
            "its text cannot be read again (a constant stood where no parameter may)".into()
        }
        Code::ERRCODE_INDETERMINATE_DATATYPE
        | Code::ERRCODE_AMBIGUOUS_PARAMETER
        | Code::ERRCODE_AMBIGUOUS_FUNCTION
        | Code::ERRCODE_DATATYPE_MISMATCH => {
            "the type of a parameter cannot be found out from its text".into()
        }
        Code::ERRCODE_FEATURE_NOT_SUPPORTED => {
            "it is no SELECT, INSERT, UPDATE, DELETE or MERGE".into()
        }
        Code::ERRCODE_INSUFFICIENT_PRIVILEGE => "its role may not run it any more".into(),
        Code::ERRCODE_LOCK_NOT_AVAILABLE => "a relation of it was locked".into(),
        _ => failure.message,
    }
}

/// pg_stat_statements writes `date '2024-01-01'` as `date $1`, which is no SQL; `$1::date` is.
fn typed_literals(text: &str) -> String {
    const TYPES: [&str; 6] = [
        "interval",
        "date",
        "timestamp",
        "timestamptz",
        "time",
        "timetz",
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, parameter) = rest.split_at(at);
        let digits = parameter[1..].len()
            - parameter[1..]
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        let word = before.trim_end();
        let start = word
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '"'))
            .map_or(0, |position| {
                position + word[position..].chars().next().map_or(1, char::len_utf8)
            });
        let name = word[start..].to_ascii_lowercase();
        let (parameter, behind) = parameter.split_at(1 + digits);
        if digits > 0 && word.len() < before.len() && TYPES.contains(&name.as_str()) {
            out.push_str(&word[..start]);
            out.push_str(parameter);
            out.push_str("::");
            out.push_str(&name);
        } else {
            out.push_str(before);
            out.push_str(parameter);
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}
