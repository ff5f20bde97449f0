//! The buckets of a sketch: a partition of the positive doubles into intervals of a bounded relative width.
//!
//! A double is `2^e * (1+s)` with `s` in [0, 1). Its bucket is
//!
//! ```text
//! index = e * m + floor(m * P(s)),   P(s) = 6/35 s^3 - 3/5 s^2 + 10/7 s                       (1)
//! ```
//!
//! P approximates log2(1+s): it increases from P(0) = 0 to P(1) = 1, and (1+s) * P'(s) is at least 10/7. So the
//! logarithms of two values of one bucket differ by at most 7/(10 m), and
//!
//! ```text
//! m >= 7 / (10 ln(gamma)),   gamma = (1+a)/(1-a)                                               (2)
//! ```
//!
//! bounds the ratio of two values of one bucket by gamma. The harmonic mean of the ends of a bucket is then within the
//! relative error `a` of every value of the bucket. The logarithm itself would need 1 % fewer buckets; P needs only
//! multiplications and additions, which have the same result on every platform.
//!
//! `m` is an integer, so each power of two is the lower end of a bucket, and multiplying a value by two moves it by
//! exactly `m` buckets.
//!
//! Source: C. Masson, J. Rim, H. Lee, "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12 (2019), <https://arxiv.org/abs/1908.10693>, section 2; the cubic is that of its authors'
//! `CubicallyInterpolatedMapping`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::math::{ln, scale};

/// The number of powers of two between the largest and the smallest value of one sign that a sketch separates: those of
/// the integers.
const OCTAVES: usize = 64;

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
/// The bits of 1.0: the exponent of the doubles in [1, 2).
const ONE: u64 = 1023 << MANTISSA_BITS;

/// Buckets with a relative error.
#[derive(Debug, PartialEq)]
pub(super) struct Mapping {
    /// The number of buckets for each power of two: `m` of (2).
    per_octave: i32,
    /// `per_octave` as a double.
    factor: f64,
    /// The value that stands for each bucket of [1, 2).
    middles: Box<[f64]>,
}

impl Mapping {
    /// The buckets for a relative error between 0 and 1.
    pub(super) fn new(error: f64) -> Self {
        // One more than the integer part is above the bound of (2), whatever the rounding.
        let per_octave = (0.7 / ln((1.0 + error) / (1.0 - error))) as i32 + 1;
        let factor = f64::from(per_octave);
        let ends: Vec<f64> = (0..=per_octave).map(|part| first_of(factor, per_octave, part)).collect();
        let middle = |ends: &[f64]| match ends {
            &[low, high] => 2.0 * low * high / (low + high),
            _ => 1.0,
        };
        Self { per_octave, factor, middles: ends.windows(2).map(middle).collect() }
    }

    /// The largest number of buckets of one sign.
    pub(super) fn limit(&self) -> usize {
        OCTAVES * self.middles.len() + 1
    }

    /// The bucket of a positive value.
    #[inline]
    pub(super) fn index(&self, value: f64) -> i32 {
        // A subnormal double has no implicit first bit; the product has.
        let (bits, shift) = if value < f64::MIN_POSITIVE {
            ((value * (1u64 << 54) as f64).to_bits(), 54)
        } else {
            (value.to_bits(), 0)
        };
        let exponent = (bits >> MANTISSA_BITS) as i32 - 1023 - shift;
        exponent * self.per_octave + part_of(self.factor, bits & MANTISSA).min(self.per_octave - 1)
    }

    /// The value that stands for a bucket.
    pub(super) fn value(&self, index: i32) -> f64 {
        let part = index.rem_euclid(self.per_octave) as usize;
        let middle = self.middles.get(part).copied().unwrap_or(1.0);
        scale(middle, index.div_euclid(self.per_octave)).min(f64::MAX)
    }
}

/// `floor(m * P(s))` of (1), which rounding can make `m`.
#[inline]
fn part_of(factor: f64, mantissa: u64) -> i32 {
    let s = f64::from_bits(mantissa | ONE) - 1.0;
    let p = ((6.0 / 35.0 * s - 0.6) * s + 10.0 / 7.0) * s;
    (factor * p) as i32
}

/// The least double in [1, 2] whose part is at least `part`. A bisection of [`part_of`] itself, so that both agree to
/// the last bit.
fn first_of(factor: f64, per_octave: i32, part: i32) -> f64 {
    if part >= per_octave {
        return 2.0;
    }
    let (mut low, mut high) = (0, MANTISSA);
    while low < high {
        let middle = low + (high - low) / 2;
        if part_of(factor, middle) < part {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    f64::from_bits(low | ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounding of the mapping, in multiples of the value.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn every_value_is_near_the_middle_of_its_bucket() {
        for error in [0.000_51, 0.001, 0.01, 0.02, 0.1, 0.25, 0.5] {
            let mapping = Mapping::new(error);
            let mut value = f64::MIN_POSITIVE;
            while value < f64::MAX / 1.01 {
                for value in [value, value.next_down(), value.next_up(), value * 1.003] {
                    let found = mapping.value(mapping.index(value));
                    let bound = value * (error + ROUNDING) + f64::from_bits(1);
                    assert!((found - value).abs() <= bound, "{found:e} for {value:e} with the error {error}");
                }
                value *= 1.009;
            }
        }
    }

    #[test]
    fn indexes_increase_with_the_values_down_to_the_least_double() {
        let mapping = Mapping::new(0.01);
        let mut last = i32::MIN;
        for power in 1..=2098 {
            let value = f64::MAX * 0.5f64.powi(2098 - power);
            for value in [value, value * 1.4] {
                if value > 0.0 && value.is_finite() {
                    assert!(mapping.index(value) > last, "{value:e}");
                    last = mapping.index(value);
                }
            }
        }
        assert!(mapping.index(f64::from_bits(1)) < mapping.index(f64::MIN_POSITIVE));
        assert_eq!(mapping.index(f64::MIN_POSITIVE), -1022 * 35);
        assert_eq!(mapping.index(f64::from_bits(1)), -1074 * 35);
        assert!(mapping.value(mapping.index(f64::MAX)).is_finite());
    }

    #[test]
    fn a_power_of_two_moves_a_value_by_whole_octaves() {
        let mapping = Mapping::new(0.01);
        assert_eq!((mapping.per_octave, mapping.limit()), (35, 2241));
        for value in [1.0, 1.37, 1.999_999] {
            for power in [-900, -3, 0, 1, 63, 900] {
                let scaled = value * 2f64.powi(power);
                assert_eq!(mapping.index(scaled), mapping.index(value) + power * 35);
                assert_eq!(
                    mapping.value(mapping.index(scaled)),
                    mapping.value(mapping.index(value)) * 2f64.powi(power)
                );
            }
        }
    }

    #[test]
    fn all_integers_fit_the_limit() {
        for error in [0.000_51, 0.01, 0.5] {
            let mapping = Mapping::new(error);
            let span = mapping.index(u64::MAX as f64) - mapping.index(1.0) + 1;
            assert!(span as usize <= mapping.limit(), "{span} of {}", mapping.limit());
        }
    }
}
