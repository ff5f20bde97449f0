//! `DSAnomaly:EWM:alpha`, every sample scored: `ewm.jsonl`.

use derived_stats::algorithm::Alpha;
use serde_json::Value;

use crate::model::{Model, Quirk};
use crate::record::{bits, items, number, records, text, value_type};
use crate::subject::{ByPipeline, BySpec, Subject};
use crate::verdict::{Deviation, Outcome, Refused, Trace, Verdict, admitted};

const RECORDS: usize = 274;

const DEVIATIONS: [Deviation; 2] = [
    Deviation {
        reason: "a finite sample whose square is not (8)",
        quirks: &[Quirk::Unbounded],
        records: &["ewm-00197", "ewm-00209", "ewm-00221", "ewm-00233", "ewm-00245", "ewm-00257"],
    },
    Deviation {
        reason: "an infinite sample is refused (8)",
        quirks: &[Quirk::NonFinite, Quirk::Unbounded],
        records: &["ewm-00203", "ewm-00215", "ewm-00227", "ewm-00239", "ewm-00251", "ewm-00263"],
    },
];

const REFUSED: [Refused; 4] = [
    // Alpha is strict decimal text in (0, 1]: not `.1`, ` 0.1`, `0.1x`, `+0.5`, `1.`, `0,5`, `nan`, `1/2`.
    Refused {
        kind: "BadArgument",
        records: &[
            "ewm-00325",
            "ewm-00327",
            "ewm-00329",
            "ewm-00333",
            "ewm-00337",
            "ewm-00339",
            "ewm-00341",
            "ewm-00343",
            "ewm-00345",
            "ewm-00349",
            "ewm-00351",
            "ewm-00353",
            "ewm-00355",
            "ewm-00357",
            "ewm-00359",
            "ewm-00363",
            "ewm-00365",
            "ewm-00367",
            "ewm-00369",
            "ewm-00371",
        ],
    },
    // `EWM:0.1:foo`.
    Refused { kind: "UnexpectedArguments", records: &["ewm-00331"] },
    // The empty text.
    Refused { kind: "MissingArguments", records: &["ewm-00373"] },
    // `ewm:0.1`, ` EWM:0.1`, `:`, `:0.1`, `FOO`, `FOO:bar:baz`, `DSAnomaly:EWM:0.1`, `EWMA:0.1`.
    Refused {
        kind: "UnknownDetector",
        records: &[
            "ewm-00375",
            "ewm-00377",
            "ewm-00379",
            "ewm-00381",
            "ewm-00383",
            "ewm-00385",
            "ewm-00387",
            "ewm-00389",
        ],
    },
];

pub(crate) const VERDICT: Verdict<'_> =
    Verdict { file: "ewm", records: RECORDS, refused: &REFUSED, deviations: &DEVIATIONS };

fn annotation(record: &Value) -> String {
    format!("raw:DSAnomaly:{}", text(record, "annotation"))
}

/// The lines of a step, without the metric where the original's is undefined.
fn line(code: &str, result: &str, step: &Value) -> String {
    let defined = step["metric_ub"] != Value::Bool(true);
    let result = if defined { result } else { result.split(" metric=").next().unwrap() };
    format!("{code} {result}")
}

fn ours(record: &Value, mut subject: impl Subject) -> Trace {
    let observed = |subject: &dyn Subject, step: &Value| {
        let observed = subject.report(0);
        line(observed.code, &observed.result.unwrap_or_default(), step)
    };
    let mut trace = vec![observed(&subject, &Value::Null)];
    for step in items(record, "steps") {
        let refused = subject.update(0, number(&step["x"], value_type(record)));
        trace.extend(refused);
        trace.push(observed(&subject, step));
    }
    trace
}

fn original(record: &Value) -> Trace {
    let head = |samples: &Value, mean: &Value, stddev: &Value| {
        let texts = [mean, stddev].map(|text| text.as_str().unwrap_or_default());
        let [algo, config] = ["algo", "config"].map(|field| text(record, field));
        format!("n={samples} algo={algo} config={config} state={}/{}", texts[0], texts[1])
    };
    let init = &record["init"];
    let state = &init["res"]["state"];
    let zero = bits(0.0);
    let first = head(&init["res"]["samples"], &state["mean"], &state["stddev"]);
    let mut trace = vec![line(text(init, "rt"), &format!("{first} mean={zero} stddev={zero} sigma={zero}"), init)];
    for step in items(record, "steps") {
        let bits: Vec<&str> = items(step, "bits").iter().map(|bits| bits.as_str().unwrap()).collect();
        let head = head(&step["n"], &step["s_mean"], &step["s_stddev"]);
        let result = format!("{head} mean={} stddev={} sigma={} metric={}", bits[0], bits[2], bits[3], step["metric"]);
        trace.push(line(text(step, "rt"), &result, step));
    }
    trace
}

/// The weight and the warm-up that its text means.
fn same_parameter(record: &Value) {
    let alpha = Alpha::parse(text(record, "config")).unwrap();
    assert_eq!(bits(alpha.get()), text(record, "alpha_bits"), "{}", record["id"]);
    assert_eq!(Some(alpha.warm_up()), record["warmup"].as_u64(), "{}", record["id"]);
}

fn outcome(record: &Value) -> Option<Outcome<'_>> {
    let id = text(record, "id").to_owned();
    let kind = value_type(record);
    let spec = admitted(&id, &annotation(record), kind, false, &REFUSED)?;
    same_parameter(record);
    let model = move |quirks| Model::new("If", "DSAnomaly", text(record, "annotation"), None, kind, false, quirks);
    Some(Outcome {
        id,
        ours: vec![ours(record, BySpec::new(spec.clone())), ours(record, ByPipeline::new(spec))],
        model: Box::new(move |quirks| ours(record, model(quirks))),
        original: original(record),
    })
}

#[test]
fn a_detector_scores_as_the_original() {
    let records = records("ewm");
    let outcomes: Vec<Outcome<'_>> = records.iter().filter_map(outcome).collect();
    VERDICT.on(&outcomes);
}
