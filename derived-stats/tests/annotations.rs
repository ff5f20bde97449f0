//! The annotation parser against the original's.
//!
//! Source: `testdata/golden/annotations.jsonl.gz`, made by running the unmodified sandesh compiler and a C++ compiler
//! on structs with each annotation. `parse` is the result of the original's substring logic, and `misbehaves` marks the
//! annotations that the original handles wrongly. A failure here means that we diverged: do not relax it.
//!
//! Deliberate deviations (all other records are parsed as in the original, and compile if its generated C++ does):
//!
//! * The parser refuses annotations whose form the original guesses: the records of [`REFUSED`].
//! * Compiling refuses or corrects annotations that fail later in the original: the records of [`COMPILE_OUTCOMES`].
//!   Accepted are
//!   - ann-00004, `raw:DSSum:3600` inline: a range over 1073 s works here, with at most 256 buckets;
//!   - ann-00076, `…-dif:…`: `metric="diff"` has a meaning here, the samples are differences already;
//!   - ann-00098, `2147483648-raw:DSSum`: overflows the original's `int`; here periods go up to 4294967295.
//! * The schema, not this crate, checks that an attribute exists, is a number and is not itself a result: the records
//!   of [`ATTRIBUTE_ERRORS`] are accepted here.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

use derived_stats::annotation::{Annotation, Ident, Period};
use derived_stats::{Context, MetricKind, Periods, Spec, ValueType};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

const RECORDS: usize = 82;

/// The records with a wrong form, each with the kind of the error.
const REFUSED: [(&str, &str); 27] = [
    ("ann-00043", "EmptyPre"),          // 1.-raw:DSAnomaly:EWM:0.1
    ("ann-00046", "BadPeriod"),         // DSSum-raw:DSAnomaly:EWM:0.1
    ("ann-00047", "PreHasArguments"),   // 1.DSSum:60-raw:DSAnomaly:EWM:0.1
    ("ann-00055", "TooManyComponents"), // fz.inner.value.deep:DSSum
    ("ann-00056", "EmptyComponent"),    // fz.:DSSum
    ("ann-00058", "EmptyAttribute"),    // .count:DSSum
    ("ann-00062", "BadPeriod"),         // fz.count-x:DSSum
    ("ann-00079", "MissingAlgorithm"),  // raw
    ("ann-00080", "EmptyAlgorithm"),    // raw:
    ("ann-00082", "EmptyAlgorithm"),    // raw::EWM:0.1
    ("ann-00083", "EmptyAttribute"),    // :DSSum
    ("ann-00085", "MissingAlgorithm"),  // 1-
    ("ann-00086", "EmptyAttribute"),    // 1-:DSSum
    ("ann-00088", "BadPeriod"),         // -1-raw:DSSum
    ("ann-00089", "BadAttribute"),      // 1--raw:DSSum
    ("ann-00091", "BadPeriod"),         // 1x-raw:DSSum
    ("ann-00092", "BadPeriod"),         //  1-raw:DSSum
    ("ann-00094", "BadPeriod"),         // 1e2-raw:DSSum
    ("ann-00095", "BadPeriod"),         // 0x2-raw:DSSum
    ("ann-00097", "BadPeriod"),         // 99999999999-raw:DSSum
    ("ann-00100", "BadPre"),            // 1.5-raw:DSSum
    ("ann-00103", "BadAttribute"),      //  raw:DSSum
    ("ann-00104", "BadAlgorithm"),      // raw: DSSum
    ("ann-00109", "BadPeriod"),         // raw-x:DSSum
    ("ann-00110", "BadAttribute"),      // 1-raw-x:DSSum
    ("ann-00112", "MissingAlgorithm"),  // raw;DSSum
    ("ann-00113", "BadPeriod"),         // 1,DSSum-raw:DSAnomaly:EWM:0.1
];

/// The records that the parser reads differently from the original: (id, period).
const OTHER_PERIOD: [(&str, u32); 1] = [("ann-00098", 2_147_483_648)];

