//! A restart changes nothing.

use derived_stats::{Pipeline, RestoreError, SavedState};
use proptest::prelude::*;

use crate::input::{Event, Object, any_spec, stories, story};
use crate::shapes::{for_each, shapes};

/// Serialises and deserialises a state as JSON, as a log or a file would.
fn through_json(saved: &SavedState) -> SavedState {
    serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap()
}

#[test]
fn property_a_restart_at_any_point_changes_nothing_of_a_spec() {
    let input = |shape: &_| (stories(shape), any::<prop::sample::Index>());
    for_each(shapes(), input, |(story, cut)| {
        let cut = cut.index(story.events.len() + 1);
        let mut whole = Object::new(story.spec.clone(), story.silence);
        let mut restarted = whole.clone();
        for event in &story.events[..cut] {
            prop_assert_eq!(whole.apply(event), restarted.apply(event));
        }
        restarted.state = story.spec.restore(&through_json(&story.spec.save(&restarted.state))).unwrap();
        prop_assert_eq!(whole.seen(), restarted.seen());
        prop_assert_eq!(&whole.state, &restarted.state);
        for event in &story.events[cut..] {
            prop_assert_eq!(whole.apply(event), restarted.apply(event));
        }
        prop_assert_eq!(story.spec.save(&whole.state), story.spec.save(&restarted.state));
        Ok(())
    });
}

#[test]
fn property_a_restart_at_any_point_changes_nothing_of_a_pipeline() {
    let input = |shape: &_| (stories(shape), any::<prop::sample::Index>());
    for_each(shapes(), input, |(story, cut)| {
        let cut = cut.index(story.events.len() + 1);
        let mut whole = Pipeline::new(story.spec.clone()).with_silence(story.silence);
        let mut restarted = whole.clone();
        for (position, event) in story.events.iter().enumerate() {
            if position == cut {
                let saved = through_json(&restarted.save());
                restarted = Pipeline::new(story.spec.clone()).with_silence(story.silence);
                restarted.restore(&saved).unwrap();
            }
            prop_assert_eq!(applied(&mut whole, event), applied(&mut restarted, event), "event {}", position);
        }
        prop_assert_eq!(whole.save(), restarted.save());
        Ok(())
    });
}

fn applied(pipeline: &mut Pipeline, event: &Event) -> String {
    let happened = match *event {
        Event::Close => format!("{:?}", pipeline.close_period(0)),
        Event::Sample { source, at, value } => format!("{:?}", pipeline.update_from(source, at, value)),
    };
    format!("{happened} {:?} {:?} {}", pipeline.report(0), pipeline.running(0), pipeline.is_active())
}

proptest! {
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
    fn property_a_state_cut_short_or_too_long_is_refused(story in story(), cut in any::<prop::sample::Index>()) {
        let mut object = Object::new(story.spec.clone(), story.silence);
        for event in &story.events {
            object.apply(event);
        }
        let saved = story.spec.save(&object.state);
        let shorter = saved.words[..cut.index(saved.words.len())].to_vec();
        let mut longer = saved.words.clone();
        longer.push(0);
        for words in [shorter, longer] {
            let restored = story.spec.restore(&SavedState { words, ..saved.clone() });
            prop_assert!(restored.is_err());
        }
    }
}
