//! Saved states of every released version: `testdata/state/v2/*.json`.
//!
//! Each file holds a pipeline, a saved state, the events after it, and their results. Every later build must read each
//! state and compute the same results; so the files never change, but for a mended fault: the learned thresholds of
//! `CUSUM`, `HoltWinters` and `MAD` were recorded anew when alarms without an end were mended, and differ by 1e-7. A new
//! algorithm or a new version gets new files:
//!
//! ```text
//! cargo test -p derived-stats --test golden -- --ignored record_
//! ```
//!
//! writes the missing files of [`PIPELINES`] and [`MAPS`].

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use derived_stats::{
    Annotation, Context, MapPipeline, MetricKind, Number, STATE_VERSION, SavedMap, SavedState, Silence, SourceId, Spec,
    SpecLink, ValueType, menu,
};
use serde_json::{Value, json};

use crate::record::{Observed, items, number, observed, text};

const FILES: usize = PIPELINES.len() * TYPES.len();

/// One of each shape; all of them for every element type.
const PIPELINES: [(&str, &str, MetricKind); 135] = [
    ("sum", "raw:DSSum", MetricKind::Plain),
    ("average", "raw:DSAvg", MetricKind::Plain),
    ("newest", "raw:DSNone", MetricKind::Plain),
    ("non-zero", "raw:DSNon0", MetricKind::Plain),
    ("change", "raw:DSChange", MetricKind::Plain),
    ("null", "raw:DSNull", MetricKind::Plain),
    ("ewm", "raw:DSEWM:0.3", MetricKind::Plain),
    ("anomaly", "raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("range-sum", "raw:DSSum:3", MetricKind::Plain),
    ("range-average", "raw:DSAvg:3", MetricKind::Plain),
    ("counter", "raw:DSNone", MetricKind::Agg),
    ("periodic-sum", "1-raw:DSSum", MetricKind::Plain),
    ("periodic-average", "1-raw:DSAvg", MetricKind::Plain),
    ("periodic-newest", "1-raw:DSNone", MetricKind::Plain),
    ("periodic-range-sum", "1-raw:DSSum:1", MetricKind::Plain),
    ("periodic-counter", "1-raw:DSSum", MetricKind::Agg),
    ("detector-sum", "1.DSSum-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("detector-average", "1.DSAvg-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("detector-newest", "1.DSNone-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("detector-counter", "1.DSSum-raw:DSAnomaly:EWM:0.3", MetricKind::Agg),
    ("periodic-non-zero", "1-raw:DSNon0", MetricKind::Plain),
    ("periodic-change", "1-raw:DSChange", MetricKind::Plain),
    ("percentile", "raw:DSPercentile:50,90,99:0.02", MetricKind::Plain),
    ("range-percentile", "raw:DSPercentile:99::3", MetricKind::Plain),
    ("periodic-percentile", "1-raw:DSPercentile:50,99.9", MetricKind::Plain),
    ("detector-percentile", "1.DSPercentile(90)-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("count", "raw:DSCount", MetricKind::Plain),
    ("range-count", "raw:DSCount:3", MetricKind::Plain),
    ("periodic-count", "1-raw:DSCount", MetricKind::Plain),
    ("detector-count", "1.DSCount-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("max", "raw:DSMax", MetricKind::Plain),
    ("range-max", "raw:DSMax:3", MetricKind::Plain),
    ("periodic-sum-last", "1-raw:DSSumLast:3", MetricKind::Plain),
    ("detector-sum-last", "1.DSSumLast-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("periodic-average-last", "1-raw:DSAvgLast:2", MetricKind::Plain),
    ("detector-average-last", "1.DSAvgLast(2)-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("periodic-max-last", "1-raw:DSMaxLast:2", MetricKind::Plain),
    ("detector-max-last", "1.DSMaxLast(3)-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("periodic-max", "1-raw:DSMax", MetricKind::Plain),
    ("detector-max", "1.DSMax-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("min", "raw:DSMin", MetricKind::Plain),
    ("range-min", "raw:DSMin:3", MetricKind::Plain),
    ("periodic-min", "1-raw:DSMin", MetricKind::Plain),
    ("detector-min", "1.DSMin-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("spread", "raw:DSSpread", MetricKind::Plain),
    ("range-spread", "raw:DSSpread:3", MetricKind::Plain),
    ("periodic-spread", "1-raw:DSSpread", MetricKind::Plain),
    ("detector-spread", "1.DSSpread-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("first", "raw:DSFirst", MetricKind::Plain),
    ("range-first", "raw:DSFirst:3", MetricKind::Plain),
    ("periodic-first", "1-raw:DSFirst", MetricKind::Plain),
    ("detector-first", "1.DSFirst-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("variance", "raw:DSVariance", MetricKind::Plain),
    ("range-variance", "raw:DSVariance:3", MetricKind::Plain),
    ("periodic-variance", "1-raw:DSVariance", MetricKind::Plain),
    ("detector-variance", "1.DSVariance-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("stddev", "raw:DSStddev", MetricKind::Plain),
    ("range-stddev", "raw:DSStddev:3", MetricKind::Plain),
    ("periodic-stddev", "1-raw:DSStddev", MetricKind::Plain),
    ("detector-stddev", "1.DSStddev-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("time-average", "raw:DSTimeAvg", MetricKind::Plain),
    ("range-time-average", "raw:DSTimeAvg:3", MetricKind::Plain),
    ("periodic-time-average", "1-raw:DSTimeAvg", MetricKind::Plain),
    ("detector-time-average", "1.DSTimeAvg-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("increase", "raw:DSIncrease", MetricKind::Plain),
    ("range-increase", "raw:DSIncrease:3", MetricKind::Plain),
    ("periodic-increase", "1-raw:DSIncrease", MetricKind::Plain),
    ("detector-increase", "1.DSIncrease-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("rate", "raw:DSRate", MetricKind::Plain),
    ("range-rate", "raw:DSRate:3", MetricKind::Plain),
    ("periodic-rate", "1-raw:DSRate", MetricKind::Plain),
    ("detector-rate", "1.DSRate-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("distinct", "raw:DSDistinct:0.26", MetricKind::Plain),
    ("range-distinct", "raw:DSDistinct::3", MetricKind::Plain),
    ("periodic-distinct", "1-raw:DSDistinct", MetricKind::Plain),
    ("detector-distinct", "1.DSDistinct-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("histogram", "raw:DSHistogram:-20,0,20,40", MetricKind::Plain),
    ("range-histogram", "raw:DSHistogram:10:3", MetricKind::Plain),
    ("periodic-histogram", "1-raw:DSHistogram:0.5,10,100", MetricKind::Plain),
    ("top", "raw:DSTopK:3", MetricKind::Plain),
    ("range-top", "raw:DSTopK:1:100:3", MetricKind::Plain),
    ("periodic-top", "1-raw:DSTopK:2", MetricKind::Plain),
    ("detector-top", "1.DSTopK(1)-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    ("category", "raw:DSCategory:0,38,ok", MetricKind::Plain),
    ("range-category", "raw:DSCategory:0,-50:3", MetricKind::Plain),
    ("periodic-category", "1-raw:DSCategory:7,ok", MetricKind::Plain),
    ("detector-category", "1.DSCategory(0,1)-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
    // More numbers than a result has without a box.
    ("many-bounds", "raw:DSHistogram:-50,-40,-30,-20,-10,0,5,10,20,30,40,50,60,70,80", MetricKind::Plain),
    ("range-many-bounds", "raw:DSHistogram:0,1,2,3,4,5,6,7,8,9,10,20,30:3", MetricKind::Plain),
    ("periodic-many-bounds", "1-raw:DSHistogram:-50,-40,-30,-20,-10,0,5,10,20,30,40,50,60,70,80", MetricKind::Plain),
    ("periodic-many-categories", "1-raw:DSCategory:0,1,2,3,4,5,6,7,8,9,10,11,12,-1,-2,ok", MetricKind::Plain),
    ("periodic-many-values", "1-raw:DSTopK:20", MetricKind::Plain),
    ("seasonal", "raw:DSAnomaly:Seasonal", MetricKind::Plain),
    ("detector-seasonal", "1.DSSum-raw:DSAnomaly:Seasonal:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("seasonal-small", "raw:DSAnomaly:SeasonalSmall:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("detector-seasonal-small", "1.DSSum-raw:DSAnomaly:SeasonalSmall", MetricKind::Plain),
    ("cusum", "raw:DSAnomaly:CUSUM:span=600:warmup=0", MetricKind::Plain),
    ("detector-cusum", "1.DSSum-raw:DSAnomaly:CUSUM", MetricKind::Plain),
    ("ewm-prior", "raw:DSAnomaly:EWMPrior:span=600:warmup=0", MetricKind::Plain),
    ("detector-ewm-prior", "1.DSSum-raw:DSAnomaly:EWMPrior", MetricKind::Plain),
    ("holt-winters", "raw:DSAnomaly:HoltWinters:600:warmup=0", MetricKind::Plain),
    ("detector-holt-winters", "1.DSSum-raw:DSAnomaly:HoltWinters", MetricKind::Plain),
    ("mad", "raw:DSAnomaly:MAD:span=600:warmup=0", MetricKind::Plain),
    ("detector-mad", "1.DSSum-raw:DSAnomaly:MAD", MetricKind::Plain),
    // Version 2 of the detectors' states.
    ("seasonal-2", "raw:DSAnomaly:Seasonal", MetricKind::Plain),
    ("detector-seasonal-2", "1.DSSum-raw:DSAnomaly:Seasonal:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("seasonal-small-2", "raw:DSAnomaly:SeasonalSmall:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("detector-seasonal-small-2", "1.DSSum-raw:DSAnomaly:SeasonalSmall", MetricKind::Plain),
    ("cusum-2", "raw:DSAnomaly:CUSUM:span=600:warmup=0", MetricKind::Plain),
    ("detector-cusum-2", "1.DSSum-raw:DSAnomaly:CUSUM", MetricKind::Plain),
    ("ewm-prior-2", "raw:DSAnomaly:EWMPrior:span=600:warmup=0", MetricKind::Plain),
    ("detector-ewm-prior-2", "1.DSSum-raw:DSAnomaly:EWMPrior", MetricKind::Plain),
    ("holt-winters-2", "raw:DSAnomaly:HoltWinters:600:warmup=0", MetricKind::Plain),
    ("detector-holt-winters-2", "1.DSSum-raw:DSAnomaly:HoltWinters", MetricKind::Plain),
    ("mad-2", "raw:DSAnomaly:MAD:span=600:warmup=0", MetricKind::Plain),
    ("detector-mad-2", "1.DSSum-raw:DSAnomaly:MAD", MetricKind::Plain),
    // Version 3 of the detectors' states.
    ("seasonal-3", "raw:DSAnomaly:Seasonal", MetricKind::Plain),
    ("detector-seasonal-3", "1.DSSum-raw:DSAnomaly:Seasonal:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("seasonal-small-3", "raw:DSAnomaly:SeasonalSmall:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("detector-seasonal-small-3", "1.DSSum-raw:DSAnomaly:SeasonalSmall", MetricKind::Plain),
    ("cusum-3", "raw:DSAnomaly:CUSUM:span=600:warmup=0", MetricKind::Plain),
    ("detector-cusum-3", "1.DSSum-raw:DSAnomaly:CUSUM", MetricKind::Plain),
    ("ewm-prior-3", "raw:DSAnomaly:EWMPrior:span=600:warmup=0", MetricKind::Plain),
    ("detector-ewm-prior-3", "1.DSSum-raw:DSAnomaly:EWMPrior", MetricKind::Plain),
    ("holt-winters-3", "raw:DSAnomaly:HoltWinters:600:warmup=0", MetricKind::Plain),
    ("detector-holt-winters-3", "1.DSSum-raw:DSAnomaly:HoltWinters", MetricKind::Plain),
    ("mad-3", "raw:DSAnomaly:MAD:span=600:warmup=0", MetricKind::Plain),
    ("detector-mad-3", "1.DSSum-raw:DSAnomaly:MAD", MetricKind::Plain),
    // Version 4 of the states of `Seasonal`.
    ("seasonal-4", "raw:DSAnomaly:Seasonal", MetricKind::Plain),
    ("detector-seasonal-4", "1.DSSum-raw:DSAnomaly:Seasonal:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    // Version 5 of the states of `Seasonal`.
    ("seasonal-5", "raw:DSAnomaly:Seasonal", MetricKind::Plain),
    ("detector-seasonal-5", "1.DSSum-raw:DSAnomaly:Seasonal:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    // Version 4 of the states of `SeasonalSmall`.
    ("seasonal-small-4", "raw:DSAnomaly:SeasonalSmall:alarms=2:threshold=0.5:warmup=0", MetricKind::Plain),
    ("detector-seasonal-small-4", "1.DSSum-raw:DSAnomaly:SeasonalSmall", MetricKind::Plain),
    ("chain", "1.DSSum.DSAvg(3).DSNon0.DSChange-raw:DSAnomaly:EWM:0.3", MetricKind::Plain),
];

const TYPES: [ValueType; 3] = [ValueType::F64, ValueType::I64, ValueType::U64];

/// Microseconds between two events.
const STEP: u64 = 400_000;

/// Events before the state is saved, and after.
const EVENTS: [std::ops::Range<u64>; 2] = [0..40, 40..60];

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.json"))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/state/v{STATE_VERSION}"))
}

/// Every ninth event ends a period, sometimes twice in a row, so that some periods are silent.
fn event(n: u64, kind: ValueType, metric: MetricKind) -> Value {
    if matches!(n % 18, 8 | 9 | 17) {
        return json!({ "close": n * STEP });
    }
    // Sometimes decreases, as a counter that is reset.
    let wave = n * 7919 % 101 + if metric == MetricKind::Agg { n % 30 * 100 } else { 0 };
    let value = match kind {
        ValueType::F64 => json!(wave as f64 * 0.37 - 9.0),
        ValueType::I64 => json!(wave as i64 - 50),
        ValueType::U64 => json!(wave),
    };
    json!({ "at": n * STEP, "value": value })
}

/// Runs the events; the results as text, one for each.
fn run(spec: &Spec, state: &mut derived_stats::State, events: &[Value]) -> Vec<String> {
    let line = |observed: Option<Observed>| {
        observed.map_or_else(
            || "nothing".to_owned(),
            |observed| format!("{} {}", observed.code, observed.result.unwrap_or_default()),
        )
    };
    let lines = events.iter().map(|event| {
        if let Some(now) = event["close"].as_u64() {
            return format!("closed: {}", line(spec.close(state, now, Silence::Once).map(observed)));
        }
        let at = event["at"].as_u64().unwrap();
        let value: Number = number(&event["value"], spec.value_type());
        // Most algorithms ignore the source.
        spec.update_from(state, SourceId::new(at / STEP % 3), at, value).unwrap();
        format!(
            "{} | open: {}",
            line(Some(observed(spec.report(state, at)))),
            line(spec.running(state, at).map(observed))
        )
    });
    lines.collect()
}

fn compile(annotation: &str, value: ValueType, metric: MetricKind) -> Arc<Spec> {
    let context = Context::new(value).with_metric(metric);
    Arc::new(Spec::compile(&Annotation::parse(annotation).unwrap(), context).unwrap())
}

#[test]
fn every_entry_of_the_menu_has_a_file_for_each_of_its_roles() {
    let links: Vec<(&str, &str, bool)> = PIPELINES
        .iter()
        .flat_map(|(_, annotation, metric)| {
            let spec = compile(annotation, ValueType::U64, *metric);
            let last = spec.links().count() - 1;
            let place = |index| match (spec.is_periodic(), index == last) {
                (false, _) => "inline",
                (true, false) => "pre-aggregation",
                (true, true) if last == 0 => "period",
                (true, true) => "detector",
            };
            let link =
                |(index, link): (usize, &SpecLink)| (link.entry().name(), place(index), link.arguments().count() > 0);
            spec.links().enumerate().map(link).collect::<Vec<_>>()
        })
        .collect();
    for entry in menu() {
        let roles = entry.roles();
        let places = [
            (roles.inline, "inline"),
            (roles.period, "period"),
            (roles.pre_aggregation, "pre-aggregation"),
            (roles.detector, "detector"),
        ];
        for (_, place) in places.into_iter().filter(|(has, _)| *has) {
            let has_file = links.iter().any(|(name, at, _)| (*name, *at) == (entry.name(), place));
            assert!(has_file, "no file of saved states has {} as {place}", entry.name());
        }
        let has_arguments = links.iter().any(|(name, _, written)| *name == entry.name() && *written);
        assert!(has_arguments || entry.argument_list().is_empty(), "no file has {} with arguments", entry.name());
    }
}

#[test]
fn saved_states_continue_to_the_recorded_results() {
    let mut files = 0;
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if MAPS.iter().any(|(name, ..)| path == self::file(name)) {
            continue;
        }
        let record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let value: ValueType = serde_json::from_value(record["value"].clone()).unwrap();
        let metric: MetricKind = serde_json::from_value(record["metric"].clone()).unwrap();
        let spec = compile(text(&record, "annotation"), value, metric);
        let saved: SavedState = serde_json::from_value(record["saved"].clone()).unwrap();
        let mut state = spec.restore(&saved).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let results = run(&spec, &mut state, items(&record, "then"));
        let expected: Vec<&str> = items(&record, "results").iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(results, expected, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, FILES, "a file of saved states is missing or new");
}

/// Maps of the same shapes; results of several keys.
const MAPS: [(&str, &str, MetricKind); 2] =
    [("map-sum", "2-raw:DSSum", MetricKind::Agg), ("map-detector", "1.DSSum-raw:DSAnomaly:EWM:0.3", MetricKind::Plain)];

/// Keys are created, deleted and created again; some maps are empty.
fn run_map(map: &mut MapPipeline, events: std::ops::Range<u64>) -> Vec<String> {
    let show = |reports: Vec<(&str, derived_stats::Report<derived_stats::Output<'_>>)>| {
        let line = |(key, report)| {
            let observed = observed(report);
            format!("{key} {} {}", observed.code, observed.result.unwrap_or_default())
        };
        reports.into_iter().map(line).collect::<Vec<_>>().join("; ")
    };
    let step = |n: u64| {
        if n % 5 == 4 {
            return format!("closed: {}", show(map.close_period(n * STEP)));
        }
        let values = |key: u64| (["blue", "green", "red"][key as usize], Number::U64(n * 7919 * (key + 1) % 101));
        let present = (0..3).filter(|key| n % 13 != 7 && !(n + key).is_multiple_of(4)).map(values);
        let deleted = (n % 11 == 3).then_some("green");
        map.update(n * STEP, present.collect::<Vec<_>>(), deleted).unwrap();
        let now = n * STEP;
        format!("{} | open: {}", show(map.reports(now).collect()), show(map.running(now).collect()))
    };
    events.map(step).collect()
}

#[test]
fn saved_maps_continue_to_the_recorded_results() {
    for (name, annotation, metric) in MAPS {
        let record: Value = serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap();
        let saved: SavedMap = serde_json::from_value(record["saved"].clone()).unwrap();
        let mut map = MapPipeline::new(compile(annotation, ValueType::U64, metric));
        map.restore(&saved).unwrap();
        let expected: Vec<String> = serde_json::from_value(record["results"].clone()).unwrap();
        assert_eq!(run_map(&mut map, EVENTS[1].clone()), expected, "{name}");
    }
}

#[test]
#[ignore = "writes test data; run it once for a new version of the saved state"]
fn record_maps() {
    for (name, annotation, metric) in MAPS.into_iter().filter(|(name, ..)| !file(name).exists()) {
        let mut map = MapPipeline::new(compile(annotation, ValueType::U64, metric));
        run_map(&mut map, EVENTS[0].clone());
        let saved = map.save();
        let results = run_map(&mut map, EVENTS[1].clone());
        let record = json!({ "annotation": annotation, "saved": saved, "results": results });
        fs::write(file(name), format!("{}\n", serde_json::to_string_pretty(&record).unwrap())).unwrap();
    }
}

#[test]
#[ignore = "writes test data; run it once for a new algorithm or a new version of the saved state"]
fn record_states() {
    fs::create_dir_all(folder()).unwrap();
    for (name, annotation, metric) in PIPELINES {
        for value in TYPES {
            let path = folder().join(format!("{name}-{value}.json"));
            if path.exists() {
                continue;
            }
            let spec = compile(annotation, value, metric);
            let mut state = spec.start();
            let [before, then] = EVENTS.map(|range| range.map(|n| event(n, value, metric)).collect::<Vec<_>>());
            run(&spec, &mut state, &before);
            let saved = spec.save(&state);
            let results = run(&spec, &mut state, &then);
            let record = json!({
                "annotation": annotation,
                "value": value,
                "metric": metric,
                "saved": saved,
                "then": then,
                "results": results,
            });
            fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&record).unwrap())).unwrap();
        }
    }
}
