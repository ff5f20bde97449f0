//! The fast path for lines, straight from a block of lines: no byte is read twice, not even to find the line's end.
//!
//! Two orders of the fields of JSON are read, the ones in which producers write them.

use super::super::scan::{literal, micros, until_quote, until_tab, value};
use super::super::{MAX_PAYLOAD_LENGTH, xml};
use super::{LineForm, PlainLine};

/// Decodes the line at the start of `text`. Returns it and its length in bytes, its `\n` or `\r\n` included.
///
/// `text` is a block that ends with a whole line; the last one needs no line break. `None` is not an error: use
/// [`decode`](super::decode) for that line. The fast path takes ASCII without escapes, blanks or further fields; of
/// JSON `ts`, `key`, `attr`, `value` or `key`, `attr`, `ts`, `value`; numbers without exponent or leading zeros.
///
/// ```
/// use proxy_uve::wire::line::{LineForm, plain};
///
/// let block = b"T:a\t<flows type=\"u64\" timestamp=\"7\">31</flows>\nT:b\t<flows timestamp='8'>1</flows>\n";
/// let (line, taken) = plain(LineForm::Tabbed, block).expect("as producers write it");
/// assert_eq!((line.key, line.attribute, line.timestamp), (&b"T:a"[..], &b"flows"[..], 7));
/// assert!(plain(LineForm::Tabbed, &block[taken..]).is_none(), "quotes of the other kind");
/// ```
#[inline]
pub fn plain(form: LineForm, text: &[u8]) -> Option<(PlainLine<'_>, usize)> {
    match form {
        LineForm::Json => json(text),
        LineForm::Tabbed => tabbed(text),
    }
}

#[inline(never)]
fn json(text: &[u8]) -> Option<(PlainLine<'_>, usize)> {
    let (line, rest) = match literal(text, b"{\"ts\":") {
        Some(rest) => timestamp_first(rest)?,
        None => key_first(literal(text, b"{\"key\":\"")?)?,
    };
    let rest = end_of_line(rest.strip_prefix(b"}")?)?;
    let taken = text.len() - rest.len();
    (taken <= MAX_PAYLOAD_LENGTH).then_some((line, taken))
}

/// Decodes `{"ts":…,"key":"…","attr":"…","value":…}` from the time on.
#[inline(always)]
fn timestamp_first(text: &[u8]) -> Option<(PlainLine<'_>, &[u8])> {
    let (timestamp, rest) = micros(text)?;
    let (key, rest) = until_quote(literal(rest, b",\"key\":\"")?)?;
    let (attribute, rest) = until_quote(literal(rest, b"\",\"attr\":\"")?)?;
    let (value, rest) = value(literal(rest, b"\",\"value\":")?)?;
    Some((PlainLine { key, attribute, timestamp, value }, rest))
}

/// Decodes `{"key":"…","attr":"…","ts":…,"value":…}` from the key on.
#[inline(always)]
fn key_first(text: &[u8]) -> Option<(PlainLine<'_>, &[u8])> {
    let (key, rest) = until_quote(text)?;
    let (attribute, rest) = until_quote(literal(rest, b"\",\"attr\":\"")?)?;
    let (timestamp, rest) = micros(literal(rest, b"\",\"ts\":")?)?;
    let (value, rest) = value(literal(rest, b",\"value\":")?)?;
    Some((PlainLine { key, attribute, timestamp, value }, rest))
}

#[inline(never)]
fn tabbed(text: &[u8]) -> Option<(PlainLine<'_>, usize)> {
    let (key, rest) = until_tab(text)?;
    let payload = rest.strip_prefix(b"\t")?;
    let (element, rest) = xml::element(payload)?;
    let rest = end_of_line(rest)?;
    let line = PlainLine { key, attribute: element.name, timestamp: element.timestamp, value: element.value };
    (payload.len() - rest.len() <= MAX_PAYLOAD_LENGTH).then_some((line, text.len() - rest.len()))
}

/// The text after the line break, which may be missing at the end of all text.
#[inline(always)]
fn end_of_line(text: &[u8]) -> Option<&[u8]> {
    match text {
        [] | [b'\r'] => Some(&[]),
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Some(rest),
        _ => None,
    }
}
