//! Why a text is not an annotation: the first fault from the left.
//!
//! The grammar answers yes or no and, on no, lists every token that could have come next. What the user
//! needs is which part is wrong and what to write instead, so on no the text is cut at its separators,
//! as a reader would do, and each part is checked for the slips people make. That costs nothing for
//! annotations that are right, and keeps the grammar free of rules for wrong ones. A property test
//! holds the two together: a fault is found here exactly if the grammar does not match.

mod part;
mod prefix;

use alloc::borrow::ToOwned as _;

use self::part::Part;
use super::fault::NameFault;
use super::kind::ErrorKind;
use super::piece::Span;

/// A mistake and its place.
pub(super) type Fault = (ErrorKind, Span);

/// Characters written by mistake for the `:` after the attribute.
const MISTAKEN_FOR_COLON: [char; 3] = [';', '=', ' '];

/// The first fault, or `None` when the form is right. Linear in the length of the text.
pub(super) fn diagnose(text: &str, max_chain: usize) -> Option<Fault> {
    if text.trim().is_empty() {
        return Some((ErrorKind::Empty, Span { start: 0, end: text.len() }));
    }
    let whole = Part { text, start: 0 };
    control_character(whole).or_else(|| match whole.split_once_outside(':') {
        Some((attribute, call)) => both_sides(attribute, call, max_chain),
        None => Some(closed_late(whole, max_chain).unwrap_or_else(|| missing_algorithm(whole))),
    })
}

fn control_character(text: Part<'_>) -> Option<Fault> {
    let (at, character) = text.text.char_indices().find(|(_, character)| character.is_control())?;
    let span = text.cut(at, at + character.len_utf8()).span();
    Some((ErrorKind::ControlCharacter { character }, span))
}

/// What stands before and after the first `:`.
fn both_sides(attribute: Part<'_>, call: Part<'_>, max_chain: usize) -> Option<Fault> {
    prefix::arguments_after_colon(attribute, call, max_chain)
        .or_else(|| attribute_part(attribute, max_chain))
        .or_else(|| algorithm(call.split_once(':').map_or(call, |(name, _)| name)))
}

/// `1.DSX(5-raw:Mine:f)`: only a `)` in the algorithm's arguments closes the `(` of the prefix.
fn closed_late(whole: Part<'_>, max_chain: usize) -> Option<Fault> {
    if whole.split_once_outside('-').is_some() {
        return None;
    }
    let (prefix, rest) = whole.split_once('-')?;
    let (attribute, call) = rest.split_once(':')?;
    if both_sides(attribute, call, max_chain).is_some() {
        return None;
    }
    prefix::period(prefix, max_chain)
}

/// No `:`; points at what was probably meant as one, else at the end.
fn missing_algorithm(text: Part<'_>) -> Fault {
    let end = Span { start: text.text.len(), end: text.text.len() };
    let trimmed = text.text.trim();
    let mistaken = (trimmed.len() == text.text.len())
        .then(|| text.first_run_outside(|character| MISTAKEN_FOR_COLON.contains(&character)))
        .flatten();
    (ErrorKind::MissingAlgorithm, mistaken.unwrap_or(end))
}

/// `[period[.PRE]…-]attribute[.component[.subcomponent]]`
fn attribute_part(part: Part<'_>, max_chain: usize) -> Option<Fault> {
    match part.split_once_outside('-') {
        Some((prefix, path)) => prefix::period(prefix, max_chain).or_else(|| source(path)),
        None => prefix::without_end(part, max_chain).or_else(|| source(part)),
    }
}

/// `attribute[.component[.subcomponent]]`
fn source(path: Part<'_>) -> Option<Fault> {
    for (depth, part) in path.split('.').enumerate() {
        if depth == 3 {
            let kind = ErrorKind::TooManyComponents { found: path.split('.').count() };
            // From the dot on: that is the part to remove.
            return Some((kind, Span { start: part.start - 1, end: path.span().end }));
        }
        if part.text.is_empty() {
            let kind = if depth == 0 { ErrorKind::EmptyAttribute } else { ErrorKind::EmptyComponent };
            return Some((kind, part.span()));
        }
        if let Some((fault, span)) = name_fault(part) {
            return Some((ErrorKind::BadAttribute { name: part.text.to_owned(), fault }, span));
        }
    }
    None
}

fn algorithm(name: Part<'_>) -> Option<Fault> {
    if name.text.is_empty() {
        return Some((ErrorKind::EmptyAlgorithm, name.span()));
    }
    let (fault, span) = name_fault(name)?;
    Some((ErrorKind::BadAlgorithm { name: name.text.to_owned(), fault }, span))
}

/// What keeps a part that is not empty from being a name, and where.
fn name_fault(part: Part<'_>) -> Option<(NameFault, Span)> {
    let (fault, span) = NameFault::find(part.text)?;
    Some((fault, part.cut(span.start, span.end).span()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
