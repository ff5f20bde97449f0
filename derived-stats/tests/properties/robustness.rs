//! No annotation, sample or saved state causes a panic, and all results are finite.

use derived_stats::entry::Entry;
use derived_stats::{
    Context, DETECTOR_CALL, MapPipeline, MetricKind, Number, Periods, Pipeline, SavedState, Spec, UpdateError,
    ValueType,
};
use proptest::prelude::*;

use crate::input::{
    Event, Object, Story, any_number, is_finite, metric, sample, silence, source, stories, story, value_type,
};
use crate::registered::REGISTRY;
use crate::shapes::{Shape, compile, entries, for_each, shapes};

/// Annotations from valid and invalid parts.
fn annotation() -> impl Strategy<Value = String> {
    let period =
        prop::sample::select(vec!["", "0-", "1-", "3-", "1.DSSum-", "1.DSAvg-", "1.DSFoo-", "4294967295-", "x-"]);
    let names = entries().map(Entry::name).chain([DETECTOR_CALL, "DSFoo", ""]);
    let name = prop::sample::select(names.collect::<Vec<_>>());
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

/// Events at random times, in any order.
fn wild_events(value: ValueType) -> impl Strategy<Value = Vec<Event>> {
    let at = prop_oneof![any::<u64>(), 0..10_000_000u64, (u64::MAX - 10_000_000)..=u64::MAX];
    let event = prop_oneof![
        1 => Just(Event::Close),
        3 => (source(), at, sample(value)).prop_map(|(source, at, value)| Event::Sample { source, at, value }),
    ];
    prop::collection::vec(event, 0..40)
}

/// Random words, some of which are valid in a state.
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
            Event::Sample { source, at, value } => {
                object.now = at;
                spec.update_from(&mut object.state, source, at, value).err()
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
    fn property_every_compiled_annotation_survives_all_events(
        text in annotation(),
        (value, events) in value_type().prop_flat_map(|value| (Just(value), wild_events(value))),
        metric in metric(),
        periods in periods(),
        silence in silence(),
    ) {
        let context = Context::new(value).with_metric(metric).with_periods(periods).with_registry(&REGISTRY);
        if let Ok(spec) = Spec::parse(&text, context) {
            survives(&mut Object::new(spec.into(), silence), &events)?;
        }
    }

    #[test]
    fn property_arbitrary_words_give_an_error_or_a_valid_state(
        Story { spec, .. } in story(),
        words in words(),
        silence in silence(),
        events in wild_events(ValueType::U64),
    ) {
        let saved = SavedState { words, ..spec.save(&spec.start()) };
        if let Ok(state) = spec.restore(&saved) {
            prop_assert_eq!(&spec.save(&state), &saved, "the restored state is another one");
            survives(&mut Object { state, ..Object::new(spec, silence) }, &events)?;
        }
    }

    #[test]
    fn property_one_changed_word_gives_an_error_or_a_valid_state(
        Story { spec, silence, events } in story(),
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
            prop_assert_eq!(&spec.save(&state), &saved, "the restored state is another one");
            object.state = state;
            survives(&mut object, &later)?;
        }
    }

    #[test]
    fn property_a_pipeline_takes_arbitrary_words_or_stays_as_it_was(
        Story { spec, .. } in story(),
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
}

#[test]
fn property_every_shape_survives_events_at_any_time() {
    let input = |shape: &Shape| {
        shape.specs().prop_flat_map(|spec| {
            let events = wild_events(spec.value_type());
            (silence(), events).prop_map(move |(silence, events)| Story { spec: spec.clone(), silence, events })
        })
    };
    for_each(shapes(), input, |Story { spec, silence, events }| survives(&mut Object::new(spec, silence), &events));
}

#[test]
fn property_a_refused_sample_changes_nothing() {
    for_each(
        shapes(),
        |shape| (stories(shape), any_number()),
        |(Story { spec, silence, events }, value)| {
            let mut object = Object::new(spec, silence);
            for event in &events {
                if !value.as_f64().is_finite() || !object.spec.accepts(value) {
                    let before = (object.seen(), object.state.clone());
                    let refused = object.spec.update(&mut object.state, object.now, value);
                    prop_assert!(matches!(refused, Err(UpdateError::Value(_))), "{value} was taken: {refused:?}");
                    prop_assert_eq!((object.seen(), object.state.clone()), before);
                }
                object.apply(event);
            }
            Ok(())
        },
    );
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

#[test]
fn the_report_of_one_key_is_the_one_among_the_reports_of_all() {
    let mut map = MapPipeline::parse("1-raw:DSSum").unwrap();
    map.update(0, [("blue", Number::U64(3))], []).unwrap();
    assert!((map.report("blue", 0).is_none(), map.number("blue")) == (true, None), "the period is open");
    map.close_period(1);
    assert_eq!(map.report("blue", 1), map.reports(1).next().map(|(_, report)| report));
    assert_eq!((map.number("blue"), map.number("red")), (Some(Number::U64(3)), None));
}
