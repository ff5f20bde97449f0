//! `derived-statsd eval` against recorded vectors of Contrail's implementation.
//!
//! The test of the library (`derived-stats/tests/golden`) compares every record with Contrail. This test drives the
//! real binary with a sample of the same records, every tenth (`EVAL_GOLDEN_STRIDE=1` selects all), in its text format.
//! The ids of records with deliberate deviations are read from the lists of the library's test. `eval` has no event
//! for `flush`, so a record is compared up to its first one.

mod binary;

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::{Map, Value, json};

/// The files that list the deliberate deviations.
const LISTS: [&str; 5] = [
    include_str!("../../derived-stats/tests/golden/ewm.rs"),
    include_str!("../../derived-stats/tests/golden/maps/deviations.rs"),
    include_str!("../../derived-stats/tests/golden/periodic.rs"),
    include_str!("../../derived-stats/tests/golden/simple.rs"),
    include_str!("../../derived-stats/tests/golden/sum_avg.rs"),
];

/// The expected answer.
enum Expected {
    /// This answer exactly.
    Answer(Value),
    /// One of these reports; Contrail's vectors do not determine which.
    Reports(&'static [&'static str]),
    /// These keys with these answers; all other keys are not ready.
    Keys(Map<String, Value>),
}

/// A record in the form of `eval`.
struct Session {
    arguments: Vec<String>,
    events: Vec<Value>,
    expected: Vec<Expected>,
}

fn stride() -> usize {
    std::env::var("EVAL_GOLDEN_STRIDE").map_or(10, |text| text.parse().expect("a number"))
}

/// The sampled records of a file that do not deviate.
fn records(file: &str) -> Vec<Value> {
    let deviating: BTreeSet<&str> = LISTS.iter().flat_map(|list| list.split('"').skip(1).step_by(2)).collect();
    let path = format!("{}/../derived-stats/testdata/golden/{file}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the file is complete");
    let records = text.lines().step_by(stride()).map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    records.filter(|record| !deviating.contains(text_of(record, "id"))).collect()
}

fn text_of<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_else(|| panic!("{field} is a text in {record}"))
}

fn items<'r>(record: &'r Value, field: &str) -> &'r [Value] {
    record[field].as_array().unwrap_or_else(|| panic!("{field} is a list"))
}

/// The arguments for a record; `i32` vectors run as `i64`.
fn arguments(record: &Value, annotation: String) -> Vec<String> {
    let element = if record["type"] == "i32" { "i64" } else { text_of(record, "type") };
    let metric = if record["is_agg"] == true { "agg" } else { "plain" };
    ["eval", "--type", element, "--metric", metric, &annotation].map(str::to_owned).into()
}

fn wrapper(record: &Value) -> String {
    let (algo, argument) = (text_of(record, "algo"), text_of(record, "arg"));
    match (text_of(record, "class"), record["pre"].as_str()) {
        ("If", _) => format!("raw:{algo}:{argument}"),
        (_, None) => format!("1-raw:{algo}:{argument}"),
        (_, Some(pre)) => format!("1.{pre}-raw:{algo}:{argument}"),
    }
}

fn report(code: &Value) -> &'static str {
    match code.as_str() {
        Some("OK") => "ok",
        Some("SKIP") => "unchanged",
        Some("INVALID") => "not_ready",
        _ => panic!("{code} is not a return code"),
    }
}

/// Contrail's result without the fields with the bits of other fields.
fn plain(result: &Value) -> Value {
    match result {
        Value::Object(fields) => Value::Object(
            fields.iter().filter(|(name, _)| !name.ends_with("bits")).map(|(n, v)| (n.clone(), v.clone())).collect(),
        ),
        result => result.clone(),
    }
}

/// Runs a record and compares answer by answer.
fn check(record: &Value, session: &Session) {
    let id = text_of(record, "id");
    let arguments: Vec<_> = session.arguments.iter().map(String::as_str).collect();
    let input: String = session.events.iter().map(|event| format!("{event}\n")).collect();
    let run = binary::run(&arguments, input);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{id}: {arguments:?}");
    let answers: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), session.events.len(), "{id}: one answer for each event");
    for (step, (answer, expected)) in answers.iter().zip(&session.expected).enumerate() {
        let case = format!("{id} step {step}, event {}", session.events[step]);
        match expected {
            Expected::Answer(expected) => assert_eq!(answer, expected, "{case}"),
            Expected::Reports(reports) => {
                assert!(reports.contains(&text_of(answer, "report")), "{case}: {answer} is none of {reports:?}");
            }
            Expected::Keys(keys) => {
                let results = answer["results"].as_object().unwrap_or_else(|| panic!("{case}: {answer}"));
                let ready = results.iter().filter(|(_, answer)| answer["report"] != "not_ready");
                let ready: Map<_, _> = ready.map(|(key, answer)| (key.clone(), answer.clone())).collect();
                assert_eq!(&ready, keys, "{case}");
            }
        }
    }
}

/// Runs all sampled records of a file; at least half of the sample must not deviate.
fn check_all(file: &str, least: usize, session: impl Fn(&Value) -> Session) {
    let records = records(file);
    assert!(records.len() * stride() >= least, "{file}: only {} records run", records.len());
    for record in &records {
        check(record, &session(record));
    }
}

