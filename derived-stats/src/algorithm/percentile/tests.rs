//! Percentiles against the sorted samples, and against another implementation of the sketch.

use alloc::vec::Vec;

use super::*;
use crate::algorithm::saved;
use crate::report::Flaw;

/// The rounding of a double that stands for a bucket, in multiples of the sample.
const ROUNDING: f64 = 1e-12;

/// Equally distributed numbers of [0, 1): SplitMix64.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn times(count: usize, mut value: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..count).map(&mut value).collect()
}

/// Samples of each kind of distribution, with its name.
fn samples() -> Vec<(&'static str, Vec<f64>)> {
    let mut next = random(7);
    let uniform = times(5000, |_| next() * 1000.0);
    let log_normal = times(5000, |_| {
        (1.5 * (-2.0 * next().max(1e-300).ln()).sqrt() * (core::f64::consts::TAU * next()).cos()).exp()
    });
    let bimodal = times(5000, |n| if n % 2 == 0 { 1.0 + next() } else { 1e6 + next() });
    let negative = log_normal.iter().map(|value| -value).collect();
    let signs = times(5000, |n| [1.0, -1.0, 0.0][n % 3] * (next() * 1e3).floor());
    let mapping = Mapping::new(0.01);
    // The least and the greatest double of each bucket, where an estimate errs most.
    let ends = times(2000, |n| 2f64.powf(n as f64 / 35.0)).into_iter().flat_map(|end| [end.next_down(), end]).collect();
    let heavy = times(5000, |_| (1.0 - next()).powf(-3.0));
    let descending = times(5000, |n| 1.5f64.powi(100 - n as i32 % 109));
    let huge = times(100, |n| [f64::MAX, f64::MAX / 3.0, f64::MAX / 1e9][n % 3]);
    let tiny = times(100, |n| f64::MIN_POSITIVE * (1.0 + n as f64));
    let middles = times(500, |n| mapping.value(n as i32));
    alloc::vec![
        ("uniform", uniform),
        ("log-normal", log_normal),
        ("constant", times(1000, |_| 36.6)),
        ("bimodal", bimodal),
        ("negative", negative),
        ("both signs and zero", signs),
        ("zero", times(10, |n| if n % 2 == 0 { 0.0 } else { -0.0 })),
        ("ends of buckets", ends),
        ("heavy tail", heavy),
        ("descending powers", descending),
        ("huge", huge),
        ("tiny", tiny),
        ("middles of buckets", middles),
        ("one", alloc::vec![-7.25]),
    ]
}

const PERCENTILES: &str = "0,0.1,25,50,75,90,99,99.9,100";

fn state_of(percentile: &Percentile, samples: &[f64]) -> PercentileState {
    let mut state = Algorithm::<f64>::start(percentile);
    for value in samples {
        percentile.update(&mut state, Sample::new(0, *value)).expect("every sample is taken");
    }
    state
}

fn results(percentile: &Percentile, state: &PercentileState) -> (Vec<f64>, Option<Flaw>) {
    let record = Algorithm::<f64>::report(percentile, state, 0).forced().expect("there are samples");
    let numbers = (1..record.len()).map(|index| record.get(index).expect("a percentile").as_f64());
    (numbers.collect(), record.flaw())
}

#[test]
fn percentiles_are_within_the_error_of_the_sorted_samples() {
    for error in [0.001, 0.01, 0.1, 0.5] {
        let percentile = Percentile::new(PERCENTILES, error).expect("good percentiles");
        for (name, samples) in samples() {
            let (found, flaw) = results(&percentile, &state_of(&percentile, &samples));
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            for (found, text) in found.into_iter().zip(PERCENTILES.split(',')) {
                let rank = text.parse::<f64>().expect("a number") / 100.0 * (sorted.len() - 1) as f64;
                // An integral rank may be rounded to just below it.
                let exact = sorted[(rank + 1e-9) as usize];
                let distance = (found - exact).abs();
                assert!(
                    distance <= exact.abs() * (error + ROUNDING),
                    "{found} for {exact}: p{text} of {name}, {error}"
                );
            }
            assert_eq!(flaw, None, "{name}");
        }
    }
}

