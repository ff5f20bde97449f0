//! A restart changes nothing.

use derived_stats::{Pipeline, RestoreError, SavedState};
use proptest::prelude::*;

use crate::input::{Event, Object, any_spec, silence, story};

/// Through the text that a log or a file would hold.
fn through_json(saved: &SavedState) -> SavedState {
    serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn property_a_restart_at_any_point_changes_nothing_of_a_spec(
        (spec, events) in story(),
        silence in silence(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(events.len() + 1);
        let mut whole = Object::new(spec.clone(), silence);
        let mut restarted = Object::new(spec.clone(), silence);
        for event in &events[..cut] {
            prop_assert_eq!(whole.apply(event), restarted.apply(event));
        }
        restarted.state = spec.restore(&through_json(&spec.save(&restarted.state))).unwrap();
        prop_assert_eq!(whole.seen(), restarted.seen());
        for event in &events[cut..] {
            prop_assert_eq!(whole.apply(event), restarted.apply(event));
        }
        prop_assert_eq!(spec.save(&whole.state), spec.save(&restarted.state));
    }

    #[test]
    fn property_a_restart_at_any_point_changes_nothing_of_a_pipeline(
        (spec, events) in story(),
        silence in silence(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(events.len() + 1);
        let mut whole = Pipeline::new(spec.clone()).with_silence(silence);
        let mut restarted = whole.clone();
        for (position, event) in events.iter().enumerate() {
            if position == cut {
                let saved = through_json(&restarted.save());
                restarted = Pipeline::new(spec.clone()).with_silence(silence);
                restarted.restore(&saved).unwrap();
            }
            prop_assert_eq!(applied(&mut whole, event), applied(&mut restarted, event), "event {}", position);
        }
        prop_assert_eq!(whole.save(), restarted.save());
    }

    #[test]
    fn property_a_state_of_another_pipeline_is_refused(one in any_spec(), other in any_spec()) {
        let saved = one.save(&one.start());
        let restored = other.restore(&saved);
        if one.identity() == other.identity() {
            prop_assert_eq!(restored.unwrap(), other.start());
        } else {
            let refused = matches!(restored, Err(RestoreError::WrongPipeline { .. }));
            prop_assert!(refused, "{} took the state of {}", other.identity(), one.identity());
        }
    }

    #[test]
    fn property_a_state_cut_short_or_too_long_is_refused(
        (spec, events) in story(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut object = Object::new(spec.clone(), derived_stats::Silence::Once);
        for event in &events {
            object.apply(event);
        }
        let saved = spec.save(&object.state);
        let shorter = saved.words[..cut.index(saved.words.len())].to_vec();
        let mut longer = saved.words.clone();
        longer.push(0);
        for words in [shorter, longer] {
            let restored = spec.restore(&SavedState { words, ..saved.clone() });
            prop_assert!(restored.is_err());
        }
    }
}

fn applied(pipeline: &mut Pipeline, event: &Event) -> String {
    let happened = match *event {
        Event::Close => format!("{:?}", pipeline.close_period(0)),
        Event::Sample { at, value } => format!("{:?}", pipeline.update(at, value)),
    };
    format!("{happened} {:?} {:?} {}", pipeline.report(0), pipeline.running(0), pipeline.is_active())
}
