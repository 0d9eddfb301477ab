//! Statement texts without their values: what is shown, and what identities are made of.
//!
//! The work is lexical (scan.l of the server tells what a token is), so that a text gives the
//! same result under any version and without a catalog.

use crate::hash::StableHash;
use crate::ids::StatementId;
use crate::json_key;
use std::collections::BTreeSet;

/// A statement's text with its constants replaced by `$n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// For people: comments gone, spaces single, constants numbered behind the statement's
    /// own parameters, lists of constants cut to their first element.
    pub text: String,
    /// The same with unquoted words in lower case: what identities hash.
    canonical: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Space,
    /// Identifier or keyword.
    Word(String),
    Quoted(String),
    Constant(String),
    Parameter(u32),
    Symbol(char),
}

/// Replaces constants. A key of JSON (behind `->`, `->>`, `#>`, `#>>`, as a subscript, or in a
/// call of `jsonb_extract_path` and its like) that names a field stays: with another key it is
/// another field.
pub fn normalize(sql: &str) -> Normalized {
    let tokens = tokens(sql);
    let mut next = 1 + tokens
        .iter()
        .map(|token| match token {
            Token::Parameter(number) => *number,
            _ => 0,
        })
        .max()
        .unwrap_or(0);
    let keys = path_keys(&tokens);
    let mut out = Writer::default();
    let mut position = 0;
    while position < tokens.len() {
        match &tokens[position] {
            Token::Space => out.space(),
            Token::Word(word) => out.word(word),
            Token::Quoted(name) => out.plain(name),
            Token::Parameter(number) => out.plain(&format!("${number}")),
            Token::Constant(text)
                if is_json_key(text, &tokens[..position]) || keys.contains(&position) =>
            {
                out.plain(text);
            }
            Token::Constant(_) => {
                out.plain(&format!("${next}"));
                next = next.saturating_add(1);
            }
            Token::Symbol(open @ ('(' | '[')) => {
                out.plain(&open.to_string());
                if let Some(end) = list_of_values(&tokens, position)
                    && !keys.iter().any(|key| (position..end).contains(key))
                {
                    let first = tokens[position + 1..end]
                        .iter()
                        .find(|token| !matches!(token, Token::Space));
                    match first {
                        Some(Token::Parameter(number)) => out.plain(&format!("${number}")),
                        _ => {
                            out.plain(&format!("${next}"));
                            next = next.saturating_add(1);
                        }
                    }
                    out.plain(", ...");
                    position = end;
                    continue;
                }
            }
            // A sign belongs to its constant, as the grammar has it (doNegate).
            Token::Symbol('-') if is_sign(&tokens, position) => {}
            Token::Symbol(symbol) => out.plain(&symbol.to_string()),
        }
        position += 1;
    }
    out.finish()
}

impl Normalized {
    /// The lasting identity: this text, the relations it resolves to (`"schema"."name"`, any
    /// order) and the search_path.
    pub fn identity(&self, relations: &[String], search_path: &str) -> StatementId {
        let mut relations: Vec<&str> = relations.iter().map(String::as_str).collect();
        relations.sort_unstable();
        relations.dedup();
        let mut hash = StableHash::new().field(self.canonical.as_bytes());
        for relation in relations {
            hash = hash.field(relation.as_bytes());
        }
        StatementId(hash.field(search_path.as_bytes()).finish())
    }
}

#[derive(Default)]
struct Writer {
    text: String,
    canonical: String,
}

impl Writer {
    fn plain(&mut self, part: &str) {
        self.text.push_str(part);
        self.canonical.push_str(part);
    }

    fn word(&mut self, word: &str) {
        self.text.push_str(word);
        self.canonical.push_str(&word.to_lowercase());
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.plain(" ");
        }
    }

    fn finish(self) -> Normalized {
        let trim = |text: String| text.trim_end_matches([' ', ';']).to_owned();
        Normalized {
            text: trim(self.text),
            canonical: trim(self.canonical),
        }
    }
}

