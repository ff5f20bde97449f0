//! Nothing panics, whatever is written, sent or restored, and what comes out is finite.

use derived_stats::{
    Context, MetricKind, Number, Periods, Pipeline, RestoreError, SavedState, Silence, Spec, UpdateError, ValueType,
};
use proptest::prelude::*;

use crate::input::{Event, Object, compile, is_finite, metric, sample, silence, story, value_type};

/// Annotations put together from good and bad pieces.
fn annotation() -> impl Strategy<Value = String> {
    let period =
        prop::sample::select(vec!["", "0-", "1-", "3-", "1.DSSum-", "1.DSAvg-", "1.DSFoo-", "4294967295-", "x-"]);
    let name = prop::sample::select(vec![
        "DSSum",
        "DSAvg",
        "DSNone",
        "DSNon0",
        "DSChange",
        "DSNull",
        "DSEWM",
        "DSAnomaly",
        "DSFoo",
        "",
    ]);
    let arguments = prop::sample::select(vec![
        "",
        ":",
        ":0",
        ":1",
        ":3",
        ":4294967295",
        ":4294967296",
        ":0.1",
        ":1e-19",
        ":1",
        ":EWM:0.1",
        ":EWM:1e-19",
        ":EWM:0",
        ":EWM:1",
        ":EWM:",
        ":FOO",
        ":-1",
    ]);
    let built =
        (period, name, arguments).prop_map(|(period, name, arguments)| format!("{period}raw:{name}{arguments}"));
    prop_oneof![4 => built, 1 => ".{0,30}"]
}

fn periods() -> impl Strategy<Value = Periods> {
    prop_oneof![
        Just(Periods::AsWritten),
        Just(Periods::Plain),
        (1..100u32).prop_map(|seconds| Periods::Every { seconds })
    ]
}

/// Events at any times at all.
fn wild_events(value: ValueType) -> impl Strategy<Value = Vec<Event>> {
    let at = prop_oneof![any::<u64>(), 0..10_000_000u64, (u64::MAX - 10_000_000)..=u64::MAX];
    let event = prop_oneof![
        1 => Just(Event::Close),
        3 => (at, sample(value)).prop_map(|(at, value)| Event::Sample { at, value }),
    ];
    prop::collection::vec(event, 0..40)
}

/// Words that look like a state now and then.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let double = any::<f64>().prop_map(f64::to_bits);
    let word = prop_oneof![6 => 0..3u64, 2 => any::<u64>(), 2 => double, 1 => Just(u64::MAX), 1 => 0..1u64 << 30];
    prop::collection::vec(word, 0..24)
}

fn survives(object: &mut Object, events: &[Event]) -> Result<(), TestCaseError> {
    for event in events {
        let spec = object.spec.clone();
        let refused = match *event {
            Event::Close => {
                if let Some(report) = spec.close(&mut object.state, object.now, object.silence) {
                    prop_assert!(is_finite(report), "after {event:?}");
                }
                None
            }
            Event::Sample { at, value } => {
                object.now = at;
                spec.update(&mut object.state, at, value).err()
            }
        };
        prop_assert!(!matches!(refused, Some(UpdateError::ForeignState)), "after {event:?}");
        for now in [0, object.now, u64::MAX] {
            prop_assert!(is_finite(spec.report(&object.state, now)), "after {event:?}: {:?}", object.state);
            prop_assert!(spec.running(&object.state, now).is_none_or(is_finite), "after {event:?}");
        }
        let saved = spec.save(&object.state);
        let restored = spec.restore(&saved);
        prop_assert_eq!(restored.as_ref().map(|state| spec.save(state)), Ok(saved), "after {:?}", event);
    }
    Ok(())
}

