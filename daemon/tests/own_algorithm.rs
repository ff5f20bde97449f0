//! The program of `examples/own_algorithm`: its algorithm `CountAbove` in every command that compiles annotations, also
//! as `docs/src/guide/embedding.md` shows it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use binary::Run;
use serde_json::{Value, json};
use support::{Daemon, command_of, example, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const UVE: &str = "Overload-UveVirtualNetworkAgent-egress_flow_count";

/// A result with several fields has a struct as its type, which the file defines.
const SCHEMA: &str = "struct CountAboveResult {
  1: u64 above
  2: u64 samples
}
struct Overload {
  1: string name (key=\"\")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden=\"yes\")
  5: optional CountAboveResult counts (stats=\"1-raw:CountAbove:100\")
} (period=\"10\", timeout=\"0\")
";

fn program() -> PathBuf {
    example("own_algorithm")
}

/// Runs the program to its end.
fn run(arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(program());
    command.args(arguments);
    binary::finish(command, input)
}

/// The same for a run that must succeed; its standard output.
fn output(arguments: &[&str], input: &str) -> String {
    let run = run(arguments, input);
    assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
    run.stdout
}

/// A directory with a file that defines the type `Overload`.
fn schema() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("overload.sandesh");
    std::fs::write(&path, SCHEMA).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// In each of three periods a sample above the limit of 100, one at it, and one below.
fn samples() -> String {
    let lines = (0..3).flat_map(|period| {
        let at = START + period * PERIOD;
        [101, 100, 7].map(|value| line("a", "egress_flow_count", at, value))
    });
    lines.collect()
}

#[test]
fn eval_runs_it() {
    let events = "{\"at\":1,\"value\":101}\n{\"at\":2,\"value\":100}\n{\"period\":true}\n{\"period\":true}\n";
    let expected = [
        r#"{"report":"none"}"#,
        r#"{"report":"none"}"#,
        r#"{"report":"ok","result":{"above":1,"samples":2}}"#,
        r#"{"report":"none"}"#,
    ];
    assert_eq!(output(&["eval", "1-raw:CountAbove:100"], events).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn explain_names_it_and_its_errors_point_at_the_arguments() {
    let facts: Value = serde_json::from_str(&output(&["explain", "--json", "1-raw:CountAbove:100"], "")).unwrap();
    assert_eq!((&facts["annotation"], &facts["algorithm"]), (&json!("1-raw:CountAbove:100"), &json!("CountAbove")));
    let words = output(&["explain", "1-raw:CountAbove:100"], "");
    let computes = "computes    CountAbove: how many samples are above a limit, and how many samples there are";
    assert!(words.contains(computes), "{words}");

    let bad = run(&["explain", "raw:CountAbove:many"], "");
    assert_eq!(bad.code, Some(2));
    let expected = "    raw:CountAbove:many\n                   ^^^^\n`many` is not a limit";
    assert!(bad.stderr.contains(expected), "{}", bad.stderr);
    let misspelt = run(&["explain", "raw:CountAbov:100"], "");
    assert!(misspelt.stderr.contains("did you mean `CountAbove`?"), "{}", misspelt.stderr);
}

#[test]
fn it_runs_inline_and_before_a_detector() {
    let events = "{\"at\":1,\"value\":101}\n{\"at\":2,\"value\":100}\n{\"at\":3,\"value\":500}\n{\"period\":true}\n";
    let inline = output(&["eval", "raw:CountAbove:100"], events);
    let expected = r#"{"report":"ok","result":{"above":2,"samples":3}}"#;
    assert_eq!(inline.lines().nth(2), Some(expected), "{inline}");
    let scored = output(&["eval", "1.CountAbove(100)-raw:DSAnomaly:EWM:1"], events);
    let last: Value = serde_json::from_str(scored.lines().last().unwrap()).unwrap();
    assert_eq!((&last["report"], &last["result"]["metric"]), (&json!("ok"), &json!(2)), "{scored}");
    let words = output(&["explain", "1.CountAbove(100)-raw:DSAnomaly:EWM:1"], "");
    assert!(words.contains("CountAbove takes the samples of a period: how many samples are above a limit"), "{words}");
}

#[test]
fn the_header_names_its_columns() {
    let arguments = ["aggregate", "--header", "--period", "10", "--annotation", "1-value:CountAbove:100", "-"];
    let text = output(&arguments, &samples());
    assert_eq!(text.lines().next(), Some("key,attr,window,above,samples"));
}

#[test]
fn the_binary_without_it_refuses_the_name() {
    let run = binary::run(&["explain", "raw:CountAbove:100"], "");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("unknown algorithm `CountAbove`"), "{}", run.stderr);
}

#[test]
fn aggregate_runs_it_as_annotation_and_in_a_schema() {
    let key = "ObjectVNTable:a,egress_flow_count";
    let rows = |prefix: &str| -> String {
        (0..3).map(|period| format!("{prefix}{key},{},1,3\n", START + period * PERIOD)).collect()
    };
    let annotated = ["aggregate", "--period", "10", "--annotation", "1-value:CountAbove:100", "-"];
    assert_eq!(output(&annotated, &samples()), rows(""));
    let (directory, path) = schema();
    assert_eq!(output(&["aggregate", "--schema", &path, "-"], &samples()), rows("Overload.counts,"));

    let out = directory.path().join("rows.ndjson");
    output(&[&annotated[..], &["--out", out.to_str().unwrap()]].concat(), &samples());
    let first = std::fs::read_to_string(out).unwrap().lines().next().unwrap().to_owned();
    let first: Value = serde_json::from_str(&first).unwrap();
    let expected =
        json!({"key": "ObjectVNTable:a", "attr": "egress_flow_count", "window": START, "above": 1, "samples": 3});
    assert_eq!(first, expected);
}

#[test]
fn validate_accepts_a_schema_file_with_it() {
    let (directory, path) = schema();
    let config = directory.path().join("config.toml");
    let list = "UveVirtualNetworkAgent-egress_flow_count:Overload";
    let data = directory.path().join("log");
    let text = format!(
        "[aggregation]\nschema_files = [{path:?}]\nuve_proxy_list = {list:?}\n[log]\ndata_dir = {:?}\n",
        data.to_str().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["validate", config.to_str().unwrap()];
    assert!(output(&arguments, "").contains("1 proxy type (Overload)"));
    let without = binary::run(&arguments, "");
    assert_eq!(without.code, Some(64));
    assert!(without.stderr.contains("unknown algorithm `CountAbove`"), "{}", without.stderr);
}

/// The results that the log must have: a row for each period of `periods`.
fn rows(periods: std::ops::Range<u64>) -> Vec<Value> {
    let row = |period| {
        let start = START + period * PERIOD;
        json!({
            "key": "ObjectVNTable:a", "uve": UVE, "start": start, "end": start + PERIOD,
            "data": {
                "deleted": false, "proxy": "UveVirtualNetworkAgent-egress_flow_count",
                "counts": {"above": 1, "samples": 3},
            },
        })
    };
    periods.map(row).collect()
}

fn logged(data: &Path) -> Vec<Value> {
    results(data).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The settings under which both `run` and `replay` compute the type of the file, and nothing else.
fn settings(path: &str) -> [String; 4] {
    [
        format!("aggregation.schema_files={path}"),
        "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:Overload".to_owned(),
        "aggregation.allowed_lateness=0s".to_owned(),
        "log.partitions=1".to_owned(),
    ]
}

#[test]
fn run_computes_it_over_a_restart() {
    let (directory, path) = schema();
    let data = directory.path().join("log");
    let settings = settings(&path);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let start = || Daemon::spawn(command_of(program(), "run", &data, &settings)).expect("the daemon starts");

    // The restart is within a window, so the counts are restored from what the algorithm saved.
    let samples = samples();
    let lines: Vec<&str> = samples.lines().collect();
    for part in lines.chunks(5) {
        let daemon = start();
        assert_eq!(daemon.post(part.join("\n").as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
        daemon.stop();
    }
    assert_eq!(logged(&data), rows(0..2));

    let daemon = start();
    let uve = daemon.wait_for("/analytics/uves/virtual-network/a?flat", |(status, body)| {
        (*status == 200).then(|| serde_json::from_str::<Value>(body).unwrap())
    });
    assert_eq!(uve[UVE]["counts"], json!({"above": 1, "samples": 3}), "{uve}");
    daemon.stop();
}

#[test]
fn replay_computes_it() {
    let (directory, path) = schema();
    let (data, file) = (directory.path().join("log"), directory.path().join("samples.ndjson"));
    std::fs::write(&file, samples()).unwrap();
    let settings = settings(&path);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut replay = command_of(program(), "replay", &data, &settings);
    let replay = replay.arg("--close-windows").arg(&file).output().unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    assert_eq!(logged(&data), rows(0..3));
}
