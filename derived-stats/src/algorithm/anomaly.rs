//! `DSAnomaly:EWM:alpha`: an exponentially weighted mean detector.
//!
//! Adds to the moments of [`ewm`](super::ewm) what makes them a detector: a warm-up of 1/alpha samples in which there is
//! no result, and the judgement that two samples in a row within half a standard deviation are not worth sending.

use crate::algorithm::ewm::{Moments, too_large};
use crate::algorithm::{Algorithm, Alpha, Sample, UpdateError};
use crate::number::{Number, Numeric};
use crate::report::{AnomalyResult, OVERFLOW, Output, Report};
use crate::saved::{RestoreError, Words};

/// Below this distance, in standard deviations, a sample is quiet.
const QUIET_SIGMA: f64 = 0.5;

/// The name of the only detector of the menu, in annotations and results.
const ALGO: &str = "EWM";

/// The detector's parameter, and its text as results show it.
///
/// ```
/// use derived_stats::{Number, Output, Pipeline};
///
/// // Behind `1.DSSum-` it would see the sum of each period; inline it scores every sample.
/// let mut flows = Pipeline::inline("raw:DSAnomaly:EWM:0.8")?;
/// flows.update(0, Number::U64(197))?;
/// let Some(Output::Anomaly(result)) = flows.report(0).forced() else { unreachable!() };
/// assert_eq!((result.samples, result.metric, result.sigma), (1, Some(197), 0.4999999999999997));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    alpha: Alpha,
    warm_up: u64,
    config: Box<str>,
}

/// The detector's state of one object: 40 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnomalyState<T> {
    moments: Moments,
    newest: T,
    /// Whether the sample before the newest was quiet. At first it is: its sigma counts as 0.
    was_quiet: bool,
    /// Whether the newest sample is quiet: kept, so that the next one need not judge it again.
    is_quiet: bool,
    /// Whether the newest sample was the bound of an overflowed sum.
    overflowed: bool,
    /// Whether the newest sample stood for samples, not for a silent period.
    from_samples: bool,
}

impl<T: Numeric> AnomalyState<T> {
    pub(crate) fn start() -> Self {
        Self {
            moments: Moments::default(),
            newest: T::default(),
            was_quiet: true,
            is_quiet: true,
            overflowed: false,
            from_samples: false,
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.moments.samples > 0
    }

    pub(crate) fn is_from_samples(&self) -> bool {
        self.from_samples
    }

    /// A period passed that gave the detector nothing.
    pub(crate) fn note_silence(&mut self) {
        self.from_samples = false;
    }

    fn sigma(&self) -> f64 {
        self.moments.sigma(self.newest.to_f64())
    }

    fn judge_newest(&mut self) {
        self.is_quiet = self.sigma().abs() < QUIET_SIGMA;
    }
}

impl Anomaly {
    /// A detector with weight `alpha`; results show `config` as its text.
    pub fn new(alpha: Alpha, config: &str) -> Self {
        Self { alpha, warm_up: alpha.warm_up(), config: config.into() }
    }

    /// Takes the value of a period that had samples, and whether it is the bound of an overflowed sum.
    #[inline]
    pub(crate) fn feed<T: Numeric>(&self, state: &mut AnomalyState<T>, value: T, overflowed: bool) {
        state.was_quiet = state.is_quiet;
        state.from_samples = true;
        state.moments.update(self.alpha, value.to_f64());
        state.newest = value;
        state.overflowed = overflowed;
        state.judge_newest();
    }

    /// Takes a silent period as the value 0.
    pub(crate) fn feed_silence<T: Numeric>(&self, state: &mut AnomalyState<T>) {
        self.feed(state, T::default(), false);
        state.from_samples = false;
    }

    pub(crate) fn judge<T: Numeric>(&self, state: &AnomalyState<T>) -> Report<Output<'_>> {
        let output = Output::Anomaly(self.result(state));
        let samples = state.moments.samples;
        if samples < self.warm_up {
            Report::NotReady(Some(output))
        } else if samples > self.warm_up && state.was_quiet && state.is_quiet {
            Report::Unchanged(output)
        } else {
            Report::Value(output)
        }
    }

    fn result<T: Numeric>(&self, state: &AnomalyState<T>) -> AnomalyResult<'_> {
        AnomalyResult {
            samples: state.moments.samples,
            algo: ALGO,
            config: &self.config,
            error: state.overflowed.then_some(OVERFLOW).or_else(|| too_large(state.newest.to_f64())),
            mean: state.moments.mean,
            stddev: state.moments.stddev(),
            sigma: state.sigma(),
            metric: (state.moments.samples > 0).then(|| metric(state.newest.into_number())),
        }
    }
}

/// The original's cast to u64. A double outside the range, undefined there, stops at the bound.
fn metric(newest: Number) -> u64 {
    match newest {
        Number::F64(value) => value as u64,
        Number::I64(value) => value as u64,
        Number::U64(value) => value,
    }
}

impl<T: Numeric> Algorithm<T> for Anomaly {
    type State = AnomalyState<T>;

    fn start(&self) -> AnomalyState<T> {
        AnomalyState::start()
    }

    fn update(&self, state: &mut AnomalyState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        self.feed(state, sample.value, false);
        Ok(())
    }

