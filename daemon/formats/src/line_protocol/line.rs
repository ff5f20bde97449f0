//! The syntax of one line.

use std::borrow::Cow;

use super::Fault;
use crate::{Integer, Limits, SeriesFault};

/// Names and values.
pub(super) type Parts<'t> = Vec<(&'t str, &'t str)>;

/// A name and its value, without the backslashes.
pub(super) type Tag<'t> = (Cow<'t, str>, Cow<'t, str>);

/// A name and its number; `None` for a text.
pub(super) type Value<'t> = (Cow<'t, str>, Option<Exact>);

/// A number, and the integer that it has rounded.
pub(super) type Exact = (f64, Option<Integer>);

/// A line as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line<'t> {
    pub(super) measurement: Cow<'t, str>,
    pub(super) tags: Vec<Tag<'t>>,
    pub(super) fields: Vec<Value<'t>>,
    /// In the unit of the request.
    pub(super) time: Option<i64>,
}

/// The first line of a body and what comes after it. A line break within the quotes of a field is a part of the text;
/// quotes that never end hide no further line.
pub(super) fn first(body: &[u8]) -> (&[u8], &[u8]) {
    let (mut is_in_fields, mut is_quoted, mut before) = (false, false, b' ');
    let mut unquoted = None;
    let mut index = 0;
    while let Some(&byte) = body.get(index) {
        match byte {
            b'\\' => index += 1,
            b'"' if is_quoted => is_quoted = false,
            b'"' if is_in_fields && before == b'=' => is_quoted = true,
            b' ' => is_in_fields = true,
            b'\n' if !is_quoted => return split(body, index),
            b'\n' => unquoted = unquoted.or(Some(index)),
            _ => {}
        }
        // A backslash before a line break does not continue the line outside of quotes.
        if byte == b'\\' && !is_quoted && body.get(index) == Some(&b'\n') {
            return split(body, index);
        }
        before = byte;
        index += 1;
    }
    if is_quoted && let Some(end) = unquoted {
        return split(body, end);
    }
    (body, &[])
}

fn split(body: &[u8], end: usize) -> (&[u8], &[u8]) {
    (body.get(..end).unwrap_or(body), body.get(end + 1..).unwrap_or_default())
}

impl<'t> Line<'t> {
    /// Parses a line; `None` for a blank one or a comment. A line with more fields than a request may have ends behind
    /// the first one too many, so that the memory of a line is bounded.
    pub(super) fn parse(line: &'t [u8], limits: &Limits) -> Result<Option<Self>, Fault> {
        let text = std::str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
        let text = text.trim_matches([' ', '\t', '\r', '\0']);
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let mut cursor = Cursor { rest: text };
        let measurement = cursor.word(&[',', ' ']);
        if measurement.is_empty() {
            return Err(Fault::Missing { what: "the measurement" });
        }
        let tags = cursor.tags(limits)?;
        cursor.skip_spaces();
        let fields = cursor.fields(limits)?;
        cursor.skip_spaces();
        let time = if fields.len() > limits.samples { None } else { cursor.time()? };
        Ok(Some(Self { measurement: unescaped(measurement, &[',', ' ']), tags, fields, time }))
    }
}

/// What is left of a line.
struct Cursor<'t> {
    rest: &'t str,
}

/// What ends a name or value of a tag or the name of a field, and has a backslash before it within one.
const SPECIAL: [char; 3] = [',', '=', ' '];

impl<'t> Cursor<'t> {
    /// The text up to an unescaped character of `ends`.
    fn word(&mut self, ends: &[char]) -> &'t str {
        let mut is_escaped = false;
        let end = self.rest.char_indices().find_map(|(index, character)| {
            if std::mem::take(&mut is_escaped) {
                return None;
            }
            is_escaped = character == '\\';
            ends.contains(&character).then_some(index)
        });
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// A name, and `=`.
    fn name(&mut self, what: &'static str) -> Result<Cow<'t, str>, Fault> {
        let name = self.word(&SPECIAL);
        if name.is_empty() {
            return Err(Fault::Missing { what });
        }
        if !self.skip('=') {
            return Err(Fault::Missing { what: "the `=` between a name and a value" });
        }
        Ok(unescaped(name, &SPECIAL))
    }

    fn tags(&mut self, limits: &Limits) -> Result<Vec<Tag<'t>>, Fault> {
        let (mut tags, mut found) = (Vec::new(), 0);
        while self.skip(',') {
            let name = self.name("the name of a tag")?;
            let value = self.word(&SPECIAL);
            if value.is_empty() {
                return Err(Fault::Missing { what: "the value of a tag" });
            }
            if self.rest.starts_with('=') {
                return Err(Fault::Missing { what: "the backslash before `=` in a tag" });
            }
            found += 1;
            // Those beyond the limit are only counted. The name of the metric is a label too.
            if found < limits.labels {
                tags.push((name, unescaped(value, &SPECIAL)));
            }
        }
        if found >= limits.labels {
            return Err(Fault::Series(SeriesFault::TooManyLabels { found: found + 1, limit: limits.labels }));
        }
        Ok(tags)
    }

    fn fields(&mut self, limits: &Limits) -> Result<Vec<Value<'t>>, Fault> {
        let mut fields = Vec::new();
        loop {
            let name = self.name("a field")?;
            let value = self.value(&name)?;
            fields.push((name, value));
            if fields.len() > limits.samples || !self.skip(',') {
                return Ok(fields);
            }
        }
    }

    /// The value of a field; `None` for a text.
    fn value(&mut self, field: &str) -> Result<Option<Exact>, Fault> {
        let fault = |found: &str| Fault::Value { field: field.to_owned(), found: found.to_owned() };
        if !self.rest.starts_with('"') {
            let text = self.take(self.rest.find([',', ' ']).unwrap_or(self.rest.len()));
            return number(text).map(Some).ok_or_else(|| fault(text));
        }
        let mut is_escaped = true;
        let end = self.rest.char_indices().find_map(|(index, character)| {
            let ends = character == '"' && !is_escaped;
            // The quote at the beginning ends nothing.
            is_escaped = character == '\\' && !is_escaped;
            ends.then_some(index)
        });
        let text = self.take(end.ok_or_else(|| fault(self.rest))? + 1);
        match self.rest.chars().next() {
            None | Some(',' | ' ') => Ok(None),
            Some(_) => Err(fault(text)),
        }
    }

    fn time(&mut self) -> Result<Option<i64>, Fault> {
        match self.rest {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| Fault::Time { found: text.to_owned() }),
        }
    }
}

/// The number of a value: an integer, a double or a boolean.
fn number(text: &str) -> Option<Exact> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some((1.0, None)),
        "f" | "F" | "false" | "False" | "FALSE" => return Some((0.0, None)),
        _ => {}
    }
    if let Some(integer) = text.strip_suffix('i') {
        return integer.parse().ok().map(|value| Integer::Signed(value).split());
    }
    if let Some(integer) = text.strip_suffix('u') {
        return integer.parse().ok().map(|value| Integer::Unsigned(value).split());
    }
    // Words such as `inf` and `NaN` are not of the protocol, nor is a number that a double cannot have.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value = text.parse().ok().filter(|value: &f64| is_number && value.is_finite());
    value.map(|value| (value, None))
}

/// A text without the backslashes before special characters. Any other backslash is one.
fn unescaped<'t>(text: &'t str, special: &[char]) -> Cow<'t, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut characters = text.chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        let is_escape = character == '\\' && characters.peek().is_some_and(|next| special.contains(next));
        out.push(if is_escape { characters.next().unwrap_or(character) } else { character });
    }
    Cow::Owned(out)
}
