//! Functions of doubles that are equal on all platforms, with and without the standard library.
//!
//! The square root is rounded correctly everywhere. The other functions are those of `libm` always, because the standard
//! library takes them from the platform, whose last digits differ.

pub(crate) use libm::{cbrt, floor, log as ln, log10};

#[cfg(feature = "std")]
#[inline]
pub(crate) fn sqrt(value: f64) -> f64 {
    value.sqrt()
}

#[cfg(not(feature = "std"))]
#[inline]
pub(crate) fn sqrt(value: f64) -> f64 {
    libm::sqrt(value)
}

/// The larger of two numbers. `f64::max` also decides what a NaN is worth, in eight instructions instead of one.
#[inline]
pub(crate) fn larger(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// The smaller of two numbers.
#[inline]
pub(crate) fn smaller(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// A number, limited to a size.
#[inline]
pub(crate) fn limited(value: f64, size: f64) -> f64 {
    larger(smaller(value, size), -size)
}

/// `value * 2^power`, rounded once.
pub(crate) fn scale(value: f64, power: i32) -> f64 {
    libm::scalbn(value, power)
}

/// Splits a positive double into `m` and `e` with `value = m * 2^e` and `m` from 0.5 to below 1.
#[inline]
pub(crate) fn split(value: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7ff << 52;
    let bits = value.to_bits();
    match bits & EXPONENT {
        // Zero and subnormal numbers.
        0 => libm::frexp(value),
        exponent => (f64::from_bits(bits & !EXPONENT | 1022 << 52), (exponent >> 52) as i32 - 1022),
    }
}

/// `m * 2^e`, for `m` from 0.5 to 1.
#[inline]
pub(crate) fn scaled(m: f64, e: i32) -> f64 {
    // Without rounding, as the result is not subnormal.
    if e.abs() < 1000 { m * f64::from_bits(((1023 + e) as u64) << 52) } else { libm::ldexp(m, e) }
}

/// The inverse hyperbolic sine. From 2 to 2^26 by size it is computed here, with the square root of the hardware.
#[inline]
pub(crate) fn asinh(value: f64) -> f64 {
    let size = value.abs();
    if (2.0..67_108_864.0).contains(&size) {
        let reciprocal = 1.0 / (size + sqrt(size * size + 1.0));
        return ln(2.0 * size + reciprocal).copysign(value);
    }
    libm::asinh(value)
}

/// The binary logarithm of a positive double with an error of 3e-7, in a quarter of the time of [`ln`]: the first terms of
/// the series of the inverse hyperbolic tangent, for a mantissa between the roots of 1/2 and 2.
#[inline]
pub(crate) fn log2(value: f64) -> f64 {
    use core::f64::consts::{FRAC_1_SQRT_2, LOG2_E};
    let (m, e) = split(value);
    let (m, e) = if m < FRAC_1_SQRT_2 { (2.0 * m, e - 1) } else { (m, e) };
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let series = t * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0))));
    f64::from(e) + 2.0 * LOG2_E * series
}

/// The inverse hyperbolic sine with the error of [`log2`].
#[inline]
pub(crate) fn quick_asinh(value: f64) -> f64 {
    let size = value.abs();
    (core::f64::consts::LN_2 * log2(size + sqrt(size * size + 1.0))).copysign(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_logarithm_is_near_the_exact_one() {
        for n in 1..10_000 {
            for value in [f64::from(n) * 1e-3, f64::from(n) * 1e57, 1e-60 / f64::from(n)] {
                assert!((log2(value) - value.log2()).abs() < 3e-7, "of {value}");
            }
        }
        assert_eq!([0.5, 1.0, 8.0].map(log2), [-1.0, 0.0, 3.0]);
        for value in [0.0, 1e-9, 0.5, 3.0, -3.0, 1e40] {
            assert!((quick_asinh(value) - asinh(value)).abs() < 3e-7, "of {value}");
        }
    }

    #[test]
    fn the_hyperbolic_sine_is_that_of_libm() {
        for n in 1..20_000 {
            for value in [f64::from(n) * 1e-3, f64::from(n) * 1e4, f64::from(n) * 1e57, 1e-160 / f64::from(n)] {
                assert_eq!([asinh(value), asinh(-value)], [value, -value].map(libm::asinh), "of {value:e}");
            }
        }
    }

    #[test]
    fn a_double_is_split_into_mantissa_and_exponent() {
        for value in [1.0, 0.75, 3e150, 1e-150, f64::MIN_POSITIVE, f64::from_bits(1), f64::from_bits(12345), f64::MAX] {
            let (m, e) = split(value);
            assert!((0.5..1.0).contains(&m), "{value:e}: {m}");
            assert_eq!((scaled(m, e), (m, e)), (value, libm::frexp(value)), "{value:e}");
        }
    }
}
