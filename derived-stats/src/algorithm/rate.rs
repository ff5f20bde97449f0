//! `DSRate[:range]`: the increase of a cumulative counter per second, or that of the last `range` seconds.
//!
//! ```text
//! rate = increase / (tn - t1),   in seconds; `DSIncrease` has the increase
//! ```
//!
//! | | |
//! |---|---|
//! | source | `algorithm/readings.rs`: the rules for counters of `proxy-uve`, as Prometheus' `rate` without its extrapolation |
//! | unit and type | the unit of the metric per second; a double for every metric |
//! | range | the finite doubles, at whose bound it stops with an error in the result |
//! | error | that of the increase, and at most three roundings |
//! | memory | 48 bytes an object; over a window 8 bytes and about 14 KiB |
//! | cost | constant for each sample, two divisions for each result; over a window amortised constant |
//!
//! The samples are readings of one counter. The rate is that between the first and the newest reading, whatever time
//! has passed before and after them, so it does not depend on when the period began. In a window, both are inside it: a
//! range as long as the time between two readings holds one reading, and has no rate; twice that time is the least, as
//! for Prometheus' `rate`. A metric that is declared as a counter (`metric="agg"`) has increases for samples already:
//! its rate is `DSSum` divided by the length of the period.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_readings};
use crate::algorithm::{Algorithm, Readings, Sample, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Field, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};

/// The menu entry of `DSRate`.
pub(crate) static ENTRY: Entry = Entry::new("DSRate", Roles::AGGREGATE, SUMMARY, |given| built(given, 0, Rate))
    .arguments(&[RANGE])
    .number(&[
        Field::number("value", NumberKind::F64, Unit::MetricPerSecond, "the increase per second").role_of(Role::Value)
    ])
    .explained(|given, _| {
        explain_readings(given, 0, SUMMARY, "the increase of a cumulative counter per second, over the last")
    })
    .claims(Claims { merges: false, order_insensitive: false, within_samples: false, scales: true })
    .of_readings();

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
pub struct Rate;

const MICROS_PER_SECOND: f64 = 1e6;

impl<T: Numeric> Algorithm<T> for Rate {
    state_is_fixed!(Readings<T>, 6);

    #[inline]
    fn update(&self, state: &mut Readings<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    fn report(&self, state: &Readings<T>, _now: u64) -> Report<Record> {
        match state.increase() {
            Some(increase) if state.micros() > 0 => {
                let seconds = state.micros() as f64 / MICROS_PER_SECOND;
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
        let mut state: Readings<T> = Rate.start();
        for &(at, value) in samples {
            Rate.update(&mut state, Sample::new(at, value)).expect("every value is a sample");
        }
        let record = Algorithm::<T>::report(&Rate, &state, 0).forced()?;
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
}
