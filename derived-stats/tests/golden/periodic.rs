//! Scalar pipelines, inline and periodic, through samples, ticks and flushes: `periodic.jsonl`.
//!
//! A `tick` is the end of a period in the generated code of the original, a `flush` is one that always feeds a zero:
//! here `Silence::Once` and `Silence::Zero`.

use derived_stats::Silence;
use serde_json::Value;

use crate::model::{Model, Quirk, Quirks};
use crate::record::{items, number, records, text, their_result, value_type, without_exact_state};
use crate::subject::{ByPipeline, BySpec, Subject};
use crate::verdict::{Deviation, Outcome, Refused, Trace, Verdict, admitted};

const RECORDS: usize = 409;

const DEVIATIONS: [Deviation; 2] = [
    Deviation {
        reason: "a counter that falls starts a new difference at its new value (11)",
        quirks: &[Quirk::Wraps],
        records: &[
            "per-00105",
            "per-00107",
            "per-00109",
            "per-00111",
            "per-00115",
            "per-00117",
            "per-00217",
            "per-00219",
            "per-00221",
            "per-00223",
            "per-00225",
            "per-00227",
            "per-00229",
            "per-00329",
            "per-00331",
            "per-00333",
            "per-00335",
            "per-00337",
            "per-00339",
            "per-00341",
            "per-00441",
            "per-00443",
            "per-00445",
            "per-00447",
            "per-00449",
            "per-00451",
            "per-00453",
            "per-00503",
            "per-00505",
            "per-00507",
            "per-00509",
            "per-00511",
            "per-00513",
            "per-00515",
            "per-00531",
            "per-00533",
            "per-00537",
            "per-00539",
            "per-00541",
            "per-00543",
            "per-00559",
            "per-00561",
            "per-00563",
            "per-00565",
            "per-00567",
            "per-00569",
            "per-00571",
            "per-00587",
            "per-00589",
            "per-00591",
            "per-00593",
            "per-00595",
            "per-00597",
            "per-00599",
            "per-00615",
            "per-00617",
            "per-00619",
            "per-00621",
            "per-00623",
            "per-00643",
            "per-00645",
            "per-00649",
            "per-00651",
            "per-00653",
            "per-00655",
            "per-00671",
            "per-00673",
            "per-00675",
            "per-00677",
            "per-00679",
            "per-00681",
            "per-00683",
            "per-00813",
        ],
    },
    Deviation {
        reason: "a u64 sum stops at the bound, with an error (9)",
        quirks: &[Quirk::Wraps],
        records: &["per-00411", "per-00815"],
    },
];

const REFUSED: [Refused; 2] = [
    // `EWM:0`, `EWM:2`.
    Refused {
        kind: "BadArgument",
        records: &["per-00009", "per-00011", "per-00463", "per-00465", "per-00693", "per-00695"],
    },
    // `DSAnomaly:Null`.
    Refused { kind: "UnknownDetector", records: &["per-00027", "per-00481", "per-00711"] },
];

pub(crate) const VERDICT: Verdict<'_> =
    Verdict { file: "periodic", records: RECORDS, refused: &REFUSED, deviations: &DEVIATIONS };

/// The observed values of one side after an event.
fn line(operation: &str, active: bool, fill: &str, forced: &str) -> String {
    format!("{operation} active={active} fill={fill} forced={forced}")
}

/// `FillResult` of the wrapper: the result, or for a periodic aggregate closed and open period.
fn fill(subject: &impl Subject, is_periodic: bool, now: u64, force: bool) -> String {
    let result = subject.report(now).fill(force);
    if !is_periodic {
        return result.map_or_else(|| "-".to_owned(), |result| without_exact_state(&result));
    }
    let open = subject.running(now).and_then(|running| running.fill(force));
    let value = result.map(|result| format!("value:{result}"));
    let staging = open.map(|result| format!("staging:{result}"));
    let parts: Vec<String> = value.into_iter().chain(staging).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(",") }
}

