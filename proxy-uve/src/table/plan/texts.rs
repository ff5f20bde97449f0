//! The values of samples in a stream of texts.

use derived_stats::Number;

use crate::table::plan::Plan;
use crate::wire::{WireError, WireSample, hash};

impl Plan {
    /// The value of a decoded sample. In a stream of texts, a number is the text of its decimal digits: 404 is `404`.
    ///
    /// # Errors
    ///
    /// [`WireError::NotANumber`] for a text in a stream of numbers.
    #[inline]
    pub fn value_of(&self, sample: &WireSample<'_>) -> Result<Number, WireError> {
        match (&sample.text, self.takes_texts) {
            (None, false) | (Some(_), true) => Ok(sample.value),
            (None, true) => Self::number_as_text(sample.value),
            (Some(_), false) => Err(sample.not_a_number()),
        }
    }

    /// The sample of a number in a stream of texts: the text of its decimal digits.
    ///
    /// # Errors
    ///
    /// None for a number; the texts of all of them are short.
    #[cold]
    pub fn number_as_text(value: Number) -> Result<Number, WireError> {
        hash(&value.to_string())
    }
}
