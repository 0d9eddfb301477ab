//! The settings whose values are text, read strictly: what makes no sense is refused with
//! the words that the server shows as DETAIL and HINT.

use crate::config::MaintenanceWindow;
use crate::identifier::{MAX_IDENTIFIER_BYTES, QualifiedName};
use crate::module::{MODULES, Module, ModuleSet};

/// Why a value is refused, in sentences for DETAIL and HINT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it.
    pub detail: String,
    /// What to write instead.
    pub hint: String,
}

fn refuse<T>(detail: String, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        detail,
        hint: hint.into(),
    })
}

const WINDOW_HINT: &str = "Write two times of the day, for example '02:00-06:00' or, across midnight, '22:30-05:00'; 'always' is the whole day.";

/// Reads `HH:MM-HH:MM` or `always` into first minute (0…1439) and first minute after (0…1440).
///
/// # Errors
/// When it is neither, or a time does not exist.
pub fn parse_window(text: &str) -> Result<(u16, u16), Refusal> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("always") {
        return Ok((0, 1440));
    }
    let Some((start, end)) = text.split_once('-') else {
        return refuse(
            format!("\"{text}\" is not a span of two times."),
            WINDOW_HINT,
        );
    };
    let (start, end) = (minute(start, false)?, minute(end, true)?);
    if start == end {
        return refuse(
            format!("\"{text}\" begins and ends at the same time."),
            "Write 'always' for the whole day.",
        );
    }
    Ok((start, end))
}

/// A time of the day as minutes after midnight; 24:00 is one only where a span may end.
fn minute(text: &str, may_be_midnight: bool) -> Result<u16, Refusal> {
    let text = text.trim();
    let number = |digits: &str| -> Option<u16> {
        let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let parts = text
        .split_once(':')
        .and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    match parts {
        Some((hour, minute)) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        Some((24, 0)) if may_be_midnight => Ok(1440),
        Some(_) => refuse(format!("\"{text}\" is not a time of the day."), WINDOW_HINT),
        None => refuse(
            format!("\"{text}\" is not a time of the form HH:MM."),
            WINDOW_HINT,
        ),
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAYS_HINT: &str =
    "Write days or spans of days, for example 'mon-fri' or 'sat,sun'; 'all' is every day.";

/// Reads `all`, or days and spans of days separated by commas: bit 0 is Monday, bit 6 Sunday.
///
/// # Errors
/// When a word is no day, or there is none at all.
pub fn parse_days(text: &str) -> Result<u8, Refusal> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("all") {
        return Ok(0b111_1111);
    }
    let day = |word: &str| -> Result<usize, Refusal> {
        let word = word.trim();
        match DAYS.iter().position(|day| day.eq_ignore_ascii_case(word)) {
            Some(day) => Ok(day),
            None => refuse(format!("\"{word}\" is not a day of the week."), DAYS_HINT),
        }
    };
    let mut days = 0u8;
    for span in text.split(',') {
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (mut at, last) = (day(first)?, day(last)?);
        // A span may run over Sunday, as fri-mon does.
        while at != last {
            days |= 1 << at;
            at = (at + 1) % 7;
        }
        days |= 1 << last;
    }
    Ok(days)
}

/// The window of these two settings.
///
/// # Errors
/// As [`parse_window`] and [`parse_days`].
pub fn maintenance_window(span: &str, days: &str) -> Result<MaintenanceWindow, Refusal> {
    let (start, end) = parse_window(span)?;
    Ok(MaintenanceWindow {
        start,
        end,
        days: parse_days(days)?,
    })
}

/// Reads names separated by commas as the server reads a list of identifiers
/// (`SplitIdentifierString`, src/backend/utils/adt/varlena.c): lower case unless in double
/// quotes. An empty text is an empty list.
///
/// # Errors
/// On an empty name, an unclosed quote, or one that no identifier can be as long as.
pub fn parse_names(text: &str) -> Result<Vec<String>, Refusal> {
    const HINT: &str =
        "Write names separated by commas, with double quotes around those with capitals or commas.";
    let mut names = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Ok(names);
    }
    loop {
        names.push(take_name(&mut rest, &[',', '"'], HINT)?);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Ok(names),
            None => return refuse(format!("There is no comma before \"{rest}\"."), HINT),
        }
    }
}