#[test]
fn a_detector_scores_as_contrails() {
    check_all("ewm", 137, |record| {
        let steps = items(record, "steps");
        let answer = |step: &Value| {
            let mut result = json!({
                "samples": step["n"], "algo": record["algo"], "config": record["config"],
                "state": {"mean": step["s_mean"], "stddev": step["s_stddev"]}, "sigma": step["sigma"],
                "metric": step["metric"],
            });
            if step["metric_ub"] == true {
                // Undefined behaviour in Contrail; `eval` uses the saturating cast.
                let x = step["x"].as_f64().expect("only a double can leave the range");
                result["metric"] = json!(x as u64);
            }
            Expected::Answer(json!({"report": report(&step["rt"]), "result": result}))
        };
        Session {
            arguments: arguments(record, format!("raw:DSAnomaly:{}", text_of(record, "annotation"))),
            events: steps.iter().map(|step| json!({"at": 0, "value": step["x"]})).collect(),
            expected: steps.iter().map(answer).collect(),
        }
    });
}

#[test]
fn the_simple_algorithms_report_as_contrails() {
    check_all("simple", 115, |record| {
        let steps = items(record, "steps");
        let answer = |step: &Value| match (&step["rt"], &step["v"]) {
            // The first DSChange of Contrail compares with uninitialized memory; here the first value is always new.
            (Value::Null, value) => Expected::Answer(json!({"report": "ok", "result": value})),
            (code, Value::Null) => Expected::Answer(json!({"report": report(code)})),
            (code, value) => Expected::Answer(json!({"report": report(code), "result": plain(value)})),
        };
        Session {
            arguments: arguments(record, format!("raw:{}:{}", text_of(record, "algo"), text_of(record, "arg"))),
            events: steps.iter().map(|step| json!({"at": 0, "value": step["x"]})).collect(),
            expected: steps.iter().map(answer).collect(),
        }
    });
}

#[test]
fn windows_hold_the_samples_of_contrails_windows() {
    check_all("sum_avg", 178, |record| {
        let steps = items(record, "steps");
        let answer = |step: &Value| match &step["v"] {
            Value::Null => json!({"report": report(&step["rt"])}),
            value => json!({"report": report(&step["rt"]), "result": value}),
        };
        Session {
            arguments: arguments(record, format!("raw:{}:{}", text_of(record, "algo"), text_of(record, "arg"))),
            events: steps.iter().map(|step| json!({"at": step["t"], "value": step["x"]})).collect(),
            expected: steps.iter().map(|step| Expected::Answer(answer(step))).collect(),
        }
    });
}

/// The events before the first `flush`.
fn events(record: &Value) -> impl Iterator<Item = &Value> {
    items(record, "events").iter().take_while(|event| event["op"] != "flush")
}

/// The content that Contrail fills into a message, with `force`, or without it if it is worth sending.
fn filled(fill: &Value, is_periodic: bool) -> Option<&Value> {
    let result = fill.get("res").filter(|_| fill["isset"] == true)?;
    if is_periodic { result.get("value") } else { Some(result) }
}

/// The answer equivalent to two fills at the same time.
fn answer(plain_fill: Option<&Value>, forced: Option<&Value>) -> Option<Value> {
    let report = if plain_fill.is_some() { "ok" } else { "unchanged" };
    forced.map(|result| json!({"report": report, "result": plain(result)}))
}

#[test]
fn periodic_pipelines_answer_as_contrail_sends() {
    check_all("periodic", 205, |record| {
        let class = text_of(record, "class");
        let expected = |event: &Value| {
            let [now, forced] = ["fill", "fill_force"].map(|name| filled(&event[name], class == "PeriodicIf"));
            match (text_of(event, "op"), class) {
                ("update", "If") => answer(now, forced).map_or(Expected::Reports(&["not_ready"]), Expected::Answer),
                ("update", _) | ("tick", "If") => Expected::Answer(json!({"report": "none"})),
                _ if event["ran"] == false => Expected::Answer(json!({"report": "none"})),
                _ => {
                    let sent = filled(&event["sent"], class == "PeriodicIf");
                    // A period that was flushed and sent nothing has no samples, or too few for a result.
                    answer(now, sent).map_or(Expected::Reports(&["none", "not_ready"]), Expected::Answer)
                }
            }
        };
        let event = |event: &Value| match text_of(event, "op") {
            "update" => json!({"at": event["t"], "value": event["x"]}),
            _ => json!({"period": true}),
        };
        Session {
            arguments: arguments(record, wrapper(record)),
            events: events(record).map(event).collect(),
            expected: events(record).map(expected).collect(),
        }
    });
}

#[test]
fn maps_answer_by_key_as_contrail_sends() {
    check_all("maps", 131, |record| {
        let is_periodic = text_of(record, "class") == "PeriodicIf";
        let keys = |shown: &Value, now: &Value| {
            let results = shown["res"].as_object().expect("fills of maps are maps");
            let answer = |(key, result): (&String, &Value)| {
                let of = |result: &Value| if is_periodic { result.get("value").cloned() } else { Some(result.clone()) };
                let now = now["res"].get(key).and_then(of);
                Some((key.clone(), answer(now.as_ref(), of(result).as_ref())?))
            };
            Expected::Keys(results.iter().filter_map(answer).collect())
        };
        let none = || Expected::Answer(json!({"report": "none", "results": {}}));
        let is_inline = text_of(record, "class") == "If";
        let expected = |event: &Value| match text_of(event, "op") {
            "update" if is_inline => keys(&event["fill_force"], &event["fill"]),
            "tick" if !is_inline && event["ran"] == true => keys(&event["sent"], &event["fill"]),
            _ => none(),
        };
        let event = |event: &Value| match text_of(event, "op") {
            "update" => json!({"at": event["t"], "values": event["raw"], "deleted": event["del"]}),
            _ => json!({"period": true}),
        };
        let mut arguments = arguments(record, wrapper(record));
        arguments.insert(1, "--mstats".to_owned());
        Session {
            arguments,
            events: events(record).map(event).collect(),
            expected: events(record).map(expected).collect(),
        }
    });
}
