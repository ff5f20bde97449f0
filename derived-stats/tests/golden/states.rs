//! Saved states of every version, kept for ever: `testdata/state/v1/*.json`.
//!
//! Each file holds a pipeline, a state that it saved half-way, what happened afterwards, and the results. A state that
//! was written once must be readable by every later build and continue to the same results; so the files are never
//! changed. A new algorithm or a new version gets new files:
//!
//! ```text
//! cargo test -p derived-stats --test golden -- --ignored record_states
//! ```
//!
//! writes those of [`PIPELINES`] that are missing.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use derived_stats::{Annotation, Context, MetricKind, Number, STATE_VERSION, SavedState, Silence, Spec, ValueType};
use serde_json::{Value, json};

use crate::record::{Said, items, number, said, text};

const FILES: usize = 60;

/// One of each shape; all of them for every element type.
const PIPELINES: [(&str, &str, MetricKind); 20] = [
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
];

const TYPES: [ValueType; 3] = [ValueType::F64, ValueType::I64, ValueType::U64];

/// Microseconds between two events.
const STEP: u64 = 400_000;

/// Events before the state is saved, and after.
const EVENTS: [std::ops::Range<u64>; 2] = [0..40, 40..60];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/state/v{STATE_VERSION}"))
}

/// Every ninth event ends a period, twice in a row at times, so that a silent period is among them.
fn event(n: u64, kind: ValueType, metric: MetricKind) -> Value {
    if matches!(n % 18, 8 | 9 | 17) {
        return json!({ "close": n * STEP });
    }
    // Falls at times, as a counter that is reset.
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
    let line = |said: Option<Said>| {
        said.map_or_else(|| "nothing".to_owned(), |said| format!("{} {}", said.code, said.result.unwrap_or_default()))
    };
    let lines = events.iter().map(|event| {
        if let Some(now) = event["close"].as_u64() {
            return format!("closed: {}", line(spec.close(state, now, Silence::Once).map(said)));
        }
        let at = event["at"].as_u64().unwrap();
        let value: Number = number(&event["value"], spec.value_type());
        spec.update(state, at, value).unwrap();
        format!("{} | open: {}", line(Some(said(spec.report(state, at)))), line(spec.running(state, at).map(said)))
    });
    lines.collect()
}

fn compile(annotation: &str, value: ValueType, metric: MetricKind) -> Arc<Spec> {
    let context = Context::new(value).with_metric(metric);
    Arc::new(Spec::compile(&Annotation::parse(annotation).unwrap(), context).unwrap())
}

#[test]
fn saved_states_continue_to_the_recorded_results() {
    let mut files = 0;
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
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
