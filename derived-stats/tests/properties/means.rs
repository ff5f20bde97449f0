//! Bounds that means and scores keep.

use derived_stats::entry::Role;
use derived_stats::{MetricKind, Number, ValueType};
use proptest::prelude::*;

use crate::input::{compile, sample, value_type};

fn series() -> impl Strategy<Value = (ValueType, Vec<Number>)> {
    value_type().prop_flat_map(|value| (Just(value), prop::collection::vec(sample(value), 1..60)))
}

/// Squares of samples much smaller than this lose their digits, and with them the bound.
fn without_underflow(sample: Number) -> Number {
    match sample {
        Number::F64(value) if value.abs() < 1e-100 => Number::F64(0.0),
        sample => sample,
    }
}

proptest! {
    #[test]
    fn property_an_average_lies_between_the_least_and_the_greatest_sample((value, samples) in series()) {
        let spec = compile("raw:DSAvg", value, MetricKind::Plain);
        let mut state = spec.start();
        for (count, sample) in samples.iter().enumerate() {
            spec.update(&mut state, 0, *sample).unwrap();
            let result = spec.report(&state, 0).forced().expect("an average");
            if result.error().is_some() {
                // The sum stopped at the bound, and the result says so.
                continue;
            }
            let seen = samples[..=count].iter().map(|sample| sample.as_f64());
            let (least, most) = seen.fold((f64::MAX, f64::MIN), |(least, most), x| (least.min(x), most.max(x)));
            // Each addition of doubles may round by half an ulp; a mean of integers is exact but for its conversion.
            let slack = least.abs().max(most.abs()) * (count + 2) as f64 * f64::EPSILON;
            let mean = result.value().expect("a mean").as_f64();
            prop_assert!(least - slack <= mean && mean <= most + slack, "{mean} is not within {least}..{most}");
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
