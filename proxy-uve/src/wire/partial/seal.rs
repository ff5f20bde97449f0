//! The last line of a file of partial states: how many there are, and a checksum of all of their lines.
//!
//! ```text
//! {"partial_end":1,"states":3,"crc":"0a1b2c3d"}
//! ```
//!
//! Each line has a checksum of its own, which does not show that a line is missing or is there twice. The checksum here
//! is the CRC-32 of all lines as [`PartialState::encode`](super::PartialState::encode) writes them, each with a line feed.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::is_partial;

/// The version of the last line.
const VERSION: u16 = 1;

/// Counts the lines of a file of partial states, to write its last line or to check it.
#[derive(Clone, Debug, Default)]
pub struct PartialSeal {
    states: u64,
    hasher: crc32fast::Hasher,
}

/// The reason why a file does not have the lines that its last line states.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartialSealError {
    /// Lines are missing, besides those that cannot be read.
    #[error(
        "the last line states {written} partial states, the lines before it are {found} and {bad} bad ones: a line was \
         repeated, lost or changed; copy the file again, or aggregate its samples again"
    )]
    Count {
        /// How many states were written.
        written: u64,
        /// How many states are there.
        found: u64,
        /// How many lines are not states.
        bad: u64,
    },
    /// The lines are not those that were written.
    #[error(
        "the last line states {written} partial states with the checksum {expected}, the lines before it are {found} \
         with the checksum {crc}: a line was repeated, lost or changed; copy the file again, or aggregate its samples \
         again"
    )]
    Differs {
        /// How many states were written.
        written: u64,
        /// The checksum of what was written.
        expected: String,
        /// How many states are there.
        found: u64,
        /// Their checksum.
        crc: String,
    },
    /// The last line cannot be read.
    #[error("the last line is not as `aggregate --partial` writes it ({message}); aggregate the samples again")]
    Malformed {
        /// The message of the parser.
        message: String,
    },
    /// It has another version.
    #[error("the field `partial_end` is {found}, this build reads version {VERSION}; run the newer program here, too")]
    Version {
        /// The version.
        found: u16,
    },
}

#[derive(Deserialize, Serialize)]
struct Line {
    partial_end: u16,
    states: u64,
    crc: String,
}

