//! The results topic of a real broker: validated by the JSON Schema of the documentation with an implementation of its own,
//! and read to its end by sinks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;
use support::broker::{Broker, Isolation};
use support::group::{Group, Sample};
use support::receiver::Receiver;
use support::series::{post, python};
use support::{Daemon, wait_until};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const START: u64 = 1_488_000_000;
const PERIOD: u64 = 10;

/// A type for each form of result: plain numbers, groups of fields, lists, detectors with and without a state, results of
/// single samples, and results over several periods.
const TYPES: [&str; 18] = [
    "AggProxySum",
    "AggProxySumAnomalyEWM01",
    "Average = 1-raw:DSAvg",
    "Category = 1-raw:DSCategory:1,2",
    "Cusum = 1.DSSum-raw:DSAnomaly:CUSUM:warmup=10",
    "Distinct = 1-raw:DSDistinct",
    "Histogram = 1-raw:DSHistogram:10,20",
    "HoltWinters = 1.DSSum-raw:DSAnomaly:HoltWinters:warmup=10",
    "Inline = 0-raw:DSEWM:0.1",
    "Large = 1-raw:DSHistogram:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "Mad = 1.DSSum-raw:DSAnomaly:MAD:warmup=10",
    "Null = 0-raw:DSNull",
    "Percentile = 1-raw:DSPercentile:50,90",
    "Range = 0-raw:DSMax:60",
    "Seasonal = 1.DSSum-raw:DSAnomaly:Seasonal:warmup=10",
    "Several = 3-raw:DSSum",
    "Small = 1.DSSum-raw:DSAnomaly:SeasonalSmall:warmup=10",
    "Top = 1-raw:DSTopK:3",
];

/// Checks every line, and that none is valid once one of its names is another one.
const CHECK: &str = r#"
import copy, json, sys
from jsonschema import Draft202012Validator

