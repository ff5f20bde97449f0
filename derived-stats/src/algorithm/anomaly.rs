//! `DSAnomaly:EWM:alpha`: an exponentially weighted mean detector.
//!
//! | | |
//! |---|---|
//! | source | `DSAnomaly` and `EWM` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | formula, units, range, error | as for [`ewm`](super::ewm) |
//! | memory | 32 bytes an object |
//! | cost | constant for each value, with a square root and a division; the same for each result |
//!
//! The detector adds two rules to the moments of [`ewm`](super::ewm): there is no result in the warm-up of 1/alpha
//! samples, and the result is unchanged if this and the previous sample are within half a standard deviation.

use alloc::borrow::Cow;

use crate::algorithm::ewm::{ALPHA, Moments, NEWEST, SIGMA, alpha, explain_moments};
use crate::algorithm::large::flaw;
use crate::algorithm::tally::MAX_SAMPLES;
use crate::algorithm::{Algorithm, Alpha, Detector, Measured, Sample, UpdateError};
use crate::entry::{Built, Entry, Explanation, Field, Given, NumberKind, Role, Roles, TextSource, Unit};
use crate::number::{Number, Numeric, ValueType};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `EWM`.
pub(crate) static ENTRY: Entry = Entry::new("EWM", Roles::DETECTOR, SUMMARY, |given| {
    let alpha = alpha(given)?;
    Ok(Built::detector(Anomaly::new(alpha)).with_largest_score(alpha.largest_sigma()))
})
.arguments(&[ALPHA])
.structured_by("AnomalyResult", fields)
.explained(explain);

const SUMMARY: &str = "how many deviations (sigma) the newest value is away from an exponentially weighted mean; \
                       unchanged while this and the previous |sigma| are below 0.5";

/// Below this distance, in standard deviations, a sample is quiet.
const QUIET_SIGMA: f64 = 0.5;

const SAMPLES: Field = Field::number("samples", NumberKind::U64, Unit::Samples, "values seen by the detector");
const ALGO: Field = Field::text("algo", TextSource::Literal("EWM"), "the detector");
const CONFIG: Field = Field::text("config", TextSource::Argument(0), "its argument, as written");
const MEAN: Field = Field::number("mean", NumberKind::F64, Unit::Metric, "the weighted mean")
    .role_of(Role::Expected)
    .in_group("state")
    .six_digits();
const STDDEV: Field = Field::number("stddev", NumberKind::F64, Unit::Metric, "the weighted standard deviation")
    .not_negative()
    .in_group("state")
    .six_digits();
const METRIC: Field = Field::number(
    "metric",
    NumberKind::U64,
    Unit::Metric,
    "the newest value as the original's u64: negatives appear as 2^64 minus their size, fractions are cut",
);

/// The fields of Contrail's `AnomalyResult`.
static OF_U64: [Field; 8] = [SAMPLES, ALGO, CONFIG, Field::error(), MEAN, STDDEV, SIGMA, METRIC.role_of(Role::Value)];

/// The same fields, and the newest value in its own type, which the original's `metric` cannot hold.
static OF_OTHERS: [Field; 9] =
    [SAMPLES, ALGO, CONFIG, Field::error(), MEAN, STDDEV, SIGMA, METRIC.without_column(), NEWEST];

fn fields(_: &Given<'_>, metric: ValueType) -> Cow<'static, [Field]> {
    Cow::Borrowed(match metric {
        ValueType::U64 => &OF_U64,
        ValueType::F64 | ValueType::I64 => &OF_OTHERS,
    })
}

fn explain(given: &Given<'_>, seconds: Option<u64>) -> Explanation {
    let Ok(warm_up) = alpha(given).map(Alpha::warm_up) else {
        return Explanation::new(SUMMARY);
    };
    let time = seconds.map_or_else(Default::default, |seconds| {
        alloc::format!(", {} s with the built-in types", warm_up.saturating_mul(seconds))
    });
    let mut explanation = explain_moments(Explanation::new(SUMMARY), given);
    let line = ("warm-up", alloc::format!("not ready before {warm_up} values (1/alpha){time}"));
    explanation.lines.insert(1, line);
    explanation.fact("moments", "warm_up", Number::U64(warm_up))
}

/// The detector's parameter.
///
/// 32 bytes an object. A close of a million objects takes about 10 ns for each object.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// // After `1.DSSum-` the detector takes the sum of each period; inline it scores every sample.
/// let mut flows = Pipeline::parse("raw:DSAnomaly:EWM:0.8")?;
/// flows.update(0, Number::U64(197))?;
/// let result = flows.report(0).forced().expect("ready after 1/0.8 samples");
/// assert_eq!(result.number("samples"), Some(Number::U64(1)));
/// assert_eq!(result.role(Role::Score), Some(Number::F64(0.4999999999999997)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    alpha: Alpha,
    warm_up: u64,
}