/// Reads statements separated by commas, each by its UUID (`indexpilot.statements.id`), into
/// the server's spelling of it. An empty text is an empty list.
///
/// # Errors
/// On what is no UUID.
pub fn parse_statements(text: &str) -> Result<Vec<String>, Refusal> {
    let mut found = Vec::new();
    for item in text.split(',').map(str::trim) {
        if item.is_empty() && text.trim().is_empty() {
            break;
        }
        let digits: String = item.chars().filter(|c| *c != '-').collect();
        let dashed = item.len() == 36
            && [8, 13, 18, 23]
                .iter()
                .all(|at| item.as_bytes()[*at] == b'-');
        if digits.len() != 32
            || !digits.bytes().all(|c| c.is_ascii_hexdigit())
            || !(dashed || item.len() == 32)
        {
            return refuse(
                format!("\"{item}\" is no statement's id."),
                "Write ids as the column id of indexpilot.statements shows them, separated by commas.",
            );
        }
        let lower = digits.to_ascii_lowercase();
        found.push(format!(
            "{}-{}-{}-{}-{}",
            &lower[..8],
            &lower[8..12],
            &lower[12..16],
            &lower[16..20],
            &lower[20..]
        ));
    }
    Ok(found)
}

/// Reads tables separated by commas, each as `schema.table`, names as in [`parse_names`].
///
/// # Errors
/// As there, and on a table without its schema: which one is meant must not depend on
/// anybody's `search_path`.
pub fn parse_tables(text: &str) -> Result<Vec<QualifiedName>, Refusal> {
    const HINT: &str = "Write tables as schema.table, separated by commas, with double quotes around names with capitals, commas or dots.";
    let mut tables = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Ok(tables);
    }
    loop {
        let schema = take_name(&mut rest, &[',', '"', '.'], HINT)?;
        let Some(more) = rest.strip_prefix('.') else {
            return refuse(format!("\"{schema}\" has no schema."), HINT);
        };
        rest = more.trim_start();
        let name = take_name(&mut rest, &[',', '"', '.'], HINT)?;
        tables.push(QualifiedName::new(schema, name));
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Ok(tables),
            None => return refuse(format!("There is no comma before \"{rest}\"."), HINT),
        }
    }
}

/// Takes one name off the front of `rest`, up to one of the characters in `stops`.
fn take_name(rest: &mut &str, stops: &[char], hint: &str) -> Result<String, Refusal> {
    let name;
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut inner = String::new();
        let mut characters = quoted.char_indices().peekable();
        let end = loop {
            match characters.next() {
                None => return refuse("A double quote is not closed.".into(), hint),
                Some((_, '"')) if characters.peek().is_some_and(|(_, c)| *c == '"') => {
                    characters.next();
                    inner.push('"');
                }
                Some((at, '"')) => break at + 1,
                Some((_, character)) => inner.push(character),
            }
        };
        name = inner;
        *rest = quoted[end..].trim_start();
    } else {
        let end = rest.find(stops).unwrap_or(rest.len());
        name = rest[..end].trim().to_lowercase();
        if name.contains(char::is_whitespace) {
            return refuse(format!("\"{name}\" is not one name."), hint);
        }
        *rest = &rest[end..];
    }
    if name.is_empty() {
        return refuse("A name in the list is empty.".into(), hint);
    }
    if name.len() > MAX_IDENTIFIER_BYTES {
        return refuse(
            format!("\"{name}\" is longer than an identifier can be."),
            format!("Names have at most {MAX_IDENTIFIER_BYTES} bytes."),
        );
    }
    Ok(name)
}

/// Reads names of modules separated by commas.
///
/// # Errors
/// When a name is none, with the list of those there are.
pub fn parse_modules(text: &str) -> Result<ModuleSet, Refusal> {
    let mut set = ModuleSet::NONE;
    for name in parse_names(text)? {
        match Module::from_name(&name) {
            Some(module) if !module.is_feature() => set = set.with(module),
            Some(_) => {
                return refuse(
                    format!("\"{name}\" is a feature, not a module."),
                    format!("Set indexpilot.{name} to 'off' instead."),
                );
            }
            None => {
                let known: Vec<&str> = MODULES
                    .into_iter()
                    .filter(|module| !module.is_feature())
                    .map(Module::name)
                    .collect();
                return refuse(
                    format!("There is no module \"{name}\"."),
                    format!("The modules are: {}.", known.join(", ")),
                );
            }
        }
    }
    Ok(set)
}

