//! The fast path for the form that producers send, `<name a="v" …>number</name>`.
//!
//! One pass over ASCII, without allocating; a general parser keeps a stack of names and costs many times as much.
//! Whatever needs more than that (quotes of the other kind, entities, comments, more attributes, a number in another
//! spelling, an error) is not decoded here: it returns `None`, and the general decoder takes over, which alone reports
//! errors. The same scanner decodes payloads and whole lines.

use derived_stats::Number;

use super::super::scan::{literal, micros, name, until_quote, value};

/// More attributes than this are not plain; it bounds the search for duplicates.
const MOST_ATTRIBUTES: usize = 8;

/// An element with a time and a value.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Element<'t> {
    /// ASCII.
    pub(in super::super) name: &'t [u8],
    pub(in super::super) timestamp: u64,
    pub(in super::super) value: Number,
}

/// Reads the element that `text` begins with and gives the text after its end tag.
#[inline(always)]
pub(in super::super) fn element(text: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (name, rest) = name(text.strip_prefix(b"<")?)?;
    let (timestamp, rest) = attributes(rest)?;
    let (value, rest) = value(skip_spaces(rest))?;
    let rest = literal(skip_spaces(rest), b"</")?;
    let rest = rest.strip_prefix(name)?.strip_prefix(b">")?;
    Some((Element { name, timestamp, value }, rest))
}

/// The attributes up to the `>`; gives the timestamp and the text after the `>`.
#[inline(always)]
fn attributes(text: &[u8]) -> Option<(u64, &[u8])> {
    match ordered_attributes(text) {
        Some(found) => Some(found),
        None => other_attributes(text),
    }
}

/// In the order in which producers write them, so that no search is needed.
#[inline(always)]
fn ordered_attributes(text: &[u8]) -> Option<(u64, &[u8])> {
    let rest = match literal(text, b" type=\"u64\"") {
        Some(rest) => rest,
        None => literal(text, b" type=\"").map_or(Some(text), quoted)?,
    };
    let rest = literal(rest, b" identifier=\"").map_or(Some(rest), quoted)?;
    let (timestamp, rest) = micros(literal(rest, b" timestamp=\"")?)?;
    Some((timestamp, literal(rest, b"\">")?))
}

/// Any order and names. Names that begin alike are treated as duplicates: the general decoder compares them in full.
#[inline(never)]
fn other_attributes(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut starts = [0; MOST_ATTRIBUTES];
    let mut timestamp = None;
    let mut rest = text;
    for count in 0..=MOST_ATTRIBUTES {
        if let Some(after) = rest.strip_prefix(b">") {
            return Some((timestamp?, after));
        }
        let (name, after) = name(rest.strip_prefix(b" ")?)?;
        let start = name.iter().take(8).fold(0, |start, &byte| (start << 8) | u64::from(byte));
        if starts.iter().take(count).any(|&earlier| earlier == start) {
            return None;
        }
        *starts.get_mut(count)? = start;
        let value = literal(after, b"=\"")?;
        rest = if name == b"timestamp" {
            let (micros, after) = micros(value)?;
            timestamp = Some(micros);
            after.strip_prefix(b"\"")?
        } else {
            quoted(value)?
        };
    }
    None
}

/// Passes a value, whatever it is, and its `"`.
#[inline(always)]
fn quoted(text: &[u8]) -> Option<&[u8]> {
    until_quote(text)?.1.strip_prefix(b"\"")
}

/// Passes spaces. Mostly there are none.
#[inline(always)]
fn skip_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    text
}