/// Whether a constant is the key of a field, by what stands before it.
fn is_json_key(text: &str, before: &[Token]) -> bool {
    let mut before = before
        .iter()
        .rev()
        .filter(|token| !matches!(token, Token::Space));
    let literal = text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    let mut last = before.next();
    if last == Some(&Token::Symbol('[')) {
        // A subscript, not an array constructor.
        let array =
            matches!(before.next(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("array"));
        return !array && literal.is_some_and(|key| json_key::is_name(key.as_bytes()));
    }
    if last != Some(&Token::Symbol('>')) {
        return false;
    }
    last = before.next();
    if last == Some(&Token::Symbol('>')) {
        last = before.next();
    }
    match (last, literal) {
        (Some(Token::Symbol('-')), Some(key)) => json_key::is_name(key.as_bytes()),
        (Some(Token::Symbol('-')), None) => text.parse().is_ok_and(json_key::is_place),
        (Some(Token::Symbol('#')), Some(path)) => json_key::is_path(path),
        _ => false,
    }
}

/// Positions of the constants that calls of json(b)_extract_path(_text) name fields by, where all
/// steps of the path do.
fn path_keys(tokens: &[Token]) -> BTreeSet<usize> {
    const FUNCTIONS: [&str; 4] = [
        "json_extract_path",
        "json_extract_path_text",
        "jsonb_extract_path",
        "jsonb_extract_path_text",
    ];
    let mut keys = BTreeSet::new();
    for (position, token) in tokens.iter().enumerate() {
        let is_call = matches!(token, Token::Word(word)
            if FUNCTIONS.contains(&word.to_lowercase().as_str()));
        if is_call && let Some(path) = path_of_call(tokens, position + 1) {
            keys.extend(path);
        }
    }
    keys
}

/// The steps of a path behind the first argument of the call whose arguments open at `from`;
/// `None` where one of them is no constant that names a field.
fn path_of_call(tokens: &[Token], from: usize) -> Option<Vec<usize>> {
    let mut rest = (from..tokens.len())
        .map(|position| (position, &tokens[position]))
        .filter(|(_, token)| !matches!(token, Token::Space))
        .peekable();
    rest.next_if(|(_, token)| **token == Token::Symbol('('))?;
    let mut depth = 0;
    loop {
        match rest.next()?.1 {
            Token::Symbol(',') if depth == 0 => break,
            Token::Symbol('(' | '[') => depth += 1,
            Token::Symbol(')' | ']') if depth == 0 => return None,
            Token::Symbol(')' | ']') => depth -= 1,
            _ => {}
        }
    }
    let is_word = |token: &Token, word: &str| matches!(token, Token::Word(other) if other.eq_ignore_ascii_case(word));
    let array = rest
        .next_if(|(_, token)| is_word(token, "variadic"))
        .is_some();
    if array {
        rest.next_if(|(_, token)| is_word(token, "array"))?;
        rest.next_if(|(_, token)| **token == Token::Symbol('['))?;
    }
    let mut path = Vec::new();
    loop {
        let (position, Token::Constant(text)) = rest.next()? else {
            return None;
        };
        let step = text.strip_prefix('\'')?.strip_suffix('\'')?;
        if !json_key::is_step(step.as_bytes()) {
            return None;
        }
        path.push(position);
        if rest
            .next_if(|(_, token)| **token == Token::Symbol(':'))
            .is_some()
        {
            rest.next_if(|(_, token)| **token == Token::Symbol(':'))?;
            rest.next_if(|(_, token)| is_word(token, "text"))?;
        }
        match rest.next()?.1 {
            Token::Symbol(',') => {}
            Token::Symbol(')') if !array => return Some(path),
            Token::Symbol(']') if array => return Some(path),
            _ => return None,
        }
    }
}

/// Whether the minus at `position` is the sign of a number: behind an operator, a comma or an
/// opening bracket, directly before digits.
fn is_sign(tokens: &[Token], position: usize) -> bool {
    let number = matches!(tokens.get(position + 1), Some(Token::Constant(text))
        if text.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
    let before = tokens[..position]
        .iter()
        .rev()
        .find(|token| !matches!(token, Token::Space));
    number && matches!(before, Some(Token::Symbol(symbol)) if !matches!(symbol, ')' | ']' | '-'))
}

/// The closing position of a list of at least two constants or parameters that opens here,
/// behind IN or ARRAY.
fn list_of_values(tokens: &[Token], open: usize) -> Option<usize> {
    let before = tokens[..open]
        .iter()
        .rev()
        .find(|token| !matches!(token, Token::Space));
    let (Some(Token::Word(word)), Token::Symbol(bracket)) = (before, &tokens[open]) else {
        return None;
    };
    let close = match (word.to_lowercase().as_str(), bracket) {
        ("in", '(') => ')',
        ("array", '[') => ']',
        _ => return None,
    };
    let mut values = 0;
    for (offset, token) in tokens[open + 1..].iter().enumerate() {
        match token {
            Token::Space | Token::Symbol(',' | '-' | '+') => {}
            Token::Constant(_) | Token::Parameter(_) => values += 1,
            Token::Symbol(symbol) if *symbol == close => {
                return (values > 1).then_some(open + 1 + offset);
            }
            _ => return None,
        }
    }
    None
}

fn tokens(sql: &str) -> Vec<Token> {
    let characters: Vec<char> = sql.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let (token, end) = token(&characters, at, tokens.last());
        // An unfinished literal runs to the end; nothing is read twice.
        at = end.max(at + 1);
        if !(token == Token::Space && tokens.last() == Some(&Token::Space)) {
            tokens.push(token);
        }
    }
    tokens
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii() && !c.is_whitespace()
}

fn token(characters: &[char], at: usize, last: Option<&Token>) -> (Token, usize) {
    let here = characters[at];
    let next = characters.get(at + 1).copied().unwrap_or('\0');
    let take = |end: usize| {
        characters[at..end.min(characters.len())]
            .iter()
            .collect::<String>()
    };
    match here {
        c if c.is_whitespace() => (Token::Space, at + 1),
        '-' if next == '-' => {
            let end = (at..characters.len())
                .find(|&i| characters[i] == '\n')
                .unwrap_or(characters.len());
            (Token::Space, end)
        }
        '/' if next == '*' => (Token::Space, comment_end(characters, at)),
        '\'' => {
            let end = quote_end(characters, at, false);
            (Token::Constant(take(end)), end)
        }
        '"' => {
            let end = quote_end(characters, at, false);
            (Token::Quoted(take(end)), end)
        }
        '$' if next.is_ascii_digit() => {
            let end = run(characters, at + 1, |c| c.is_ascii_digit());
            let number = take(end)[1..].parse().unwrap_or(0);
            (Token::Parameter(number), end)
        }
        '$' => match dollar_quote_end(characters, at) {
            Some(end) => (Token::Constant(take(end)), end),
            None => (Token::Symbol('$'), at + 1),
        },
        c if c.is_ascii_digit()
            || c == '.' && next.is_ascii_digit() && last != Some(&Token::Symbol('.')) =>
        {
            let end = number_end(characters, at);
            (Token::Constant(take(end)), end)
        }
        c if is_word_start(c) => {
            let end = run(characters, at, |c| {
                is_word_start(c) || c.is_ascii_digit() || c == '$'
            });
            let word = take(end);
            let quote = characters.get(end).copied();
            let literal = match word.to_lowercase().as_str() {
                "e" if quote == Some('\'') => Some(quote_end(characters, end, true)),
                "b" | "x" | "n" if quote == Some('\'') => Some(quote_end(characters, end, false)),
                "u" if quote == Some('&') && characters.get(end + 1) == Some(&'\'') => {
                    Some(quote_end(characters, end + 1, false))
                }
                _ => None,
            };
            match literal {
                Some(end) => (Token::Constant(take(end)), end),
                None => (Token::Word(word), end),
            }
        }
        c => (Token::Symbol(c), at + 1),
    }
}

fn run(characters: &[char], from: usize, accept: impl Fn(char) -> bool) -> usize {
    (from..characters.len())
        .find(|&i| !accept(characters[i]))
        .unwrap_or(characters.len())
}

/// Behind the closing quote of a literal or identifier that opens at `at`; doubled quotes and,
/// in E strings, escaped ones belong to it.
fn quote_end(characters: &[char], at: usize, escapes: bool) -> usize {
    let quote = characters[at];
    let mut i = at + 1;
    while i < characters.len() {
        if escapes && characters[i] == '\\' {
            i += 2;
        } else if characters[i] == quote {
            if characters.get(i + 1) != Some(&quote) {
                return i + 1;
            }
            i += 2;
        } else {
            i += 1;
        }
    }
    characters.len()
}

fn comment_end(characters: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < characters.len() {
        match (characters[i], characters.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    characters.len()
}

fn dollar_quote_end(characters: &[char], at: usize) -> Option<usize> {
    let tag_end = run(characters, at + 1, |c| {
        is_word_start(c) || c.is_ascii_digit()
    });
    if characters.get(tag_end) != Some(&'$') {
        return None;
    }
    let tag = &characters[at..=tag_end];
    let body = tag_end + 1;
    let end = characters[body..]
        .windows(tag.len())
        .position(|window| window == tag)
        .map_or(characters.len(), |offset| body + offset + tag.len());
    Some(end)
}

fn number_end(characters: &[char], at: usize) -> usize {
    // 12, 1.5, .5, 1e-3, 0xff, 1_000; `1..2` of PL/pgSQL ends before the dots.
    let mut end = run(characters, at, |c| c.is_ascii_alphanumeric() || c == '_');
    if characters.get(end) == Some(&'.') && characters.get(end + 1) != Some(&'.') {
        end = run(characters, end + 1, |c| {
            c.is_ascii_alphanumeric() || c == '_'
        });
    }
    if matches!(characters.get(end - 1), Some('e' | 'E'))
        && matches!(characters.get(end), Some('+' | '-'))
        && characters[at] != '0'
    {
        end = run(characters, end + 1, |c| c.is_ascii_digit());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(sql: &str) -> String {
        normalize(sql).text
    }

    #[test]
    fn constants_become_parameters() {
        assert_eq!(
            text("SELECT * FROM t WHERE a = 5 AND b = 'it''s' AND c = $1;"),
            "SELECT * FROM t WHERE a = $2 AND b = $3 AND c = $1"
        );
        assert_eq!(
            text("SELECT E'a\\'b', $x$y$x$, 1e-3, .5"),
            "SELECT $1, $2, $3, $4"
        );
        assert_eq!(
            text("SELECT a1, \"b 2\" FROM t3"),
            "SELECT a1, \"b 2\" FROM t3"
        );
        assert_eq!(text("SELECT U&'\\0061', x'ff', n'x'"), "SELECT $1, $2, $3");
    }

    #[test]
    fn signs_belong_to_numbers() {
        assert_eq!(text("VALUES (-1, - 2, a -1)"), "VALUES ($1, - $2, a -$3)");
        assert_eq!(text("WHERE a = -1"), "WHERE a = $1");
    }

    #[test]
    fn comments_and_spaces_go() {
        assert_eq!(
            text("  SELECT -- one\n /* two /* three */ */ a\n\n FROM t "),
            "SELECT a FROM t"
        );
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(text("WHERE a IN (1, 2,3)"), "WHERE a IN ($1, ...)");
        assert_eq!(text("WHERE a IN (1)"), "WHERE a IN ($1)");
        assert_eq!(
            text("WHERE a = ANY (ARRAY['x','y'])"),
            "WHERE a = ANY (ARRAY[$1, ...])"
        );
        assert_eq!(text("WHERE a IN (SELECT 1)"), "WHERE a IN (SELECT $1)");
        assert_eq!(
            text("WHERE (a, b) IN ((1, 2), (3, 4))"),
            "WHERE (a, b) IN (($1, $2), ($3, $4))"
        );
    }

    #[test]
    fn json_keys_stay() {
        assert_eq!(
            text("SELECT data->>'k', data -> 'l' FROM t WHERE data->'a'->>'b' = 'c'"),
            "SELECT data->>'k', data -> 'l' FROM t WHERE data->'a'->>'b' = $1"
        );
        assert_eq!(
            text(
                "SELECT d #>> '{a,0}', d['b'], ARRAY['c'], d -> 2 -> 'k' WHERE a > 'x' AND b >> 3 = 1"
            ),
            "SELECT d #>> '{a,0}', d['b'], ARRAY[$1], d -> 2 -> 'k' WHERE a > $2 AND b >> $3 = $4"
        );
    }

    #[test]
    fn paths_in_calls_stay() {
        for kept in [
            "SELECT jsonb_extract_path_text(d, 'a', 'b') = $1",
            "SELECT Json_Extract_Path (f(d, $1), 'a','0') FROM t",
            "SELECT jsonb_extract_path(d -> 'k', VARIADIC ARRAY['a', 'b'])",
            "SELECT pg_catalog.jsonb_extract_path(d, 'a'::text)",
        ] {
            assert_eq!(text(kept), kept);
        }
        assert_eq!(
            text(
                "SELECT jsonb_extract_path(d, 'users', '48213'), jsonb_extract_path(d, 'a', k, 'b'), \
                 extract_path(d, 'a'), jsonb_extract_path(d, VARIADIC '{a}')"
            ),
            "SELECT jsonb_extract_path(d, $1, $2), jsonb_extract_path(d, $3, k, $4), \
             extract_path(d, $5), jsonb_extract_path(d, VARIADIC $6)"
        );
        for unfinished in [
            "jsonb_extract_path(",
            "jsonb_extract_path(d, 'a'",
            "jsonb_extract_path",
        ] {
            text(unfinished);
        }
    }

    #[test]
    fn json_keys_that_are_values_go() {
        assert_eq!(
            text(
                "SELECT d->'jane@example.com', d->>'user_48213', d #> '{users,48213}', d->77, d[5]"
            ),
            "SELECT d->$1, d->>$2, d #> $3, d->$4, d[$5]"
        );
    }

    #[test]
    fn identity_ignores_values_case_and_layout() {
        let one = normalize("select A from T where x = 1").identity(&[], "public");
        let two = normalize("SELECT a\nFROM t WHERE X = 'y'").identity(&[], "public");
        assert_eq!(one, two);
        assert_ne!(
            one,
            normalize("select \"A\" from t where x = 1").identity(&[], "public")
        );
        assert_ne!(
            normalize("select 1").identity(&["\"a\".\"t\"".into()], ""),
            normalize("select 1").identity(&["\"b\".\"t\"".into()], "")
        );
    }

    #[test]
    fn the_identity_is_frozen() {
        // Stored identities rest on this value: it must never change.
        let found = normalize("SELECT a FROM t WHERE b = 1")
            .identity(&["\"public\".\"t\"".into()], "\"$user\", public");
        assert_eq!(format!("{found}"), FROZEN);
    }
    const FROZEN: &str = "d1fc62d0d21b8b64";

    proptest! {
        #[test]
        fn any_text_is_read(sql in "\\PC{0,200}") {
            let _ = normalize(&sql);
        }

        #[test]
        fn any_sql_like_text_is_read(sql in "[a-z0-9'$ \\\\eEuU&(),;/*\\-\n.\\[\\]]{0,80}") {
            let once = normalize(&sql);
            // No literal survives, JSON keys excepted: subscripts are the only ones that these
            // characters can make.
            if !once.text.contains('[') {
                prop_assert!(!once.text.contains('\''), "{}", once.text);
            }
        }
    }
}