/// Reads a storage budget in megabytes: −1 is no limit.
///
/// # Errors
/// On any other negative number.
pub fn check_budget(megabytes: i32) -> Result<Option<u64>, Refusal> {
    match megabytes {
        -1 => Ok(None),
        0.. => Ok(Some(u64::from(megabytes.unsigned_abs()) << 20)),
        _ => refuse(
            format!("A budget of {megabytes} MB would have to take space back."),
            "Use an amount of disk space, for example '10GB', or -1 for no limit.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let name = QualifiedName::new;
        assert_eq!(parse_tables(" "), Ok(vec![]));
        assert_eq!(
            parse_tables("crm.Contacts , \"A.b\" . \"C,\"\"d\""),
            Ok(vec![name("crm", "contacts"), name("A.b", "C,\"d")])
        );
        for bad in [
            "contacts", "crm.", ".x", "a.b.c", "a.b c.d", "a.b,", "\"a.b",
        ] {
            assert!(parse_tables(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statements_are_read() {
        let id = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        assert_eq!(parse_statements(" "), Ok(vec![]));
        let spelled = format!("{} , {}", id.to_uppercase(), id.replace('-', ""));
        assert_eq!(parse_statements(&spelled), Ok(vec![id.to_owned(); 2]));
        let displaced = "1b4e28ba2-fa1-11d2-883f-0016d3cca427";
        for bad in [
            "4711",
            displaced,
            "ü",
            &id.replace('1', "x"),
            &format!("{id},"),
        ] {
            assert!(parse_statements(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_are_read() {
        assert_eq!(parse_window("02:00-06:00"), Ok((120, 360)));
        assert_eq!(parse_window(" 22:30 - 5:00 "), Ok((1350, 300)));
        assert_eq!(parse_window("18:00-24:00"), Ok((1080, 1440)));
        assert_eq!(parse_window("Always"), Ok((0, 1440)));
    }

    #[test]
    fn windows_that_make_no_sense_are_refused_with_the_reason() {
        for (text, part) in [
            ("26:00-07", "\"26:00\" is not a time of the day"),
            ("02:00", "not a span"),
            ("02:00-07", "HH:MM"),
            ("02:61-07:00", "\"02:61\""),
            ("24:00-07:00", "\"24:00\""),
            ("-1:00-07:00", "HH:MM"),
            ("02:00-02:00", "same time"),
            ("", "not a span"),
            ("+2:00-03:00", "HH:MM"),
        ] {
            let refusal = parse_window(text).expect_err(text);
            assert!(refusal.detail.contains(part), "{text}: {}", refusal.detail);
            assert!(!refusal.hint.is_empty());
        }
    }

    #[test]
    fn days_are_read() {
        assert_eq!(parse_days("all"), Ok(0b111_1111));
        assert_eq!(parse_days("mon-fri"), Ok(0b001_1111));
        assert_eq!(parse_days("Sat, sun"), Ok(0b110_0000));
        assert_eq!(parse_days("fri-mon"), Ok(0b111_0001));
        assert!(parse_days("caturday").is_err());
        assert!(parse_days("").is_err());
        assert!(parse_days("mon,,tue").is_err());
    }

    #[test]
    fn names_are_read_as_the_server_reads_them() {
        let names = |text| parse_names(text).expect(text);
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(names("Public, sales"), ["public", "sales"]);
        assert_eq!(names("\"Odd, Name\",\"a\"\"b\""), ["Odd, Name", "a\"b"]);
        for bad in [
            "a,,b",
            "a,",
            "\"a",
            "a b",
            "\"a\"b",
            "\"\"",
            &"x".repeat(64),
        ] {
            assert!(parse_names(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modules_are_read_and_unknown_ones_named() {
        let set = parse_modules("Capture, worker").expect("two modules");
        assert!(set.contains(Module::Capture) && set.contains(Module::Worker));
        assert!(!set.contains(Module::Advisor));
        let refusal = parse_modules("captur").expect_err("no such module");
        assert!(refusal.detail.contains("\"captur\""));
        assert!(refusal.hint.contains("capture"));
        let refusal = parse_modules("reindex").expect_err("a feature");
        assert!(refusal.hint.contains("indexpilot.reindex"));
    }

    #[test]
    fn budgets_are_read() {
        assert_eq!(check_budget(-1), Ok(None));
        assert_eq!(check_budget(0), Ok(Some(0)));
        assert_eq!(check_budget(3), Ok(Some(3 << 20)));
        assert!(check_budget(-5).is_err());
    }
}
