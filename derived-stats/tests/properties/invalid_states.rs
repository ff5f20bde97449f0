//! Saved states that no sequence of samples produces are refused.

use derived_stats::{Context, MapPipeline, MetricKind, Number, RestoreError, SavedMap, SavedState, Spec, ValueType};

use crate::shapes::compile;

/// Without the check the score of this state is infinite.
#[test]
fn a_saved_newest_sample_far_outside_the_moments_is_refused() {
    let spec = compile("raw:DSAnomaly:EWM:0.5", ValueType::F64, MetricKind::Plain);
    let words = vec![0, (-5e149f64).to_bits(), 1, (-7e189f64).to_bits(), 1 << 2];
    let saved = SavedState { words, ..spec.save(&spec.start()) };
    let refused = matches!(spec.restore(&saved), Err(RestoreError::Invalid { field: "newest sample", .. }));
    assert!(refused, "{:?}", spec.restore(&saved));
}

/// Without the check these words are ignored, and the restored state saves other words.
#[test]
fn the_word_of_an_absent_value_must_be_zero() {
    let cases = [
        ("raw:DSSum", MetricKind::Agg, 1, "counter reading"),
        ("1-raw:DSSum", MetricKind::Plain, 1, "end of the closed period"),
    ];
    for (annotation, metric, position, expected) in cases {
        let spec = compile(annotation, ValueType::U64, metric);
        let mut saved = spec.save(&spec.start());
        assert!(spec.restore(&saved).is_ok(), "{annotation}");
        saved.words[position] = 1 << 20;
        let refused = spec.restore(&saved);
        assert_eq!(refused.err(), Some(RestoreError::Invalid { field: expected, word: 1 << 20 }), "{annotation}");
    }
}

#[test]
fn a_saved_state_without_samples_holds_nothing_else() {
    const WORDS: [u64; 7] = [1, 2, 3, 5, 1 << 40, u64::MAX, 1.5f64.to_bits()];
    for annotation in
        ["raw:DSSum", "raw:DSChange", "raw:DSNull", "raw:DSEWM:0.5", "raw:DSAnomaly:EWM:0.5", "raw:DSSum:3"]
    {
        for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
            let spec = Spec::parse(annotation, Context::new(value)).unwrap();
            let fresh = spec.save(&spec.start());
            for (index, word) in (0..fresh.words.len()).flat_map(|index| WORDS.map(|word| (index, word))) {
                let mut saved = fresh.clone();
                saved.words[index] = word;
                if let Ok(state) = spec.restore(&saved) {
                    assert!(spec.is_active(&state) || state == spec.start(), "{spec}: word {index} as {word}");
                }
            }
        }
    }
}

/// Without the wrapping addition a map that is restored with the largest number of periods panics at the next one.
#[test]
fn a_map_takes_any_number_of_periods() {
    let mut map = MapPipeline::new(compile("2-raw:DSSum", ValueType::U64, MetricKind::Plain));
    let mut saved = map.save();
    saved.periods = u64::MAX;
    map.restore(&saved).unwrap();
    assert!(map.close_period(0).is_empty());
    assert_eq!(map.save().periods, 0);
}

#[test]
fn a_map_that_cannot_be_restored_stays_as_it_was_and_names_the_key() {
    let new = |annotation| MapPipeline::new(compile(annotation, ValueType::U64, MetricKind::Plain));
    let mut map = new("1-raw:DSSum");
    map.update(0, [("blue", Number::U64(3)), ("red", Number::U64(4))], []).unwrap();
    let (before, saved) = (map.clone(), map.save());
    let mut broken = saved.clone();
    broken.keys.get_mut("red").unwrap().push(0);
    let error = map.restore(&broken).unwrap_err();
    assert_eq!(
        error,
        RestoreError::InKey { key: "red".to_owned(), error: Box::new(RestoreError::TooLong { extra: 1 }) }
    );
    assert_eq!(error.to_string(), "key `red`: the saved state has 1 words too many");
    assert_eq!(map.restore(&SavedMap { version: 1, ..saved.clone() }), Err(RestoreError::Version { found: 1 }));
    assert_eq!(map, before);
    assert!(matches!(new("1-raw:DSAvg").restore(&saved), Err(RestoreError::WrongPipeline { .. })));
    assert!(matches!(
        map.restore(&SavedMap { algorithms: vec![2], ..saved }),
        Err(RestoreError::InKey { error, .. }) if matches!(*error, RestoreError::AlgorithmVersion { found: 2, known: 1, .. })
    ));
    assert_eq!(map, before);
}
