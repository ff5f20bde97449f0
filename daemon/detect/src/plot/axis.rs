//! Axes and their ticks.

use jiff::Timestamp;

/// The number of values at which the value axis has a tick, at most.
const VALUE_TICKS: f64 = 5.0;
/// The number of times at which the time axis has a tick, at most.
const TIME_TICKS: u64 = 9;

/// A linear axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: (f64, f64),
    to: (f64, f64),
}

impl Axis {
    /// The axis from the range `from` to the pixels `to`; an empty range is widened.
    pub(super) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        let (start, end) = from;
        let from = if end > start { from } else { (start - 0.5, start + 0.5) };
        // The size of a very large value is above the distance of its neighbours.
        let from = if from.1 > from.0 { from } else { (0.0, 1.0) };
        Self { from, to }
    }

    pub(super) fn range(&self) -> (f64, f64) {
        self.from
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let ((start, end), (first, last)) = (self.from, self.to);
        // Halves, because the range may be larger than the largest double.
        let share = (value / 2.0 - start / 2.0) / (end / 2.0 - start / 2.0);
        first + (last - first) * share.clamp(-1.0, 2.0)
    }
}

/// Round values within the range of an axis, with their texts.
pub(super) fn value_ticks(axis: &Axis) -> Vec<(f64, String)> {
    let (start, end) = axis.range();
    let raw = end / VALUE_TICKS - start / VALUE_TICKS;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = (start / step).ceil();
    let ticks = (0..=VALUE_TICKS as u32).map(|index| (first + f64::from(index)) * step);
    ticks.filter(|tick| tick.is_finite() && *tick <= end).map(|tick| (tick, short(tick))).collect()
}

/// A number in a few characters.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let scaled = |unit: f64, suffix: &str| {
        let digits = (value / unit * 100.0).round() / 100.0;
        format!("{digits}{suffix}")
    };
    match size {
        0.0 => "0".to_owned(),
        _ if !(0.001..1e15).contains(&size) => format!("{value:.1e}"),
        _ if size < 1.0 => format!("{}", (value * 1e4).round() / 1e4),
        _ if size < 1e4 => scaled(1.0, ""),
        _ if size < 1e6 => scaled(1e3, "k"),
        _ if size < 1e9 => scaled(1e6, "M"),
        _ if size < 1e12 => scaled(1e9, "G"),
        _ => scaled(1e12, "T"),
    }
}

/// Round times from `first` to `last`, in microseconds, with their texts.
pub(super) fn time_ticks(first: u64, last: u64) -> Vec<(u64, String)> {
    const MINUTE: u64 = 60_000_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let steps = [
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        28 * DAY,
        91 * DAY,
        364 * DAY,
        3640 * DAY,
    ];
    let fits = |step: &u64| (last - first) / step < TIME_TICKS;
    let Some(step) = steps.into_iter().find(fits) else { return Vec::new() };
    let format = if step < DAY { "%m-%d %H:%M" } else { "%Y-%m-%d" };
    let text = |at: u64| {
        let time = Timestamp::from_microsecond(i64::try_from(at).ok()?).ok()?;
        Some((at, time.strftime(format).to_string()))
    };
    let start = first.div_ceil(step);
    (start..=last / step).map(|index| index * step).filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts =
            |range| value_ticks(&Axis::new(range, (0.0, 1.0))).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts((0.0, 100.0)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(texts((-0.013, 0.041)), ["0", "0.02", "0.04"]);
        assert_eq!(texts((12_000.0, 31_000.0)), ["15k", "20k", "25k", "30k"]);
        let start = 1_488_000_000_000_000;
        let times = |hours: u64| time_ticks(start, start + hours * 3_600_000_000).into_iter().map(|(_, text)| text);
        assert_eq!(
            times(5).collect::<Vec<_>>(),
            ["02-25 06:00", "02-25 07:00", "02-25 08:00", "02-25 09:00", "02-25 10:00"]
        );
        assert_eq!(times(24 * 20).next().as_deref(), Some("2017-03-02"));
    }

    #[test]
    fn a_number_is_short() {
        let cases = [
            (0.0, "0"),
            (1234.5678, "1234.57"),
            (-2_500_000.0, "-2.5M"),
            (0.12345, "0.1235"),
            (1e20, "1.0e20"),
            (0.00012, "1.2e-4"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