/// `sketches-ddsketch` is the kept implementation in Rust, with the logarithm itself.
#[test]
fn percentiles_agree_with_another_implementation() {
    for error in [0.01, 0.05] {
        let percentile = Percentile::new(PERCENTILES, error).expect("good percentiles");
        for (name, samples) in samples() {
            // The other implementation separates neither the largest nor the smallest doubles.
            if samples.iter().any(|value| *value != 0.0 && !(1e-200..1e200).contains(&value.abs())) {
                continue;
            }
            let config = sketches_ddsketch::Config::new(error, 100_000, 1e-200);
            let mut other = sketches_ddsketch::DDSketch::new(config);
            samples.iter().for_each(|value| other.add(*value));
            let (found, _) = results(&percentile, &state_of(&percentile, &samples));
            for (found, text) in found.into_iter().zip(PERCENTILES.split(',')) {
                let quantile = text.parse::<f64>().expect("a number") / 100.0;
                let theirs = other.quantile(quantile).expect("a quantile").expect("there are samples");
                // Both are within the error of one sample; their ranks may differ by one where `quantile` is rounded.
                let integral = (quantile * (samples.len() - 1) as f64).fract();
                let bound = 2.0 * error * found.abs().max(theirs.abs()) + ROUNDING;
                let is_near = (found - theirs).abs() <= bound;
                assert!(is_near || !(1e-6..1.0 - 1e-6).contains(&integral), "{found}, {theirs}: p{text} of {name}");
            }
        }
    }
}

#[test]
fn ranks_are_exact_for_every_number_of_samples() {
    let rank = |percent: &str, samples| Percent::parse(percent).expect("a percentage").rank(samples);
    assert_eq!((rank("7", 101), rank("29", 101), rank("58", 101)), (7, 29, 58), "0.07 * 100 is not 7 in doubles");
    assert_eq!((rank("100", u64::MAX), rank("0", u64::MAX)), (u64::MAX - 1, 0));
    assert_eq!((rank("50", 1), rank("50", 2), rank("50", 3)), (0, 0, 1));
    assert_eq!(rank("99.9999", 10_000_001), 9_999_990);
}

#[test]
fn sizes_beyond_the_bound_collapse_with_an_error_and_the_largest_stay_accurate() {
    let percentile = Percentile::new("0,25,99", 0.01).expect("good percentiles");
    let samples: Vec<f64> = (0..100).map(|power| 4f64.powi(power)).collect();
    let state = state_of(&percentile, &samples);
    let (found, flaw) = results(&percentile, &state);
    assert_eq!((found[0], flaw), (1.0, Some(Flaw::Collapsed)), "the smallest sample is known");
    let lowest = 4f64.powi(99) * 0.5f64.powi(64);
    assert!((found[1] - lowest).abs() < 0.01 * lowest, "{} is not {lowest}", found[1]);
    assert!((found[2] - samples[98]).abs() <= 0.01 * samples[98]);
    let allocated = Algorithm::<f64>::allocated_bytes(&percentile, &state);
    assert!(allocated <= Algorithm::<f64>::heap_bytes(&percentile), "{allocated} bytes");
}

#[test]
fn a_state_of_some_hundred_samples_takes_less_than_a_kilobyte() {
    let percentile = Percentile::new("99", 0.01).expect("a good percentile");
    let mut next = random(3);
    let samples = times(250, |_| 10f64.powf(3.0 * next()));
    let state = state_of(&percentile, &samples);
    let bytes = Algorithm::<f64>::allocated_bytes(&percentile, &state);
    assert!((300..700).contains(&bytes), "{bytes} bytes");
    assert_eq!((size_of::<PercentileState>(), size_of::<Sketch>()), (8, 120));
}

#[test]
fn percentiles_that_are_not_are_refused() {
    for text in
        ["", "50,", ",50", "50,50", "50,50.0", "100.0001", "101", "-1", "+5", "1e1", "50.12345", ".5", "5.", "a"]
    {
        assert_eq!(Percentile::new(text, 0.01).map(drop), Err(PercentileError), "{text}");
    }
    let many: Vec<_> = (1..=64).map(|percent| percent.to_string()).collect();
    assert!(Percentile::new(&many[1..].join(","), 0.01).is_ok(), "63");
    assert!(Percentile::new(&many.join(","), 0.01).is_err(), "64");
    for error in [0.0005, 0.500_001, f64::NAN, -1.0] {
        assert!(Percentile::new("50", error).is_err(), "{error}");
    }
    for text in ["0", "100", "100.0000", "99.9999", "050"] {
        assert!(Percentile::new(text, 0.01).is_ok(), "{text}");
    }
}

