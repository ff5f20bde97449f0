//! The diagnosis of a text that is not an annotation: the first mistake from the left.
//!
//! When the grammar does not match, pest lists every token that could have come next. The user needs the part that is
//! wrong and the text to write instead. The diagnosis therefore splits the text at its separators and checks each part
//! for common mistakes. It runs only for wrong annotations, and the grammar needs no rules for them. A property test
//! checks that the diagnosis finds a mistake exactly if the grammar does not match.

mod part;
mod prefix;

use alloc::borrow::ToOwned as _;

use self::part::Part;
use super::fault::NameFault;
use super::kind::ErrorKind;
use super::piece::Span;

/// A mistake and its span.
pub(super) type Mistake = (ErrorKind, Span);

/// Characters written by mistake for the `:` after the attribute.
const MISTAKEN_FOR_COLON: [char; 3] = [';', '=', ' '];

/// The first mistake, or `None` if the form is right. Linear in the length of the text.
pub(super) fn diagnose(text: &str, max_chain: usize) -> Option<Mistake> {
    if text.trim().is_empty() {
        return Some((ErrorKind::Empty, Span { start: 0, end: text.len() }));
    }
    let whole = Part { text, start: 0 };
    control_character(whole).or_else(|| match whole.split_once_outside(':') {
        Some((attribute, call)) => both_sides(attribute, call, max_chain),
        None => Some(closed_late(whole, max_chain).unwrap_or_else(|| missing_algorithm(whole))),
    })
}

fn control_character(text: Part<'_>) -> Option<Mistake> {
    let (at, character) = text.text.char_indices().find(|(_, character)| character.is_control())?;
    let span = text.cut(at, at + character.len_utf8()).span();
    Some((ErrorKind::ControlCharacter { character }, span))
}

/// The text before and the text after the first `:`.
fn both_sides(attribute: Part<'_>, call: Part<'_>, max_chain: usize) -> Option<Mistake> {
    prefix::arguments_after_colon(attribute, call, max_chain)
        .or_else(|| attribute_part(attribute, max_chain))
        .or_else(|| algorithm(call.split_once(':').map_or(call, |(name, _)| name)))
}

/// `1.DSX(5-raw:Mine:f)`: the `(` of the prefix is closed only by a `)` in the arguments of the algorithm.
fn closed_late(whole: Part<'_>, max_chain: usize) -> Option<Mistake> {
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

/// No `:`; points at the characters that were probably written instead of it, else at the end.
fn missing_algorithm(text: Part<'_>) -> Mistake {
    let end = Span { start: text.text.len(), end: text.text.len() };
    let trimmed = text.text.trim();
    let mistaken = (trimmed.len() == text.text.len())
        .then(|| text.first_run_outside(|character| MISTAKEN_FOR_COLON.contains(&character)))
        .flatten();
    (ErrorKind::MissingAlgorithm, mistaken.unwrap_or(end))
}

/// `[period[.PRE]…-]attribute[.component[.subcomponent]]`
fn attribute_part(part: Part<'_>, max_chain: usize) -> Option<Mistake> {
    match part.split_once_outside('-') {
        Some((prefix, path)) => prefix::period(prefix, max_chain).or_else(|| source(path)),
        None => prefix::without_end(part, max_chain).or_else(|| source(part)),
    }
}

/// `attribute[.component[.subcomponent]]`
fn source(path: Part<'_>) -> Option<Mistake> {
    for (depth, part) in path.split('.').enumerate() {
        if depth == 3 {
            let kind = ErrorKind::TooManyComponents { found: path.split('.').count() };
            // From the dot on, because the user must remove the dot too.
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

fn algorithm(name: Part<'_>) -> Option<Mistake> {
    if name.text.is_empty() {
        return Some((ErrorKind::EmptyAlgorithm, name.span()));
    }
    let (fault, span) = name_fault(name)?;
    Some((ErrorKind::BadAlgorithm { name: name.text.to_owned(), fault }, span))
}

/// The reason why a part that is not empty is not a name, and its span.
fn name_fault(part: Part<'_>) -> Option<(NameFault, Span)> {
    let (fault, span) = NameFault::find(part.text)?;
    Some((fault, part.cut(span.start, span.end).span()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
