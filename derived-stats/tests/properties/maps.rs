//! A map of metrics is a pipeline for each of its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use derived_stats::{Context, MapPipeline, MetricKind, Number, Pipeline, SavedMap, Silence, Spec, ValueType};
use proptest::prelude::*;

use crate::input::{Story, sample, silence};
use crate::shapes::{Shape, for_each, shapes};

const KEYS: [&str; 4] = ["", "blue", "green", "red"];

#[derive(Clone, Debug)]
enum Happening {
    /// The end of a period.
    Close,
    /// A map, which may be empty, with the keys that carry the delete mark.
    Map(BTreeMap<&'static str, Number>, Vec<&'static str>),
    Restart,
}

fn stories(shape: &Shape) -> BoxedStrategy<Story<Happening>> {
    let tell = |spec: Arc<Spec>| {
        let key = || prop::sample::select(KEYS.to_vec());
        let values = prop::collection::btree_map(key(), sample(spec.value_type()), 0..4);
        let deleted = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(key(), 1..3)];
        let happening = prop_oneof![
            6 => (values, deleted).prop_map(|(values, deleted)| Happening::Map(values, deleted)),
            3 => Just(Happening::Close),
            1 => Just(Happening::Restart),
        ];
        (silence(), prop::collection::vec(happening, 0..40)).prop_map(move |(silence, events)| Story {
            spec: spec.clone(),
            silence,
            events,
        })
    };
    shape.specs().prop_flat_map(tell).boxed()
}

/// The expected map: a pipeline for each key.
///
/// A deleted key is reset. The result of its newest closed period stays until the next period ends, because a result is
/// not withdrawn: the model keeps that pipeline, without further samples.
struct Model {
    spec: Arc<Spec>,
    silence: Silence,
    keys: BTreeMap<&'static str, Pipeline>,
    shown: BTreeMap<&'static str, Pipeline>,
    periods: u64,
}

impl Model {
    fn new(story: &Story<Happening>) -> Self {
        let Story { spec, silence, .. } = story;
        Self { spec: spec.clone(), silence: *silence, keys: BTreeMap::new(), shown: BTreeMap::new(), periods: 0 }
    }

    /// A new pipeline with as many ended periods as the map.
    fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::new(self.spec.clone()).with_silence(self.silence);
        let mut saved = pipeline.save();
        *saved.words.last_mut().unwrap() = self.periods;
        pipeline.restore(&saved).unwrap();
        pipeline
    }

    /// Whether any sample was refused.
    fn update(&mut self, at: u64, values: &BTreeMap<&'static str, Number>, deleted: &[&'static str]) -> bool {
        if values.is_empty() && deleted.is_empty() {
            self.keys.keys().copied().collect::<Vec<_>>().into_iter().for_each(|key| self.empty(key));
        }
        deleted.iter().for_each(|key| self.delete(key));
        let mut refused = false;
        for (key, value) in values.iter().filter(|(key, _)| !deleted.contains(key)) {
            let new = self.pipeline();
            refused |= self.keys.entry(key).or_insert(new).update(at, *value).is_err();
        }
        refused
    }

    fn delete(&mut self, key: &'static str) {
        if let Some(pipeline) = self.keys.remove(key)
            && self.spec.restarts_with_period()
            && !self.shown.contains_key(key)
        {
            self.shown.insert(key, pipeline);
        }
    }

    /// An empty map: as a deletion, but a counter keeps its reading.
    fn empty(&mut self, key: &'static str) {
        let reading = self.keys.get(key).map(|pipeline| pipeline.save().words[..2].to_vec());
        self.delete(key);
        if self.spec.metric() == MetricKind::Agg
            && let Some(reading) = reading
        {
            let mut pipeline = self.pipeline();
            let mut saved = pipeline.save();
            saved.words[..2].copy_from_slice(&reading);
            pipeline.restore(&saved).unwrap();
            self.keys.insert(key, pipeline);
        }
    }

    fn close(&mut self, now: u64) -> BTreeMap<&'static str, String> {
        self.periods += 1;
        if self.periods.is_multiple_of(self.spec.every().max(1).into()) {
            self.shown.clear();
        }
        let keys = self.keys.iter_mut();
        keys.filter_map(|(key, pipeline)| Some((*key, format!("{:?}", pipeline.close_period(now)?)))).collect()
    }

    fn report(&self, key: &str, now: u64) -> Option<String> {
        let pipeline = self.shown.get(key).or_else(|| self.keys.get(key))?;
        if !self.spec.is_periodic() && !pipeline.is_active() {
            return None;
        }
        pipeline.report(now).forced().map(|_| format!("{:?}", pipeline.report(now)))
    }

    fn running(&self, key: &str, now: u64) -> Option<String> {
        Some(format!("{:?}", self.keys.get(key)?.running(now)?))
    }
}