proptest! {
    #[test]
    fn property_whatever_compiles_survives_whatever_comes(
        text in annotation(),
        (value, events) in value_type().prop_flat_map(|value| (Just(value), wild_events(value))),
        metric in metric(),
        periods in periods(),
        silence in silence(),
    ) {
        let context = Context { metric, periods, ..Context::new(value) };
        if let Ok(spec) = Spec::parse(&text, context) {
            survives(&mut Object::new(spec.into(), silence), &events)?;
        }
    }

    #[test]
    fn property_arbitrary_words_give_an_error_or_a_state_that_works(
        (spec, _) in story(),
        words in words(),
        silence in silence(),
        events in wild_events(ValueType::U64),
    ) {
        let saved = SavedState { words, ..spec.save(&spec.start()) };
        if let Ok(state) = spec.restore(&saved) {
            survives(&mut Object { state, ..Object::new(spec, silence) }, &events)?;
        }
    }

    #[test]
    fn property_one_changed_word_gives_an_error_or_a_state_that_works(
        (spec, events) in story(),
        silence in silence(),
        position in any::<prop::sample::Index>(),
        word in prop_oneof![any::<u64>(), 0..3u64, Just(u64::MAX), any::<f64>().prop_map(f64::to_bits)],
        later in wild_events(ValueType::U64),
    ) {
        let mut object = Object::new(spec.clone(), silence);
        for event in &events {
            object.apply(event);
        }
        let mut saved = spec.save(&object.state);
        let position = position.index(saved.words.len());
        saved.words[position] = word;
        if let Ok(state) = spec.restore(&saved) {
            object.state = state;
            survives(&mut object, &later)?;
        }
    }

    #[test]
    fn property_a_pipeline_takes_arbitrary_words_or_stays_as_it_was(
        (spec, _) in story(),
        words in words(),
        periods in prop_oneof![any::<u64>(), Just(u64::MAX)],
    ) {
        let mut pipeline = Pipeline::new(spec.clone());
        let mut saved = pipeline.save();
        saved.words = words;
        saved.words.push(periods);
        if pipeline.restore(&saved).is_ok() {
            let saved = pipeline.save();
            prop_assert_eq!(pipeline.restore(&saved), Ok(()));
            prop_assert_eq!(pipeline.save(), saved);
        } else {
            prop_assert_eq!(&pipeline, &Pipeline::new(spec));
        }
        for now in 0..3 {
            prop_assert!(pipeline.close_period(now).is_none_or(is_finite));
        }
    }

    #[test]
    fn property_a_refused_sample_leaves_everything_as_it_was(
        (spec, events) in story(),
        value in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(0.5)],
    ) {
        let mut object = Object::new(spec, Silence::Once);
        for event in &events {
            let before = object.seen();
            let refused = object.spec.update(&mut object.state, object.now, Number::F64(value));
            if refused.is_err() {
                prop_assert_eq!(object.seen(), before);
            }
            object.apply(event);
        }
    }
}

/// Before the check the score of this state was infinite.
#[test]
fn a_saved_newest_sample_far_outside_the_moments_is_refused() {
    let spec = compile("raw:DSAnomaly:EWM:0.5", ValueType::F64, MetricKind::Plain);
    let words = vec![1, 1, (-5e149f64).to_bits(), 1, (-7e189f64).to_bits(), 1];
    let saved = SavedState { words, ..spec.save(&spec.start()) };
    let refused = matches!(spec.restore(&saved), Err(RestoreError::Invalid { field: "newest sample", .. }));
    assert!(refused, "{:?}", spec.restore(&saved));
}

/// Before the check these words were ignored, and the restored state saved others.
#[test]
fn a_word_about_something_that_is_absent_must_be_zero() {
    let cases = [
        ("raw:DSSum", MetricKind::Agg, 1, "counter reading"),
        ("1-raw:DSSum", MetricKind::Plain, 1, "end of the closed period"),
        ("raw:DSSum:1", MetricKind::Plain, 2, "first bucket"),
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
fn a_counter_keeps_its_reading_when_a_window_refuses_the_sample() {
    let spec = compile("raw:DSSum:1", ValueType::U64, MetricKind::Agg);
    let mut state = spec.start();
    let mut update = |at, value| spec.update(&mut state, at, Number::U64(value));
    assert_eq!(update(5_000_000, 10), Ok(()));
    assert!(matches!(update(1_000_000, 13), Err(UpdateError::TimeWentBack { .. })));
    assert_eq!(update(7_000_000, 17), Ok(()));
    let report = format!("{:?}", spec.report(&state, 7_000_000));
    assert!(report.contains("U64(7)"), "the refused 3 and the 4 after it are missing in {report}");
}
