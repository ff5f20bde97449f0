//! Payloads: one sample as XML, the original's form, or as JSON.
//!
//! | form | example |
//! |---|---|
//! | XML | `<egress_flow_count type="u64" timestamp="1490306665057644">31</egress_flow_count>` |
//! | JSON | `{"ts":1490306665057644,"value":31,"source":"compute-7"}` |
//!
//! The first byte that is not blank decides the form. Times are UTC microseconds, 0 included. A value is a decimal
//! number: digits alone are an integer of at most 64 bits, kept exactly; a fraction or an exponent makes it a double.
//! Whether the number fits the metric is checked by the table, and whether it takes a text ([`decode_texts`]); the `type` attribute is ignored, as in the original.
//! Text where a number is expected, which the original takes for 0, a fraction, which it cuts, and a number out of range, which it wraps, are
//! errors here, which the caller counts.
//!
//! # Input safety
//!
//! Payloads are limited to [`MAX_PAYLOAD_LENGTH`]; cost is proportional to the length, and nothing panics on any
//! input. An ordinary payload is decoded without allocating.

mod encode;
mod error;
mod json;
pub mod line;
mod number;
mod partial;
mod scan;
mod stored;
mod xml;

use std::borrow::Cow;

use derived_stats::{Number, text_sample};

pub use self::encode::{encode_json, encode_text, encode_xml};
pub use self::error::{Format, WireError};
pub(crate) use self::partial::is_partial;
pub use self::partial::{
    MAX_PARTIAL_LENGTH, PARTIAL_VERSION, PartialError, PartialSeal, PartialSealError, PartialState,
};
pub use self::stored::encode_stored;

/// The longest payload that [`decode`] takes, in bytes. Typical payloads have a hundred.
pub const MAX_PAYLOAD_LENGTH: usize = 64 * 1024;

/// The longest name of a source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1024;

/// One decoded payload.
#[derive(Clone, Debug, PartialEq)]
pub struct WireSample<'p> {
    /// When the sample was taken: UTC microseconds.
    pub timestamp: u64,
    /// The value. Integers from 0 up are always [`Number::U64`], negative ones [`Number::I64`]; doubles are finite. For a
    /// text its [hash](derived_stats::text_sample).
    pub value: Number,
    /// The value as a text, of at most [`MAX_TEXT_SAMPLE`](derived_stats::MAX_TEXT_SAMPLE) bytes; `None` for a number.
    pub text: Option<Cow<'p, str>>,
    /// The sender, such as the name of a vrouter, of at most [`MAX_SOURCE_BYTES`] bytes. Only JSON has it.
    pub source: Option<Cow<'p, str>>,
    /// The name of the XML element, which is the attribute of the stream. JSON has none.
    pub element: Option<Cow<'p, str>>,
}

/// Parses the text of a value without the blanks around it, as payloads have it. Everything that takes a sample from a
/// text uses this, so that a text is the same number on every path.
///
/// ```
/// use derived_stats::Number;
/// use proxy_uve::wire::parse_value;
///
/// assert_eq!(parse_value("18446744073709551615")?, Number::U64(u64::MAX));
/// assert_eq!(parse_value("1e3")?, Number::F64(1000.0));
/// assert!(parse_value("+1").is_err() && parse_value("0x10").is_err());
/// # Ok::<(), proxy_uve::wire::WireError>(())
/// ```
///
/// # Errors
///
/// [`WireError::NotANumber`], or [`WireError::TooLarge`] for an integer beyond 64 bits and a double beyond the finite
/// ones.
pub fn parse_value(text: &str) -> Result<Number, WireError> {
    number::value(text)
}

/// Decodes a payload of at most [`MAX_PAYLOAD_LENGTH`] bytes.
///
/// ```
/// use derived_stats::Number;
/// use proxy_uve::wire::decode;
///
/// let sample = decode(br#"<egress_flow_count type="u64" timestamp="1490306665057644">31</egress_flow_count>"#)?;
/// assert_eq!((sample.timestamp, sample.value), (1490306665057644, Number::U64(31)));
/// assert_eq!(sample.element.as_deref(), Some("egress_flow_count"));
///
/// let sample = decode(br#"{"ts": 1490306665057644, "value": -0.5, "source": "compute-7"}"#)?;
/// assert_eq!((sample.value, sample.source.as_deref()), (Number::F64(-0.5), Some("compute-7")));
/// # Ok::<(), proxy_uve::wire::WireError>(())
/// ```
///
/// # Errors
///
/// [`WireError`] for a payload that is not one sample.
pub fn decode(payload: &[u8]) -> Result<WireSample<'_>, WireError> {
    decode_within(payload, MAX_PAYLOAD_LENGTH)
}