/// The state of the detector for one object: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnomalyState<T> {
    moments: Moments,
    newest: T,
    /// The number of samples, and in the three lowest bits the flags.
    packed: u64,
}

/// The sigma of the newest sample is small. Stored, so that the next sample does not compute it again.
const QUIET: u64 = 1;
/// The sigma of the previous sample is small. Before the first sample it counts as 0.
const WAS_QUIET: u64 = 2;
/// The newest sample is the bound of an overflowed sum.
const BOUND: u64 = 4;
/// All flags.
const FLAGS: u64 = WAS_QUIET | BOUND | QUIET;
/// One sample.
const SAMPLE: u64 = 8;

impl<T: Numeric> AnomalyState<T> {
    #[inline]
    fn samples(&self) -> u64 {
        self.packed / SAMPLE
    }

    #[inline]
    fn has(&self, flag: u64) -> bool {
        self.packed & flag != 0
    }

    #[inline]
    fn sigma(&self) -> f64 {
        self.moments.sigma(self.newest.to_f64())
    }
}

impl Anomaly {
    /// A detector with weight `alpha`.
    pub fn new(alpha: Alpha) -> Self {
        Self { alpha, warm_up: alpha.warm_up() }
    }

    #[inline]
    fn record<T: Numeric>(state: &AnomalyState<T>) -> Record {
        let (samples, newest) = (state.samples(), state.newest.into_number());
        let stddev = state.moments.stddev();
        let (mean, sigma) =
            (Number::F64(state.moments.mean), Number::F64(state.moments.sigma_of(newest.as_f64(), stddev)));
        let (count, stddev, metric) = (Number::U64(samples), Number::F64(stddev), Number::U64(metric(newest)));
        let record = match T::TYPE {
            ValueType::U64 => Record::new([count, mean, stddev, sigma, metric]),
            ValueType::F64 | ValueType::I64 => Record::new([count, mean, stddev, sigma, metric, newest]),
        };
        let record = if samples == 0 { record.without(4).without(5) } else { record };
        record.flawed(flaw(state.newest.to_f64(), state.has(BOUND)))
    }
}

#[inline]
fn flag(flag: u64, is_set: bool) -> u64 {
    flag * u64::from(is_set)
}

