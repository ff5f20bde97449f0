//! Decimal text to numbers, without loss.
//!
//! A [plain decimal](is_decimal) with or without `-` before it: the reason why no other form is accepted is documented
//! there.

use std::num::ParseIntError;

use derived_stats::{Number, is_decimal};

use super::error::{Format, WireError};

/// A value. Leading zeros are digits; `-0` is the integer 0, unsigned like every integer that is not negative.
pub(super) fn value(text: &str) -> Result<Number, WireError> {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    if is_digits(magnitude) {
        // The only error left is too many digits.
        return integer(text).map_err(|_| WireError::TooLarge { text: text.to_owned() });
    }
    if !is_decimal(magnitude) {
        return Err(WireError::NotANumber { text: text.to_owned() });
    }
    match text.parse::<f64>() {
        Ok(double) if double.is_finite() => Ok(Number::F64(double)),
        Ok(_) => Err(WireError::TooLarge { text: text.to_owned() }),
        Err(_) => Err(WireError::NotANumber { text: text.to_owned() }),
    }
}

fn integer(text: &str) -> Result<Number, ParseIntError> {
    if !text.starts_with('-') {
        return text.parse().map(Number::U64);
    }
    text.parse().map(|value| if value == 0 { Number::U64(0) } else { Number::I64(value) })
}

/// A time in microseconds.
pub(super) fn timestamp(text: &str, format: Format) -> Result<u64, WireError> {
    let micros = if is_digits(text) { text.parse().ok() } else { None };
    micros.ok_or_else(|| WireError::BadTimestamp { format, text: text.to_owned() })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_to_the_last_of_their_bits() {
        let cases = [
            ("0", Number::U64(0)),
            ("007", Number::U64(7)),
            ("18446744073709551615", Number::U64(u64::MAX)),
            // It used to be signed: encoding it and decoding that gave another sample.
            ("-0", Number::U64(0)),
            ("-00", Number::U64(0)),
            ("-9", Number::I64(-9)),
            ("-9223372036854775808", Number::I64(i64::MIN)),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_fraction_or_an_exponent_makes_a_double() {
        let cases =
            [("36.9", 36.9), ("-0.0", -0.0), ("1e3", 1000.0), ("1E-2", 0.01), ("2.5e+1", 25.0), ("1e-999", 0.0)];
        for (text, expected) in cases {
            let Ok(Number::F64(double)) = value(text) else { panic!("{text}") };
            assert_eq!(double.to_bits(), f64::to_bits(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_too_large() {
        for text in ["18446744073709551616", "-9223372036854775809", "1e309", "-1e309", &"9".repeat(1000)] {
            assert_eq!(value(text), Err(WireError::TooLarge { text: text.to_owned() }));
        }
    }

    #[test]
    fn nothing_else_is_a_number() {
        let cases = [
            "", "-", "+5", "--5", ".5", "5.", "-.5", "1e", "1e+", "e5", "0x10", "1_000", "1,5", "1.2.3", "1e2e3",
            "inf", "-inf", "NaN", "nan", " 5", "5 ", "٣", "5a", "abc",
        ];
        for text in cases {
            assert_eq!(value(text), Err(WireError::NotANumber { text: text.to_owned() }));
        }
    }

    #[test]
    fn a_time_is_digits_within_64_bits() {
        assert_eq!(timestamp("0", Format::Xml), Ok(0));
        assert_eq!(timestamp("18446744073709551615", Format::Json), Ok(u64::MAX));
        for text in ["", "-1", "+1", "1.0", "1e3", " 1", "18446744073709551616"] {
            let expected = WireError::BadTimestamp { format: Format::Json, text: text.to_owned() };
            assert_eq!(timestamp(text, Format::Json), Err(expected));
        }
    }
}