impl PartialSeal {
    /// Whether a line is the last one of a file, and not a partial state: a JSON object with the field `partial_end`,
    /// also as JSON tools write it.
    pub fn is_seal(line: &[u8]) -> bool {
        if is_partial(line) {
            return false;
        }
        line.starts_with(br#"{"partial_end":"#)
            || serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(line)
                .is_ok_and(|fields| fields.contains_key("partial_end"))
    }

    /// Checks the form and the version of a last line, without the lines before it.
    ///
    /// # Errors
    ///
    /// [`PartialSealError`] if this build does not read it.
    pub fn check_form(line: &[u8]) -> Result<(), PartialSealError> {
        Line::read(line).map(drop)
    }

    /// Adds the line of a partial state as [`PartialState::encode`](super::PartialState::encode) writes it.
    pub fn add(&mut self, line: &[u8]) {
        self.states += 1;
        self.hasher.update(line);
        self.hasher.update(b"\n");
    }

    /// The last line of a file with the lines so far, without a line feed.
    ///
    /// ```
    /// use proxy_uve::wire::PartialSeal;
    ///
    /// let mut seal = PartialSeal::default();
    /// seal.add(br#"{"partial":1,"key":"VM:a"}"#);
    /// let last = seal.line();
    /// assert!(PartialSeal::is_seal(last.as_bytes()) && seal.check(last.as_bytes()).is_ok());
    /// seal.add(br#"{"partial":1,"key":"VM:a"}"#);
    /// assert!(seal.check(last.as_bytes()).is_err(), "a line is there twice");
    /// ```
    pub fn line(&self) -> String {
        let line = Line { partial_end: VERSION, states: self.states, crc: self.crc() };
        // The serialisation of numbers and strings cannot fail.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Checks the last line against the lines so far.
    ///
    /// # Errors
    ///
    /// [`PartialSealError`] if it is not their last line.
    pub fn check(&self, line: &[u8]) -> Result<(), PartialSealError> {
        let Line { states, crc, .. } = Line::read(line)?;
        if (states, &crc) == (self.states, &self.crc()) {
            return Ok(());
        }
        let expected = crc.chars().take(16).collect();
        Err(PartialSealError::Differs { written: states, expected, found: self.states, crc: self.crc() })
    }

    /// Checks the number of states in the last line, if there are `bad_lines` that cannot be read. The checksum is that
    /// of all lines.
    ///
    /// # Errors
    ///
    /// [`PartialSealError`] if other lines are missing, too, or are there twice.
    pub fn check_count(&self, line: &[u8], bad_lines: u64) -> Result<(), PartialSealError> {
        let written = Line::read(line)?.states;
        if written.checked_sub(self.states) == Some(bad_lines) {
            return Ok(());
        }
        Err(PartialSealError::Count { written, found: self.states, bad: bad_lines })
    }

    fn crc(&self) -> String {
        format!("{:08x}", self.hasher.clone().finalize())
    }
}

impl Line {
    fn read(line: &[u8]) -> Result<Self, PartialSealError> {
        let malformed = |error: serde_json::Error| PartialSealError::Malformed { message: error.to_string() };
        let read: Self = serde_json::from_slice(line).map_err(malformed)?;
        match read.partial_end {
            VERSION => Ok(read),
            found => Err(PartialSealError::Version { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(lines: &[&str]) -> PartialSeal {
        let mut seal = PartialSeal::default();
        lines.iter().for_each(|line| seal.add(line.as_bytes()));
        seal
    }

    #[test]
    fn a_line_that_is_repeated_lost_changed_or_moved_is_found() {
        let last = seal(&["a", "b", "c"]).line();
        assert_eq!(last, r#"{"partial_end":1,"states":3,"crc":"0a670ed9"}"#);
        assert_eq!(seal(&["a", "b", "c"]).check(last.as_bytes()), Ok(()));
        for lines in [&["a", "b"][..], &["a", "b", "b", "c"], &["a", "b", "d"], &["b", "a", "c"], &["ab", "", "c"]] {
            let error = seal(lines).check(last.as_bytes()).expect_err("other lines");
            assert!(matches!(error, PartialSealError::Differs { written: 3, .. }), "{lines:?}: {error}");
        }
    }

    #[test]
    fn a_last_line_of_another_form_or_version_is_an_error() {
        let check = |line: &str| seal(&[]).check(line.as_bytes()).expect_err(line).to_string();
        assert!(check(r#"{"partial_end":1,"states":0}"#).contains("missing field `crc`"));
        assert!(check(r#"{"partial_end":2,"states":0,"crc":"00000000"}"#).contains("`partial_end` is 2"));
        assert_eq!(seal(&[]).check(br#"{"partial_end":1,"states":0,"crc":"00000000"}"#), Ok(()));
    }
    #[test]
    fn a_last_line_is_recognised_in_the_form_of_other_tools() {
        let other = r#"{ "crc" : "0a670ed9", "states": 3, "partial_end": 1 }"#;
        assert!(PartialSeal::is_seal(other.as_bytes()));
        assert_eq!(seal(&["a", "b", "c"]).check(other.as_bytes()), Ok(()));
        let cut = r#"{"partial_end":1,"states""#;
        assert!(PartialSeal::is_seal(cut.as_bytes()) && PartialSeal::check_form(cut.as_bytes()).is_err());
        for line in [r#"{"partial":1,"partial_end":1}"#, r#"{"key":"partial_end"}"#, "[1]", "x"] {
            assert!(!PartialSeal::is_seal(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn bad_lines_count_as_written_and_no_others() {
        let last = seal(&["a", "b", "c"]).line();
        assert_eq!(seal(&["a", "b"]).check_count(last.as_bytes(), 1), Ok(()));
        for (lines, bad) in [(&["a"][..], 1), (&["a", "b", "b"], 1), (&["a", "b", "b", "b"], 0), (&["a", "b"], 2)] {
            let error = seal(lines).check_count(last.as_bytes(), bad).expect_err("other lines");
            assert!(matches!(error, PartialSealError::Count { written: 3, .. }), "{lines:?}: {error}");
        }
    }
}
