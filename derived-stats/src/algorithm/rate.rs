//! `DSRate[:range]`: the increase of a cumulative counter per second, or that of the last `range` seconds.
//!
//! ```text
//! rate = increase / seconds,   `DSIncrease` has the increase
//!
//! one counter:   seconds = tn - t1
//! many sources:  seconds = range or period
//! ```
//!
//! | | |
//! |---|---|
//! | source | `algorithm/readings.rs`: the rules for the counters of an engine, as Prometheus' `rate` without its extrapolation |
//! | unit and type | the unit of the metric per second; a double for every metric |
//! | range | the finite doubles, at whose bound it stops with an error in the result |
//! | error | that of the increase, and at most three roundings |
//! | memory | 48 bytes an object; over a window 8 bytes and about 14 KiB |
//! | cost | constant for each sample, two divisions for each result; over a window amortised constant |
//!
//! A counter is that of one source. An engine keeps the last reading of each source of an object, over the ends of
//! periods, and the rate is the sum of the increases of all sources, divided by the seconds of the range, or else by
//! those of the period: `2.5 / s` from each of three sources is 7.5 / s. Inline, without a range, it is divided by the
//! time between the earliest and the newest of the readings. `DSIncrease` has the rules for readings.
//!
//! A pipeline of the library takes its samples as readings of one counter: the rate is that between the first and the
//! newest reading, whatever time has passed before and after them. In a window, both are inside it: a range as long as
//! the time between two readings holds one reading, and has no rate; twice that time is the least, as for Prometheus'
//! `rate`.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_readings, window};
use crate::algorithm::{Algorithm, Range, Readings, Sample, UpdateError, Windowed};
use crate::entry::{ArgumentError, Built, Claims, Entry, Field, Given, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};

/// The menu entry of `DSRate`.
pub(crate) static ENTRY: Entry = Entry::new("DSRate", Roles::AGGREGATE, SUMMARY, build)
    .arguments(&[RANGE])
    .number(&[
        Field::number("value", NumberKind::F64, Unit::MetricPerSecond, "the increase per second").role_of(Role::Value)
    ])
    .explained(|given, _| {
        explain_readings(given, 0, SUMMARY, "the increase of a cumulative counter per second, over the last")
    })
    .claims(Claims { merges: false, order_insensitive: false, within_samples: false, scales: true })
    .of_readings();

fn build(given: &Given<'_>) -> Result<Built, ArgumentError> {
    let range = window(given, 0)?.map(Range::seconds);
    built(given, 0, Rate { seconds: range.or_else(|| given.period_seconds()) }).map(Built::with_increases)
}

const SUMMARY: &str = "the increase of a cumulative counter per second since its first reading";

/// The increase of a cumulative counter per second.
///
/// 48 bytes an object. Not ready before there are readings of two times. A reading that is older than the newest one
/// adds nothing, so after one reading of a time in the far future none does: check the times, or start with a new
/// state.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut packets = Pipeline::parse("raw:DSRate")?;
/// for (second, reading) in [(0, 700), (10, 1700), (20, 500)] {
///     packets.update(second * 1_000_000, Number::U64(reading))?;
/// }
/// // 1000, and 500 after a reset, in 20 s.
/// assert_eq!(packets.number(), Some(Number::F64(75.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// The divisor for the increases of many counters: the range, or the length of the period.
    seconds: Option<u64>,
}

const MICROS_PER_SECOND: f64 = 1e6;

impl Rate {
    /// The seconds by which the increase of the readings is divided.
    fn seconds<T: Numeric>(&self, state: &Readings<T>) -> f64 {
        match self.seconds.filter(|_| state.is_of_increases()) {
            Some(seconds) => seconds as f64,
            None => state.micros() as f64 / MICROS_PER_SECOND,
        }
    }
}