/// The same with another limit, in bytes.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_within(payload: &[u8], limit: usize) -> Result<WireSample<'_>, WireError> {
    decode_with(payload, limit, xml::decode)?.number()
}

/// Decodes a payload of at most `limit` bytes whose value may be a text: a string of JSON, or an XML element that
/// contains no number.
///
/// ```
/// use derived_stats::text_sample;
/// use proxy_uve::wire::{MAX_PAYLOAD_LENGTH, decode, decode_texts};
///
/// for payload in [r#"{"ts":7,"value":"timeout"}"#, r#"<status timestamp="7">timeout</status>"#] {
///     let sample = decode_texts(payload.as_bytes(), MAX_PAYLOAD_LENGTH)?;
///     assert_eq!((sample.text.as_deref(), Ok(sample.value)), (Some("timeout"), text_sample("timeout")));
///     assert!(decode(payload.as_bytes()).is_err(), "not a number");
/// }
/// # Ok::<(), proxy_uve::wire::WireError>(())
/// ```
///
/// # Errors
///
/// As [`decode`], and [`WireError::TextTooLong`].
pub fn decode_texts(payload: &[u8], limit: usize) -> Result<WireSample<'_>, WireError> {
    decode_with(payload, limit, xml::decode)?.number_or_text()
}

impl WireSample<'_> {
    /// The sample, unless its value is a text.
    #[inline]
    fn number(self) -> Result<Self, WireError> {
        match &self.text {
            None => Ok(self),
            Some(_) => Err(self.not_a_number()),
        }
    }

    /// The sample, with the hash of a text for its value.
    #[inline]
    fn number_or_text(mut self) -> Result<Self, WireError> {
        if let Some(text) = &self.text {
            self.value = hash(text)?;
        }
        Ok(self)
    }

    /// The error of a text where a number is expected.
    #[cold]
    pub(crate) fn not_a_number(&self) -> WireError {
        let text = self.text.as_deref().unwrap_or_default();
        // As the payload has it.
        let text = if self.element.is_some() { text.to_owned() } else { serde_json::Value::from(text).to_string() };
        WireError::NotANumber { text }
    }
}

/// The sample that stands for a text.
pub(crate) fn hash(text: &str) -> Result<Number, WireError> {
    text_sample(text).map_err(|error| WireError::TextTooLong { length: error.bytes })
}

/// Decodes a payload with `decode_xml` for the XML form.
fn decode_with(
    payload: &[u8],
    limit: usize,
    decode_xml: fn(&[u8]) -> Result<WireSample<'_>, WireError>,
) -> Result<WireSample<'_>, WireError> {
    check_length(payload, limit)?;
    if payload.first() == Some(&stored::MARK) {
        return stored::decode(payload);
    }
    let first = payload.iter().find(|byte| !is_blank(**byte)).copied();
    let decode = match first {
        Some(b'<') => decode_xml,
        Some(b'{') => json::decode,
        Some(first) => return Err(WireError::UnknownFormat { first }),
        None => return Err(WireError::Empty),
    };
    decode(payload)
}

fn check_length(payload: &[u8], limit: usize) -> Result<(), WireError> {
    if payload.len() > limit {
        return Err(WireError::TooLong { length: payload.len(), limit });
    }
    Ok(())
}

/// Checks the length of a source's name.
pub(crate) fn check_source(name: &str) -> Result<(), WireError> {
    if name.len() > MAX_SOURCE_BYTES {
        return Err(WireError::SourceTooLong { length: name.len() });
    }
    Ok(())
}

fn text_of(payload: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(payload).map_err(|error| WireError::NotUtf8 { at: error.valid_up_to() })
}

/// White space in both formats.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
