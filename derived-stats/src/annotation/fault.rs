//! What keeps a piece of text from being the period or the name that its place asks for.
//!
//! Details of [`ErrorKind`](super::ErrorKind): the same slip can happen in several parts.

use std::fmt;

use super::printable::quoted;

/// Why a text is not a period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeriodFault {
    /// Nothing stands before the `-`. A period cannot be negative.
    Missing,
    /// Something other than the digits 0 to 9: a sign, blank, exponent, `0x`, or a name.
    NotDecimal,
    /// Above 4294967295.
    TooLarge,
}

impl PeriodFault {
    /// What is wrong with `text` in the period's place.
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

/// Why a text is not a name, `[A-Za-z_][A-Za-z0-9_]*`.
///
/// The `Display` is the middle of a sentence.
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

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("remove the blank"),
            Self::IllegalCharacter('-') => f.write_str("`-` has no place in it, its one use is to end a period"),
            Self::IllegalCharacter(character) => write!(
                f,
                "{} has no place in it, a name is made of letters, digits and `_`",
                quoted(character.encode_utf8(&mut [0; 4]))
            ),
            Self::LeadingDigit => f.write_str("a name starts with a letter or `_`"),
        }
    }
}