schema = json.load(open(sys.argv[2]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)

def kind(result):
    data = result["data"]
    return (result["uve"].split("-")[0], data["deleted"], data.get("partial", False))

kinds = {}
for line in open(sys.argv[1]):
    result = json.loads(line)
    validator.validate(result)
    kinds.setdefault(kind(result), result)

def renamed(value, name):
    other = {key: it for key, it in value.items() if key != name}
    other[name + "_"] = value[name]
    return other

def refused(result, what):
    assert not validator.is_valid(result), (what, result)

for result in kinds.values():
    for name in result:
        refused(renamed(result, name), name)
    refused(dict(result, data=renamed(result["data"], "deleted")), "deleted")
    lists = [name for name in ("alarms", "pending", "resolved") if name in result["data"]]
    for name in lists:
        refused(dict(result, data=renamed(result["data"], name)), name)
        for field in ("type", "severity", "timestamp", "since", "description", "uve", "state", "alarm_rules"):
            for alarm in result["data"][name]:
                other = copy.deepcopy(result)
                other["data"][name] = [renamed(alarm, field)]
                refused(other, field)
for name, deleted, partial in sorted(kinds):
    print(name, deleted, partial)
"#;

/// What `object` sends in a window: some values, of which the last one is far from the others.
fn lines(object: &str, window: u64) -> String {
    let value = |at: u64| if window == 25 { 5_000 } else { (window * 7 + at * 3) % 25 };
    let line = |at: u64| format!("load,host={object} value={} {}\n", value(at), START + window * PERIOD + at);
    (0..PERIOD).step_by(2).map(line).collect()
}

/// The stream with some of the types.
fn stream(types: &[&str]) -> String {
    let types = types.iter().map(|of| format!("{of:?}")).collect::<Vec<_>>().join(", ");
    format!(
        "streams=[{{name = \"s\", metric = \"load.value\", object = [\"host\"], period = {PERIOD}, aggregations = [{types}]}}]"
    )
}

/// Sends the samples of windows.
fn send(daemon: &Daemon, windows: std::ops::Range<u64>) {
    for window in windows {
        // The second object is silent from the fifth window on, so that it is withdrawn.
        let second = if window < 5 { lines("b", window) } else { String::new() };
        let body = lines("a", window) + &second;
        let reply = post(daemon, "/write?precision=s", &[], body.as_bytes());
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

#[test]
fn every_kind_of_result_in_the_topic_is_valid_by_the_schema_and_no_other_name_is() {
    let group = Group::bare(&BROKER, "schema", 1);
    let rule = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 3000'}]"#;
    let others = [rule, "aggregation.uve_proxy_list=", "aggregation.source_timeout=1m"];
    let (first, all) = (stream(&["AggProxySum"]), stream(&TYPES));
    let settings = [&[&*first], &others[..]].concat();
    let created = group.command("topics", "topics", &settings).arg("--create").output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let daemon = group.daemon_with("a", &settings);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    send(&daemon, 0..1);
    daemon.wait_until_applied();
    daemon.stop();
    // The other types come within a window, which is a partial one of theirs.
    let daemon = group.daemon_with("a", &[&[&*all, "kafka.configuration_version=1"], &others[..]].concat());
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    send(&daemon, 0..30);
    let read = || -> String {
        let messages = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        let texts = messages.into_iter().map(|message| String::from_utf8(message.payload.unwrap()).unwrap());
        texts.map(|text| text.trim_end().to_owned() + "\n").collect()
    };
    let last = format!("\"start\":{},", (START + 27 * PERIOD) * 1_000_000);
    let found = wait_until("the results of the last windows", || {
        let found = read();
        found.contains(&last).then_some(found)
    });
    daemon.stop();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.ndjson");
    std::fs::write(&file, found).unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/result.schema.json");
    let output = python(CHECK, &[file.to_str().unwrap(), schema]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kinds = String::from_utf8(output.stdout).unwrap();
    let kinds: BTreeSet<&str> = kinds.lines().collect();
    let wanted = TYPES.iter().map(|of| of.split(' ').next().unwrap()).flat_map(|name| {
        // One of a single sample has no window that could be partial.
        [format!("{name} False False"), format!("{name} True False")]
    });
    let more = ["Average False True", "UVEAlarms False False"].map(str::to_owned);
    let missing: Vec<_> = wanted.chain(more).filter(|kind| !kinds.contains(&**kind)).collect();
    assert!(missing.is_empty(), "no {missing:?} among {kinds:#?}");
}

/// Waits until the log has results and every sink has delivered all of them.
fn wait_until_no_sink_lags(daemon: &Daemon, sinks: usize) {
    daemon.wait_for("/api/v1/status", |(_, body)| {
        let status: Value = serde_json::from_str(body).ok()?;
        let (list, results) = (status["sinks"].as_array()?, status["results"]["next"].as_u64()?);
        assert_eq!(list.len(), sinks, "{body}");
        (results > 0 && list.iter().all(|sink| sink["lag"] == 0)).then_some(())
    });
}

/// A transaction ends with a control record, which has an offset behind those of its results.
#[test]
fn a_sink_that_has_delivered_all_results_has_no_lag_also_after_a_kill() {
    let (group, webhook, folder) = (Group::new(&BROKER, "no-lag", 1), Receiver::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("results");
    let settings = [
        r#"alarms=[{rule='alarm "high" when AggProxySum.value > 4000'}]"#.to_owned(),
        format!("sinks.file.path={}", file.display()),
        format!("sinks.webhook.url={}/hook", webhook.url()),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let windows = |range: std::ops::Range<u64>| {
        let sample = |window| Sample {
            attribute: "egress_flow_count",
            key: "ObjectVNTable:a".to_owned(),
            at: (START + window * PERIOD) * 1_000_000,
            value: 5,
        };
        group.publish(&range.map(sample).collect::<Vec<_>>());
    };
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    let mut daemon = group.daemon_with("a", &settings);
    windows(0..10);
    wait_until("the first results", || (lines() > 0).then_some(()));
    wait_until_no_sink_lags(&daemon, 3);
    let before = lines();
    windows(10..20);
    wait_until("further results", || (lines() > before).then_some(()));
    daemon.signal("KILL");
    assert!(!daemon.wait().success(), "the daemon was killed");
    let daemon = group.daemon_with("a", &settings);
    wait_until_no_sink_lags(&daemon, 3);
    // What comes behind the control records is delivered.
    let before = lines();
    windows(20..30);
    wait_until("results after the kill", || (lines() > before).then_some(()));
    wait_until_no_sink_lags(&daemon, 3);
    daemon.stop();
}
