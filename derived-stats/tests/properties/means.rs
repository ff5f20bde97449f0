//! Means and variances against exact arithmetic, and the bound of the score.

use derived_stats::column::WindowColumn;
use derived_stats::entry::Role;
use derived_stats::{MetricKind, Number, ValueType};
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use proptest::prelude::*;

use crate::input::{sample, value_type};
use crate::shapes::compile;

fn series() -> impl Strategy<Value = (ValueType, Vec<Number>)> {
    value_type().prop_flat_map(|value| (Just(value), prop::collection::vec(sample(value), 1..60)))
}

/// Squares of much smaller samples lose digits, and the bound does not hold.
fn without_underflow(sample: Number) -> Number {
    match sample {
        Number::F64(value) if value.abs() < 1e-100 => Number::F64(0.0),
        sample => sample,
    }
}

/// The recursion of the weighted moments without rounding. Weight and samples are doubles, which are rationals.
#[derive(Debug)]
struct Exact {
    alpha: BigRational,
    mean: BigRational,
    variance: BigRational,
}

fn rational(value: f64) -> BigRational {
    BigRational::from_float(value).unwrap()
}

impl Exact {
    fn new(alpha: f64) -> Self {
        Self { alpha: rational(alpha), mean: Zero::zero(), variance: Zero::zero() }
    }

    fn update(&mut self, x: f64) {
        let (x, kept) = (rational(x), rational(1.0) - &self.alpha);
        let distance = &x - &self.mean;
        self.variance = &kept * (&self.variance + &self.alpha * &distance * &distance);
        self.mean = kept * &self.mean + &self.alpha * x;
    }
}

/// With u = 2^-53, n samples of size M at most: each update of the mean rounds four times (1-a, both products, their
/// sum), each time a number of at most M, and what was wrong before shrinks. So the mean is within 4*n*u*M.
const MEAN_ROUNDINGS: f64 = 4.0;

/// The distance d is at most 2M and off by the mean's error and its own rounding, (4n+2)*u*M, so d*d by at most
/// 2*2M*(4n+2)*u*M + 4*u*M^2; the other four roundings of an update are of at most 4M^2. That is less than
/// (16n+32)*u*M^2 a sample, and what was wrong before shrinks: 16*n*(n+2)*u*M^2 in all.
const VARIANCE_ROUNDINGS: f64 = 16.0;

const UNIT: f64 = f64::EPSILON / 2.0;

/// The saved mean and variance: an inline state has a word of flags, then the words of the algorithm.
fn moments(words: &[u64]) -> (f64, f64) {
    (f64::from_bits(words[1]), f64::from_bits(words[2]))
}

/// With u = 2^-53, n samples of size M at most: an update of the mean rounds by at most u*M + 4*u*M/n, and what was wrong
/// before shrinks by 1/n, so the mean is within (n+4)*u*M. A square of deviations is then off by at most
/// 4M*(n+4)*u*M + 12*u*M^2, and adding it rounds by at most n*4*u*M^2; n of them, divided by n, stay below
/// 4*(n+8)*u*M^2. A merge adds at most as much.
fn variance_bound(count: usize, merges: f64) -> f64 {
    (1.0 + merges) * 4.0 * (count as f64 + 8.0) * UNIT
}

/// A step of a mean over time rounds its weight, a distance of at most 2M, their product and a sum of at most M.
const TIME_ROUNDINGS: f64 = 6.0;

fn exact_variance(samples: &[f64]) -> BigRational {
    let count = rational(samples.len() as f64);
    let mean = samples.iter().map(|x| rational(*x)).sum::<BigRational>() / &count;
    samples.iter().map(|x| (rational(*x) - &mean) * (rational(*x) - &mean)).sum::<BigRational>() / count
}

/// The value of the window of `left`, merged with that of `right`.
fn merged(algorithm: &str, left: &[f64], right: &[f64]) -> f64 {
    let spec = compile(&format!("1-raw:{algorithm}"), ValueType::F64, MetricKind::Plain);
    let [mut window, from] = [left, right].map(|samples| {
        let mut window = WindowColumn::new(&spec).unwrap();
        samples.iter().for_each(|x| window.update(0, 0, Number::F64(*x)).unwrap());
        window
    });
    window.merge(0, &from, 0).unwrap();
    window.value(0, 0).unwrap().as_f64()
}

fn size(samples: &[f64]) -> BigRational {
    rational(samples.iter().copied().map(f64::abs).fold(0.0, f64::max))
}

