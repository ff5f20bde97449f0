//! Reading the vectors, and the one text form in which both sides are compared: a line for each message sent, doubles
//! as their bits.

use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde_json::Value;

/// All records of the file.
pub(crate) fn records() -> Vec<Value> {
    let path = format!("{}/testdata/golden/lifecycle.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

pub(crate) fn text<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {record}"))
}

pub(crate) fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("no number `{field}` in {record}"))
}

pub(crate) fn events(record: &Value) -> &[Value] {
    record["events"].as_array().unwrap_or_else(|| panic!("no events in {record}"))
}

/// Whether a message is past the 60 s that the original allows. Those of the scenarios are 61 s old.
pub(crate) fn is_old(message: &Value) -> bool {
    text(message, "payload").contains(&format!("\"{}\"", number(message, "now").saturating_sub(61_000_000)))
}

/// The types that a scenario runs.
pub(crate) fn types(record: &Value) -> Vec<&str> {
    let scenario = text(record, "scenario");
    let direct = scenario.split('-').find(|part| part.starts_with("Lc"));
    let mut types: Vec<&str> = direct.map_or_else(|| text(record, "conf").split(':').collect(), |name| vec![name]);
    types.dedup();
    types
}

/// What was sent during one event, sorted: the original walks hash maps.
pub(crate) type Sent = Vec<String>;

/// What the original sent by itself; answers to introspection and the re-sending after a reconnect have no counterpart
/// in a table.
pub(crate) fn original(event: &Value) -> Sent {
    if matches!(text(event, "op"), "introspect" | "sync") {
        return Vec::new();
    }
    let mut lines: Sent = event["sent"].as_array().unwrap().iter().map(original_line).collect();
    lines.sort();
    lines
}

fn original_line(sent: &Value) -> String {
    // A field that is not set is the same as `false` to a reader of the UVE; ours is always there.
    let deleted = sent["deleted"].as_bool().unwrap_or(false);
    let object = format!("{}:{}", text(sent, "table"), text(sent, "name"));
    line(text(sent, "type"), &object, deleted, sent)
}

/// The line for one message: `fields` holds the results beside other things.
pub(crate) fn line(proxy_type: &str, object: &str, deleted: bool, fields: &Value) -> String {
    let mut line = format!("{proxy_type} {object} deleted={deleted}");
    for name in ["hid", "inl", "sum", "sum2", "value", "value2"] {
        if let Some(result) = fields.get(name) {
            line += &format!(" {name}={}", shown(result));
        }
    }
    line
}

fn shown(result: &Value) -> String {
    if let Some(samples) = result.get("samples") {
        let sigma = result["sigma"].as_f64().unwrap();
        if let Some(bits) = result.get("sigma_bits") {
            assert_eq!(bits.as_str(), Some(format!("{:016x}", sigma.to_bits()).as_str()), "17 digits are exact");
        }
        let state = (text(&result["state"], "mean"), text(&result["state"], "stddev"));
        let head = format!("{} {}:{} {state:?}", samples, text(result, "algo"), text(result, "config"));
        return format!("[{head} sigma={:016x} metric={}]", sigma.to_bits(), result["metric"]);
    }
    result.get("value").unwrap_or(result).to_string()
}