fn their_fill(fill: &Value, record: &Value) -> String {
    if fill["isset"] != Value::Bool(true) {
        return "-".to_owned();
    }
    let kind = value_type(record);
    if text(record, "class") != "PeriodicIf" {
        return their_result(&fill["res"], kind);
    }
    let part = |name: &str| Some(format!("{name}:{}", their_result(fill["res"].get(name)?, kind)));
    ["value", "staging"].into_iter().filter_map(part).collect::<Vec<_>>().join(",")
}

fn ours(record: &Value, mut subject: impl Subject) -> Trace {
    let is_periodic = text(record, "class") == "PeriodicIf";
    let mut now = 0;
    let fills = |subject: &_, now| [false, true].map(|force| fill(subject, is_periodic, now, force));
    let state = |operation: &str, subject: &_, now| {
        let [plain, forced] = fills(subject, now);
        line(operation, Subject::is_active(subject), &plain, &forced)
    };
    let mut trace = vec![state("init", &subject, now)];
    for event in items(record, "events") {
        let operation = match text(event, "op") {
            "update" => {
                now = event["t"].as_u64().unwrap();
                let refused = subject.update(now, number(&event["x"], value_type(record)));
                format!("update {}", refused.unwrap_or_default())
            }
            "tick" => {
                let ran = subject.is_active();
                let sent = subject.close(now, Silence::Once).and_then(|observed| observed.fill(true));
                let prefix = if is_periodic { "value:" } else { "" };
                let sent =
                    sent.map_or_else(|| "-".to_owned(), |sent| format!("{prefix}{}", without_exact_state(&sent)));
                format!("tick ran={ran} sent={sent}")
            }
            _ => {
                let flushed = subject.close(now, Silence::Zero).and_then(|observed| observed.fill(true));
                // The detectors of the original always return true.
                format!("flush {}", !is_periodic || flushed.is_some())
            }
        };
        trace.push(state(&operation, &subject, now));
    }
    trace
}

fn original(record: &Value) -> Trace {
    let state = |operation: &str, event: &Value| {
        let [plain, forced] = ["fill", "fill_force"].map(|name| their_fill(&event[name], record));
        line(operation, event["is_result"].as_bool().unwrap(), &plain, &forced)
    };
    let mut trace = vec![state("init", &record["init"])];
    for event in items(record, "events") {
        let operation = match text(event, "op") {
            "update" => "update ".to_owned(),
            "tick" => format!("tick ran={} sent={}", event["ran"], their_fill(&event["sent"], record)),
            _ => format!("flush {}", event["ret"]),
        };
        trace.push(state(&operation, event));
    }
    trace
}

/// The annotation of the wrapper of a record.
pub(crate) fn annotation(record: &Value) -> String {
    let (algo, argument) = (text(record, "algo"), text(record, "arg"));
    match (text(record, "class"), record["pre"].as_str()) {
        ("If", _) => format!("raw:{algo}:{argument}"),
        (_, None) => format!("1-raw:{algo}:{argument}"),
        (_, Some(pre)) => format!("1.{pre}-raw:{algo}:{argument}"),
    }
}

/// The model of a record's wrapper.
pub(crate) fn model(record: &Value, quirks: Quirks) -> Model {
    let is_agg = record["is_agg"] == Value::Bool(true);
    let [class, algo, argument] = ["class", "algo", "arg"].map(|field| text(record, field));
    Model::new(class, algo, argument, record["pre"].as_str(), value_type(record), is_agg, quirks)
}

fn outcome(record: &Value) -> Option<Outcome<'_>> {
    let id = text(record, "id").to_owned();
    let is_agg = record["is_agg"] == Value::Bool(true);
    let spec = admitted(&id, &annotation(record), value_type(record), is_agg, &REFUSED)?;
    Some(Outcome {
        id,
        ours: vec![ours(record, BySpec::new(spec.clone())), ours(record, ByPipeline::new(spec))],
        model: Box::new(|quirks| ours(record, model(record, quirks))),
        original: original(record),
    })
}

#[test]
fn periods_open_and_close_as_in_the_original() {
    let records = records("periodic");
    let outcomes: Vec<Outcome<'_>> = records.iter().filter_map(outcome).collect();
    VERDICT.on(&outcomes);
}
