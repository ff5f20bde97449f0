//! Saved states of other versions of an algorithm.

use derived_stats::column::{DownstreamColumn, InlineColumn, WindowColumn};
use derived_stats::{MetricKind, RestoreError, SavedState, ValueType, Words};
use proptest::prelude::*;

use crate::input::{Object, Story, events, silence, stories};
use crate::registered::{OLD_REGISTRY, REGISTRY};
use crate::shapes::{compile_with, for_each, shapes};

fn object(story: &Story) -> Object {
    let mut object = Object::new(story.spec.clone(), story.silence);
    for event in &story.events {
        object.apply(event);
    }
    object
}

#[test]
fn property_a_newer_version_of_any_link_is_refused() {
    let input = |shape: &_| (stories(shape), any::<prop::sample::Index>());
    for_each(shapes(), input, |(story, index)| {
        let saved = story.spec.save(&object(&story).state);
        let index = index.index(saved.algorithms.len());
        let known = saved.algorithms[index];
        for version in [known + 1, u16::MAX] {
            let mut newer = saved.clone();
            newer.algorithms[index] = version;
            let is_refused = |restored: Result<(), RestoreError>| {
                matches!(restored, Err(RestoreError::AlgorithmVersion { found, known: reads, .. })
                    if found == version && reads == known)
            };
            prop_assert!(is_refused(story.spec.restore(&newer).map(drop)));
            columns_refuse(&story, index, version, is_refused)?;
        }
        Ok(())
    });
}

/// Checks that the column of the link at `index` refuses its words of `version`, and that the object is then reset.
fn columns_refuse(
    story: &Story,
    index: usize,
    version: u16,
    is_refused: impl Fn(Result<(), RestoreError>) -> bool,
) -> Result<(), TestCaseError> {
    if let Some(mut column) = InlineColumn::new(&story.spec) {
        let mut words = Vec::new();
        column.save(0, &mut words);
        prop_assert!(is_refused(column.restore(0, &[version], &mut Words::new(&words))));
        prop_assert!(column.is_empty(0));
    } else if let Some(mut column) = WindowColumn::new(&story.spec).filter(|_| index == 0) {
        let mut words = Vec::new();
        column.save(0, &mut words);
        prop_assert!(is_refused(column.restore(0, &[version], &mut Words::new(&words))));
        prop_assert!(column.is_empty(0));
    } else if let Some(mut column) = DownstreamColumn::new(&story.spec) {
        let (mut words, mut versions) = (Vec::new(), column.versions());
        column.save(0, &mut words);
        versions[index - 1] = version;
        prop_assert!(is_refused(column.restore(0, &versions, &mut Words::new(&words))));
        prop_assert!(column.report(0).is_none());
    }
    Ok(())
}

#[test]
fn property_another_number_of_versions_is_refused() {
    for_each(shapes(), stories, |story| {
        let saved = story.spec.save(&object(&story).state);
        let mut more = saved.algorithms.clone();
        more.push(1);
        for algorithms in [more, saved.algorithms[1..].to_vec()] {
            let found = algorithms.len() as u64;
            let restored = story.spec.restore(&SavedState { algorithms, ..saved.clone() });
            prop_assert_eq!(restored, Err(RestoreError::invalid("number of versions", found)));
        }
        Ok(())
    });
}

#[test]
fn property_an_older_version_that_no_algorithm_reads_is_refused() {
    for_each(shapes(), stories, |story| {
        let mut saved = story.spec.save(&story.spec.start());
        saved.algorithms[0] = 0;
        prop_assert_eq!(story.spec.restore(&saved), Err(RestoreError::UnknownAlgorithmVersion { found: 0 }));
        Ok(())
    });
}

const ANNOTATIONS: [&str; 5] = [
    "raw:OwnDistinct",
    "1-raw:OwnDistinct:size",
    "1.OwnDistinct-raw:DSAnomaly:EWM:0.5",
    "1.DSSum.OwnDistinct(size)-raw:DSAnomaly:HABIT:2",
    "1.OwnDistinct.OwnDistinct-raw:DSAnomaly:HABIT:1",
];

proptest! {
    #[test]
    fn property_a_newer_program_continues_from_the_words_of_an_older_one(
        annotation in prop::sample::select(ANNOTATIONS.to_vec()),
        (before, after) in (events(ValueType::I64, 30), events(ValueType::I64, 30)),
        silence in silence(),
    ) {
        let [old, new] = [&OLD_REGISTRY, &REGISTRY]
            .map(|registry| compile_with(registry, annotation, ValueType::I64, MetricKind::Plain));
        let [mut older, mut newer] = [&old, &new].map(|spec| Object::new(spec.clone(), silence));
        for event in &before {
            older.apply(event);
        }
        let saved = old.save(&older.state);
        prop_assert!(saved.algorithms.contains(&1));
        newer.state = new.restore(&saved).unwrap();
        newer.now = older.now;
        prop_assert_eq!(older.seen(), newer.seen());
        for event in &after {
            prop_assert_eq!(older.apply(event), newer.apply(event));
        }
        let back = old.restore(&new.save(&newer.state));
        let is_refused = matches!(&back, Err(RestoreError::AlgorithmVersion { found: 2, known: 1, .. }));
        prop_assert!(is_refused, "an older program took the newer words: {:?}", back);
    }
}
