//! `DSIncrease[:range]`: the increase of a cumulative counter, or its increase in the last `range` seconds.
//!
//! ```text
//! increase = step(x1, x2) + ... + step(x(n-1), xn),   step(from, to) = to - from, or to if it is lower
//! ```
//!
//! | | |
//! |---|---|
//! | source | `algorithm/readings.rs`: the rules for the counters of an engine, as Prometheus' `increase` without its extrapolation |
//! | unit and type | as the metric |
//! | range | the range of the type, at whose bound it stops with an error in the result |
//! | error | integers: none; doubles: two roundings for each reading |
//! | memory | 48 bytes an object; over a window 8 bytes and about 14 KiB |
//! | cost | constant for each sample; over a window amortised constant |
//!
//! A counter is that of one source. An engine keeps the last reading of each source of an object, over the ends of
//! periods, and adds up the increases of all of them ([`Algorithm::update_increase`]), as for a metric that is declared
//! as a counter (`metric="agg"`) with `DSSum`. The first reading of a source is its baseline and adds nothing. The
//! samples of such a metric are increases already, so it is an error to use `DSIncrease` or `DSRate` for it.
//!
//! A pipeline of the library takes its samples as readings of one counter, and keeps none over the end of a period: the
//! first reading inside a period, or inside a window, is the baseline, and the increase between two periods is in
//! neither. There a range as long as the time between two readings holds one reading, and is never ready; twice that
//! time is the least. Keep the readings yourself for the increases of many counters without such gaps:
//! [`WindowColumn::update_increase`](crate::column::WindowColumn::update_increase).
//!
//! An increase that lags behind the newest one by less than the range counts in the newest bucket of the window. One
//! that exceeds the type, between two readings of `i64` or doubles, is refused, and the next reading counts from there.
//!
//! States do not merge: each reading is compared with the one before it.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_readings};
use crate::algorithm::{Algorithm, Readings, Sample, UpdateError, Windowed};
use crate::entry::{ArgumentError, Built, Claims, Entry, Given, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSIncrease`.
pub(crate) static ENTRY: Entry = Entry::new("DSIncrease", Roles::AGGREGATE, SUMMARY, build)
    .arguments(&[RANGE])
    .explained(|given, _| explain_readings(given, 0, SUMMARY, "the increase of a cumulative counter in the last"))
    .claims(Claims { merges: false, order_insensitive: false, within_samples: false, scales: true })
    .of_readings();

fn build(given: &Given<'_>) -> Result<Built, ArgumentError> {
    built(given, 0, Increase).map(Built::with_increases)
}

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

    #[inline]
    fn update_increase(&self, state: &mut Readings<T>, since: u64, increase: Sample<T>) -> Result<(), UpdateError> {
        state.add_increase(since, increase);
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

    #[test]
    fn one_increase_is_a_result() {
        let mut state = Algorithm::<u64>::start(&Increase);
        Increase.update_increase(&mut state, 0, Sample::new(9, 7)).expect("every increase is taken");
        assert_eq!(Increase.report(&state, 9), Report::Value(Record::new([Number::U64(7)])));
    }

    #[test]
    fn an_increase_that_lags_inside_the_range_counts_and_an_older_one_does_not() {
        use crate::algorithm::range::{Range, Ranged};
        let increase: Ranged<Increase> = Ranged::new(Range::from_seconds(30).expect("a small range"));
        let mut state = Algorithm::<u64>::start(&increase);
        let mut add = |since: u64, at: u64, value: u64| {
            let sample = Sample::new(at * 1_000_000, value);
            increase.update_increase(&mut state, since * 1_000_000, sample).is_ok()
        };
        assert!([(0, 30, 1), (60, 70, 2), (50, 60, 4), (41, 51, 8)].iter().all(|&(since, at, by)| add(since, at, by)));
        assert!(!add(20, 30, 16), "beyond the range");
        let expected = Report::Value(Record::new([Number::U64(2 + 4 + 8)]));
        assert_eq!(Algorithm::<u64>::report(&increase, &state, 70_000_000), expected);
    }
}
