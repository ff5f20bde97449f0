//! `DSAnomaly:MAD`: the distance of a value from the median of the values before it, in robust deviations.
//!
//! With m the median of a window, and D the median of |x - m| over the window:
//!
//! ```text
//! deviation = 1.4826 * D, or 1.2533 * (mean of |x - m|) if D is 0        (1)
//! score     = (x - m) / max(deviation, 0.001 * max(|m|, |x|))            (2)
//! ```
//!
//! Up to half of the window may be anomalies without effect on the median and on D. 1.4826 and 1.2533 make both parts
//! of (1) the standard deviation of normal values. D is 0 if more than half of the values are equal, as in counts with
//! many zeros. In that mean, the largest counts as much as the second largest: one glitch among equal values teaches
//! nothing. The floor in (2) bounds the score by 2000, also if all values are equal.
//!
//! The window holds 64 values of the last `span=` seconds: the first value, and each value that is a 64th of the span
//! later. Until 64 values are in the window, it holds every value. A silence does not empty the window: without other
//! values, those before it are the best estimate, and a few values of one hour would be the worst of a series with a
//! season. So after a silence, values are up to that much older than the span, until they are replaced within a span.
//! After a silence of 7 spans, the window is empty and starts again with the second value. The first is scored only:
//! its time may be wrong.
//!
//! | | |
//! |---|---|
//! | source | B. Iglewicz, D. Hoaglin, "How to detect and handle outliers" (1993): the modified z score |
//! | unit | score: standard deviations; expected value and band (3 deviations): the unit of the metric |
//! | range | score: -2000 to 2000, 0 until there are 20 values in the window |
//! | error | D of 64 normal values differs from the true one by about 15 %; a value beyond 1e150 counts as that bound |
//! | memory | 680 bytes an object |
//! | cost | constant for each value; each 64th of the span also sorts the window |

use crate::algorithm::ewm_prior::{BAND, floored};
use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{
    ALARMS, Clock, Model, Options, Scored, Scores, THRESHOLD, VERSION, WARM_UP, bounded, explain_options, fields, span,
};
use crate::entry::{Argument, Entry, Explanation, Field, Given, Roles};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `MAD`.
pub(crate) static ENTRY: Entry = Entry::new("MAD", Roles::DETECTOR, SUMMARY, |given| {
    let options = Options::of(given, 1, DEFAULT_WARM_UP);
    let span = seconds(given);
    let detector = Scored::built(Mad { every: span.saturating_mul(1_000_000) / WINDOW as u64 }, options);
    // Of values further apart the window, which expires, has too few.
    Ok(detector.with_longest_period(span))
})
.arguments(&[SPAN, ALARMS, THRESHOLD, WARM_UP.absent_is(DEFAULT_WARM_UP)])
.structured("DetectorResult", &FIELDS)
.version(VERSION)
.explained(|given, period| {
    let explanation =
        Explanation::new(SUMMARY).line("window", alloc::format!("{WINDOW} values of the last {} s", seconds(given)));
    explain_options(explanation, given, 1, DEFAULT_WARM_UP, period)
});

const SUMMARY: &str = "how many robust deviations the newest value is away from the median of the values before it";

static FIELDS: [Field; 11] = fields("MAD");

/// `span=`.
const SPAN: Argument =
    span(DEFAULT_SPAN, "span of the window in whole seconds, 60 to 31536000 (a year), such as `span=86400`", "86400");

const DEFAULT_SPAN: u64 = 86_400;
const DEFAULT_WARM_UP: u64 = 7200;

/// The number of values in the window.
const WINDOW: usize = 64;

/// The length of a silence that empties the window, in spans.
const EXPIRED: u64 = 7;

/// The number of values in the window before there is a score.
const LEAST: u8 = Clock::WARM as u8;

/// The factors of (1).
const OF_MEDIAN: f64 = 1.4826;
const OF_MEAN: f64 = 1.2533;

fn seconds(given: &Given<'_>) -> u64 {
    given.whole(0).unwrap_or(DEFAULT_SPAN)
}

/// `DSAnomaly:MAD[:span=SECONDS][:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// // A third of the values are anomalies, which change neither the median nor the deviation.
/// let mut load = Pipeline::parse("raw:DSAnomaly:MAD:warmup=0")?;
/// for minute in 0..60u64 {
///     load.update(minute * 60_000_000, Number::U64(if minute % 3 == 0 { 900 } else { 100 + minute % 5 }))?;
/// }
/// let result = load.report(0).forced().expect("ready after 21 values");
/// assert!(result.role(Role::Expected).is_some_and(|median| median.as_f64() < 105.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mad {
    /// The least time between two values of the window, in microseconds.
    every: u64,
}

