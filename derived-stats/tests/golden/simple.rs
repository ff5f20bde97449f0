//! `DSNone`, `DSNull`, `DSChange`, `DSNon0` and `DSEWM`, inline: `simple.jsonl`.

use serde_json::Value;

use crate::model::{Model, Quirk};
use crate::record::{Observed, items, number, records, text, their_result, value_type};
use crate::subject::{ByPipeline, BySpec, Subject};
use crate::verdict::{Deviation, Outcome, Refused, Trace, Verdict, admitted};

const RECORDS: usize = 229;

const DEVIATIONS: [Deviation; 1] =
    [Deviation { reason: "NaN is refused (8)", quirks: &[Quirk::NonFinite], records: &["simple-00457"] }];

const REFUSED: [Refused; 3] = [
    // `DSNone:3`.
    Refused {
        kind: "UnexpectedArguments",
        records: &[
            "simple-00053",
            "simple-00055",
            "simple-00057",
            "simple-00059",
            "simple-00061",
            "simple-00063",
            "simple-00065",
            "simple-00067",
            "simple-00121",
            "simple-00123",
            "simple-00125",
            "simple-00127",
            "simple-00129",
            "simple-00131",
            "simple-00133",
            "simple-00135",
            "simple-00189",
            "simple-00191",
            "simple-00193",
            "simple-00195",
            "simple-00197",
            "simple-00199",
            "simple-00201",
            "simple-00203",
        ],
    },
    // `DSEWM:0` and `0.0`, `-0`, `abc`, `-0.1`, `1.5`, `nan`, `inf`, `0.1x`, ` 0.3`.
    Refused {
        kind: "BadArgument",
        records: &[
            "simple-00373",
            "simple-00375",
            "simple-00377",
            "simple-00387",
            "simple-00389",
            "simple-00391",
            "simple-00393",
            "simple-00395",
            "simple-00397",
            "simple-00399",
            "simple-00401",
            "simple-00403",
            "simple-00405",
            "simple-00407",
            "simple-00409",
            "simple-00411",
            "simple-00413",
            "simple-00415",
            "simple-00417",
            "simple-00419",
            "simple-00421",
            "simple-00423",
            "simple-00425",
            "simple-00427",
            "simple-00429",
            "simple-00431",
            "simple-00433",
            "simple-00443",
            "simple-00445",
            "simple-00447",
            "simple-00449",
            "simple-00451",
            "simple-00453",
            "simple-00455",
        ],
    },
    // `DSEWM:`.
    Refused { kind: "MissingArguments", records: &["simple-00379", "simple-00381", "simple-00383", "simple-00385"] },
];

pub(crate) const VERDICT: Verdict<'_> =
    Verdict { file: "simple", records: RECORDS, refused: &REFUSED, deviations: &DEVIATIONS };

/// Where the original's return code is undefined only the value is compared.
fn line(observed: Observed, step: &Value) -> String {
    let code = if step["ub"] == Value::Bool(true) { "?" } else { observed.code };
    format!("{code} {}", observed.result.unwrap_or_else(|| "-".to_owned()))
}

fn ours(record: &Value, mut subject: impl Subject) -> Trace {
    let mut trace = Vec::new();
    if record["init"]["ub"] != Value::Bool(true) {
        trace.push(line(subject.report(0), &Value::Null));
    }
    for step in items(record, "steps") {
        trace.extend(subject.update(0, number(&step["x"], value_type(record))));
        trace.push(line(subject.report(0), step));
    }
    trace
}

fn original(record: &Value) -> Trace {
    let kind = value_type(record);
    let line = |step: &Value| {
        let code = step["rt"].as_str().unwrap_or("?");
        let value = &step["v"];
        let value = if value.is_null() { "-".to_owned() } else { their_result(value, kind) };
        format!("{code} {value}")
    };
    let defined = Some(&record["init"]).filter(|init| init["ub"] != Value::Bool(true));
    defined.into_iter().chain(items(record, "steps")).map(line).collect()
}

fn outcome(record: &Value) -> Option<Outcome<'_>> {
    let id = text(record, "id").to_owned();
    let kind = value_type(record);
    let (algo, argument) = (text(record, "algo"), text(record, "arg"));
    let spec = admitted(&id, &format!("raw:{algo}:{argument}"), kind, false, &REFUSED)?;
    let model = move |quirks| Model::new("If", algo, argument, None, kind, false, quirks);
    Some(Outcome {
        id,
        ours: vec![ours(record, BySpec::new(spec.clone())), ours(record, ByPipeline::new(spec))],
        model: Box::new(move |quirks| ours(record, model(quirks))),
        original: original(record),
    })
}

#[test]
fn the_simple_algorithms_report_the_results_of_the_original() {
    let records = records("simple");
    let outcomes: Vec<Outcome<'_>> = records.iter().filter_map(outcome).collect();
    VERDICT.on(&outcomes);
}