proptest! {
    #[test]
    fn property_variances_are_as_near_to_the_exact_ones_as_their_rounding(
        samples in prop::collection::vec(prop_oneof![-1e3..1e3, Just(36.0), 1e9..1.000001e9, -1e-9..1e-9], 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let (left, right) = samples.split_at(cut.index(samples.len() + 1));
        let merges = if left.is_empty() || right.is_empty() { 0.0 } else { 1.0 };
        let square = size(&samples) * size(&samples);
        let bound = rational(variance_bound(samples.len(), merges)) * &square;
        let exact = exact_variance(&samples);
        let variance = merged("DSVariance", left, right);
        prop_assert!((rational(variance) - &exact).abs() <= bound, "the variance {variance} of {samples:?}");
        // The root rounds once, and its square twice the relative amount.
        let stddev = merged("DSStddev", left, right);
        let bound = bound + rational(4.0 * UNIT) * square;
        prop_assert!((rational(stddev) * rational(stddev) - exact).abs() <= bound, "the deviation {stddev}");
    }

    #[test]
    fn property_a_mean_over_time_is_as_near_to_the_exact_one_as_its_rounding(
        samples in prop::collection::vec((0..5_000_000u32, prop_oneof![-1e3..1e3, 1e9..1.000001e9]), 1..40),
        rest in 1..5_000_000u32,
    ) {
        let spec = compile("raw:DSTimeAvg", ValueType::F64, MetricKind::Plain);
        let (mut state, mut now, mut held) = (spec.start(), 0, Vec::new());
        for (step, x) in &samples {
            now += u64::from(*step);
            spec.update(&mut state, now, Number::F64(*x)).unwrap();
            held.push((now, *x));
        }
        let end = now + u64::from(rest);
        let ends = held.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let sum: BigRational = held.iter().zip(ends).map(|((at, x), end)| rational(*x) * rational((end - at) as f64)).sum();
        let exact = sum / rational((end - held[0].0) as f64);
        let found = spec.report(&state, end).forced().unwrap().value().unwrap().as_f64();
        let values: Vec<f64> = samples.iter().map(|(_, x)| *x).collect();
        let bound = rational(TIME_ROUNDINGS * samples.len() as f64 * UNIT) * size(&values);
        prop_assert!((rational(found) - exact).abs() <= bound, "the mean {found} of {held:?} until {end}");
    }

    #[test]
    fn property_weighted_moments_are_as_near_to_the_exact_ones_as_their_rounding(
        samples in prop::collection::vec(prop_oneof![-1e3..1e3, Just(36.0), Just(0.0), -1e9..1e9], 1..30),
        alpha in prop_oneof![Just(1.0), Just(0.1), Just(0.5), 1e-3..1.0],
        call in prop::sample::select(vec!["DSEWM", "DSAnomaly:EWM"]),
    ) {
        let spec = compile(&format!("raw:{call}:{alpha}"), ValueType::F64, MetricKind::Plain);
        let (mut state, mut exact) = (spec.start(), Exact::new(alpha));
        let size = rational(samples.iter().copied().map(f64::abs).fold(0.0, f64::max));
        for (count, x) in samples.into_iter().enumerate() {
            spec.update(&mut state, 0, Number::F64(x)).unwrap();
            exact.update(x);
            let (mean, variance) = moments(&spec.save(&state).words);
            let count = (count + 1) as f64;
            let bound = rational(MEAN_ROUNDINGS * count * UNIT) * &size;
            prop_assert!((rational(mean) - &exact.mean).abs() <= bound, "the mean {mean} after {count} samples");
            let bound = rational(VARIANCE_ROUNDINGS * count * (count + 2.0) * UNIT) * &size * &size;
            prop_assert!((rational(variance) - &exact.variance).abs() <= bound, "the variance {variance} after {count}");
        }
    }

    #[test]
    fn property_a_score_never_leaves_its_bound(
        (value, samples) in series(),
        alpha in prop::sample::select(vec![0.01f64, 0.1, 0.5]),
    ) {
        let spec = compile(&format!("raw:DSAnomaly:EWM:{alpha}"), value, MetricKind::Plain);
        let mut state = spec.start();
        let bound = ((1.0 - alpha) / alpha).sqrt();
        for sample in samples.into_iter().map(without_underflow) {
            spec.update(&mut state, 0, sample).unwrap();
            let result = spec.report(&state, 0).any().expect("a result");
            let sigma = result.role(Role::Score).expect("a score").as_f64();
            // The rounding stall may lift a score above 1/sqrt(1-a), but not above this bound for these weights.
            prop_assert!(sigma.abs() <= bound * (1.0 + 1e-9), "{} scores {}", sample, sigma);
            let huge = sample.as_f64().abs() > 1e150;
            prop_assert_eq!(result.error().is_some(), huge, "{:?}", result);
        }
    }
}
