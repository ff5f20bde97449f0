//! The exact conversion of JSON numbers to samples.
//!
//! An integer pipeline accepts integer literals only: `5.0` and `1e3` come from producers that use doubles, which have
//! already rounded integers above 2^53.

use derived_stats::{Number, ValueType};

/// Parses the literal of a value as a sample of type `expected`.
///
/// The error continues a sentence that begins with the name of the field: "is a string; …".
pub(super) fn sample(literal: &str, expected: ValueType) -> Result<Number, String> {
    check_is_number(literal, &format!("a number of type {expected}"))?;
    match expected {
        ValueType::F64 => float(literal),
        ValueType::I64 => match literal.parse() {
            Ok(value) => Ok(Number::I64(value)),
            Err(_) => Err(not_an_integer(literal, expected, i64::MIN.into(), i64::MAX.into())),
        },
        ValueType::U64 => match literal.parse() {
            Ok(value) => Ok(Number::U64(value)),
            Err(_) => Err(not_an_integer(literal, expected, 0, u64::MAX.into())),
        },
    }
}

/// Parses the literal of `at`.
pub(super) fn time(literal: &str) -> Result<u64, String> {
    let wanted = "whole microseconds from 0 to 18446744073709551615";
    check_is_number(literal, wanted).map_err(|error| format!("`at` {error}"))?;
    literal.parse().map_err(|_| format!("`at` is {literal}; expected {wanted}"))
}

fn float(literal: &str) -> Result<Number, String> {
    match literal.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Number::F64(value)),
        _ => Err(format!("is {literal}, too large for an f64; expected a finite number")),
    }
}

fn not_an_integer(literal: &str, expected: ValueType, least: i128, most: i128) -> String {
    if literal.contains(['.', 'e', 'E']) {
        format!(
            "is {literal}, which is not written as an integer, and the type is {expected}; \
             write digits only, or choose --type f64"
        )
    } else {
        let hint = if least == 0 && literal.starts_with('-') { ", or choose --type i64" } else { "" };
        format!("is {literal}, which does not fit the type {expected}; send {least} to {most}{hint}")
    }
}

fn check_is_number(literal: &str, expected: &str) -> Result<(), String> {
    let found = match literal.bytes().next() {
        Some(b'-' | b'0'..=b'9') => return Ok(()),
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b'n') => "null",
        _ => "a boolean",
    };
    Err(format!("is {found}; expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_over_the_whole_range_of_their_type() {
        let cases = [
            ("18446744073709551615", ValueType::U64, Some(Number::U64(u64::MAX))),
            ("18446744073709551616", ValueType::U64, None),
            ("-1", ValueType::U64, None),
            ("-9223372036854775808", ValueType::I64, Some(Number::I64(i64::MIN))),
            ("9223372036854775807", ValueType::I64, Some(Number::I64(i64::MAX))),
            ("9223372036854775808", ValueType::I64, None),
            ("-0", ValueType::I64, Some(Number::I64(0))),
            ("5.0", ValueType::I64, None),
            ("1e3", ValueType::U64, None),
        ];
        for (literal, expected, value) in cases {
            assert_eq!(sample(literal, expected).ok(), value, "{literal} as {expected}");
        }
    }

    #[test]
    fn a_double_accepts_every_finite_literal() {
        let cases = [
            ("5", Some(5.0)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("3.6000000000000001", Some(3.6)),
            ("1e-400", Some(0.0)),
            ("1e400", None),
            ("-1e400", None),
        ];
        for (literal, value) in cases {
            assert_eq!(sample(literal, ValueType::F64).ok(), value.map(Number::F64), "{literal}");
        }
        assert!(matches!(sample("-0", ValueType::F64), Ok(Number::F64(zero)) if zero.is_sign_negative()));
    }

    #[test]
    fn the_error_names_the_json_type_of_other_values() {
        for (literal, found) in
            [("\"5\"", "a string"), ("[5]", "an array"), ("{}", "an object"), ("null", "null"), ("true", "a boolean")]
        {
            let error = sample(literal, ValueType::U64).expect_err(literal);
            assert_eq!(error, format!("is {found}; expected a number of type u64"));
        }
    }
}
