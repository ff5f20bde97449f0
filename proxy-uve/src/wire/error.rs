//! Why a payload is not one sample.

use std::fmt;

use derived_stats::excerpt::quoted;

/// The form of a payload.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// `{"ts":…,"value":…,"source":…}`
    Json,
    /// `<attribute timestamp="…">value</attribute>`
    Xml,
}

impl Format {
    /// The name of the time in this format.
    fn timestamp(self) -> &'static str {
        match self {
            Self::Json => "field `ts`",
            Self::Xml => "attribute `timestamp`",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
        })
    }
}

/// The error of a payload. Quoted text is at most a part of the payload.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The `source` of a JSON payload is not a string.
    #[error("the source must be a string of JSON, found {}", quoted(text))]
    BadSource {
        /// What was found.
        text: String,
    },
    /// The time is not decimal digits, or beyond 64 bits.
    #[error("the {} must be microseconds in decimal digits, found {}", format.timestamp(), quoted(text))]
    BadTimestamp {
        /// The form of the payload.
        format: Format,
        /// What was found.
        text: String,
    },
    /// A payload that begins like the stored form and is not of that form.
    #[error("the stored sample of {length} bytes is damaged; it was not written by this program")]
    BrokenStored {
        /// Its length in bytes.
        length: usize,
    },
    /// An attribute or field that appears twice, so that its value is ambiguous. The original takes the first.
    #[error("{} appears twice; send it once", quoted(name))]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// No bytes, or only blanks.
    #[error("the payload is empty; expected one sample as XML or JSON")]
    Empty,
    /// The text breaks the rules of its format, such as an end tag of another name.
    #[error("malformed {format}: {message}")]
    Malformed {
        /// The form of the payload.
        format: Format,
        /// The message of the parser of that format.
        message: String,
    },
    /// A field of JSON that is unknown and has nearly the name of a known one.
    #[error(
        "the field {} is unknown; did you mean {known:?}? Choose a name that is not so near to it otherwise",
        quoted(name)
    )]
    MisspeltField {
        /// Its name.
        name: String,
        /// The known one.
        known: &'static str,
    },
    /// No time. The original drops these too.
    #[error("the payload has no time; add the {}, in microseconds", format.timestamp())]
    MissingTimestamp {
        /// The form of the payload.
        format: Format,
    },
    /// No `value` in JSON.
    #[error("the payload has no `value`; add it")]
    MissingValue,
    /// An element within the element: a struct, which has no value.
    #[error("the element contains another one, {}; only a plain number can be aggregated", quoted(name))]
    NestedElement {
        /// The inner element.
        name: String,
    },
    /// The value is not a decimal number. The original takes what digits it begins with, or 0.
    #[error("the value must be a decimal number, found {}", quoted(text))]
    NotANumber {
        /// What was found.
        text: String,
    },
    /// Bytes that are not text.
    #[error("the payload is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The index of the first byte that is not part of a character.
        at: usize,
    },
    /// The name of a source is longer than [`MAX_SOURCE_BYTES`](super::MAX_SOURCE_BYTES).
    #[error("the source has {length} bytes where at most {} are allowed; give a shorter name", super::MAX_SOURCE_BYTES)]
    SourceTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A text that is longer than [`MAX_TEXT_SAMPLE`](derived_stats::MAX_TEXT_SAMPLE).
    #[error(
        "the text has {length} bytes where at most {} are allowed; send a shorter one",
        derived_stats::MAX_TEXT_SAMPLE
    )]
    TextTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// More bytes than are allowed.
    #[error("the payload has {length} bytes where at most {limit} are allowed; shorten it or raise the limit")]
    TooLong {
        /// Length of the payload in bytes.
        length: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// An integer beyond 64 bits, or a double beyond all finite ones. The original takes the nearest it has.
    #[error("the value {} is too large; integers must fit 64 bits, doubles be finite", quoted(text))]
    TooLarge {
        /// The number as written.
        text: String,
    },
    /// Neither `<` nor `{` at the start.
    #[error("expected `<` (XML) or `{{` (JSON) first, found {}", quoted(&first.escape_ascii().to_string()))]
    UnknownFormat {
        /// The first byte that is not blank.
        first: u8,
    },
}

impl WireError {
    /// A short constant name, for counting.
    pub fn label(&self) -> &'static str {
        match self {
            Self::BadSource { .. } => "bad_source",
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::BrokenStored { .. } => "broken_stored",
            Self::Duplicate { .. } => "duplicate",
            Self::Empty => "empty",
            Self::Malformed { .. } => "malformed",
            Self::MissingTimestamp { .. } => "missing_timestamp",
            Self::MisspeltField { .. } => "misspelt_field",
            Self::MissingValue => "missing_value",
            Self::NestedElement { .. } => "nested_element",
            Self::NotANumber { .. } => "not_a_number",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::SourceTooLong { .. } => "source_too_long",
            Self::TextTooLong { .. } => "text_too_long",
            Self::TooLong { .. } => "too_long",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownFormat { .. } => "unknown_format",
        }
    }
}
