//! `DSSum[:range]`, with and without window: `sum_avg.jsonl`.

use derived_stats::algorithm::{Algorithm, Range, RangeSum, Sample};
use derived_stats::{Numeric, ValueType};
use serde_json::Value;

use crate::model::{Model, Quirk};
use crate::record::{Observed, items, number, number_text, records, text, value_type};
use crate::subject::{ByPipeline, BySpec, Subject};
use crate::verdict::{Deviation, Outcome, Refused, Trace, Verdict, admitted};

const RECORDS: usize = 356;

/// Above this range, in seconds, the original's rule for the width of a bucket overflows.
const WIDEST_OF_THE_ORIGINAL: u64 = 1073;

const DEVIATIONS: [Deviation; 4] = [
    Deviation {
        reason: "a u64 sum stops at the bound, with an error (9)",
        quirks: &[Quirk::Wraps, Quirk::WideRangeOverflows],
        records: &[
            "sum-00007",
            "sum-00015",
            "sum-00023",
            "sum-00031",
            "sum-00039",
            "sum-00047",
            "sum-00055",
            "sum-00063",
            "sum-00071",
            "sum-00079",
            "sum-00087",
            "sum-00095",
            "sum-00103",
            "sum-00111",
            "sum-00119",
            "sum-00127",
            "sum-00135",
            "sum-00143",
            "sum-00151",
            "sum-00159",
            "sum-00175",
            "sum-00183",
            "sum-00191",
            "sum-00199",
            "sum-00207",
            "sum-00215",
            "sum-00223",
            "sum-00231",
            "sum-00239",
            "sum-00247",
            "sum-00255",
            "sum-00491",
        ],
    },
    Deviation {
        reason: "at most 256 buckets for a range above 1073 s, so they are wider (9)",
        quirks: &[Quirk::WideRangeOverflows],
        records: &[
            "sum-00225",
            "sum-00229",
            "sum-00237",
            "sum-00241",
            "sum-00253",
            "sum-00373",
            "sum-00661",
            "sum-00699",
        ],
    },
    Deviation {
        reason: "a sample of an older bucket is refused (9)",
        quirks: &[Quirk::TimeGoesBack, Quirk::WideRangeOverflows, Quirk::NoAgingOnRead],
        records: &[
            "sum-00505",
            "sum-00507",
            "sum-00529",
            "sum-00531",
            "sum-00553",
            "sum-00555",
            "sum-00577",
            "sum-00579",
            "sum-00601",
            "sum-00603",
            "sum-00625",
            "sum-00627",
            "sum-00649",
            "sum-00651",
        ],
    },
    Deviation {
        reason: "time 0 is a time (9)",
        quirks: &[Quirk::TimeZeroIsNever, Quirk::WideRangeOverflows],
        records: &[
            "sum-00509",
            "sum-00511",
            "sum-00533",
            "sum-00535",
            "sum-00557",
            "sum-00559",
            "sum-00581",
            "sum-00583",
            "sum-00605",
            "sum-00607",
            "sum-00629",
            "sum-00631",
            "sum-00653",
            "sum-00655",
        ],
    },
];

const REFUSED: [Refused; 1] = [
    // A range is whole seconds in digits: not `abc`, `1.5`, `3abc`, ` 3`, `+3`, `0x10`, `60s`, `-0`.
    Refused {
        kind: "BadArgument",
        records: &[
            "sum-00665",
            "sum-00667",
            "sum-00669",
            "sum-00671",
            "sum-00673",
            "sum-00677",
            "sum-00695",
            "sum-00697",
        ],
    },
];

pub(crate) const VERDICT: Verdict<'_> =
    Verdict { file: "sum_avg", records: RECORDS, refused: &REFUSED, deviations: &DEVIATIONS };

fn line(observed: Observed) -> String {
    format!("{} {}", observed.code, observed.result.unwrap_or_else(|| "-".to_owned()))
}

fn ours(record: &Value, mut subject: impl Subject) -> Trace {
    let mut trace = vec![line(subject.report(0))];
    for step in items(record, "steps") {
        let at = step["t"].as_u64().unwrap();
        trace.extend(subject.update(at, number(&step["x"], value_type(record))));
        trace.push(line(subject.report(at)));
    }
    trace
}

fn original(record: &Value) -> Trace {
    let kind = value_type(record);
    let mut trace = vec![format!("{} -", text(&record["init"], "rt"))];
    for step in items(record, "steps") {
        let value = &step["v"];
        let value = if value.is_null() { "-".to_owned() } else { number_text(number(value, kind)) };
        trace.push(format!("{} {value}", text(step, "rt")));
    }
    trace
}

/// The buckets of a window after each sample.
fn buckets<T: Numeric>(record: &Value, range: Range) -> Vec<u64> {
    let window = RangeSum::new(range);
    let mut state = Algorithm::<T>::start(&window);
    let steps = items(record, "steps").iter().map(|step| {
        let value = T::from_number(number(&step["x"], T::TYPE)).unwrap();
        window.update(&mut state, Sample::new(step["t"].as_u64().unwrap(), value)).unwrap();
        state.buckets() as u64
    });
    steps.collect()
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
fn sums_and_windows_are_those_of_the_original() {
    let records = records("sum_avg");
    let outcomes: Vec<Outcome<'_>> = records.iter().filter_map(outcome).collect();
    VERDICT.on(&outcomes);
}

#[test]
fn windows_have_the_buckets_of_the_original() {
    let mut checked = 0;
    for record in records("sum_avg") {
        let id = text(&record, "id");
        let Some(range) = text(&record, "arg").parse().ok().and_then(|seconds| Range::from_seconds(seconds).ok())
        else {
            continue;
        };
        if DEVIATIONS[1..].iter().any(|group| group.records.contains(&id)) || range.seconds() > WIDEST_OF_THE_ORIGINAL {
            continue;
        }
        assert_eq!(Some(range.bucket_micros()), record["bucket_usecs"].as_u64(), "{id}");
        let ours = match value_type(&record) {
            ValueType::F64 => buckets::<f64>(&record, range),
            ValueType::I64 => buckets::<i64>(&record, range),
            ValueType::U64 => buckets::<u64>(&record, range),
        };
        let original = items(&record, "steps").iter().map(|step| step["buckets"].as_u64().unwrap());
        assert_eq!(ours, original.collect::<Vec<_>>(), "{id}");
        checked += 1;
    }
    assert_eq!(checked, 235);
}
