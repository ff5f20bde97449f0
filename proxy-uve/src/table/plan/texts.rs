//! The values of samples in a stream of texts.

use derived_stats::{Number, ValueType};

use crate::table::plan::{Plan, integer};
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
        hash(&Self::text_of(value))
    }

    /// The text of a number. A double that is an integer is that integer, as in a stream of numbers: 404.0 is `404`.
    pub fn text_of(value: Number) -> String {
        let whole = if value.value_type() == ValueType::F64 { integer(value.as_f64()) } else { None };
        whole.unwrap_or(value).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_that_is_an_integer_is_the_text_of_that_integer() {
        let cases = [(404.0, "404"), (-0.0, "0"), (-2.0, "-2"), (4e2, "400"), (404.5, "404.5")];
        for (value, expected) in cases {
            assert_eq!(Plan::text_of(Number::F64(value)), expected);
            assert_eq!(Plan::number_as_text(Number::F64(value)), hash(expected));
        }
        assert_eq!(Plan::text_of(Number::U64(u64::MAX)), u64::MAX.to_string());
    }
}
