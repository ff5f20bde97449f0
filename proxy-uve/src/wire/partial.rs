//! Partial states: what one edge has aggregated of an object in one period, to be merged with those of other edges.
//!
//! ```json
//! {"partial":1,"key":"VM:a","attr":"flows","window":60000000,"period":60,"state":"DSSum u64","version":1,
//!  "words":"24 8","crc":"2a897d99"}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `partial` | the version of this format: [`PARTIAL_VERSION`] |
//! | `key`, `attr` | the object, `table:name`, and the attribute, as in a sample |
//! | `window` | the start of the period in microseconds since the epoch, a multiple of the period |
//! | `period` | its length in whole seconds |
//! | `state` | what accumulated: algorithm and arguments, element type, and ` agg` for increases of a counter |
//! | `version` | the version of the algorithm's words |
//! | `words` | the words of the state: hexadecimal digits, separated by single blanks |
//! | `crc` | the CRC-32 of the line up to this field, as [`PartialState::encode`] writes it |
//!
//! The checksum is that of the fields, not of the bytes that came: a line whose fields are in another order or with
//! other blanks, as JSON tools write it, is the same state.
//!
//! # Input safety
//!
//! Decoding takes memory in proportion to the line, which the caller limits. A line that decodes is not yet a valid
//! state: the table [restores](crate::Plan::check_partial) its words with the checks of the algorithm.

mod seal;

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use self::seal::{PartialSeal, PartialSealError};

/// The version of the format that [`PartialState::encode`] writes.
pub const PARTIAL_VERSION: u16 = 1;

/// The longest line of a partial state in a file, in bytes. A log takes payloads up to
/// [`MAX_PAYLOAD_LENGTH`](crate::wire::MAX_PAYLOAD_LENGTH).
pub const MAX_PARTIAL_LENGTH: usize = 1024 * 1024;

/// The longest period: that of a proxy type is 32 bits of seconds.
const MAX_PERIOD_SECONDS: u64 = u32::MAX as u64;

const MICROS: u64 = 1_000_000;

/// The aggregate of one object in one period.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartialState<'p> {
    /// The object, `table:name`.
    pub key: Cow<'p, str>,
    /// The attribute.
    pub attribute: Cow<'p, str>,
    /// The start of the period in microseconds since the epoch.
    pub window: u64,
    /// The length of the period in microseconds: whole seconds.
    pub period: u64,
    /// The [identity of the window](derived_stats::Spec::window_identity).
    pub state: Cow<'p, str>,
    /// The version of the algorithm's words.
    pub version: u16,
    /// The words of the state.
    pub words: Vec<u64>,
}

/// The error of a line that is not a partial state.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// The words are not hexadecimal numbers of 64 bits.
    #[error(
        "word {index} of the field `words` is not 1 to 16 hexadecimal digits, separated by one blank; the line was \
         changed, aggregate its samples again"
    )]
    BadWord {
        /// The number of the word, from 1.
        index: usize,
    },
    /// The fields are not those that were written.
    #[error(
        "the field `crc` is {found}, the checksum of the other fields is {expected}; the line was changed or cut, \
         aggregate its samples again"
    )]
    Damaged {
        /// The checksum of the line.
        found: String,
        /// The checksum of its fields.
        expected: String,
    },
    /// The line is not JSON with the fields of a partial state.
    #[error("the line is not a partial state as `aggregate --partial` writes it: {message}")]
    Malformed {
        /// The reason, with the column.
        message: String,
    },
    /// The period is 0 or too long.
    #[error("the field `period` is {found}; expected 1 to {MAX_PERIOD_SECONDS} seconds")]
    Period {
        /// The period found, in seconds.
        found: u64,
    },
    /// The line is too long.
    #[error(
        "the partial state has {length} bytes where at most {limit} are allowed; give its algorithm fewer counters or \
         a larger error, or send the samples"
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A newer program wrote the line.
    #[error(
        "the field `partial` is {found}, this build reads version {PARTIAL_VERSION}; run the newer program here, too"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// The window does not begin with a period, or is beyond the end of time.
    #[error(
        "the field `window` is {window}; expected a multiple of {period} microseconds below 2^63, the start of a period"
    )]
    Window {
        /// The start found, in microseconds.
        window: u64,
        /// The period in microseconds.
        period: u64,
    },
}

/// The fields of a line in their order.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line<'p> {
    partial: u16,
    #[serde(borrow)]
    key: Cow<'p, str>,
    #[serde(borrow)]
    attr: Cow<'p, str>,
    window: u64,
    period: u64,
    #[serde(borrow)]
    state: Cow<'p, str>,
    version: u16,
    #[serde(borrow)]
    words: Cow<'p, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    crc: Option<Cow<'p, str>>,
}

