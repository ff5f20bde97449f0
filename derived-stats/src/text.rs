//! Numbers as the original prints them.

/// Six significant digits, as C's `printf("%g")`: the text of `state` in an anomaly result.
///
/// Too coarse to restore a detector from; saved state keeps the exact bits.
///
/// ```
/// use derived_stats::six_digits;
///
/// assert_eq!(six_digits(36.0), "36");
/// assert_eq!(six_digits(0.000172333456), "0.000172333");
/// assert_eq!(six_digits(1.5e16), "1.5e+16");
/// ```
pub fn six_digits(value: f64) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    // Rust's `{:.5e}` rounds to six significant digits exactly as printf does, and names the exponent after rounding.
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return scientific;
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        without_trailing_zeros(&format!("{value:.decimals$}")).to_owned()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
    }
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::six_digits;

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
        ];
        for (value, text) in cases {
            assert_eq!(six_digits(value), text, "of {value}");
        }
    }
}
