//! `DSStddev[:range]`: the standard deviation of all samples, or of the samples of the last `range` seconds.
//!
//! ```text
//! stddev = sqrt(((x1 - mean)^2 + ... + (xn - mean)^2) / n)
//! ```
//!
//! | | |
//! |---|---|
//! | source | `algorithm/squares.rs`: Welford (1962); merged by Chan, Golub, LeVeque (1979) |
//! | unit and type | as the metric; a double for every metric |
//! | range | 0 to the largest sample by size |
//! | error | that of the variance (`DSVariance`), divided by twice the result, and one rounding; near 0 at most its square root |
//! | memory | 24 bytes an object; over a window 8 bytes and about 8 KiB |
//! | cost | a division for each sample, a square root for each result; over a window amortised constant |
//!
//! This is the standard deviation of the samples themselves (divided by n, as Prometheus' `stddev_over_time`), not an estimate for a
//! population from which they were drawn (n - 1). One sample has standard deviation 0. Integers above 2^53 are rounded to doubles.
//! A sample beyond 1e150 counts as that bound, and the result carries an error ([`TOO_LARGE`](crate::TOO_LARGE)).

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, MergeError, Sample, Squares, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Field, NumberKind, Role, Roles, Unit};
use crate::math::sqrt;
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSStddev`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSStddev", Roles::AGGREGATE, "the standard deviation of all samples", |given| built(given, 0, Stddev))
        .arguments(&[RANGE])
        .number(&[Field::number("value", NumberKind::F64, Unit::Metric, "the standard deviation")
            .role_of(Role::Value)
            .not_negative()])
        .explained(|given, _| {
            explain_window(
                given,
                0,
                "the standard deviation of all samples",
                "the standard deviation of the samples of the last",
            )
        })
        .claims(Claims { merges: true, order_insensitive: false, within_samples: false, scales: true });

/// The standard deviation of all samples.
///
/// 24 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut latency = Pipeline::parse("raw:DSStddev")?;
/// for micros in [2, 4, 4, 4, 5, 5, 7, 9] {
///     latency.update(0, Number::U64(micros))?;
/// }
/// assert_eq!(latency.number(), Some(Number::F64(2.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stddev;

impl<T: Numeric> Algorithm<T> for Stddev {
    state_is_fixed!(Squares, 3);

    #[inline]
    fn update(&self, state: &mut Squares, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    fn report(&self, state: &Squares, _now: u64) -> Report<Record> {
        state.report(sqrt)
    }

    fn merge(&self, into: &mut Squares, from: &Squares) -> Result<(), MergeError> {
        into.add_all(from);
        Ok(())
    }
}

impl<T: Numeric> Windowed<T> for Stddev {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn one_sample_has_no_deviation_and_none_has_no_result() {
        let mut state = Algorithm::<i64>::start(&Stddev);
        assert_eq!(Algorithm::<i64>::report(&Stddev, &state, 0), Report::NotReady(None));
        for (value, expected) in [(-7i64, 0.0), (-3, 2.0)] {
            Stddev.update(&mut state, Sample::new(0, value)).expect("every value is a sample");
            let report = Algorithm::<i64>::report(&Stddev, &state, 0);
            assert_eq!(report, Report::Value(Record::new([Number::F64(expected)])));
        }
    }
}