impl<T: Numeric> Algorithm<T> for Rate {
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
        let seconds = self.seconds(state);
        match state.increase() {
            Some(increase) if seconds > 0.0 => {
                let rate = increase.to_f64() / seconds;
                let bounded = rate.clamp(f64::MIN, f64::MAX);
                let flaw = if bounded == rate { state.flaw() } else { Some(Flaw::Overflow) };
                Report::Value(Record::new([Number::F64(bounded)]).flawed(flaw))
            }
            _ => Report::NotReady(None),
        }
    }
}

impl<T: Numeric> Windowed<T> for Rate {
    fn append(&self, state: &mut Readings<T>, later: &Readings<T>) {
        state.append(later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate<T: Numeric>(samples: &[(u64, T)]) -> Option<(Number, bool)> {
        let algorithm = Rate::default();
        let mut state: Readings<T> = algorithm.start();
        for &(at, value) in samples {
            algorithm.update(&mut state, Sample::new(at, value)).expect("every value is a sample");
        }
        let record = algorithm.report(&state, 0).forced()?;
        Some((record.get(0)?, record.flaw().is_some()))
    }

    #[test]
    fn readings_of_one_time_have_no_rate() {
        assert_eq!(rate(&[(5, 700u64)]), None);
        assert_eq!(rate(&[(5, 700u64), (5, 710)]), None);
        assert_eq!(rate(&[(5, 700u64), (5, 710), (1_000_005, 710)]), Some((Number::F64(10.0), false)));
    }

    #[test]
    fn a_rate_beyond_the_doubles_stops_at_the_bound() {
        assert_eq!(rate(&[(0, 0.0), (1, f64::MAX)]), Some((Number::F64(f64::MAX), true)));
    }

    #[test]
    fn increases_of_many_counters_are_divided_by_the_period_and_by_their_own_time_without_one() {
        let of_period = Rate { seconds: Some(60) };
        for (algorithm, expected) in [(of_period, 1.5), (Rate::default(), 90.0 / 80.0)] {
            let mut state: Readings<u64> = algorithm.start();
            for (since, at, value) in [(10, 70, 60), (30, 90, 30)] {
                let increase = Sample::new(at * 1_000_000, value);
                algorithm.update_increase(&mut state, since * 1_000_000, increase).expect("every increase is taken");
            }
            assert_eq!(algorithm.report(&state, 0), Report::Value(Record::new([Number::F64(expected)])));
        }
        let mut state: Readings<u64> = of_period.start();
        of_period.update(&mut state, Sample::new(0, 700)).expect("every value is a sample");
        of_period.update(&mut state, Sample::new(10_000_000, 800)).expect("every value is a sample");
        let rate = Report::Value(Record::new([Number::F64(10.0)]));
        assert_eq!(of_period.report(&state, 0), rate, "readings of one counter have a time of their own");
    }

    #[test]
    #[cfg(feature = "parser")]
    fn the_seconds_are_those_of_the_range_or_of_the_period() {
        use crate::column::WindowColumn;
        use crate::number::ValueType;
        use crate::spec::{Context, Periods, Spec};
        let context = |periods| Context::new(ValueType::U64).with_periods(periods);
        let struct_of = |seconds| context(Periods::Every { seconds });
        for (annotation, context, expected) in [
            ("1-raw:DSRate", struct_of(60), 10.0),
            ("5-raw:DSRate", struct_of(60), 2.0),
            ("1-raw:DSRate:30", struct_of(60), 10.0),
            ("1-raw:DSRate", context(Periods::AsWritten), 600.0 / 50.0),
        ] {
            let spec = Spec::parse(annotation, context).expect("a good annotation");
            assert!(spec.takes_increases());
            let mut window = WindowColumn::new(&spec).expect("a periodic spec");
            for (since, at) in [(0, 10), (10, 50)] {
                let taken = window.update_increase(0, since * 1_000_000, at * 1_000_000, Number::U64(300));
                taken.expect("every increase is taken");
            }
            assert_eq!(window.value(0, 50_000_000), Some(Number::F64(expected)), "{annotation}");
        }
    }
}