/// The window of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    values: [f64; WINDOW],
    len: u8,
    /// The index of the oldest value of a full window.
    oldest: u8,
    /// Whether the time of the newest value of the detector is many spans from that of the window.
    is_far: bool,
    /// The time of the newest value of the window, in microseconds. A later one may be before it.
    newest_at: u64,
    /// The median and (1); computed from the values, and not saved.
    median: f64,
    deviation: f64,
}

impl Window {
    const START: Self =
        Self { values: [0.0; WINDOW], len: 0, oldest: 0, is_far: false, newest_at: 0, median: 0.0, deviation: 0.0 };

    /// Removes all values after a silence of many spans, with the second value after it. A single time that is far away
    /// may be wrong. If the second one is far too, and earlier, the clock has stepped back, and the values stay.
    #[inline]
    fn expire(&mut self, at: u64, every: u64) {
        let far = every.saturating_mul(WINDOW as u64 * EXPIRED);
        let was_far = core::mem::replace(&mut self.is_far, self.len > 0 && at.abs_diff(self.newest_at) >= far);
        if !self.is_far {
            self.newest_at = self.newest_at.min(at);
        } else if was_far && at < self.newest_at {
            (self.newest_at, self.is_far) = (at, false);
        } else if was_far {
            *self = Self::START;
        }
    }

    /// Takes a value, if it is due and its time is not far away.
    #[inline]
    fn offer(&mut self, x: f64, at: u64, every: u64) {
        let len = usize::from(self.len);
        if self.is_far {
            return;
        }
        if len < WINDOW {
            self.len += 1;
            self.put(len, x, at);
        } else if at.saturating_sub(self.newest_at) >= every {
            let oldest = usize::from(self.oldest);
            self.oldest = ((oldest + 1) % WINDOW) as u8;
            self.put(oldest, x, at);
        }
    }

    fn put(&mut self, index: usize, x: f64, at: u64) {
        if let Some(value) = self.values.get_mut(index) {
            *value = x;
        }
        self.newest_at = at;
        (self.median, self.deviation) = self.measure();
    }

    /// The median and (1).
    fn measure(&self) -> (f64, f64) {
        let mut values = self.values;
        let values = values.get_mut(..usize::from(self.len)).unwrap_or_default();
        let median = median(values);
        values.iter_mut().for_each(|value| *value = (*value - median).abs());
        let deviation = self::median(values);
        (median, if deviation > 0.0 { OF_MEDIAN * deviation } else { OF_MEAN * winsorized_mean(values) })
    }
}

/// The median of values, which it sorts; 0 without values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { 0.5 * (at(middle.saturating_sub(1)) + at(middle)) }
}

/// The mean of sorted values, of which the largest counts as the second largest; 0 without values.
fn winsorized_mean(sorted: &[f64]) -> f64 {
    let Some((_, others @ [.., second])) = sorted.split_last() else { return 0.0 };
    (others.iter().sum::<f64>() + second) / sorted.len() as f64
}

impl Model for Mad {
    type State = Window;

    fn start(&self) -> Window {
        Window::START
    }

    #[inline]
    fn score(&self, state: &mut Window, x: f64, clock: &Clock) -> Scores {
        state.expire(clock.last(), self.every);
        let median = if state.len == 0 { x } else { state.median };
        let deviation = |x| floored(state.deviation, median.abs(), x);
        let (width, score) = (BAND * deviation(0.0), (x - median) / deviation(x));
        let score = if state.len >= LEAST { score } else { 0.0 };
        state.offer(x, clock.last(), self.every);
        Scores { score, strangeness: score.abs(), expected: median, low: median - width, high: median + width }
    }

    fn pass(&self, state: &mut Window, clock: &Clock) {
        state.expire(clock.last(), self.every);
    }

    fn save(&self, state: &Window, words: &mut WordWriter<'_>) {
        let is_far = u64::from(state.is_far) << 16;
        words.extend([is_far | u64::from(state.len) << 8 | u64::from(state.oldest), state.newest_at]);
        words.extend(state.values.iter().map(|value| value.to_bits()));
    }

