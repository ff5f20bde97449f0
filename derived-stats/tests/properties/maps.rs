//! A map of metrics is each of its keys alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use derived_stats::{MapPipeline, Number, Pipeline, Spec};
use proptest::prelude::*;

use crate::input::{INLINE, PERIODIC, sample, silence, spec};

const KEYS: [&str; 4] = ["", "blue", "green", "red"];

/// A map of some of the keys, or the end of a period.
type Happening = Option<BTreeMap<&'static str, Number>>;

fn story() -> impl Strategy<Value = (Arc<Spec>, Vec<Happening>)> {
    spec([&INLINE[..], &PERIODIC].concat()).prop_flat_map(|spec| {
        let keys = prop::sample::select(KEYS.to_vec());
        let values = prop::collection::btree_map(keys, sample(spec.value_type()), 1..4);
        let happening = prop_oneof![3 => values.prop_map(Some), 1 => Just(None)];
        (Just(spec), prop::collection::vec(happening, 0..40))
    })
}

proptest! {
    #[test]
    fn property_a_map_without_deletions_is_its_keys_alone((spec, story) in story(), silence in silence()) {
        let mut map = MapPipeline::new(spec.clone()).with_silence(silence);
        let mut alone: BTreeMap<&str, Pipeline> = BTreeMap::new();
        for (step, happening) in story.iter().enumerate() {
            let now = step as u64 * 300_000;
            match happening {
                Some(values) => {
                    let taken = map.update(now, values.iter().map(|(key, value)| (*key, *value)), []);
                    let new = || Pipeline::new(spec.clone()).with_silence(silence);
                    let mut refused = false;
                    for (key, value) in values {
                        refused |= alone.entry(key).or_insert_with(new).update(now, *value).is_err();
                    }
                    prop_assert_eq!(taken.is_err(), refused);
                }
                None => {
                    let closed: BTreeMap<_, _> =
                        map.close_period(now).into_iter().map(|(key, report)| (key, format!("{report:?}"))).collect();
                    let expected = alone.iter_mut().filter_map(|(key, pipeline)| {
                        Some((*key, format!("{:?}", pipeline.close_period(now)?)))
                    });
                    prop_assert_eq!(closed, expected.collect());
                }
            }
            same_results(&map, &alone, now)?;
        }
    }
}

fn same_results(map: &MapPipeline, alone: &BTreeMap<&str, Pipeline>, now: u64) -> Result<(), TestCaseError> {
    let reports: BTreeMap<_, _> = map.reports(now).collect();
    let running: BTreeMap<_, _> = map.running(now).collect();
    for (key, pipeline) in alone {
        match reports.get(key) {
            Some(report) => prop_assert_eq!(format!("{report:?}"), format!("{:?}", pipeline.report(now))),
            None => prop_assert!(pipeline.report(now).forced().is_none(), "key {} is missing", key),
        }
        let open = running.get(key).map(|report| format!("{report:?}"));
        prop_assert_eq!(open, pipeline.running(now).map(|report| format!("{report:?}")));
    }
    prop_assert!(reports.keys().chain(running.keys()).all(|key| alone.contains_key(key)), "a key from nowhere");
    Ok(())
}
