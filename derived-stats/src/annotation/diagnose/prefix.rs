//! Mistakes in `period[.PRE]…-`, the text before the first `-`.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use super::super::fault::{NameFault, ParenthesesFault, PeriodFault};
use super::super::kind::ErrorKind;
use super::super::piece::Span;
use super::part::Part;
use super::{Mistake, is_digits};

/// The `.` after the period and characters written by mistake for it.
const DOT_OR_LIKE_IT: [char; 6] = ['.', ',', ';', '_', '/', ' '];
/// The prefix of the names of all built-in algorithms, which distinguishes them from attributes.
const ALGORITHM_PREFIX: &str = "DS";

/// The first mistake of a prefix.
pub(super) fn period(prefix: Part<'_>, max_chain: usize) -> Option<Mistake> {
    let (every, links) = prefix.split_once_outside('.').map_or((prefix, None), |(every, links)| (every, Some(links)));
    let fault = match every.text {
        "" => Some(PeriodFault::Missing),
        text if !is_digits(text) => Some(PeriodFault::NotDecimal),
        text if text.parse::<u32>().is_err() => Some(PeriodFault::TooLarge),
        _ => None,
    };
    if let Some(fault) = fault {
        let suggestion = (fault == PeriodFault::NotDecimal).then(|| meant_prefix(prefix.text, max_chain)).flatten();
        let kind = ErrorKind::BadPeriod { text: every.text.to_owned(), fault, suggestion };
        return Some((kind, every.span()));
    }
    let links = links?;
    if links.text.is_empty() {
        return Some((ErrorKind::EmptyPre { period: every.text.to_owned() }, links.span()));
    }
    chain(links, max_chain)
}

/// `1.DSSum(60)raw:…`, `1.DSX(a:b-raw:…`: a prefix without the `-` that ends it, or with that `-` inside of
/// parentheses.
pub(super) fn without_end(attribute: Part<'_>, max_chain: usize) -> Option<Mistake> {
    let (every, links) = attribute.split_once_outside('.')?;
    (is_digits(every.text) && links.text.contains('(')).then(|| period(attribute, max_chain)).flatten()
}

/// `1.DSSum:60-raw:…`: the `:` before the arguments of a pre-aggregation ends the attribute.
pub(super) fn arguments_after_colon(attribute: Part<'_>, call: Part<'_>, max_chain: usize) -> Option<Mistake> {
    let (every, links) = attribute.split_once_outside('.')?;
    let (arguments, rest) = call.split_once_outside('-')?;
    // Without a `:` after it, the `-` belongs to the arguments of the algorithm.
    let ends_period = rest.text.contains(':') || !arguments.text.contains(':');
    if !(is_digits(every.text) && ends_period && chain(links, max_chain).is_none()) {
        return None;
    }
    let span = Span { start: attribute.span().end, end: arguments.span().end };
    let kind = match links.links().last()?.split_once('(') {
        Some((name, _)) => wrong(name, ParenthesesFault::TextAfter, &format!(":{}", arguments.text)),
        None => ErrorKind::PreHasArguments { prefix: attribute.text.to_owned(), arguments: arguments.text.to_owned() },
    };
    Some((kind, span))
}

/// `PRE[(arguments)][.PRE[(arguments)]]…`
fn chain(links: Part<'_>, max_chain: usize) -> Option<Mistake> {
    links.links().enumerate().find_map(|(depth, part)| {
        if depth < max_chain {
            return link(part);
        }
        let kind = ErrorKind::ChainTooLong { found: links.links().count(), limit: max_chain };
        // From the dot on, because the user must remove the dot too.
        Some((kind, Span { start: part.start - 1, end: links.span().end }))
    })
}

/// `PRE[(arguments)]`
fn link(part: Part<'_>) -> Option<Mistake> {
    let (name, group) = match part.text.find('(') {
        Some(open) => (part.cut(0, open), Some(part.cut(open, part.text.len()))),
        None => (part, None),
    };
    if name.text.is_empty() {
        return Some((ErrorKind::EmptyLink, name.span()));
    }
    // Underlines the whole name: in `1.5-` the mistake is not a single character.
    if let Some((fault, _)) = NameFault::find(name.text) {
        return Some((ErrorKind::BadPre { text: name.text.to_owned(), fault }, name.span()));
    }
    parentheses(name, group?)
}

/// `(arguments)`
fn parentheses(name: Part<'_>, group: Part<'_>) -> Option<Mistake> {
    let end = group.text.len();
    let inside = group.cut(1, end);
    let (fault, at) = match inside.text.find(['(', ')']).map(|at| inside.cut(at, inside.text.len())) {
        None => (ParenthesesFault::Unclosed, group.cut(0, 1)),
        Some(inner) if inner.text.starts_with('(') => (ParenthesesFault::Nested, inner.cut(0, 1)),
        Some(close) if close.text.len() > 1 => (ParenthesesFault::TextAfter, close.cut(1, close.text.len())),
        Some(_) => return None,
    };
    Some((wrong(name, fault, at.text), at.span()))
}

fn wrong(name: Part<'_>, fault: ParenthesesFault, text: &str) -> ErrorKind {
    ErrorKind::BadParentheses { link: name.text.to_owned(), text: text.to_owned(), fault }
}

/// The prefix that was probably meant: `1.DSSum-` for `1,DSSum`, `DSSum` or `1DSSum`, `1-` for ` 1`.
fn meant_prefix(text: &str, max_chain: usize) -> Option<String> {
    let text = text.trim().trim_start_matches('+');
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (every, rest) = text.split_at(digits);
    let links = rest.trim_start_matches(DOT_OR_LIKE_IT);
    if links.is_empty() && every.parse::<u32>().is_ok() {
        return Some(format!("{every}-"));
    }
    let is_chain =
        links.get(..ALGORITHM_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(ALGORITHM_PREFIX))
            && chain(Part { text: links, start: 0 }, max_chain).is_none();
    let every = if every.is_empty() { "1" } else { every };
    (is_chain && every.parse::<u32>().is_ok()).then(|| format!("{every}.{links}-"))
}
