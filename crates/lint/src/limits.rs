//! How much of a text is read. A parser of this kind calls itself for each level of nesting,
//! and its trees are freed in the same way: a thousand conditions joined by AND are a tree a
//! thousand levels deep. In a server, running out of stack ends everybody's session; so
//! everything that can make a tree deep is counted before the parser sees it.

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Longest text, bytes.
pub const MOST_BYTES: usize = 65_536;
/// Most tokens; spaces and comments do not count.
pub const MOST_TOKENS: usize = 8_000;
/// Deepest nesting of parentheses and brackets. The parser tries some things twice at each
/// level, so this bounds its time as well.
pub const MOST_NESTING: usize = 16;
/// Most operators, joins and set operations: what makes a tree deep without parentheses.
pub const MOST_OPERATORS: usize = 600;
/// Calls of the parser within itself. Each takes some kilobytes of stack.
const MOST_RECURSION: usize = 48;

/// Reads one statement within the limits.
///
/// # Errors
/// Why not.
pub fn parse(text: &str) -> Result<Statement, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("it is longer than {} kB", MOST_BYTES / 1_024));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|_| "it is not understood".to_owned())?;
    // Other statements have nothing to lint, and some contain statements without parentheses.
    let first = tokens.iter().find_map(|token| match &token.token {
        Token::Whitespace(_) | Token::LParen => None,
        Token::Word(word) => Some(word.keyword),
        _ => Some(Keyword::NoKeyword),
    });
    match first {
        None => return Err("it is empty".into()),
        Some(
            Keyword::SELECT
            | Keyword::WITH
            | Keyword::VALUES
            | Keyword::INSERT
            | Keyword::UPDATE
            | Keyword::DELETE
            | Keyword::MERGE
            | Keyword::TABLE,
        ) => {}
        Some(_) => return Err("it is no SELECT, INSERT, UPDATE, DELETE or MERGE".into()),
    }
    let (mut count, mut open, mut deepest, mut operators, mut cases) = (0, 0i64, 0, 0, 0i64);
    for token in &tokens {
        match &token.token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::LParen | Token::LBracket | Token::LBrace => open += 1,
            Token::RParen | Token::RBracket | Token::RBrace => open -= 1,
            Token::Word(word) => match word.keyword {
                Keyword::CASE => cases += 1,
                Keyword::END => cases -= 1,
                Keyword::NoKeyword if word.quote_style.is_some() => {}
                Keyword::NoKeyword => {}
                Keyword::AS
                | Keyword::SELECT
                | Keyword::FROM
                | Keyword::ASC
                | Keyword::DESC
                | Keyword::NULL
                | Keyword::TRUE
                | Keyword::FALSE
                | Keyword::ON
                | Keyword::VALUES => {}
                // Keywords that are names of columns as often as not count too: rather one
                // statement too many left out than one too deep.
                _ => operators += 1,
            },
            Token::Comma
            | Token::SemiColon
            | Token::Period
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_) => {}
            _ => operators += 1,
        }
        count += 1;
        deepest = deepest.max(open.max(0) + cases.max(0));
    }
    if count > MOST_TOKENS {
        return Err(format!("it has more than {MOST_TOKENS} words"));
    }
    if deepest > MOST_NESTING as i64 {
        return Err(format!("it is nested more than {MOST_NESTING} deep"));
    }
    if operators > MOST_OPERATORS {
        return Err(format!("it has more than {MOST_OPERATORS} operators"));
    }
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(MOST_RECURSION)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|_| "it is not understood".to_owned())?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err("it is empty".into()),
        _ => Err("it is more than one statement".into()),
    }
}