impl<'p> PartialState<'p> {
    /// Appends the line, without a line feed.
    ///
    /// ```
    /// use proxy_uve::wire::PartialState;
    ///
    /// let state = PartialState {
    ///     key: "VM:a".into(),
    ///     attribute: "flows".into(),
    ///     window: 60_000_000,
    ///     period: 60_000_000,
    ///     state: "DSSum u64".into(),
    ///     version: 1,
    ///     words: vec![36, 2],
    /// };
    /// let mut line = Vec::new();
    /// state.encode(&mut line);
    /// assert_eq!(PartialState::decode(&line, 1000)?, state);
    /// # Ok::<(), proxy_uve::wire::PartialError>(())
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        let first = out.len();
        // The serialisation of numbers and strings into memory cannot fail.
        let written = serde_json::to_writer(&mut *out, &self.line());
        debug_assert!(written.is_ok(), "a partial state is plain data");
        out.pop();
        let crc = checksum(out.get(first..).unwrap_or_default());
        out.extend_from_slice(format!(",\"crc\":\"{crc}\"}}").as_bytes());
    }

    /// Decodes a line of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`PartialError`] for a line that is not a partial state, is damaged, or is of a newer version.
    pub fn decode(line: &'p [u8], limit: usize) -> Result<Self, PartialError> {
        if line.len() > limit {
            return Err(PartialError::TooLong { length: line.len(), limit });
        }
        check_version(line)?;
        let Line { key, attr, window, period, state, version, words, crc, .. } =
            serde_json::from_slice(line).map_err(|error| PartialError::Malformed { message: error.to_string() })?;
        if !(1..=MAX_PERIOD_SECONDS).contains(&period) {
            return Err(PartialError::Period { found: period });
        }
        let period = period * MICROS;
        if !window.is_multiple_of(period) || window > i64::MAX as u64 {
            return Err(PartialError::Window { window, period });
        }
        let words = parse_words(&words)?;
        let decoded = Self { key, attribute: attr, window, period, state, version, words };
        decoded.check(crc.as_deref().unwrap_or_default())?;
        Ok(decoded)
    }

    /// Compares the checksum of the fields with that of the line.
    fn check(&self, found: &str) -> Result<(), PartialError> {
        let mut canonical = Vec::new();
        serde_json::to_writer(&mut canonical, &self.line())
            .map_err(|error| PartialError::Malformed { message: error.to_string() })?;
        canonical.pop();
        let expected = checksum(&canonical);
        if expected == found {
            return Ok(());
        }
        Err(PartialError::Damaged { found: found.chars().take(16).collect(), expected })
    }

    fn line(&self) -> Line<'_> {
        let mut words = String::with_capacity(self.words.len() * 4);
        for (index, word) in self.words.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(words, "{}{word:x}", if index > 0 { " " } else { "" });
        }
        Line {
            partial: PARTIAL_VERSION,
            key: Cow::Borrowed(&self.key),
            attr: Cow::Borrowed(&self.attribute),
            window: self.window,
            period: self.period / MICROS,
            state: Cow::Borrowed(&self.state),
            version: self.version,
            words: Cow::Owned(words),
            crc: None,
        }
    }

    /// The same without a reference to the line.
    pub fn into_owned(self) -> PartialState<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let Self { key, attribute, window, period, state, version, words } = self;
        let (key, attribute, state) = (owned(key), owned(attribute), owned(state));
        PartialState { key, attribute, window, period, state, version, words }
    }

    /// The end of the period (exclusive), in microseconds since the epoch.
    pub fn end(&self) -> u64 {
        self.window.saturating_add(self.period)
    }
}

/// Whether a payload is a partial state as [`PartialState::encode`] writes it, and not a sample.
pub(crate) fn is_partial(payload: &[u8]) -> bool {
    payload.starts_with(br#"{"partial":"#)
}

/// Refuses a newer version before its fields, which may be others.
fn check_version(line: &[u8]) -> Result<(), PartialError> {
    #[derive(Deserialize)]
    struct Version {
        partial: u16,
    }
    match serde_json::from_slice(line) {
        Ok(Version { partial }) if partial != PARTIAL_VERSION => Err(PartialError::Version { found: partial }),
        _ => Ok(()),
    }
}

fn checksum(line: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(line))
}