    /// Reads the words of a version. Before version 3, no time was far away.
    fn restore(&self, version: u16, words: &mut Words<'_>, clock: &Clock) -> Result<Window, RestoreError> {
        let packed = words.next("length of the window")?;
        let (is_far, len, oldest) = (packed >> 16 == 1 && version > 2, (packed >> 8) as u8, packed as u8);
        let is_full = usize::from(len) == WINDOW;
        let is_index = usize::from(oldest) < WINDOW && (is_full || oldest == 0);
        if packed >> 16 != u64::from(is_far) || usize::from(len) > WINDOW || !is_index || is_far && len == 0 {
            return Err(RestoreError::invalid("length of the window", packed));
        }
        let newest_at = words.next("time of the window")?;
        if newest_at > clock.last() && !is_far || len == 0 && newest_at != 0 {
            return Err(RestoreError::invalid("time of the window", newest_at));
        }
        let mut window = Window { len, oldest, is_far, newest_at, ..Window::START };
        for (index, value) in window.values.iter_mut().enumerate() {
            *value = bounded(words, "value of the window", LARGEST)?;
            if index >= usize::from(len) && value.to_bits() != 0 {
                return Err(RestoreError::invalid("value of the window", value.to_bits()));
            }
        }
        (window.median, window.deviation) = window.measure();
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, Window>>(), 680);
    }

    #[test]
    fn the_median_is_that_of_the_sorted_values() {
        for (values, expected) in [(&mut [][..], 0.0), (&mut [3.0], 3.0), (&mut [9.0, 1.0, 5.0], 5.0)] {
            assert_eq!(median(values), expected);
        }
        assert_eq!(median(&mut [8.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn the_deviation_of_mostly_equal_values_is_their_mean_deviation() {
        let mut window = Window::START;
        for x in [0.0, 0.0, 0.0, 1e9] {
            window.offer(x, 0, 1);
        }
        assert_eq!((window.median, window.deviation), (0.0, 0.0), "one glitch");
        window.offer(0.0, 0, 1);
        window.offer(9.0, 0, 1);
        assert_eq!((window.median, window.deviation), (0.0, OF_MEAN * 3.0));
        window.offer(4.0, 0, 1);
        window.offer(4.0, 0, 1);
        assert_eq!((window.median, window.deviation), (2.0, OF_MEDIAN * 2.0));
    }

    #[test]
    fn a_full_window_takes_a_value_each_64th_of_the_span() {
        let mut window = Window::START;
        (0..64u32).for_each(|n| window.offer(f64::from(n), n.into(), 1000));
        window.offer(100.0, 1062, 1000);
        assert_eq!((window.values[0], window.oldest), (0.0, 0), "too early");
        window.offer(100.0, 1063, 1000);
        assert_eq!((window.values[0], window.values[1], window.oldest), (100.0, 1.0, 1));
    }

    /// The expected value, the score and the length of the window for values of 500 at these times, after 200 seconds.
    fn after(times: &[u64]) -> (f64, f64, u8) {
        let (model, mut state, mut clock) = (Mad { every: 1_000_000 }, Window::START, Clock::default());
        let mut score = |at: u64, x| {
            clock.tick(at);
            model.score(&mut state, x, &clock)
        };
        for second in 0..200 {
            score(DAY + second * 1_000_000, 100.0 + (second % 7) as f64);
        }
        let last = times.iter().fold(Scores::default(), |_, at| score(*at, 500.0));
        (last.expected, last.score, state.len)
    }

    const DAY: u64 = 86_400_000_000;

    #[test]
    fn a_silence_of_seven_spans_empties_the_window_with_the_second_value() {
        let silence = |length: u64| DAY + 199_000_000 + length;
        for times in [&[silence(447_999_999)][..], &[silence(448_000_000)]] {
            let (expected, score, len) = after(times);
            assert!(expected < 110.0 && score > 50.0 && len == 64, "{expected} {score} {len}");
        }
        assert_eq!(after(&[silence(448_000_000), silence(449_000_000)]), (500.0, 0.0, 1));
    }

    #[test]
    fn one_time_that_is_far_away_changes_nothing() {
        for far in [0, 30 * DAY] {
            let (expected, score, len) = after(&[far, DAY + 200_000_000]);
            assert!(expected < 110.0 && score > 50.0 && len == 64, "{far}: {expected} {score} {len}");
        }
        let (expected, _, len) = after(&[0, 1_000_000]);
        assert!(expected < 110.0 && len == 64, "a clock that stepped back: {expected} {len}");
    }
}