/// The outcomes of compiling records that misbehave in the original: (id, in a struct with period, in one without).
const COMPILE_OUTCOMES: [(&str, &str, &str); 25] = [
    ("ann-00004", "RangeOverPeriod", "-"),                        // raw:DSSum:3600
    ("ann-00010", "NotPeriodic", "-"),                            // raw:DSNull:
    ("ann-00013", "NotPeriodic", "-"),                            // raw:DSEWM:0.1
    ("ann-00014", "NeedsPre", "-"),                               // raw:DSAnomaly:EWM:0.1
    ("ann-00016", "BadArgument", "BadArgument"),                  // raw:DSAnomaly:EWM
    ("ann-00017", "BadArgument", "BadArgument"),                  // raw:DSAnomaly:EWM:
    ("ann-00019", "MissingArguments", "MissingArguments"),        // raw:DSAnomaly
    ("ann-00020", "UnknownDetector", "UnknownDetector"),          // raw:DSAnomaly:Null
    ("ann-00022", "BadArgument", "BadArgument"),                  // raw:DSAnomaly:EWM:2
    ("ann-00026", "NotPeriodic", "-"),                            // x:DSNull:
    ("ann-00029", "UnexpectedArguments", "PeriodInPlainStruct"),  // 2-raw:DSNone:3
    ("ann-00032", "RangeOverPeriod", "PeriodInPlainStruct"),      // 60-raw:DSSum:300
    ("ann-00038", "PreNeedsPeriod", "PreNeedsPeriod"),            // 0.DSSum-raw:DSAnomaly:EWM:0.1
    ("ann-00040", "ChainWithoutDetector", "PeriodInPlainStruct"), // 1.DSSum-raw:DSSum
    ("ann-00041", "ChainWithoutDetector", "PeriodInPlainStruct"), // 1.DSSum-raw:DSAvg:3
    ("ann-00044", "UnknownPre", "PeriodInPlainStruct"),           // 1.DSSum.x-raw:DSAnomaly:EWM:0.1
    ("ann-00076", "-", "PeriodInPlainStruct"),                    // 1.DSSum-dif:DSAnomaly:EWM:0.1
    ("ann-00098", "-", "PeriodInPlainStruct"),                    // 2147483648-raw:DSSum
    ("ann-00101", "-", "PeriodInPlainStruct"),                    // 1.DSSum.DSAvg-raw:DSAnomaly:EWM:0.1
    ("ann-00106", "UnknownAlgorithm", "UnknownAlgorithm"),        // raw:dssum
    ("ann-00107", "-", "-"),                                      // raw:DSPercentile:95
    ("ann-00118", "BadArgument", "BadArgument"),                  // raw:DSSum:-1
    ("ann-00119", "BadArgument", "BadArgument"),                  // raw:DSSum:abc
    ("ann-00121", "BadArgument", "PeriodInPlainStruct"),          // 1.DSSum-raw:DSAnomaly:EWM:-0.1
    ("ann-00122", "BadArgument", "PeriodInPlainStruct"),          // 1.DSSum-raw:DSAnomaly:EWM:0
];

const ACCEPTED: &str = "-";

/// The records whose only mistake is an attribute that does not exist or does not suit.
const ATTRIBUTE_ERRORS: [&str; 6] = [
    "ann-00052", // fz.inner:DSNone
    "ann-00053", // fz.nosuch:DSSum
    "ann-00071", // z:DSNone:
    "ann-00077", // nosuch:DSSum
    "ann-00115", // value:DSSum
    "ann-00116", // name:DSSum
];

fn records() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/golden/annotations.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    let records: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(records.len(), RECORDS);
    records
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap()
}