fn parse_words(text: &str) -> Result<Vec<u64>, PartialError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let word = |(index, word): (usize, &str)| {
        let is_hexadecimal = (1..=16).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = if is_hexadecimal { u64::from_str_radix(word, 16).ok() } else { None };
        parsed.ok_or(PartialError::BadWord { index: index + 1 })
    };
    text.split(' ').enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> PartialState<'static> {
        PartialState {
            key: "VM:\u{e4} \"x\"".into(),
            attribute: "flows".into(),
            window: 120_000_000,
            period: 60_000_000,
            state: "DSSum u64".into(),
            version: 1,
            words: vec![0, 36, u64::MAX],
        }
    }

    fn line(state: &PartialState<'_>) -> String {
        let mut line = Vec::new();
        state.encode(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn error(line: &str) -> String {
        PartialState::decode(line.as_bytes(), 1000).expect_err(line).to_string()
    }

    #[test]
    fn a_line_is_stable() {
        let expected = r#"{"partial":1,"key":"VM:ä \"x\"","attr":"flows","window":120000000,"period":60,"#.to_owned()
            + r#""state":"DSSum u64","version":1,"words":"0 24 ffffffffffffffff","crc":"CRC"}"#;
        let line = line(&state());
        let (_, crc) = line.rsplit_once(":\"").unwrap();
        assert_eq!(line, expected.replace("CRC", crc.trim_end_matches("\"}")));
        assert_eq!(PartialState::decode(line.as_bytes(), line.len()), Ok(state()));
    }

    #[test]
    fn fields_in_another_order_and_form_are_the_same_state() {
        let value: serde_json::Value = serde_json::from_str(&line(&state())).unwrap();
        let other = serde_json::to_string_pretty(&value).unwrap().replace('\u{e4}', "\\u00e4");
        assert_ne!(other, line(&state()));
        assert_eq!(PartialState::decode(other.as_bytes(), 1000), Ok(state()));
    }

    #[test]
    fn an_error_names_the_field_what_was_found_and_the_remedy() {
        let good = line(&state());
        let cases = [
            (good.replace(r#""window":120"#, r#""window":180"#), "the checksum of the other fields"),
            (good.replace("0 24", "0 25"), "the line was changed or cut"),
            (good.replace("0 24", "0  24"), "word 2 of the field `words`"),
            (good.replace("0 24", "0 +4"), "word 2 of the field `words`"),
            (good.replace("0 24", "10000000000000000 24"), "word 1 of the field `words`"),
            (good.replace(r#""partial":1"#, r#""partial":2,"new":1"#), "`partial` is 2, this build reads version 1"),
            (good.replace(r#""period":60"#, r#""period":0"#), "`period` is 0; expected 1 to"),
            (good.replace(r#""period":60"#, r#""period":4294967296"#), "`period` is 4294967296; expected 1 to"),
            (good.replace(r#""window":120"#, r#""window":121"#), "`window` is 121000000; expected a multiple"),
            (good.replace(r#""attr""#, r#""other""#), "unknown field `other`"),
            (good[..good.len() - 1].to_owned(), "not a partial state as `aggregate --partial` writes it"),
            (r#"{"ts":1,"value":2}"#.to_owned(), "not a partial state as `aggregate --partial` writes it"),
        ];
        for (line, expected) in cases {
            assert!(error(&line).contains(expected), "{line}: {}", error(&line));
        }
        let long = PartialState::decode(good.as_bytes(), good.len() - 1).unwrap_err().to_string();
        assert!(long.contains(&format!("{} bytes where at most {}", good.len(), good.len() - 1)), "{long}");
        let far = PartialState { window: u64::MAX / 60_000_000 * 60_000_000, ..state() };
        assert!(error(&line(&far)).contains("below 2^63"), "{far:?}");
    }

    proptest! {
        #[test]
        fn property_any_state_comes_back(
            key in ".{0,8}", attribute in ".{0,8}", window in 0..1u64 << 32, period in 1..=3600u64,
            text in ".{0,8}", version in any::<u16>(), words in prop::collection::vec(any::<u64>(), 0..6),
        ) {
            let period = period * MICROS;
            let state = PartialState {
                key: key.into(), attribute: attribute.into(), window: window * period, period, state: text.into(),
                version, words,
            };
            let state = PartialState { window: state.window % (1 << 62) / period * period, ..state };
            let line = line(&state);
            prop_assert!(is_partial(line.as_bytes()));
            prop_assert_eq!(PartialState::decode(line.as_bytes(), line.len()), Ok(state));
        }

        #[test]
        fn property_a_changed_byte_is_found(at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut line = line(&state()).into_bytes();
            let at = at.index(line.len());
            line[at] ^= 1 << bit;
            // Hexadecimal digits in capitals are the same words.
            let decoded = PartialState::decode(&line, 1000);
            prop_assert!(decoded.is_err() || decoded == Ok(state()), "{:?}", decoded);
        }
    }
}