    fn report(&self, state: &AnomalyState<T>, _now: u64) -> Report<Output<'_>> {
        self.judge(state)
    }

    fn save(&self, state: &AnomalyState<T>, words: &mut Vec<u64>) {
        state.moments.save(words);
        let flags = [state.was_quiet, state.overflowed, state.from_samples];
        let flags = flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u64::from(flag));
        words.extend([state.newest.to_bits(), flags]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<AnomalyState<T>, RestoreError> {
        let moments = Moments::restore(words)?;
        let newest: T = words.finite("newest sample")?;
        moments.check_newest(newest.to_f64())?;
        let flags = words.next("flags")?;
        if flags > 7 {
            return Err(RestoreError::invalid("flags", flags));
        }
        let flag = |bit: u64| flags & bit == bit;
        let (was_quiet, overflowed, from_samples) = (flag(1), flag(2), flag(4));
        let mut state = AnomalyState { moments, newest, was_quiet, is_quiet: true, overflowed, from_samples };
        state.judge_newest();
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector(alpha: &str) -> Anomaly {
        Anomaly::new(Alpha::parse(alpha).expect("a good alpha"), alpha)
    }

    #[test]
    fn the_first_report_comes_when_the_warm_up_is_over() {
        let detector = detector("0.1");
        let mut state = AnomalyState::start();
        for n in 1..=10u64 {
            detector.feed(&mut state, 36u64, false);
            let ready = !matches!(detector.judge(&state), Report::NotReady(_));
            assert_eq!(ready, n == 10, "after {n} samples");
        }
    }

    #[test]
    fn a_flat_series_settles_above_one_sigma() {
        // The rounding stall of the original: 36 for ever scores 1.054, never 0, and so is never called unchanged.
        let detector = detector("0.1");
        let mut state = AnomalyState::start();
        for _ in 0..2000 {
            detector.feed(&mut state, 36u64, false);
        }
        assert!((state.sigma() - 1.0 / 0.9f64.sqrt()).abs() < 1e-3, "sigma is {}", state.sigma());
        assert!(matches!(detector.judge(&state), Report::Value(_)));
    }

    #[test]
    fn a_negative_metric_shows_as_the_original_casts_it() {
        assert_eq!(metric(Number::I64(-1)), u64::MAX);
        assert_eq!(metric(Number::F64(2.9)), 2);
    }

    fn saved(detector: &Anomaly, state: &AnomalyState<f64>) -> Vec<u64> {
        let mut words = Vec::new();
        detector.save(state, &mut words);
        words
    }

    #[test]
    fn two_quiet_samples_in_a_row_after_the_warm_up_are_unchanged() {
        let detector = detector("0.5");
        let mut state = AnomalyState::start();
        for value in [0.0, 100.0, 0.0, 100.0] {
            detector.feed(&mut state, value, false);
            assert!(!matches!(detector.judge(&state), Report::Unchanged(_)), "{value} is far from the mean");
        }
        // The mean itself scores 0.
        let mean = state.moments.mean;
        detector.feed(&mut state, mean, false);
        assert!(matches!(detector.judge(&state), Report::Value(_)), "the first quiet sample is shown");
        detector.feed(&mut state, mean, false);
        assert!(matches!(detector.judge(&state), Report::Unchanged(_)));
        detector.feed(&mut state, mean + 1e6, false);
        assert!(matches!(detector.judge(&state), Report::Value(_)), "a sample that is not quiet is shown at once");
    }

    #[test]
    fn the_result_that_ends_the_warm_up_is_shown_even_if_it_is_quiet() {
        let detector = detector("0.5");
        let mut state = detector.start();
        let shown = [(); 3].map(|()| {
            detector.update(&mut state, Sample { at: 0, value: 0u64 }).expect("any u64 is a sample");
            detector.judge(&state).name()
        });
        assert_eq!(shown, ["not_ready", "ok", "unchanged"]);
        assert_eq!(detector.result(&state).metric, Some(0));
    }

    #[test]
    fn silence_is_not_a_sample_but_counts_as_one_when_it_is_fed() {
        let detector = detector("0.5");
        let mut state = AnomalyState::<f64>::start();
        assert!(!state.is_started() && !state.is_from_samples());
        detector.feed(&mut state, 7.0, false);
        assert!(state.is_started() && state.is_from_samples());
        state.note_silence();
        assert!(state.is_started() && !state.is_from_samples());
        detector.feed(&mut state, 7.0, false);
        detector.feed_silence(&mut state);
        assert!(!state.is_from_samples());
        assert_eq!((state.moments.samples, state.newest), (3, 0.0));
    }

    #[test]
    fn saved_flags_are_exact_and_others_are_refused() {
        let detector = detector("0.5");
        let start = AnomalyState::start();
        assert_eq!(saved(&detector, &start), [0, 0, 0, 0, 1], "a start counts as quiet");
        let mut overflowed = start;
        detector.feed(&mut overflowed, 5.0, true);
        assert_eq!(saved(&detector, &overflowed).last(), Some(&0b111));
        let mut moved = overflowed;
        detector.feed(&mut moved, -400.0, false);
        detector.feed(&mut moved, 400.0, false);
        assert_eq!(saved(&detector, &moved).last(), Some(&0b100));
        for state in [start, overflowed, moved] {
            let words = saved(&detector, &state);
            assert_eq!(detector.restore(&mut Words::new(&words)), Ok(state));
        }
        for flags in [8, u64::MAX] {
            let words = [0, 0, 0, 0, flags];
            let refused: Result<AnomalyState<f64>, _> = detector.restore(&mut Words::new(&words));
            assert_eq!(refused, Err(RestoreError::invalid("flags", flags)));
        }
    }

    #[test]
    fn an_overflowed_or_too_large_sample_carries_its_error() {
        let detector = detector("0.5");
        let errors = [(5.0, true), (1e200, false), (5.0, false)].map(|(value, overflowed)| {
            let mut state = AnomalyState::start();
            detector.feed(&mut state, value, overflowed);
            detector.result(&state).error
        });
        assert_eq!(errors, [Some(OVERFLOW), Some(crate::report::TOO_LARGE), None]);
        assert_eq!(detector.result(&AnomalyState::<u64>::start()).metric, None);
    }
}
