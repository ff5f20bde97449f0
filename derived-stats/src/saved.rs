//! Saved states: the persistent form of states.
//!
//! A state is saved as a list of 64-bit words: integers unchanged, doubles as their bits. A restored state therefore
//! continues bit for bit with any serde format, even one that rounds decimal texts. A saved state holds the text of its
//! pipeline, the version of the layout, and the version of each algorithm's words, and restoring checks all three. A
//! newer program reads every older version; an older program refuses a newer one.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::number::Numeric;

/// The version of the layout around the algorithms' words. It increases when the layout changes; every version from 2
/// on stays readable (version 1 was never released).
pub const STATE_VERSION: u16 = 2;

/// The saved state of one pipeline, for any serde format.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct SavedState {
    /// The version of the layout of `words`.
    pub version: u16,
    /// The [identity](crate::Spec::identity) of the pipeline that wrote it.
    pub pipeline: String,
    /// The version of each algorithm's words, in the order of the pipeline.
    pub algorithms: Vec<u16>,
    /// The words of the state.
    pub words: Vec<u64>,
}

/// The reason why a saved state cannot be restored. No part of it is restored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A newer version of an algorithm wrote the state.
    #[error(
        "the saved state of `{algorithm}` has version {found}, this build reads up to {known}; run the newer program, or \
         delete the state to start anew"
    )]
    AlgorithmVersion {
        /// The algorithm.
        algorithm: String,
        /// The version found.
        found: u16,
        /// The newest version that this build reads.
        known: u16,
    },
    /// An error in the words of a key of a map.
    #[error("key `{key}`: {error}")]
    InKey {
        /// The key.
        key: String,
        /// The error in the words of this key.
        #[source]
        error: Box<Self>,
    },
    /// A value that no sequence of samples produces.
    #[error("the saved field `{field}` holds the impossible value {word:#x}")]
    Invalid {
        /// The field of the state.
        field: &'static str,
        /// The bits found.
        word: u64,
    },
    /// More words than the pipeline has.
    #[error("the saved state has {extra} words too many")]
    TooLong {
        /// The number of surplus words.
        extra: usize,
    },
    /// The words end early.
    #[error("the saved state ends before its field `{field}`")]
    TooShort {
        /// The first field that is missing.
        field: &'static str,
    },
    /// An older version that the algorithm cannot read.
    #[error("the algorithm cannot read version {found} of its saved state; delete the state to start anew")]
    UnknownAlgorithmVersion {
        /// The version found.
        found: u16,
    },
    /// A version of the layout that this build cannot read.
    #[error(
        "the saved state has version {found}, this build reads version {}; run the program that wrote it, or delete the \
         state to start anew",
        STATE_VERSION
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// The state of another pipeline.
    #[error("the saved state belongs to the pipeline `{found}`, not to `{expected}`")]
    WrongPipeline {
        /// The pipeline that is to be restored.
        expected: String,
        /// The pipeline that wrote the state.
        found: String,
    },
}

impl RestoreError {
    /// The error for an impossible word.
    pub fn invalid(field: &'static str, word: u64) -> Self {
        Self::Invalid { field, word }
    }
}

/// A writer of the words of a state.
#[derive(Debug)]
pub struct WordWriter<'w> {
    out: Out<'w>,
}

/// The destination of the words.
#[derive(Debug)]
enum Out<'w> {
    /// A list, to which the words are appended.
    List(&'w mut Vec<u64>),
    /// A slice of fixed length, and the number of words that were written.
    Slice(&'w mut [u64], usize),
}

impl<'w> WordWriter<'w> {
    /// A writer that appends to a list.
    pub fn new(words: &'w mut Vec<u64>) -> Self {
        Self { out: Out::List(words) }
    }

    /// A writer that overwrites a slice from its start on, and drops words beyond its end.
    pub(crate) fn at(words: &'w mut [u64]) -> Self {
        Self { out: Out::Slice(words, 0) }
    }

    /// Writes a word.
    #[inline]
    pub fn push(&mut self, word: u64) {
        match &mut self.out {
            Out::List(words) => words.push(word),
            Out::Slice(words, written) => {
                if let Some(target) = words.get_mut(*written) {
                    *target = word;
                }
                *written += 1;
            }
        }
    }

    /// Writes words.
    #[inline]
    pub fn extend(&mut self, words: impl IntoIterator<Item = u64>) {
        words.into_iter().for_each(|word| self.push(word));
    }
}

/// A reader of saved words.
#[derive(Debug)]
pub struct Words<'w> {
    words: &'w [u64],
}

impl<'w> Words<'w> {
    /// A reader at the start of `words`.
    pub fn new(words: &'w [u64]) -> Self {
        Self { words }
    }

    /// The next word; errors contain `field`.
    ///
    /// # Errors
    ///
    /// [`RestoreError::TooShort`] at the end.
    pub fn next(&mut self, field: &'static str) -> Result<u64, RestoreError> {
        let (&word, rest) = self.words.split_first().ok_or(RestoreError::TooShort { field })?;
        self.words = rest;
        Ok(word)
    }

