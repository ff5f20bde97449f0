//! The mistakes in a period, a name or parentheses.
//!
//! They are details of [`ErrorKind`](super::ErrorKind), because the same mistake can occur in several parts.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use core::fmt;

use super::piece::Span;
use crate::excerpt::quoted;

/// The reason why a text is not a period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeriodFault {
    /// There is no text before the `-`. A period cannot be negative.
    Missing,
    /// Something other than the digits 0 to 9: a sign, blank, exponent, `0x`, or a name.
    NotDecimal,
    /// A number above 4294967295.
    TooLarge,
}

impl PeriodFault {
    /// The error message for `text` where a period is expected.
    pub(super) fn sentence(self, text: &str) -> String {
        match self {
            Self::Missing => "expected a period before the first `-`, digits such as `1`; \
                              without one, remove the `-`"
                .to_owned(),
            Self::NotDecimal => format!(
                "the text before the first `-` is the period and must be digits such as `1`, found {}",
                quoted(text)
            ),
            Self::TooLarge => {
                format!("period {} is too large; at most {} is allowed", quoted(text), u32::MAX)
            }
        }
    }
}

/// The reason why the parentheses after the name of a pre-aggregation are wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ParenthesesFault {
    /// A `(` inside the parentheses.
    Nested,
    /// Text between the `)` and the `.` or `-` that must follow it.
    TextAfter,
    /// No `)` follows the `(`.
    Unclosed,
}

impl ParenthesesFault {
    /// The error message for the pre-aggregation `link`, where `text` is the part that is wrong.
    pub(super) fn sentence(self, link: &str, text: &str) -> String {
        match self {
            Self::Nested => format!(
                "expected `)` after the arguments of {}, found {}; \
                 arguments in parentheses cannot hold parentheses, remove the inner ones",
                quoted(link),
                quoted(text)
            ),
            Self::TextAfter => {
                format!("expected `.` or `-` after the `)` of {}, found {}", quoted(link), quoted(text))
            }
            Self::Unclosed => format!(
                "the {} after {} is not closed; expected `)` before the `-` that ends the period",
                quoted(text),
                quoted(link)
            ),
        }
    }
}

/// The reason why a text is not a name, `[A-Za-z_][A-Za-z0-9_]*`.
///
/// `Display` prints a part of a sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NameFault {
    /// Blanks before, inside or after it.
    Blank,
    /// A character other than ASCII letters, digits and `_`.
    IllegalCharacter(char),
    /// A digit at the start.
    LeadingDigit,
}

impl NameFault {
    /// The first mistake in a text that is not empty, and its span in that text.
    pub(super) fn find(text: &str) -> Option<(Self, Span)> {
        let is_legal = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if text.starts_with(|character: char| character.is_ascii_digit()) {
            return Some((Self::LeadingDigit, run(text, 0, |character| character.is_ascii_digit())));
        }
        let (at, character) = text.char_indices().find(|&(_, character)| !is_legal(character))?;
        if character.is_whitespace() {
            return Some((Self::Blank, run(text, at, char::is_whitespace)));
        }
        Some((Self::IllegalCharacter(character), Span { start: at, end: at + character.len_utf8() }))
    }
}

/// The characters from `start` on that are `alike`.
fn run(text: &str, start: usize, alike: fn(char) -> bool) -> Span {
    let rest = &text[start..];
    let length = rest.find(|character| !alike(character)).unwrap_or(rest.len());
    Span { start, end: start + length }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("remove the blank"),
            Self::IllegalCharacter('-') => f.write_str("`-` is not allowed in a name, it only ends a period"),
            Self::IllegalCharacter('(') => {
                f.write_str("`(` is not allowed in a name, only pre-aggregations take arguments in parentheses")
            }
            Self::IllegalCharacter(character) => write!(
                f,
                "{} is not allowed in a name, which consists of letters, digits and `_`",
                quoted(character.encode_utf8(&mut [0; 4]))
            ),
            Self::LeadingDigit => f.write_str("a name starts with a letter or `_`"),
        }
    }
}
