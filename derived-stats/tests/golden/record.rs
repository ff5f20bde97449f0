//! The reader of the vectors, and the text form in which both sides are compared.
//!
//! All observable values become text, so that a difference is readable: integers in decimal, doubles as 16 hexadecimal
//! digits.

use std::fs::File;
use std::io::{BufRead, BufReader};

use derived_stats::entry::Field;
use derived_stats::{FieldValue, Number, Output, Report, ValueType, six_digits};
use flate2::read::GzDecoder;
use serde_json::Value;

/// All records of `testdata/golden/<file>.jsonl.gz`.
pub(crate) fn records(file: &str) -> Vec<Value> {
    let path = format!("{}/testdata/golden/{file}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

pub(crate) fn text<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {record}"))
}

pub(crate) fn items<'r>(record: &'r Value, field: &str) -> &'r [Value] {
    record[field].as_array().unwrap_or_else(|| panic!("no list `{field}` in {record}"))
}

/// The element type of a record. The `i32` of the vectors run as `i64` here.
pub(crate) fn value_type(record: &Value) -> ValueType {
    match text(record, "type") {
        "f64" => ValueType::F64,
        "i32" => ValueType::I64,
        "u64" => ValueType::U64,
        other => panic!("unknown type {other}"),
    }
}

/// A value of the vectors as a sample of its type.
pub(crate) fn number(value: &Value, kind: ValueType) -> Number {
    match kind {
        ValueType::F64 => Number::F64(double(value)),
        ValueType::I64 => Number::I64(value.as_i64().unwrap()),
        ValueType::U64 => Number::U64(value.as_u64().unwrap()),
    }
}

fn double(value: &Value) -> f64 {
    match value.as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some("nan") => f64::NAN,
        Some("-nan") => -f64::NAN,
        Some(other) => panic!("{other} is no double"),
        None => value.as_f64().unwrap(),
    }
}

/// An observed result with its return code, as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    /// The original's return code: `INVALID`, `SKIP` or `OK`.
    pub(crate) code: &'static str,
    pub(crate) result: Option<String>,
}

impl Observed {
    pub(crate) fn new(code: &'static str, result: impl Into<Option<String>>) -> Self {
        Self { code, result: result.into() }
    }

    /// The output of the original's `FillResult`.
    pub(crate) fn fill(self, force: bool) -> Option<String> {
        match (self.code, force) {
            ("OK", _) | ("SKIP", true) => self.result,
            _ => None,
        }
    }
}

/// A report of this crate.
pub(crate) fn observed(report: Report<Output<'_>>) -> Observed {
    let code = match report.name() {
        "not_ready" => "INVALID",
        "unchanged" => "SKIP",
        "ok" => "OK",
        name => panic!("the original has no `{name}`"),
    };
    Observed::new(code, report.any().map(|output| shown(&output)))
}

fn shown(output: &Output<'_>) -> String {
    let number = |name: &str| output.number(name).unwrap_or_else(|| panic!("no {name} in {output:?}"));
    let double = |name: &str| number(name).as_f64();
    let moments = || moments(double("mean"), double("stddev"), double("sigma"));
    let text = match output.description().algorithm() {
        "DSNull" => format!("n={} value={}", number("samples"), number_text(number("value"))),
        "DSEWM" => format!("n={} {}", number("samples"), moments()),
        "EWM" => {
            let constant = |name: &str| output.description().field(name).and_then(|field| field.constant()).unwrap();
            let head = format!("n={} algo={} config={}", number("samples"), constant("algo"), constant("config"));
            let state = format!("state={}/{}", six_digits(double("mean")), six_digits(double("stddev")));
            let metric = output.number("metric").map_or(String::new(), |metric| format!(" metric={metric}"));
            format!("{head} {state} {}{metric}", moments())
        }
        _ if output.description().fields().len() == 1 => number_text(output.value().unwrap()),
        _ => fields(output),
    };
    with_error(text, output.error())
}

/// The numbers of a result that the original does not have.
fn fields(output: &Output<'_>) -> String {
    let text = |(field, value): (&Field, FieldValue<'_>)| match value {
        FieldValue::Number(number) => Some(format!("{}={}", field.name(), number_text(number))),
        _ => None,
    };
    output.fields().filter_map(text).collect::<Vec<_>>().join(" ")
}

pub(crate) fn with_error(text: String, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("{text} error={error}"),
        None => text,
    }
}

pub(crate) fn number_text(value: Number) -> String {
    if value.value_type() == ValueType::F64 { bits(value.as_f64()) } else { value.to_string() }
}

pub(crate) fn moments(mean: f64, stddev: f64, sigma: f64) -> String {
    format!("mean={} stddev={} sigma={}", bits(mean), bits(stddev), bits(sigma))
}

pub(crate) fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// The mean and the standard deviation are in some files only with 6 digits: leaves out the exact ones.
pub(crate) fn without_exact_state(text: &str) -> String {
    let parts = text.split(' ').filter(|part| !part.starts_with("mean=") && !part.starts_with("stddev="));
    parts.collect::<Vec<_>>().join(" ")
}

/// A result object of the vectors, without the exact mean and deviation.
pub(crate) fn their_result(result: &Value, kind: ValueType) -> String {
    let Some(object) = result.as_object() else {
        return number_text(number(result, kind));
    };
    let mut text = format!("n={}", result["samples"]);
    if let Some(value) = object.get("value") {
        return format!("{text} value={}", number_text(number(value, kind)));
    }
    for field in ["algo", "config"] {
        if let Some(value) = object.get(field) {
            text += &format!(" {field}={}", value.as_str().unwrap());
        }
    }
    if let Some(state) = object.get("state") {
        text += &format!(" state={}/{}", state["mean"].as_str().unwrap(), state["stddev"].as_str().unwrap());
    }
    for (field, name) in [("mean_bits", "mean"), ("stddev_bits", "stddev"), ("sigma_bits", "sigma")] {
        if let Some(bits) = object.get(field) {
            text += &format!(" {name}={}", bits.as_str().unwrap());
        }
    }
    if let Some(metric) = object.get("metric") {
        text += &format!(" metric={metric}");
    }
    with_error(text, object.get("error").and_then(Value::as_str))
}
