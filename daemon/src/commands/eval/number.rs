//! The exact conversion of JSON numbers to samples.
//!
//! An integer pipeline accepts integer literals only: `5.0` and `1e3` come from producers that use doubles, which have
//! already rounded integers above 2^53.

use derived_stats::{Number, ValueType};
use proxy_uve::wire::parse_value;

/// Parses the literal of a value as a sample of type `expected`. The text is the same number as in a payload
/// ([`parse_value`]).
///
/// The error continues a sentence that begins with the name of the field: "is a string; …".
pub(super) fn sample(literal: &str, expected: ValueType) -> Result<Number, String> {
    check_is_number(literal, &format!("a number of type {expected}"))?;
    let value = parse_value(literal).ok();
    let sample = match expected {
        ValueType::F64 => value.map(|value| Number::F64(value.as_f64())),
        ValueType::I64 => value.and_then(signed).map(Number::I64),
        ValueType::U64 => value.filter(|value| value.value_type() == ValueType::U64),
    };
    sample.ok_or_else(|| match expected {
        ValueType::F64 => too_large(literal),
        ValueType::I64 => not_an_integer(literal, expected, i64::MIN.into(), i64::MAX.into()),
        ValueType::U64 => not_an_integer(literal, expected, 0, u64::MAX.into()),
    })
}

fn signed(value: Number) -> Option<i64> {
    match value {
        Number::I64(value) => Some(value),
        Number::U64(value) => i64::try_from(value).ok(),
        _ => None,
    }
}

/// Parses the literal of `at`.
pub(super) fn time(literal: &str) -> Result<u64, String> {
    let wanted = "whole microseconds from 0 to 18446744073709551615";
    check_is_number(literal, wanted).map_err(|error| format!("`at` {error}"))?;
    literal.parse().map_err(|_| format!("`at` is {literal}; expected {wanted}"))
}

fn too_large(literal: &str) -> String {
    if literal.contains(['.', 'e', 'E']) {
        format!("is {literal}, too large for an f64; expected a finite number")
    } else {
        format!("is {literal}, an integer beyond 64 bits; write it as a double, {literal}.0")
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
    fn a_double_accepts_every_finite_literal_but_long_integers() {
        let cases = [
            ("5", Some(5.0)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("18446744073709551616.0", Some(18_446_744_073_709_551_616.0)),
            ("18446744073709551616", None),
            ("3.6000000000000001", Some(3.6)),
            ("1e-400", Some(0.0)),
            ("1e400", None),
            ("-1e400", None),
        ];
        for (literal, value) in cases {
            assert_eq!(sample(literal, ValueType::F64).ok(), value.map(Number::F64), "{literal}");
        }
        assert!(matches!(sample("-0.0", ValueType::F64), Ok(Number::F64(zero)) if zero.is_sign_negative()));
        let error = sample("18446744073709551616", ValueType::F64).unwrap_err();
        assert!(error.ends_with("write it as a double, 18446744073709551616.0"), "{error}");
    }

    /// The texts that a line or a poll refuses are refused here too; `1e3` is a double everywhere.
    #[test]
    fn texts_are_samples_only_if_a_payload_may_have_them() {
        for text in ["+1", "1_000", " 7", "NaN", "inf", "0x10", "18446744073709551616"] {
            for expected in [ValueType::F64, ValueType::I64, ValueType::U64] {
                assert!(sample(text, expected).is_err(), "{text:?} as {expected}");
            }
        }
        assert_eq!(sample("1e3", ValueType::F64), Ok(Number::F64(1000.0)));
        assert_eq!(sample("007", ValueType::U64), Ok(Number::U64(7)));
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
