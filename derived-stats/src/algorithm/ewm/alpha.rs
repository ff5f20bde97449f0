//! Alpha, the weight of the newest sample: its range, its text and its argument.

use crate::entry::{Argument, ArgumentError, ArgumentKind, Given};
use crate::math;
use crate::text::is_decimal;

/// The weight of the newest sample, as an argument.
pub(crate) const ALPHA: Argument = Argument::required(
    "alpha",
    ArgumentKind::Decimal { above: WARM_UP_FITS, most: 1.0 },
    "alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`",
    "0.1",
);

/// 2^-64, the lower bound of alpha: above it, a warm-up of 1/alpha samples fits 64 bits. The cast of a longer warm-up
/// is undefined in the original.
const WARM_UP_FITS: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// Reads the argument [`ALPHA`].
pub(crate) fn alpha(given: &Given<'_>) -> Result<Alpha, ArgumentError> {
    let alpha = given.decimal(0).and_then(|alpha| Alpha::new(alpha).ok());
    alpha.ok_or_else(|| ArgumentError::Bad { index: 0, expected: ALPHA.expected().into() })
}

/// The weight of the newest sample: more than 0, at most 1, and not so small that 1/alpha leaves 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alpha(f64);

/// The reason why a text is not a weight.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlphaError {
    /// Not a plain decimal number.
    #[error("alpha is a decimal number such as 0.1, without sign, blank or other text")]
    NotDecimal,
    /// Not above 2^-64, or above 1.
    #[error("alpha is more than 2^-64 (5.4e-20) and at most 1")]
    OutOfRange,
}

impl Alpha {
    /// Reads a [plain decimal](is_decimal). The `strtod` of the original also accepts blanks, signs, hexadecimal and
    /// any trailing text. They are errors here, because a typing mistake would change every later result.
    ///
    /// # Errors
    ///
    /// [`AlphaError`] for another form, or a value that is not above 2^-64 or is above 1.
    pub fn parse(text: &str) -> Result<Self, AlphaError> {
        if !is_decimal(text) {
            return Err(AlphaError::NotDecimal);
        }
        text.parse().map_err(|_| AlphaError::NotDecimal).and_then(Self::new)
    }

    /// Makes a weight of a number.
    ///
    /// # Errors
    ///
    /// [`AlphaError::OutOfRange`] above 1, or at 2^-64 and below.
    pub fn new(alpha: f64) -> Result<Self, AlphaError> {
        if alpha > WARM_UP_FITS && alpha <= 1.0 { Ok(Self(alpha)) } else { Err(AlphaError::OutOfRange) }
    }

    /// The weight.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The bound of the distance of a value from the mean that includes it, in deviations: sqrt((1-alpha)/alpha). With
    /// d the distance from the mean before, the mean moves by alpha d, so the distance is (1-alpha) d; the variance is
    /// (1-alpha) (v + alpha d^2), and the quotient is largest for v = 0.
    pub(crate) fn largest_sigma(self) -> f64 {
        math::sqrt((1.0 - self.0) / self.0)
    }

    /// The number of samples before a detector is ready: 1/alpha, truncated.
    pub fn warm_up(self) -> u64 {
        (1.0 / self.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_strict_decimal_text() {
        for text in ["0.1", "1", "1.0", "1e-5", "0.999999", "1E-2"] {
            assert!(Alpha::parse(text).is_ok(), "{text} was refused");
        }
        for text in ["", " 0.1", "0.1x", "+0.5", "-0.1", ".1", "1.", "0x1p-1", "nan", "inf", "0,5", "1e", "1e-"] {
            assert_eq!(Alpha::parse(text), Err(AlphaError::NotDecimal), "of {text:?}");
        }
        for text in ["0", "0.0", "1.1", "2", "4.9e-324", "1e-400"] {
            assert_eq!(Alpha::parse(text), Err(AlphaError::OutOfRange), "of {text:?}");
        }
    }

    #[test]
    fn an_error_names_the_bounds_of_alpha() {
        for (alpha, is_taken) in [("5.4e-20", false), ("5.5e-20", true), ("1", true)] {
            assert_eq!(Alpha::parse(alpha).is_ok(), is_taken, "{alpha}");
        }
        assert_eq!(AlphaError::OutOfRange.to_string(), "alpha is more than 2^-64 (5.4e-20) and at most 1");
        assert!(ALPHA.expected().contains("above 2^-64 (5.4e-20) and at most 1"), "{}", ALPHA.expected());
    }

    #[test]
    fn the_warm_up_is_the_truncated_inverse() {
        for (alpha, samples) in [(0.1, 10), (0.3, 3), (1.0, 1), (0.999999, 1), (1e-5, 99_999)] {
            assert_eq!(Alpha::new(alpha).expect("in range").warm_up(), samples, "of {alpha}");
        }
    }

    #[test]
    fn a_weight_may_be_so_small_that_the_warm_up_just_fits_64_bits() {
        let smallest = 1.0 / 18_446_744_073_709_551_616.0;
        assert_eq!(Alpha::new(smallest), Err(AlphaError::OutOfRange));
        assert_eq!(Alpha::new(smallest * 2.0).map(Alpha::warm_up), Ok(1 << 63));
        assert_eq!([1.0, 0.25].map(|alpha| Alpha::new(alpha).map(Alpha::get)), [Ok(1.0), Ok(0.25)]);
        for alpha in [0.0, -0.5, 1.0f64.next_up(), f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Alpha::new(alpha), Err(AlphaError::OutOfRange), "{alpha}");
        }
    }
}
