//! Lines of files and HTTP batches: samples with their key and metric.
//!
//! | form | example |
//! |---|---|
//! | JSON | `{"ts":1490306665057644,"key":"ObjectVNTable:default-domain:demo:vn1","attr":"egress_flow_count","value":31}` |
//! | tabbed | `ObjectVNTable:default-domain:demo:vn1<TAB><egress_flow_count type="u64" timestamp="1490306665057644">31</egress_flow_count>` |
//!
//! A JSON line is a payload with a `key` and an `attr`, or with `stream`, the whole `Struct-attribute`, where two
//! structs have an attribute of that name; if a line has both, `stream` counts. A tabbed line is a key of any bytes, a
//! tab, and a [payload](super) that names its element. The first byte of a line decides the form.
//!
//! There are two decoders, which agree on every line that both decode. [`plain()`] is the fast path: it decodes the
//! line at the start of a block and finds its end in the same pass, which costs tens of nanoseconds. [`decode`] decodes
//! every line and reports errors.
//!
//! # Input safety
//!
//! The limit on payloads applies: [`MAX_PAYLOAD_LENGTH`](super::MAX_PAYLOAD_LENGTH) bytes of a JSON line, or after the
//! tab. Nothing panics on any input. [`ObjectKey`](crate::ObjectKey) limits the length of a key.

mod error;
mod general;
mod plain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use derived_stats::Number;

pub use self::error::LineError;
pub use self::plain::plain;

/// The form of the lines of a file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LineForm {
    /// One object of JSON a line.
    Json,
    /// Key, tab, payload.
    Tabbed,
}

impl LineForm {
    /// The form of a line, or of the lines of a file that begins so: JSON if the first byte is `{`.
    pub fn of(line: &[u8]) -> Self {
        if line.first() == Some(&b'{') { Self::Json } else { Self::Tabbed }
    }
}

/// The name of a metric in a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Metric<'l> {
    /// An attribute alone: `attr`, or the name of the XML element.
    Attribute(Cow<'l, str>),
    /// `Struct-attribute`.
    Stream(Cow<'l, str>),
}

/// A decoded line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'l> {
    /// The object: `table:name`, not checked.
    pub key: Cow<'l, [u8]>,
    /// The metric.
    pub metric: Metric<'l>,
    /// When the sample was taken: UTC microseconds.
    pub timestamp: u64,
    /// The value. Integers from 0 up are always [`Number::U64`], negative ones [`Number::I64`]; doubles are finite. For a
    /// text its [hash](derived_stats::text_sample).
    pub value: Number,
    /// The value as a text; see [`WireSample::text`](super::WireSample::text).
    pub text: Option<Cow<'l, str>>,
    /// The sender, such as the name of a vrouter.
    pub source: Option<Cow<'l, str>>,
}

/// A line of the fast path. It has an attribute and no source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlainLine<'l> {
    /// The object: `table:name` in ASCII, not checked otherwise.
    pub key: &'l [u8],
    /// The attribute, in ASCII.
    pub attribute: &'l [u8],
    /// When the sample was taken: UTC microseconds.
    pub timestamp: u64,
    /// The value, as in [`Line`].
    pub value: Number,
}

impl<'l> PlainLine<'l> {
    /// The same as a [`Line`].
    fn into_line(self) -> Option<Line<'l>> {
        Some(Line {
            key: Cow::Borrowed(self.key),
            metric: Metric::Attribute(Cow::Borrowed(std::str::from_utf8(self.attribute).ok()?)),
            timestamp: self.timestamp,
            value: self.value,
            text: None,
            source: None,
        })
    }
}

/// Decodes one whole line, without its line break, in the form that its first byte decides.
///
/// ```
/// use proxy_uve::wire::line::{Metric, decode};
///
/// let line = decode(br#"{"value": 31, "ts": 7, "stream": "Agent-flows", "key": "T:a", "source": "compute-7"}"#)?;
/// assert_eq!(line.metric, Metric::Stream("Agent-flows".into()));
/// assert_eq!((&*line.key, line.source.as_deref()), (&b"T:a"[..], Some("compute-7")));
///
/// let line = decode(b"T:a\t<flows timestamp='7'>31</flows>")?;
/// assert_eq!(line.metric, Metric::Attribute("flows".into()));
/// # Ok::<(), proxy_uve::wire::line::LineError>(())
/// ```
///
/// # Errors
///
/// [`LineError`] for a line that is not one sample with a key and a metric.
pub fn decode(line: &[u8]) -> Result<Line<'_>, LineError> {
    decode_as(LineForm::of(line), line)
}

/// The same for a line whose form is known.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_as(form: LineForm, line: &[u8]) -> Result<Line<'_>, LineError> {
    let line = read(form, line)?;
    line.check_number(form)?;
    Ok(line)
}

/// The same for a line whose value may be a text, as [`wire::decode_texts`](super::decode_texts).
///
/// # Errors
///
/// As [`decode`], and [`WireError::TextTooLong`](super::WireError::TextTooLong).
pub fn decode_texts_as(form: LineForm, line: &[u8]) -> Result<Line<'_>, LineError> {
    let mut line = read(form, line)?;
    if let Some(text) = &line.text {
        line.value = super::hash(text)?;
    }
    Ok(line)
}

/// A line whose value may be a text without its hash.
fn read(form: LineForm, line: &[u8]) -> Result<Line<'_>, LineError> {
    match plain(form, line) {
        Some((plain, taken)) if taken == line.len() => {
            plain.into_line().map_or_else(|| general::decode(form, line), Ok)
        }
        _ => general::decode(form, line),
    }
}

impl Line<'_> {
    /// Checks that the value is a number, for a stream that takes no texts.
    ///
    /// # Errors
    ///
    /// [`WireError::NotANumber`](super::WireError::NotANumber) for a text.
    pub fn check_number(&self, form: LineForm) -> Result<(), LineError> {
        let Some(text) = &self.text else { return Ok(()) };
        let text = match form {
            LineForm::Json => serde_json::Value::from(&**text).to_string(),
            LineForm::Tabbed => text.to_string(),
        };
        Err(super::WireError::NotANumber { text }.into())
    }
}
