//! Numbers as text: the accepted form, and the form that the original prints.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Whether a text is a plain decimal number: `digits[.digits][e[+-]digits]`, in ASCII, without a sign before it.
///
/// `strtod`, which the original uses, and `str::parse` are less strict: the former accepts blanks, signs, hexadecimal
/// and any trailing text, the latter accepts `+5`, `.5`, `inf` and `NaN`. `str::parse::<f64>` accepts every plain
/// decimal, but its result can be infinite.
///
/// ```
/// use derived_stats::is_decimal;
///
/// assert!(["0", "36.9", "1e-3", "2.5E+1"].into_iter().all(is_decimal));
/// assert!(!["", "-1", "+5", ".5", "5.", "1e", "0x10", "inf", " 5"].into_iter().any(is_decimal));
/// ```
pub fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// Formats a number with six significant digits, as C's `printf("%g")`: the text of `state` in an anomaly result.
///
/// The text is not precise enough to restore a detector; saved states hold the exact bits.
///
/// ```
/// use derived_stats::six_digits;
///
/// assert_eq!(six_digits(36.0), "36");
/// assert_eq!(six_digits(0.000172333456), "0.000172333");
/// assert_eq!(six_digits(1.5e16), "1.5e+16");
/// ```
pub fn six_digits(value: f64) -> String {
    let mut text = Vec::new();
    write_six_digits(value, &mut text);
    // ASCII digits are UTF-8.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends the text of [`six_digits`]. It allocates only if the scaled number is close to the middle between two
/// integers.
pub fn write_six_digits(value: f64, out: &mut Vec<u8>) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let size = value.abs();
    if size.is_nan() {
        out.extend_from_slice(b"nan");
    } else if size.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if size == 0.0 {
        out.push(b'0');
    } else {
        let (digits, exponent) = quick_digits(size).or_else(|| exact_digits(size)).unwrap_or_default();
        write_general(digits, exponent, out);
    }
}

/// The six digits of a positive number as an integer, and the exponent of the first digit; `None` if arithmetic in
/// doubles could be wrong. One rounding changes the scaled number by less than 1e-9, so the nearest integer is correct
/// unless the number is that close to the middle between two integers.
fn quick_digits(size: f64) -> Option<(u32, i32)> {
    if !(POWERS[0]..1e15).contains(&size) {
        return None;
    }
    let exponent = POWERS.partition_point(|&power| power <= size) as i32 + LOWEST_POWER - 1;
    let scaled = match 5 - exponent {
        down @ ..0 => size / POWERS[(-down - LOWEST_POWER) as usize],
        up => size * SCALES[up as usize],
    };
    // Below 2^53, so the integer part is exact.
    let whole = scaled as u32;
    let digits = match scaled - f64::from(whole) {
        ..0.499_999 => whole,
        0.500_001.. => whole + 1,
        _ => return None,
    };
    match digits {
        1_000_000 => Some((100_000, exponent + 1)),
        _ => Some((digits, exponent)),
    }
}

/// The exponent of the first of [`POWERS`].
const LOWEST_POWER: i32 = -5;

const POWERS: [f64; 21] = [
    1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The powers of ten for scaling, which are exact doubles, as all up to 10^22.
const SCALES: [f64; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// The same result from a text: Rust's `{:.5e}` rounds to six significant digits exactly as printf does, and prints the
/// exponent after rounding.
fn exact_digits(size: f64) -> Option<(u32, i32)> {
    let scientific = format!("{size:.5e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    Some((mantissa.replace('.', "").parse().ok()?, exponent.parse().ok()?))
}

/// Writes a number in printf's general form: fixed for exponents of -4 to 5, else scientific, without trailing zeros.
fn write_general(digits: u32, exponent: i32, out: &mut Vec<u8>) {
    let mut text = [b'0'; 6];
    let mut rest = digits;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let used = text.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    match exponent {
        0..6 => {
            let whole = exponent as usize + 1;
            out.extend_from_slice(&text[..whole]);
            write_fraction(text.get(whole..used).unwrap_or_default(), out);
        }
        -4..0 => {
            out.extend_from_slice(b"0.");
            out.extend(core::iter::repeat_n(b'0', (-exponent - 1) as usize));
            out.extend_from_slice(&text[..used]);
        }
        _ => {
            out.push(text[0]);
            write_fraction(&text[1..used], out);
            // The exponent always has a sign and at least two digits.
            out.extend_from_slice(format!("e{exponent:+03}").as_bytes());
        }
    }
}

fn write_fraction(digits: &[u8], out: &mut Vec<u8>) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_that_of_printf() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (100_000.0, "100000"),
            (999_999.5, "1e+06"),
            (1_000_000.0, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_099_999_95, "0.0001"),
            (1e100, "1e+100"),
            (12.3456789, "12.3457"),
            (-2.5, "-2.5"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            // Ties go to the even digit, as in printf.
            (100_001.5, "100002"),
            (100_002.5, "100002"),
            (1_234_565.0, "1.23456e+06"),
            (1_234_575.0, "1.23458e+06"),
            // Rounding may carry into the next power of ten.
            (99_999.96, "100000"),
            (9.999_996, "10"),
            (123_456.7, "123457"),
            (0.000_123_456_7, "0.000123457"),
            (0.01, "0.01"),
            (0.020_5, "0.0205"),
            (1e15, "1e+15"),
            (1.5e-300, "1.5e-300"),
            (120_000.0, "120000"),
        ];
        for (value, text) in cases {
            assert_eq!(six_digits(value), text, "of {value}");
        }
    }

    #[test]
    fn a_plain_decimal_has_digits_wherever_there_may_be_some() {
        for text in ["0", "36", "36.9", "1e3", "1E+3", "1.5e-3", "007"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in
            ["", "-1", "+1", ".5", "5.", "x.5", "5.x", "x", "1e", "1e+", "1ex", "1.5ex", "xe1", "1e1.5", "1.2.3"]
        {
            assert!(!is_decimal(text), "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_go_the_quick_way_and_ties_do_not() {
        let cases = [
            (36.9, Some((369_000, 1))),
            (1e-5, Some((100_000, -5))),
            (1e14, Some((100_000, 14))),
            (123_456.0, Some((123_456, 5))),
            (1_234_567.0, Some((123_457, 6))),
            (9.999_996, Some((100_000, 1))),
            (100_001.499_998, Some((100_001, 5))),
            (100_001.499_999_5, None),
            (100_001.5, None),
            (100_001.500_000_5, None),
            (100_001.500_002, Some((100_002, 5))),
            (9.9e-6, None),
            (1e15, None),
        ];
        for (size, expected) in cases {
            assert_eq!(quick_digits(size), expected, "{size}");
        }
    }

    proptest! {
        #[test]
        fn property_quick_digits_equal_exact_digits(mantissa in 1.0..10.0, exponent in -6i32..16, cut in 4i32..9) {
            let value: f64 = mantissa * 10f64.powi(exponent);
            // Also numbers with few digits, whose sixth is often followed by a 5 alone.
            let scale = 10f64.powi(cut - exponent);
            for value in [value, (value * scale).round() / scale] {
                let quick = quick_digits(value);
                prop_assert!(quick.is_none() || quick == exact_digits(value), "{value:?}");
            }
        }
    }
}
