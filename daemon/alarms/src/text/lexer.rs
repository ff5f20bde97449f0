//! The tokens of the short form.

use std::ops::Range;

use serde_json::Value;

use super::TextError;

/// A token with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Comma,
    /// A list of JSON.
    List(Value),
    Number(serde_json::Number),
    /// A comparison by signs.
    Sign,
    Text(String),
    /// A keyword, a name or a path.
    Word,
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TextError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let token = token(text, at, first)?;
        at = token.span.end;
        tokens.push(token);
    }
    Ok(tokens)
}

fn token(text: &str, at: usize, first: char) -> Result<Token, TextError> {
    let rest = text.get(at..).unwrap_or_default();
    let error = |length: usize, message: String| TextError { text: text.to_owned(), span: at..at + length, message };
    let end_of = |is_part: fn(char) -> bool| rest.find(|it| !is_part(it)).unwrap_or(rest.len());
    let (kind, length) = match first {
        ',' => (Kind::Comma, 1),
        '"' => {
            let length = quoted(rest).ok_or_else(|| error(rest.len(), "the text has no closing quote".to_owned()))?;
            let quoted = rest.get(..length).unwrap_or_default();
            let parsed = serde_json::from_str(quoted);
            (Kind::Text(parsed.map_err(|_| error(length, "the text is not quoted as in JSON".to_owned()))?), length)
        }
        '[' => {
            let length = list(rest).ok_or_else(|| error(rest.len(), "the list has no closing bracket".to_owned()))?;
            let parsed = rest.get(..length).and_then(|list| serde_json::from_str(list).ok());
            (Kind::List(parsed.ok_or_else(|| error(length, "the list is not JSON".to_owned()))?), length)
        }
        '0'..='9' | '-' | '+' => {
            let length = end_of(|it| it.is_ascii_alphanumeric() || "+-.".contains(it));
            let number = rest.get(..length).and_then(|number| number.trim_start_matches('+').parse().ok());
            let found = rest.get(..length).unwrap_or_default();
            (Kind::Number(number.ok_or_else(|| error(length, format!("`{found}` is not a number")))?), length)
        }
        '<' | '>' | '=' | '!' => (Kind::Sign, end_of(|it| "<>=!".contains(it))),
        _ if is_word(first) => word(rest, end_of(is_word)),
        _ => {
            let message = format!("`{first}` begins nothing; expected a word, a number, a text or a comparison");
            return Err(error(first.len_utf8(), message));
        }
    };
    Ok(Token { kind, span: at..at + length })
}

/// A word of so many bytes, or one of the signs that begin with `size`.
fn word(rest: &str, length: usize) -> (Kind, usize) {
    let signs = rest.get(length..).filter(|_| rest.get(..length) == Some("size"));
    match signs.filter(|signs| signs.starts_with("==") || signs.starts_with("!=")) {
        Some(_) => (Kind::Sign, length + 2),
        None => (Kind::Word, length),
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || "_-.*".contains(character)
}

/// The length of the quoted text that `rest` begins with.
fn quoted(rest: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the list that `rest` begins with.
fn list(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(character) = rest.get(at..).and_then(|rest| rest.chars().next()) {
        match character {
            '"' => {
                at += quoted(rest.get(at..)?)?;
                continue;
            }
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += character.len_utf8();
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