/// The first word of the `Debug` form: the variant.
fn variant(kind: &impl std::fmt::Debug) -> String {
    format!("{kind:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The names of the chain, as written between the `.` and the `-` of the period.
fn chain(period: &Period) -> String {
    period.chain().iter().map(|link| link.name().as_str()).collect::<Vec<_>>().join(".")
}

/// The parts, with the names of the records.
fn parts(annotation: &Annotation) -> Value {
    let name = |ident: Option<&Ident>| ident.map_or("", Ident::as_str).to_owned();
    let (period, source) = (annotation.period(), annotation.source());
    json!({
        "period": period.map(Period::every),
        "prealgo": period.map_or_else(String::new, chain),
        "raw": source.attribute().as_str(),
        "comp": name(source.component()),
        "subcomp": name(source.subcomponent()),
        "algo": annotation.algorithm().name().as_str(),
        "args": annotation.algorithm().arguments().as_str(),
    })
}

/// The parts as the original parsed them, except for the deviation listed above.
fn expected_parts(record: &Value) -> Value {
    let mut parts = record["parse"].clone();
    if let Some((_, period)) = OTHER_PERIOD.iter().find(|(id, _)| *id == text(record, "id")) {
        parts["period"] = json!(period);
    }
    parts
}

#[test]
fn annotations_of_right_form_are_parsed_as_by_the_original() {
    let mut read = 0;
    for record in records() {
        if REFUSED.iter().any(|(id, _)| *id == text(&record, "id")) {
            continue;
        }
        let annotation =
            Annotation::parse(text(&record, "annotation")).unwrap_or_else(|error| panic!("{}: {error}", record["id"]));
        assert_eq!(parts(&annotation), expected_parts(&record), "{}", record["id"]);
        read += 1;
    }
    assert_eq!(read, RECORDS - REFUSED.len());
}

#[test]
fn annotations_of_wrong_form_are_refused_for_the_right_reason() {
    let records = records();
    for (id, expected) in REFUSED {
        let record = records.iter().find(|record| text(record, "id") == id).unwrap();
        assert_eq!(record["misbehaves"], json!(true), "{id}");
        let error = Annotation::parse(text(record, "annotation")).unwrap_err();
        assert_eq!(variant(error.kind()), expected, "{id}: {error}");
    }
}

#[test]
fn only_annotations_that_misbehave_are_refused() {
    let refused: BTreeSet<String> = records()
        .iter()
        .filter(|record| Annotation::parse(text(record, "annotation")).is_err())
        .map(|record| text(record, "id").to_owned())
        .collect();
    let expected: BTreeSet<String> = REFUSED.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(refused, expected);
}

/// The attributes of the struct with which the records were compiled; others count as u64.
fn context(annotation: &Annotation, periods: Periods) -> Context<'static> {
    let (value, metric) = match annotation.source().attribute().as_str() {
        "cnt" => (ValueType::U64, MetricKind::Agg),
        "dif" => (ValueType::U64, MetricKind::Diff),
        "fz" | "tsm" | "value" | "x" | "z" => (ValueType::I64, MetricKind::Plain),
        _ => (ValueType::U64, MetricKind::Plain),
    };
    Context::new(value).with_metric(metric).with_periods(periods)
}

/// The kind of the error of compiling, or [`ACCEPTED`].
fn judgement(record: &Value, periods: Periods) -> String {
    let annotation = Annotation::parse(text(record, "annotation")).unwrap();
    match Spec::compile(&annotation, context(&annotation, periods)) {
        Ok(_) => ACCEPTED.to_owned(),
        Err(error) => variant(error.kind()),
    }
}

/// In a struct with `period="60"` and in one without.
fn judgements(record: &Value) -> [String; 2] {
    [Periods::Every { seconds: 60 }, Periods::Plain].map(|periods| judgement(record, periods))
}

#[test]
fn annotations_that_fail_later_in_the_original_are_refused_or_correct() {
    let records = records();
    for (id, periodic, plain) in COMPILE_OUTCOMES {
        let record = records.iter().find(|record| text(record, "id") == id).unwrap();
        assert_eq!(judgements(record), [periodic, plain], "{id}");
    }
}

#[test]
fn errors_of_the_attribute_are_left_to_the_schema() {
    let records = records();
    for id in ATTRIBUTE_ERRORS {
        let record = records.iter().find(|record| text(record, "id") == id).unwrap();
        assert_eq!(judgements(record), [ACCEPTED; 2], "{id}");
    }
}

#[test]
fn annotations_compile_exactly_if_they_work_in_the_original() {
    let mut checked = 0;
    for record in records().iter().filter(|record| record["misbehaves"] == json!(false)) {
        let expected = ["in_periodic", "in_plain"].map(|kind| match text(&record[kind], "verdict") {
            "ok" => ACCEPTED,
            // The only valid annotation that one of the two structs refuses.
            _ => "PeriodInPlainStruct",
        });
        assert_eq!(judgements(record), expected, "{}", record["id"]);
        checked += 1;
    }
    assert_eq!(checked, RECORDS - REFUSED.len() - COMPILE_OUTCOMES.len() - ATTRIBUTE_ERRORS.len());
}