fn through_json(map: &MapPipeline) -> SavedMap {
    serde_json::from_str(&serde_json::to_string(&map.save()).unwrap()).unwrap()
}

fn same_results(map: &MapPipeline, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let reports: BTreeMap<_, _> = map.reports(now).collect();
    let running: BTreeMap<_, _> = map.running(now).collect();
    for key in KEYS {
        let report = reports.get(key).filter(|report| report.as_ref().forced().is_some());
        prop_assert_eq!(report.map(|report| format!("{report:?}")), model.report(key, now), "key {:?}", key);
        let open = running.get(key).map(|report| format!("{report:?}"));
        prop_assert_eq!(open, model.running(key, now), "key {:?}", key);
    }
    prop_assert!(reports.keys().chain(running.keys()).all(|key| KEYS.contains(key)), "a key from nowhere");
    Ok(())
}

#[test]
fn property_a_map_is_a_pipeline_for_each_key() {
    for_each(shapes(), stories, |story| {
        let mut map = MapPipeline::new(story.spec.clone()).with_silence(story.silence);
        let mut model = Model::new(&story);
        for (step, happening) in story.events.iter().enumerate() {
            let now = step as u64 * 300_000;
            match happening {
                Happening::Close => {
                    let closed = map.close_period(now).into_iter();
                    let closed: BTreeMap<_, _> = closed.map(|(key, report)| (key, format!("{report:?}"))).collect();
                    prop_assert_eq!(closed, model.close(now));
                }
                Happening::Map(values, deleted) => {
                    let values = || values.iter().map(|(key, value)| (*key, *value));
                    let taken = map.update(now, values(), deleted.iter().copied());
                    prop_assert_eq!(taken.is_err(), model.update(now, &values().collect(), deleted));
                }
                Happening::Restart => {
                    let saved = through_json(&map);
                    let mut restarted = MapPipeline::new(story.spec.clone()).with_silence(story.silence);
                    restarted.restore(&saved).unwrap();
                    prop_assert_eq!(&restarted, &map);
                    prop_assert_eq!(restarted.is_active(), map.is_active());
                    prop_assert_eq!(restarted.save(), saved);
                    map = restarted;
                }
            }
            same_results(&map, &model, now)?;
        }
        Ok(())
    });
}

#[test]
fn a_deleted_key_is_dropped_after_the_period_whose_result_it_kept() {
    for metric in [MetricKind::Agg, MetricKind::Diff, MetricKind::Plain] {
        let context = Context::new(ValueType::U64).with_metric(metric);
        let mut map = MapPipeline::new(Arc::new(Spec::parse("1-raw:DSSum", context).unwrap()));
        map.update(0, [("blue", Number::U64(3))], []).unwrap();
        map.close_period(1);
        map.update(2, [], ["blue"]).unwrap();
        assert!(map.report("blue", 2).is_some(), "{metric:?}: a period that ended is not taken back");
        map.close_period(3);
        map.close_period(4);
        assert_eq!(map.len(), 0, "{metric:?}");
    }
}