#[cfg(feature = "parser")]
#[test]
fn an_error_names_the_form_of_percentiles_and_points_to_them() {
    let context = crate::Context::new(ValueType::U64);
    let error = crate::Spec::parse("1-raw:DSPercentile:50,101:0.1", context).expect_err("101 is above 100");
    let sentence = "expected 1 to 63 different percentiles with `,` between them, each 0 to 100 with at most 4 \
                    decimals, such as `50,90,99`, found `50,101`";
    assert_eq!((error.kind().to_string().as_str(), error.span().range()), (sentence, 19..25));
}

#[test]
fn results_are_in_the_order_of_the_annotation() {
    let percentile = Percentile::new("100,0,50", 0.01).expect("good percentiles");
    let (found, _) = results(&percentile, &state_of(&percentile, &[5.0, 0.0, -5.0]));
    assert_eq!(found, [5.0, -5.0, 0.0]);
}

/// The words of a sketch of -3, 0 and 8, and of one of 1 and 2^70.
fn words() -> (Percentile, Vec<u64>, Vec<u64>) {
    let percentile = Percentile::new("50", 0.01).expect("a good percentile");
    let words = |samples: &[f64]| saved::<f64, _>(&percentile, &state_of(&percentile, samples));
    let (signs, wide) = (words(&[-3.0, 0.0, 8.0]), words(&[1.0, 2f64.powi(70)]));
    (percentile, signs, wide)
}

#[test]
fn saved_sketches_that_no_samples_lead_to_are_refused() {
    let (percentile, signs, wide) = words();
    let restore = |words: &[u64]| Algorithm::<f64>::restore(&percentile, &mut Words::new(words));
    // Has-sketch, flags, zeros, smallest, largest; then length, counts, first bucket of each sign.
    assert_eq!(signs, [1, 0, 1, (-3f64).to_bits(), 8f64.to_bits(), 1, 1, 105, 1, 1, 55]);
    assert_eq!(wide[..5], [1, 1, 0, 1f64.to_bits(), 2f64.powi(70).to_bits()]);
    let is_good = |words: &[u64], index: usize, word: u64| {
        let mut words = words.to_vec();
        words[index] = word;
        restore(&words).is_ok()
    };
    for words in [&signs, &wide] {
        assert!(restore(words).is_ok());
    }
    let bits = |value: f64| value.to_bits();
    let cases = [
        (1, 4, false),
        (1, 3, true),
        (2, u64::MAX, false),
        (3, bits(-3.001), true),
        (3, bits(-4.0), false),
        (3, bits(3.0), false),
        (3, bits(9.0), false),
        (3, bits(f64::NAN), false),
        (4, bits(8.001), true),
        (4, bits(9.0), false),
        (4, bits(0.0), false),
        (7, 106, false),
    ];
    for (index, word, good) in cases {
        assert_eq!(is_good(&signs, index, word), good, "word {index} as {word:#x}");
    }
    assert!(is_good(&wide, 3, bits(0.5)), "a smaller one that was collapsed");
    assert!(!is_good(&wide, 3, bits(1e6 * 2f64.powi(6))), "one above the lowest bucket");
    assert!(!is_good(&wide, 1, 0), "a smallest sample below the lowest bucket without a collapse");
    let empty = [1, 0, 0, 0, 0, 0, 0];
    assert!(restore(&empty).is_err(), "a sketch without samples");
}

#[test]
fn samples_beyond_the_largest_count_are_not_counted() {
    let (percentile, mut words, _) = words();
    words[2] = u64::MAX - 2;
    let mut state = Algorithm::<f64>::restore(&percentile, &mut Words::new(&words)).expect("2^64-1 samples");
    let before = state.clone();
    percentile.update(&mut state, Sample::new(0, 1.0)).expect("it is taken");
    Algorithm::<f64>::merge(&percentile, &mut state, &before).expect("sketches merge");
    assert_eq!(state, before);
    percentile.update(&mut state, Sample::new(0, -9.0)).expect("it is taken");
    let saved = saved::<f64, _>(&percentile, &state);
    assert_eq!(saved[3], words[3], "a smallest sample without a bucket could not be restored");
}