    /// The next word as a flag.
    ///
    /// # Errors
    ///
    /// At the end, or for a word other than 0 and 1.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, RestoreError> {
        match self.next(field)? {
            0 => Ok(false),
            1 => Ok(true),
            word => Err(RestoreError::invalid(field, word)),
        }
    }

    /// The next word as a value of the element type.
    ///
    /// # Errors
    ///
    /// At the end, or for a NaN or an infinity.
    pub fn finite<T: Numeric>(&mut self, field: &'static str) -> Result<T, RestoreError> {
        finite(field, self.next(field)?)
    }

    /// An optional word: a flag and a word, which is 0 if the flag is.
    ///
    /// # Errors
    ///
    /// At the end, for a flag other than 0 and 1, or for a word other than 0 after a flag of 0.
    pub(crate) fn optional(&mut self, field: &'static str) -> Result<Option<u64>, RestoreError> {
        let (is_present, word) = (self.flag(field)?, self.next(field)?);
        if is_present || word == 0 { Ok(is_present.then_some(word)) } else { Err(RestoreError::invalid(field, word)) }
    }

    /// An optional value of the element type.
    ///
    /// # Errors
    ///
    /// As [`optional`](Self::optional), and for a NaN or an infinity.
    pub(crate) fn optional_finite<T: Numeric>(&mut self, field: &'static str) -> Result<Option<T>, RestoreError> {
        self.optional(field)?.map(|word| finite(field, word)).transpose()
    }

    /// The unread words.
    pub fn rest(&self) -> &'w [u64] {
        self.words
    }

    /// Checks that all words were read.
    ///
    /// # Errors
    ///
    /// [`RestoreError::TooLong`] if there are unread words.
    pub fn finish(self) -> Result<(), RestoreError> {
        match self.words.len() {
            0 => Ok(()),
            extra => Err(RestoreError::TooLong { extra }),
        }
    }
}

fn finite<T: Numeric>(field: &'static str, word: u64) -> Result<T, RestoreError> {
    let value = T::from_bits(word);
    if value.to_f64().is_finite() { Ok(value) } else { Err(RestoreError::invalid(field, word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid<V>(field: &'static str, word: u64) -> Result<V, RestoreError> {
        Err(RestoreError::Invalid { field, word })
    }

    #[test]
    fn words_are_read_from_the_first_to_the_last() {
        let mut words = Words::new(&[7, 8, 9]);
        assert_eq!((words.next("a"), words.rest()), (Ok(7), &[8, 9][..]));
        assert_eq!((words.next("b"), words.next("c")), (Ok(8), Ok(9)));
        assert_eq!(words.next("d"), Err(RestoreError::TooShort { field: "d" }));
        assert_eq!(words.finish(), Ok(()));
        assert_eq!(Words::new(&[7, 8]).finish(), Err(RestoreError::TooLong { extra: 2 }));
    }

    #[test]
    fn a_flag_is_0_or_1() {
        assert_eq!(Words::new(&[0]).flag("f"), Ok(false));
        assert_eq!(Words::new(&[1]).flag("f"), Ok(true));
        assert_eq!(Words::new(&[2]).flag("f"), invalid("f", 2));
        assert_eq!(Words::new(&[]).flag("f"), Err(RestoreError::TooShort { field: "f" }));
    }

    #[test]
    fn a_double_is_finite_and_every_integer_is_good() {
        assert_eq!(Words::new(&[2.5f64.to_bits()]).finite("v"), Ok(2.5));
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Words::new(&[double.to_bits()]).finite::<f64>("v"), invalid("v", double.to_bits()));
        }
        assert_eq!(Words::new(&[u64::MAX]).finite("v"), Ok(u64::MAX));
        assert_eq!(Words::new(&[u64::MAX]).finite("v"), Ok(-1i64));
    }

    #[test]
    fn what_is_absent_is_0() {
        assert_eq!(Words::new(&[1, 7]).optional("o"), Ok(Some(7)));
        assert_eq!(Words::new(&[1, 0]).optional("o"), Ok(Some(0)));
        assert_eq!(Words::new(&[0, 0]).optional("o"), Ok(None));
        assert_eq!(Words::new(&[0, 7]).optional("o"), invalid("o", 7));
        assert_eq!(Words::new(&[2, 7]).optional("o"), invalid("o", 2));
        assert_eq!(Words::new(&[1, 2.5f64.to_bits()]).optional_finite("o"), Ok(Some(2.5)));
        assert_eq!(Words::new(&[0, 0]).optional_finite::<f64>("o"), Ok(None));
        let nan = f64::NAN.to_bits();
        assert_eq!(Words::new(&[1, nan]).optional_finite::<f64>("o"), invalid("o", nan));
    }
}