/// The cast to u64 of the original. A double outside the range, for which the original is undefined, saturates.
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
        AnomalyState { moments: Moments::default(), newest: T::default(), packed: QUIET | WAS_QUIET }
    }

    #[inline]
    fn is_empty(&self, state: &AnomalyState<T>) -> bool {
        state.packed < SAMPLE
    }

    #[inline]
    fn update(&self, state: &mut AnomalyState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.moments.update(self.alpha, sample.value.to_f64());
        state.newest = sample.value;
        let is_quiet = state.sigma().abs() < QUIET_SIGMA;
        // All flags are set, so that adding one carries into the count.
        let counted = ((state.packed | FLAGS) + 1).min(MAX_SAMPLES * SAMPLE);
        let was_quiet = (state.packed & QUIET) * (WAS_QUIET / QUIET);
        state.packed = counted | flag(QUIET, is_quiet) | flag(BOUND, sample.overflowed) | was_quiet;
        Ok(())
    }

    #[inline]
    fn report(&self, state: &AnomalyState<T>, _now: u64) -> Report<Record> {
        let (record, samples) = (Self::record(state), state.samples());
        if samples < self.warm_up {
            Report::NotReady(Some(record))
        } else if samples > self.warm_up && state.has(WAS_QUIET) && state.has(QUIET) {
            Report::Unchanged(record)
        } else {
            Report::Value(record)
        }
    }

    #[inline]
    fn value(&self, state: &AnomalyState<T>, _now: u64, _value: usize) -> Option<Measured> {
        let measured = Measured { number: state.newest.into_number(), overflowed: state.has(BOUND) };
        (state.samples() >= self.warm_up.max(1)).then_some(measured)
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn words(&self) -> Option<usize> {
        Some(4)
    }

    #[inline]
    fn load(&self, words: &[u64]) -> Option<AnomalyState<T>> {
        let &[mean, variance, newest, packed] = words else {
            return None;
        };
        Some(AnomalyState { moments: Moments::from_bits(mean, variance), newest: T::from_bits(newest), packed })
    }

    #[inline]
    fn store(&self, state: &AnomalyState<T>, words: &mut [u64]) {
        if let [mean, variance, newest, packed] = words {
            [*mean, *variance] = state.moments.bits();
            (*newest, *packed) = (state.newest.to_bits(), state.packed);
        }
    }

    /// Does not save whether the newest sample is quiet: `restore` computes it from the moments.
    fn save(&self, state: &AnomalyState<T>, words: &mut WordWriter<'_>) {
        state.moments.save(words);
        let flags = u64::from(state.has(BOUND)) << 1 | u64::from(state.has(WAS_QUIET));
        words.extend([state.newest.to_bits(), state.samples() << 2 | flags]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<AnomalyState<T>, RestoreError> {
        let moments = Moments::restore(words)?;
        let newest: T = words.finite("newest sample")?;
        moments.check_newest(newest.to_f64())?;
        let packed = words.next("samples")?;
        if packed >> 2 > MAX_SAMPLES {
            return Err(RestoreError::invalid("samples", packed));
        }
        let samples = packed >> 2;
        // Without samples the newest sample counts as quiet.
        let is_quiet = samples == 0 || moments.sigma(newest.to_f64()).abs() < QUIET_SIGMA;
        let flags = flag(QUIET, is_quiet) | flag(WAS_QUIET, packed & 1 != 0) | flag(BOUND, packed & 2 != 0);
        let state = AnomalyState { moments, newest, packed: (samples * SAMPLE) | flags };
        if samples == 0 && state != self.start() {
            return Err(RestoreError::invalid("samples", packed));
        }
        Ok(state)
    }
}

impl<T: Numeric> Detector<T> for Anomaly {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::saved;

    fn detector(alpha: &str) -> Anomaly {
        Anomaly::new(Alpha::parse(alpha).expect("a good alpha"))
    }

    fn feed<T: Numeric>(detector: &Anomaly, state: &mut AnomalyState<T>, value: T) {
        detector.update(state, Sample::new(0, value)).expect("every value is taken");
    }

    #[test]
    fn a_state_is_32_bytes() {
        assert_eq!(size_of::<AnomalyState<u64>>(), 32);
    }

    #[test]
    fn the_first_result_is_reported_after_the_warm_up() {
        let detector = detector("0.1");
        let mut state = detector.start();
        for n in 1..=10 {
            feed(&detector, &mut state, 36u64);
            let ready = !matches!(detector.report(&state, 0), Report::NotReady(_));
            assert_eq!(ready, n == 10, "after {n} samples");
            assert_eq!(detector.value(&state, 0, 4).is_some(), ready, "after {n} samples");
        }
    }

    #[test]
    fn a_flat_series_settles_above_one_sigma() {
        // The rounding stall of the original: 36 for ever scores 1.054, never 0, and so is never called unchanged.
        let detector = detector("0.1");
        let mut state = detector.start();
        for _ in 0..2000 {
            feed(&detector, &mut state, 36u64);
        }
        assert!((state.sigma() - 1.0 / 0.9f64.sqrt()).abs() < 1e-3, "sigma is {}", state.sigma());
        assert!(matches!(detector.report(&state, 0), Report::Value(_)));
    }

    #[test]
    fn a_negative_metric_shows_as_the_original_casts_it() {
        assert_eq!(metric(Number::I64(-1)), u64::MAX);
        assert_eq!(metric(Number::F64(2.9)), 2);
    }

    #[test]
    fn the_value_keeps_the_type_that_the_metric_loses() {
        let detector = detector("0.5");
        let mut state: AnomalyState<f64> = detector.start();
        feed(&detector, &mut state, 0.9);
        let record = detector.report(&state, 0).any().expect("shown in the warm-up too");
        assert_eq!((record.get(4), record.get(5)), (Some(Number::U64(0)), Some(Number::F64(0.9))));
    }

    #[test]
    fn a_count_stops_at_the_largest_that_is_saved() {
        let detector = detector("0.5");
        let mut state: AnomalyState<u64> = detector.start();
        feed(&detector, &mut state, 3);
        state.packed += (MAX_SAMPLES - 1 - state.samples()) * SAMPLE;
        for _ in 0..2 {
            feed(&detector, &mut state, 3);
            assert_eq!(state.samples(), MAX_SAMPLES);
        }
        let mut words = saved(&detector, &state);
        let restore = |words: &[u64]| Algorithm::<u64>::restore(&detector, &mut Words::new(words));
        assert_eq!(restore(&words), Ok(state));
        words[3] = (MAX_SAMPLES + 1) << 2;
        assert_eq!(restore(&words), Err(RestoreError::invalid("samples", words[3])));
    }

    #[test]
    fn words_that_no_samples_lead_to_are_refused() {
        let detector = detector("0.5");
        let mut state: AnomalyState<u64> = detector.start();
        feed(&detector, &mut state, 3);
        let words = saved(&detector, &state);
        let restored = Algorithm::<u64>::restore(&detector, &mut Words::new(&words));
        assert_eq!(restored, Ok(state));
        for (index, word) in [(0, f64::NAN.to_bits()), (0, 1e151f64.to_bits()), (1, (-1.0f64).to_bits()), (3, u64::MAX)]
        {
            let mut words = words.clone();
            words[index] = word;
            let restored = Algorithm::<u64>::restore(&detector, &mut Words::new(&words));
            assert!(matches!(restored, Err(RestoreError::Invalid { .. })), "word {index} as {word:#x}: {restored:?}");
        }
    }

    #[test]
    fn two_quiet_samples_in_a_row_after_the_warm_up_are_unchanged() {
        let detector = detector("0.5");
        let mut state: AnomalyState<f64> = detector.start();
        for value in [0.0, 100.0, 0.0, 100.0] {
            feed(&detector, &mut state, value);
            assert!(!matches!(detector.report(&state, 0), Report::Unchanged(_)), "{value} is far from the mean");
        }
        // The mean itself scores 0.
        let mean = state.moments.mean;
        feed(&detector, &mut state, mean);
        assert!(matches!(detector.report(&state, 0), Report::Value(_)), "the first quiet sample is shown");
        feed(&detector, &mut state, mean);
        assert!(matches!(detector.report(&state, 0), Report::Unchanged(_)));
        feed(&detector, &mut state, mean + 1e6);
        assert!(matches!(detector.report(&state, 0), Report::Value(_)), "a sample that is not quiet is shown at once");
    }

    #[test]
    fn the_result_that_ends_the_warm_up_is_shown_even_if_it_is_quiet() {
        let detector = detector("0.5");
        let mut state: AnomalyState<u64> = detector.start();
        let shown = [(); 3].map(|()| {
            feed(&detector, &mut state, 0);
            detector.report(&state, 0).name()
        });
        assert_eq!(shown, ["not_ready", "ok", "unchanged"]);
    }

    #[test]
    #[cfg(feature = "parser")]
    fn no_score_exceeds_its_bound_and_a_jump_from_a_constant_reaches_it() {
        use crate::spec::{Context, Spec};
        for alpha in ["0.001", "0.1", "0.5", "0.9", "1"] {
            let spec = Spec::parse(&alloc::format!("raw:DSAnomaly:EWM:{alpha}"), Context::new(ValueType::F64));
            let spec = spec.expect("a good annotation");
            let most = spec.largest_score().expect("a bound");
            let mut state = spec.start();
            let mut largest = 0.0f64;
            for second in 0..2000u64 {
                let value = if second == 1999 { 1e6 } else { 5.0 };
                spec.update(&mut state, second, Number::F64(value)).expect("a finite value");
                let score = spec.report(&state, second).forced().and_then(|output| output.number("sigma"));
                largest = largest.max(score.map_or(0.0, |score| score.as_f64().abs()));
            }
            assert!(largest <= most * (1.0 + 1e-6), "{alpha}: {largest} of {most}");
            assert!(alpha == "0.001" || largest >= most * (1.0 - 1e-6), "{alpha}: {largest} of {most}");
        }
        let plain = Spec::parse("raw:DSSum", Context::new(ValueType::F64)).expect("a good annotation");
        assert_eq!(plain.largest_score(), None);
    }
}
