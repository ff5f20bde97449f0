//! `DSIncrease[:range]`: the increase of a cumulative counter, or its increase in the last `range` seconds.
//!
//! ```text
//! increase = step(x1, x2) + ... + step(x(n-1), xn),   step(from, to) = to - from, or to if it is lower
//! ```
//!
//! | | |
//! |---|---|
//! | source | `algorithm/readings.rs`: the rules for counters of `proxy-uve`, as Prometheus' `increase` without its extrapolation |
//! | unit and type | as the metric |
//! | range | the range of the type, at whose bound it stops with an error in the result |
//! | error | integers: none; doubles: two roundings for each reading |
//! | memory | 48 bytes an object; over a window 8 bytes and about 14 KiB |
//! | cost | constant for each sample; over a window amortised constant |
//!
//! The samples are readings of one counter. The increase is that between the first and the newest reading, and nothing
//! is added for the time before and after them. In a period, and in a window, the first reading inside is the baseline:
//! the increase between two periods is in neither. A range as long as the time between two readings holds one reading,
//! and is never ready; twice that time is the least. For the increases of many counters without such gaps declare the
//! metric as a counter (`metric="agg"`), which keeps a reading for each source, and add them up with `DSSum`. The
//! samples of such a metric are increases already, so it is an error to use `DSIncrease` or `DSRate` for it.
//!
//! States do not merge: each reading is compared with the one before it.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_readings};
use crate::algorithm::{Algorithm, Readings, Sample, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSIncrease`.
pub(crate) static ENTRY: Entry = Entry::new("DSIncrease", Roles::AGGREGATE, SUMMARY, |given| built(given, 0, Increase))
    .arguments(&[RANGE])
    .explained(|given, _| explain_readings(given, 0, SUMMARY, "the increase of a cumulative counter in the last"))
    .claims(Claims { merges: false, order_insensitive: false, within_samples: false, scales: true })
    .of_readings();

const SUMMARY: &str = "the increase of a cumulative counter since its first reading";

/// The increase of a cumulative counter since its first reading.
///
/// 48 bytes an object. Not ready before the second reading. A reading that is older than the newest one adds nothing,
/// so after one reading of a time in the far future none does: check the times, or start with a new state.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut packets = Pipeline::parse("raw:DSIncrease")?;
/// // The counter starts anew after 710.
/// for (second, reading) in [(0, 700), (1, 710), (2, 4)] {
///     packets.update(second * 1_000_000, Number::U64(reading))?;
/// }
/// assert_eq!(packets.number(), Some(Number::U64(14)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Increase;

impl<T: Numeric> Algorithm<T> for Increase {
    state_is_fixed!(Readings<T>, 6);

    #[inline]
    fn update(&self, state: &mut Readings<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    fn report(&self, state: &Readings<T>, _now: u64) -> Report<Record> {
        match state.increase() {
            None => Report::NotReady(None),
            Some(increase) => Report::Value(Record::new([increase.into_number()]).flawed(state.flaw())),
        }
    }
}

impl<T: Numeric> Windowed<T> for Increase {
    fn append(&self, state: &mut Readings<T>, later: &Readings<T>) {
        state.append(later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn a_period_with_one_reading_has_samples_but_no_increase() {
        let mut state = Algorithm::<u64>::start(&Increase);
        Increase.update(&mut state, Sample::new(0, 700)).expect("every value is a sample");
        assert!(!Algorithm::<u64>::is_empty(&Increase, &state));
        assert_eq!(Increase.report(&state, 9), Report::NotReady(None));
        Increase.update(&mut state, Sample::new(1, 703)).expect("every value is a sample");
        assert_eq!(Increase.report(&state, 9), Report::Value(Record::new([Number::U64(3)])));
    }
}
