//! Accumulators of sums from which samples are subtracted again.
//!
//! A ranged window adds and subtracts samples, so a sum that is temporarily outside the range of its type must stay
//! exact. Integers therefore accumulate in 128 bits (2^64 samples of 2^64 fit), doubles in doubles.

use crate::saved::{RestoreError, WordWriter, Words};

/// The accumulator of an element type. Implemented for the three element types only.
pub trait Wide: Sized {
    /// The type of sums: exact for integers, the type itself for doubles.
    type Sum: Copy + PartialEq + core::fmt::Debug + Send + Sync + 'static;

    /// The empty sum.
    const ZERO: Self::Sum;

    /// The value as a sum.
    fn widen(self) -> Self::Sum;
    /// The sum of two sums.
    fn wide_sum(left: Self::Sum, right: Self::Sum) -> Self::Sum;
    /// The difference of two sums.
    fn wide_difference(left: Self::Sum, right: Self::Sum) -> Self::Sum;
    /// Whether the sum has saturated. It then stays at the bound until it is computed again.
    fn is_bound(sum: Self::Sum) -> bool;
    /// The sum in the element type; the nearest bound and `true` if it does not fit.
    fn narrow(sum: Self::Sum) -> (Self, bool);
    /// The mean, truncated towards zero for integers.
    fn wide_quotient(sum: Self::Sum, count: u64) -> (Self, bool);
    /// Appends the exact sum to saved state.
    fn save_wide(sum: Self::Sum, words: &mut WordWriter<'_>);
    /// Restores the words that [`save_wide`](Self::save_wide) wrote.
    ///
    /// # Errors
    ///
    /// If the words end early or are not finite.
    fn restore_wide(words: &mut Words<'_>) -> Result<Self::Sum, RestoreError>;
}

impl Wide for u64 {
    type Sum = u128;

    const ZERO: u128 = 0;

    fn widen(self) -> u128 {
        u128::from(self)
    }

    fn wide_sum(left: u128, right: u128) -> u128 {
        left.wrapping_add(right)
    }

    fn wide_difference(left: u128, right: u128) -> u128 {
        left.wrapping_sub(right)
    }

    fn is_bound(_sum: u128) -> bool {
        false
    }

    fn narrow(sum: u128) -> (Self, bool) {
        Self::try_from(sum).map_or((Self::MAX, true), |sum| (sum, false))
    }

    fn wide_quotient(sum: u128, count: u64) -> (Self, bool) {
        Self::narrow(sum / u128::from(count.max(1)))
    }

    fn save_wide(sum: u128, words: &mut WordWriter<'_>) {
        words.extend([sum as Self, (sum >> 64) as Self]);
    }

    fn restore_wide(words: &mut Words<'_>) -> Result<u128, RestoreError> {
        let low = words.next("sum")?;
        Ok(u128::from(words.next("sum")?) << 64 | u128::from(low))
    }
}

impl Wide for i64 {
    type Sum = i128;

    const ZERO: i128 = 0;

    fn widen(self) -> i128 {
        i128::from(self)
    }

    fn wide_sum(left: i128, right: i128) -> i128 {
        left.wrapping_add(right)
    }

    fn wide_difference(left: i128, right: i128) -> i128 {
        left.wrapping_sub(right)
    }

    fn is_bound(_sum: i128) -> bool {
        false
    }

    fn narrow(sum: i128) -> (Self, bool) {
        match Self::try_from(sum) {
            Ok(sum) => (sum, false),
            Err(_) => (if sum < 0 { Self::MIN } else { Self::MAX }, true),
        }
    }

    fn wide_quotient(sum: i128, count: u64) -> (Self, bool) {
        Self::narrow(sum / i128::from(count.max(1)))
    }

    fn save_wide(sum: i128, words: &mut WordWriter<'_>) {
        u64::save_wide(sum as u128, words);
    }

    fn restore_wide(words: &mut Words<'_>) -> Result<i128, RestoreError> {
        u64::restore_wide(words).map(|sum| sum as i128)
    }
}

impl Wide for f64 {
    type Sum = Self;

    const ZERO: Self = 0.0;

    fn widen(self) -> Self {
        self
    }

    // Saturates, because an infinity would become NaN when its sample is subtracted. The bound is sticky, so that
    // adding to it cannot give a normal number.
    fn wide_sum(left: Self, right: Self) -> Self {
        match (Self::is_bound(left), Self::is_bound(right)) {
            (true, _) => left,
            (false, true) => right,
            (false, false) => (left + right).clamp(Self::MIN, Self::MAX),
        }
    }

    fn wide_difference(left: Self, right: Self) -> Self {
        (left - right).clamp(Self::MIN, Self::MAX)
    }

    fn is_bound(sum: Self) -> bool {
        sum.abs() == Self::MAX
    }

    fn narrow(sum: Self) -> (Self, bool) {
        (sum, Self::is_bound(sum))
    }

    fn wide_quotient(sum: Self, count: u64) -> (Self, bool) {
        (sum / count.max(1) as Self, Self::is_bound(sum))
    }

    fn save_wide(sum: Self, words: &mut WordWriter<'_>) {
        words.push(sum.to_bits());
    }

    fn restore_wide(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        words.finite("sum")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored<T: Wide>(sum: T::Sum) -> T::Sum {
        let mut words = Vec::new();
        T::save_wide(sum, &mut WordWriter::new(&mut words));
        let mut reader = Words::new(&words);
        let sum = T::restore_wide(&mut reader).expect("what was saved");
        assert_eq!(reader.finish(), Ok(()));
        sum
    }

    #[test]
    fn integers_add_up_beyond_their_type_without_loss() {
        let large = u64::wide_sum(u64::MAX.widen(), u64::MAX.widen());
        assert_eq!((large, u64::narrow(large)), ((1 << 65) - 2, (u64::MAX, true)));
        assert_eq!(u64::narrow(u64::wide_difference(large, u64::MAX.widen())), (u64::MAX, false));
        let low = i64::wide_sum(i64::MIN.widen(), (-3i64).widen());
        assert_eq!((low, i64::narrow(low)), (i128::from(i64::MIN) - 3, (i64::MIN, true)));
        assert_eq!(i64::narrow(i64::wide_difference(low, i64::MIN.widen())), (-3, false));
        let high = i64::wide_sum(i64::MAX.widen(), 1i64.widen());
        assert_eq!(i64::narrow(high), (i64::MAX, true));
    }

    #[test]
    fn doubles_stop_at_the_bound_and_report_it() {
        assert_eq!((f64::wide_sum(2.5, 4.0), f64::wide_difference(2.5, 4.0)), (6.5, -1.5));
        assert_eq!((f64::wide_sum(f64::MAX, f64::MAX), f64::wide_difference(f64::MIN, f64::MAX)), (f64::MAX, f64::MIN));
        assert_eq!(
            (f64::narrow(f64::MAX), f64::narrow(f64::MIN), f64::narrow(2.5)),
            ((f64::MAX, true), (f64::MIN, true), (2.5, false))
        );
        assert_eq!(2.5f64.widen(), 2.5);
    }

    #[test]
    fn a_mean_is_that_of_the_exact_sum() {
        assert_eq!(u64::wide_quotient(u128::from(u64::MAX) * 3, 3), (u64::MAX, false));
        assert_eq!(u64::wide_quotient(u128::from(u64::MAX) * 3, 2), (u64::MAX, true));
        assert_eq!((u64::wide_quotient(11, 3), u64::wide_quotient(11, 0)), ((3, false), (11, false)));
        assert_eq!((i64::wide_quotient(-11, 3), i64::wide_quotient(-11, 0)), ((-3, false), (-11, false)));
        assert_eq!(i64::wide_quotient(i128::from(i64::MIN) * 4, 2), (i64::MIN, true));
        assert_eq!((f64::wide_quotient(11.0, 4), f64::wide_quotient(11.0, 0)), ((2.75, false), (11.0, false)));
    }

    #[test]
    fn a_saved_sum_is_restored_bit_for_bit() {
        for sum in [0, 7, u128::from(u64::MAX) + 7, u128::MAX - 1, 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321] {
            assert_eq!(restored::<u64>(sum), sum);
        }
        for sum in [0, -7, i128::MIN, i128::MAX] {
            assert_eq!(restored::<i64>(sum), sum);
        }
        for sum in [-0.0, 2.5, f64::MAX] {
            assert_eq!(restored::<f64>(sum).to_bits(), sum.to_bits());
        }
        let infinite = [f64::INFINITY.to_bits()];
        assert!(f64::restore_wide(&mut Words::new(&infinite)).is_err());
        assert_eq!(u64::restore_wide(&mut Words::new(&[1])), Err(RestoreError::TooShort { field: "sum" }));
    }
}
